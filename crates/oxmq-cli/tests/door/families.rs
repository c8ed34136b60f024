//! Parents and children.

use serde_json::{Value, json};

use crate::support::{Backend, ctx};

/// A node of a flow; a parent is named by its id in `q`.
fn node(queue: &str, id: &str, parent: Option<&str>, opts: &Value, has_children: bool) -> Value {
    let mut job =
        json!({ "id": id, "name": "n", "data": "{}", "opts": opts, "timestamp": 1_700_000_000_000_i64 });
    let mut tie = json!({});
    if let Some(parent) = parent {
        job["parent"] = json!({ "id": parent, "queueKey": "bull:q" });
        job["parentKey"] = json!(format!("bull:q:{parent}"));
        job["opts"]["parent"] = json!({ "id": parent, "queue": "bull:q" });
        for (long, short) in [("failParentOnFailure", "fpof"), ("ignoreDependencyOnFailure", "idof")] {
            if opts[long] == true {
                job["parent"][short] = json!(true);
            }
        }
        tie["parentKey"] = job["parentKey"].clone();
    }
    if has_children {
        tie["addToWaitingChildren"] = json!(true);
    }
    json!({ "jobData": job, "jobId": id, "parentKeyOpts": tie, "prefix": "bull", "queueName": queue })
}

fn add_flow(backend: &Backend, entries: &[Value]) -> Value {
    backend.call("addFlow", json!({ "queue": "", "entries": entries }))
}

/// Takes a job of a queue, and ends it.
fn run(backend: &Backend, queue: &str, as_failed: bool) -> String {
    let taken = backend.call("moveToActive", json!({ "queue": queue, "token": "t", "ctx": ctx() }));
    let id = taken[1].as_str().unwrap().to_owned();
    let method = if as_failed { "moveToFailed" } else { "moveToCompleted" };
    let end = json!({
        "queue": queue, "job": { "id": id, "opts": {} }, "returnValue": "{\"v\":1}", "failedReason": "bad", "token": "t",
        "fetchNext": false, "ctx": ctx(),
    });
    backend.call(method, end);
    id
}

#[test]
fn a_flow_runs_from_its_leaves_to_its_root() {
    let backend = Backend::start();
    let none = json!({});
    let flow = [
        node("q", "root", None, &none, true),
        node("q", "other", None, &none, false),
        node("c", "one", Some("root"), &none, false),
        node("c", "two", Some("root"), &json!({ "ignoreDependencyOnFailure": true }), false),
        node("c", "three", Some("root"), &json!({ "delay": 90_000 }), false),
    ];
    let ids = json!([[null, "root"], [null, "other"], [null, "one"], [null, "two"], [null, "three"]]);
    assert_eq!(add_flow(&backend, &flow), ids);
    let state = |queue: &str, id: &str| backend.call("getState", json!({ "queue": queue, "jobId": id }));
    assert_eq!(
        [state("q", "root"), state("q", "other"), state("c", "three")],
        ["waiting-children", "waiting", "delayed"]
    );
    // Ids that were drawn are no options.
    let child = backend.call("getJobData", json!({ "queue": "c", "jobId": "one" }));
    assert_eq!(child["opts"], json!({ "attempts": 0, "parent": { "id": "root", "queue": "bull:q" } }));
    assert_eq!(child["parent"], json!({ "id": "root", "queueKey": "bull:q" }));
    assert_eq!(child["parentKey"], "bull:q:root");

    assert_eq!(run(&backend, "c", false), "one");
    assert_eq!(run(&backend, "c", true), "two");
    let job = json!({ "jobId": "root" });
    assert_eq!(backend.call("getProcessedChildrenValues", job.clone()), json!({ "bull:c:one": "{\"v\":1}" }));
    assert_eq!(backend.call("getIgnoredChildrenFailures", job), json!({ "bull:c:two": "bad" }));
    let types = json!(["processed", "unprocessed", "ignored", "failed", "zzz"]);
    assert_eq!(
        backend.call("getDependencyCounts", json!({ "jobId": "root", "types": types })),
        json!([1, 1, 1, 0, 0])
    );
    let all = json!({
        "processed": { "bull:c:one": { "v": 1 } }, "unprocessed": ["bull:c:three"], "ignored": { "bull:c:two": "bad" }, "failed": [],
    });
    assert_eq!(backend.call("getDependencies", json!({ "jobId": "root", "opts": {} })), all);
    let page = backend.call(
        "paginate",
        json!({ "key": "bull:q:root:processed", "opts": { "start": 0, "end": 9, "fetchJobs": true } }),
    );
    assert_eq!((&page["total"], &page["cursor"]), (&json!(1), &json!("0")));
    assert_eq!(page["items"], json!([{ "id": "bull:c:one", "v": { "v": 1 } }]));
    assert_eq!(page["jobs"][0]["id"], "one");
    assert_eq!(
        backend.call(
            "removeChildDependency",
            json!({ "queue": "c", "jobId": "three", "parentKey": "bull:q:root" })
        ),
        true
    );
    assert_eq!(state("q", "root"), "waiting");
    assert_eq!(
        backend.call(
            "removeChildDependency",
            json!({ "queue": "c", "jobId": "three", "parentKey": "bull:q:root" })
        ),
        false
    );
}

