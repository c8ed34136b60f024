//! Adding, pausing: A-01 to A-12.

use oxmq_core::Store;
use oxmq_core::store::{RemoveAnswer, RemoveRequest, RemoveScope};
use serde_json::{Value, json};

use crate::replay::{Replay, fates, new_job};

impl Replay {
    /// `queue.remove(id)`: 1, also if it was not there; 0 if somebody works on it.
    pub(crate) fn remove(&mut self, id: &str) -> Value {
        let request = RemoveRequest { job: id.into(), scope: RemoveScope::WithChildren, now: self.time() };
        json!(u8::from(self.wait(self.store.remove(&self.queue, request)).unwrap() != RemoveAnswer::Locked))
    }

    pub(crate) fn pause(&mut self) {
        self.wait(self.store.pause(&self.queue, self.time())).unwrap();
    }

    pub(crate) fn resume(&mut self) {
        self.wait(self.store.resume(&self.queue, self.time())).unwrap();
    }

    /// `queue.getJobState(id)`
    pub(crate) fn state(&mut self, id: &str) -> Value {
        let view = self.wait(self.store.job(&self.queue, &id.into())).unwrap();
        json!(view.map_or("unknown", |view| view.state.as_str()))
    }

    pub(crate) fn counts(&mut self) -> oxmq_core::JobCounts {
        self.wait(self.store.counts(&self.queue, self.time())).unwrap()
    }
}

