//! Our cron module against what npm's cron-parser said: `fixtures/cron.jsonl`, which `interop/node/cron.mjs fixture` made.
//! New random cases are in `interop/tests/cron.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use oxmq_core::Timestamp;
use oxmq_core::schedule::{Cron, Zone};
use serde::Deserialize;

/// One line: what was asked, and what cron-parser said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    pattern: String,
    seed: Option<String>,
    tz: String,
    from: i64,
    next: Vec<i64>,
    error: Option<String>,
}

/// It gave up its search.
const GAVE_UP: &str = "Invalid expression, loop limit exceeded";

fn cases() -> Vec<Case> {
    let lines = include_str!("fixtures/cron.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Our answer: the times, or the error's text.
fn ask(case: &Case, count: usize) -> Result<Vec<i64>, String> {
    let zone = Zone::named(&case.tz).map_err(|error| error.to_string())?;
    let cron = match &case.seed {
        Some(seed) => Cron::parse_seeded(&case.pattern, seed),
        None => Cron::parse(&case.pattern),
    };
    let cron = cron.map_err(|error| error.to_string())?;
    let mut now = Timestamp::from_millis(case.from);
    let mut times = Vec::new();
    while times.len() < count
        && let Some(next) = cron.next_after(now, &zone)
    {
        assert!(next > now, "{case:?}: {next} is not after {now}");
        times.push(next.as_millis());
        now = next;
    }
    Ok(times)
}

#[test]
fn the_times_are_those_of_cron_parser() {
    let (mut timed, mut refused, mut gave_up) = (0, 0, 0);
    let mut wrong = Vec::new();
    for case in cases() {
        let ours = ask(&case, 6);
        let right = match case.error.as_deref() {
            None => {
                timed += 1;
                ours.as_ref() == Ok(&case.next)
            }
            Some(GAVE_UP) => {
                gave_up += 1;
                // As far as it came; a date that never comes is refused here.
                ours.as_ref().map_or(case.next.is_empty(), |ours| ours.starts_with(&case.next))
            }
            Some(_) => {
                refused += 1;
                ours.is_err()
            }
        };
        if !right {
            wrong.push(format!("{case:?}\n  ours: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(timed > 1200 && refused > 100 && gave_up > 0, "{timed} {refused} {gave_up}");
}
