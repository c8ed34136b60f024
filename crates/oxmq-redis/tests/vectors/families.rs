//! Flows: B-F01 to B-F26. These recordings have several queues, and symbols in place of times and drawn ids.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use oxmq_core::store::{
    AddFlowRequest, AddGroup, AddRequest, Added, ChildKind, ChildOutcome, ChildrenRequest, DetachRequest,
    DrainRequest, Finish, FinishRequest, Flow, FlowNode, ObliterateRequest, OnRefusal, RemoveAnswer,
    RemoveRequest, RemoveScope, RetryRequest, TakeRequest,
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

const T0: i64 = 1_700_000_000_000;

/// A scenario that is being replayed.
pub(crate) struct Scene {
    runtime: tokio::runtime::Runtime,
    store: RedisStore,
    raw: Connection,
    now: i64,
    id: &'static str,
    steps: Vec<Value>,
    at: usize,
    /// The last event that was seen of each stream.
    seen: BTreeMap<String, String>,
    /// The differences in the keys after the step before: one that stays is told once.
    standing: Vec<String>,
    found: Vec<(String, String)>,
}

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/data")
}

fn document(id: &str) -> Value {
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
fn symbol(digits: &str) -> Option<String> {
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
fn norm(text: &str) -> String {
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

fn norm_json(value: &Value) -> Value {
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

fn field(name: &str, text: &str) -> Value {
    match name {
        "opts" | "parent" => json!({ "$json": norm_json(&serde_json::from_str(text).unwrap()) }),
        "stacktrace" => {
            let stacks: Vec<Value> = serde_json::from_str(text).unwrap();
            json!(format!("<json array of {} stack(s)>", stacks.len()))
        }
        _ => json!(norm(text)),
    }
}

fn queue(name: &str) -> QueueAddress {
    match name.rsplit_once(':') {
        Some((prefix, name)) => QueueAddress::with_prefix(prefix.to_owned(), name.to_owned()).unwrap(),
        None => QueueAddress::new(name.to_owned()).unwrap(),
    }
}

/// The nodes of a tree, depth first: the order in which the recordings number drawn ids.
fn depth_first<'a>(tree: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(tree);
    for child in tree["children"].as_array().into_iter().flatten() {
        depth_first(child, found);
    }
}

/// A flow as Node writes it, breadth first. Ids that it does not bring are drawn: `uuid-1`, ..
fn flow(tree: &Value) -> Flow {
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

fn new_job(name: &str, data: &Value, options: JobOptions) -> NewJob {
    NewJob { name: name.into(), data: JsonText::parse(data.to_string()).unwrap(), options }
}

/// The ids of a flow as the scenarios show them.
fn ids(tree: &Value, added: &[Added]) -> Value {
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
fn told<T>(answer: Result<T>, value: impl FnOnce(T) -> Value) -> Value {
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
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn tick(&mut self, ms: i64) {
        self.now += ms;
    }

    /// Node's `Queue` writes how many events are kept when it is constructed.
    fn queue(&mut self, name: &str) {
        let key = format!("bull:{name}:meta");
        let _: i64 =
            redis::cmd("HSETNX").arg(key).arg("opts.maxLenEvents").arg("10000").query(&mut self.raw).unwrap();
    }

    // ------------------------------------------------------------------ steps

    /// One step: the next one that is recorded must have this name. Compares the answer, unless it is nothing, the
    /// new events and the keys.
    fn step(&mut self, name: &str, act: impl FnOnce(&mut Self) -> Value) {
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
    fn dump(&mut self) -> (BTreeMap<String, Vec<String>>, Map<String, Value>) {
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
    fn add_flows(&mut self, trees: &[Value]) -> Vec<Result<Vec<Added>>> {
        let flows = trees.iter().map(flow).collect();
        let request = AddFlowRequest { flows, on_refusal: OnRefusal::KeepRest, now: self.time() };
        self.wait(self.store.add_flow(request)).unwrap()
    }

    /// `FlowProducer.add(tree)`
    fn add_flow(&mut self, tree: &Value) -> Value {
        let answer = self.add_flows(std::slice::from_ref(tree)).remove(0);
        told(answer, |added| ids(tree, &added))
    }

    /// `queue.add(name, data, opts)`
    fn add(&mut self, on: &str, name: &str, data: &Value, opts: &Value) -> Result<Added> {
        let options = JobOptions::parse(&opts.to_string())?;
        options.check()?;
        let groups = vec![AddGroup { jobs: vec![new_job(name, data, options)] }];
        let request = AddRequest { groups, now: self.time() };
        self.wait(self.store.add(&queue(on), request))?.remove(0).map(|mut added| added.remove(0))
    }

    fn take(&mut self, on: &str) -> Option<LeasedJob> {
        let request = TakeRequest {
            limit: 1,
            token: Token::new("tok"),
            lease_for: Duration::from_secs(30),
            worker: None,
            rate_limit: None,
            now: self.time(),
        };
        self.wait(self.store.take(&queue(on), request)).unwrap().jobs.pop()
    }

    fn end(&mut self, on: &str, job: &LeasedJob, ending: Ending) -> Result<Option<JobState>> {
        let finish = Finish { lease: job.lease.clone(), ending, heeds_cancel: false };
        let request = FinishRequest { finished: vec![finish], take: None, now: self.time() };
        self.wait(self.store.finish(&queue(on), request)).unwrap().answers.remove(0)
    }

    /// A worker takes a job and runs it: it fails with `boom`, or returns what its data says.
    fn run(&mut self, on: &str, fails: bool) -> Value {
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

    fn remove(&mut self, on: &str, id: &str, scope: RemoveScope) -> Value {
        let request = RemoveRequest { job: id.into(), scope, now: self.time() };
        let answer = self.wait(self.store.remove(&queue(on), request)).unwrap();
        json!(u8::from(answer != RemoveAnswer::Locked))
    }

    fn retry(&mut self, on: &str, id: &str) -> Value {
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
    fn await_children(&mut self, on: &str, job: &LeasedJob, child: Option<JobKey>) -> Value {
        let answer = self.end(on, job, Ending::AwaitChildren { child });
        told(answer, |state| json!(state == Some(JobState::WaitingChildren)))
    }

    /// All that a job knows of its children: `job.getDependencies()` and `getDependenciesCount()`.
    fn dependencies(&mut self, on: &str, id: &str) -> (Value, Value) {
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

fn line(event: &Value) -> String {
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
fn differences(was: &Map<String, Value>, is: &Map<String, Value>, lines: &mut Vec<String>) {
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

/// A child with this id and options.
fn c(id: &str, opts: &Value) -> Value {
    let mut opts = opts.clone();
    opts["jobId"] = id.into();
    json!({ "name": "c", "queueName": "cq", "opts": opts })
}

/// A parent `P` in `pq`.
fn p(opts: &Value, children: &[Value]) -> Value {
    let mut opts = opts.clone();
    opts["jobId"] = "P".into();
    json!({ "name": "p", "queueName": "pq", "opts": opts, "children": children })
}

/// Three levels, each with the option.
fn three(option: &str) -> Value {
    let none = json!({});
    let set = json!({ option: true });
    json!({ "name": "g", "queueName": "gq", "opts": { "jobId": "G" },
        "children": [p(&set, &[c("C1", &set), c("C2", &none)])] })
}

pub(crate) fn f01(s: &mut Scene) {
    let child = |id: &str, ret: Value| json!({ "name": "c", "queueName": "child", "data": { "ret": ret }, "opts": { "jobId": id } });
    let tree = json!({ "name": "root", "queueName": "parent", "data": { "ret": "sum" }, "opts": { "jobId": "P" },
        "children": [child("C1", json!(1)), child("C2", json!({ "x": 2 }))] });
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.tick(10);
    s.step("run one child", |s| s.run("child", false));
    s.tick(10);
    s.step("run the second child (parent is released)", |s| s.run("child", false));
    s.tick(10);
    s.step("run the parent", |s| s.run("parent", false));
    s.step("getters", |s| {
        let (all, counts) = s.dependencies("parent", "P");
        let tree = json!({ "id": "P", "children": [{ "id": "C1" }, { "id": "C2" }] });
        json!({ "childrenValues": all["processed"], "dependencies": all, "counts": counts, "flow": tree })
    });
}

pub(crate) fn f02(s: &mut Scene) {
    let tree = json!({ "name": "g", "queueName": "q", "children": [
        { "name": "p", "queueName": "q", "children": [{ "name": "c", "queueName": "q", "data": 1 }] },
        { "name": "leaf", "queueName": "q", "opts": { "priority": 3 } },
        { "name": "later", "queueName": "q", "opts": { "delay": 5000 } },
    ] });
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
}

pub(crate) fn f03(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&three("failParentOnFailure")));
    s.tick(10);
    s.step("C1 fails: parent gets defa and goes to wait", |s| s.run("cq", true));
    s.tick(10);
    s.step("a worker takes P and fails it because of defa; G gets defa", |s| s.run("pq", false));
    s.tick(10);
    s.step("a worker takes G and fails it", |s| s.run("gq", false));
    s.step("getDependencies of P", |s| {
        let (deps, counts) = s.dependencies("pq", "P");
        json!({ "deps": deps, "counts": counts, "failedReason": "child bull:cq:C1 failed" })
    });
}

pub(crate) fn f04(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&three("ignoreDependencyOnFailure")));
    s.tick(10);
    s.step("C1 fails: moved to P:failed, P still waits for C2", |s| s.run("cq", true));
    s.tick(10);
    s.step("C2 completes: P released", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""ok""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C2", "state": "completed" })
    });
    s.step("getters", |s| {
        let (deps, counts) = s.dependencies("pq", "P");
        json!({ "ignored": deps["ignored"], "deps": deps, "counts": counts })
    });
}

pub(crate) fn f05(s: &mut Scene) {
    let tree = p(&json!({}), &[c("C1", &json!({ "removeDependencyOnFailure": true }))]);
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.tick(10);
    s.step("C1 fails", |s| s.run("cq", true));
}

pub(crate) fn f06(s: &mut Scene) {
    s.queue("pq");
    let children = [
        c("C1", &json!({ "continueParentOnFailure": true })),
        c("C2", &json!({})),
        c("C3", &json!({ "delay": 60000 })),
    ];
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &children)));
    s.tick(10);
    s.step("C1 fails: P released while C2 and C3 are pending", |s| s.run("cq", true));
    let mut job = None;
    s.step("take P", |s| {
        job = s.take("pq");
        json!("P")
    });
    let job = job.unwrap();
    let done = || Ending::Completed { return_value: JsonText::stored(r#""x""#), keep: Retention::ALL };
    s.step("complete P with pending children (error -4)", |s| {
        told(s.end("pq", &job, done()), |_| json!("done"))
    });
    s.step("P.removeUnprocessedChildren()", |s| {
        s.remove("pq", "P", RemoveScope::PendingChildren);
        Value::Null
    });
    s.tick(5);
    s.step("complete P", |s| {
        s.end("pq", &job, done()).unwrap();
        Value::Null
    });
}

pub(crate) fn f07(s: &mut Scene) {
    s.queue("cq");
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[c("C1", &json!({}))])));
    s.step("C1 fails", |s| s.run("cq", true));
    s.tick(10);
    s.step("job.retry()", |s| s.retry("cq", "C1"));
    s.tick(10);
    s.step("C1 completes", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored("7"), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C1", "state": "completed" })
    });
}

pub(crate) fn f08(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({ "priority": 5 }), &[c("C1", &json!({}))])));
    s.tick(10);
    s.step("C1 completes", |s| s.run("cq", false));
}

