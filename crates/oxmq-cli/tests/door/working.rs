//! Taking jobs, keeping them, ending them.

use serde_json::{Value, json};

use crate::support::{Backend, ctx};

fn complete(id: &str, token: &str, fetch_next: bool) -> Value {
    json!({ "job": { "id": id, "opts": {} }, "returnValue": "{\"r\":1}", "token": token, "fetchNext": fetch_next, "ctx": ctx() })
}

fn fail(id: &str, token: &str, attempts: u32) -> Value {
    let fields = json!({ "failedReason": "bad", "stacktrace": "[\"at x\"]" });
    json!({
        "job": { "id": id, "opts": { "attempts": attempts } }, "failedReason": "bad", "token": token, "fetchNext": false,
        "fieldsToUpdate": fields, "ctx": ctx(),
    })
}

#[test]
fn a_job_is_taken_and_completed_and_the_next_one_comes_with_it() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({}));
    let first = backend.call("moveToActive", json!({ "token": "t", "name": "ada", "ctx": ctx() }));
    assert_eq!((&first[1], &first[2], &first[3]), (&json!("1"), &json!(0), &json!(0)));
    assert_eq!(first[0]["processedBy"], "ada");
    assert_eq!((&first[0]["attemptsStarted"], &first[0]["processedOn"]), (&json!(1), &json!(backend.now())));
    let ended = backend.call("moveToCompleted", complete("1", "t", true));
    assert_eq!((&ended["result"][1], &ended["finishedOn"]), (&json!("2"), &json!(backend.now())));
    let done = backend.call("getJobData", json!({ "jobId": "1" }));
    assert_eq!((&done["returnvalue"], &done["attemptsMade"]), (&json!("{\"r\":1}"), &json!(1)));
    // Nothing is left, now or later: no answer at all. With a delayed job it is when that is due.
    assert_eq!(backend.call("moveToCompleted", complete("2", "t", true))["result"], json!([]));
    backend.add(json!({}));
    backend.add(json!({ "delay": 500 }));
    let due = backend.now() + 500;
    backend.take("u");
    assert_eq!(backend.call("moveToCompleted", complete("3", "u", true))["result"], json!([null, 0, 0, due]));
    assert_eq!(backend.call("moveToActive", json!({ "token": "u", "ctx": ctx() })), json!([null, 0, 0, due]));
    backend.advance(501);
    assert_eq!(backend.take("u")[1], "4");
    assert_eq!(backend.call("moveToActive", json!({ "token": "u", "ctx": ctx() })), json!([null, 0, 0, 0]));
}

#[test]
fn an_undefined_result_is_null() {
    let backend = Backend::start();
    let id = backend.add(json!({}));
    backend.take("t");
    let mut request = complete(&id, "t", false);
    request.as_object_mut().unwrap().remove("returnValue");
    assert_eq!(backend.call("moveToCompleted", request)["result"], json!([]));
    assert_eq!(backend.call("isFinished", json!({ "jobId": id, "returnValue": true })), json!([1, "null"]));
}

#[test]
fn what_is_refused_has_bullmqs_text_and_number() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.take("t");
    let refusal = |method: &str, params: Value| {
        let (message, code) = backend.refusal(method, params);
        format!("{code} {message}")
    };
    assert_eq!(
        refusal("moveToCompleted", complete("9", "t", false)),
        "-1 Missing key for job 9. moveToFinished"
    );
    assert_eq!(
        refusal("moveToFailed", fail("1", "other", 0)),
        "-6 Lock mismatch for job 1. Cmd moveToFinished from active"
    );
    backend.call("moveToCompleted", complete("1", "t", false));
    assert_eq!(
        refusal("moveToCompleted", complete("1", "t", false)),
        "-2 Missing lock for job 1. moveToFinished"
    );
    assert_eq!(
        refusal("moveToCompleted", complete("1", "0", false)),
        "-3 Job 1 is not in the active state. moveToFinished"
    );
    let one = |id: &str| json!({ "jobId": id, "token": "t" });
    assert_eq!(refusal("retryJob", one("9")), "-1 Missing key for job 9. retryJob");
    assert_eq!(refusal("moveToDelayed", one("1")), "-2 Missing lock for job 1. moveToDelayed");
    assert_eq!(
        refusal("moveJobFromActiveToWait", one("1")),
        "-2 Missing lock for job 1. moveJobFromActiveToWait"
    );
    assert_eq!(refusal("moveToWaitingChildren", one("9")), "-1 Missing key for job 9. moveToWaitingChildren");
}

