//! promptseg on files: segment, inspect, eval. The ROS 2 node is `promptseg_node`.

fn main() {
    println!("promptseg {}", env!("CARGO_PKG_VERSION"));
}
