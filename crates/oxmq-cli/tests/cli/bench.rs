//! `bench`, with few jobs: that it measures what it says, not how fast.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Bench, Running};

/// Runs a part with nothing on stdin, and gives what it said after `DONE`.
fn part(bench: &Bench, args: &[&str]) -> Value {
    let mut all = vec!["bench"];
    all.extend(args);
    done(&bench.ok(&all))
}

fn done(said: &str) -> Value {
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0] == "START", "{said}");
    serde_json::from_str(lines[1].strip_prefix("DONE ").expect(said)).expect(said)
}

fn number(line: &Value, field: &str) -> f64 {
    line[field].as_f64().unwrap_or_else(|| panic!("{field} is missing: {line}"))
}

#[test]
fn every_part_says_when_it_starts_and_what_it_did() {
    let bench = Bench::new();
    let counts = |bench: &Bench| bench.json(&["counts", "q"]);
    let found = part(&bench, &["add-single", "--queue", "q", "--n", "20", "--warmup", "5"]);
    assert_eq!((&found["n"], &counts(&bench)["waiting"]), (&20.into(), &25.into()));
    assert!(number(&found, "seconds") > 0.0, "{found}");
    let [p50, p90, p99] = ["p50_us", "p90_us", "p99_us"].map(|field| number(&found, field));
    assert!(0.0 < p50 && p50 <= p90 && p90 <= p99, "{found}");
    part(&bench, &["add-concurrent", "--queue", "q", "--n", "25", "--parallel", "10"]);
    part(&bench, &["add-bulk", "--queue", "q", "--n", "30", "--chunk", "20"]);
    assert_eq!(counts(&bench)["waiting"], 80);
    let found =
        part(&bench, &["process", "--queue", "q", "--n", "80", "--concurrency", "10", "--work-ms", "1"]);
    assert_eq!((&found["n"], &counts(&bench)["completed"]), (&80.into(), &80.into()));
    part(&bench, &["latency-producer", "--queue", "q", "--n", "5", "--gap-ms", "1"]);
    let found = part(&bench, &["latency-worker", "--queue", "q", "--n", "5"]);
    assert!(number(&found, "p50_us") > 0.0, "{found}");
    assert_eq!(part(&bench, &["clean", "--queue", "q"])["n"], 85);
    part(&bench, &["add-bulk", "--queue", "q", "--n", "4"]);
    part(&bench, &["process", "--queue", "q", "--n", "4", "--outcome", "fail"]);
    assert_eq!(counts(&bench)["failed"], 4);
    assert_eq!(part(&bench, &["retry", "--queue", "q"])["n"], 4);
    part(&bench, &["hold", "--queue", "q", "--n", "4"]);
    assert_eq!(counts(&bench)["completed"], 4);
    assert_eq!(part(&bench, &["obliterate", "--queue", "q"])["n"], 4);
    part(&bench, &["idle", "--queue", "q", "--queues", "3"]);
}

#[test]
fn chunks_have_delays_or_cycle_through_priorities() {
    let bench = Bench::new();
    part(&bench, &["add-bulk", "--queue", "q", "--n", "5", "--chunk", "2", "--priority", "2"]);
    part(&bench, &["add-bulk", "--queue", "q", "--n", "3", "--delay-ms", "3600000"]);
    let priorities = bench.lines(&["jobs", "q", "--state", "prioritized"]);
    let priorities: Vec<_> = priorities.iter().map(|job| job["opts"]["priority"].clone()).collect();
    assert_eq!(priorities, [1, 1, 1, 2, 2], "two of 1, two of 2, one of 1");
    assert_eq!(bench.json(&["counts", "q"])["delayed"], 3);
}

#[test]
fn a_part_goes_on_until_its_stdin_ends() {
    let bench = Bench::new();
    let mut command = bench.command(&["bench", "idle", "--queue", "q"]);
    let mut running = Running::from(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "START");
    assert!(running.child.try_wait().unwrap().is_none(), "it waits");
    drop(running.child.stdin.take());
    assert!(lines.next().unwrap().unwrap().starts_with("DONE {"));
    assert_eq!(running.code(), 0);
}

