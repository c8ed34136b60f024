//! Stopping `work`, gently and otherwise: nothing is lost.

use serde_json::json;

use crate::support::{Bench, eventually};

#[test]
fn sigterm_lets_running_jobs_finish_and_takes_no_more() {
    let bench = Bench::with_jobs(&["a", "b"]);
    let mut worker = bench.worker("touch running; until [ -e go ]; do sleep 0.05; done; echo ok", &[]);
    eventually("the job runs", || bench.path("running").exists().then_some(()));
    worker.signal("TERM");
    worker.wait_for("stopping");
    std::fs::write(bench.path("go"), "").unwrap();
    assert_eq!(worker.code(), 0);
    assert_eq!((bench.state("a").as_str(), &bench.job("a")["returnvalue"]), ("completed", &json!("ok")));
    assert_eq!(bench.state("b"), "waiting");
}

#[test]
fn after_the_shutdown_timeout_a_job_is_handed_back() {
    let bench = Bench::with_jobs(&["a"]);
    let mut worker = bench.worker("exec sleep 60", &["--shutdown-timeout", "200ms", "--grace", "200ms"]);
    eventually("the job runs", || (bench.state("a") == "active").then_some(()));
    worker.signal("TERM");
    assert_eq!(worker.code(), 0);
    let job = bench.job("a");
    assert_eq!((&job["state"], &job["attemptsMade"]), (&json!("waiting"), &json!(0)));
}

#[test]
fn a_second_sigint_stops_at_once() {
    let bench = Bench::with_jobs(&["a"]);
    let mut worker = bench.worker("exec sleep 60", &[]);
    eventually("the job runs", || (bench.state("a") == "active").then_some(()));
    worker.signal("INT");
    worker.wait_for("stopping");
    worker.signal("INT");
    assert_eq!(worker.code(), 0);
    assert_eq!((bench.state("a").as_str(), &bench.job("a")["attemptsMade"]), ("waiting", &json!(0)));
}

#[test]
fn the_jobs_of_a_killed_worker_run_elsewhere() {
    let bench = Bench::with_jobs(&["a"]);
    let mut worker = bench.worker("exec sleep 60", &["--name", "first"]);
    eventually("the job runs", || (bench.state("a") == "active").then_some(()));
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    let mut second = bench.worker("echo saved", &["--name", "second", "--until-drained"]);
    assert_eq!(second.code(), 0);
    let job = bench.job("a");
    assert_eq!((&job["state"], &job["returnvalue"]), (&json!("completed"), &json!("saved")));
    assert_eq!((&job["stalledCounter"], &job["attemptsStarted"]), (&json!(1), &json!(2)));
    assert_eq!(job["processedBy"], "second");
}
