//! Says which optional message packages there are: `yolo_msgs`, when it is sourced and r2r makes types of it.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(yolo_msgs)");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ros")]
    {
        r2r_common::print_cargo_watches();
        // The same list that r2r makes its types of.
        let messages = r2r_common::get_wanted_messages();
        if messages.iter().any(|m| m.module == "yolo_msgs" && m.name == "DetectionArray") {
            println!("cargo:rustc-cfg=yolo_msgs");
        }
    }
}