#[test]
fn a_job_is_tried_again_and_then_fails() {
    let backend = Backend::start();
    let id = backend.add(json!({ "attempts": 3 }));
    backend.take("t");
    let fields = json!({ "failedReason": "one", "stacktrace": "[\"1\"]" });
    backend.call(
        "retryJob",
        json!({ "jobId": id, "lifo": false, "token": "t", "opts": { "fieldsToUpdate": fields } }),
    );
    let job = backend.call("getJobData", json!({ "jobId": id }));
    assert_eq!((&job["attemptsMade"], &job["failedReason"]), (&json!(1), &json!("one")));
    backend.take("t");
    let fields = json!({ "failedReason": "two", "stacktrace": "[\"1\",\"2\"]" });
    let opts = json!({ "fieldsToUpdate": fields, "fetchNext": true });
    let delayed = json!({ "jobId": id, "timestamp": backend.now(), "delay": 50, "token": "t", "opts": opts, "ctx": ctx() });
    assert_eq!(backend.call("moveToDelayed", delayed), json!([]), "only a job is an answer");
    assert_eq!(backend.call("getState", json!({ "jobId": id })), "delayed");
    backend.advance(50);
    backend.take("t");
    backend.call("moveToFailed", fail(&id, "t", 3));
    let job = backend.call("getJobData", json!({ "jobId": id }));
    assert_eq!((&job["attemptsMade"], &job["failedReason"]), (&json!(3), &json!("bad")));
    assert_eq!(job["stacktrace"], "[\"at x\"]");
    assert_eq!(backend.call("isFinished", json!({ "jobId": id, "returnValue": true })), json!([2, "bad"]));
}

#[test]
fn what_is_kept_is_as_the_job_says_else_as_the_worker_does() {
    let backend = Backend::start();
    for (own, worker, stays) in [
        (Value::Null, Value::Null, true),
        (Value::Null, json!({ "count": 0 }), false),
        (json!(false), json!({ "count": 0 }), true),
        (json!(true), json!({ "count": 5 }), false),
        (json!({ "age": 60, "count": 9 }), json!({ "count": 0 }), true),
    ] {
        let id = backend.add(json!({}));
        backend.take("t");
        let mut request = complete(&id, "t", false);
        request["removeOnComplete"] = own.clone();
        request["ctx"]["removeOnComplete"] = worker.clone();
        backend.call("moveToCompleted", request);
        let job = backend.call("getJobData", json!({ "jobId": id }));
        assert_eq!(job.is_object(), stays, "{own} {worker}");
    }
}

#[test]
fn leases_are_extended_and_stalled_jobs_come_back() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({}));
    backend.take("t:1");
    backend.take("t:2");
    let one = |id: &str, token: &str| json!({ "jobId": id, "token": token, "duration": 30_000 });
    assert_eq!(backend.call("extendLock", one("1", "t:1")), 1);
    assert_eq!(backend.call("extendLock", one("1", "t:2")), 0);
    let many = json!({ "jobIds": ["1", "2", "9"], "tokens": ["t:1", "t:1", "t:1"], "duration": 30_000 });
    assert_eq!(backend.call("extendLocks", many), json!(["2", "9"]));
    assert!(
        backend
            .refusal("extendLocks", json!({ "jobIds": ["1"], "tokens": [], "duration": 1 }))
            .0
            .contains("tokens")
    );
    assert_eq!(backend.call("moveStalledJobsToWait", json!({ "ctx": ctx() })), json!([]));
}

#[test]
fn notes_about_a_job_are_kept() {
    let backend = Backend::start();
    let id = backend.add(json!({}));
    let log = |row: &str, keep: Value| {
        backend.call("addLog", json!({ "jobId": id, "logRow": row, "keepLogs": keep }))
    };
    assert_eq!(
        [log("a", Value::Null), log("b", Value::Null), log("c", Value::Null)],
        [json!(1), json!(2), json!(3)]
    );
    let logs = |start: i64, end: i64, asc: bool| {
        backend.call("getJobLogs", json!({ "jobId": id, "start": start, "end": end, "asc": asc }))
    };
    assert_eq!(logs(0, -1, true), json!({ "logs": ["a", "b", "c"], "count": 3 }));
    assert_eq!(logs(-2, -1, true), json!({ "logs": ["b", "c"], "count": 3 }));
    assert_eq!(logs(0, 1, false), json!({ "logs": ["c", "b"], "count": 3 }));
    assert_eq!(log("d", json!(2)), 2);
    backend.call("clearLogs", json!({ "jobId": id }));
    assert_eq!(logs(0, -1, true), json!({ "logs": [], "count": 0 }));
    backend.call("updateProgress", json!({ "jobId": id, "progress": "{\"p\":1}" }));
    backend.call("updateData", json!({ "job": { "id": id }, "data": "[2]" }));
    let job = backend.call("getJobData", json!({ "jobId": id }));
    assert_eq!((&job["progress"], &job["data"]), (&json!({ "p": 1 }), &json!("[2]")));
    for (method, params, command) in [
        ("addLog", json!({ "jobId": "x", "logRow": "a" }), "addLog"),
        ("updateProgress", json!({ "jobId": "x", "progress": "1" }), "updateProgress"),
        ("updateData", json!({ "job": { "id": "x" }, "data": "1" }), "updateData"),
    ] {
        assert_eq!(backend.refusal(method, params), (format!("Missing key for job x. {command}"), json!(-1)));
    }
    assert_eq!(backend.call("clearLogs", json!({ "jobId": "x" })), Value::Null);
    assert!(
        backend
            .refusal("updateProgress", json!({ "jobId": id, "progress": "{" }))
            .0
            .starts_with("Invalid params")
    );
}

