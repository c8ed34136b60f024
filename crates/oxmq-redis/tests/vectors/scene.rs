//! The stage on which recordings of flows are replayed. These recordings have several queues, and symbols in place of times and drawn ids.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use oxmq_core::store::{
    AddFlowRequest, AddGroup, AddRequest, Added, ChildKind, ChildOutcome, ChildrenRequest, Finish,
    FinishRequest, Flow, FlowNode, OnRefusal, RemoveAnswer, RemoveRequest, RemoveScope, RetryRequest,
    TakeRequest,
};
use oxmq_core::{
    Ending, ErrorKind, Failure, JobId, JobKey, JobOptions, JobState, JsonText, LeasedJob, NewJob,
    QueueAddress, Result, Retention, Store, Timestamp, Token,
};
use oxmq_redis::RedisStore;
use redis::Connection;
use serde_json::{Map, Value, json};

use crate::compare::{event_difference, event_line};
use crate::exceptions::FAMILY_EXCEPTIONS;
use crate::support::fresh_url;

pub(crate) const T0: i64 = 1_700_000_000_000;

/// A scenario that is being replayed.
pub(crate) struct Scene {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) store: RedisStore,
    pub(crate) raw: Connection,
    pub(crate) now: i64,
    pub(crate) id: &'static str,
    pub(crate) steps: Vec<Value>,
    pub(crate) at: usize,
    /// The last event that was seen of each stream.
    pub(crate) seen: BTreeMap<String, String>,
    /// The differences in the keys after the step before: one that stays is told once.
    pub(crate) standing: Vec<String>,
    pub(crate) found: Vec<(String, String)>,
}

pub(crate) fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/data")
}

pub(crate) fn document(id: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data().join(format!("{id}.json"))).unwrap()).unwrap()
}

/// The ids of all recordings of flows.
pub(crate) fn recordings() -> Vec<String> {
    let names = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut ids: Vec<String> = names
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()))
        .filter(|id| id.starts_with("B-F"))
        .collect();
    ids.sort();
    ids
}

/// The names of a recording's steps.
pub(crate) fn step_names(id: &str) -> Vec<String> {
    let steps = document(id)["steps"].as_array().unwrap().clone();
    steps.iter().map(|step| step["op"].as_str().unwrap().to_owned()).collect()
}

