//! The faces of flows, on the model store: what they check, walk, gather and give back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::sync::Arc;
use std::time::Duration;

use oxmq_core::conformance::ModelStore;
use oxmq_core::store::{
    ChildKind, ChildOutcome, ChildrenRequest, FLOW_NODES_MAX, Fate, Finish, FinishRequest, OnRefusal,
    RemoveAnswer, TakeRequest,
};
use oxmq_core::{
    ChildFailure, Clock, Ending, Error, ErrorKind, FLOW_DEPTH_MAX, Failure, FlowJob, FlowProducer, FlowTree,
    JobArgs, JobId, JobKey, JobOptions, JobState, JsonText, Lease, Queue, QueueAddress, Retention, Store,
    Timestamp, Token,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

fn store() -> Arc<dyn Store> {
    Arc::new(ModelStore::new())
}

fn job(queue: &str) -> FlowJob {
    FlowJob::named(queue, "n", &json!({}))
}

fn key(queue: &str, id: impl Into<JobId>) -> JobKey {
    JobKey::new(QueueAddress::new(queue).unwrap(), id)
}

/// Takes the next job of a queue.
async fn take(queue: &Queue) -> Lease {
    let request = TakeRequest {
        limit: 1,
        token: Token::new("w:1"),
        lease_for: Duration::from_secs(30),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: queue.clock().now(),
    };
    queue.store().take(queue.address(), request).await.unwrap().jobs.remove(0).lease
}

async fn end(queue: &Queue, lease: Lease, ending: Ending) {
    let finished = vec![Finish { lease, ending, heeds_cancel: false, known: None }];
    let request = FinishRequest { finished, take: None, metrics: None, now: queue.clock().now() };
    let answer = queue.store().finish(queue.address(), request).await.unwrap();
    assert!(answer.answers.iter().all(Result::is_ok), "{answer:?}");
}

/// Completes the next job of a queue.
async fn complete(queue: &Queue, value: &str) {
    let lease = take(queue).await;
    end(queue, lease, Ending::Completed { return_value: JsonText::stored(value), keep: Retention::ALL })
        .await;
}

/// Fails the next job of a queue.
async fn fail(queue: &Queue, reason: &str, keep: Retention) {
    let lease = take(queue).await;
    let failure = Failure { reason: reason.into(), stacktrace: None };
    end(queue, lease, Ending::Failed { failure, attempts: 0, keep }).await;
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error.context().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

#[derive(Serialize, Deserialize)]
struct Chapter {
    title: String,
}

impl JobArgs for Chapter {
    const NAME: &'static str = "write";
}

#[tokio::test]
async fn a_flow_comes_back_as_the_tree_that_was_given() {
    let store = store();
    let chapter = |title: &str| FlowJob::new("chapters", Chapter { title: title.into() });
    let flow = FlowJob::named("reports", "bind", "2026")
        .id("report")
        .child(chapter("sales").id("sales").child(job("sums").prefix("other")))
        .children([chapter("costs").priority(3), chapter("people").delay(Duration::from_secs(9))]);
    let added = FlowProducer::new(&store).add(flow).await.unwrap();
    assert_eq!(added.key(), key("reports", "report"));
    assert_eq!((added.job.state, &added.job.fate), (JobState::WaitingChildren, &Fate::Created));
    let kids: Vec<_> = added.children.iter().map(|kid| (kid.queue.to_string(), kid.job.state)).collect();
    assert_eq!(
        kids,
        [
            ("bull:chapters".to_owned(), JobState::WaitingChildren),
            ("bull:chapters".to_owned(), JobState::Prioritized),
            ("bull:chapters".to_owned(), JobState::Delayed),
        ]
    );
    let sums = &added.children[0].children[0];
    assert_eq!(sums.queue.to_string(), "other:sums");
    assert_eq!(sums.job.id.as_str().len(), 36, "drawn: {}", sums.job.id);

    let chapters = Queue::new(&store, "chapters").unwrap();
    let sales = chapters.job("sales").await.unwrap().unwrap().job;
    assert_eq!((sales.name.as_str(), sales.data.as_str()), ("write", r#"{"title":"sales"}"#));
    assert_eq!(sales.parent.unwrap().key, added.key());
    let costs = chapters.job(&added.children[1].job.id).await.unwrap().unwrap().job;
    assert_eq!(costs.options().job_id, None, "an id that was drawn is not among the options");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_way_to_it() {
    let store = store();
    let flows = FlowProducer::builder(&store).data_limit(20).build().unwrap();
    let options = JobOptions::parse(r#"{"deduplication":{"id":"d"}}"#).unwrap();
    let deep = |leaf: FlowJob| job("a").child(job("b")).child(job("b").child(job("c")).child(leaf));
    let at = "root.children[1].children[1]";
    for (flow, field, node) in [
        (FlowJob::named("a", "", &json!({})).child(job("b")), "`name` is empty", "root"),
        (FlowJob::named("a", "n".repeat(1_025), &json!({})), "`name`", "root"),
        (deep(job("")), "`queue` is empty", at),
        (deep(job("a:b")), "`queue` is a:b", at),
        (deep(job("c").prefix("")), "`prefix` is empty", at),
        (deep(job("c").id("17")), "`job_id` is 17", at),
        (deep(job("c").priority(2_097_152)), "`priority`", at),
        (deep(FlowJob::named("c", "n", &"x".repeat(30))), "`data` is 32 bytes", at),
        (deep(job("c").parent(key("a", "x"))), "`parent` is bull:a:x", at),
        (deep(job("c").options(options.clone())), "`deduplication` is d", at),
        (job("a").options(options.clone()).child(job("b")), "`deduplication` is d", "root"),
        (job("a").options(options.clone()).parent(key("a", "x")), "`deduplication` is d", "root"),
        (
            FlowJob::named("a", "n", &std::collections::HashMap::from([(vec![1], 1)])),
            "`data` has no JSON form",
            "root",
        ),
    ] {
        let error = flows.add(flow).await.unwrap_err();
        assert_eq!((error.kind(), fact(&error, "node")), (ErrorKind::Invalid, node), "{error}");
        assert!(error.message().contains(field), "{error}");
    }
    // The root alone may be deduplicated.
    flows.add(job("a").options(options)).await.unwrap();
    assert_eq!(store.queues(None).await.unwrap().len(), 1, "nothing else was stored");
}

#[tokio::test]
async fn a_flow_too_deep_or_too_large_is_refused_and_the_deepest_goes_there_and_back() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let tower = |levels: usize| (1..levels).fold(job("q").id("leaf"), |below, _| job("q").child(below));
    let error = flows.add(tower(FLOW_DEPTH_MAX + 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("at most 1000 levels"), "{error}");
    // Far beyond it even dropping it is no trouble, nor showing it.
    let endless = tower(300_000);
    assert!(format!("{endless:?}").len() < 1_000);
    assert_eq!(flows.add(endless).await.unwrap_err().kind(), ErrorKind::Invalid);

    let wide = job("q").children((0..FLOW_NODES_MAX).map(|_| job("q")));
    let error = flows.add(wide).await.unwrap_err();
    assert!(error.message().contains("at most 10000 jobs"), "{error}");
    let half = || job("q").children((0..FLOW_NODES_MAX / 2).map(|_| job("q")));
    let error = flows.add_bulk([half(), half()]).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "flow_index")), (ErrorKind::Invalid, "1"));
    assert_eq!(Queue::new(&store, "q").unwrap().counts().await.unwrap().total(), 0);

    let added = flows.add(tower(FLOW_DEPTH_MAX)).await.unwrap();
    assert_eq!(added.clone(), added);
    assert!(format!("{added:#?}").len() < 2_000);
    let tree = flows.get_flow(added.key()).depth(FLOW_DEPTH_MAX).await.unwrap().unwrap();
    assert!(format!("{tree:#?}").len() < 4_000);
    let mut levels = 1;
    let mut at = &tree;
    while let Some(below) = at.children.first() {
        (levels, at) = (levels + 1, below);
    }
    assert_eq!((levels, at.key.id.as_str()), (FLOW_DEPTH_MAX, "leaf"));
}

#[tokio::test]
async fn defaults_are_the_producers_own_by_queue_and_never_the_queues() {
    let store = store();
    let options = |json| JobOptions::parse(json).unwrap();
    let builder = FlowProducer::builder(&store);
    let flows = builder
        .queue_defaults("a", options(r#"{"attempts":3,"priority":5}"#))
        .queue_defaults("b", options(r#"{"attempts":9,"ignoreDependencyOnFailure":true}"#))
        .build()
        .unwrap();
    let a = Queue::builder(&store, "a").default_options(options(r#"{"lifo":true}"#)).build().unwrap();
    let flow = || job("a").priority(1).child(job("b").attempts(2)).child(job("c"));
    let mut added = flows.add_bulk([flow()]).await.unwrap();
    added.push(flows.add(flow()).await);
    for added in added {
        let added = added.unwrap();
        let root = a.job(&added.job.id).await.unwrap().unwrap().job.options();
        assert_eq!((root.attempts, root.priority, root.lifo), (Some(3), Some(1), None));
        let [b, c] = [0, 1].map(|index| added.children[index].key());
        let b = store.job(&b.queue, &b.id).await.unwrap().unwrap().job;
        assert_eq!(b.options().attempts, Some(2));
        assert_eq!(b.parent.unwrap().on_failure, Some(ChildFailure::Ignore));
        let c = store.job(&c.queue, &c.id).await.unwrap().unwrap().job;
        assert_eq!((c.options().attempts, c.parent.unwrap().on_failure), (None, None));
    }
    let mut unranged = JobOptions::default();
    unranged.priority = Some(u32::MAX);
    for bad in [
        FlowProducer::builder(&store).prefix(""),
        FlowProducer::builder(&store).queue_defaults("a:b", JobOptions::default()),
        FlowProducer::builder(&store).queue_defaults("a", unranged),
    ] {
        assert_eq!(bad.build().unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_point_in_time_counts_from_the_producers_clock() {
    let store = store();
    let (clock, _hand) = Clock::manual(Timestamp::from_millis(1_000_000));
    let flows = FlowProducer::builder(&store).prefix("p").clock(clock).build().unwrap();
    let leaf = job("a").at(Timestamp::from_millis(1_007_000));
    let added = flows.add(job("a").child(leaf)).await.unwrap();
    let view = store.job(&added.queue, &added.children[0].job.id).await.unwrap().unwrap();
    assert_eq!(view.due, Some(Timestamp::from_millis(1_007_000)));
    assert_eq!(added.queue.to_string(), "p:a");
}

#[tokio::test]
async fn flows_in_bulk_stand_or_fall_each_by_itself() {
    let store = store();
    let flows = FlowProducer::new(&store);
    assert!(flows.add_bulk([]).await.unwrap().is_empty());
    flows.add(job("a").id("other").child(job("b").id("taken"))).await.unwrap();
    let thief = || job("a").id("thief").child(job("b").id("taken")).child(job("b").id("mine"));
    let answers =
        flows.add_bulk([job("a").id("x"), thief(), job("a").id("y").child(job("b"))]).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().job.id.as_str(), "x");
    assert_eq!(answers[1].as_ref().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(answers[2].as_ref().unwrap().children.len(), 1);
    let queue = Queue::new(&store, "b").unwrap();
    assert!(queue.job("mine").await.unwrap().is_none());

    let keeps = FlowProducer::builder(&store).on_refusal(OnRefusal::KeepRest).build().unwrap();
    let added = keeps.add(thief()).await.unwrap();
    assert_eq!(added.children[0].job.fate, Fate::Refused(ErrorKind::Refused));
    assert_eq!(added.children[1].job.fate, Fate::Created);
    assert!(queue.job("mine").await.unwrap().is_some());
}

#[tokio::test]
async fn a_flow_may_hang_from_a_job_that_is_there() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let above = flows.add(job("a").child(job("b"))).await.unwrap().key();
    let below = flows.add(job("c").parent(above.clone()).child(job("b"))).await.unwrap();
    let single = Queue::new(&store, "c").unwrap();
    let late =
        single.add_named("n", &1).parent(above.clone()).on_failure(ChildFailure::Remove).await.unwrap();
    let parent = single.job(&late.id).await.unwrap().unwrap().job.parent.unwrap();
    assert_eq!((&parent.key, parent.on_failure), (&above, Some(ChildFailure::Remove)));
    let queue = Queue::new(&store, "a").unwrap();
    assert_eq!(queue.child_counts(&above.id).await.unwrap().pending, 3);
    let tree = flows.get_flow(above).await.unwrap().unwrap();
    let under = tree.children.iter().find(|child| child.key == below.key()).unwrap();
    assert_eq!(under.children.len(), 1);
    for lost in [
        flows.add(job("c").parent(key("a", "nobody"))).await.map(drop),
        single.add_named("n", &1).parent(key("a", "nobody")).await.map(drop),
    ] {
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_parent_tells_what_became_of_its_children() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let below = Queue::new(&store, "b").unwrap();
    let above = Queue::new(&store, "a").unwrap();
    let kid = |id: &str| job("b").id(id);
    let flow = job("a").id("p").children([
        kid("done"),
        kid("ignored").on_failure(ChildFailure::Ignore),
        kid("fatal").on_failure(ChildFailure::FailParent),
        kid("pending"),
    ]);
    flows.add(flow).await.unwrap();
    complete(&below, "[1,2]").await;
    fail(&below, "never mind", Retention::NONE).await;
    fail(&below, "out", Retention::ALL).await;

    let counts = above.child_counts("p").await.unwrap();
    assert_eq!(
        (counts.processed, counts.pending, counts.ignored, counts.failed, counts.total()),
        (1, 1, 1, 1, 4)
    );
    let values = above.children_values("p").await.unwrap();
    assert_eq!(values.into_iter().collect::<Vec<_>>(), [(key("b", "done"), JsonText::stored("[1,2]"))]);
    let failures = above.ignored_failures("p").await.unwrap();
    assert_eq!(failures.into_iter().collect::<Vec<_>>(), [(key("b", "ignored"), "never mind".to_owned())]);
    let request = ChildrenRequest { job: "p".into(), kinds: vec![ChildKind::Failed], cursor: None, limit: 9 };
    let page = above.children(request).await.unwrap();
    assert_eq!(page.children[0].key, key("b", "fatal"));

    let tree = flows.get_flow(key("a", "p")).await.unwrap().unwrap();
    let seen: Vec<_> = tree
        .children
        .iter()
        .map(|child| (child.key.id.as_str(), child.outcome.as_ref().unwrap().kind(), child.job.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            ("done", ChildKind::Processed, true),
            ("pending", ChildKind::Pending, true),
            ("ignored", ChildKind::Ignored, false),
            ("fatal", ChildKind::Failed, true),
        ]
    );
    assert_eq!(tree.counts, counts);
    assert_eq!(tree.outcome, None);
    assert_eq!(above.child_counts("nobody").await.unwrap().total(), 0);
    assert!(above.children_values("nobody").await.unwrap().is_empty());
}

#[tokio::test]
async fn more_children_than_a_page_are_gathered() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let below = Queue::new(&store, "b").unwrap();
    let flow = job("a").id("p").children((0..2_100).map(|_| job("b")));
    flows.add(flow).await.unwrap();
    for n in 0..2_100 {
        complete(&below, &n.to_string()).await;
    }
    let values = Queue::new(&store, "a").unwrap().children_values("p").await.unwrap();
    let mut numbers: Vec<u32> = values.values().map(|value| value.read().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2_100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flow_is_read_as_deep_and_as_wide_as_asked() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let branch = || job("b").children((0..30).map(|_| job("c")));
    let root = flows.add(job("a").children((0..3).map(|_| branch()))).await.unwrap().key();
    let size = |tree: &FlowTree| {
        (tree.children.len(), tree.children.iter().map(|child| child.children.len()).collect::<Vec<_>>())
    };
    let read = async |depth, children| {
        flows.get_flow(root.clone()).depth(depth).max_children(children).await.unwrap().unwrap()
    };
    assert_eq!(size(&flows.get_flow(root.clone()).await.unwrap().unwrap()), (3, vec![20, 20, 20]));
    assert_eq!(size(&read(3, 30).await), (3, vec![30, 30, 30]));
    assert_eq!(size(&read(2, 2).await), (2, vec![0, 0]));
    let alone = read(1, 5).await;
    assert_eq!((size(&alone), alone.counts.pending), ((0, vec![]), 3));
    assert_eq!(size(&read(9, 0).await), (0, vec![]));
    assert_eq!(read(3, 2).await.children[0].counts.pending, 30);
    assert!(flows.get_flow(key("a", "nobody")).await.unwrap().is_none());
    for (depth, children) in [(0, 1), (FLOW_DEPTH_MAX + 1, 1), (1, 1_001)] {
        let error = flows.get_flow(root.clone()).depth(depth).max_children(children).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn families_are_parted_in_each_way() {
    let store = store();
    let flows = FlowProducer::new(&store);
    let (above, below) = (Queue::new(&store, "a").unwrap(), Queue::new(&store, "b").unwrap());
    let flow =
        |id: &str| job("a").id(id).child(job("b").id(format!("{id}1"))).child(job("b").id(format!("{id}2")));
    for id in ["with", "alone", "pending", "detached"] {
        flows.add(flow(id)).await.unwrap();
    }
    assert_eq!(above.remove("with").await.unwrap(), RemoveAnswer::Removed);
    assert!(below.job("with1").await.unwrap().is_none());

    assert_eq!(above.remove_alone("alone").await.unwrap(), RemoveAnswer::Removed);
    assert!(above.job("alone").await.unwrap().is_none());
    assert!(below.job("alone1").await.unwrap().is_some());

    assert_eq!(above.remove_pending_children("pending").await.unwrap(), RemoveAnswer::Removed);
    assert_eq!(above.job("pending").await.unwrap().unwrap().state, JobState::Waiting);
    assert!(below.job("pending1").await.unwrap().is_none());

    assert!(below.detach("detached1").await.unwrap());
    assert!(below.detach("detached2").await.unwrap());
    assert_eq!(above.job("detached").await.unwrap().unwrap().state, JobState::Waiting);
    let free = below.job("detached1").await.unwrap().unwrap();
    assert_eq!((free.state, free.job.parent), (JobState::Waiting, None));
    assert_eq!(below.detach("nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_outcome_outlasts_its_child() {
    let store = store();
    let flows = FlowProducer::new(&store);
    flows.add(job("a").id("p").child(job("b").id("c").remove_on_complete(Retention::NONE))).await.unwrap();
    let below = Queue::new(&store, "b").unwrap();
    let lease = take(&below).await;
    let value = JsonText::stored("7");
    end(&below, lease, Ending::Completed { return_value: value.clone(), keep: Retention::NONE }).await;
    let tree = flows.get_flow(key("a", "p")).await.unwrap().unwrap();
    assert_eq!(tree.children[0].outcome, Some(ChildOutcome::Processed(value)));
    assert_eq!(tree.children[0].job, None);
}
