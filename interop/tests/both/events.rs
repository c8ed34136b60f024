//! The stream of events: both sides see the same, and both write the same.

use oxmq_core::{EventCursor, JobState, Notice, StoredEvent};
use oxmq_interop::{Rig, Running, Side, Work, keyspace, ms, server, until};
use serde_json::{Map, Value, json};

/// An event as Node's listeners get it: name, fields, id.
fn as_node_has_it(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    let mut fields = Map::new();
    for (field, text) in event.fields() {
        let value = match (event.name(), field) {
            ("progress", "data") | ("completed", "returnvalue") => serde_json::from_str(&text).unwrap(),
            ("delayed", "delay") => text.parse::<i64>().unwrap().into(),
            _ => Value::from(text.into_owned()),
        };
        fields.insert(field.into(), value);
    }
    json!({ "event": event.name(), "fields": fields, "id": stored.id.as_str() })
}

/// All events of a queue so far, by our stream.
async fn ours(rig: &Rig) -> Vec<Value> {
    let mut stream = rig.queue.events(EventCursor::Oldest).await.unwrap();
    let mut events = Vec::new();
    while let Some(notice) = stream.try_next().await.unwrap() {
        let Notice::Event(stored) = notice else { panic!("nothing is trimmed here") };
        if stored.event.name() != "agent-hello" {
            events.push(as_node_has_it(&stored));
        }
    }
    events
}

/// One of everything that writes events, steered by one side and worked on by another. The worker is idle in between,
/// so that the order is always the same.
async fn everything(rig: &Rig, steers: Side, works: Side) {
    let work = Work { name: Some("w".into()), ..Work::default() };
    let start = || rig.work(works, work.clone());
    // A worker that finds nothing; then one job after the other, each seen to its end.
    let worker = start().await;
    let done =
        rig.add(steers, "note", json!({ "progress": { "at": [1, "ü"] }, "lines": [] }), json!({})).await;
    rig.reaches(&done, JobState::Completed).await;
    let failed = rig.add(steers, "fail", json!({ "message": "no\u{7f}/" }), json!({ "attempts": 2 })).await;
    rig.reaches(&failed, JobState::Failed).await;
    let hopeless =
        rig.add(steers, "unrecoverable", json!({ "message": "never" }), json!({ "attempts": 3 })).await;
    rig.reaches(&hopeless, JobState::Failed).await;
    let later =
        rig.add(steers, "fail", json!({ "message": "x" }), json!({ "attempts": 2, "backoff": 60_000 })).await;
    rig.reaches(&later, JobState::Delayed).await;
    let gone = rig.add(steers, "echo", json!(0), json!({ "removeOnComplete": true })).await;
    until("it is gone", || async { rig.view(&gone).await.is_none() }).await;
    worker.close().await;
    // Without a worker.
    rig.pause(steers).await;
    rig.pause(steers).await;
    rig.add(steers, "echo", json!(1), json!({ "jobId": "own" })).await;
    rig.add(steers, "echo", json!(2), json!({ "jobId": "own" })).await;
    let first = rig.add(steers, "echo", json!(3), json!({ "priority": 4 })).await;
    let delayed = rig
        .add(steers, "echo", json!(4), json!({ "delay": 60_000, "timestamp": 1_900_000_000_000_u64 }))
        .await;
    rig.promote(steers, &delayed).await;
    rig.change_priority(steers, &first, 2, false).await;
    rig.update_progress(steers, "own", json!("half")).await;
    rig.update_data(steers, "own", json!({})).await;
    rig.add_log(steers, "own", "line", 5).await;
    rig.retry(steers, &failed, JobState::Failed).await;
    rig.retry(steers, &done, JobState::Completed).await;
    assert!(rig.remove(steers, &delayed).await);
    assert!(rig.remove(steers, &hopeless).await);
    rig.clean(steers, JobState::Delayed).await;
    rig.drain(steers, true).await;
    rig.clean(steers, JobState::Completed).await;
    rig.resume(steers).await;
    rig.resume(steers).await;
    let last = rig.add(steers, "echo", json!(null), json!({})).await;
    let worker = start().await;
    rig.reaches(&last, JobState::Completed).await;
    worker.close().await;
}

