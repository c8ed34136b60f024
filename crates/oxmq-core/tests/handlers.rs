//! A handler of the wrong shape is explained by the compiler.

use std::process::Command;

/// The compiler whose words are recorded beside the programs; others may put them differently.
const RECORDED_WITH: &str = "rustc 1.95";

#[test]
fn wrong_handlers_are_explained() {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(RECORDED_WITH) {
        println!("skipped: the messages are recorded with {RECORDED_WITH}, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/handlers/*.rs");
}
