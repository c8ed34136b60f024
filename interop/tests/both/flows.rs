//! Jobs that Node ties to others: children of a flow, jobs of a scheduler, deduplicated jobs.

use oxmq_core::JobState;
use oxmq_interop::{Rig, Side, Work, keyspace, until};
use serde_json::{Value, json};

/// A parent in the rig's queue with children in another, added by Node's `FlowProducer`. Answers with the ids.
async fn flow(
    rig: &Rig,
    children: &Rig,
    names: &[(&str, Value, Value)],
    opts: Value,
) -> (String, Vec<String>) {
    let producer = rig.make("FlowProducer", json!({})).await;
    let nodes: Vec<Value> = names
        .iter()
        .map(|(name, data, opts)| json!({ "name": name, "queueName": children.name, "data": data, "opts": opts }))
        .collect();
    let tree = json!({ "name": "echo", "queueName": rig.name, "data": { "is": "parent" }, "opts": opts, "children": nodes });
    let answer = rig.agent.call(&producer, "add", json!([tree])).await.unwrap();
    let id = |node: &Value| node["job"]["id"].as_str().unwrap().to_owned();
    let kids = answer["children"].as_array().unwrap().iter().map(id).collect();
    (id(&answer), kids)
}

fn child(name: &str, data: Value, opts: Value) -> (&str, Value, Value) {
    (name, data, opts)
}

#[tokio::test]
async fn a_parent_waits_for_its_children_and_both_see_it() {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, kids) = flow(
        &rig,
        &children,
        &[child("echo", json!(1), json!({})), child("echo", json!(2), json!({}))],
        json!({}),
    )
    .await;
    for side in Side::BOTH {
        assert_eq!(rig.shown(side, &parent).await["state"], "waiting-children");
        assert_eq!(rig.ids(side, JobState::WaitingChildren).await, [parent.as_str()]);
        let mut waiting = children.ids(side, JobState::Waiting).await;
        waiting.sort();
        let mut kids = kids.clone();
        kids.sort();
        assert_eq!(waiting, kids);
    }
}

async fn a_parent_runs_when_its_children_are_done(side: Side) {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, _) = flow(
        &rig,
        &children,
        &[child("echo", json!(1), json!({})), child("echo", json!(2), json!({}))],
        json!({}),
    )
    .await;
    let worker = children.work(side, Work::default()).await;
    rig.reaches(&parent, JobState::Waiting).await;
    let values = rig.node_job(&parent, "getChildrenValues", json!([])).await;
    let mut values: Vec<i64> =
        values.as_object().unwrap().values().map(|value| value.as_i64().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
    worker.close().await;
}

#[tokio::test]
async fn we_do_a_parent_whose_children_node_has_done() {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, _) = flow(&rig, &children, &[child("echo", json!(1), json!({}))], json!({})).await;
    let ours = rig.work(Side::Rust, Work::default()).await;
    let node = children.work(Side::Node, Work::default()).await;
    assert_eq!(rig.outcome(Side::Node, &parent).await, Ok(json!({ "is": "parent" })));
    assert_eq!(rig.shown(Side::Node, &parent).await, rig.shown(Side::Rust, &parent).await);
    ours.close().await;
    node.close().await;
}

async fn a_child_that_fails_fails_its_parent(side: Side) {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let fails = child("fail", json!({ "message": "no" }), json!({ "failParentOnFailure": true }));
    let (parent, kids) = flow(&rig, &children, &[fails], json!({})).await;
    let worker = children.work(side, Work::default()).await;
    children.reaches(&kids[0], JobState::Failed).await;
    let node = rig.work(Side::Node, Work::default()).await;
    rig.reaches(&parent, JobState::Failed).await;
    let reason = rig.outcome(Side::Node, &parent).await.unwrap_err();
    assert!(reason.contains(&kids[0]), "{reason}");
    worker.close().await;
    node.close().await;
}

async fn a_child_that_fails_and_is_ignored_lets_its_parent_run(side: Side) {
    for option in ["ignoreDependencyOnFailure", "removeDependencyOnFailure", "continueParentOnFailure"] {
        let (rig, children) = (Rig::new().await, Rig::new().await);
        let fails = child("fail", json!({ "message": "no" }), json!({ option: true }));
        let (parent, _) = flow(&rig, &children, &[fails], json!({})).await;
        let worker = children.work(side, Work::default()).await;
        rig.reaches(&parent, JobState::Waiting).await;
        worker.close().await;
    }
}

async fn a_removed_child_releases_its_parent(side: Side) {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, kids) = flow(&rig, &children, &[child("echo", json!(1), json!({}))], json!({})).await;
    assert!(children.remove(side, &kids[0]).await);
    rig.reaches(&parent, JobState::Waiting).await;
}

