//! Runs the Rust twin of a recorded scenario, and compares after each step.

use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oxmq_core::store::{
    Added, Extended, Fate, Finish, FinishRequest, Idle, RateLimit, RecoverRequest, TakeRequest, Taken,
};
use oxmq_core::{
    Backoff, Clock, ClockHand, Ending, ErrorKind, Failure, Job, JobId, JobOptions, JobState, JsonText, Lease,
    LeasedJob, NewJob, Queue, QueueAddress, Result, Retention, Store, Timestamp, Token, backoff_delay,
};
use oxmq_redis::RedisStore;
use redis::Connection;
use serde_json::{Map, Value, json};

use crate::compare::{BASE, Keys, event_difference, event_line, field, plain};
use crate::exceptions::EXCEPTIONS;
use crate::features::normalised;
use crate::recorded;
use crate::support::fresh_url;

/// What a step of a twin has to say of its outcome.
pub(crate) enum Told {
    /// It worked; nothing more is compared.
    Done,
    /// Nothing that could be compared: the recorded call has no counterpart here.
    NoTwin,
    /// It was refused.
    Refused(ErrorKind),
    /// A job was added, or was there already.
    Added(JobId),
    /// Jobs were taken, or not.
    Taken(Taken),
    /// What Node's call returned, or what its script did if the call does not show it.
    Value(Value),
    /// The text of Node's error.
    Text(String),
}

/// What steps give back.
pub(crate) trait Tell {
    fn tell(&self) -> Told;
}

impl Tell for () {
    fn tell(&self) -> Told {
        Told::Done
    }
}

impl Tell for Told {
    fn tell(&self) -> Told {
        match self {
            Told::Done => Told::Done,
            Told::NoTwin => Told::NoTwin,
            Told::Refused(kind) => Told::Refused(*kind),
            Told::Added(id) => Told::Added(id.clone()),
            Told::Taken(taken) => Told::Taken(taken.clone()),
            Told::Value(value) => Told::Value(value.clone()),
            Told::Text(text) => Told::Text(text.clone()),
        }
    }
}

impl Tell for Value {
    fn tell(&self) -> Told {
        Told::Value(self.clone())
    }
}

impl Tell for Taken {
    fn tell(&self) -> Told {
        Told::Taken(self.clone())
    }
}

impl Tell for JobId {
    fn tell(&self) -> Told {
        Told::Added(self.clone())
    }
}

impl<T: Tell> Tell for Option<T> {
    fn tell(&self) -> Told {
        self.as_ref().map_or(Told::Done, Tell::tell)
    }
}

impl<T: Tell> Tell for Result<T> {
    fn tell(&self) -> Told {
        match self {
            Ok(value) => value.tell(),
            Err(error) => Told::Refused(error.kind()),
        }
    }
}

/// An error as the scenarios throw it: its message and its stack.
#[derive(Clone, Copy)]
pub(crate) struct Thrown {
    pub(crate) message: &'static str,
    pub(crate) stack: Option<u32>,
    pub(crate) for_good: bool,
}

/// `boom` of the generator.
pub(crate) fn boom(message: &'static str, n: u32) -> Thrown {
    Thrown { message, stack: Some(n), for_good: false }
}

/// `unrec` of the generator.
pub(crate) fn for_good(message: &'static str) -> Thrown {
    Thrown { message, stack: Some(1), for_good: true }
}

/// The only job of a take.
pub(crate) fn one(taken: Taken) -> LeasedJob {
    let mut jobs = taken.jobs;
    assert_eq!(jobs.len(), 1, "one job");
    jobs.remove(0)
}