/// Without what differs between two runs: entry ids, and times that jobs are due.
fn masked(events: &[Value]) -> Vec<Value> {
    let mask = |event: &Value| {
        let mut event = json!({ "event": event["event"], "fields": event["fields"] });
        if let Some(delay) = event["fields"].get_mut("delay") {
            assert!(delay.as_i64().unwrap() > 1_700_000_000_000, "{delay}");
            *delay = "..".into();
        }
        event
    };
    events.iter().map(mask).collect()
}

#[tokio::test]
async fn both_see_every_event_in_order_and_alike() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let node = rig.make("QueueEvents", json!({ "lastEventId": "0-0" })).await;
        everything(&rig, steers, works).await;
        let expected = ours(&rig).await;
        assert!(expected.len() > 40, "{}", expected.len());
        until("Node's listener has seen the last one", || async {
            rig.agent.told(&node).len() >= expected.len()
        })
        .await;
        let told: Vec<Value> = rig
            .agent
            .told(&node)
            .into_iter()
            .map(|line| json!({ "event": line["event"], "fields": line["fields"], "id": line["id"] }))
            .collect();
        assert_eq!(told, expected, "{steers:?} {works:?}");
        rig.agent.close(&node, json!([])).await;
    }
}

#[tokio::test]
async fn both_write_the_same_events() {
    let mut pattern = None;
    for (steers, works) in [
        (Side::Node, Side::Node),
        (Side::Node, Side::Rust),
        (Side::Rust, Side::Node),
        (Side::Rust, Side::Rust),
    ] {
        let rig = Rig::new().await;
        everything(&rig, steers, works).await;
        let events = masked(&ours(&rig).await);
        let pattern = pattern.get_or_insert_with(|| events.clone());
        for (index, (event, expected)) in events.iter().zip(pattern.iter()).enumerate() {
            assert_eq!(
                event, expected,
                "{steers:?} steers, {works:?} works: event {index}\n{events:#?}\ninstead of\n{pattern:#?}"
            );
        }
        assert_eq!(events.len(), pattern.len(), "{steers:?} {works:?}");
    }
}

#[tokio::test]
async fn both_leave_the_same_in_redis() {
    let mut pattern = None;
    for (steers, works) in [
        (Side::Node, Side::Node),
        (Side::Node, Side::Rust),
        (Side::Rust, Side::Node),
        (Side::Rust, Side::Rust),
    ] {
        let rig = Rig::new().await;
        everything(&rig, steers, works).await;
        // One in each state, too.
        let worker = rig.work(works, Work { name: Some("w".into()), ..Work::default() }).await;
        for (name, opts, state) in [
            ("note", json!({ "keepLogs": 2 }), JobState::Completed),
            ("fail", json!({ "attempts": 2 }), JobState::Failed),
            ("fail", json!({ "attempts": 2, "backoff": 60_000 }), JobState::Delayed),
            ("throws", json!({ "attempts": 2, "priority": 3 }), JobState::Completed),
            ("later", json!({ "priority": 3 }), JobState::Delayed),
        ] {
            let data =
                json!({ "message": "x", "fails": 1, "ms": 60_000, "progress": 1, "lines": ["a", "b", "c"] });
            let id = rig.add(steers, name, data, opts).await;
            rig.reaches(&id, state).await;
        }
        worker.close().await;
        for opts in [json!({}), json!({ "priority": 3 }), json!({ "delay": 60_000 }), json!({ "lifo": true })]
        {
            rig.add(steers, "echo", json!({}), opts).await;
        }
        let left = keyspace::of(&[&rig], &[]);
        let pattern = pattern.get_or_insert_with(|| left.clone());
        for (key, value) in pattern.as_object().unwrap() {
            assert_eq!(&left[key], value, "{steers:?} steers, {works:?} works: {key}");
        }
        assert_eq!(
            left.as_object().unwrap().len(),
            pattern.as_object().unwrap().len(),
            "{left:#}\n{pattern:#}"
        );
    }
}

