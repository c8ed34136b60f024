//! A whole run, with few jobs: that both sides are measured by the same parts, not how fast they are.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is measured: beside this test, or built now.
fn oxmq() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("oxmq");
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--package", "oxmq-cli"]).status().unwrap();
        assert!(built.success());
    }
    program
}

#[test]
fn both_sides_are_measured_and_compared() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/node_modules/bullmq");
    assert!(
        library.is_dir(),
        "BullMQ is not installed: run `cargo xtask test`, or `npm install` in interop/"
    );
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("all.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq-peers"));
    command.args(["--repetitions", "2", "--scale", "0.002", "--workloads", "W1,W2b,W3c10,bulk1M"]);
    command.args(["--contenders", "bullmq,oxmq-redis,oxmq-power", "--oxmq"]).arg(oxmq());
    let output = command.arg("--dir").arg(folder.path()).arg("--json").arg(&json).output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{noted}");
    for row in ["| W1 | jobs per s |", "| W3c10 | cpu ms per 1000 |", "| bulk1M | clean p99 ms |"] {
        assert!(said.contains(row), "{row}: {said}");
    }
    for target in
        ["| oxmq-redis | W2b | jobs per s | ≥ 3.50x |", "| oxmq-power | W3c10 | jobs per s | ≥ 1.30x |"]
    {
        assert!(said.contains(target), "{target}: {said}");
    }
    let order: Vec<_> = noted.lines().filter(|line| line.contains(" W1 ")).collect();
    let expected = [
        "1/2 W1 bullmq",
        "1/2 W1 oxmq-redis",
        "1/2 W1 oxmq-power",
        "2/2 W1 oxmq-redis",
        "2/2 W1 oxmq-power",
        "2/2 W1 bullmq",
    ];
    assert_eq!(order, expected, "the order rotates");
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(all["records"].as_array().unwrap().len(), 24);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the embedded stores are removed: {left:?}");
}

#[test]
fn what_is_not_installed_is_said_before_anything_is_measured() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq-peers"));
    let output = command.args(["--oxmq", "/nowhere/oxmq"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cargo build --release"), "{said}");
}