/// A scenario that is being replayed.
pub(crate) struct Replay {
    runtime: tokio::runtime::Runtime,
    pub(crate) store: Arc<RedisStore>,
    face: Queue,
    hand: ClockHand,
    pub(crate) queue: QueueAddress,
    pub(crate) raw: Connection,
    pub(crate) url: String,
    /// The scenario's clock.
    pub(crate) now: i64,
    /// The options of the worker that takes and finishes.
    pub(crate) worker: Option<&'static str>,
    pub(crate) limiter: Option<(u32, u64)>,
    pub(crate) keep_completed: Retention,
    pub(crate) metrics: Option<u32>,
    /// The worker's own backoff, in ms.
    pub(crate) own_backoff: fn(u32, &Backoff) -> i64,
    pub(crate) max_starts: Option<u32>,
    id: String,
    steps: Vec<Value>,
    at: usize,
    last_event: String,
    surplus: i64,
    /// The differences in the keys after the step before: one that stays is told once.
    standing: Vec<String>,
    found: Vec<(String, String)>,
}

/// Fields of a job that [`Job`] does not show.
const NOT_SHOWN: [&str; 2] = ["parent", "parentKey"];

/// All recordings, by name of the file.
pub(crate) fn files() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/data");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Those have several queues, and are replayed elsewhere.
    files.retain(|file| !file.file_name().unwrap().to_str().unwrap().starts_with("B-F"));
    files.sort();
    files
}

