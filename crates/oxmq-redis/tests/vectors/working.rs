//! Taking, finishing, limits: A-13 to A-35.

use std::time::Duration;

use oxmq_core::store::{Limit, LimitRequest, QueueLimits, RateLimit};
use oxmq_core::{Backoff, Curve, Ending, Retention, Store, Timestamp};
use serde_json::json;

use crate::replay::{Replay, boom, for_good, one};

impl Replay {
    /// `queue.rateLimit(ms)`; `None` is `queue.removeRateLimitKey()`.
    pub(crate) fn rate_limit(&mut self, ms: Option<i64>) {
        let until = ms.map(|ms| Timestamp::from_millis(self.now + ms));
        let request = LimitRequest { limit: Limit::Until(until), now: self.time() };
        self.wait(self.store.limit(&self.queue, request)).unwrap();
    }

    pub(crate) fn limits(&mut self) -> QueueLimits {
        self.wait(self.store.limits(&self.queue, self.time())).unwrap()
    }

    /// `queue.setGlobalConcurrency(n)`, `queue.setGlobalRateLimit(max, duration)`, and what removes them.
    pub(crate) fn bound(&mut self, limit: Limit) {
        let request = LimitRequest { limit, now: self.time() };
        self.wait(self.store.limit(&self.queue, request)).unwrap();
    }
}

