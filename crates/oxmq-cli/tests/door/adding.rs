//! Adding jobs, deduplicated ones too.

use serde_json::{Value, json};

use crate::support::{Asked, Backend};

fn get(backend: &Backend, id: &str) -> Value {
    backend.call("getJobData", json!({ "jobId": id }))
}

#[test]
fn a_job_comes_back_as_node_reads_it() {
    let backend = Backend::start();
    let opts = json!({
        "attempts": 3, "backoff": { "type": "fixed", "delay": 50, "jitter": 0 }, "removeOnComplete": { "count": 1 },
        "removeOnFail": -1, "keepLogs": 5, "priority": 7, "mine": [1, { "x": null }], "big": 12_345_678_901_234_567_890_u64,
    });
    let mut add = backend.job(opts.clone());
    add["job"]["timestamp"] = json!(backend.now() - 5);
    assert_eq!(backend.call("addJob", add), "1");
    assert_eq!(
        get(&backend, "1"),
        json!({
            "id": "1", "name": "n", "data": "{\"a\": 1}", "opts": opts, "progress": 0, "delay": 0, "priority": 7,
            "timestamp": backend.now() - 5, "attemptsStarted": 0, "attemptsMade": 0, "stalledCounter": 0,
        })
    );
    assert_eq!(get(&backend, "2"), Value::Null);
}

#[test]
fn jobs_go_where_their_options_say() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({ "priority": 2 }));
    backend.add(json!({ "delay": 500 }));
    backend.add(json!({ "lifo": true }));
    assert_eq!(backend.counts(&["wait", "prioritized", "delayed", "waiting", "paused"]), [2, 1, 1, 2, 0]);
    // Lists are given with the newest first, whichever part is asked for.
    let ranges = |start: i64, end: i64, asc: bool| {
        backend.call("getRanges", json!({ "types": ["wait"], "start": start, "end": end, "asc": asc }))
    };
    assert_eq!(ranges(0, -1, true), json!([["1", "4"]]));
    assert_eq!(ranges(0, 0, true), json!([["4"]]));
    assert_eq!(ranges(0, 0, false), json!([["1"]]));
}

#[test]
fn an_id_of_ones_own_finds_the_job_that_is_there() {
    let backend = Backend::start();
    assert_eq!(backend.add(json!({ "jobId": "mine" })), "mine");
    assert_eq!(backend.add(json!({ "jobId": "mine" })), "mine");
    assert_eq!(backend.add(json!({})), "3");
    assert_eq!(backend.counts(&["wait"]), [2]);
    assert_eq!(get(&backend, "mine")["opts"], json!({ "attempts": 0, "jobId": "mine" }));
}

#[test]
fn several_jobs_are_added_at_once_and_one_that_is_refused_has_its_number() {
    let backend = Backend::start();
    let child = json!({
        "job": { "name": "c", "data": "1", "opts": {}, "parent": { "id": "gone", "queueKey": "bull:p" }, "parentKey": "bull:p:gone" },
    });
    let entries = json!([backend.job(json!({})), child, backend.job(json!({ "delay": 5 }))]);
    assert_eq!(backend.call("addJobs", json!({ "entries": entries })), json!(["1", -5, "2"]));
    let expected = ("Missing key for parent job bull:p:gone. addJob".to_owned(), json!(-5));
    assert_eq!(backend.refusal("addJob", child), expected);
}

#[test]
fn adds_that_come_together_are_each_answered() {
    let backend = Backend::start();
    let mut wrong = backend.job(json!({}));
    wrong["job"]["name"] = Value::Null;
    let mut requests: Vec<_> = (0..40).map(|_| ("addJob", backend.job(json!({})))).collect();
    requests.insert(20, ("addJob", wrong));
    let answers: Vec<Value> = backend.ask_all(requests).into_iter().map(Asked::answer).collect();
    assert_eq!(answers[20]["error"]["code"], -32_602);
    let ids = answers.iter().filter_map(|answer| answer["result"].as_str()?.parse::<u32>().ok());
    assert_eq!(ids.collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

#[test]
fn one_job_stands_for_others() {
    let backend = Backend::start();
    let opts = json!({ "deduplication": { "id": "x" } });
    assert_eq!(backend.add(opts.clone()), "1");
    assert_eq!(backend.add(opts.clone()), "1");
    assert_eq!(get(&backend, "1")["deduplicationId"], "x");
    assert_eq!(get(&backend, "1")["debounceId"], "x");
    let id = |id: &str| json!({ "deduplicationId": id });
    assert_eq!(backend.call("getDeduplicationJobId", id("x")), "1");
    assert_eq!(backend.call("getDeduplicationJobId", id("y")), Value::Null);
    let owned_by = |job: &str| json!({ "deduplicationId": "x", "jobId": job });
    assert_eq!(backend.call("removeDeduplicationKey", owned_by("2")), 0);
    assert_eq!(backend.call("removeDeduplicationKey", owned_by("1")), 1);
    assert_eq!(backend.add(opts), "3");
    assert_eq!(backend.call("deleteDeduplicationKey", id("x")), 1);
    assert_eq!(backend.call("deleteDeduplicationKey", id("x")), 0);
}