pub(crate) fn f09(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({ "delay": 3000 }), &[c("C1", &json!({}))])));
    s.tick(10);
    s.step("C1 completes", |s| s.run("cq", false));
    s.tick(3000);
    s.step("run parent after the delay", |s| s.run("pq", false));
}

pub(crate) fn f10(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    s.step("add parent as a plain job", |s| {
        let added = s.add("pq", "p", &json!({ "ret": "done" }), &json!({ "jobId": "P" }));
        told(added, |added| json!(added.id.as_str()))
    });
    let mut job = None;
    s.step("take it", |s| {
        job = s.take("pq");
        json!("P")
    });
    let job = job.unwrap();
    // Ours has nothing to wait for, too, and gives the job back; Node's handler goes on with it.
    s.step("moveToWaitingChildren with no child", |_| json!(false));
    s.step("Queue.add child with parent option", |s| {
        let opts = json!({ "jobId": "C1", "parent": { "id": "P", "queue": "bull:pq" } });
        told(s.add("cq", "c", &json!({ "ret": 1 }), &opts), |added| json!(added.id.as_str()))
    });
    s.step("moveToWaitingChildren for that child only", |s| {
        s.await_children("pq", &job, Some(JobKey::new(queue("cq"), "C1")))
    });
    s.tick(10);
    s.step("child completes", |s| s.run("cq", false));
    s.tick(10);
    s.step("parent runs again", |s| s.run("pq", false));
}

