//! What people do to a queue and its jobs: A-36 to A-52.

use std::time::Duration;

use oxmq_core::store::{
    Change, CleanRequest, DrainRequest, JobsRequest, LogsRequest, Note, NoteRequest, ObliterateRequest,
    Order, PromoteRequest, RescheduleRequest, RetryRequest, Step,
};
use oxmq_core::{
    Ending, ErrorKind, Event, EventKind, JobState, JsonText, Result, Retention, Store, Timestamp,
};
use serde_json::{Value, json};

use crate::adding::shown_counts;
use crate::replay::{Replay, Told, boom, lease, one};

/// No bound.
const ALL: usize = 1_000;

impl Replay {
    fn promote(&mut self, job: &str) -> Result<()> {
        let request = PromoteRequest::One { job: job.into(), now: self.time() };
        self.wait(self.store.promote(&self.queue, request)).map(drop)
    }

    fn reschedule(&mut self, job: &str, change: Change) -> Result<()> {
        let request = RescheduleRequest { job: job.into(), change, now: self.time() };
        self.wait(self.store.reschedule(&self.queue, request))
    }

    fn change_delay(&mut self, job: &str, ms: u64) -> Result<()> {
        self.reschedule(job, Change::Delay(Duration::from_millis(ms)))
    }

    fn change_priority(&mut self, job: &str, priority: u32, lifo: bool) -> Result<()> {
        self.reschedule(job, Change::Priority { priority, lifo })
    }

    fn retry(&mut self, job: &str, state: JobState, reset: bool) -> Result<()> {
        let request = RetryRequest::One {
            job: job.into(),
            state,
            reset_attempts_made: reset,
            reset_attempts_started: reset,
            now: self.time(),
        };
        self.wait(self.store.retry(&self.queue, request)).map(drop)
    }

    /// `queue.retryJobs`: in steps of `count`.
    fn retry_many(&mut self, state: JobState, until: i64, count: usize) {
        loop {
            let request = RetryRequest::Many {
                state,
                finished_until: Timestamp::from_millis(until),
                limit: count,
                now: self.time(),
            };
            if !self.wait(self.store.retry(&self.queue, request)).unwrap().more {
                break;
            }
        }
    }

    pub(crate) fn clean(&mut self, grace: i64, limit: usize, state: JobState) -> Value {
        let request = CleanRequest {
            state,
            older_than: Timestamp::from_millis(self.now - grace),
            limit: if limit == 0 { ALL } else { limit },
            now: self.time(),
        };
        let step = self.wait(self.store.clean(&self.queue, request)).unwrap();
        step.ids.iter().map(oxmq_core::JobId::as_str).collect()
    }

    fn drain(&mut self, delayed: bool) {
        let request = DrainRequest { delayed, limit: ALL, now: self.time() };
        self.wait(self.store.drain(&self.queue, request)).unwrap();
    }

    pub(crate) fn obliterate(&mut self, force: bool) -> Result<()> {
        let request = ObliterateRequest { force, limit: ALL, now: self.time() };
        self.wait(self.store.obliterate(&self.queue, request)).map(|step: Step| assert!(!step.more))
    }

    fn note(&mut self, job: &str, note: Note) -> Result<u64> {
        let request = NoteRequest { job: job.into(), note, now: self.time() };
        self.wait(self.store.note(&self.queue, request))
    }

    /// `job.log(line)`: how many lines there are.
    pub(crate) fn log(&mut self, job: &str, line: &str, keep: Option<u32>) -> Result<Value> {
        self.note(job, Note::Log { line: line.into(), keep }).map(|lines| json!(lines))
    }

    pub(crate) fn progress(&mut self, job: &str, json: &str) -> Result<()> {
        self.note(job, Note::Progress(JsonText::parse(json).unwrap())).map(drop)
    }

    fn logs(&mut self, limit: usize, order: Order) -> Value {
        let request = LogsRequest { job: "1".into(), offset: 0, limit, order };
        let page = self.wait(self.store.logs(&self.queue, request)).unwrap();
        json!({ "logs": page.lines, "count": page.total })
    }

    /// The ids of a page of jobs.
    fn jobs(&mut self, states: &[JobState], offset: u64, limit: usize, order: Order) -> Value {
        let request = JobsRequest { states: states.to_vec(), offset, limit, order };
        let page = self.wait(self.store.jobs(&self.queue, request)).unwrap();
        page.jobs.iter().map(|view| view.job.id.as_str()).collect()
    }
}

