//! Schedules: made, worked on, shown and removed by either side.

use std::collections::BTreeMap;
use std::time::Duration;

use oxmq_core::schedule::{Missed, Overlap, Repeat};
use oxmq_core::store::ScheduleInfo;
use oxmq_core::{JobOptions, JobState, Order, Schedule, Timestamp};
use oxmq_interop::{Rig, Running, Side, Work, ms, until};
use serde_json::{Map, Value, json};

/// Makes a schedule, or puts another in its place.
async fn put(rig: &Rig, side: Side, id: &str, repeat: Value, data: Value, opts: Value) {
    match side {
        Side::Node => {
            let template = json!({ "name": "echo", "data": data, "opts": opts });
            rig.node("upsertJobScheduler", json!([id, repeat, template])).await;
        }
        Side::Rust => {
            let schedule = Schedule::from(Repeat::parse(&repeat.to_string()).unwrap());
            let options = JobOptions::parse(&opts.to_string()).unwrap();
            let put = rig.queue.schedules().put_named(id, schedule, "echo", &data);
            put.options(options).await.unwrap();
        }
    }
}

async fn remove(rig: &Rig, side: Side, id: &str) -> bool {
    match side {
        Side::Node => rig.node("removeJobScheduler", json!([id])).await == true,
        Side::Rust => rig.queue.schedules().remove(id).await.unwrap(),
    }
}

/// One schedule as Node's getter names its parts.
async fn shown(rig: &Rig, side: Side, id: &str) -> Value {
    match side {
        Side::Node => rig.node("getJobScheduler", json!([id])).await,
        Side::Rust => rig.queue.schedules().get(id).await.unwrap().map_or(Value::Null, |info| as_node(&info)),
    }
}

fn as_node(info: &ScheduleInfo) -> Value {
    let mut parts: Map<String, Value> = info.repeat.as_ref().unwrap().to_json().read().unwrap();
    // Of a pattern it is 0, and said so by Node only.
    parts.entry("offset").or_insert(json!(0));
    parts.insert("key".into(), json!(info.id));
    parts.insert("name".into(), json!(info.name));
    parts.insert("next".into(), json!(info.next.as_millis()));
    parts.insert("iterationCount".into(), json!(info.made));
    let mut template = Map::new();
    for (name, part) in [("data", &info.data), ("opts", &info.options)] {
        if part.as_str() != "{}" {
            template.insert(name.into(), part.read().unwrap());
        }
    }
    if !template.is_empty() {
        parts.insert("template".into(), Value::Object(template));
    }
    Value::Object(parts)
}

async fn next(rig: &Rig, id: &str) -> Timestamp {
    rig.queue.schedules().get(id).await.unwrap().unwrap().next
}

/// When each slot's job was started, by slot.
async fn starts(rig: &Rig, id: &str) -> BTreeMap<i64, i64> {
    let mut starts = BTreeMap::new();
    for job in rig.ids(Side::Rust, JobState::Completed).await {
        let job = rig.view(&job).await.unwrap().job;
        assert_eq!(job.scheduler_id.as_deref(), Some(id));
        assert_eq!(job.attempts_started, 1, "once");
        let slot = job.id.as_str().rsplit(':').next().unwrap().parse().unwrap();
        starts.insert(slot, job.processed_on.unwrap().as_millis());
    }
    starts
}

/// How many jobs a worker ran; all of ours count as one.
fn runs(rig: &Rig, worker: &Running) -> usize {
    match worker {
        Running::Node { .. } => worker.told("run").len(),
        Running::Rust(_) => rig.diary.runs.lock().unwrap().len(),
    }
}