pub(crate) fn f11(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    let none = json!({});
    let tree = p(&json!({ "priority": 9 }), &[c("C1", &none), c("C2", &none)]);
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.step("C1 completes", |s| s.run("cq", false));
    s.step("Queue.remove(C2): last dependency gone, parent released (to wait, priority ignored)", |s| {
        s.remove("cq", "C2", RemoveScope::WithChildren)
    });
    s.step("Queue.remove(P) removes the processed child too", |s| {
        s.remove("pq", "P", RemoveScope::WithChildren)
    });
    s.step("FlowProducer.add again", |s| s.add_flow(&tree));
    s.step("take C1 (locks it)", |s| json!(s.take("cq").unwrap().job.id.as_str()));
    s.step("Queue.remove(P) with a locked child", |s| s.remove("pq", "P", RemoveScope::WithChildren));
    s.step("Queue.remove(P, {removeChildren:false})", |s| s.remove("pq", "P", RemoveScope::JobOnly));
}

pub(crate) fn f12(s: &mut Scene) {
    s.queue("cq");
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[c("C1", &json!({}))])));
    for step in ["removeChildDependency", "second call on a stale instance"] {
        s.step(step, |s| {
            let request = DetachRequest { child: "C1".into(), now: s.time() };
            told(s.wait(s.store.detach(&queue("cq"), request)), |was| json!(was))
        });
    }
}

