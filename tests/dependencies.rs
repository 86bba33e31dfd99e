//! Checks the licences and sources of all dependencies against deny.toml, without an additional tool (`./dev deny` also
//! checks bans and security advisories), and that only one module allows `unsafe` code.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Returns the strings of a list in deny.toml.
fn list(name: &str) -> Vec<String> {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let line = file.lines().find(|l| l.starts_with(&format!("{name} = ["))).unwrap();
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns whether the list allows an SPDX expression such as `(MIT OR Apache-2.0) AND Unicode-3.0`. Old crates write `/`
/// for OR.
fn allowed(licence: &str, list: &[String]) -> bool {
    let is_listed = |name: &str| list.iter().any(|l| l == name.trim());
    let is_allowed = |choice: &str| choice.replace('/', " OR ").trim_matches(['(', ')']).split(" OR ").any(is_listed);
    licence.split(" AND ").all(is_allowed)
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
    // The resolved packages, which are built on this platform.
    let built: Vec<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().filter_map(|n| n["id"].as_str()).collect();
    let (licences, registries) = (list("allow"), list("allow-registry"));
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        if !built.contains(&text("id")) || package["source"].is_null() {
            continue; // a package of another platform, or of this repository
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
fn spdx_expressions_are_evaluated() {
    let list = ["MIT", "Apache-2.0"].map(str::to_owned);
    for yes in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND Apache-2.0"] {
        assert!(allowed(yes, &list), "{yes}");
    }
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "MITx"] {
        assert!(!allowed(no, &list), "{no}");
    }
}

#[test]
fn only_the_native_module_allows_unsafe_code() {
    let mut allowed = Vec::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && std::fs::read_to_string(&path).unwrap().contains("allow(unsafe_code)")
            {
                allowed.push(path);
            }
        }
    }
    assert_eq!(allowed, [Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/native/mod.rs"))]);
}
