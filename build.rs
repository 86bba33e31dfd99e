//! Says which optional message packages there are, that is, which are sourced and r2r makes types of: `yolo_msgs` for the
//! detections of yolo_ros, `bond` for the heartbeat that Nav2's lifecycle manager listens to.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(yolo_msgs)");
    println!("cargo:rustc-check-cfg=cfg(bond)");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ros")]
    {
        r2r_common::print_cargo_watches();
        // The same list that r2r makes its types of.
        let messages = r2r_common::get_wanted_messages();
        for (module, message) in [("yolo_msgs", "DetectionArray"), ("bond", "Status")] {
            if messages.iter().any(|m| m.module == module && m.name == message) {
                println!("cargo:rustc-cfg={module}");
            }
        }
    }
}
