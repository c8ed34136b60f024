//! Adding, pausing: A-01 to A-12.

use oxmq_core::Store;
use oxmq_core::store::{RemoveAnswer, RemoveRequest};
use serde_json::{Value, json};

use crate::replay::{Replay, fates, new_job};

impl Replay {
    /// `queue.remove(id)`: 1, also if it was not there; 0 if somebody works on it.
    pub fn remove(&mut self, id: &str) -> Value {
        let request = RemoveRequest { job: id.into(), children: true, now: self.time() };
        json!(u8::from(self.wait(self.store.remove(&self.queue, request)).unwrap() != RemoveAnswer::Locked))
    }

    pub fn pause(&mut self) {
        self.wait(self.store.pause(&self.queue, self.time())).unwrap();
    }

    pub fn resume(&mut self) {
        self.wait(self.store.resume(&self.queue, self.time())).unwrap();
    }

    /// `queue.getJobState(id)`
    pub fn state(&mut self, id: &str) -> Value {
        let view = self.wait(self.store.job(&self.queue, &id.into())).unwrap();
        json!(view.map_or("unknown", |view| view.state.as_str()))
    }

    pub fn counts(&mut self) -> oxmq_core::JobCounts {
        self.wait(self.store.counts(&self.queue, self.time())).unwrap()
    }
}

pub fn a01(r: &mut Replay) {
    r.look("construct queue");
    r.step("add", |r| r.add("job-a", r#"{"hello":"world"}"#, "{}"));
}

pub fn a02(r: &mut Replay) {
    r.step("add", |r| r.add("job-a", r#"{"n":1}"#, "{}"));
}

pub fn a03(r: &mut Replay) {
    r.step("add 1", |r| r.add("a", "{}", "{}"));
    r.step("add 2", |r| r.add("b", "{}", "{}"));
    r.step("add 3", |r| r.add("c", "{}", "{}"));
    r.step("add 4 lifo", |r| r.add("d", "{}", r#"{"lifo":true}"#));
}

pub fn a04(r: &mut Replay) {
    r.step("add delayed", |r| r.add("later", r#"{"x":1}"#, r#"{"delay":5000}"#));
}

pub fn a05(r: &mut Replay) {
    r.step("delay 5000", |r| r.add("a", "{}", r#"{"delay":5000}"#));
    r.step("delay 5000 again", |r| r.add("b", "{}", r#"{"delay":5000}"#));
    r.step("delay 5000 third", |r| r.add("c", "{}", r#"{"delay":5000}"#));
    r.step("delay 1000", |r| r.add("d", "{}", r#"{"delay":1000}"#));
    r.step("remove job 4", |r| r.remove("4"));
    r.step("remove job 1 (marker keeps its score)", |r| r.remove("1"));
    r.step("add delay 9000: marker rewritten from the lowest member", |r| {
        r.add("e", "{}", r#"{"delay":9000}"#)
    });
}

pub fn a06(r: &mut Replay) {
    r.step("prio 5", |r| r.add("a", "{}", r#"{"priority":5}"#));
    r.step("prio 1", |r| r.add("b", "{}", r#"{"priority":1}"#));
    r.step("prio 5 again", |r| r.add("c", "{}", r#"{"priority":5}"#));
    r.step("prio 0", |r| r.add("d", "{}", r#"{"priority":0}"#));
    for n in 1..=4 {
        r.step(&format!("take #{n}"), |r| r.take(&format!("tok-{n}")));
    }
    r.step("take on empty: counter key removed", |r| r.take("tok-5"));
}

pub fn a07(r: &mut Replay) {
    r.step("add id=my-id", |r| r.add("a", r#"{"v":1}"#, r#"{"jobId":"my-id"}"#));
    r.step("add id=my-id again", |r| r.add("b", r#"{"v":2}"#, r#"{"jobId":"my-id"}"#));
    r.step("add without id (counter was spent twice)", |r| r.add("c", "{}", "{}"));
}

pub fn a08(r: &mut Replay) {
    // The defaults of the queue, `attempts` and `keepLogs`, are merged by the client.
    let numeric = r#"{"attempts":2,"keepLogs":7,"backoff":1500,"removeOnComplete":true,"removeOnFail":false,
        "lifo":false,"delay":0,"priority":0}"#;
    r.step("numeric backoff, boolean removal", |r| r.add("a", r#"{"a":[]}"#, numeric));
    let object = r#"{"attempts":5,"backoff":{"type":"exponential","delay":200,"jitter":0.5},
        "removeOnComplete":{"age":3600,"count":10,"limit":50},"removeOnFail":25,"keepLogs":3,
        "stackTraceLimit":4,"sizeLimit":10000,"failParentOnFailure":true,"timestamp":1600000000123,
        "telemetry":{"metadata":"a/b=c","omitContext":false}}"#;
    r.step("object options", |r| r.add("b", r#"{"path":"x/y","u":"é"}"#, object));
    let with = |rest: &str| format!(r#"{{"attempts":2,"keepLogs":7,{rest}}}"#);
    r.step("remaining short names", |r| r.add("c", "null", &with(r#""ignoreDependencyOnFailure":true"#)));
    r.step("remaining short names 2", |r| r.add("d", "{}", &with(r#""continueParentOnFailure":true"#)));
    r.step("remaining short names 3", |r| {
        r.add("e", r#""text""#, &with(r#""removeDependencyOnFailure":true"#))
    });
    r.step("deduplication", |r| r.add("f", "5", &with(r#""deduplication":{"id":"dd","ttl":60000}"#)));
    r.step("unknown option is stored as is; arrays and nulls", |r| {
        let custom =
            r#""custom":{"list":[1,2],"empty":[],"nothing":null,"deep":{"big":1700000000000123,"f":1.1}}"#;
        r.add("g", "true", &with(custom))
    });
}

pub fn a09(r: &mut Replay) {
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

pub fn a10(r: &mut Replay) {
    r.step("pause", Replay::pause);
    r.step("pause again", Replay::pause);
    r.step("add standard", |r| r.add("a", "{}", "{}"));
    r.step("add prioritized", |r| r.add("b", "{}", r#"{"priority":2}"#));
    r.step("add delayed", |r| r.add("c", "{}", r#"{"delay":3000}"#));
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
pub fn shown_counts(counts: &oxmq_core::JobCounts) -> Value {
    oxmq_core::JobState::ALL.into_iter().map(|state| (state.as_str(), counts.of(state))).collect()
}

pub fn a11(r: &mut Replay) {
    r.step("pause", Replay::pause);
    r.step("resume empty", Replay::resume);
    r.step("pause 2", Replay::pause);
    r.step("add delayed", |r| r.add("a", "{}", r#"{"delay":3000}"#));
    r.step("resume", Replay::resume);
}

pub fn a12(r: &mut Replay) {
    r.step("add 1", |r| r.add("a", "{}", "{}"));
    r.step("add 2", |r| r.add("b", "{}", "{}"));
    r.step("simulate 5.x pause", |r| {
        let _: () = r.redis("RENAME", "wait", &["bull:vec:paused"]);
        let _: i64 = r.redis("HSET", "meta", &["paused", "1"]);
        r.del("marker");
    });
    r.step("state of job in old list", |r| r.state("1"));
    r.step("add 3 while paused goes to wait", |r| r.add("c", "{}", "{}"));
    r.step("resume merges", Replay::resume);
    r.step("pause", Replay::pause);
    r.step("simulate again", |r| r.redis::<()>("RENAME", "wait", &["bull:vec:paused"]));
    r.step("resume renames", Replay::resume);
}
