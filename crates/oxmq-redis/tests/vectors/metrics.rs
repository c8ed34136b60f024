//! Metrics, what a queue is set to, events of one's own: B-M01 to B-M04.

use oxmq_core::store::{Limit, MetricsPage, MetricsRequest, RateLimit};
use oxmq_core::{Event, EventKind, JobId, JobState, Store, Timestamp};
use serde_json::{Value, json};

use crate::replay::{Replay, Told};

impl Replay {
    /// Adds so many jobs, which are removed when they have ended, and runs each.
    fn run(&mut self, many: usize, fails: bool) {
        for _ in 0..many {
            let data = if fails { r#"{"bad":true}"# } else { "{}" };
            self.add("j", data, r#"{"removeOnComplete":true,"removeOnFail":true}"#).unwrap();
            self.run_one(fails);
        }
    }

    /// `queue.getMetrics(type, start, start + limit - 1)`
    fn metrics_of(&mut self, state: JobState, limit: usize) -> Value {
        let request = MetricsRequest { state, offset: 0, limit };
        let page = self.wait(self.store.metrics(&self.queue, request)).unwrap();
        let MetricsPage { total, prev_at, prev_total, points, length } = page;
        // Times of part B are texts in the recording.
        let prev_at = prev_at.map_or(0, Timestamp::as_millis).to_string();
        json!({ "meta": { "count": total, "prevTS": prev_at, "prevCount": prev_total }, "data": points, "count": length })
    }
}

pub(crate) fn bm01(r: &mut Replay) {
    r.metrics = Some(4);
    r.step("3 completed in minute 0", |r| r.run(3, false));
    r.advance(60_000);
    r.step("2 completed in minute 1", |r| r.run(2, false));
    r.advance(180_000);
    r.step("1 completed in minute 4", |r| r.run(1, false));
    r.advance(600_000);
    r.step("1 completed in minute 14", |r| r.run(1, false));
    r.step("1 failed", |r| r.run(1, true));
    r.step("getMetrics", |r| {
        let completed = r.metrics_of(JobState::Completed, 100);
        let failed = r.metrics_of(JobState::Failed, 100);
        json!({ "completed": completed, "failed": failed, "page": r.metrics_of(JobState::Completed, 2) })
    });
}

pub(crate) fn bm02(r: &mut Replay) {
    // The text for Prometheus, and the workers, are not made by the store.
    r.no_twin("prometheus");
    r.bound(Limit::Concurrency(Some(3)));
    r.bound(Limit::Rate(Some(RateLimit { max: 10, window: std::time::Duration::from_secs(1) })));
    r.step("meta", |r| {
        let limits = r.limits();
        let rate = limits.rate.unwrap();
        let rate = json!({ "max": rate.max, "duration": oxmq_core::millis(rate.window) });
        let concurrency = limits.concurrency.unwrap();
        let paused = r.counts().paused;
        // `version` and `maxLenEvents` are what Node's own constructor writes.
        json!({
            "meta": {
                "version": "bullmq:6.7.0", "maxLenEvents": 10_000, "paused": paused,
                "concurrency": concurrency, "max": rate["max"], "duration": rate["duration"],
            },
            "version": "bullmq:6.7.0", "concurrency": concurrency, "rate": rate, "maxed": limits.is_full,
        })
    });
    r.no_twin("workers");
}

pub(crate) fn bm03(r: &mut Replay) {
    r.step("publishEvent", |r| {
        let kind = EventKind::Custom { name: "mine".into(), fields: vec![("foo".into(), "bar".into())] };
        let event = Event { job: Some(JobId::from("J")), kind };
        r.wait(r.store.publish(&r.queue, event, r.time())).map(drop)
    })
    .unwrap();
}

pub(crate) fn bm04(r: &mut Replay) {
    r.metrics = Some(10);
    r.step("one failed job with metrics", |r| {
        r.add("j", "{}", "{}").unwrap();
        r.run_one(true)
    });
    // Nothing of ours leaves orphans behind, and so there is no such call; Node's takes the metrics for one.
    r.step("removeOrphanedJobs()", |_| Told::NoTwin);
}
