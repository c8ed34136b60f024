//! Instruction counts (`benches/counts`), compared with those that are checked in. Valgrind makes them; without it there are
//! none, and that is no failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cargo, root, run, say};

/// More than this, in percent, is worth a look.
const DRIFT: f64 = 2.0;
/// Where the counts are kept.
const BASELINE: &str = "benches/counts/baseline.txt";

/// Counts, and shows how far each is from the baseline, or makes them the baseline.
pub(crate) fn bench(save: bool) -> Result<()> {
    if !crate::servers::answers("valgrind", &["--version"]) {
        say("xtask: no instruction counts: valgrind is not installed (Debian: apt-get install valgrind)");
        return Ok(());
    }
    let runner = install_runner()?;
    let mut bench = cargo(&["bench", "--package", "oxmq-counts", "--bench", "counts"]);
    bench.env("GUNGRAUN_RUNNER", runner).env("GUNGRAUN_COLOR", "never").env("GUNGRAUN_OUTPUT_FORMAT", "json");
    bench.stderr(Stdio::inherit());
    say("xtask: counting instructions");
    let output = bench.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("the benches failed ({}): {text}", output.status);
    }
    let counts = read_counts(&text)?;
    let file = root().join(BASELINE);
    if save {
        let lines: String = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        std::fs::write(&file, lines).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("xtask: {} counts are in {BASELINE}", counts.len()));
        return Ok(());
    }
    let baseline =
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    say(&compare(&counts, &read_baseline(&baseline)?));
    Ok(())
}

/// The runner of the version that the lock file has, in the build folder; installed if it is not there.
fn install_runner() -> Result<std::path::PathBuf> {
    let locked = std::fs::read_to_string(root().join("Cargo.lock")).context("Cargo.lock is missing")?;
    let version = locked_version(&locked).context("Cargo.lock has no gungraun")?;
    let tools = root().join("target/tools");
    let runner = tools.join("bin/gungraun-runner");
    let list = std::fs::read_to_string(tools.join(".crates.toml")).unwrap_or_default();
    if !(runner.is_file() && list.contains(&format!("gungraun-runner {version} "))) {
        let mut install = cargo(&["install", "--locked", "gungraun-runner", "--version"]);
        install.arg(format!("={version}")).arg("--root").arg(&tools);
        run(install)?;
    }
    Ok(runner)
}

/// The version of gungraun in a lock file.
fn locked_version(lock: &str) -> Option<&str> {
    let (_, rest) = lock.split_once("name = \"gungraun\"\nversion = \"")?;
    rest.split('"').next()
}
