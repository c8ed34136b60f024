//! Looking: jobs, job, logs, counts, queues, workers.

use serde_json::json;

use crate::support::{Bench, eventually};

#[test]
fn counts_are_one_flat_object_with_bullmqs_names() {
    let bench = Bench::with_jobs(&["a", "b"]);
    bench.ok(&["add", "q", "job", "--priority", "1"]);
    bench.ok(&["add", "q", "job", "--delay", "1h"]);
    bench.ok(&["pause", "q"]);
    let expected = json!({
        "waiting": 2, "prioritized": 1, "delayed": 1, "active": 0, "waiting-children": 0, "completed": 0, "failed": 0,
        "paused": true,
    });
    assert_eq!(bench.json(&["counts", "q"]), expected);
    let ran = bench.run(&["counts", "q"]);
    assert!(ran.stdout.contains("waiting") && ran.stdout.contains("is paused"), "{ran:?}");
    assert!(ran.stderr.contains("no worker listens to q"), "{ran:?}");
    assert_eq!(bench.json(&["counts", "never-named"])["waiting"], 0);
}

#[test]
fn jobs_come_page_by_page_in_either_direction() {
    let bench = Bench::with_jobs(&["a", "b", "c"]);
    let ids = |args: &[&str]| -> Vec<String> {
        let mut all = vec!["jobs", "q", "--state", "waiting"];
        all.extend(args);
        bench.lines(&all).iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]), ["a", "b", "c"]);
    assert_eq!(ids(&["--desc", "--limit", "2"]), ["c", "b"]);
    assert_eq!(ids(&["--offset", "1", "--limit", "1"]), ["b"]);
    let table = bench.ok(&["jobs", "q"]);
    assert!(["id", "name", "state", "a", "b", "c"].iter().all(|word| table.contains(word)), "{table}");
    let none = bench.run(&["jobs", "q", "--state", "failed,completed"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("no jobs (failed, completed)"), "{none:?}");
    let stderr = bench.fails(2, &["jobs", "q", "--state", "sleeping"]);
    assert!(stderr.contains("sleeping") && stderr.contains("waiting-children"), "{stderr}");
}

#[test]
fn a_job_that_is_not_there_has_its_own_exit_code() {
    let bench = Bench::with_jobs(&["a"]);
    for verb in ["job", "logs", "retry", "promote", "remove", "cancel"] {
        let stderr = bench.fails(3, &[verb, "q", "nobody"]);
        assert!(stderr.contains("nobody") || stderr.contains("no such job"), "{verb}: {stderr}");
    }
}

#[test]
fn a_finished_job_tells_its_story() {
    let bench = Bench::with_jobs(&["a"]);
    bench.work_off("echo one >&2; echo two >&2; echo '{\"sum\": 3}'", &["--name", "tester"]);
    let job = bench.job("a");
    assert_eq!((&job["state"], &job["returnvalue"]), (&json!("completed"), &json!({ "sum": 3 })));
    assert_eq!((&job["processedBy"], &job["attemptsStarted"]), (&json!("tester"), &json!(1)));
    assert_eq!(bench.ok(&["logs", "q", "a"]), "one\ntwo\n");
    assert_eq!(bench.lines(&["logs", "q", "a", "--desc", "--limit", "1"]), [json!("two")]);
    let text = bench.ok(&["job", "q", "a"]);
    assert!(text.contains("state       completed") && text.contains("tester"), "{text}");
}

#[test]
fn queues_are_listed_with_what_is_to_do() {
    let bench = Bench::with_jobs(&["a"]);
    bench.ok(&["add", "mail", "job"]);
    bench.ok(&["pause", "mail"]);
    let queues = bench.lines(&["queues"]);
    assert_eq!(queues.len(), 2, "{queues:?}");
    assert_eq!((&queues[0]["queue"], &queues[0]["paused"]), (&json!("mail"), &json!(true)));
    assert_eq!((&queues[1]["queue"], &queues[1]["unfinished"]), (&json!("q"), &json!(1)));
    let table = bench.ok(&["queues"]);
    assert!(table.contains("none listens") && table.contains("paused"), "{table}");
}

#[test]
fn a_worker_is_listed_while_it_listens() {
    let bench = Bench::with_jobs(&["a"]);
    let ran = bench.run(&["workers", "q"]);
    assert!(ran.stderr.contains("no worker listens to q"), "{ran:?}");
    let mut worker = bench.worker("true", &["--name", "w1", "--concurrency", "3"]);
    let workers = eventually("a worker listens", || {
        Some(bench.lines(&["workers", "q"])).filter(|workers| !workers.is_empty())
    });
    assert_eq!((&workers[0]["name"], &workers[0]["concurrency"]), (&json!("w1"), &json!(3)));
    assert_eq!(workers[0]["pid"], worker.child.id());
    assert!(bench.ok(&["workers", "q"]).contains("w1"));
    let ran = bench.run(&["add", "q", "job"]);
    assert!(!ran.stderr.contains("no worker listens"), "{ran:?}");
    worker.signal("TERM");
    assert_eq!(worker.code(), 0);
    assert!(bench.lines(&["workers", "q"]).is_empty());
}
