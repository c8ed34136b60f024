//! `watch`

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Bench, Running};

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

#[test]
fn events_are_read_from_the_start_and_after_an_id() {
    let bench = Bench::with_jobs(&["a"]);
    bench.work_off("echo 7", &[]);
    let events = bench.lines(&["watch", "q", "--from", "start", "--count", "4"]);
    assert_eq!(names(&events), ["added", "waiting", "active", "completed"]);
    assert_eq!((&events[3]["jobId"], &events[3]["returnvalue"]), (&Value::from("a"), &Value::from("7")));
    let after = events[1]["id"].as_str().unwrap();
    assert_eq!(names(&bench.lines(&["watch", "q", "--from", after, "-n", "1"])), ["active"]);
    let text = bench.ok(&["watch", "q", "--from", "start", "-n", "1"]);
    assert!(text.contains("added") && text.contains("jobId=a"), "{text}");
}

#[test]
fn live_events_come_as_they_happen_and_a_reader_that_leaves_is_no_error() {
    let bench = Bench::with_jobs(&["a"]);
    let mut command = bench.command(&["watch", "q", "--json"]);
    let mut watcher = Running::from(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut stderr = BufReader::new(watcher.child.stderr.take().unwrap()).lines();
    assert!(stderr.any(|line| line.unwrap().contains("watching q from now")));
    let mut lines = BufReader::new(watcher.child.stdout.take().unwrap()).lines();
    bench.ok(&["pause", "q"]);
    let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(event["event"], "paused");
    drop(lines);
    bench.ok(&["resume", "q"]);
    assert_eq!(watcher.code(), 0);
    assert_eq!(stderr.next().map(Result::unwrap), None, "a broken pipe is quiet");
}
