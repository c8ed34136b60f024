//! Moves of handlers, listeners, flows, and running workers: A-53 to A-62. What a worker does is done here by the
//! calls that it makes.

use std::time::Duration;

use oxmq_core::store::{EventsRequest, WaitRequest};
use oxmq_core::{
    Ending, ErrorKind, EventCursor, EventId, Failure, JobState, JsonText, LeasedJob, Store, Timestamp,
};
use serde_json::{Map, Value, json};

use crate::replay::{Replay, Thrown, Told, boom, for_good, one};

impl Replay {
    /// A worker begins: it checks for stalled jobs, and finds nothing to take.
    fn begin(&mut self) {
        assert_eq!(self.recover(), json!([]));
        assert!(self.take("<uuid>:0").jobs.is_empty());
    }

    /// A worker wakes up, and takes.
    fn wake(&mut self, token: &str) -> LeasedJob {
        while !self.pop_nothing().is_null() {}
        one(self.take(token))
    }

    /// A worker finds nothing, and waits.
    fn idle(&mut self) {
        while !self.pop_nothing().is_null() {}
        assert!(self.take("<uuid>:9").jobs.is_empty());
    }
}

pub(crate) fn a53(r: &mut Replay) {
    r.worker = Some("runner");
    r.step("run", |r| {
        r.begin();
        r.add("a", r#"{"x":1}"#, "{}").unwrap();
        let j = r.wake("<uuid>:1");
        r.complete(&j, r#""ok""#, true).unwrap();
        r.idle();
        Told::NoTwin
    });
    r.no_twin("closed");
}

pub(crate) fn a54(r: &mut Replay) {
    r.put("a", r#"{"attempts":2}"#);
    let j = one(r.take("t1"));
    r.step("rate limit path", |r| {
        r.rate_limit(Some(5000));
        r.end(&j.lease, Ending::Returned, false)
    })
    .unwrap();
    r.del("limiter");
    let j = one(r.take("t2"));
    let at = Timestamp::from_millis(r.now + 10);
    r.step("delayed path", |r| r.end(&j.lease, Ending::Postponed { at }, false)).unwrap();
    r.advance(10);
    let j = one(r.take("t3"));
    r.look("hash: started 3, made 0");
    r.step("complete", |r| r.complete(&j, "null", false)).unwrap();
}

pub(crate) fn a55(r: &mut Replay) {
    r.pause();
    r.resume();
    r.put("a", r#"{"jobId":"k1"}"#);
    r.put("a", r#"{"jobId":"k1"}"#);
    let j = one(r.take("t1"));
    r.progress("k1", r#"{"p":1}"#).unwrap();
    r.complete(&j, r#"{"r":1}"#, true).unwrap();
    r.put("b", "{}");
    let j = one(r.take("t2"));
    r.fail(&j, boom("bad", 1), true).unwrap();
    r.put("c", r#"{"delay":10}"#);
    r.remove("4");
    r.clean(0, 0, JobState::Completed);
    r.step("received", |r| {
        let request = EventsRequest { after: EventCursor::Oldest, limit: 1000, timeout: Duration::ZERO };
        let page = r.wait(r.store.events(&r.queue, request)).unwrap();
        let listen = |stored: &oxmq_core::StoredEvent| {
            let name = stored.event.name();
            // As Node's listeners get them.
            let fields = stored.event.fields();
            let fields: Map<String, Value> = fields
                .iter()
                .map(|(field, text)| {
                    let json = matches!((name, *field), (_, "data" | "returnvalue") | ("delayed", "delay"));
                    let value = if json { serde_json::from_str(text).unwrap() } else { json!(text) };
                    ((*field).to_owned(), value)
                })
                .collect();
            if name == "drained" { json!([name, "<id>"]) } else { json!([name, fields]) }
        };
        page.events.iter().map(listen).collect::<Value>()
    });
}

pub(crate) fn a56(r: &mut Replay) {
    r.put("a", "{}");
    let j = one(r.take("t1"));
    r.complete(&j, r#"{"v":9}"#, false).unwrap();
    r.step("completed", |r| {
        let (code, value) = r.is_finished("1");
        assert_eq!(code, 1);
        serde_json::from_str::<Value>(&value.unwrap()).unwrap()
    });
    r.put("b", "{}");
    let j = one(r.take("t2"));
    r.fail(&j, boom("bad", 1), false).unwrap();
    r.step("failed", |r| {
        let (code, reason) = r.is_finished("2");
        assert_eq!(code, 2);
        Told::Text(reason.unwrap())
    });
    let id = r.put("c", "{}");
    r.remove(id.as_str());
    r.step("removed", |r| {
        assert_eq!(r.is_finished("3").0, -1);
        Told::NoTwin
    });
    r.put("d", "{}");
    r.step("timeout 50", |r| {
        assert_eq!(r.is_finished("4").0, 0);
        Told::NoTwin
    });
}

pub(crate) fn a57(r: &mut Replay) {
    r.step("add flow with fixed ids", |r| {
        // Added by Node.
        r.write_as_recorded();
        Told::NoTwin
    });
    let j = one(r.step("take child", |r| r.take("tok-1")));
    r.step("complete child", |r| r.complete(&j, r#""cv""#, false)).unwrap();
    r.step("getJobState(P)", |r| r.state("P"));
}

pub(crate) fn a58(r: &mut Replay) {
    r.step("names and their last command", |r| {
        let wait = |worker: Option<&str>| {
            let request =
                WaitRequest { worker: worker.map(str::to_owned), timeout: Duration::from_secs(20) };
            r.store.wait(&r.queue, request)
        };
        let (unnamed, alpha) = (wait(None), wait(Some("alpha")));
        let after = EventCursor::After(EventId::stored("0-0"));
        let request = EventsRequest { after, limit: 1, timeout: Duration::from_secs(20) };
        let listener = r.store.events(&r.queue, request);
        let database = format!(" db={} ", r.url.rsplit('/').next().unwrap());
        let client = redis::Client::open(r.url.as_str()).unwrap();
        let list = async {
            let mut connection = client.get_connection().unwrap();
            let mut list = String::new();
            oxmq_core::conformance::eventually(Duration::from_secs(10), || {
                list = redis::cmd("CLIENT").arg("LIST").query(&mut connection).unwrap();
                let of_workers = list.lines().filter(|line| line.contains(&database) && line.contains("cmd=bzpopmin"));
                let both = of_workers.count() == 2;
                async move { both }
            })
            .await;
            list
        };
        let list = r.wait(async {
            tokio::select! {
                list = list => list,
                _ = async { tokio::join!(unnamed, alpha, listener) } => panic!("nothing was to end the waits"),
            }
        });
        let field = |line: &str, name: &str| {
            line.split(' ').find_map(|part| part.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let of_workers = list.lines().filter(|line| line.contains(&database));
        let names = of_workers.map(|line| (field(line, "name="), field(line, "cmd=")));
        let mut names: Vec<String> = names
            .filter(|(name, _)| name.starts_with("bull:"))
            .map(|(name, command)| format!("{name} {command}"))
            .collect();
        names.sort();
        json!(names)
    });
    r.no_twin("getWorkers");
}

pub(crate) fn a59(r: &mut Replay) {
    r.step("run", |r| {
        r.begin();
        r.put("rl", r#"{"attempts":2}"#);
        let j = r.wake("<uuid>:1");
        r.rate_limit(Some(100));
        r.end(&j.lease, Ending::Returned, false).unwrap();
        assert!(r.take("<uuid>:2").jobs.is_empty(), "limited");
        r.rate_limit(None);
        let j = one(r.take("<uuid>:3"));
        assert_eq!((j.job.attempts_started, j.job.attempts_made), (2, 0));
        r.complete(&j, r#""rl""#, true).unwrap();
        r.idle();
        r.put("wait", r#"{"attempts":2}"#);
        let j = r.wake("<uuid>:4");
        r.end(&j.lease, Ending::Returned, false).unwrap();
        let j = one(r.take("<uuid>:5"));
        r.complete(&j, r#""wait""#, true).unwrap();
        r.idle();
        r.put("delay", r#"{"attempts":2}"#);
        let j = r.wake("<uuid>:6");
        let at = Timestamp::from_millis(r.now + 50);
        r.end(&j.lease, Ending::Postponed { at }, false).unwrap();
        assert!(r.take("<uuid>:7").jobs.is_empty(), "not due");
        r.advance(60);
        let j = one(r.take("<uuid>:8"));
        assert_eq!((j.job.attempts_started, j.job.attempts_made), (2, 0));
        r.complete(&j, r#""delay""#, true).unwrap();
        r.idle();
        Told::NoTwin
    });
}

pub(crate) fn a60(r: &mut Replay) {
    let stall = |r: &mut Replay, id: &str| {
        r.check_stalled();
        r.lose_lease(id);
        r.check_stalled();
    };
    let refused = |message| Thrown { stack: Some(0), ..for_good(message) };
    r.put("a", r#"{"attempts":3}"#);
    r.take("t1");
    stall(r, "1");
    r.look("stalled once, started once");
    r.step("worker with maxStartedAttempts 1", |r| {
        let j = r.wake("<uuid>:0");
        assert_eq!(j.job.attempts_started, 2);
        r.fail(&j, refused("job started more than allowable limit"), true).unwrap();
        r.idle();
        Told::NoTwin
    });
    r.put("b", r#"{"attempts":3}"#);
    r.take("t2");
    stall(r, "2");
    r.take("t3");
    stall(r, "2");
    r.look("stalled twice");
    r.step("worker takes it", |r| {
        let j = r.wake("<uuid>:0");
        assert_eq!(j.job.deferred_failure.as_deref(), Some("job stalled more than allowable limit"));
        r.fail(&j, refused("job stalled more than allowable limit"), true).unwrap();
        r.idle();
        Told::NoTwin
    });
}

pub(crate) fn a61(r: &mut Replay) {
    r.step("run", |r| {
        r.begin();
        r.put("a", r#"{"attempts":3}"#);
        let j = r.wake("<uuid>:1");
        r.lose_lease("1");
        assert_eq!(r.complete(&j, "1", true).unwrap_err().kind(), ErrorKind::NotLocked);
        let failure = Failure { reason: "Missing lock".into(), stacktrace: Some(JsonText::stored("[]")) };
        let again = r.end(&j.lease, Ending::Retry { failure, at: None }, false);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotLocked);
        r.idle();
        Told::NoTwin
    });
}

pub(crate) fn a62(r: &mut Replay) {
    r.step("run", |r| {
        r.begin();
        r.put("bigint", r#"{"stackTraceLimit":0}"#);
        let j = r.wake("<uuid>:1");
        r.fail(&j, boom("Do not know how to serialize a BigInt", 1), true).unwrap();
        r.idle();
        r.put("fn", "{}");
        let j = r.wake("<uuid>:2");
        r.complete(&j, "null", true).unwrap();
        r.idle();
        // The recorder waited for 4 s in between.
        let _: i64 = r.redis("PEXPIRE", "stalled-check", &["26000"]);
        Told::NoTwin
    });
}