/// A schedule goes from the workers of one side to those of the other and back; each slot has one run, and none is left out but those
/// that had passed when the job before them was started.
async fn no_slot_is_lost_or_doubled(maker: Side, repeat: Value, step: i64, slots: usize) {
    let rig = Rig::new().await;
    put(&rig, maker, "tick", repeat, json!({ "n": 1 }), json!({})).await;
    let completed = async || usize::try_from(rig.queue.counts().await.unwrap().completed).unwrap();
    let mut workers: Vec<Running> = Vec::new();
    for (turn, side) in [maker, maker.other(), maker, maker.other()].into_iter().enumerate() {
        let worker = rig.work(side, Work::default()).await;
        // The one before goes when this one is there.
        if let Some(before) = workers.pop() {
            assert!(runs(&rig, &before) > 0, "each side had its turn");
            before.close().await;
        }
        let enough = slots * (turn + 1);
        // The one before may have done more than its share while this one was started.
        until("some slots are done, and by this one", || async {
            completed().await >= enough && runs(&rig, &worker) > 0
        })
        .await;
        workers.push(worker);
    }
    assert!(remove(&rig, maker.other(), "tick").await);
    until("nothing runs", || async { rig.queue.counts().await.unwrap().unfinished() == 0 }).await;
    for worker in workers {
        worker.close().await;
    }
    let starts: Vec<(i64, i64)> = starts(&rig, "tick").await.into_iter().collect();
    for pair in starts.windows(2) {
        let ((slot, started), (following, _)) = (pair[0], pair[1]);
        assert!(started >= slot, "not before its time");
        let missed = following - slot > step;
        assert!(following > slot && (!missed || started + step / 2 >= slot + step), "{starts:?}");
    }
    let counts = rig.queue.counts().await.unwrap();
    assert_eq!((counts.failed, counts.completed), (0, starts.len() as u64));
}

#[tokio::test]
async fn every_goes_from_side_to_side() {
    for maker in Side::BOTH {
        no_slot_is_lost_or_doubled(maker, json!({ "every": 200 }), 200, 3).await;
    }
}

#[tokio::test]
async fn a_pattern_goes_from_side_to_side() {
    for maker in Side::BOTH {
        let repeat = json!({ "pattern": "* * * * * *", "tz": "Europe/Stockholm" });
        no_slot_is_lost_or_doubled(maker, repeat, 1_000, 1).await;
    }
}

#[tokio::test]
async fn both_sides_show_a_schedule_alike() {
    let later = 1_900_000_000_000_i64;
    for maker in Side::BOTH {
        let rig = Rig::new().await;
        let opts = json!({ "attempts": 3, "backoff": { "type": "fixed", "delay": 5 }, "keepLogs": 4, "priority": 2 });
        let far =
            json!({ "every": 3_600_000, "limit": 7, "startDate": later, "endDate": later + 90_000_000 });
        put(&rig, maker, "far", far, json!({ "a": [1, "ü"] }), opts).await;
        let yearly = json!({ "pattern": "0 30 4 1 1 *", "tz": "Asia/Tokyo" });
        put(&rig, maker, "a:b:c", yearly, json!({}), json!({})).await;
        for id in ["far", "a:b:c"] {
            let node = shown(&rig, Side::Node, id).await;
            assert_eq!(node, shown(&rig, Side::Rust, id).await, "by {maker:?}");
            assert_eq!(node["key"], id);
        }
        let listed = rig.node("getJobSchedulers", json!([0, -1, true])).await;
        let request = oxmq_core::store::SchedulesRequest { offset: 0, limit: 10, order: Order::Ascending };
        let page = rig.queue.schedules().list(request).await.unwrap();
        assert_eq!(listed, page.schedules.iter().map(as_node).collect::<Value>());
        assert_eq!((page.total, rig.node("getJobSchedulersCount", json!([])).await), (2, json!(2)));
        for job in rig.ids(Side::Rust, JobState::Delayed).await {
            assert_eq!(rig.shown(Side::Node, &job).await, rig.shown(Side::Rust, &job).await);
        }
    }
}