#[tokio::test]
async fn a_custom_event_is_heard_by_the_other_side() {
    let rig = Rig::new().await;
    let node = rig.make("QueueEvents", json!({})).await;
    rig.queue.publish("mine", &[("text", "grüße"), ("n", "1")]).await.unwrap();
    until("Node hears ours", || async {
        rig.agent
            .told(&node)
            .iter()
            .any(|line| line["event"] == "mine" && line["fields"] == json!({ "text": "grüße", "n": "1" }))
    })
    .await;
    let producer = rig.make("QueueEventsProducer", json!({})).await;
    let event = json!([{ "eventName": "yours", "jobId": "7", "x": "y" }]);
    rig.agent.call(&producer, "publishEvent", event).await.unwrap();
    let heard = ours(&rig).await;
    let last = heard.last().unwrap();
    assert_eq!((&last["event"], &last["fields"]), (&json!("yours"), &json!({ "jobId": "7", "x": "y" })));
    rig.agent.close(&node, json!([])).await;
}

#[tokio::test]
async fn trimming_by_node_is_noticed_and_the_limit_is_nodes() {
    let rig = Rig::new().await;
    let mut stream = rig.queue.events(EventCursor::Oldest).await.unwrap();
    rig.add(Side::Rust, "echo", json!(1), json!({})).await;
    assert!(matches!(stream.try_next().await.unwrap(), Some(Notice::Event(_))));
    for n in 0..400 {
        rig.add(Side::Rust, "echo", json!(n), json!({})).await;
    }
    rig.node("trimEvents", json!([0])).await;
    rig.add(Side::Rust, "echo", json!(1), json!({})).await;
    let mut notices = Vec::new();
    while let Some(notice) = stream.try_next().await.unwrap() {
        notices.push(notice);
    }
    assert!(notices.contains(&Notice::Trimmed), "{} notices", notices.len());
    let kept: String = redis::cmd("HGET")
        .arg(format!("bull:{}:meta", rig.name))
        .arg("opts.maxLenEvents")
        .query(&mut server::connection())
        .unwrap();
    assert_eq!(kept, "10000");
    // A producer of Node's that wants fewer is obeyed by ours.
    let small = rig.make("Queue", json!({ "streams": { "events": { "maxLen": 50 } } })).await;
    for n in 0..400 {
        rig.add(Side::Rust, "echo", json!(n), json!({})).await;
    }
    let length: usize =
        redis::cmd("XLEN").arg(format!("bull:{}:events", rig.name)).query(&mut server::connection()).unwrap();
    assert!(length < 300, "{length}");
    rig.agent.close(&small, json!([])).await;
}

#[tokio::test]
async fn locks_are_renewed_and_neither_side_takes_the_others_jobs_for_stalled() {
    let rig = Rig::new().await;
    // The jobs take longer than a lock lasts and than two checks.
    let work = Work { lock: ms(1_000), stall_check: ms(400), concurrency: 2, ..Work::default() };
    let worker = rig.work(Side::Node, work.clone()).await;
    let ours = rig.work(Side::Rust, work).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(
            rig.add(
                if n % 2 == 0 { Side::Rust } else { Side::Node },
                "slow",
                json!({ "ms": 2_000 }),
                json!({}),
            )
            .await,
        );
    }
    for id in &ids {
        rig.reaches(id, JobState::Completed).await;
        assert_eq!(rig.view(id).await.unwrap().job.stalled_count, 0, "locks are renewed on both sides");
    }
    let Running::Node { .. } = &worker else { panic!() };
    for event in ["error", "stalled", "lockRenewalFailed", "failed"] {
        assert_eq!(worker.told(event), Vec::<Value>::new(), "{event}");
    }
    worker.close().await;
    ours.close().await;
}
