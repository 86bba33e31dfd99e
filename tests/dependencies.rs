//! What deny.toml says of licences and sources, checked on every test run, without a tool to install. `./dev deny` checks
//! the rest too: bans and security advisories. And where `unsafe` may stand, which the compiler denies elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The texts of a list in deny.toml.
fn list(name: &str) -> Vec<String> {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let line = file.lines().find(|l| l.starts_with(&format!("{name} = ["))).unwrap();
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// SPDX, as far as crates use it: `(MIT OR Apache-2.0) AND Unicode-3.0`; `/` is an old way to write OR.
fn allowed(licence: &str, list: &[String]) -> bool {
    let one = |name: &str| list.iter().any(|l| l == name.trim());
    let any = |choice: &str| choice.replace('/', " OR ").trim_matches(['(', ')']).split(" OR ").any(one);
    licence.split(" AND ").all(any)
}

#[test]
fn licences_and_sources_of_all_dependencies_are_allowed() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--all-features"])
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    // What is built: the resolved ones, for this platform.
    let built: Vec<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().filter_map(|n| n["id"].as_str()).collect();
    let (licences, registries) = (list("allow"), list("allow-registry"));
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        if !built.contains(&text("id")) || package["source"].is_null() {
            continue; // of another platform, or our own
        }
        if !allowed(text("license"), &licences) {
            wrong.push(format!("{} {}: licence {:?}", text("name"), text("version"), text("license")));
        }
        if !registries.iter().any(|r| text("source") == format!("registry+{r}")) {
            wrong.push(format!("{} {}: from {}", text("name"), text("version"), text("source")));
        }
    }
    assert!(built.len() > 100, "{} packages", built.len());
    assert!(wrong.is_empty(), "deny.toml does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn licences_are_read_as_written() {
    let list = ["MIT", "Apache-2.0"].map(str::to_owned);
    for yes in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND Apache-2.0"] {
        assert!(allowed(yes, &list), "{yes}");
    }
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "MITx"] {
        assert!(!allowed(no, &list), "{no}");
    }
}

#[test]
fn unsafe_code_is_in_one_module() {
    let mut allowed = Vec::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains("allow(unsafe_code)") {
                allowed.push(path);
            }
        }
    }
    assert_eq!(allowed, [Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/native/mod.rs"))]);
}
