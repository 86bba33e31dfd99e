//! Sets a `cfg` for each optional message package that is sourced, because r2r then generates its types: `yolo_msgs` for
//! the detections of yolo_ros, `bond` for the heartbeat that Nav2's lifecycle manager expects,
//! `foxglove_msgs` for annotations on images, and `type_description_interfaces` (since ROS 2 Iron) for `~/get_type_description`.
//! Also wraps functions of rcl: the linker replaces calls of `rcl_take` with calls of `__wrap_rcl_take`, which `src/native`
//! defines, and so on.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(yolo_msgs)");
    println!("cargo:rustc-check-cfg=cfg(bond)");
    println!("cargo:rustc-check-cfg=cfg(foxglove_msgs)");
    println!("cargo:rustc-check-cfg=cfg(type_description)");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ros")]
    {
        r2r_common::print_cargo_watches();
        let wrap = |function: &str| println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
        ["rcl_take", "rcl_subscription_fini"].into_iter().for_each(wrap);
        // r2r generates its types from the same list.
        let messages = r2r_common::get_wanted_messages();
        let describes_types = |m: &r2r_common::RosMsg| {
            (m.module.as_str(), m.name.as_str()) == ("type_description_interfaces", "GetTypeDescription")
        };
        if messages.iter().any(describes_types) {
            println!("cargo:rustc-cfg=type_description");
            wrap("rcl_node_init");
        }
        let optional = [("yolo_msgs", "DetectionArray"), ("bond", "Status"), ("foxglove_msgs", "ImageAnnotations")];
        for (module, message) in optional {
            if messages.iter().any(|m| m.module == module && m.name == message) {
                println!("cargo:rustc-cfg={module}");
            }
        }
    }
}
