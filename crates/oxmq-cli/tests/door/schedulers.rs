//! Job schedulers.

use serde_json::{Value, json};

use crate::support::Backend;

fn put(backend: &Backend, id: &str, rule: &Value, next: Value) -> Value {
    let mut opts = rule.clone();
    opts["name"] = json!("tick");
    let mut repeat = rule.clone();
    repeat["count"] = json!(1);
    json!({
        "jobSchedulerId": id, "nextMillis": next, "templateData": "{\"x\":1}", "templateOpts": { "attempts": 2 }, "opts": opts,
        "delayedJobOpts": { "attempts": 2, "repeat": repeat, "repeatJobKey": id, "timestamp": backend.now(), "delay": null },
    })
}

#[test]
fn a_scheduler_of_every_goes_on_when_its_job_starts() {
    let backend = Backend::start();
    let start = backend.now();
    let rule = json!({ "every": 1_000, "offset": null });
    let first = backend.call("addJobScheduler", put(&backend, "beat", &rule, Value::Null));
    let slot = |at: i64| format!("repeat:beat:{at}");
    assert_eq!(first, json!([slot(start), 0]));
    let taken = backend.take("t");
    assert_eq!(
        (&taken[1], &taken[0]["repeatJobKey"], &taken[0]["name"]),
        (&json!(slot(start)), &json!("beat"), &json!("tick"))
    );
    assert_eq!(taken[0]["opts"]["repeat"]["count"], 1);
    let mut repeat = taken[0]["opts"]["repeat"].clone();
    repeat["count"] = json!(2);
    let mut opts = taken[0]["opts"].clone();
    opts["repeat"] = repeat;
    let advance = json!({
        "jobSchedulerId": "beat", "templateData": "{\"x\":1}", "delayedJobOpts": opts, "producerId": slot(start),
    });
    let next = slot(start + 1_000);
    assert_eq!(backend.call("updateJobSchedulerNextMillis", advance.clone()), next);
    assert_eq!(backend.call("updateJobSchedulerNextMillis", advance), Value::Null, "once is enough");
    let job = backend.call("getJobData", json!({ "jobId": next }));
    assert_eq!((&job["data"], &job["opts"]["repeat"]["count"]), (&json!("{\"x\":1}"), &json!(2)));
    let fields = json!({
        "name": "tick", "every": "1000", "offset": (start % 1_000).to_string(), "opts": "{\"attempts\":2}", "data": "{\"x\":1}", "ic": "2",
    });
    if start % 1_000 != 0 {
        assert_eq!(backend.call("getJobSchedulerData", json!({ "key": "beat" })), fields);
    }
    assert_eq!(
        backend.refusal("remove", json!({ "jobId": next, "removeChildren": false })),
        (
            format!("Job {next} belongs to a job scheduler and cannot be removed directly. removeJob"),
            json!(-8)
        )
    );
    assert_eq!(backend.call("removeJobScheduler", json!({ "jobSchedulerId": "beat" })), 0);
    assert_eq!(backend.call("removeJobScheduler", json!({ "jobSchedulerId": "beat" })), 1);
    assert_eq!(backend.counts(&["delayed", "active"]), [0, 1]);
}

#[test]
fn schedulers_are_listed_by_their_next_job() {
    let backend = Backend::start();
    let (soon, late) = (backend.now() + 5_000, backend.now() + 9_000);
    let rule =
        json!({ "pattern": "* * * * *", "tz": "UTC", "limit": 9, "endDate": late + 1, "offset": null });
    let first = backend.call("addJobScheduler", put(&backend, "late", &rule, json!(late)));
    assert_eq!(first, json!([format!("repeat:late:{late}"), 9_000]));
    backend.call("addJobScheduler", put(&backend, "soon", &rule, json!(soon)));
    let range = |start: i64, end: i64, asc: bool| {
        backend.call("getJobSchedulersRange", json!({ "start": start, "end": end, "asc": asc }))
    };
    let (soon, late) = (soon.to_string(), late.to_string());
    assert_eq!(range(0, -1, true), json!(["soon", soon, "late", late]));
    assert_eq!(range(0, 0, false), json!(["late", late]));
    assert_eq!(backend.call("getJobSchedulersCount", json!({})), 2);
    let found = backend.call("getJobScheduler", json!({ "id": "late" }));
    let flat = json!([
        "name",
        "tick",
        "tz",
        "UTC",
        "limit",
        "9",
        "pattern",
        "* * * * *",
        "endDate",
        (late.parse::<i64>().unwrap() + 1).to_string(),
        "offset",
        "0",
        "opts",
        "{\"attempts\":2}",
        "data",
        "{\"x\":1}",
        "ic",
        "1",
    ]);
    assert_eq!(found, json!([flat, late]));
    assert_eq!(backend.call("getJobScheduler", json!({ "id": "none" })), json!([]));
    assert_eq!(backend.call("getJobSchedulerData", json!({ "key": "none" })), json!({}));
    let is_there = |id: &str| backend.call("isJobScheduler", json!({ "id": id }));
    assert_eq!([is_there("late"), is_there("none")], [true, false]);
}

#[test]
fn a_slot_that_has_a_job_is_refused() {
    let backend = Backend::start();
    let at = backend.now() + 5_000;
    backend.add(json!({ "jobId": format!("repeat:plan:{at}") }));
    let rule = json!({ "pattern": "* * * * *" });
    let expected =
        "Cannot create job scheduler iteration - job ID already exists. addJobScheduler".to_owned();
    assert_eq!(
        backend.refusal("addJobScheduler", put(&backend, "plan", &rule, json!(at))),
        (expected, json!(-10))
    );
}