pub(crate) fn f13(s: &mut Scene) {
    s.queue("cq");
    let over = |id: &str, children: &[&str]| {
        let child = |id: &&str| json!({ "name": "d", "queueName": "cq", "opts": { "jobId": id } });
        json!({ "name": "p", "queueName": "pq", "opts": { "jobId": id },
            "children": children.iter().map(child).collect::<Vec<_>>() })
    };
    s.step("plain job D1 completes, D2 waits", |s| {
        s.add("cq", "d", &json!({ "ret": "old" }), &json!({ "jobId": "D1" })).unwrap();
        let ran = s.run("cq", false);
        s.add("cq", "d", &json!({}), &json!({ "jobId": "D2" })).unwrap();
        ran
    });
    s.tick(10);
    s.step("flow over D1 (completed) and D2 (waiting)", |s| s.add_flow(&over("P", &["D1", "D2"])));
    s.step(
        "flow over D1 only, new parent P2, D1 owned by P (error -7 of a nested node is not surfaced)",
        |s| s.add_flow(&over("P2", &["D1"])),
    );
    s.step("plain job E1 completes", |s| {
        s.remove("cq", "D2", RemoveScope::WithChildren);
        s.add("cq", "d", &json!({ "ret": "e" }), &json!({ "jobId": "E1" })).unwrap();
        s.run("cq", false)
    });
    s.step("flow over E1 only: parent released at the end of the insert", |s| {
        s.add_flow(&over("P3", &["E1"]))
    });
}

pub(crate) fn f14(s: &mut Scene) {
    let mut child = c("C1", &json!({ "removeOnComplete": true }));
    child["data"] = json!({ "ret": "v" });
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[child])));
    s.step("C1 completes and is removed", |s| {
        let mut ran = s.run("cq", false);
        ran["state"] = "unknown".into();
        ran
    });
}