#[test]
fn a_parent_fails_with_its_child() {
    let backend = Backend::start();
    let fails = json!({ "failParentOnFailure": true });
    add_flow(
        &backend,
        &[node("q", "root", None, &json!({}), true), node("c", "one", Some("root"), &fails, false)],
    );
    run(&backend, "c", true);
    let root = backend.take("t");
    assert_eq!(root[0]["deferredFailure"], "child bull:c:one failed");
    let complete =
        json!({ "job": { "id": "root", "opts": {} }, "token": "t", "fetchNext": false, "ctx": ctx() });
    let answer = backend.ask("moveToCompleted", complete).answer();
    assert_eq!(answer["error"]["data"], json!({ "name": "UnrecoverableError", "code": -9 }));
    assert_eq!(
        answer["error"]["message"],
        "Cannot complete job root because it has at least one failed child. moveToFinished"
    );
    assert_eq!(backend.refusal("moveToWaitingChildren", json!({ "jobId": "root", "token": "t" })).1, -9);
}

#[test]
fn what_cannot_be_added_is_left_out_of_a_flow() {
    let backend = Backend::start();
    let none = json!({});
    let first = [node("q", "a", None, &none, true), node("c", "shared", Some("a"), &none, false)];
    add_flow(&backend, &first);
    let second = [
        node("q", "b", None, &none, true),
        node("c", "shared", Some("b"), &none, false),
        node("c", "own", Some("b"), &none, false),
    ];
    assert_eq!(add_flow(&backend, &second), json!([[null, "b"], [null, -7], [null, "own"]]));
    let lost = [node("q", "x", Some("gone"), &none, true), node("c", "y", Some("x"), &none, false)];
    assert_eq!(add_flow(&backend, &lost), json!([[null, -5], [null, -5]]));
}

#[test]
fn children_are_paged() {
    let backend = Backend::start();
    let none = json!({});
    let mut flow = vec![node("q", "root", None, &none, true)];
    flow.extend((0..7).map(|turn| node("c", &format!("c{turn}"), Some("root"), &none, false)));
    add_flow(&backend, &flow);
    let (mut seen, mut cursor) = (Vec::new(), json!(0));
    for _ in 0..9 {
        let page = json!({ "jobId": "root", "opts": { "unprocessed": { "cursor": cursor, "count": 3 } } });
        let found = backend.call("getDependencies", page);
        assert!(found.get("processed").is_none(), "{found}");
        seen.extend(
            found["unprocessed"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()),
        );
        cursor = found["nextUnprocessedCursor"].clone();
        if cursor == 0 {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, (0..7).map(|turn| format!("bull:c:c{turn}")).collect::<Vec<_>>());
    assert_eq!(backend.call("removeUnprocessedChildren", json!({ "jobId": "root" })), Value::Null);
    assert_eq!(backend.call("getState", json!({ "jobId": "root" })), "waiting");
}

#[test]
fn a_child_without_a_parent_is_told_as_bullmq_does() {
    let backend = Backend::start();
    let id = backend.add(json!({}));
    let refusal = |id: &str| backend.refusal("removeChildDependency", json!({ "jobId": id }));
    assert_eq!(refusal("9"), ("Missing key for job 9. removeChildDependency".to_owned(), json!(-1)));
    let expected = "Missing key for parent job undefined. removeChildDependency".to_owned();
    assert_eq!(refusal(&id), (expected, json!(-5)));
}