/// Reads a recording, of either form.
fn read(file: &std::path::Path) -> Value {
    if file.file_name().unwrap().to_str().unwrap().starts_with("B-S") {
        normalised(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
    } else {
        recorded::read(file)
    }
}

/// Replays the scenario `id` by its twin.
pub(crate) fn replay(id: &str, twin: fn(&mut Replay)) {
    let is_meant = |file: &PathBuf| {
        let rest = file.file_name().unwrap().to_str().unwrap().strip_prefix(id);
        rest.is_some_and(|rest| rest.starts_with(['-', '.']))
    };
    let file = files().into_iter().find(is_meant).unwrap_or_else(|| panic!("a recording {id}"));
    let document = read(&file);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = fresh_url();
    let store = Arc::new(runtime.block_on(RedisStore::open(&url)).unwrap());
    let shared: Arc<dyn Store> = store.clone();
    let start = document["clock_start"].as_i64().unwrap();
    let (clock, hand) = Clock::manual(Timestamp::from_millis(start));
    let face = Queue::builder(&shared, "vec").clock(clock).build().unwrap();
    let mut replay = Replay {
        runtime,
        store,
        face,
        hand,
        queue: QueueAddress::new("vec").unwrap(),
        raw: redis::Client::open(url.as_str()).unwrap().get_connection().unwrap(),
        url,
        now: start,
        worker: None,
        limiter: None,
        keep_completed: Retention::ALL,
        metrics: None,
        own_backoff: |_, _| 0,
        max_starts: None,
        id: id.to_owned(),
        steps: document["steps"].as_array().unwrap().clone(),
        at: 0,
        last_event: "-".into(),
        surplus: 0,
        standing: Vec::new(),
        found: Vec::new(),
    };
    replay.seed();
    twin(&mut replay);
    assert_eq!(replay.at, replay.steps.len(), "{id}: steps left over");
    replay.judge();
}

impl Replay {
    /// What the constructor of Node's `Queue` writes before anything else: how many events are kept. Where no
    /// Queue was constructed (no `version`), it is the scripts that write it.
    fn seed(&mut self) {
        let Some(step) = self.steps.iter().find(|step| !step["keys"].is_null()) else { return };
        let fields = &step["keys"]["bull:vec:meta"]["fields"];
        if let (Some(kept), false) = (fields["opts.maxLenEvents"].as_str(), fields["version"].is_null()) {
            let kept = kept.to_owned();
            let _: i64 = self.redis("HSET", "meta", &["opts.maxLenEvents", &kept]);
        }
    }

    /// Runs a future of the store's.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A command on a key of the queue.
    pub(crate) fn redis<T: redis::FromRedisValue>(&mut self, command: &str, key: &str, args: &[&str]) -> T {
        redis::cmd(command).arg(format!("{BASE}{key}")).arg(args).query(&mut self.raw).unwrap()
    }

    /// Deletes a key of the queue.
    pub(crate) fn del(&mut self, key: &str) {
        let _: i64 = self.redis("DEL", key, &[]);
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.now += ms;
        self.hand.advance(Duration::from_millis(u64::try_from(ms).unwrap()));
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    // ------------------------------------------------------------------ steps

    /// One step: the next one that is recorded must have this name. Compares what `act` tells, the new events and
    /// the keys.
    pub(crate) fn step<T: Tell>(&mut self, name: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let step = self.steps.get(self.at).unwrap_or_else(|| panic!("no step for {name}")).clone();
        self.at += 1;
        assert_eq!(step["step"], name, "{}: the next step", self.id);
        assert_eq!(step["now"], self.now, "{}, {name}: the clock", self.id);
        let outcome = act(self);
        let mut lines = Vec::new();
        if let Some(line) = self.told_difference(&step, &outcome.tell()) {
            lines.push(line);
        }
        let was: Vec<String> = step["events"].as_array().unwrap().iter().map(recorded_event).collect();
        let is = self.new_events();
        lines.extend(event_difference(&was, &is));
        self.surplus += i64::try_from(is.len()).unwrap() - i64::try_from(was.len()).unwrap();
        if let Some(keys) = step["keys"].as_object() {
            let mut standing = Vec::new();
            Keys::recorded(keys).differences(&Keys::found(&mut self.raw, self.surplus), &mut standing);
            lines.extend(standing.iter().filter(|line| !self.standing.contains(line)).cloned());
            self.standing = standing;
        }
        self.found.extend(lines.into_iter().map(|line| (name.to_owned(), line)));
        outcome
    }

    /// A step in which nothing is done.
    pub(crate) fn look(&mut self, name: &str) {
        self.step(name, |_| ());
    }

    /// A step with a call of Node's that has no counterpart here: only what it left behind is compared.
    pub(crate) fn no_twin(&mut self, name: &str) {
        self.step(name, |_| Told::NoTwin);
    }

    /// The events since the last time.
    pub(crate) fn new_events(&mut self) -> Vec<String> {
        let from = if self.last_event == "-" { "-".to_owned() } else { format!("({}", self.last_event) };
        let rows: Vec<(String, Vec<(String, String)>)> = self.redis("XRANGE", "events", &[&from, "+"]);
        if let Some((id, _)) = rows.last() {
            self.last_event.clone_from(id);
        }
        rows.iter()
            .map(|(_, pairs)| event_line(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
            .collect()
    }

    /// The stream begins anew: what was counted before is gone.
    pub(crate) fn forget_events(&mut self) {
        // Those that follow may have lower ids than those that went: the server counts within a millisecond.
        "-".clone_into(&mut self.last_event);
        self.new_events();
        self.surplus = 0;
    }

    /// Fails unless every difference is one that is listed, and every one that is listed was found.
    fn judge(&self) {
        let listed: Vec<_> = EXCEPTIONS.iter().filter(|exception| exception.0 == self.id).collect();
        let unexpected = self.found.iter().filter(|(step, line)| {
            !listed.iter().any(|(_, name, what, _)| name == step && what.contains(&line.as_str()))
        });
        let mut text = String::new();
        for (step, line) in unexpected {
            let _ = write!(text, "\n  differs, {step:?}: {line}");
        }
        for (_, name, what, _) in listed {
            for line in *what {
                if !self.found.iter().any(|(step, found)| step == name && found == line) {
                    let _ = write!(text, "\n  listed, but equal, {name:?}: {line}");
                }
            }
        }
        assert!(text.is_empty(), "{}:{text}", self.id);
    }

    /// Makes the server as it was after the step that is running, in the name of a Node program: for calls that
    /// have no counterpart here.
    pub(crate) fn write_as_recorded(&mut self) {
        let step = self.steps[self.at - 1].clone();
        for (key, entry) in step["keys"].as_object().unwrap() {
            let texts = |name: &str| -> Vec<String> {
                let texts = entry[name].as_array().map_or(&[] as &[Value], Vec::as_slice);
                texts.iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
            };
            let (command, args) = match entry["type"].as_str().unwrap() {
                "hash" => {
                    let text = |value: &Value| match &value["$json"] {
                        Value::Null => value.as_str().unwrap().to_owned(),
                        json => json.to_string(),
                    };
                    let fields = entry["fields"].as_object().unwrap().iter();
                    // A rule of the comparison: `version` is left out.
                    let fields = fields.filter(|(name, _)| *name != "version");
                    ("HSET", fields.flat_map(|(name, value)| [name.clone(), text(value)]).collect())
                }
                "list" => ("RPUSH", texts("items")),
                "set" => ("SADD", texts("members")),
                "zset" => {
                    let members = entry["members"].as_array().unwrap().iter();
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    ("ZADD", members.flat_map(|member| [text(&member[1]), text(&member[0])]).collect())
                }
                "string" => ("SET", vec![entry["value"].as_str().unwrap().to_owned()]),
                _ => continue,
            };
            let key = key.strip_prefix(BASE).unwrap();
            self.del(key);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let _: redis::Value = self.redis(command, key, &args);
        }
        for event in step["events"].as_array().unwrap() {
            let pairs = event.as_array().unwrap().iter().flat_map(|pair| pair.as_array().unwrap());
            let mut args = vec!["*"];
            args.extend(pairs.map(|text| text.as_str().unwrap()));
            let _: String = self.redis("XADD", "events", &args);
        }
    }

    /// Goes on as the recording does, after a step that differs.
    pub(crate) fn realign<T>(&mut self, act: impl FnOnce(&mut Self) -> T) {
        act(self);
        self.surplus += i64::try_from(self.new_events().len()).unwrap();
        self.standing.clear();
    }

    // ------------------------------------------------------------------ answers

    fn told_difference(&self, step: &Value, told: &Told) -> Option<String> {
        let result = step["ops"].as_array().unwrap().iter().rev().find_map(|op| op.get("result"));
        let code = step["error"]["code"].as_i64();
        let was = match (code, step.get("error")) {
            (Some(-1 | -5), _) => Err("not_found"),
            (Some(-2), _) => Err("not_locked"),
            (Some(-3), _) => Err("wrong_state"),
            (Some(-6), _) => Err("locked_by_another"),
            (None, Some(_)) => Err("refused"),
            _ => Ok(()),
        };
        let is = match told {
            Told::NoTwin => return None,
            Told::Text(text) => {
                let was = step["error"]["message"].as_str();
                return (was != Some(text)).then(|| format!("error: {was:?} -> {text:?}"));
            }
            Told::Value(value) => {
                let was = plain(step.get("returned").or(result).unwrap_or(&Value::Null), false);
                let is = plain(value, false);
                return (was != is).then(|| format!("answer: {was} -> {is}"));
            }
            // Node's own checks have no codes.
            Told::Refused(ErrorKind::Invalid | ErrorKind::Refused) => Err("refused"),
            Told::Refused(kind) => Err(kind.as_str()),
            Told::Done | Told::Added(_) | Told::Taken(_) => Ok(()),
        };
        if was != is {
            let show = |answer: Result<(), &str>| answer.err().unwrap_or("done").to_owned();
            return Some(format!("answer: {} -> {}", show(was), show(is)));
        }
        match told {
            Told::Added(id) => {
                let returned = &step["returned"];
                let was = returned["$job"].as_str().or(returned.as_str()).unwrap_or("-");
                (was != id.as_str()).then(|| format!("id: {was} -> {id}"))
            }
            Told::Taken(taken) => {
                let op = step["ops"].as_array().unwrap().iter().rev().find(|op| !op["result"].is_null());
                // A move to delayed tells no more than the job that it took.
                if op.is_some_and(|op| op["op"] == "moveToDelayed" && op["result"] == 0)
                    && taken.jobs.is_empty()
                {
                    return None;
                }
                self.taken_difference(result.unwrap(), taken)
            }
            _ => None,
        }
    }

    fn taken_difference(&self, was: &Value, taken: &Taken) -> Option<String> {
        let nothing = json!([0, 0, 0, 0]);
        // A finish that finds nothing says 0.
        let was = if was == 0 { &nothing } else { was };
        if let Some(fields) = was[0]["$hash"].as_object() {
            let [leased] = taken.jobs.as_slice() else {
                // Until when depends on the server's clock, too.
                let idle = match taken.idle {
                    Some(Idle::RateLimited { .. }) => "limited".to_owned(),
                    other => format!("{other:?}"),
                };
                return Some(format!("taken: {} -> {idle}", was[1]));
            };
            let is = shown(&leased.job);
            let mut lines = Vec::new();
            let fields: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), field(name, value))).collect();
            for (name, value) in fields.iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str())) {
                let is = is.get(name).unwrap_or(&Value::Null);
                if is != value {
                    lines.push(format!("{name}: {value} -> {is}"));
                }
            }
            for (name, value) in &is {
                if !fields.contains_key(name) {
                    lines.push(format!("{name}: - -> {value}"));
                }
            }
            if leased.job.id.as_str() != was[1] {
                lines.push(format!("id: {} -> {}", was[1], leased.job.id));
            }
            return (!lines.is_empty()).then(|| format!("taken: {}", lines.join(", ")));
        }
        let is = match (taken.jobs.first(), taken.idle) {
            (Some(leased), _) => json!(format!("job {}", leased.job.id)),
            (None, Some(Idle::RateLimited { until })) => {
                let ms = until.as_millis() - self.now;
                let bound = was[2]["$pttl_up_to_ms"].as_i64().unwrap_or(0);
                if ms > 0 && ms <= bound {
                    return None;
                }
                json!(format!("limited for {ms} ms"))
            }
            (None, Some(Idle::Empty { next_due: Some(due) })) => json!([0, 0, 0, due.as_millis()]),
            (None, Some(Idle::Empty { next_due: None } | Idle::Paused | Idle::Full)) => json!([0, 0, 0, 0]),
            (None, other) => json!(format!("{other:?}")),
        };
        (*was != is).then(|| format!("taken: {was} -> {is}"))
    }

    // ------------------------------------------------------------------ what scenarios do

    /// `queue.add(name, data, opts)`, with `data` and `opts` as JSON.
    pub(crate) fn add(&mut self, name: &str, data: &str, opts: &str) -> Result<JobId> {
        let job = new_job(name, data, opts)?;
        self.add_jobs(vec![job]).map(|mut added| added.remove(0).id)
    }

    /// Adds, outside of a step.
    pub(crate) fn put(&mut self, name: &str, opts: &str) -> JobId {
        self.add(name, "{}", opts).unwrap()
    }

    pub(crate) fn add_jobs(&mut self, jobs: Vec<NewJob>) -> Result<Vec<Added>> {
        self.wait(self.face.add_bulk(jobs))
    }

    pub(crate) fn demand(&self, token: &str) -> TakeRequest {
        TakeRequest {
            limit: 1,
            token: Token::new(token),
            lease_for: Duration::from_secs(30),
            worker: self.worker.map(str::to_owned),
            rate_limit: self
                .limiter
                .map(|(max, window)| RateLimit { max, window: Duration::from_millis(window) }),
            until_needs_rate: false,
            now: self.time(),
        }
    }

    /// `worker.getNextJob(token)`
    pub(crate) fn take(&mut self, token: &str) -> Taken {
        self.wait(self.store.take(&self.queue, self.demand(token))).unwrap()
    }

    /// Writes an ending, and takes the next job with the same token if `next`.
    pub(crate) fn end(&mut self, lease: &Lease, ending: Ending, next: bool) -> Result<Option<Taken>> {
        let take = next.then(|| self.demand(lease.token.as_str()));
        let finished = vec![Finish { lease: lease.clone(), ending, heeds_cancel: false, known: None }];
        let request = FinishRequest { finished, take, metrics: self.metrics, now: self.time() };
        let mut finished = self.wait(self.store.finish(&self.queue, request))?;
        finished.answers.remove(0).map(|_: Option<JobState>| finished.taken)
    }

    /// `job.moveToCompleted(value, token, next)`
    pub(crate) fn complete(&mut self, job: &LeasedJob, value: &str, next: bool) -> Result<Option<Taken>> {
        let keep = job.job.options().remove_on_complete.unwrap_or(self.keep_completed);
        self.end(&job.lease, Ending::Completed { return_value: JsonText::parse(value).unwrap(), keep }, next)
    }

    /// `job.moveToFailed(error, token, next)`: whether it is tried again is decided by the client.
    pub(crate) fn fail(&mut self, job: &LeasedJob, thrown: Thrown, next: bool) -> Result<Option<Taken>> {
        let ending = self.failing(&job.job, thrown);
        // Only what is retried at once asks for nothing more.
        let next = next && !matches!(ending, Ending::Retry { at: None, .. });
        self.end(&job.lease, ending, next)
    }

    /// What Node's client decides.
    pub(crate) fn failing(&self, job: &Job, thrown: Thrown) -> Ending {
        let Thrown { message, stack, for_good } = thrown;
        let options = job.options();
        let mut stacks: Vec<String> =
            job.stacktrace.as_ref().map_or_else(Vec::new, |stacks| stacks.read().unwrap());
        let kind = if for_good { "UnrecoverableError" } else { "Error" };
        // 0 is a real stack, of which the recordings say only that. An error without one adds none.
        stacks.extend(stack.map(|n| match n {
            0 => format!("{kind}: {message} <frames>"),
            n => format!("{kind}: {message}\n    at step{n} (fixture.js:{n}:1)"),
        }));
        let kept = options.stack_trace_limit.map_or(stacks.len(), |limit| limit as usize);
        let stacktrace = Some(JsonText::of(&stacks[stacks.len().saturating_sub(kept)..]).unwrap());
        let failure = Failure { reason: message.into(), stacktrace };
        let tries = job.attempts_made + 1;
        let started_too_often = self.max_starts.is_some_and(|most| job.attempts_started >= most);
        if !for_good && !started_too_often && tries < options.attempts.unwrap_or(0) {
            let delay = match &options.backoff {
                None => 0,
                Some(backoff) => backoff_delay(backoff, tries, 0.5)
                    .map_or_else(|| (self.own_backoff)(tries, backoff), oxmq_core::millis),
            };
            if let Ok(delay) = u64::try_from(delay) {
                let at = (delay > 0).then(|| self.time() + Duration::from_millis(delay));
                return Ending::Retry { failure, at };
            }
        }
        let keep = options.remove_on_fail.unwrap_or(Retention::ALL);
        Ending::Failed { failure, attempts: options.attempts.unwrap_or(0), keep }
    }

    /// The check for stalled jobs, as the scenarios do it: without regard to the one before.
    pub(crate) fn check_stalled(&mut self) -> Value {
        self.del("stalled-check");
        self.recover()
    }

    pub(crate) fn recover(&mut self) -> Value {
        let request = RecoverRequest { max_stalled: 1, interval: Duration::from_secs(30), now: self.time() };
        let found = self.wait(self.store.recover(&self.queue, request)).unwrap();
        found.stalled.iter().map(JobId::as_str).collect()
    }

    /// Extends leases; for each whether it was kept.
    pub(crate) fn extend(&mut self, leases: &[(&str, &str)], ms: u64) -> Vec<bool> {
        let leases = leases.iter().map(|(job, token)| lease(job, token)).collect();
        let lease_for = Duration::from_millis(ms);
        let request = oxmq_core::store::ExtendRequest { leases, lease_for, now: self.time() };
        let answers = self.wait(self.store.extend(&self.queue, request)).unwrap();
        answers.iter().map(|answer| *answer == Extended::Kept).collect()
    }
}