pub(crate) fn f15(s: &mut Scene) {
    s.queue("q");
    let nope = json!({ "id": "nope", "queue": "bull:pq" });
    s.step("root with a parent option that does not exist", |s| {
        s.add_flow(&json!({ "name": "x", "queueName": "q", "opts": { "jobId": "X", "parent": nope } }))
    });
    s.step("Queue.add with missing parent", |s| {
        told(s.add("q", "x", &json!({}), &json!({ "parent": nope })), |_| json!("added"))
    });
    // Checked before anything is sent, as Node does it; the words are our own.
    let refused = |s: &mut Scene, opts: Value| {
        let error = s.add("q", "x", &json!({}), &opts).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        Value::Null
    };
    s.step("two failure options", |s| {
        refused(s, json!({ "failParentOnFailure": true, "ignoreDependencyOnFailure": true }))
    });
    s.step("deduplication + parent", |s| {
        refused(s, json!({ "deduplication": { "id": "d" }, "parent": nope }))
    });
    // The face that builds flows refuses this.
    s.step("deduplication on a flow node with children", |_| Value::Null);
    s.step("integer custom id", |s| refused(s, json!({ "jobId": "12" })));
    s.step("custom id with colon", |s| refused(s, json!({ "jobId": "a:b" })));
    s.step("custom id with two colons (accepted)", |s| {
        told(s.add("q", "x", &json!({}), &json!({ "jobId": "a:b:c" })), |added| json!(added.id.as_str()))
    });
}

pub(crate) fn f16(s: &mut Scene) {
    let mut child = c("C1", &json!({}));
    child["data"] = json!({ "ret": 1 });
    child["prefix"] = "bull".into();
    let mut tree = p(&json!({}), &[child]);
    tree["prefix"] = "other".into();
    s.step("flow with prefix per node", |s| s.add_flow(&tree));
    s.step("C1 completes: parent released in the other prefix", |s| s.run("cq", false));
}

pub(crate) fn f17(s: &mut Scene) {
    // Defaults are laid under the options by the face.
    let child = c("C1", &json!({ "attempts": 5, "backoff": 100 }));
    s.step("FlowProducer.add with queuesOptions", |s| {
        s.add_flow(&p(&json!({ "removeOnComplete": true }), &[child]))
    });
}

pub(crate) fn f18(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    let mut job = None;
    s.step("parent taken, child added with failParentOnFailure", |s| {
        s.add("pq", "p", &json!({}), &json!({ "jobId": "P" })).unwrap();
        job = s.take("pq");
        let parent = json!({ "id": "P", "queue": "bull:pq" });
        let opts = json!({ "jobId": "C1", "failParentOnFailure": true, "parent": parent });
        s.add("cq", "c", &json!({}), &opts).unwrap();
        Value::Null
    });
    let job = job.unwrap();
    s.tick(10);
    s.step("child fails while parent is active: defa set, parent not moved", |s| s.run("cq", true));
    s.step("moveToWaitingChildren (error -9)", |s| s.await_children("pq", &job, None));
    s.step("moveToCompleted (error -9)", |s| {
        let ending = Ending::Completed { return_value: JsonText::stored("1"), keep: Retention::ALL };
        told(s.end("pq", &job, ending), |_| json!("done"))
    });
    s.step("child.retry(): goes back to dependencies", |s| s.retry("cq", "C1"));
    s.step("moveToWaitingChildren now accepted (defa still set)", |s| s.await_children("pq", &job, None));
    s.tick(10);
    s.step("child completes on the retry: parent released", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""fine""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C1", "state": "completed" })
    });
    s.step("parent runs: the stale defa still fails it", |s| s.run("pq", false));
}

pub(crate) fn f19(s: &mut Scene) {
    s.queue("pq");
    s.step("pause parent queue, add flow", |s| {
        s.wait(s.store.pause(&queue("pq"), s.time())).unwrap();
        s.add_flow(&p(&json!({}), &[c("C1", &json!({}))]))
    });
    s.step("C1 completes", |s| s.run("cq", false));
    s.step("resume", |s| {
        s.wait(s.store.resume(&queue("pq"), s.time())).unwrap();
        Value::Null
    });
}

pub(crate) fn f20(s: &mut Scene) {
    let node = |id: &str, name: &str| json!({ "name": name, "queueName": "q", "opts": { "jobId": id } });
    let over = |id: &str, name: &str| {
        let mut tree = node(id, name);
        tree["children"] = json!([node(&format!("{id}1"), &format!("{name}1"))]);
        tree
    };
    let trees = [over("A", "a"), over("B", "b")];
    s.step("addBulk", |s| {
        let answers = s.add_flows(&trees).into_iter().zip(&trees);
        answers.map(|(answer, tree)| ids(tree, &answer.unwrap())).collect()
    });
    // How deep it is looked is the face's.
    s.step("getFlow depth 1", |_| Value::Null);
    s.step("getFlow default", |_| Value::Null);
}