#[test]
fn a_job_that_has_nothing_to_wait_for_stays_with_its_worker() {
    let backend = Backend::start();
    let id = backend.add(json!({}));
    backend.take("t");
    let wait = |token: &str| json!({ "jobId": id, "token": token, "opts": {} });
    assert_eq!(backend.call("moveToWaitingChildren", wait("t")), false);
    assert_eq!(backend.call("getState", json!({ "jobId": id })), "active");
    let child = json!({
        "queue": "c",
        "job": { "name": "c", "data": "1", "opts": {}, "parent": { "id": id, "queueKey": "bull:q" }, "parentKey": format!("bull:q:{id}") },
    });
    let child = backend.call("addJob", child);
    let other = json!({ "jobId": id, "token": "t", "opts": { "child": { "id": "no", "queue": "bull:c" } } });
    assert_eq!(backend.call("moveToWaitingChildren", other), false);
    assert_eq!(
        backend.refusal("moveToCompleted", complete(&id, "t", false)),
        (format!("Job {id} has pending dependencies. moveToFinished"), json!(-4))
    );
    let this = json!({ "jobId": id, "token": "t", "opts": { "child": { "id": child, "queue": "bull:c" } } });
    assert_eq!(backend.call("moveToWaitingChildren", this), true);
    assert_eq!(backend.call("getState", json!({ "jobId": id })), "waiting-children");
}

#[test]
fn a_limit_by_hand_holds_workers_with_a_limiter_only() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({}));
    let ttl = |most: Value| backend.call("getRateLimitTtl", json!({ "maxJobs": most }));
    assert_eq!((ttl(Value::Null), ttl(json!(1))), (json!(-2), json!(0)));
    backend.call("setRateLimit", json!({ "expireTimeMs": 60_000 }));
    let left = ttl(json!(3)).as_i64().unwrap();
    assert!((59_000..=60_000).contains(&left), "{left}");
    let mut limited = ctx();
    limited["limiter"] = json!({ "max": 1, "duration": 60_000 });
    let take = |ctx: &Value| backend.call("moveToActive", json!({ "token": "t", "ctx": ctx }));
    let held = take(&limited);
    assert!(held[0].is_null() && held[2].as_i64().unwrap() > 58_000, "{held}");
    let taken = take(&ctx());
    assert_eq!(taken[1], "1");
    let given_back = backend.call("moveJobFromActiveToWait", json!({ "jobId": "1", "token": "t" }));
    assert!(given_back.as_i64().unwrap() > 58_000, "{given_back}");
    assert_eq!(backend.call("removeRateLimitKey", json!({})), 1);
    assert_eq!(backend.call("removeRateLimitKey", json!({})), 0);
    assert_eq!(take(&limited)[1], "1");
    let held = take(&limited);
    assert!(held[0].is_null() && held[2].as_i64().unwrap() > 58_000, "the window is full: {held}");
    assert!(ttl(json!(1)).as_i64().unwrap() > 58_000);
    assert_eq!(ttl(json!(2)), 0);
    assert_eq!(take(&ctx())[1], "2", "who has no limiter is not held");
}

#[test]
fn what_is_due_comes_before_a_job_that_is_tried_again() {
    let backend = Backend::start();
    let late = backend.add(json!({ "delay": 100 }));
    let id = backend.add(json!({}));
    backend.take("t");
    backend.advance(100);
    backend.call("retryJob", json!({ "jobId": id, "token": "t", "opts": {} }));
    let order = [backend.take("t")[1].clone(), backend.take("t")[1].clone()];
    assert_eq!(order, [json!(late), json!(id)]);
}
