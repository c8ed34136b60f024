//! Our cron module against npm's cron-parser, which BullMQ asks: expressions that are drawn.
//!
//! | variable | means | default |
//! | --- | --- | --- |
//! | `OXMQ_CRON_CASES` | how many expressions are drawn | 500 |
//! | `OXMQ_CRON_SEED` | what they are drawn from; `random`: another seed each time, which is printed | 20261129 |
//! | `OXMQ_CRON_ZONES` | `all`: every zone that Node knows; all of three years in 53 zones | some 40; 5 |
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test panics when something is wrong, and says what it did"
)]

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use oxmq_core::schedule::{Cron, Zone};
use oxmq_core::{ErrorKind, Result, Timestamp};
use oxmq_interop::agent;
use serde_json::Value;

/// It gave up its search.
const GAVE_UP: &str = "Invalid expression, loop limit exceeded";

/// Zones with changes that are no whole hour of the clock, or are longer. There cron-parser loses and doubles times at the
/// change, so the days of the change are not compared.
const ODD_ZONES: [&str; 4] =
    ["Antarctica/Casey", "Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Chatham"];

/// What `node/cron.mjs` prints, line by line.
fn node(args: &[&str]) -> Vec<Value> {
    let output =
        Command::new("node").arg(agent::folder().join("node/cron.mjs")).args(args).output().unwrap_or_else(
            |error| panic!("cannot start node ({error}): Node 20 or later must be installed"),
        );
    assert!(output.status.success(), "node: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn times(case: &Value) -> Vec<i64> {
    case["next"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap()).collect()
}

/// Our own answer.
fn ask(case: &Value, count: usize) -> Result<Vec<i64>> {
    let zone = Zone::named(case["tz"].as_str().unwrap())?;
    let pattern = case["pattern"].as_str().unwrap();
    let cron = match case["seed"].as_str() {
        Some(seed) => Cron::parse_seeded(pattern, seed)?,
        None => Cron::parse(pattern)?,
    };
    let from = Timestamp::from_millis(case["from"].as_i64().unwrap());
    let times = std::iter::successors(Some(from), |now| cron.next_after(*now, &zone)).skip(1);
    Ok(times.take(count).map(Timestamp::as_millis).collect())
}

fn variable(name: &str, default: impl FnOnce() -> String) -> String {
    env::var(name).unwrap_or_else(|_| default())
}

#[test]
fn random_expressions_are_due_when_cron_parser_says() {
    let count = variable("OXMQ_CRON_CASES", || "500".to_owned());
    // The same expressions each time, unless told otherwise: a new difference is found by who looks for it, with `--all`.
    let seed = match variable("OXMQ_CRON_SEED", || "20261129".to_owned()) {
        random if random == "random" => fastrand::u32(..).to_string(),
        seed => seed,
    };
    let zones = variable("OXMQ_CRON_ZONES", String::new);
    eprintln!("OXMQ_CRON_SEED={seed} OXMQ_CRON_CASES={count} OXMQ_CRON_ZONES={zones}");
    let cases = node(&["random", &seed, &count, &zones]);
    assert_eq!(cases.len().to_string(), count);

    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let theirs = times(case);
        let ours = ask(case, theirs.len().max(6));
        let (kind, right) = match case["error"].as_str() {
            _ if ours.as_ref().is_err_and(|error| error.kind() != ErrorKind::Invalid) => ("broken", false),
            Some(GAVE_UP) => {
                ("given up there", ours.as_ref().map_or(theirs.is_empty(), |ours| ours.starts_with(&theirs)))
            }
            Some(_) => ("refused", ours.is_err()),
            None if ODD_ZONES.contains(&case["tz"].as_str().unwrap()) => ("odd zone", ours.is_ok()),
            None => ("times", ours.as_ref().is_ok_and(|ours| *ours == theirs)),
        };
        *tally.entry(kind).or_default() += 1;
        if !right {
            wrong.push(format!("{case}\n  ours: {ours:?}"));
        }
    }
    eprintln!("{tally:?}");
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Patterns with times at which clocks are changed, and days that not every month has. Nothing near midnight on its own:
/// what cron-parser says there depends on when it is asked.
const PATTERNS: [&str; 3] = ["30 2 * * *", "15 3 L * *", "20 0,23 * * MON-FRI,SUN"];

/// All runs of three years, one after the other as cron-parser has them.
#[test]
fn three_years_of_runs_are_those_of_cron_parser() {
    let all = variable("OXMQ_CRON_ZONES", String::new) == "all";
    // cron-parser needs half a second for each thousand runs.
    let zones: Vec<&str> = ZONES.split_whitespace().take(if all { usize::MAX } else { 5 }).collect();
    let mut count = 0;
    for pattern in PATTERNS {
        for case in node(&[&["years", pattern], zones.as_slice()].concat()) {
            let theirs = times(&case);
            let ours = ask(&case, theirs.len() + 1).unwrap();
            let until = case["until"].as_i64().unwrap();
            let ours: Vec<i64> = ours.into_iter().filter(|time| *time <= until).collect();
            let at = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
            assert_eq!(at.map(|at| (ours[at], theirs[at])), None, "{pattern} {}", case["tz"]);
            assert_eq!(ours.len(), theirs.len(), "{pattern} {}", case["tz"]);
            count += ours.len();
        }
    }
    eprintln!("{count} runs in {} zones", zones.len());
    assert!(count > zones.len() * 3 * 365 * 2, "{count}");
}

/// Not the odd zones.
const ZONES: &str = "
    Europe/Stockholm America/Havana Africa/Cairo America/New_York Australia/Sydney UTC Africa/Casablanca Africa/Johannesburg Africa/Lagos Africa/Nairobi America/Anchorage America/Asuncion
    America/Bogota America/Caracas America/Chicago America/Denver America/Halifax America/Los_Angeles
    America/Mexico_City America/Miquelon America/Nuuk America/Phoenix America/Port-au-Prince
    America/Santiago America/Sao_Paulo America/St_Johns America/Toronto Antarctica/McMurdo Asia/Beirut Asia/Dhaka
    Asia/Dubai Asia/Gaza Asia/Jerusalem Asia/Karachi Asia/Kathmandu Asia/Kolkata Asia/Shanghai Asia/Tehran Asia/Tokyo
    Atlantic/Azores Atlantic/Reykjavik Australia/Adelaide Australia/Brisbane Australia/Eucla
    Europe/Athens Europe/Chisinau Europe/Dublin Europe/Kyiv Europe/Lisbon Europe/London Pacific/Apia
    Pacific/Auckland Pacific/Norfolk
";