async fn a_removed_parent_takes_its_children_along(side: Side) {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, kids) = flow(&rig, &children, &[child("echo", json!(1), json!({}))], json!({})).await;
    assert!(rig.remove(side, &parent).await);
    assert!(children.view(&kids[0]).await.is_none());
}

async fn a_child_shows_its_parent_when_it_is_done(side: Side) {
    let (rig, children) = (Rig::new().await, Rig::new().await);
    let (parent, kids) = flow(&rig, &children, &[child("echo", json!(1), json!({}))], json!({})).await;
    let worker = children.work(side, Work::default()).await;
    children.reaches(&kids[0], JobState::Completed).await;
    let shown = children.shown(Side::Node, &kids[0]).await;
    assert_eq!(shown["parentKey"], format!("bull:{}:{parent}", rig.name));
    assert_eq!(shown["parent"]["id"], parent.as_str());
    worker.close().await;
}

/// A parent `p` and children `c0`, `c1`, .. with these names and options.
fn tree(parent: Value, children: Vec<(&'static str, Value)>) -> (Value, Vec<(&'static str, Value)>) {
    (parent, children)
}

/// What a flow leaves in Redis once its children have ended, and once its parent has, if it can; done by one side.
async fn left_by(side: Side, (parent, children): (Value, Vec<(&'static str, Value)>)) -> [Value; 2] {
    let (above, below) = (Rig::new().await, Rig::new().await);
    let producer = above.make("FlowProducer", json!({})).await;
    let with_id = |opts: &Value, id: &str| {
        let mut opts = opts.clone();
        opts["jobId"] = id.into();
        opts
    };
    let nodes = children.iter().enumerate().map(|(index, (name, opts))| {
        let data = json!({ "message": "no", "fails": 1 });
        json!({ "name": name, "queueName": below.name, "data": data, "opts": with_id(opts, &format!("c{index}")) })
    });
    let nodes: Vec<Value> = nodes.collect();
    let root = json!({
        "name": "echo", "queueName": above.name, "data": { "is": "parent" }, "opts": with_id(&parent, "p"), "children": nodes,
    });
    below.pause(Side::Node).await;
    above.agent.call(&producer, "add", json!([root])).await.unwrap();
    let worker = below.work(side, Work { name: Some("w".into()), ..Work::default() }).await;
    below.resume(Side::Node).await;
    until("the children have ended", || async { below.queue.counts().await.unwrap().unfinished() == 0 })
        .await;
    worker.close().await;
    let children_done = keyspace::of(&[&above, &below], &[]);
    let can_run = matches!(above.view("p").await.unwrap().state, JobState::Waiting | JobState::Prioritized);
    let worker = above.work(side, Work { name: Some("w".into()), ..Work::default() }).await;
    if can_run {
        until("the parent has ended", || async { above.queue.counts().await.unwrap().unfinished() == 0 })
            .await;
    }
    worker.close().await;
    [children_done, keyspace::of(&[&above, &below], &[])]
}

#[tokio::test]
async fn flows_leave_the_same_in_redis_whoever_does_them() {
    let trees = || {
        let mut trees = vec![
            tree(json!({}), vec![("value", json!({})), ("echo", json!({}))]),
            tree(
                json!({}),
                vec![
                    ("echo", json!({ "removeOnComplete": true })),
                    ("echo", json!({ "removeOnComplete": 1 })),
                ],
            ),
            tree(json!({ "priority": 4 }), vec![("echo", json!({}))]),
            tree(json!({ "delay": 60_000 }), vec![("echo", json!({}))]),
            tree(json!({ "lifo": true }), vec![("throws", json!({ "attempts": 2 }))]),
            tree(json!({}), vec![("fail", json!({}))]),
            tree(json!({}), vec![("fail", json!({ "removeOnFail": true }))]),
        ];
        for option in [
            "failParentOnFailure",
            "continueParentOnFailure",
            "ignoreDependencyOnFailure",
            "removeDependencyOnFailure",
        ] {
            trees.push(tree(json!({}), vec![("fail", json!({ option: true }))]));
            trees.push(tree(
                json!({}),
                vec![("fail", json!({ option: true, "attempts": 2 })), ("echo", json!({}))],
            ));
            trees.push(tree(json!({}), vec![("fail", json!({ option: true, "removeOnFail": true }))]));
        }
        trees
    };
    for (node, ours) in trees().into_iter().zip(trees()) {
        let shown = format!("{node:?}");
        let (node, ours) = (left_by(Side::Node, node).await, left_by(Side::Rust, ours).await);
        for (phase, (node, ours)) in node.iter().zip(&ours).enumerate() {
            for (key, value) in node.as_object().unwrap() {
                let (what, ours) = (key, &without_words(&ours[key]));
                assert_eq!(ours, &without_words(value), "{shown}: {what} in phase {phase}");
            }
            assert_eq!(
                ours.as_object().unwrap().len(),
                node.as_object().unwrap().len(),
                "{shown}: {ours:#}\n{node:#}"
            );
        }
    }
}

/// Without the stack that Node writes, and we do not, for a failure that was deferred.
fn without_words(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(job) = value.as_object_mut()
        && job.contains_key("failedReason")
    {
        job.remove("stacktrace");
    }
    value
}

/// What deduplicated jobs leave in Redis, done by one side.
async fn left_by_deduplication(side: Side, name: &str, deduplication: Value, opts: Value) -> Value {
    let rig = Rig::new().await;
    let gate = format!("{} gate", rig.name);
    let add = |id: &'static str, name: String| {
        let mut opts = opts.clone();
        opts["deduplication"] = deduplication.clone();
        opts["deduplication"]["id"] = "d".into();
        opts["jobId"] = id.into();
        let data = json!({ "gate": gate, "message": "no", "fails": 1, "n": id });
        let rig = &rig;
        async move { rig.add(Side::Node, &name, data, opts).await }
    };
    let worker = rig.work(side, Work { name: Some("w".into()), ..Work::default() }).await;
    let first = add("a", "hold".into()).await;
    rig.holds(side, &worker, &first).await;
    add("b", name.into()).await;
    add("c", name.into()).await;
    rig.open(&gate).await;
    until("all have ended", || async { rig.queue.counts().await.unwrap().unfinished() == 0 }).await;
    add("e", name.into()).await;
    until("all have ended", || async { rig.queue.counts().await.unwrap().unfinished() == 0 }).await;
    worker.close().await;
    keyspace::of(&[&rig], &[])
}

#[tokio::test]
async fn deduplication_leaves_the_same_in_redis_whoever_does_the_jobs() {
    for name in ["echo", "fail", "throws"] {
        for deduplication in [
            json!({}),
            json!({ "ttl": 60_000 }),
            json!({ "ttl": 60_000, "extend": true }),
            json!({ "keepLastIfActive": true }),
        ] {
            for opts in [json!({ "attempts": 2 }), json!({ "removeOnComplete": true, "removeOnFail": true })]
            {
                let node = left_by_deduplication(Side::Node, name, deduplication.clone(), opts.clone()).await;
                let ours = left_by_deduplication(Side::Rust, name, deduplication.clone(), opts.clone()).await;
                assert_eq!(ours, node, "{name} {deduplication} {opts}");
            }
        }
    }
}

async fn scheduler(rig: &Rig) {
    let every = json!(["tick", { "every": 100 }, { "name": "echo", "data": { "tick": 1 } }]);
    rig.node("upsertJobScheduler", every).await;
}

async fn the_first_job_of_a_scheduler_is_done(side: Side) {
    let rig = Rig::new().await;
    scheduler(&rig).await;
    let worker = rig.work(side, Work::default()).await;
    until("one is done", || async { rig.queue.counts().await.unwrap().completed >= 1 }).await;
    let done = rig.ids(Side::Rust, JobState::Completed).await;
    assert!(done[0].starts_with("repeat:tick:"), "{done:?}");
    assert_eq!(rig.shown(Side::Node, &done[0]).await["repeatJobKey"], "tick");
    worker.close().await;
}

async fn a_scheduler_goes_on_when_its_jobs_are_done(side: Side) {
    let rig = Rig::new().await;
    scheduler(&rig).await;
    let worker = rig.work(side, Work::default()).await;
    until("three are done", || async { rig.queue.counts().await.unwrap().completed >= 3 }).await;
    worker.close().await;
    rig.node("removeJobScheduler", json!(["tick"])).await;
}

async fn a_scheduler_survives_drain_clean_and_remove(side: Side) {
    let rig = Rig::new().await;
    scheduler(&rig).await;
    let upcoming = rig.ids(Side::Node, JobState::Delayed).await;
    let upcoming = if upcoming.is_empty() { rig.ids(Side::Node, JobState::Waiting).await } else { upcoming };
    assert_eq!(upcoming.len(), 1);
    rig.drain(side, true).await;
    assert!(rig.view(&upcoming[0]).await.is_some(), "drained");
    rig.clean(side, JobState::Delayed).await;
    rig.clean(side, JobState::Waiting).await;
    assert!(rig.view(&upcoming[0]).await.is_some(), "cleaned");
    // Node's error is -8.
    let refused = match side {
        Side::Node => rig.agent.call(&rig.name, "remove", json!([upcoming[0]])).await.is_err(),
        Side::Rust => {
            let cancelled = rig.queue.cancel(upcoming[0].as_str(), "not wanted").await;
            assert_eq!(cancelled.unwrap_err().kind(), oxmq_core::ErrorKind::Refused);
            rig.queue.remove(upcoming[0].as_str()).await.is_err()
        }
    };
    assert!(refused && rig.view(&upcoming[0]).await.is_some(), "removed");
    rig.node("removeJobScheduler", json!(["tick"])).await;
}

/// Adds with a deduplication id; the id of the job that stands for it.
async fn add_once(rig: &Rig, name: &str, more: Value) -> String {
    let mut deduplication = json!({ "id": "d" });
    for (key, value) in more.as_object().into_iter().flatten() {
        deduplication[key] = value.clone();
    }
    rig.add(Side::Node, name, json!({ "message": "x" }), json!({ "deduplication": deduplication })).await
}

async fn a_deduplicated_job_can_be_added_again_when_it_is_done(side: Side) {
    for (name, state) in [("echo", JobState::Completed), ("fail", JobState::Failed)] {
        let rig = Rig::new().await;
        let first = add_once(&rig, name, json!({})).await;
        assert_eq!(add_once(&rig, name, json!({})).await, first, "it stands for it");
        let worker = rig.work(side, Work::default()).await;
        rig.reaches(&first, state).await;
        assert_ne!(add_once(&rig, name, json!({})).await, first, "{state}");
        worker.close().await;
    }
}

async fn a_deduplication_with_a_time_to_live_outlasts_the_job(side: Side) {
    let rig = Rig::new().await;
    let first = add_once(&rig, "echo", json!({ "ttl": 60_000 })).await;
    let worker = rig.work(side, Work::default()).await;
    rig.reaches(&first, JobState::Completed).await;
    assert_eq!(add_once(&rig, "echo", json!({ "ttl": 60_000 })).await, first);
    worker.close().await;
}

async fn the_last_job_of_those_that_came_meanwhile_runs_next(side: Side) {
    let rig = Rig::new().await;
    let gate = format!("{} gate", rig.name);
    let opts = json!({ "deduplication": { "id": "d", "keepLastIfActive": true } });
    let first = rig.add(Side::Node, "hold", json!({ "gate": gate }), opts.clone()).await;
    let worker = rig.work(side, Work::default()).await;
    rig.holds(side, &worker, &first).await;
    for n in 1..=3 {
        rig.add(Side::Node, "echo", json!({ "n": n }), opts.clone()).await;
    }
    rig.open(&gate).await;
    until("two are done", || async { rig.queue.counts().await.unwrap().completed == 2 }).await;
    let done = rig.ids(Side::Rust, JobState::Completed).await;
    assert_eq!(rig.view(&done[1]).await.unwrap().job.data.as_str(), r#"{"n":3}"#);
    worker.close().await;
}

async fn a_deduplicated_job_that_is_removed_can_be_added_again(side: Side) {
    let rig = Rig::new().await;
    let first = add_once(&rig, "echo", json!({})).await;
    assert!(rig.remove(side, &first).await);
    assert_ne!(add_once(&rig, "echo", json!({})).await, first);
}

/// Each case twice: as BullMQ has it, and with us in a part of its place.
macro_rules! cases {
    ($($case:ident $(ignore $reason:literal)?;)*) => {
        mod node {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(super::Side::Node).await;
                }
            )*
        }
        mod ours {
            $(
                #[tokio::test]
                $(#[ignore = $reason])?
                async fn $case() {
                    super::$case(super::Side::Rust).await;
                }
            )*
        }
    };
}

cases! {
    a_parent_runs_when_its_children_are_done;
    a_child_that_fails_fails_its_parent;
    a_child_that_fails_and_is_ignored_lets_its_parent_run;
    a_removed_child_releases_its_parent;
    a_removed_parent_takes_its_children_along;
    a_child_shows_its_parent_when_it_is_done;
    the_first_job_of_a_scheduler_is_done;
    a_scheduler_goes_on_when_its_jobs_are_done;
    a_scheduler_survives_drain_clean_and_remove;
    a_deduplicated_job_can_be_added_again_when_it_is_done;
    a_deduplication_with_a_time_to_live_outlasts_the_job;
    the_last_job_of_those_that_came_meanwhile_runs_next;
    a_deduplicated_job_that_is_removed_can_be_added_again;
}