pub(crate) fn f21(s: &mut Scene) {
    s.queue("pq");
    let child = |name: &str, id: &str, opts: Value| {
        let mut child = c(id, &opts);
        child["name"] = name.into();
        child
    };
    let children = [
        child("ok", "C1", json!({})),
        child("bad", "C2", json!({ "ignoreDependencyOnFailure": true })),
        child("ok", "C3", json!({})),
        child("ok", "C4", json!({})),
    ];
    s.step("flow with 4 children, two run, one ignored", |s| {
        s.add_flow(&p(&json!({}), &children));
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""ok""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        s.run("cq", true);
        Value::Null
    });
    let recorded = s.steps[s.at]["result"].clone();
    s.step("getters", |s| {
        let (all, counts) = s.dependencies("pq", "P");
        assert_eq!((&all, &counts), (&recorded["all"], &recorded["counts"]));
        Value::Null
    });
}

pub(crate) fn f22(s: &mut Scene) {
    s.queue("pq");
    s.step("add", |s| s.add_flow(&p(&json!({}), &[c("a:b:c", &json!({}))])));
    s.step("Queue.remove(P)", |s| s.remove("pq", "P", RemoveScope::WithChildren));
}

pub(crate) fn f23(s: &mut Scene) {
    let lost = json!({ "name": "a", "queueName": "q",
        "opts": { "jobId": "A", "parent": { "id": "nope", "queue": "bull:pq" } } });
    let plain = json!({ "name": "b", "queueName": "q", "opts": { "jobId": "B" } });
    s.step("addBulk", |s| {
        let answers = s.add_flows(&[lost.clone(), plain.clone()]).into_iter().zip([&lost, &plain]);
        answers.map(|(answer, tree)| told(answer, |added| ids(tree, &added))).collect()
    });
}

pub(crate) fn f24(s: &mut Scene) {
    s.queue("pq");
    let fails = json!({ "failParentOnFailure": true });
    s.step("parent with 3 failParentOnFailure children, all fail", |s| {
        s.add_flow(&p(&json!({}), &[c("C1", &fails), c("C2", &fails), c("C3", &fails)]));
        for _ in 0..3 {
            s.tick(1);
            s.run("cq", true);
        }
        Value::Null
    });
    s.step("pages of 2", |s| s.dependencies("pq", "P").0["failed"].clone());
}

pub(crate) fn f25(s: &mut Scene) {
    s.queue("pq");
    let tree = |id: &str| {
        let mut tree = p(&json!({}), &[c(&format!("{id}-c"), &json!({}))]);
        tree["opts"]["jobId"] = id.into();
        tree
    };
    s.step("add P and Q", |s| json!([s.add_flow(&tree("P")), s.add_flow(&tree("Q"))]));
    s.step("P.removeUnprocessedChildren: parent is released", |s| {
        s.remove("pq", "P", RemoveScope::PendingChildren);
        Value::Null
    });
    s.step("pq.obliterate()", |s| {
        let request = ObliterateRequest { force: false, limit: 1_000, now: s.time() };
        assert!(!s.wait(s.store.obliterate(&queue("pq"), request)).unwrap().more);
        Value::Null
    });
}

pub(crate) fn f26(s: &mut Scene) {
    s.queue("cq");
    s.step("child with removeOnFail fails", |s| {
        s.add_flow(&p(&json!({}), &[c("C", &json!({ "removeOnFail": true }))]));
        s.run("cq", true)
    });
    s.step("parent and child in queue cq, another parent in pq, then cq.drain()", |s| {
        let mut near = p(&json!({}), &[c("SC", &json!({}))]);
        near["queueName"] = "cq".into();
        near["opts"]["jobId"] = "SP".into();
        let mut far = p(&json!({}), &[c("C2", &json!({}))]);
        far["opts"]["jobId"] = "P2".into();
        s.add_flow(&near);
        s.add_flow(&far);
        let request = DrainRequest { delayed: false, limit: 1_000, now: s.time() };
        assert!(!s.wait(s.store.drain(&queue("cq"), request)).unwrap().more);
        Value::Null
    });
}
