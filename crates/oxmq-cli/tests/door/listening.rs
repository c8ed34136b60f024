//! Events, and the wait for work.

use serde_json::{Value, json};

use crate::support::{Backend, ctx};

/// The events of an answer: name and fields, as text; and the last id.
fn read(answer: &Value) -> (Vec<String>, String) {
    assert_eq!(answer[0][0], "bull:q:events");
    let entries = answer[0][1].as_array().unwrap();
    let words = |entry: &Value| {
        let flat = entry[1].as_array().unwrap();
        assert_eq!(flat[0], "event");
        flat[1..].iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let ids: Vec<(u64, u64)> = entries
        .iter()
        .map(|entry| {
            let (ms, number) = entry[0].as_str().unwrap().split_once('-').unwrap();
            (ms.parse().unwrap(), number.parse().unwrap())
        })
        .collect();
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    (entries.iter().map(words).collect(), entries.last().unwrap()[0].as_str().unwrap().to_owned())
}

#[test]
fn events_are_read_from_now_on_in_the_order_of_the_requests() {
    let backend = Backend::start();
    backend.add(json!({}));
    // What is added behind the request is read, although the request is still on its way; what was before is not.
    let listen = json!({ "id": "$", "blockTimeout": 30_000 });
    let mut asked =
        backend.ask_all([("readEvents", listen.clone()), ("addJob", backend.job(json!({ "delay": 7 })))]);
    asked.pop().unwrap().result();
    let (events, _) = read(&asked.pop().unwrap().result());
    assert_eq!(events[0], "added jobId 2 name n");
    // One that found nothing goes on where it ended.
    let nothing = json!({ "id": "$", "blockTimeout": 1 });
    assert_eq!(backend.call("readEvents", nothing), Value::Null);
    backend.call("pause", json!({ "pause": true }));
    assert_eq!(read(&backend.call("readEvents", listen)).0, ["paused"]);
}

#[test]
fn a_reader_goes_on_behind_what_it_has_read() {
    let backend = Backend::start();
    let id = backend.add(json!({ "attempts": 1 }));
    backend.take("t");
    backend.call("updateProgress", json!({ "jobId": id, "progress": "[1]" }));
    let end = json!({
        "job": { "id": id, "opts": { "attempts": 1 } }, "failedReason": "bad", "token": "t", "fetchNext": false,
        "fieldsToUpdate": {}, "ctx": ctx(),
    });
    backend.call("moveToFailed", end);
    let from = |id: &str| json!({ "id": id, "blockTimeout": 30_000 });
    let (events, last) = read(&backend.call("readEvents", from("0")));
    assert_eq!(
        events,
        [
            "added jobId 1 name n",
            "waiting jobId 1",
            "active jobId 1 prev waiting",
            "progress jobId 1 data [1]",
            "failed jobId 1 failedReason bad prev active",
            "retries-exhausted jobId 1 attemptsMade 1",
            "drained",
        ]
    );
    let waiting = backend.ask("readEvents", from(&last));
    let fields = json!({ "fields": { "event": "mine", "x": "1", "n": 2 }, "maxEvents": 1_000 });
    let published = backend.call("publishEvent", fields);
    let (events, last) = read(&waiting.result());
    assert!(events == ["mine n 2 x 1"] || events == ["mine x 1 n 2"], "{events:?}");
    assert_eq!(published, last);
    assert_eq!(backend.call("readEvents", json!({ "id": last, "blockTimeout": 1 })), Value::Null);
    assert!(backend.call("trimEvents", json!({ "maxLength": 0 })).is_u64());
}

#[test]
fn a_worker_is_told_of_work_by_whichever_process() {
    let backend = Backend::start();
    let (other, _process) = backend.another();
    other.open(1, "producer");
    assert_eq!(backend.call("moveToActive", json!({ "token": "t", "ctx": ctx() })), json!([null, 0, 0, 0]));
    let waiting = backend.ask("waitForJob", json!({ "blockTimeout": 30 }));
    other.add(json!({}));
    assert_eq!(waiting.result(), json!({ "member": "0", "score": 0 }));
    backend.take("t");
    assert_eq!(backend.call("waitForJob", json!({ "queue": "empty", "blockTimeout": 0.001 })), Value::Null);
}

#[test]
fn a_reader_waits_also_when_what_it_has_read_is_gone() {
    let backend = Backend::start();
    backend.add(json!({}));
    let (_, last) = read(&backend.call("readEvents", json!({ "id": "0", "blockTimeout": 30_000 })));
    backend.call("pause", json!({ "pause": true }));
    backend.call("obliterate", json!({ "opts": { "force": true } }));
    // The queue is there again, and has no events.
    backend.call("setQueueMeta", json!({ "values": { "version": "1" } }));
    let waiting = backend.ask("readEvents", json!({ "id": last, "blockTimeout": 30_000 }));
    assert_eq!(backend.counts(&["wait"]), [0]);
    backend.call("pause", json!({ "pause": true }));
    assert_eq!(read(&waiting.result()).0, ["paused"]);
}
