//! Steering: retry, promote, remove, cancel, pause, resume, drain, clean, obliterate.

use serde_json::json;

use crate::support::{Bench, eventually};

#[test]
fn failed_jobs_run_again_one_or_all() {
    let bench = Bench::with_jobs(&["a", "b", "c"]);
    bench.work_off("exit 1", &[]);
    bench.fails(4, &["retry", "q", "a", "--state", "completed"]);
    assert_eq!(bench.json(&["retry", "q", "a"]), json!({ "id": "a", "retried": 1 }));
    assert_eq!(bench.state("a"), "waiting");
    bench.fails(4, &["retry", "q", "a"]);
    assert_eq!(bench.json(&["retry", "q", "--all"]), json!({ "retried": 2 }));
    bench.work_off("true", &[]);
    assert_eq!(bench.json(&["counts", "q"])["completed"], 3);
    assert_eq!(bench.json(&["retry", "q", "--all", "--state", "completed"]), json!({ "retried": 3 }));
    let stderr = bench.fails(6, &["retry", "q", "a", "--state", "waiting"]);
    assert!(stderr.contains("`state` is waiting"), "{stderr}");
    bench.fails(2, &["retry", "q"]);
    bench.fails(2, &["retry", "q", "a", "--all"]);
}

#[test]
fn delayed_jobs_run_now_one_or_all() {
    let bench = Bench::new();
    for id in ["a", "b", "c"] {
        bench.ok(&["add", "q", "job", "--id", id, "--delay", "1h"]);
    }
    assert!(bench.ok(&["promote", "q", "a"]).contains("can run now"));
    bench.fails(4, &["promote", "q", "a"]);
    assert_eq!(bench.json(&["promote", "q", "--all"]), json!({ "promoted": 2 }));
    assert_eq!(bench.json(&["counts", "q"])["waiting"], 3);
}

#[test]
fn jobs_are_removed_each_by_itself() {
    let bench = Bench::with_jobs(&["a", "b"]);
    let ran = bench.run(&["remove", "q", "a", "nobody", "b", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.stdout.matches("\"removed\"").count(), 2, "{ran:?}");
    assert_eq!(ran.stdout.matches("\"not found\"").count(), 1, "{ran:?}");
    assert_eq!(bench.json(&["counts", "q"])["waiting"], 0);
}

#[test]
fn a_waiting_job_is_cancelled_at_once() {
    let bench = Bench::with_jobs(&["a"]);
    assert_eq!(bench.json(&["cancel", "q", "a", "--reason", "not needed"])["answer"], "cancelled");
    let job = bench.job("a");
    assert_eq!((&job["state"], &job["failedReason"]), (&json!("failed"), &json!("cancelled: not needed")));
    let stderr = bench.fails(4, &["cancel", "q", "a"]);
    assert!(stderr.contains("ended already"), "{stderr}");
}

#[test]
fn a_running_job_is_cancelled_by_its_worker_and_cannot_be_removed_before() {
    let bench = Bench::with_jobs(&["a"]);
    let _worker = bench.worker("trap 'echo bye >&2; exit 0' TERM; sleep 60 & wait", &["--name", "w1"]);
    eventually("the job runs", || (bench.state("a") == "active").then_some(()));
    bench.fails(4, &["remove", "q", "a"]);
    let answer = bench.json(&["cancel", "q", "a", "--reason", "enough"]);
    assert_eq!(answer, json!({ "id": "a", "answer": "requested", "worker": "w1" }));
    eventually("the job has failed", || (bench.state("a") == "failed").then_some(()));
    assert!(bench.job("a")["failedReason"].as_str().unwrap().contains("enough"));
    assert_eq!(bench.ok(&["logs", "q", "a"]), "bye\n");
}

#[test]
fn a_paused_queue_gives_nothing_until_it_is_resumed() {
    let bench = Bench::with_jobs(&["a"]);
    assert!(bench.ok(&["pause", "q"]).contains("q is paused"));
    let mut worker = bench.worker("true", &["--until-drained"]);
    eventually("a worker listens", || (!bench.lines(&["workers", "q"]).is_empty()).then_some(()));
    assert_eq!(bench.state("a"), "waiting");
    bench.ok(&["resume", "q"]);
    assert_eq!(worker.code(), 0);
    assert_eq!(bench.state("a"), "completed");
}

#[test]
fn draining_takes_what_waits_and_the_delayed_if_asked() {
    let bench = Bench::with_jobs(&["a", "b"]);
    bench.ok(&["add", "q", "job", "--delay", "1h"]);
    assert_eq!(bench.json(&["drain", "q"]), json!({ "removed": 2 }));
    assert_eq!(bench.json(&["drain", "q", "--delayed"]), json!({ "removed": 1 }));
}

#[test]
fn cleaning_takes_old_jobs_of_one_state() {
    let bench = Bench::with_jobs(&["a", "b", "c"]);
    bench.work_off("true", &[]);
    let clean = |args: &[&str]| {
        let mut all = vec!["clean", "q", "--state", "completed", "--older-than"];
        all.extend(args);
        bench.json(&all)["removed"].clone()
    };
    assert_eq!(clean(&["1h"]), 0);
    assert_eq!(clean(&["0", "--limit", "2"]), 2);
    assert_eq!(clean(&["0"]), 1);
    bench.fails(2, &["clean", "q", "--older-than", "0"]);
}

#[test]
fn obliterating_wants_a_yes_and_force_for_active_jobs() {
    let bench = Bench::with_jobs(&["a", "b"]);
    bench.fails(2, &["obliterate", "q"]);
    let worker = bench.worker("sleep 60", &[]);
    eventually("the job runs", || (bench.state("a") == "active").then_some(()));
    bench.fails(4, &["obliterate", "q", "--yes"]);
    assert_eq!(bench.json(&["counts", "q"])["paused"], true);
    drop(worker);
    bench.ok(&["obliterate", "q", "--yes", "--force"]);
    assert_eq!(bench.json(&["add", "q", "job"])["id"], "1");
}