/// Replays the scenario `id` by its twin.
pub(crate) fn replay(id: &'static str, twin: fn(&mut Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = fresh_url();
    let store = runtime.block_on(RedisStore::open(&url)).unwrap();
    let mut scene = Scene {
        runtime,
        store,
        raw: redis::Client::open(url.as_str()).unwrap().get_connection().unwrap(),
        now: T0,
        id,
        steps: document(id)["steps"].as_array().unwrap().clone(),
        at: 0,
        seen: BTreeMap::new(),
        standing: Vec::new(),
        found: Vec::new(),
    };
    twin(&mut scene);
    assert_eq!(scene.at, scene.steps.len(), "{id}: steps left over");
    let listed: Vec<_> = FAMILY_EXCEPTIONS.iter().filter(|exception| exception.0 == id).collect();
    let is_listed = |step: &str, line: &str| {
        listed.iter().any(|(_, name, what, _)| *name == step && what.contains(&line))
    };
    let mut wrong: Vec<String> = Vec::new();
    for (step, line) in scene.found.iter().filter(|(step, line)| !is_listed(step, line)) {
        wrong.push(format!("differs, {step:?}: {line}"));
    }
    for (_, name, what, _) in &listed {
        for line in what
            .iter()
            .filter(|line| !scene.found.iter().any(|(step, found)| step == name && found == **line))
        {
            wrong.push(format!("listed, but equal, {name:?}: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{id}:\n  {}", wrong.join("\n  "));
}

/// A number as the recordings name it: times by what they are after the start.
pub(crate) fn symbol(digits: &str) -> Option<String> {
    let number: i64 = digits.parse().ok()?;
    let is_time = |ms: i64| (T0 - 10_000_000_000..T0 + 400_000_000_000).contains(&ms);
    let name = |ms: i64| if ms == T0 { "T0".to_owned() } else { format!("T0+{}", ms - T0) };
    if is_time(number) {
        return Some(format!("<{}>", name(number)));
    }
    let ms = number / 4096;
    is_time(ms).then(|| format!("<({})*4096+{}>", name(ms), number % 4096))
}

/// A text as the recordings have it. Drawn ids are `uuid-N` here.
pub(crate) fn norm(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end =
            rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        let digits = &rest[start..end];
        let drawn = rest[..start].strip_suffix("uuid-");
        let found = (13..=17).contains(&digits.len()).then(|| symbol(digits)).flatten();
        match (drawn, found) {
            (Some(before), _) => {
                out.push_str(before);
                let _ = write!(out, "<uuid:{digits}>");
            }
            (None, Some(name)) => {
                out.push_str(&rest[..start]);
                out.push_str(&name);
            }
            (None, None) => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

pub(crate) fn norm_json(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(norm(text)),
        Value::Number(number) => symbol(&number.to_string()).map_or(value.clone(), Value::String),
        Value::Array(list) => list.iter().map(norm_json).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (norm(name), norm_json(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

pub(crate) fn field(name: &str, text: &str) -> Value {
    match name {
        "opts" | "parent" => json!({ "$json": norm_json(&serde_json::from_str(text).unwrap()) }),
        "stacktrace" => {
            let stacks: Vec<Value> = serde_json::from_str(text).unwrap();
            json!(format!("<json array of {} stack(s)>", stacks.len()))
        }
        _ => json!(norm(text)),
    }
}

pub(crate) fn queue(name: &str) -> QueueAddress {
    match name.rsplit_once(':') {
        Some((prefix, name)) => QueueAddress::with_prefix(prefix.to_owned(), name.to_owned()).unwrap(),
        None => QueueAddress::new(name.to_owned()).unwrap(),
    }
}

/// The nodes of a tree, depth first: the order in which the recordings number drawn ids.
pub(crate) fn depth_first<'a>(tree: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(tree);
    for child in tree["children"].as_array().into_iter().flatten() {
        depth_first(child, found);
    }
}

/// A flow as Node writes it, breadth first. Ids that it does not bring are drawn: `uuid-1`, ..
pub(crate) fn flow(tree: &Value) -> Flow {
    let mut numbered = Vec::new();
    depth_first(tree, &mut numbered);
    let mut nodes = Vec::new();
    let mut level = vec![(None, tree)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (parent, tree) in level {
            let place = nodes.len();
            let options = JobOptions::parse(&tree.get("opts").unwrap_or(&json!({})).to_string()).unwrap();
            let number = numbered.iter().position(|other| std::ptr::eq(*other, tree)).unwrap() + 1;
            let id = options.job_id.clone().unwrap_or_else(|| JobId::from(format!("uuid-{number}")));
            let job =
                new_job(tree["name"].as_str().unwrap(), tree.get("data").unwrap_or(&json!({})), options);
            let prefix = tree["prefix"].as_str().unwrap_or("bull");
            let queue = queue(&format!("{prefix}:{}", tree["queueName"].as_str().unwrap()));
            nodes.push(FlowNode { queue, id, job, parent });
            next.extend(tree["children"].as_array().into_iter().flatten().map(|child| (Some(place), child)));
        }
        level = next;
    }
    Flow { nodes }
}

pub(crate) fn new_job(name: &str, data: &Value, options: JobOptions) -> NewJob {
    NewJob { name: name.into(), data: JsonText::parse(data.to_string()).unwrap(), options }
}

/// The ids of a flow as the scenarios show them.
pub(crate) fn ids(tree: &Value, added: &[Added]) -> Value {
    fn shown(flow: &Flow, added: &[Added], place: usize) -> Value {
        let mut found = json!({ "id": norm(added[place].id.as_str()) });
        let children: Vec<Value> = (0..flow.nodes.len())
            .filter(|child| flow.nodes[*child].parent == Some(place))
            .map(|child| shown(flow, added, child))
            .collect();
        if !children.is_empty() {
            found["children"] = children.into();
        }
        found
    }
    shown(&flow(tree), added, 0)
}

/// What steps tell.
pub(crate) fn told<T>(answer: Result<T>, value: impl FnOnce(T) -> Value) -> Value {
    answer.map_or_else(
        |error| {
            let code = match error.kind() {
                ErrorKind::NotFound => -5,
                ErrorKind::PendingChildren => -4,
                ErrorKind::FailedChildren => -9,
                _ => 0,
            };
            json!({ "error": error.message(), "code": code })
        },
        value,
    )
}

impl Scene {
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub(crate) fn tick(&mut self, ms: i64) {
        self.now += ms;
    }

    /// Node's `Queue` writes how many events are kept when it is constructed.
    pub(crate) fn queue(&mut self, name: &str) {
        let key = format!("bull:{name}:meta");
        let _: i64 =
            redis::cmd("HSETNX").arg(key).arg("opts.maxLenEvents").arg("10000").query(&mut self.raw).unwrap();
    }

    // ------------------------------------------------------------------ steps

    /// One step: the next one that is recorded must have this name. Compares the answer, unless it is nothing, the
    /// new events and the keys.
    pub(crate) fn step(&mut self, name: &str, act: impl FnOnce(&mut Self) -> Value) {
        let step = self.steps.get(self.at).unwrap_or_else(|| panic!("no step for {name}")).clone();
        self.at += 1;
        assert_eq!(step["op"], name, "{}: the next step", self.id);
        assert_eq!(step["at"], norm(&self.now.to_string()), "{}, {name}: the clock", self.id);
        let is = act(self);
        let mut lines = Vec::new();
        let mut was = step["result"].clone();
        if let Some(error) = was.as_object_mut().filter(|error| error.contains_key("error")) {
            error.remove("name");
        }
        if !is.is_null() && is != was {
            lines.push(format!("answer: {was} -> {is}"));
        }
        let (events, keys) = self.dump();
        let recorded = step["events"].as_object().unwrap();
        let mut streams: Vec<&String> = events.keys().chain(recorded.keys()).collect();
        streams.sort();
        streams.dedup();
        for stream in streams {
            let was: Vec<String> =
                recorded.get(stream).and_then(Value::as_array).into_iter().flatten().map(line).collect();
            let is = events.get(stream).cloned().unwrap_or_default();
            lines.extend(event_difference(&was, &is).map(|difference| format!("{stream} {difference}")));
        }
        if let Some(was) = step["keys"].as_object() {
            let mut standing = Vec::new();
            differences(was, &keys, &mut standing);
            lines.extend(standing.iter().filter(|line| !self.standing.contains(line)).cloned());
            self.standing = standing;
        }
        self.found.extend(lines.into_iter().map(|line| (name.to_owned(), line)));
    }

    /// New events by stream, and all keys but ours.
    pub(crate) fn dump(&mut self) -> (BTreeMap<String, Vec<String>>, Map<String, Value>) {
        let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut self.raw).unwrap();
        names.sort();
        let (mut events, mut keys) = (BTreeMap::new(), Map::new());
        for name in names.iter().filter(|name| !name.contains("::oxmq:")) {
            let mut ask = |command: &str, args: &[&str]| -> redis::Value {
                redis::cmd(command).arg(name).arg(args).query(&mut self.raw).unwrap()
            };
            let kind: String = redis::from_redis_value(ask("TYPE", &[])).unwrap();
            let texts = |value: redis::Value| -> Vec<String> {
                let texts: Vec<String> = redis::from_redis_value(value).unwrap();
                texts.iter().map(|text| norm(text)).collect()
            };
            let value = match kind.as_str() {
                "stream" => {
                    let from = self.seen.get(name).map_or("-".to_owned(), |last| format!("({last}"));
                    let rows: Vec<(String, Vec<(String, String)>)> =
                        redis::from_redis_value(ask("XRANGE", &[&from, "+"])).unwrap();
                    if let Some((last, _)) = rows.last() {
                        self.seen.insert(name.clone(), last.clone());
                    }
                    let lines: Vec<String> = rows
                        .iter()
                        .map(|(_, pairs)| {
                            norm(&event_line(
                                pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())),
                            ))
                        })
                        .collect();
                    if !lines.is_empty() {
                        events.insert(norm(name), lines);
                    }
                    continue;
                }
                "string" => json!(norm(&redis::from_redis_value::<String>(ask("GET", &[])).unwrap())),
                "list" => json!(texts(ask("LRANGE", &["0", "-1"]))),
                "set" => {
                    let mut members = texts(ask("SMEMBERS", &[]));
                    members.sort();
                    json!(members)
                }
                "zset" => {
                    let mut members: Vec<Value> = texts(ask("ZRANGE", &["0", "-1", "WITHSCORES"]))
                        .chunks(2)
                        .map(|pair| json!(pair))
                        .collect();
                    members.sort_by_key(|pair| (pair[1].to_string(), pair[0].to_string()));
                    json!(members)
                }
                "hash" => {
                    let fields: BTreeMap<String, String> =
                        redis::from_redis_value(ask("HGETALL", &[])).unwrap();
                    fields
                        .iter()
                        .map(|(name, text)| (norm(name), field(name, text)))
                        .collect::<Map<_, _>>()
                        .into()
                }
                other => panic!("a {other}"),
            };
            keys.insert(norm(name), value);
        }
        (events, keys)
    }

    // ------------------------------------------------------------------ what scenarios do

    /// `FlowProducer.addBulk(trees)`
    pub(crate) fn add_flows(&mut self, trees: &[Value]) -> Vec<Result<Vec<Added>>> {
        let flows = trees.iter().map(flow).collect();
        let request = AddFlowRequest { flows, on_refusal: OnRefusal::KeepRest, now: self.time() };
        self.wait(self.store.add_flow(request)).unwrap()
    }

    /// `FlowProducer.add(tree)`
    pub(crate) fn add_flow(&mut self, tree: &Value) -> Value {
        let answer = self.add_flows(std::slice::from_ref(tree)).remove(0);
        told(answer, |added| ids(tree, &added))
    }

    /// `queue.add(name, data, opts)`
    pub(crate) fn add(&mut self, on: &str, name: &str, data: &Value, opts: &Value) -> Result<Added> {
        let options = JobOptions::parse(&opts.to_string())?;
        options.check()?;
        let groups = vec![AddGroup { jobs: vec![new_job(name, data, options)] }];
        let request = AddRequest { groups, now: self.time() };
        self.wait(self.store.add(&queue(on), request))?.remove(0).map(|mut added| added.remove(0))
    }

    pub(crate) fn take(&mut self, on: &str) -> Option<LeasedJob> {
        let request = TakeRequest {
            limit: 1,
            token: Token::new("tok"),
            lease_for: Duration::from_secs(30),
            worker: None,
            rate_limit: None,
            until_needs_rate: false,
            now: self.time(),
        };
        self.wait(self.store.take(&queue(on), request)).unwrap().jobs.pop()
    }

    pub(crate) fn end(&mut self, on: &str, job: &LeasedJob, ending: Ending) -> Result<Option<JobState>> {
        let finish = Finish { lease: job.lease.clone(), ending, heeds_cancel: false, known: job.job.known() };
        let request = FinishRequest { finished: vec![finish], take: None, metrics: None, now: self.time() };
        self.wait(self.store.finish(&queue(on), request)).unwrap().answers.remove(0)
    }

    /// A worker takes a job and runs it: it fails with `boom`, or returns what its data says.
    pub(crate) fn run(&mut self, on: &str, fails: bool) -> Value {
        let job = self.take(on).unwrap();
        let options = job.job.options();
        let deferred = job.job.deferred_failure.clone();
        let ending = if fails || deferred.is_some() {
            let reason = deferred.unwrap_or_else(|| "boom".into());
            let failure = Failure { reason, stacktrace: Some(JsonText::stored(r#"["Error: boom"]"#)) };
            let keep = options.remove_on_fail.unwrap_or(Retention::ALL);
            Ending::Failed { failure, attempts: options.attempts.unwrap_or(0), keep }
        } else {
            let data: Value = job.job.data.read().unwrap();
            let return_value = JsonText::parse(data["ret"].to_string()).unwrap();
            Ending::Completed { return_value, keep: options.remove_on_complete.unwrap_or(Retention::ALL) }
        };
        let state = self.end(on, &job, ending).unwrap();
        let state = state.map_or("unknown", |state| state.as_str());
        json!({ "processed": job.job.id.as_str(), "state": state })
    }

    pub(crate) fn remove(&mut self, on: &str, id: &str, scope: RemoveScope) -> Value {
        let request = RemoveRequest { job: id.into(), scope, now: self.time() };
        let answer = self.wait(self.store.remove(&queue(on), request)).unwrap();
        json!(u8::from(answer != RemoveAnswer::Locked))
    }

    pub(crate) fn retry(&mut self, on: &str, id: &str) -> Value {
        let request = RetryRequest::One {
            job: id.into(),
            state: JobState::Failed,
            reset_attempts_made: false,
            reset_attempts_started: false,
            now: self.time(),
        };
        self.wait(self.store.retry(&queue(on), request)).unwrap();
        Value::Null
    }

    /// `job.moveToWaitingChildren(token, { child })`
    pub(crate) fn await_children(&mut self, on: &str, job: &LeasedJob, child: Option<JobKey>) -> Value {
        let answer = self.end(on, job, Ending::AwaitChildren { child });
        told(answer, |state| json!(state == Some(JobState::WaitingChildren)))
    }

    /// All that a job knows of its children: `job.getDependencies()` and `getDependenciesCount()`.
    pub(crate) fn dependencies(&mut self, on: &str, id: &str) -> (Value, Value) {
        let mut all = json!({ "processed": {}, "unprocessed": [], "failed": [], "ignored": {} });
        let mut counts = json!({});
        for kind in ChildKind::ALL {
            let mut cursor = None;
            loop {
                let request = ChildrenRequest { job: id.into(), kinds: vec![kind], cursor, limit: 2 };
                let page = self.wait(self.store.children(&queue(on), request)).unwrap();
                counts[kind.as_str()] = page.counts.of(kind).into();
                for child in page.children {
                    let key = child.key.to_string();
                    match child.outcome {
                        ChildOutcome::Processed(value) => all["processed"][key] = value.read().unwrap(),
                        ChildOutcome::Ignored(reason) => all["ignored"][key] = reason.into(),
                        other => all[other.kind().as_str()].as_array_mut().unwrap().push(key.into()),
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        (all, counts)
    }
}

pub(crate) fn line(event: &Value) -> String {
    // As it was written: the name first.
    let pairs = event.as_object().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = [("event".to_owned(), text(&pairs["event"]))];
    let rest = ["jobId", "name", "delay", "returnvalue", "failedReason", "attemptsMade", "prev"];
    let rest = rest.iter().filter_map(|name| Some(((*name).to_owned(), text(pairs.get(*name)?))));
    let pairs: Vec<(String, String)> = name.into_iter().chain(rest).collect();
    event_line(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// How keys differ, one line each.
pub(crate) fn differences(was: &Map<String, Value>, is: &Map<String, Value>, lines: &mut Vec<String>) {
    let nothing = Value::Null;
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let mut old = was.get(name).map_or(&nothing, |entry| &entry["value"]).clone();
        let new = is.get(name).unwrap_or(&nothing);
        match &mut old {
            // A rule of the comparison: `version` is left out.
            Value::Object(fields) if name.ends_with(":meta") => drop(fields.remove("version")),
            Value::Array(members) if members.iter().all(Value::is_array) => {
                members.sort_by_key(|pair| (pair[1].to_string(), pair[0].to_string()));
            }
            _ => {}
        }
        if old == *new {
            continue;
        }
        if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
            let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
            fields.sort();
            fields.dedup();
            for field in fields {
                let (old, new) = (old.get(field), new.get(field));
                if old != new {
                    let show = |side: Option<&Value>| side.map_or("-".to_owned(), Value::to_string);
                    lines.push(format!("{name}.{field}: {} -> {}", show(old), show(new)));
                }
            }
        } else {
            let show = |side: &Value| if side.is_null() { "-".to_owned() } else { side.to_string() };
            lines.push(format!("{name}: {} -> {}", show(&old), show(new)));
        }
    }
}
