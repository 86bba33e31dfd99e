//! Says which optional message packages there are, that is, which are sourced and r2r makes types of: `yolo_msgs` for the
//! detections of yolo_ros, `bond` for the heartbeat that Nav2's lifecycle manager listens to. `type_description_interfaces`
//! is there since Iron, with `~/get_type_description`. And has the linker put functions of `src/native/received.rs` and
//! `node_types.rs` before those of rcl.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(yolo_msgs)");
    println!("cargo:rustc-check-cfg=cfg(bond)");
    println!("cargo:rustc-check-cfg=cfg(type_description)");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ros")]
    {
        r2r_common::print_cargo_watches();
        let wrap = |function: &str| println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
        ["rcl_take", "rcl_subscription_fini"].into_iter().for_each(wrap);
        // The same list that r2r makes its types of.
        let messages = r2r_common::get_wanted_messages();
        let describes_types = |m: &r2r_common::RosMsg| {
            (m.module.as_str(), m.name.as_str()) == ("type_description_interfaces", "GetTypeDescription")
        };
        if messages.iter().any(describes_types) {
            println!("cargo:rustc-cfg=type_description");
            wrap("rcl_node_init");
        }
        for (module, message) in [("yolo_msgs", "DetectionArray"), ("bond", "Status")] {
            if messages.iter().any(|m| m.module == module && m.name == message) {
                println!("cargo:rustc-cfg={module}");
            }
        }
    }
}