pub(crate) fn a13(r: &mut Replay) {
    r.add("a", r#"{"in":1}"#, "{}").unwrap();
    r.look("setup: one waiting job");
    r.worker = Some("w-name");
    r.advance(10);
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.advance(25);
    r.step("complete", |r| r.complete(&j, r#"{"ok":true}"#, false)).unwrap();
    r.step("state", |r| r.state("1"));
}

pub(crate) fn a14(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", "{}");
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.advance(5);
    let next = r.step("complete + next", |r| r.complete(&j, r#""r1""#, true)).unwrap().unwrap();
    r.advance(5);
    let j2 = one(next);
    r.step("complete 2 + nothing left", |r| r.complete(&j2, r#""r2""#, true)).unwrap();
}

pub(crate) fn a15(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", r#"{"delay":60000}"#);
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.step("complete + next", |r| r.complete(&j, r#""r1""#, true)).unwrap();
}

pub(crate) fn a16(r: &mut Replay) {
    // What has no JSON form is null.
    let values = [
        ("undefined", "null"),
        ("null", "null"),
        ("0", "0"),
        (r#""text \"q\"""#, r#""text \"q\"""#),
        (r#"{"a":[1,{"b":null}]}"#, r#"{"a":[1,{"b":null}]}"#),
        ("false", "false"),
        (r#""""#, r#""""#),
    ];
    for (i, (name, value)) in values.into_iter().enumerate() {
        r.put("a", "{}");
        let j = one(r.take(&format!("tok-{i}")));
        r.step(&format!("complete with {name}"), |r| r.complete(&j, value, false)).unwrap();
    }
    r.look("final");
}

pub(crate) fn a17(r: &mut Replay) {
    r.put("a", r#"{"removeOnComplete":true}"#);
    let j = one(r.take("tok-1"));
    r.log("1", "line", None).unwrap();
    r.look("before");
    r.step("complete", |r| r.complete(&j, r#""x""#, true)).unwrap();
}

pub(crate) fn a18(r: &mut Replay) {
    for i in 1..=4 {
        r.put("a", r#"{"removeOnComplete":2}"#);
        let j = one(r.take(&format!("tok-{i}")));
        r.advance(100);
        r.step(&format!("complete {i}"), |r| r.complete(&j, &i.to_string(), false)).unwrap();
    }
}

pub(crate) fn a19(r: &mut Replay) {
    let run = |r: &mut Replay, i: u32, keep: Option<&str>| {
        let opts = keep.map_or("{}".into(), |keep| format!(r#"{{"removeOnComplete":{keep}}}"#));
        r.put("a", &opts);
        let j = one(r.take(&format!("tok-{i}")));
        let name = format!("complete {i} with {}", keep.unwrap_or("undefined"));
        r.step(&name, |r| r.complete(&j, &i.to_string(), false)).unwrap();
    };
    run(r, 1, None);
    r.advance(10);
    run(r, 2, None);
    r.advance(10);
    run(r, 3, None);
    r.advance(60_000);
    run(r, 4, Some(r#"{"age":60,"limit":1}"#));
    run(r, 5, Some(r#"{"age":60}"#));
    run(r, 6, Some(r#"{"age":0}"#));
    run(r, 7, Some("-1"));
}

pub(crate) fn a20(r: &mut Replay) {
    r.keep_completed = Retention::count(1);
    for i in 1..=3 {
        r.put("a", if i == 3 { r#"{"removeOnComplete":false}"# } else { "{}" });
        let j = one(r.take(&format!("tok-{i}")));
        r.advance(10);
        r.step(&format!("complete {i}"), |r| r.complete(&j, &i.to_string(), false)).unwrap();
    }
}

pub(crate) fn a21(r: &mut Replay) {
    r.put("a", "{}");
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.advance(7);
    r.step("fail", |r| r.fail(&j, boom("nope", 1), true)).unwrap();
}

pub(crate) fn a22(r: &mut Replay) {
    r.put("a", r#"{"attempts":3,"backoff":{"type":"exponential","delay":1000}}"#);
    let j = one(r.step("take 1", |r| r.take("tok-1")));
    r.advance(5);
    r.step("fail 1", |r| r.fail(&j, boom("e1", 1), true)).unwrap();
    r.step("take too early", |r| r.take("tok-x"));
    r.advance(1000);
    let j = one(r.step("take 2 (promoted)", |r| r.take("tok-2")));
    r.step("fail 2", |r| r.fail(&j, boom("e2", 2), true)).unwrap();
    r.advance(2000);
    let j = one(r.step("take 3", |r| r.take("tok-3")));
    r.step("fail 3", |r| r.fail(&j, boom("e3", 3), true)).unwrap();
}

pub(crate) fn a23(r: &mut Replay) {
    r.put("a", r#"{"attempts":2}"#);
    r.put("b", "{}");
    let j = one(r.step("take 1", |r| r.take("tok-1")));
    r.step("fail 1", |r| r.fail(&j, boom("e1", 1), true)).unwrap();
    let j = one(r.step("take other", |r| r.take("tok-2")));
    r.complete(&j, "1", false).unwrap();
    let j = one(r.step("take again", |r| r.take("tok-3")));
    r.step("complete", |r| r.complete(&j, r#""fine""#, false)).unwrap();
}

pub(crate) fn a24(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", r#"{"attempts":2,"lifo":true}"#);
    r.put("p", r#"{"attempts":2,"priority":4}"#);
    let j = one(r.step("take lifo", |r| r.take("tok-1")));
    r.step("fail lifo", |r| r.fail(&j, boom("e1", 1), false)).unwrap();
    r.take("tok-2");
    r.take("tok-3");
    let j = one(r.step("take prioritized", |r| r.take("tok-4")));
    r.step("fail prioritized", |r| r.fail(&j, boom("e1", 1), false)).unwrap();
}

pub(crate) fn a25(r: &mut Replay) {
    r.own_backoff = |tries: u32, backoff: &Backoff| match &backoff.curve {
        Curve::Custom(name) if name == "stop" => -1,
        Curve::Custom(name) if name == "zero" => 0,
        _ => i64::from(tries) * 11,
    };
    let cases = [
        ("number 700", "700"),
        ("fixed 700 jitter 0.5", r#"{"type":"fixed","delay":700,"jitter":0.5}"#),
        ("exponential 100 jitter 0.25", r#"{"type":"exponential","delay":100,"jitter":0.25}"#),
        ("custom n*11", r#"{"type":"mine"}"#),
        ("custom -1 fails at once", r#"{"type":"stop"}"#),
        ("custom 0 retries at once", r#"{"type":"zero"}"#),
    ];
    for (i, (name, backoff)) in cases.into_iter().enumerate() {
        r.put("a", &format!(r#"{{"attempts":3,"backoff":{backoff}}}"#));
        let j = one(r.take(&format!("tok-{}", i + 1)));
        r.step(name, |r| r.fail(&j, boom("e", 1), false)).unwrap();
        r.obliterate(true).unwrap();
        r.forget_events();
    }
}

pub(crate) fn a26(r: &mut Replay) {
    r.put("a", r#"{"attempts":3}"#);
    let j = one(r.take("tok-1"));
    r.step("fail unrecoverably", |r| r.fail(&j, for_good("stop"), false)).unwrap();
}

pub(crate) fn a27(r: &mut Replay) {
    r.put("a", r#"{"attempts":3,"stackTraceLimit":1}"#);
    let j = one(r.take("t1"));
    r.step("limit 1, fail 1", |r| r.fail(&j, boom("e1", 1), false)).unwrap();
    let j = one(r.take("t2"));
    r.step("limit 1, fail 2", |r| r.fail(&j, boom("e2", 2), false)).unwrap();
    let j = one(r.take("t3"));
    r.complete(&j, "1", false).unwrap();
    r.put("b", r#"{"stackTraceLimit":0}"#);
    let j = one(r.take("t4"));
    r.step("limit 0, fail", |r| r.fail(&j, boom("e1", 1), false)).unwrap();
    r.put("c", "{}");
    let j = one(r.take("t5"));
    let mut bare = boom("bare", 0);
    bare.stack = None;
    r.step("no stack", |r| r.fail(&j, bare, false)).unwrap();
}

pub(crate) fn a28(r: &mut Replay) {
    r.put("a", r#"{"removeOnFail":true}"#);
    let j = one(r.take("t1"));
    r.step("fail, remove", |r| r.fail(&j, boom("e1", 1), false)).unwrap();
    for i in 2..=3 {
        r.put("b", r#"{"removeOnFail":1}"#);
        let j = one(r.take(&format!("t{i}")));
        r.advance(1);
        r.step(&format!("fail {i}, keep 1"), |r| r.fail(&j, boom("e", i), false)).unwrap();
    }
}

pub(crate) fn a29(r: &mut Replay) {
    r.put("a", "{}");
    r.take("tok-1");
    r.step("check 1: lock present, only marked", Replay::check_stalled);
    r.step("check again inside the interval: refused", Replay::recover);
    r.lose_lease("1");
    r.step("check 2: lock gone, first stall", Replay::check_stalled);
    r.step("take again", |r| r.take("tok-2"));
    r.step("check 3: marked", Replay::check_stalled);
    r.lose_lease("1");
    r.step("check 4: second stall, deferred failure written", Replay::check_stalled);
    let j = one(r.step("take: hash carries defa", |r| r.take("tok-3")));
    assert_eq!(j.job.deferred_failure.as_deref(), Some("job stalled more than allowable limit"));
    r.step("what a worker then does", |r| {
        r.fail(&j, for_good("job stalled more than allowable limit"), false)
    })
    .unwrap();
}

pub(crate) fn a30(r: &mut Replay) {
    r.put("p", r#"{"priority":9}"#);
    r.take("tok-1");
    r.step("mark", Replay::check_stalled);
    r.step("extendLock ok", |r| json!(u8::from(r.extend(&[("1", "tok-1")], 60_000)[0])));
    r.step("mark", Replay::check_stalled);
    r.step("extendLocks: one good, one wrong token, one missing", |r| {
        let leases = [("1", "tok-1"), ("1", "bad"), ("77", "x")];
        let kept = r.extend(&leases, 90_000);
        // Node answers with those that failed.
        let lost = leases.iter().zip(kept).filter(|(_, kept)| !kept);
        lost.map(|((job, _), _)| *job).collect::<serde_json::Value>()
    });
    r.step("extendLock wrong token", |r| json!(u8::from(r.extend(&[("1", "bad")], 60_000)[0])));
    r.step("mark", Replay::check_stalled);
    r.lose_lease("1");
    r.step("stall", Replay::check_stalled);
}

pub(crate) fn a31(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", "{}");
    r.limiter = Some((1, 60_000));
    let j = one(r.step("take 1", |r| r.take("tok-1")));
    r.step("take 2: limited", |r| r.take("tok-2"));
    r.step("complete + next: limited tuple", |r| r.complete(&j, "1", true)).unwrap();
    r.no_twin("getRateLimitTtl()");
    r.no_twin("getRateLimitTtl(1)");
    r.no_twin("getRateLimitTtl(5)");
}

pub(crate) fn a32(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", "{}");
    r.put("p", r#"{"priority":3}"#);
    r.limiter = Some((10, 60_000));
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.step("rateLimit 20000", |r| r.rate_limit(Some(20_000)));
    r.step("moveToWait: returns ttl", |r| r.end(&j.lease, Ending::Returned, false)).unwrap();
    r.step("limited worker", |r| r.take("tok-2"));
    r.limiter = None;
    r.step("worker without limiter is not held back", |r| r.take("tok-3"));
    r.realign(|r| {
        r.del("limiter");
        r.take("tok-3");
    });
    r.step("removeRateLimitKey", |r| r.rate_limit(None));
    r.no_twin("getRateLimitTtl without key");
    r.take("tok-4");
    let p = one(r.step("take prioritized", |r| r.take("tok-5")));
    r.step("moveToWait of a prioritized job", |r| r.end(&p.lease, Ending::Returned, false)).unwrap();
}

pub(crate) fn a33(r: &mut Replay) {
    r.step("setGlobalConcurrency(1)", |r| r.bound(Limit::Concurrency(Some(1))));
    r.put("a", "{}");
    r.put("b", "{}");
    let j = one(r.step("take 1", |r| r.take("tok-1")));
    r.step("take 2: maxed", |r| r.take("tok-2"));
    r.step("isMaxed", |r| json!(r.limits().is_full));
    r.del("marker");
    r.step("add while maxed: no marker", |r| r.add("c", "{}", "{}")).unwrap();
    r.step("complete + next", |r| r.complete(&j, "1", true)).unwrap();
    r.step("getGlobalConcurrency", |r| json!(r.limits().concurrency));
    r.step("removeGlobalConcurrency", |r| r.bound(Limit::Concurrency(None)));
}

pub(crate) fn a34(r: &mut Replay) {
    r.step("setGlobalRateLimit(1, 30000)", |r| {
        r.bound(Limit::Rate(Some(RateLimit { max: 1, window: Duration::from_secs(30) })));
    });
    for name in ["a", "b", "c"] {
        r.put(name, "{}");
    }
    r.step("take 1", |r| r.take("tok-1"));
    r.step("take 2 limited", |r| r.take("tok-2"));
    r.no_twin("getRateLimitTtl() uses meta max");
    r.del("limiter");
    r.limiter = Some((50, 90_000));
    r.step("take with a worker limiter too", |r| r.take("tok-3"));
    r.step("limited by meta max", |r| r.take("tok-4"));
    r.no_twin("getMeta");
    r.step("removeGlobalRateLimit", |r| r.bound(Limit::Rate(None)));
}

pub(crate) fn a35(r: &mut Replay) {
    r.put("a", r#"{"delay":1000}"#);
    r.put("b", r#"{"delay":1000,"priority":2}"#);
    r.put("c", r#"{"delay":9000}"#);
    r.look("setup");
    r.step("take early: next timestamp", |r| r.take("tok-1"));
    r.advance(1000);
    r.step("take when due", |r| r.take("tok-2"));
    r.step("take 2", |r| r.take("tok-3"));
    r.step("take 3: next timestamp", |r| r.take("tok-4"));
}
