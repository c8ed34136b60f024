//! The face `Queue`, on the model store: what it checks, joins and loops over before and around the store's calls.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::future::{IntoFuture, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use oxmq_core::conformance::ModelStore;
use oxmq_core::store::{Finish, FinishRequest, GROUP_JOBS_MAX, QueueLimits, TakeRequest};
use oxmq_core::{
    Clock, Deduplication, Ending, ErrorKind, EventCursor, Failure, JobOptions, JobOutcome, JobState,
    JsonText, Lease, NewJob, Notice, Queue, Retention, Store, Timestamp, Token,
};
use serde_json::json;

fn store() -> Arc<dyn Store> {
    Arc::new(ModelStore::new())
}

fn job(name: &str) -> NewJob {
    NewJob { name: name.into(), data: JsonText::empty_object(), options: JobOptions::default() }
}

async fn take(queue: &Queue) -> Vec<Lease> {
    let request = TakeRequest {
        limit: 100,
        token: Token::new("w:1"),
        lease_for: Duration::from_secs(30),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: queue.clock().now(),
    };
    let taken = queue.store().take(queue.address(), request).await.unwrap();
    taken.jobs.into_iter().map(|leased| leased.lease).collect()
}

async fn finish(queue: &Queue, lease: Lease, ending: Ending) {
    finish_counting(queue, lease, ending, None).await;
}

async fn finish_counting(queue: &Queue, lease: Lease, ending: Ending, metrics: Option<u32>) {
    let finished = vec![Finish { lease, ending, heeds_cancel: false, known: None }];
    let request = FinishRequest { finished, take: None, metrics, now: queue.clock().now() };
    let answer = queue.store().finish(queue.address(), request).await.unwrap();
    assert!(answer.answers.iter().all(Result::is_ok), "{answer:?}");
}

/// A runtime that ends takes its calls with it; who adds on another one later is not left waiting for them.
#[test]
fn adds_go_on_when_the_runtime_of_others_has_ended() {
    let queue = Queue::new(&store(), "q").unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cut_off = runtime();
    cut_off.block_on(async {
        for _ in 0..500 {
            let queue = queue.clone();
            tokio::spawn(async move { queue.add_named("n", &1).await });
        }
        // Some have their answers, some are under way, some wait.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    });
    drop(cut_off);
    runtime().block_on(async {
        let added = tokio::time::timeout(Duration::from_secs(20), queue.add_named("n", &1)).await;
        added.expect("it is not left waiting").unwrap();
    });
}

/// Whoever begins many adds and then waits for all finds the jobs in that order, in however many calls they went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adds_that_are_begun_one_after_the_other_keep_their_order() {
    let queue = Queue::new(&store(), "q").unwrap();
    let mut adds: Vec<_> = (0..2_000).map(|n| queue.add_named("n", &n).into_future()).collect();
    let mut early = Vec::new();
    poll_fn(|context| {
        early = adds.iter_mut().map(|add| add.as_mut().poll(context)).collect();
        Poll::Ready(())
    })
    .await;
    for (n, (add, early)) in adds.iter_mut().zip(early).enumerate() {
        let added = match early {
            Poll::Ready(added) => added,
            Poll::Pending => add.await,
        };
        assert_eq!(added.unwrap().id.as_str(), (n + 1).to_string());
    }
}

#[tokio::test]
async fn adds_that_run_at_the_same_time_all_get_their_own_answer() {
    let queue = Queue::new(&store(), "q").unwrap();
    let adds: Vec<_> = (0..500)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move { (n, queue.add_named("n", &n).id(format!("job-{n}")).await.unwrap()) })
        })
        .collect();
    for add in adds {
        let (n, added) = add.await.unwrap();
        assert_eq!(added.id.as_str(), format!("job-{n}"));
    }
    assert_eq!(queue.counts().await.unwrap().waiting, 500);
}

#[tokio::test]
async fn an_add_that_is_given_up_holds_up_nobody() {
    let queue = Queue::new(&store(), "q").unwrap();
    for _ in 0..50 {
        let given_up = tokio::spawn(queue.add_named("a", &json!({})).into_future());
        tokio::task::yield_now().await;
        given_up.abort();
        queue.add_named("b", &json!({})).await.unwrap();
    }
    assert!(queue.counts().await.unwrap().waiting >= 50);
}