pub(crate) fn a36(r: &mut Replay) {
    r.put("a", r#"{"delay":1000}"#);
    r.put("b", r#"{"delay":1000,"priority":2}"#);
    r.put("c", r#"{"delay":2000}"#);
    r.put("d", r#"{"delay":3000,"priority":5}"#);
    r.step("promote 1", |r| r.promote("1")).unwrap();
    r.step("promote 1 again", |r| r.promote("1")).unwrap_err();
    r.step("promote 2 (prioritized)", |r| r.promote("2")).unwrap();
    r.step("promoteJobs", |r| {
        let request = PromoteRequest::All { limit: ALL, now: r.time() };
        r.wait(r.store.promote(&r.queue, request)).map(drop)
    })
    .unwrap();
}

pub(crate) fn a37(r: &mut Replay) {
    r.put("a", r#"{"delay":5000}"#);
    r.put("b", "{}");
    r.advance(100);
    r.step("to 2000", |r| r.change_delay("1", 2000)).unwrap();
    r.step("to 0", |r| r.change_delay("1", 0)).unwrap();
    r.step("of a waiting job", |r| r.change_delay("2", 10)).unwrap_err();
    r.remove("2");
    r.step("of a missing job", |r| r.change_delay("2", 10)).unwrap_err();
}

pub(crate) fn a38(r: &mut Replay) {
    r.put("a", r#"{"priority":5}"#);
    r.put("b", r#"{"priority":5}"#);
    r.put("c", "{}");
    r.put("d", "{}");
    r.put("e", r#"{"delay":5000}"#);
    r.look("setup");
    r.step("1: 5 -> 2", |r| r.change_priority("1", 2, false)).unwrap();
    r.step("2: 5 -> 2 lifo", |r| r.change_priority("2", 2, true)).unwrap();
    r.step("1: 2 -> 0", |r| r.change_priority("1", 0, false)).unwrap();
    r.step("3: 0 -> 7", |r| r.change_priority("3", 7, false)).unwrap();
    r.step("4: 0 -> 0 lifo", |r| r.change_priority("4", 0, true)).unwrap();
    r.step("5 (delayed) -> 3: only the hash", |r| r.change_priority("5", 3, false)).unwrap();
    r.remove("5");
    r.step("missing", |r| r.change_priority("5", 1, false)).unwrap_err();
}

pub(crate) fn a39(r: &mut Replay) {
    r.put("a", "{}");
    let j = one(r.take("t1"));
    r.fail(&j, boom("e", 1), false).unwrap();
    r.look("failed");
    r.step("retry failed", |r| r.retry("1", JobState::Failed, false)).unwrap();
    r.step("retry again: not in state", |r| r.retry("1", JobState::Failed, false)).unwrap_err();
    let j = one(r.take("t2"));
    r.complete(&j, r#""v""#, false).unwrap();
    r.step("retry completed with both resets", |r| r.retry("1", JobState::Completed, true)).unwrap();
    let j = one(r.take("t2b"));
    r.complete(&j, r#""v""#, false).unwrap();
    r.put("p", r#"{"priority":6}"#);
    let j = one(r.take("t3"));
    r.fail(&j, boom("e", 1), false).unwrap();
    r.step("retry failed prioritized", |r| r.retry("2", JobState::Failed, false)).unwrap();
    r.remove("2");
    r.step("retry missing", |r| r.retry("2", JobState::Failed, false)).unwrap_err();
}

pub(crate) fn a40(r: &mut Replay) {
    for i in 1..=3 {
        r.put("a", if i == 2 { r#"{"priority":4}"# } else { "{}" });
        let j = one(r.take(&format!("t{i}")));
        r.advance(10);
        r.fail(&j, boom("e", i), false).unwrap();
    }
    r.look("three failed");
    r.step("retryJobs({count:2})", |r| r.retry_many(JobState::Failed, r.now, 2));
    r.realign(|r| {
        let _: i64 = r.redis("ZREM", "prioritized", &["2"]);
        let _: () = r.redis("SET", "pc", &["1"]);
        r.del("wait");
        let _: i64 = r.redis("RPUSH", "wait", &["3", "2", "1"]);
    });
    for i in 1..=3 {
        let j = one(r.take(&format!("u{i}")));
        r.advance(10);
        r.complete(&j, &i.to_string(), false).unwrap();
    }
    r.look("three completed");
    r.step("retryJobs completed before a timestamp", |r| {
        r.retry_many(JobState::Completed, r.now - 10, ALL);
    });
}

pub(crate) fn a41(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", "{}");
    r.put("c", r#"{"delay":4000}"#);
    r.take("tok-1");
    r.log("2", "x", None).unwrap();
    r.look("setup");
    r.step("remove locked -> 0", |r| r.remove("1"));
    r.step("job.remove locked -> error", |r| {
        assert_eq!(r.remove("1"), 0);
        Told::Refused(ErrorKind::Refused)
    });
    r.step("remove waiting", |r| r.remove("2"));
    r.step("remove delayed (marker stays)", |r| r.remove("3"));
    r.step("remove missing", |r| r.remove("99"));
}

pub(crate) fn a42(r: &mut Replay) {
    let fill = |r: &mut Replay| {
        r.put("a", "{}");
        r.put("b", r#"{"priority":2}"#);
        r.put("c", r#"{"delay":4000}"#);
    };
    fill(r);
    r.step("drain()", |r| r.drain(false));
    fill(r);
    r.step("drain(true)", |r| r.drain(true));
}

pub(crate) fn a43(r: &mut Replay) {
    for i in 1..=4 {
        r.put("a", "{}");
        let j = one(r.take(&format!("t{i}")));
        r.advance(1000);
        r.complete(&j, &i.to_string(), false).unwrap();
    }
    r.step("clean(1500, 0): older than grace", |r| r.clean(1500, 0, JobState::Completed));
    r.step("clean(0, 1)", |r| r.clean(0, 1, JobState::Completed));
    for _ in 0..3 {
        r.put("w", "{}");
        r.advance(1);
    }
    r.step("clean wait limit 2", |r| r.clean(0, 2, JobState::Waiting));
    r.put("d", r#"{"delay":100000}"#);
    r.step("clean delayed", |r| r.clean(0, 0, JobState::Delayed));
    r.put("p", r#"{"priority":3}"#);
    r.step("clean prioritized with grace 5000", |r| r.clean(5000, 0, JobState::Prioritized));
    r.take("tt");
    r.step("clean active: locked is skipped", |r| r.clean(0, 0, JobState::Active));
}

pub(crate) fn a44(r: &mut Replay) {
    r.put("a", "{}");
    r.put("b", r#"{"delay":1000}"#);
    r.put("c", r#"{"priority":1}"#);
    r.take("tok-1");
    r.step("obliterate", |r| r.obliterate(false)).unwrap_err();
    r.step("obliterate force", |r| r.obliterate(true)).unwrap();
}

pub(crate) fn a45(r: &mut Replay) {
    let data = |json: &str| Note::Data(JsonText::parse(json).unwrap());
    r.add("a", r#"{"v":1}"#, r#"{"keepLogs":2}"#).unwrap();
    r.step("updateData", |r| r.note("1", data(r#"{"v":2}"#)).map(drop)).unwrap();
    r.step("progress number", |r| r.progress("1", "42")).unwrap();
    r.step("progress object", |r| r.progress("1", r#"{"pct":50,"note":"half"}"#)).unwrap();
    r.step("progress via queue, text", |r| r.progress("1", r#""almost""#)).unwrap();
    r.step("log 1", |r| r.log("1", "one", Some(2))).unwrap();
    r.step("log 2", |r| r.log("1", "two", Some(2))).unwrap();
    r.step("log 3 (keepLogs 2)", |r| r.log("1", "three", Some(2))).unwrap();
    r.step("addJobLog without keepLogs", |r| r.log("1", "four", None)).unwrap();
    r.step("getJobLogs asc", |r| r.logs(2, Order::Ascending));
    r.step("getJobLogs desc", |r| r.logs(2, Order::Descending));
    r.step("clearLogs(1)", |r| r.note("1", Note::ClearLogs { keep: Some(1) }).map(drop)).unwrap();
    r.step("clearLogs()", |r| r.note("1", Note::ClearLogs { keep: None }).map(drop)).unwrap();
    r.remove("1");
    r.step("updateData missing", |r| r.note("1", data("{}")).map(drop)).unwrap_err();
    r.step("updateProgress missing", |r| r.progress("1", "1")).unwrap_err();
    r.step("log missing", |r| r.log("1", "x", None)).unwrap_err();
}

pub(crate) fn a46(r: &mut Replay) {
    r.put("a", r#"{"attempts":3}"#);
    r.put("b", "{}");
    let postponed = |ms: i64| Ending::Postponed { at: Timestamp::from_millis(ms) };
    let j = one(r.step("take", |r| r.take("tok-1")));
    r.step("moveToDelayed(+4000): attempts not spent", |r| r.end(&j.lease, postponed(r.now + 4000), false))
        .unwrap();
    let j = one(r.step("take b", |r| r.take("tok-2")));
    r.step("moveToWait(b): front of the list", |r| r.end(&j.lease, Ending::Returned, false)).unwrap();
    let j = one(r.take("tok-3"));
    r.step("moveToDelayed in the past: delay 0", |r| r.end(&j.lease, postponed(r.now - 5), false)).unwrap();
}

pub(crate) fn a47(r: &mut Replay) {
    r.put("a", r#"{"attempts":3,"backoff":1000}"#);
    let j = one(r.take("tok-1"));
    let (bad, good) = (lease("1", "bad"), j.lease.clone());
    let done = || Ending::Completed { return_value: JsonText::parse("1").unwrap(), keep: Retention::ALL };
    let later = Ending::Postponed { at: Timestamp::from_millis(r.now + 5) };
    let failing = r.failing(&j.job, boom("boom", 1));
    let Ending::Retry { failure, .. } = failing.clone() else { panic!("a retry") };
    r.step("complete, wrong token", |r| r.end(&bad, done(), false)).unwrap_err();
    r.step("fail (delayed retry), wrong token", |r| r.end(&bad, failing, false)).unwrap_err();
    r.step("moveToWait, wrong token", |r| r.end(&bad, Ending::Returned, false)).unwrap_err();
    r.step("moveToDelayed, wrong token", |r| r.end(&bad, later.clone(), false)).unwrap_err();
    r.step("retryJob, wrong token", |r| r.end(&bad, Ending::Retry { failure, at: None }, false)).unwrap_err();
    r.look("nothing changed");
    // Our own note of the lease still knows whose it is: see the exceptions.
    r.del("1:lock");
    let _ = r.step("complete, lock missing", |r| r.end(&good, done(), false));
    r.realign(|r| {
        let _: i64 = r.redis("ZREM", "completed", &["1"]);
        let _: i64 = r.redis("LPUSH", "active", &["1"]);
        let _: i64 = r.redis("HDEL", "1", &["returnvalue", "finishedOn", "atm"]);
    });
    // Without the note it is as for Node.
    r.step("moveToWait, lock missing", |r| r.end(&good, Ending::Returned, false)).unwrap_err();
    let _: () = r.redis("SET", "1:lock", &["tok-1"]);
    let _: i64 = r.redis("LREM", "active", &["0", "1"]);
    r.step("complete, not active: lock and fields are already gone", |r| r.end(&good, done(), false))
        .unwrap_err();
    r.del("1");
    r.step("complete, job missing", |r| r.end(&good, done(), false)).unwrap_err();
    r.step("moveToWait, job missing", |r| r.end(&good, Ending::Returned, false)).unwrap_err();
    r.step("moveToDelayed, job missing", |r| r.end(&good, later, false)).unwrap_err();
}

pub(crate) fn a48(r: &mut Replay) {
    let plain = |r: &mut Replay, name: &str, opts: &str| {
        let _ = r.step(name, |r| r.add("a", "{}", opts));
    };
    plain(r, "integer id", r#"{"jobId":"12"}"#);
    plain(r, "negative integer id", r#"{"jobId":"-7"}"#);
    plain(r, "leading zero id is allowed", r#"{"jobId":"007"}"#);
    plain(r, "id 0", r#"{"jobId":"0"}"#);
    plain(r, "id starting 0:", r#"{"jobId":"0:x"}"#);
    plain(r, "one colon", r#"{"jobId":"a:b"}"#);
    plain(r, "two colons allowed", r#"{"jobId":"a:b:c"}"#);
    plain(r, "three colons", r#"{"jobId":"a:b:c:d"}"#);
    plain(r, "empty id is automatic", r#"{"jobId":""}"#);
    plain(r, "reserved name is treated as an existing job", r#"{"jobId":"meta"}"#);
    // Node's counter went on.
    r.realign(|r| r.redis::<i64>("INCR", "id", &[]));
    plain(r, "priority float", r#"{"priority":1.5}"#);
    plain(r, "priority too big", r#"{"priority":2097152}"#);
    plain(r, "priority max", r#"{"priority":2097151}"#);
    plain(r, "priority negative", r#"{"priority":-3}"#);
    r.realign(|r| {
        let _: i64 = r.redis("INCR", "id", &[]);
        let _: i64 = r.redis("INCR", "pc", &[]);
    });
    plain(r, "negative delay", r#"{"delay":-500}"#);
    plain(r, "fractional delay", r#"{"delay":100.5}"#);
    plain(r, "jitter out of range", r#"{"backoff":{"type":"fixed","delay":1,"jitter":2}}"#);
    let _ = r.step("size limit", |r| r.add("a", r#"{"long":"abcdef"}"#, r#"{"sizeLimit":5}"#));
    for (name, opts) in [
        ("two exclusive options", r#"{"failParentOnFailure":true,"ignoreDependencyOnFailure":true}"#),
        ("debounce", r#"{"debounce":{"id":"x"}}"#),
        ("dedup without id", r#"{"deduplication":{"id":""}}"#),
        ("missing parent", r#"{"parent":{"id":"nope","queue":"bull:vec"}}"#),
    ] {
        if let Ok(id) = r.step(name, |r| r.add("a", "{}", opts)) {
            r.realign(|r| {
                r.remove(id.as_str());
                let _: i64 = r.redis("DECR", "id", &[]);
            });
        }
    }
    r.look("after");
    for name in ["a:b", ""] {
        r.step(&format!("queue name {name:?}"), |_| oxmq_core::QueueAddress::new(name).map(drop))
            .unwrap_err();
    }
}

pub(crate) fn a49(r: &mut Replay) {
    r.look("meta");
    r.step("add", |r| r.add("a", "{}", "{}")).unwrap();
    r.step("publish custom", |r| {
        let fields = vec![("foo".into(), "bar".into()), ("n".into(), "3".into())];
        let event = Event::queue(EventKind::Custom { name: "my-event".into(), fields });
        r.wait(r.store.publish(&r.queue, event, r.time())).map(drop)
    })
    .unwrap();
    r.step("trimEvents(0)", |r| {
        // The call has no counterpart.
        let _: i64 = r.redis("XTRIM", "events", &["MAXLEN", "~", "0"]);
    });
}

pub(crate) fn a50(r: &mut Replay) {
    r.put("a", r#"{"attempts":5}"#);
    r.max_starts = Some(1);
    let j = one(r.take("tok-1"));
    r.step("fail at the limit: no retry", |r| r.fail(&j, boom("e", 1), false)).unwrap();
}

pub(crate) fn a51(r: &mut Replay) {
    use JobState::{Active, Completed, Delayed, Failed, Prioritized, Waiting};
    for i in 1..=4 {
        r.add("a", &format!(r#"{{"i":{i}}}"#), "{}").unwrap();
        let j = one(r.take(&format!("t{i}")));
        r.advance(1);
        if i % 2 == 1 {
            r.complete(&j, &i.to_string(), false).unwrap();
        } else {
            r.fail(&j, boom("e", i), false).unwrap();
        }
    }
    r.put("act", "{}");
    r.take("ta");
    r.put("act2", "{}");
    r.take("tb");
    for _ in 0..4 {
        r.put("w", "{}");
    }
    for priority in [9, 1, 9] {
        r.put("p", &format!(r#"{{"priority":{priority}}}"#));
    }
    r.put("d", r#"{"delay":9000}"#);
    r.put("d", r#"{"delay":1000}"#);
    r.look("setup");
    r.step("getJobCounts()", |r| shown_counts(&r.counts()));
    r.step("getJobCounts(waiting, wait)", |r| {
        let waiting = r.counts().waiting;
        json!({ "waiting": waiting, "wait": waiting })
    });
    r.step("count()", |r| {
        let counts = r.counts();
        json!(counts.unfinished() - counts.active)
    });
    r.no_twin("getCountsPerPriority([0,1,9,2])");
    r.no_twin("getDelayedCount(T+1000)");
    r.no_twin("getDelayedCount(T+1001)");
    for state in [Waiting, Active, Delayed, Prioritized, Completed, Failed] {
        r.step(&format!("getJobs([{state}],0,-1,asc)"), |r| r.jobs(&[state], 0, ALL, Order::Ascending));
        r.step(&format!("getJobs([{state}],0,-1,desc)"), |r| r.jobs(&[state], 0, ALL, Order::Descending));
    }
    r.step("getJobs([waiting],1,2,asc)", |r| r.jobs(&[Waiting], 1, 2, Order::Ascending));
    r.step("getJobs([waiting],1,2,desc)", |r| r.jobs(&[Waiting], 1, 2, Order::Descending));
    r.step("getJobs([waiting],3,9,asc)", |r| r.jobs(&[Waiting], 3, 7, Order::Ascending));
    r.step("getRanges([wait],0,1,asc)", |r| r.jobs(&[Waiting], 0, 2, Order::Ascending));
    r.step("getRanges([wait],0,1,desc)", |r| r.jobs(&[Waiting], 0, 2, Order::Descending));
    r.step("getJobs() all, desc", |r| r.jobs(&JobState::ALL, 0, ALL, Order::Descending));
    r.step("getWaiting", |r| r.jobs(&[Waiting], 0, ALL, Order::Ascending));
    r.step("getCompleted", |r| r.jobs(&[Completed], 0, ALL, Order::Descending));
    r.step("getFailed", |r| r.jobs(&[Failed], 0, ALL, Order::Descending));
    r.step("getDelayed", |r| r.jobs(&[Delayed], 0, ALL, Order::Ascending));
    for id in ["1", "2", "5", "7", "11", "14", "zzz"] {
        r.step(&format!("getJobState({id})"), |r| r.state(id));
    }
    for id in ["1", "2", "7", "zzz"] {
        let (code, value) = r.is_finished(id);
        r.step(&format!("isFinished({id})"), |_| json!(code));
        r.step(&format!("isFinished({id}, value)"), |_| match (code, value) {
            (-1, _) => json!([-1, format!("Missing key for job bull:vec:{id}. isFinished")]),
            (_, Some(value)) => json!([code, value]),
            _ => json!([code]),
        });
    }
}

impl Replay {
    /// As Node's script of that name: -1 (no such job), 0, 1 (completed) or 2 (failed), and the result or reason.
    pub(crate) fn is_finished(&mut self, id: &str) -> (i32, Option<String>) {
        let Some(view) = self.wait(self.store.job(&self.queue, &id.into())).unwrap() else {
            return (-1, None);
        };
        match view.state {
            JobState::Completed => (1, view.job.return_value.map(|json| json.as_str().to_owned())),
            JobState::Failed => (2, view.job.failed_reason),
            _ => (0, None),
        }
    }

    /// What our own wait makes of a marker that is there to be popped: the key, member and score that Node gets.
    pub(crate) fn pop(&mut self) -> Value {
        self.pop_within(Duration::from_secs(10))
    }

    /// The same where there may be none.
    pub(crate) fn pop_nothing(&mut self) -> Value {
        self.pop_within(Duration::from_millis(200))
    }

    fn pop_within(&mut self, timeout: Duration) -> Value {
        use oxmq_core::store::{WaitRequest, Woken};
        let request = WaitRequest { worker: None, timeout };
        match self.wait(self.store.wait(&self.queue, request)).unwrap() {
            Woken::Look => json!(["bull:vec:marker", "0", "0"]),
            Woken::Due(at) => json!(["bull:vec:marker", "1", at.as_millis().to_string()]),
            _ => Value::Null,
        }
    }
}

pub(crate) fn a52(r: &mut Replay) {
    r.step("pop on empty", Replay::pop_nothing);
    r.put("a", "{}");
    r.put("b", "{}");
    r.look("two adds, one marker");
    r.step("pop", Replay::pop);
    r.step("pop again", Replay::pop_nothing);
    r.step("take leaves a marker for the others", |r| r.take("tok-1"));
    r.put("d", r#"{"delay":3000}"#);
    r.look("both markers");
    r.step("pop lowest", Replay::pop);
    r.step("pop delay marker", Replay::pop);
}