impl Replay {
    /// The lease of an active job runs out without anybody noticing: the lock goes, as the scenarios have it, and
    /// our own note of the lease, which lasts longer than the lock.
    pub(crate) fn lose_lease(&mut self, id: &str) {
        self.del(&format!("{id}:lock"));
        let key = "bull::oxmq:vec:leases";
        let _: i64 = redis::cmd("HDEL").arg(key).arg(id).query(&mut self.raw).unwrap();
    }
}

pub(crate) fn lease(job: &str, token: &str) -> Lease {
    Lease { job: job.into(), token: Token::new(token) }
}

/// A job with its options as JSON, checked as `add` checks them.
pub(crate) fn new_job(name: &str, data: &str, opts: &str) -> Result<NewJob> {
    Ok(NewJob { name: name.into(), data: JsonText::parse(data).unwrap(), options: JobOptions::parse(opts)? })
}

/// The ids of jobs that were added, and that they are new.
pub(crate) fn fates(added: &[Added]) -> Vec<(&str, bool)> {
    added.iter().map(|added| (added.id.as_str(), added.fate == Fate::Created)).collect()
}

/// A job with the names of the hash.
fn shown(job: &Job) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), field(name, &value));
        }
    };
    let text = |text: String| Some(json!(text));
    let time = |time: Option<Timestamp>| time.map(|time| json!(time.as_millis().to_string()));
    let json = |json: &Option<JsonText>| json.as_ref().map(|json| json!(json.as_str()));
    let count = |count: u32| (count > 0).then(|| json!(count.to_string()));
    put("name", text(job.name.clone()));
    put("data", text(job.data.as_str().to_owned()));
    put("timestamp", time(Some(job.timestamp)));
    put("delay", text(job.delay_ms.to_string()));
    put("priority", text(job.priority.to_string()));
    put("ats", count(job.attempts_started));
    put("atm", count(job.attempts_made));
    put("stc", count(job.stalled_count));
    put("processedOn", time(job.processed_on));
    put("finishedOn", time(job.finished_on));
    put("pb", job.processed_by.clone().map(Value::String));
    put("defa", job.deferred_failure.clone().map(Value::String));
    put("failedReason", job.failed_reason.clone().map(Value::String));
    put("stacktrace", json(&job.stacktrace));
    put("returnvalue", json(&job.return_value));
    put("progress", json(&job.progress));
    // Names in the API and in the store; `attempts` is always stored.
    let mut opts: Map<String, Value> = job.opts.read().unwrap();
    opts.entry("attempts").or_insert(json!(0));
    for (long, short) in [
        ("keepLogs", "kl"),
        ("failParentOnFailure", "fpof"),
        ("continueParentOnFailure", "cpof"),
        ("ignoreDependencyOnFailure", "idof"),
        ("removeDependencyOnFailure", "rdof"),
        ("deduplication", "de"),
    ] {
        if let Some(value) = opts.remove(long) {
            opts.insert(short.into(), value);
        }
    }
    fields.insert("opts".into(), plain(&Value::Object(opts), true));
    fields
}

fn recorded_event(event: &Value) -> String {
    let pairs = event.as_array().unwrap().iter();
    event_line(pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())))
}

/// For the tests of the harness: the steps of a recording.
pub(crate) fn step_names(file: &std::path::Path) -> (String, Vec<String>) {
    let document = read(file);
    let steps = document["steps"].as_array().unwrap().iter();
    let names = steps.map(|step| step["step"].as_str().unwrap().to_owned()).collect();
    (document["id"].as_str().unwrap().to_owned(), names)
}