#[tokio::test]
async fn one_callers_bad_job_does_not_fail_anothers() {
    let queue = Queue::new(&store(), "q").unwrap();
    let (bad, good) = tokio::join!(
        queue.add_named("", &json!({})).into_future(),
        queue.add_named("good", &json!({})).into_future()
    );
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(good.unwrap().id.as_str(), "1");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_stored() {
    let store = store();
    let queue = Queue::builder(&store, "q").data_limit(20).build().unwrap();
    for (add, field) in [
        (queue.add_named("", &json!({})), "name"),
        (queue.add_named("n", &json!({})).priority(2_097_152), "priority"),
        (queue.add_named("n", &json!({})).id("17"), "job_id"),
        (queue.add_named("n", &json!({})).id("a:b"), "job_id"),
        (queue.add_named("n", &json!("x".repeat(30))), "data"),
        (queue.add_named("n", &json!("12345")).size_limit(3), "data"),
    ] {
        let error = add.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(field), "{error}");
    }
    // The job's own limit counts instead of the queue's.
    queue.add_named("n", &json!("x".repeat(30))).size_limit(100).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().total(), 1);
    assert!(Queue::new(&store, "").is_err());
    assert!(Queue::new(&store, "a:b").is_err());
}

#[tokio::test]
async fn a_bulk_is_one_group_and_more_is_chunked() {
    let queue = Queue::new(&store(), "q").unwrap();
    let many: Vec<NewJob> = (0..=GROUP_JOBS_MAX).map(|_| job("n")).collect();
    assert_eq!(queue.add_bulk(many.clone()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(queue.counts().await.unwrap().total(), 0);

    let mut groups = Vec::new();
    assert_eq!(queue.add_chunked(many, |added| groups.push(added.len())).await.unwrap(), 1001);
    assert_eq!(groups, [1000, 1]);

    let error = queue.add_bulk(vec![job("a"), job("")]).await.unwrap_err();
    assert!(error.to_string().contains("job_index=1"), "{error}");
    assert_eq!(queue.counts().await.unwrap().total(), 1001);
    assert_eq!(queue.add_bulk(Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn defaults_lie_under_a_jobs_own_options() {
    let defaults = JobOptions::parse(r#"{"attempts":5,"priority":3,"theirs":1}"#).unwrap();
    let queue = Queue::builder(&store(), "q").default_options(defaults).build().unwrap();
    let added = queue.add_named("n", &json!({})).priority(7).await.unwrap();
    let job = queue.job(added.id).await.unwrap().unwrap().job;
    let options = job.options();
    assert_eq!(
        (options.attempts, options.priority, options.other["theirs"].as_str()),
        (Some(5), Some(7), "1")
    );
}

#[tokio::test]
async fn a_point_in_time_is_a_delay_from_now_and_one_in_the_past_is_now() {
    let (clock, _hand) = Clock::manual(Timestamp::from_millis(1_000_000));
    let queue = Queue::builder(&store(), "q").clock(clock).build().unwrap();
    let later = queue.add_named("n", &json!({})).at(Timestamp::from_millis(1_005_000)).await.unwrap();
    assert_eq!(later.state, JobState::Delayed);
    let view = queue.job(later.id).await.unwrap().unwrap();
    assert_eq!(view.due, Some(Timestamp::from_millis(1_005_000)));
    let past = queue.add_named("n", &json!({})).at(Timestamp::from_millis(5)).await.unwrap();
    assert_eq!(past.state, JobState::Waiting);
}

#[tokio::test]
async fn a_result_is_seen_whether_the_wait_begins_before_or_after_the_end() {
    let queue = Queue::new(&store(), "q").unwrap();
    let added = queue.add_named("n", &json!({})).await.unwrap();
    let waiting = tokio::spawn({
        let (queue, id) = (queue.clone(), added.id.clone());
        async move { queue.wait_for(id, None).await }
    });
    tokio::task::yield_now().await;
    let lease = take(&queue).await.remove(0);
    let ending = Ending::Completed { return_value: JsonText::stored("42"), keep: Retention::ALL };
    finish(&queue, lease, ending).await;
    let done = JobOutcome::Completed(JsonText::stored("42"));
    assert_eq!(waiting.await.unwrap().unwrap(), done);
    assert_eq!(queue.wait_for(added.id, None).await.unwrap(), done);
}

#[tokio::test]
async fn the_result_of_a_job_that_is_removed_as_it_ends_is_seen() {
    let queue = Queue::new(&store(), "q").unwrap();
    let added = queue.add_named("n", &json!({})).await.unwrap();
    let waiting = tokio::spawn({
        let (queue, id) = (queue.clone(), added.id.clone());
        async move { queue.wait_for(id, None).await }
    });
    tokio::task::yield_now().await;
    let lease = take(&queue).await.remove(0);
    let failure = Failure { reason: "no".into(), stacktrace: None };
    finish(&queue, lease, Ending::Failed { failure, attempts: 0, keep: Retention::NONE }).await;
    assert_eq!(waiting.await.unwrap().unwrap(), JobOutcome::Failed("no".into()));
    assert_eq!(queue.wait_for(added.id, None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_wait_for_a_result_ends_when_its_time_is_up_or_the_job_is_removed() {
    let queue = Queue::new(&store(), "q").unwrap();
    let added = queue.add_named("n", &json!({})).await.unwrap();
    let error = queue.wait_for(&added.id, Some(Duration::from_millis(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let waiting = tokio::spawn({
        let (queue, id) = (queue.clone(), added.id.clone());
        async move { queue.wait_for(id, None).await }
    });
    tokio::task::yield_now().await;
    queue.remove(&added.id).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_stream_of_events_can_be_left_and_gone_on_with() {
    let queue = Queue::new(&store(), "q").unwrap();
    queue.pause().await.unwrap();
    let mut all = queue.events(EventCursor::Oldest).await.unwrap();
    let Notice::Event(first) = all.next().await.unwrap() else { panic!("nothing was trimmed") };
    assert_eq!(first.event.name(), "paused");
    queue.publish("mine", &[("a", "1")]).await.unwrap();

    let mut rest = queue.events(all.cursor().clone()).await.unwrap();
    let Notice::Event(own) = rest.next().await.unwrap() else { panic!("nothing was trimmed") };
    assert_eq!((own.event.name(), own.event.fields()), ("mine", vec![("a", "1".into())]));
    assert_eq!(rest.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn bulk_operations_run_in_steps_and_tell_how_far_they_are() {
    let queue = Queue::new(&store(), "q").unwrap();
    queue.add_chunked((0..2_500).map(|_| job("n")), |_| ()).await.unwrap();
    let mut told = Vec::new();
    let cleaned =
        queue.clean(JobState::Waiting, Duration::ZERO, 1_200, |count| told.push(count)).await.unwrap();
    assert_eq!((cleaned.len(), told.as_slice()), (1_200, [1_000, 1_200].as_slice()));
    assert_eq!(queue.drain(false, |_| ()).await.unwrap(), 1_300);
    queue.add_named("n", &json!({})).delay(Duration::from_secs(60)).await.unwrap();
    assert_eq!(queue.promote_all(|_| ()).await.unwrap(), 1);
    assert_eq!(queue.retry_all(JobState::Waiting, |_| ()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(queue.obliterate(false, |_| ()).await.unwrap(), 1);
    assert_eq!(queue.counts().await.unwrap().total(), 0);
}

#[tokio::test]
async fn the_figures_of_a_queue_say_how_late_its_jobs_are() {
    let (clock, hand) = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let queue = Queue::builder(&store(), "q").clock(clock).build().unwrap();
    let minute = Duration::from_secs(60);
    let figures = queue.figures().await.unwrap();
    assert_eq!((figures.oldest_waiting, figures.delayed_late), (None, Some(Duration::ZERO)));
    queue.add_named("first", &json!({})).await.unwrap();
    queue.add_named("soon", &json!({})).delay(minute).await.unwrap();
    queue.add_named("later", &json!({})).delay(minute * 3).await.unwrap();
    hand.advance(minute / 2);
    queue.add_named("next", &json!({})).lifo().await.unwrap();
    queue.add_named("urgent", &json!({})).priority(1).await.unwrap();
    let figures = queue.figures().await.unwrap();
    assert_eq!((figures.oldest_waiting, figures.delayed_late), (Some(minute / 2), Some(Duration::ZERO)));
    hand.advance(minute);
    let figures = queue.figures().await.unwrap();
    assert_eq!((figures.oldest_waiting, figures.delayed_late), (Some(minute * 3 / 2), Some(minute / 2)));
    assert_eq!((figures.queue.as_str(), figures.counts), ("q", queue.counts().await.unwrap()));
    // A job that was delayed waits since it was due.
    let leases = take(&queue).await;
    assert_eq!(leases.len(), 4, "the late one is promoted");
    assert_eq!(queue.figures().await.unwrap().oldest_waiting, None);
    // And one that failed since its last start.
    for lease in leases {
        let failure = Failure { reason: "boom".into(), stacktrace: None };
        finish(&queue, lease, Ending::Retry { failure, at: None }).await;
    }
    hand.advance(minute);
    assert_eq!(queue.figures().await.unwrap().oldest_waiting, Some(minute));
}

#[tokio::test]
async fn the_figures_of_a_queue_say_how_many_jobs_have_ended() {
    let queue = Queue::new(&store(), "q").unwrap();
    queue.add_chunked((0..3).map(|_| job("n")), |_| ()).await.unwrap();
    let failure = Failure { reason: "boom".into(), stacktrace: None };
    let completed = || Ending::Completed { return_value: JsonText::stored("1"), keep: Retention::NONE };
    let failed = Ending::Failed { failure, attempts: 1, keep: Retention::NONE };
    let endings = [completed(), completed(), failed];
    let leases = take(&queue).await;
    assert_eq!(leases.len(), 3);
    for (lease, ending) in leases.into_iter().zip(endings) {
        finish_counting(&queue, lease, ending, Some(60)).await;
    }
    let figures = queue.figures().await.unwrap();
    // They are counted though nothing of them is kept.
    assert_eq!((figures.counts.completed, figures.counts.failed), (0, 0));
    assert_eq!((figures.completed_total, figures.failed_total), (2, 1));
    let text = queue.prometheus(&[("env", "dev")]).await.unwrap();
    for line in [
        "bullmq_job_completed_total{queue=\"q\", env=\"dev\"} 2",
        "bullmq_job_failed_total{queue=\"q\", env=\"dev\"} 1",
        "oxmq_waiting_jobs{queue=\"q\", env=\"dev\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    assert_eq!(queue.prometheus(&[("queue", "x")]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn the_gate_takes_the_time_of_calls_but_not_of_waits() {
    let store = oxmq_core::store::Gate::before(store());
    assert_eq!(store.call_times(), []);
    let queue = Queue::new(&store, "q").unwrap();
    queue.add_named("a", &json!({})).await.unwrap();
    queue.add_named("a", &json!({})).await.unwrap();
    queue.promote("nothing").await.unwrap_err();
    let wait = oxmq_core::store::WaitRequest { worker: None, timeout: Duration::from_millis(1) };
    store.wait(queue.address(), wait).await.unwrap();
    let times = store.call_times();
    let counts: Vec<_> = times.iter().map(|times| (times.call, times.count(), times.errors)).collect();
    assert_eq!(counts, [("add", 2, 0), ("promote", 1, 1)]);
    let text = oxmq_core::metrics::prometheus(&[], &times, &[]).unwrap();
    assert!(text.contains("oxmq_store_call_seconds_count{call=\"add\"} 2\n"), "{text}");
}

#[tokio::test]
async fn single_adds_at_the_same_time_see_each_others_deduplication() {
    let queue = Queue::new(&store(), "q").unwrap();
    let adds: Vec<_> = (0..100)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move {
                queue.add_named("n", &n).deduplicate(Deduplication::by("x")).await.unwrap()
            })
        })
        .collect();
    let mut new = 0;
    for add in adds {
        let added = add.await.unwrap();
        assert_eq!(added.id.as_str(), "1");
        new += usize::from(added.fate.is_new());
    }
    assert_eq!((new, queue.counts().await.unwrap().waiting), (1, 1));
    assert_eq!(queue.deduplication_owner("x").await.unwrap(), Some("1".into()));
    assert!(queue.release_deduplication("x").await.unwrap());
    assert!(!queue.release_deduplication("x").await.unwrap());
    assert_eq!(queue.deduplication_owner("x").await.unwrap(), None);
}

#[tokio::test]
async fn limits_out_of_range_are_refused_with_a_remedy() {
    let queue = Queue::new(&store(), "q").unwrap();
    let second = Duration::from_secs(1);
    for (refused, word) in [
        (queue.set_global_concurrency(0).await, "pause"),
        (queue.set_global_rate_limit(0, second).await, "pause"),
        (queue.set_global_rate_limit(1, Duration::from_nanos(1)).await, "1 ms"),
        (queue.set_global_rate_limit(1, Duration::MAX).await, "34 years"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(word), "{error}");
    }
    queue.set_global_concurrency(2).await.unwrap();
    queue.set_global_rate_limit(3, second).await.unwrap();
    let limits = queue.limits().await.unwrap();
    assert_eq!(
        (limits.concurrency, limits.rate.map(|rate| (rate.max, rate.window))),
        (Some(2), Some((3, second)))
    );
    queue.remove_global_concurrency().await.unwrap();
    queue.remove_global_rate_limit().await.unwrap();
    assert_eq!(queue.limits().await.unwrap(), QueueLimits::default());
}

#[tokio::test]
async fn metrics_are_only_of_jobs_that_ended() {
    let queue = Queue::new(&store(), "q").unwrap();
    assert_eq!(queue.metrics(JobState::Waiting, 5).await.unwrap_err().kind(), ErrorKind::Invalid);
    let metrics = queue.metrics(JobState::Failed, 5).await.unwrap();
    assert_eq!((metrics.total, metrics.minutes.len(), metrics.sum(5)), (0, 0, 0));
}