#[tokio::test]
async fn what_one_side_put_is_replaced_and_removed_by_the_other() {
    for maker in Side::BOTH {
        let rig = Rig::new().await;
        let hourly = json!({ "every": 3_600_000, "startDate": 1_900_000_000_000_i64 });
        put(&rig, maker, "tick", hourly.clone(), json!(1), json!({})).await;
        let slot = next(&rig, "tick").await;
        put(&rig, maker.other(), "tick", hourly, json!(2), json!({ "priority": 3 })).await;
        assert_eq!(next(&rig, "tick").await, slot, "the slot is kept");
        let delayed = rig.ids(Side::Node, JobState::Delayed).await;
        assert_eq!(delayed, [format!("repeat:tick:{slot}")]);
        let shown = rig.shown(Side::Node, &delayed[0]).await;
        assert_eq!(shown["data"], 2);
        // Another rule begins anew.
        put(&rig, maker, "tick", json!({ "pattern": "0 0 0 1 1 *" }), json!(3), json!({})).await;
        assert_eq!(rig.ids(Side::Rust, JobState::Delayed).await.len(), 1);
        assert_eq!(self::shown(&rig, Side::Node, "tick").await["every"], Value::Null);
        assert!(remove(&rig, maker.other(), "tick").await);
        assert!(!remove(&rig, maker, "tick").await);
        assert_eq!(rig.queue.counts().await.unwrap().total(), 0);
        assert_eq!(self::shown(&rig, Side::Rust, "tick").await, Value::Null);
    }
}

#[tokio::test]
async fn our_rules_are_handed_on_by_node() {
    let rig = Rig::new().await;
    let within = Duration::from_secs(60);
    let schedule = Schedule::every(ms(100)).missed(Missed::All { within }).overlap(Overlap::Skip).limit(4);
    rig.queue.schedules().put_named("tick", schedule, "echo", &1).attempts(2).await.unwrap();
    let worker = rig.work(Side::Node, Work::default()).await;
    until("all four are done", || async { rig.queue.counts().await.unwrap().completed == 4 }).await;
    worker.close().await;
    for id in rig.ids(Side::Rust, JobState::Completed).await {
        let options = rig.view(&id).await.unwrap().job.options();
        let repeat = Repeat::parse(options.other["repeat"].as_str()).unwrap();
        assert_eq!(repeat.other_oxmq["overlap"].as_str(), "\"skip\"");
        assert_eq!(repeat.other_oxmq["missed"].as_str(), "{\"all\":60000}");
        assert_eq!(options.attempts, Some(2));
    }
    let info = rig.queue.schedules().get("tick").await.unwrap().unwrap();
    assert!(info.ended && info.made == 4);
}

#[tokio::test]
async fn a_hash_is_the_same_on_both_sides() {
    let rig = Rig::new().await;
    rig.queue.schedules().put_named("spread", Schedule::cron("H H 1 1 *"), "echo", &1).await.unwrap();
    let first = next(&rig, "spread").await;
    rig.promote(Side::Rust, &format!("repeat:spread:{first}")).await;
    let worker = rig.work(Side::Node, Work::default()).await;
    until("it is done", || async { rig.queue.counts().await.unwrap().completed == 1 }).await;
    worker.close().await;
    let second = next(&rig, "spread").await;
    let days = (second - first).as_secs() % 86_400;
    assert!(second > first && days == 0, "the same time of day, a year later: {first}, {second}");
}

#[tokio::test]
async fn a_schedule_that_nobody_can_go_on_with_is_told_and_its_job_runs() {
    let rig = Rig::new().await;
    put(&rig, Side::Node, "tick", json!({ "every": 3_600_000 }), json!(7), json!({})).await;
    let id = format!("repeat:tick:{}", next(&rig, "tick").await);
    let () = redis::cmd("HSET")
        .arg(format!("bull:{}:{id}", rig.name))
        .arg("opts")
        .arg(r#"{"repeat":{"pattern":"whenever"}}"#)
        .query(&mut oxmq_interop::server::connection())
        .unwrap();
    let worker = rig.work(Side::Rust, Work::default()).await;
    rig.reaches(&id, JobState::Completed).await;
    worker.close().await;
    assert!(rig.queue.schedules().get("tick").await.unwrap().unwrap().ended);
}
