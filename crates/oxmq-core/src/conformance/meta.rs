//! Cases of `Store::meta` and `Store::set_meta`.

use std::collections::BTreeMap;

use super::harness::{Harness, MOMENT, On, PATIENCE, draft, ms};
use crate::store::{
    Idle, Limit, MetaChanged, ObliterateRequest, RateLimit, SetMetaRequest, TakeRequest, TrimEventsRequest,
    WaitRequest, Woken,
};

async fn change(q: &On<'_>, set: &[(&str, &str)], remove: &[&str]) -> MetaChanged {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let remove = remove.iter().map(|name| (*name).to_owned()).collect();
    let request = SetMetaRequest { set, remove, now: q.now() };
    request.check().unwrap();
    q.store().set_meta(&q.address, request).await.unwrap()
}

async fn fields(q: &On<'_>) -> BTreeMap<String, String> {
    q.store().meta(&q.address).await.unwrap()
}

/// The fields as `name=value` in the order of the names.
async fn shown(q: &On<'_>) -> String {
    let fields = fields(q).await;
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

pub async fn fields_are_kept_until_they_are_removed(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(fields(&q).await, BTreeMap::new());
    assert_eq!(change(&q, &[("version", "1"), ("ö \" x", "")], &[]).await, MetaChanged::new(2, 0));
    assert_eq!(change(&q, &[("version", "2"), ("more", "{}")], &[]).await, MetaChanged::new(1, 0));
    assert_eq!(shown(&q).await, "more={} version=2 ö \" x=");
    assert_eq!(change(&q, &[], &["version", "nothing", "more"]).await, MetaChanged::new(0, 2));
    assert_eq!(shown(&q).await, "ö \" x=");
    assert_eq!(fields(&bench.on("other")).await, BTreeMap::new());
}

pub async fn what_is_set_and_removed_in_one_call_is_gone(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(change(&q, &[("one", "1"), ("two", "2")], &["one"]).await, MetaChanged::new(2, 1));
    assert_eq!(shown(&q).await, "two=2");
}

pub async fn a_field_makes_a_queue_that_is_there(bench: &Harness) {
    let q = bench.queue();
    change(&q, &[("version", "1")], &[]).await;
    let queues = q.store().queues(None).await.unwrap();
    assert_eq!(queues.iter().map(|info| &info.queue).collect::<Vec<_>>(), [&q.address]);
}

pub async fn what_other_calls_set_is_a_field(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    assert_eq!(shown(&q).await, "opts.maxLenEvents=10000");
    q.pause().await;
    q.bound(Limit::Concurrency(Some(7))).await;
    q.bound(Limit::Rate(Some(RateLimit { max: 3, window: ms(1_500) }))).await;
    let request = TrimEventsRequest { keep: 50, from_now_on: true, now: q.now() };
    q.store().trim_events(&q.address, request).await.unwrap();
    assert_eq!(shown(&q).await, "concurrency=7 duration=1500 max=3 opts.maxLenEvents=50 paused=1");
    q.resume().await;
    q.bound(Limit::Concurrency(None)).await;
    q.bound(Limit::Rate(None)).await;
    assert_eq!(shown(&q).await, "opts.maxLenEvents=50");
}

pub async fn a_field_does_what_the_call_of_its_meaning_does(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    let here = q.here().await;
    assert_eq!(change(&q, &[("concurrency", "2"), ("max", "3"), ("duration", "60000")], &[]).await.added, 3);
    let limits = q.limits().await;
    assert_eq!(limits.concurrency, Some(2));
    assert_eq!(limits.rate, Some(RateLimit { max: 3, window: ms(60_000) }));
    change(&q, &[("paused", "1")], &[]).await;
    assert!(q.counts().await.paused);
    q.expect_events(&here, &[]).await;
    assert_eq!(q.take(9).await.idle, Some(Idle::Paused));
    assert_eq!(change(&q, &[], &["paused"]).await.removed, 1);
    assert_eq!(q.take(9).await.jobs.len(), 2);
    change(&q, &[], &["concurrency"]).await;
    assert_eq!(q.take(9).await.jobs.len(), 1);
    change(&q, &[], &["max", "duration"]).await;
    assert_eq!(q.take(9).await.jobs.len(), 6);
}

pub async fn a_rate_needs_a_window_of_the_queues_or_the_workers(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    change(&q, &[("max", "2")], &[]).await;
    assert_eq!(q.limits().await.rate, None);
    assert_eq!(q.take(1).await.jobs.len(), 1);
    let rate_limit = Some(RateLimit { max: 5, window: ms(60_000) });
    assert_eq!(q.take_by(TakeRequest { rate_limit, ..q.demand(9) }).await.jobs.len(), 2);
}

pub async fn the_number_of_events_that_are_kept_is_a_field(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    change(&q, &[("opts.maxLenEvents", "77")], &[]).await;
    assert_eq!(shown(&q).await, "opts.maxLenEvents=77");
    let other = bench.on("other");
    assert_eq!(change(&other, &[("opts.maxLenEvents", "10000")], &[]).await.added, 1);
    assert_eq!(shown(&other).await, "opts.maxLenEvents=10000", "also as it is by itself");
    change(&q, &[], &["opts.maxLenEvents"]).await;
    q.add(draft()).await;
    assert_eq!(shown(&q).await, "opts.maxLenEvents=10000");
}

pub async fn whoever_waits_is_woken_when_a_field_lets_jobs_run(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    change(&q, &[("paused", "1")], &[]).await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Paused));
    let request = |timeout| WaitRequest { worker: None, timeout };
    assert_eq!(q.store().wait(&q.address, request(MOMENT)).await.unwrap(), Woken::TimedOut);
    change(&q, &[], &["paused"]).await;
    assert_eq!(q.store().wait(&q.address, request(PATIENCE)).await.unwrap(), Woken::Look);
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn an_obliterated_queue_has_no_fields(bench: &Harness) {
    let q = bench.queue();
    change(&q, &[("version", "1"), ("concurrency", "3")], &[]).await;
    q.add(draft()).await;
    let request = ObliterateRequest { force: true, limit: 100, now: q.now() };
    q.store().obliterate(&q.address, request).await.unwrap();
    assert_eq!(fields(&q).await, BTreeMap::new());
}