pub(crate) fn a01(r: &mut Replay) {
    r.look("construct queue");
    r.step("add", |r| r.add("job-a", r#"{"hello":"world"}"#, "{}")).unwrap();
}

pub(crate) fn a02(r: &mut Replay) {
    r.step("add", |r| r.add("job-a", r#"{"n":1}"#, "{}")).unwrap();
}

pub(crate) fn a03(r: &mut Replay) {
    r.step("add 1", |r| r.add("a", "{}", "{}")).unwrap();
    r.step("add 2", |r| r.add("b", "{}", "{}")).unwrap();
    r.step("add 3", |r| r.add("c", "{}", "{}")).unwrap();
    r.step("add 4 lifo", |r| r.add("d", "{}", r#"{"lifo":true}"#)).unwrap();
}

pub(crate) fn a04(r: &mut Replay) {
    r.step("add delayed", |r| r.add("later", r#"{"x":1}"#, r#"{"delay":5000}"#)).unwrap();
}

pub(crate) fn a05(r: &mut Replay) {
    r.step("delay 5000", |r| r.add("a", "{}", r#"{"delay":5000}"#)).unwrap();
    r.step("delay 5000 again", |r| r.add("b", "{}", r#"{"delay":5000}"#)).unwrap();
    r.step("delay 5000 third", |r| r.add("c", "{}", r#"{"delay":5000}"#)).unwrap();
    r.step("delay 1000", |r| r.add("d", "{}", r#"{"delay":1000}"#)).unwrap();
    r.step("remove job 4", |r| r.remove("4"));
    r.step("remove job 1 (marker keeps its score)", |r| r.remove("1"));
    r.step("add delay 9000: marker rewritten from the lowest member", |r| {
        r.add("e", "{}", r#"{"delay":9000}"#)
    })
    .unwrap();
}

pub(crate) fn a06(r: &mut Replay) {
    r.step("prio 5", |r| r.add("a", "{}", r#"{"priority":5}"#)).unwrap();
    r.step("prio 1", |r| r.add("b", "{}", r#"{"priority":1}"#)).unwrap();
    r.step("prio 5 again", |r| r.add("c", "{}", r#"{"priority":5}"#)).unwrap();
    r.step("prio 0", |r| r.add("d", "{}", r#"{"priority":0}"#)).unwrap();
    for n in 1..=4 {
        r.step(&format!("take #{n}"), |r| r.take(&format!("tok-{n}")));
    }
    r.step("take on empty: counter key removed", |r| r.take("tok-5"));
}

pub(crate) fn a07(r: &mut Replay) {
    r.step("add id=my-id", |r| r.add("a", r#"{"v":1}"#, r#"{"jobId":"my-id"}"#)).unwrap();
    r.step("add id=my-id again", |r| r.add("b", r#"{"v":2}"#, r#"{"jobId":"my-id"}"#)).unwrap();
    r.step("add without id (counter was spent twice)", |r| r.add("c", "{}", "{}")).unwrap();
}

pub(crate) fn a08(r: &mut Replay) {
    // The defaults of the queue, `attempts` and `keepLogs`, are merged by the client.
    let numeric = r#"{"attempts":2,"keepLogs":7,"backoff":1500,"removeOnComplete":true,"removeOnFail":false,
        "lifo":false,"delay":0,"priority":0}"#;
    r.step("numeric backoff, boolean removal", |r| r.add("a", r#"{"a":[]}"#, numeric)).unwrap();
    let object = r#"{"attempts":5,"backoff":{"type":"exponential","delay":200,"jitter":0.5},
        "removeOnComplete":{"age":3600,"count":10,"limit":50},"removeOnFail":25,"keepLogs":3,
        "stackTraceLimit":4,"sizeLimit":10000,"failParentOnFailure":true,"timestamp":1600000000123,
        "telemetry":{"metadata":"a/b=c","omitContext":false}}"#;
    r.step("object options", |r| r.add("b", r#"{"path":"x/y","u":"é"}"#, object)).unwrap();
    let with = |rest: &str| format!(r#"{{"attempts":2,"keepLogs":7,{rest}}}"#);
    r.step("remaining short names", |r| r.add("c", "null", &with(r#""ignoreDependencyOnFailure":true"#)))
        .unwrap();
    r.step("remaining short names 2", |r| r.add("d", "{}", &with(r#""continueParentOnFailure":true"#)))
        .unwrap();
    r.step("remaining short names 3", |r| {
        r.add("e", r#""text""#, &with(r#""removeDependencyOnFailure":true"#))
    })
    .unwrap();
    r.step("deduplication", |r| r.add("f", "5", &with(r#""deduplication":{"id":"dd","ttl":60000}"#)))
        .unwrap();
    r.step("unknown option is stored as is; arrays and nulls", |r| {
        let custom =
            r#""custom":{"list":[1,2],"empty":[],"nothing":null,"deep":{"big":1700000000000123,"f":1.1}}"#;
        r.add("g", "true", &with(custom))
    })
    .unwrap();
}

pub(crate) fn a09(r: &mut Replay) {
    r.step("addBulk", |r| {
        let jobs = [
            ("a", 1, "{}"),
            ("b", 2, r#"{"delay":2000}"#),
            ("c", 3, r#"{"priority":3}"#),
            ("d", 4, r#"{"jobId":"x1"}"#),
            ("e", 5, r#"{"jobId":"x1"}"#),
        ];
        let jobs =
            jobs.map(|(name, i, opts)| new_job(name, &format!(r#"{{"i":{i}}}"#), opts).unwrap()).into();
        let added = r.add_jobs(jobs).unwrap();
        let fates = fates(&added);
        assert!(!fates[4].1 && fates[..4].iter().all(|(_, new)| *new));
        fates.iter().map(|(id, _)| *id).collect::<Value>()
    });
}

pub(crate) fn a10(r: &mut Replay) {
    r.step("pause", Replay::pause);
    r.step("pause again", Replay::pause);
    r.step("add standard", |r| r.add("a", "{}", "{}")).unwrap();
    r.step("add prioritized", |r| r.add("b", "{}", r#"{"priority":2}"#)).unwrap();
    r.step("add delayed", |r| r.add("c", "{}", r#"{"delay":3000}"#)).unwrap();
    r.step("counts", |r| shown_counts(&r.counts()));
    r.step("state of 1", |r| r.state("1"));
    r.step("take while paused", |r| r.take("tok-1"));
    r.advance(3000);
    r.step("take while paused, delayed job due", |r| r.take("tok-2"));
    r.step("resume", Replay::resume);
    r.step("resume again", Replay::resume);
    r.step("take after resume", |r| r.take("tok-3"));
}

/// As Node's `getJobCounts` gives them.
pub(crate) fn shown_counts(counts: &oxmq_core::JobCounts) -> Value {
    oxmq_core::JobState::ALL.into_iter().map(|state| (state.as_str(), counts.of(state))).collect()
}

pub(crate) fn a11(r: &mut Replay) {
    r.step("pause", Replay::pause);
    r.step("resume empty", Replay::resume);
    r.step("pause 2", Replay::pause);
    r.step("add delayed", |r| r.add("a", "{}", r#"{"delay":3000}"#)).unwrap();
    r.step("resume", Replay::resume);
}

pub(crate) fn a12(r: &mut Replay) {
    r.step("add 1", |r| r.add("a", "{}", "{}")).unwrap();
    r.step("add 2", |r| r.add("b", "{}", "{}")).unwrap();
    r.step("simulate 5.x pause", |r| {
        let _: () = r.redis("RENAME", "wait", &["bull:vec:paused"]);
        let _: i64 = r.redis("HSET", "meta", &["paused", "1"]);
        r.del("marker");
    });
    r.step("state of job in old list", |r| r.state("1"));
    r.step("add 3 while paused goes to wait", |r| r.add("c", "{}", "{}")).unwrap();
    r.step("resume merges", Replay::resume);
    r.step("pause", Replay::pause);
    r.step("simulate again", |r| r.redis::<()>("RENAME", "wait", &["bull:vec:paused"]));
    r.step("resume renames", Replay::resume);
}
