//! The npm packages: those that the tests need, and ours (`bindings/node`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, root, run};

/// The interop tests talk to BullMQ itself.
pub(crate) fn install_bullmq() -> Result<()> {
    install(&root().join("interop"))
}

/// Builds our package, which tests of other folders import, too.
pub(crate) fn build() -> Result<()> {
    install(&package())?;
    run(npm(&package(), &["run", "--silent", "build"]))
}

/// Runs the tests of our package with the program `oxmq` of this tree.
pub(crate) fn test() -> Result<()> {
    // With the features of all other tests, so that nothing is compiled twice.
    run(cargo(&["build", "--workspace", "--all-features", "--bins"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let binary = root().join(target).join("debug").join(format!("oxmq{}", std::env::consts::EXE_SUFFIX));
    if !binary.exists() {
        bail!("there is no {} after the build", binary.display());
    }
    let mut tests = npm(&package(), &["test", "--silent"]);
    tests.env("OXMQ_BINARY", binary);
    run(tests)
}

/// Installs what a package needs, unless that was done since its lock file changed. Not by `npm ci`, which refuses a lock file
/// in which an optional package of another platform is not named.
fn install(folder: &Path) -> Result<()> {
    let changed = |file: &str| std::fs::metadata(folder.join(file)).and_then(|found| found.modified());
    // npm writes the first of these at the end of every installation.
    let installed = changed("node_modules/.package-lock.json").ok();
    let locked = changed("package-lock.json")
        .with_context(|| format!("{} is missing", folder.join("package-lock.json").display()))?;
    if installed.is_some_and(|installed| installed >= locked) {
        return Ok(());
    }
    run(npm(folder, &["install", "--no-save", "--ignore-scripts"]))
        .context("the tests need Node 20 or later with npm (Debian: apt-get install nodejs npm)")
}

fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(arguments).current_dir(folder);
    npm
}

fn package() -> PathBuf {
    root().join("bindings/node")
}
