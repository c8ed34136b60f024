//! Programs that BullMQ's classes run on one backend and on another: what they wrote down, and where it differs.
//!
//! The programs and recorded scenarios are in `door/`; each prints one line of JSON. Differences that are meant are in
//! `door/differences.json`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::agent::folder;

/// Longer values are cut where a difference is shown, in characters.
const SHOWN_MAX: usize = 4000;

/// How many lines of what a run said are shown.
const SAID_MAX: usize = 20;

/// Notes whose label ends so show a whole state: a difference that stays is told where it appears.
const STATE: &str = ": queues";

/// What a program wrote down, in order.
pub type Notes = Vec<(String, Value)>;

/// What all programs of a run wrote down, and which listed methods none of them called.
#[derive(Debug, Default)]
pub struct Run {
    pub programs: BTreeMap<String, Notes>,
    pub missing: Vec<String>,
    /// The end of what it said on stderr.
    pub said: String,
}

#[derive(Deserialize)]
struct Line {
    program: Option<String>,
    #[serde(default)]
    notes: Notes,
    #[serde(default)]
    missing: Vec<String>,
}

/// The npm package of the door.
fn package() -> PathBuf {
    let package = std::env::var_os("OXMQ_DOOR_PACKAGE").map(PathBuf::from);
    let package = package.unwrap_or_else(|| folder().join("../bindings/node"));
    assert!(
        package.join("dist").is_dir() && package.join("node_modules/bullmq").is_dir(),
        "the npm package of the door is not built in {}: `cargo xtask test` builds it",
        package.display()
    );
    package.canonicalize().unwrap()
}

/// The program `oxmq`, as the workspace's test run builds it, beside the folder of this test.
fn engine() -> PathBuf {
    if let Some(named) = std::env::var_os("OXMQ_BINARY") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().unwrap();
    let program =
        test.parent().and_then(Path::parent).unwrap().join(format!("oxmq{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "-p", "oxmq-cli", "--bin", "oxmq"]).current_dir(folder());
        assert!(build.status().unwrap().success(), "the program oxmq cannot be built");
    }
    assert!(program.is_file(), "there is no {}: build it with `cargo build -p oxmq-cli`", program.display());
    program
}

/// Runs a script of `door/` on a backend.
pub fn run(script: &str, kind: &str, url: &str) -> Run {
    assert!(
        folder().join("node_modules/bullmq/package.json").is_file(),
        "interop/node_modules is missing: `cargo xtask test` installs it"
    );
    let mut command = Command::new("node");
    command.arg(folder().join("door").join(script)).args([kind, url]);
    if kind.starts_with("door-") {
        command.env("OXMQ_DOOR_PACKAGE", package()).env("OXMQ_BINARY", engine());
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start node ({error}): Node 20 or later must be installed"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} on {kind} ended with {}: {told}", output.status);
    let said: Vec<&str> = told.lines().rev().take(SAID_MAX).collect();
    let said = said.into_iter().rev().collect::<Vec<_>>().join("\n");
    let mut run = Run { said, ..Run::default() };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match line.program {
            Some(program) => drop(run.programs.insert(program, line.notes)),
            None => run.missing = line.missing,
        }
    }
    assert!(!run.programs.is_empty(), "{script} on {kind} ran nothing: {told}");
    run
}

/// Differences that are meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// By name, why something differs.
    reasons: BTreeMap<String, String>,
    differences: Vec<Meant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    /// The program or scenario.
    program: String,
    /// The label of the note.
    at: String,
    /// The name of a reason.
    why: String,
    /// On which backends; on all of ours, if there is none.
    on: Option<BTreeSet<String>>,
    /// Exactly these.
    lines: BTreeSet<String>,
}

/// Where `found` differs from `expected`, one line for each place.
fn differences(path: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut BTreeSet<String>) {
    match (expected, found) {
        _ if expected == found => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, old.get(key), new.get(key), lines);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new)))
            if old.len() == new.len() && old.iter().any(|item| item.is_object() || item.is_array()) =>
        {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&format!("{path}[{index}]"), Some(old), Some(new), lines);
            }
        }
        _ => {
            let show = |value: Option<&Value>| {
                let text = value.map_or_else(|| "-".to_owned(), Value::to_string);
                if text.chars().count() <= SHOWN_MAX {
                    text
                } else {
                    text.chars().take(SHOWN_MAX).chain("..".chars()).collect()
                }
            };
            lines.insert(format!("{path}: {} -> {}", show(expected), show(found)));
        }
    }
}

/// All differences of one program, by the label of the note.
fn of_program(expected: &Notes, found: &Notes) -> Vec<(String, BTreeSet<String>)> {
    let mut all = Vec::new();
    let mut standing = HashSet::new();
    for (index, (label, value)) in expected.iter().enumerate() {
        let mut lines = BTreeSet::new();
        match found.get(index) {
            Some((same, other)) if same == label => differences("", Some(value), Some(other), &mut lines),
            Some((other, value)) => {
                all.push((label.clone(), BTreeSet::from([format!("instead of it came: {other} {value}")])));
                return all;
            }
            None => {
                all.push((label.clone(), BTreeSet::from(["it never came".to_owned()])));
                return all;
            }
        }
        if label.ends_with(STATE) && !is_empty(value) {
            let now: HashSet<String> = lines.iter().cloned().collect();
            lines.retain(|line| !standing.contains(line));
            standing = now;
        }
        if !lines.is_empty() {
            all.push((label.clone(), lines));
        }
    }
    if let Some((label, value)) = found.get(expected.len()) {
        all.push((label.clone(), BTreeSet::from([format!("it is too much: {value}")])));
    }
    all
}

/// A step at which nobody looked.
fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Fails unless exactly the differences that are meant are there.
pub fn compare(script: &str, kind: &str, expected: &Run, found: &Run) {
    let table = std::fs::read(folder().join("door/differences.json")).unwrap();
    let table: Table = serde_json::from_slice(&table).unwrap();
    let mut faults = String::new();
    let mut occurred = HashSet::new();
    for (program, notes) in &expected.programs {
        let Some(other) = found.programs.get(program) else {
            writeln!(faults, "{program}: it did not run").unwrap();
            continue;
        };
        for (at, lines) in of_program(notes, other) {
            let meant = table.differences.iter().position(|meant| {
                meant.program == program.as_str() && meant.at == at && meant.applies_to(kind)
            });
            if let Some(index) = meant {
                occurred.insert(index);
                if table.differences[index].lines == lines {
                    continue;
                }
            }
            writeln!(
                faults,
                "{program}, at {at:?}{}:",
                if meant.is_some() { " (another difference is meant)" } else { "" }
            )
            .unwrap();
            for line in lines {
                writeln!(faults, "  {}", Value::from(line)).unwrap();
            }
        }
    }
    for (index, meant) in table.differences.iter().enumerate() {
        assert!(table.reasons.contains_key(&meant.why), "there is no reason {:?}", meant.why);
        let runs = expected.programs.contains_key(&meant.program) && meant.applies_to(kind);
        if runs && !occurred.contains(&index) {
            writeln!(
                faults,
                "{}, at {:?}: the difference that is meant is not there any more",
                meant.program, meant.at
            )
            .unwrap();
        }
    }
    assert!(
        faults.is_empty(),
        "{script}: what programs see on {kind} differs (expected -> found):\n{faults}it said: {}",
        found.said
    );
}

impl Meant {
    fn applies_to(&self, kind: &str) -> bool {
        self.on.as_ref().map_or(kind.starts_with("door-"), |on| on.contains(kind))
    }
}
