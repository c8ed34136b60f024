//! Moving, changing and removing jobs by hand, and whole queues.

use serde_json::{Value, json};

use crate::support::{Backend, ctx};

/// Ends a job that must be there to be taken.
fn run(backend: &Backend, as_failed: bool) -> String {
    let id = backend.take("t")[1].as_str().unwrap().to_owned();
    let method = if as_failed { "moveToFailed" } else { "moveToCompleted" };
    backend.call(
        method,
        json!({ "job": { "id": id, "opts": {} }, "token": "t", "fetchNext": false, "ctx": ctx() }),
    );
    id
}

fn refused(backend: &Backend, method: &str, params: Value) -> String {
    let (message, code) = backend.refusal(method, params);
    format!("{code} {message}")
}

#[test]
fn delayed_jobs_are_promoted_and_moved() {
    let backend = Backend::start();
    let id = backend.add(json!({ "delay": 1_000 }));
    backend.call("changeDelay", json!({ "jobId": id, "delay": 5_000 }));
    let idle = backend.call("moveToActive", json!({ "token": "t", "ctx": ctx() }));
    assert_eq!(idle[3], backend.now() + 5_000);
    assert_eq!(backend.call("promote", json!({ "jobId": id })), Value::Null);
    for id in [id.as_str(), "9"] {
        let expected = format!("-3 Job {id} is not in the delayed state. promote");
        assert_eq!(refused(&backend, "promote", json!({ "jobId": id })), expected);
    }
    let delay = |id: &str| json!({ "jobId": id, "delay": 1 });
    assert_eq!(
        refused(&backend, "changeDelay", delay(&id)),
        "-3 Job 1 is not in the delayed state. changeDelay"
    );
    assert_eq!(refused(&backend, "changeDelay", delay("9")), "-1 Missing key for job 9. changeDelay");
    for _ in 0..3 {
        backend.add(json!({ "delay": 1_000 }));
    }
    assert_eq!(backend.call("promoteJobs", json!({ "count": 2 })), 1);
    assert_eq!(backend.call("promoteJobs", json!({ "count": 2 })), 0);
    assert_eq!(backend.counts(&["wait", "delayed"]), [4, 0]);
    backend.call("changePriority", json!({ "jobId": id, "priority": 3 }));
    assert_eq!(backend.call("getJobData", json!({ "jobId": id }))["priority"], 3);
    let missing = json!({ "jobId": "9", "priority": 3 });
    assert_eq!(refused(&backend, "changePriority", missing), "-1 Missing key for job 9. changePriority");
}

#[test]
fn finished_jobs_run_again() {
    let backend = Backend::start();
    for _ in 0..3 {
        backend.add(json!({}));
    }
    let id = run(&backend, true);
    run(&backend, true);
    run(&backend, true);
    let retry = |id: &str, state: &str| json!({ "job": { "id": id, "opts": {} }, "state": state, "opts": { "resetAttemptsMade": true } });
    assert_eq!(
        refused(&backend, "retryFinishedJob", retry("9", "failed")),
        "-1 Missing key for job 9. reprocessJob"
    );
    assert_eq!(
        refused(&backend, "retryFinishedJob", retry(&id, "completed")),
        "-3 Job 1 is not in the completed state. reprocessJob"
    );
    backend.call("retryFinishedJob", retry(&id, "failed"));
    let job = backend.call("getJobData", json!({ "jobId": id }));
    assert_eq!((&job["attemptsMade"], &job["attemptsStarted"]), (&json!(0), &json!(1)));
    let many = |count: u64| json!({ "state": "failed", "count": count, "timestamp": backend.now() });
    assert_eq!(backend.call("retryFinishedJobs", many(1)), 1);
    assert_eq!(backend.call("retryFinishedJobs", many(1)), 0);
    assert_eq!(backend.counts(&["wait", "failed"]), [3, 0]);
}

#[test]
fn jobs_are_removed_cleaned_and_drained() {
    let backend = Backend::start();
    for _ in 0..4 {
        backend.add(json!({}));
    }
    backend.take("t");
    let remove = |id: &str| backend.call("remove", json!({ "jobId": id, "removeChildren": true }));
    assert_eq!([remove("1"), remove("2"), remove("9")], [0, 1, 1], "locked, removed, not there");
    let clean = |state: &str, limit: u64| {
        backend
            .call("cleanJobsByState", json!({ "state": state, "timestamp": backend.now(), "limit": limit }))
    };
    assert_eq!(clean("wait", 1).as_array().unwrap().len(), 1);
    assert_eq!(
        [clean("completed", 0), clean("paused", 0), clean("zzz", 0)],
        [json!([]), json!([]), json!([])]
    );
    backend.add(json!({ "delay": 50 }));
    backend.call("drain", json!({ "delayed": false }));
    assert_eq!(backend.counts(&["wait", "delayed", "active"]), [0, 1, 1]);
    backend.call("drain", json!({ "delayed": true }));
    assert_eq!(backend.counts(&["delayed"]), [0]);
    assert_eq!(backend.call("removeOrphanedJobs", json!({})), 0);
    assert_eq!(backend.call("removeDeprecatedPriorityKey", json!({})), 0);
}

#[test]
fn many_jobs_are_cleaned_in_one_request() {
    let backend = Backend::start();
    let entries = vec![backend.job(json!({})); 900];
    for _ in 0..3 {
        backend.call("addJobs", json!({ "entries": entries }));
    }
    let clean = |limit: u64| {
        let params = json!({ "state": "wait", "timestamp": backend.now(), "limit": limit });
        backend.call("cleanJobsByState", params).as_array().unwrap().len()
    };
    assert_eq!([clean(1_500), clean(0), clean(0)], [1_500, 1_200, 0]);
}

#[test]
fn a_queue_is_obliterated_when_it_is_paused() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({}));
    backend.take("t");
    let obliterate = |force: bool, count: u64| json!({ "opts": { "force": force, "count": count } });
    assert_eq!(
        refused(&backend, "obliterate", obliterate(true, 9)),
        "null Cannot obliterate non-paused queue"
    );
    backend.call("pause", json!({ "pause": true }));
    assert_eq!(
        refused(&backend, "obliterate", obliterate(false, 9)),
        "null Cannot obliterate queue with active jobs"
    );
    assert_eq!(backend.call("obliterate", obliterate(true, 1)), 1);
    assert_eq!(backend.call("obliterate", obliterate(true, 1)), 0);
    assert_eq!(backend.call("getQueueMeta", json!({})), json!({}));
    assert_eq!(backend.add(json!({})), "1");
}
