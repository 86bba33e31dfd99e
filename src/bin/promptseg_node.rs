//! The ROS 2 executable.

fn main() {
    println!("promptseg_node {}", env!("CARGO_PKG_VERSION"));
}
