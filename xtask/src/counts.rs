//! Instruction counts (`benches/counts`), compared with those that are checked in. Valgrind makes them; without it there are
//! none, and that is no failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cargo, root, run, say, servers};

/// More than this, in percent, is worth a look.
const DRIFT: f64 = 2.0;
/// Where the counts are kept: the compiler, then a line for each.
const BASELINE: &str = "benches/counts/baseline.txt";

/// Counts by name.
type Counts = BTreeMap<String, u64>;

/// Counts, and shows how far each is from the baseline, or makes them the baseline.
pub(crate) fn bench(save: bool) -> Result<()> {
    if !servers::answers("valgrind", &["--version"]) {
        say("xtask: no instruction counts: valgrind is not installed (Debian: apt-get install valgrind)");
        return Ok(());
    }
    let runner = install_runner()?;
    let mut bench = cargo(&["bench", "--package", "oxmq-counts", "--bench", "counts"]);
    bench.env("GUNGRAUN_RUNNER", runner).env("GUNGRAUN_OUTPUT_FORMAT", "json").stderr(Stdio::inherit());
    say("xtask: counting instructions");
    let output = bench.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the benches failed ({}): {text}", output.status);
    let (counts, compiler) = (read_counts(&text)?, compiler()?);
    let file = root().join(BASELINE);
    if save {
        let lines: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        std::fs::write(&file, format!("{compiler}\n{}\n", lines.join("\n")))
            .with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("xtask: {} counts are in {BASELINE}", counts.len()));
        return Ok(());
    }
    let baseline =
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let (of_compiler, lines) = baseline.split_once('\n').unwrap_or_default();
    if of_compiler != compiler {
        say(&format!("xtask: the baseline is of {of_compiler}, these are of {compiler}"));
    }
    say(&comparison(&counts, &read_baseline(lines)?));
    Ok(())
}

/// What the runner prints: a line of JSON for each bench.
fn read_counts(text: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let bench: Value = serde_json::from_str(line).context("the runner does not print JSON")?;
        let part = |name: &str| bench.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = bench.pointer("/profiles/0/data/total/metrics/Ir/values/new").and_then(Value::as_u64);
        let name = format!("{}.{}", part("function_name"), part("id"));
        counts.insert(name, count.with_context(|| format!("the runner gives no count: {line}"))?);
    }
    ensure!(!counts.is_empty(), "the runner has counted nothing: {text}");
    Ok(counts)
}

/// `name count`, a line for each.
fn read_baseline(lines: &str) -> Result<Counts> {
    let read = |line: &str| {
        let (name, count) = line.split_once(' ').context("a line is no name and count")?;
        Ok((name.to_owned(), count.parse().with_context(|| format!("{name} has no count"))?))
    };
    lines.lines().map(read).collect()
}

/// A line for each count, and which of them are far from the baseline.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn comparison(counts: &Counts, baseline: &Counts) -> String {
    let mut text = String::new();
    let mut far = 0;
    for (name, count) in counts {
        // Writing to a String cannot fail.
        let _ = match baseline.get(name) {
            Some(before) => {
                let drift = (*count as f64 - *before as f64) * 100.0 / *before as f64;
                let is_far = drift.abs() > DRIFT;
                far += u32::from(is_far);
                writeln!(text, "{name:<28} {count:>12} {drift:>+8.2} %{}", if is_far { "  <--" } else { "" })
            }
            None => writeln!(text, "{name:<28} {count:>12}      new"),
        };
    }
    for name in baseline.keys().filter(|name| !counts.contains_key(*name)) {
        let _ = writeln!(text, "{name:<28} is gone");
    }
    let _ = match far {
        0 => write!(text, "none is more than {DRIFT} % from the baseline"),
        far => write!(
            text,
            "{far} more than {DRIFT} % from the baseline: if that is meant, `cargo xtask bench --save`"
        ),
    };
    text
}

/// The compiler, as it names itself, without its date.
fn compiler() -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).arg("--version").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split(" (").next().unwrap_or_default().trim().to_owned())
}

/// The runner of the version that the lock file has, in the build folder; installed if it is not there.
fn install_runner() -> Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_the_runner_are_read() {
        let line = |name: &str, count: u64| {
            let values = format!(r#"{{"metrics":{{"Ir":{{"values":{{"new":{count},"old":1}}}}}}}}"#);
            format!(r#"{{"function_name":"{name}","id":"a","profiles":[{{"data":{{"total":{values}}}}}]}}"#)
        };
        let text = format!("other output\n{}\n{}\n", line("x", 5), line("y", 7));
        let counts = read_counts(&text).unwrap();
        assert_eq!(counts, Counts::from([("x.a".into(), 5), ("y.a".into(), 7)]));
        assert!(read_counts("nothing\n").is_err());
        assert!(read_counts(r#"{"function_name":"x"}"#).is_err());
    }

    #[test]
    fn only_what_is_far_from_the_baseline_is_marked() {
        let baseline = read_baseline("far 100\ngone 1\nnear 100\n").unwrap();
        let counts = Counts::from([("far".into(), 103), ("near".into(), 102), ("fresh".into(), 9)]);
        let text = comparison(&counts, &baseline);
        let marked: Vec<_> = text.lines().filter(|line| line.ends_with("<--")).collect();
        assert!(
            marked.len() == 1 && marked[0].starts_with("far ") && marked[0].contains("+3.00 %"),
            "{text}"
        );
        assert!(text.contains("gone") && text.contains("new") && text.contains("1 more than 2 %"), "{text}");
        assert!(read_baseline("x\n").is_err());
    }

    #[test]
    fn the_version_is_the_one_of_the_lock_file() {
        let lock = "[[package]]\nname = \"gungraun-macros\"\nversion = \"0.10.0\"\n\n[[package]]\nname = \"gungraun\"\nversion = \"0.20.0\"\n";
        assert_eq!(locked_version(lock), Some("0.20.0"));
        assert_eq!(locked_version(""), None);
    }
}