#[test]
fn a_contender_finds_its_store_in_the_variables_unless_it_is_told() {
    let bench = Bench::new();
    let add = |store: &[&str]| {
        let mut command = bench.command(&["bench", "add-bulk", "--queue", "q", "--n", "7"]);
        command.args(store).env("BENCH_SQLITE", "other.db").output().unwrap()
    };
    assert!(add(&[]).status.success());
    assert_eq!(bench.json(&["counts", "q", "--store", "sqlite:other.db"])["waiting"], 7);
    assert!(add(&["--store", "sqlite:told.db"]).status.success());
    assert_eq!(bench.json(&["counts", "q", "--store", "sqlite:told.db"])["waiting"], 7);
    let mut command = bench.command(&["bench", "add-bulk", "--queue", "r", "--n", "3"]);
    command.env("BENCH_SQLITE", "unused.db").env("BENCH_REDIS", bench.url());
    assert!(command.output().unwrap().status.success(), "the first of them is any URL");
    assert_eq!(bench.json(&["counts", "r"])["waiting"], 3);
    assert!(!bench.path("unused.db").exists());
}

#[test]
fn every_workload_gives_its_figures() {
    let bench = Bench::new();
    let lines = bench.lines(&["bench", "--workload", "all", "--n", "40"]);
    let names: Vec<_> = lines.iter().map(|line| line["workload"].as_str().unwrap()).collect();
    let expected = [
        "W1",
        "W2c",
        "W2b",
        "W3c1",
        "W3c10",
        "W3c100",
        "W4",
        "W5",
        "W6q1",
        "W6q50",
        "W7b1k",
        "W7b10k",
        "W7b100k",
        "W7b1M",
        "W7delayed100k",
        "W7prio100k",
        "5ms",
        "held1k",
        "bulk1M",
        "1MiB",
    ];
    assert_eq!(names, expected);
    let of = |name: &str| &lines[names.iter().position(|known| *known == name).unwrap()];
    for name in expected {
        let own = match name {
            "W4" => "p99_us",
            // So few jobs may find room in what others have left.
            "W5" => continue,
            "W6q1" | "W6q50" => "peak_rss_mib",
            "5ms" => "percent_of_ideal",
            "held1k" => "percent_of_without",
            "bulk1M" => "clean_jobs_per_s",
            "1MiB" => "peak_rss_mib_few",
            _ => "jobs_per_s",
        };
        assert!(number(of(name), own) > 0.0, "{own}: {}", of(name));
    }
    let redis = bench.url().starts_with("redis");
    assert_eq!(of("W3c100")["server_cpu_ms_per_1000"].is_number(), redis, "{}", of("W3c100"));
    assert_eq!(of("W6q50")["commands_per_s"].is_number(), redis, "{}", of("W6q50"));
    assert_eq!(of("bulk1M")["obliterate_p99_ms"].is_number(), redis, "{}", of("bulk1M"));
    if redis {
        // 50 queues share what waits for work; without that it would be one connection for each of them. (The server is
        // also that of other tests.)
        assert!(number(of("W6q50"), "connections") < 50.0, "{}", of("W6q50"));
    }
    assert!(bench.lines(&["queues"]).is_empty(), "its queues are removed");
}

#[test]
fn memory_is_of_the_jobs_that_are_there() {
    let lines = Bench::new().lines(&["bench", "--workload", "W5", "--n", "1000"]);
    let [waiting, completed] =
        ["bytes_per_waiting", "bytes_per_completed"].map(|field| number(&lines[0], field));
    assert!((100.0..5_000.0).contains(&waiting) && (100.0..5_000.0).contains(&completed), "{lines:?}");
}

#[test]
fn another_program_is_measured_by_the_same_parts() {
    let bench = Bench::new();
    let program = format!("{} bench", env!("CARGO_BIN_EXE_oxmq"));
    let lines =
        bench.lines(&["bench", "--workload", "W1,W3c1", "--n", "30", "--program", &program, "--keep"]);
    let names: Vec<_> = lines.iter().map(|line| line["workload"].as_str().unwrap()).collect();
    assert_eq!(names, ["W1", "W3c1"], "the beginning W3c1 of others is itself a name");
    assert!(lines.iter().all(|line| line["program"] == program.as_str() && line["n"] == 30), "{lines:?}");
    assert_eq!(bench.lines(&["queues"]).len(), 2, "they are kept");
    let stderr = bench.fails(1, &["bench", "--workload", "W1", "--program", "false"]);
    assert!(stderr.contains("W1 failed") && stderr.contains("without the line START"), "{stderr}");
}

#[test]
fn people_get_a_table() {
    let table = Bench::new().ok(&["bench", "--workload", "W1", "--n", "10", "--repeat", "2"]);
    let rows: Vec<_> = table.lines().filter(|line| line.contains("W1")).collect();
    assert!(rows.len() == 2 && table.contains("jobs/s"), "{table}");
}

#[test]
fn an_unknown_workload_is_named() {
    let stderr = Bench::new().fails(6, &["bench", "--workload", "W9"]);
    assert!(stderr.contains("`workload` is W9") && stderr.contains("W3c100"), "{stderr}");
}
