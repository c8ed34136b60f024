//! Deduplication: B-D01 to B-D11.

use oxmq_core::Store;
use oxmq_core::store::{OwnerRequest, ReleaseRequest};
use serde_json::{Value, json};

use crate::replay::{Replay, boom, one};

impl Replay {
    /// The worker of a scenario runs one job, and says how it ended.
    pub(crate) fn run_one(&mut self, fails: bool) -> Value {
        let job = one(self.take("tok"));
        let end =
            if fails { self.fail(&job, boom("boom", 1), false) } else { self.complete(&job, "null", false) };
        end.unwrap();
        let id = job.job.id.as_str();
        // A job that was removed at once is not told.
        json!({ "processed": id, "state": self.state(id) })
    }

    /// `queue.getDeduplicationJobId(id)`
    fn owner(&mut self, id: &str) -> Value {
        let request = OwnerRequest { id: id.into(), now: self.time() };
        let owner = self.wait(self.store.deduplication_owner(&self.queue, request)).unwrap();
        owner.map_or(Value::Null, |owner| json!(owner.as_str()))
    }

    /// `job.removeDeduplicationKey()`, or the queue's.
    fn release(&mut self, id: &str, job: Option<&str>) -> bool {
        let request = ReleaseRequest { id: id.into(), only_if_owner: job.map(Into::into), now: self.time() };
        self.wait(self.store.release_deduplication(&self.queue, request)).unwrap()
    }

    /// Adds a job `a` with the data `{"n": n}`; its id.
    fn once(&mut self, n: u32, opts: &str) -> Value {
        json!(self.add("a", &format!(r#"{{"n":{n}}}"#), opts).unwrap().as_str())
    }

    /// The same without data.
    fn once_bare(&mut self, name: &str, opts: &str) -> Value {
        json!(self.add(name, "{}", opts).unwrap().as_str())
    }
}

const X: &str = r#"{"deduplication":{"id":"X"}}"#;

pub(crate) fn bd01(r: &mut Replay) {
    r.step("add", |r| r.once(1, X));
    r.step("add again", |r| r.once(2, X));
    r.step("getDeduplicationJobId", |r| r.owner("X"));
    r.step("complete", |r| r.run_one(false));
    r.step("add after completion", |r| r.once(3, X));
}

pub(crate) fn bd02(r: &mut Replay) {
    let opts = r#"{"deduplication":{"id":"X","ttl":5000}}"#;
    r.step("add", |r| r.once(1, opts));
    r.step("complete", |r| r.run_one(false));
    r.step("add again within ttl", |r| r.once(2, opts));
}

pub(crate) fn bd03(r: &mut Replay) {
    let opts = |ttl| format!(r#"{{"deduplication":{{"id":"X","ttl":{ttl},"extend":true}}}}"#);
    r.step("add ttl 2000", |r| r.once_bare("a", &opts(2000)));
    r.step("duplicate with ttl 9000", |r| r.once_bare("a", &opts(9000)));
}

pub(crate) fn bd04(r: &mut Replay) {
    let debounced = r#"{"delay":5000,"deduplication":{"id":"X","ttl":5000,"extend":true,"replace":true}}"#;
    r.step("add", |r| r.once(1, debounced));
    r.advance(1000);
    r.step("add again: the delayed job is replaced", |r| r.once(2, debounced));
    r.advance(1000);
    r.step("replace without extend keeps the remaining ttl", |r| {
        r.once(3, r#"{"delay":5000,"deduplication":{"id":"X","ttl":90000,"replace":true}}"#)
    });
    r.step("replace without ttl: plain SET (ttl lost)", |r| {
        r.once(4, r#"{"delay":5000,"deduplication":{"id":"X","replace":true}}"#)
    });
}

pub(crate) fn bd05(r: &mut Replay) {
    let replacing = r#"{"deduplication":{"id":"X","replace":true}}"#;
    r.step("add (waiting)", |r| r.once(1, replacing));
    r.step("add again with replace", |r| r.once(2, replacing));
    r.step("add again without replace", |r| r.once(3, X));
}

pub(crate) fn bd06(r: &mut Replay) {
    let opts = r#"{"deduplication":{"id":"X","keepLastIfActive":true}}"#;
    r.step("add", |r| r.once(1, opts));
    r.step("duplicate while waiting", |r| r.once(2, opts));
    let mut taken = None;
    r.step("take", |r| {
        let job = one(r.take("tok"));
        let id = json!(job.job.id.as_str());
        taken = Some(job);
        id
    });
    r.step("duplicate while active", |r| r.once(3, opts));
    r.step("another one while active (last wins)", |r| r.once(4, opts));
    r.step("complete: next job created", |r| r.complete(&taken.unwrap(), r#""r""#, false)).unwrap();
    r.step("run the next job", |r| r.run_one(false));
}

pub(crate) fn bd07(r: &mut Replay) {
    r.step("add delayed", |r| r.once(1, r#"{"delay":10000,"deduplication":{"id":"X"}}"#));
    r.advance(1000);
    r.step("duplicate with reschedule", |r| {
        r.once(2, r#"{"delay":20000,"deduplication":{"id":"X","reschedule":true}}"#)
    });
}

pub(crate) fn bd08(r: &mut Replay) {
    r.step("add", |r| r.once_bare("a", r#"{"deduplication":{"id":"X","ttl":60000}}"#));
    r.step("remove job", |r| r.remove("1"));
    r.step("add again", |r| r.once_bare("a", X));
    r.step("job.removeDeduplicationKey", |r| json!(r.release("X", Some("2"))));
    r.step("job.removeDeduplicationKey again", |r| json!(r.release("X", Some("2"))));
    r.step("add with key Y", |r| r.once_bare("a", r#"{"deduplication":{"id":"Y"}}"#));
    r.step("queue.removeDeduplicationKey(Y)", |r| json!(u8::from(r.release("Y", None))));
}

pub(crate) fn bd09(r: &mut Replay) {
    r.step("add, then lose the job hash", |r| {
        r.once_bare("a", X);
        r.del("1");
        let _: i64 = r.redis("LREM", "wait", &["0", "1"]);
    });
    r.step("add again: recovered", |r| r.once_bare("a", X));
}

pub(crate) fn bd10(r: &mut Replay) {
    r.step("add jobId J", |r| r.once(1, r#"{"jobId":"J"}"#));
    r.step("add jobId J again", |r| json!(r.add("b", r#"{"n":2}"#, r#"{"jobId":"J"}"#).unwrap().as_str()));
}

pub(crate) fn bd11(r: &mut Replay) {
    r.step("delayed + prioritized", |r| {
        let first = r.once_bare("a", r#"{"delay":1000,"deduplication":{"id":"A"}}"#);
        json!([first, r.once_bare("b", r#"{"priority":2,"deduplication":{"id":"B"}}"#)])
    });
    r.step("duplicate of B", |r| r.once_bare("b", r#"{"priority":1,"deduplication":{"id":"B"}}"#));
    r.step("B fails for good", |r| r.run_one(true));
    r.step("C with 2 attempts fails once (key kept)", |r| {
        r.once_bare("c", r#"{"attempts":2,"deduplication":{"id":"C"}}"#);
        r.run_one(true)
    });
}
