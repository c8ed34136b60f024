//! A queue that both sides have, and what either of them does with it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oxmq_core::store::{Gate, JobsRequest, LogsRequest};
use oxmq_core::{
    BackoffAnswer, ChildFailure, Clock, JobOptions, JobOutcome, JobState, JobView, JsonText, Order, Queue,
    Store, Timestamp, Worker,
};
use oxmq_redis::RedisStore;
use serde_json::{Map, Value, json};

use crate::agent::{Agent, undefined};
use crate::processors::{self, Diary};
use crate::server;

/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Looks again and again until it holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let clock = Clock::system();
    let end = clock.now() + PATIENCE;
    while !holds().await {
        assert!(clock.now() < end, "not within {PATIENCE:?}: {what}");
        clock.sleep(ms(5)).await;
    }
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Node,
    Rust,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Node, Self::Rust];

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Node => Self::Rust,
            Self::Rust => Self::Node,
        }
    }
}

/// How a worker is.
#[derive(Debug, Clone)]
pub struct Work {
    pub concurrency: usize,
    pub name: Option<String>,
    pub lock: Duration,
    pub stall_check: Duration,
    pub max_stalled: u32,
    pub limiter: Option<(u32, Duration)>,
    /// How long jobs with a custom backoff wait; -1 gives them up.
    pub strategy: Option<i64>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            concurrency: 1,
            name: None,
            lock: ms(5_000),
            stall_check: ms(5_000),
            max_stalled: 1,
            limiter: None,
            strategy: None,
        }
    }
}

/// A queue that both sides have.
pub struct Rig {
    pub agent: Arc<Agent>,
    pub store: Arc<dyn Store>,
    pub queue: Queue,
    pub name: String,
    pub diary: Arc<Diary>,
    version: u32,
    made: AtomicU32,
}

/// A worker that runs.
pub enum Running {
    Node { agent: Arc<Agent>, name: String },
    Rust(Worker),
}

impl Running {
    /// Lets its jobs finish, and ends it.
    pub async fn close(self) {
        match self {
            Self::Node { agent, name } => agent.close(&name, json!([])).await,
            Self::Rust(worker) => worker.close().await.unwrap(),
        }
    }

    /// What it told: in Node.
    pub fn told(&self, event: &str) -> Vec<Value> {
        let Self::Node { agent, name } = self else { panic!("our worker tells its diary") };
        agent.told(name).into_iter().filter(|line| line["event"] == event).collect()
    }
}

impl Rig {
    /// A fresh queue with a name of its own, and the shared agent.
    pub async fn new() -> Self {
        Self::with(Agent::shared(), 6).await
    }

    /// The same with an agent of its own, and a version of BullMQ.
    pub async fn with(agent: Arc<Agent>, version: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("queue {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let store = RedisStore::open(&server::url()).await.unwrap();
        let store: Arc<dyn Store> = Gate::before(Arc::new(store));
        let queue = Queue::new(&store, &name).unwrap();
        agent.make("Queue", &name, &name, json!({}), version).await;
        Self { agent, store, queue, name, diary: Arc::default(), version, made: AtomicU32::new(0) }
    }

    /// Calls a method of Node's Queue that must succeed.
    pub async fn node(&self, method: &str, args: Value) -> Value {
        let answer = self.agent.call(&self.name, method, args.clone()).await;
        answer.unwrap_or_else(|error| panic!("{method}{args}: {error:?}"))
    }

    /// Calls a method of a Job of Node's that must succeed.
    pub async fn node_job(&self, id: &str, method: &str, args: Value) -> Value {
        let answer = self.agent.job(&self.name, id, method, args.clone()).await;
        answer.unwrap_or_else(|error| panic!("job {id}.{method}{args}: {error:?}"))
    }

    /// Makes another object in Node, for this queue; its name.
    pub async fn make(&self, kind: &str, options: Value) -> String {
        let name = format!("{} {kind} {}", self.name, self.made.fetch_add(1, Ordering::Relaxed));
        self.agent.make(kind, &name, &self.name, options, self.version).await;
        name
    }

    /// Adds a job; its id.
    pub async fn add(&self, side: Side, name: &str, data: Value, opts: Value) -> String {
        match side {
            Side::Node => {
                let job = self.node("add", json!([name, data, opts])).await;
                job["id"].as_str().unwrap().to_owned()
            }
            Side::Rust => {
                let opts = JobOptions::parse(&opts.to_string()).unwrap();
                let add = self.queue.add_named(name, &data).options(opts);
                add.await.unwrap_or_else(|error| panic!("add {name}: {error}")).id.to_string()
            }
        }
    }

    /// Starts a worker.
    pub async fn work(&self, side: Side, work: Work) -> Running {
        match side {
            Side::Node => self.node_worker(&self.agent, work).await,
            Side::Rust => Running::Rust(self.rust_worker(work)),
        }
    }

    /// Starts a worker of ours.
    pub fn rust_worker(&self, work: Work) -> Worker {
        let diary = self.diary.clone();
        let mut builder = Worker::builder(&self.store, &self.name)
            .concurrency(work.concurrency)
            .lease(work.lock)
            .stall_check(work.stall_check)
            .max_stalled(work.max_stalled)
            .handle_any(move |data: Value, context| processors::work(diary.clone(), data, context));
        if let Some(name) = work.name {
            builder = builder.name(name);
        }
        if let Some((max, window)) = work.limiter {
            builder = builder.rate_limit(max, window);
        }
        if let Some(strategy) = work.strategy {
            builder = builder.backoff(move |_| match u64::try_from(strategy) {
                Ok(wait) => BackoffAnswer::After(ms(wait)),
                Err(_) => BackoffAnswer::GiveUp,
            });
        }
        builder.start().unwrap()
    }

    /// Starts a worker of Node's in an agent.
    pub async fn node_worker(&self, agent: &Arc<Agent>, work: Work) -> Running {
        let name = format!("{} Worker {}", self.name, self.made.fetch_add(1, Ordering::Relaxed));
        let mut options = json!({
            "concurrency": work.concurrency,
            "lockDuration": millis(work.lock),
            "stalledInterval": millis(work.stall_check),
            "maxStalledCount": work.max_stalled,
        });
        if let Some(own) = &work.name {
            options["name"] = own.as_str().into();
        }
        if let Some((max, window)) = work.limiter {
            options["limiter"] = json!({ "max": max, "duration": millis(window) });
        }
        if let Some(strategy) = work.strategy {
            options["strategy"] = strategy.into();
        }
        agent.make("Worker", &name, &self.name, options, self.version).await;
        Running::Node { agent: agent.clone(), name }
    }

    /// Lets go the jobs that hold at a gate, on both sides.
    pub async fn open(&self, gate: &str) {
        processors::open(gate);
        self.agent.ask(json!({ "do": "open", "gate": gate })).await.unwrap();
    }

    /// Waits until a job holds at a gate in a worker.
    pub async fn holds(&self, side: Side, worker: &Running, id: &str) {
        until(&format!("job {id} holds in {side:?}"), || async {
            match side {
                Side::Node => worker.told("holding").iter().any(|line| line["jobId"] == id),
                Side::Rust => self.diary.holding.lock().unwrap().iter().any(|held| held == id),
            }
        })
        .await;
    }

    /// Waits until a job is in a state, by our own look.
    pub async fn reaches(&self, id: &str, state: JobState) {
        let what = format!("job {id} of {} is {state}", self.name);
        until(&what, || async { self.view(id).await.is_some_and(|view| view.state == state) }).await;
    }

    /// A job, by our own look.
    pub async fn view(&self, id: &str) -> Option<JobView> {
        self.queue.job(id).await.unwrap()
    }

    /// How a job ended, as a side sees it: its result, or why it failed. Waits for it.
    pub async fn outcome(&self, side: Side, id: &str) -> Result<Value, String> {
        match side {
            Side::Rust => match self.queue.wait_for(id, Some(PATIENCE)).await.unwrap() {
                JobOutcome::Completed(result) => Ok(result.read().unwrap()),
                JobOutcome::Failed(reason) => Err(reason),
                other => panic!("{other:?}"),
            },
            Side::Node => {
                let events = self.make("QueueEvents", json!({})).await;
                let ttl = millis(PATIENCE);
                let request =
                    json!({ "do": "wait", "on": self.name, "job": id, "events": events, "ttl": ttl });
                let answer = self.agent.ask(request).await.map_err(|error| error.message);
                self.agent.close(&events, json!([])).await;
                answer
            }
        }
    }

    /// The same of a job that holds at a gate, which is opened when the side has begun to wait.
    pub async fn outcome_once_waited_for(&self, side: Side, id: &str, gate: &str) -> Result<Value, String> {
        let before = self.agent.told("process").len();
        let opens = async {
            if side == Side::Node {
                let waits =
                    || async { self.agent.told("process")[before..].iter().any(|line| line["job"] == id) };
                until("Node begins to wait", waits).await;
            }
            // Its looks at the stream and the job are on their way, before these.
            for _ in 0..5 {
                self.counts(side).await;
            }
            self.open(gate).await;
        };
        let (outcome, ()) = tokio::join!(self.outcome(side, id), opens);
        outcome
    }

    /// A job as a side shows it, in the names of Node's getters, with its `state`. What is not there is left out.
    pub async fn shown(&self, side: Side, id: &str) -> Value {
        match side {
            Side::Node => {
                let job = self.agent.ask(json!({ "do": "job", "on": self.name, "job": id })).await;
                let mut job = from_node(job.unwrap());
                job["state"] = self.node_job(id, "getState", json!([])).await;
                job
            }
            Side::Rust => from_view(self.view(id).await.unwrap()),
        }
    }

    /// The ids of the jobs in a state, in ascending order of the side's own getter.
    pub async fn ids(&self, side: Side, state: JobState) -> Vec<String> {
        match side {
            Side::Node => {
                let jobs = self.node("getJobs", json!([[state.as_str()], 0, -1, true])).await;
                jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
            }
            Side::Rust => {
                let request =
                    JobsRequest { states: vec![state], offset: 0, limit: 1_000, order: Order::Ascending };
                let page = self.queue.jobs(request).await.unwrap();
                page.jobs.iter().map(|view| view.job.id.to_string()).collect()
            }
        }
    }

    /// How many jobs are in each state.
    pub async fn counts(&self, side: Side) -> Value {
        match side {
            Side::Node => self.node("getJobCounts", json!([])).await,
            Side::Rust => {
                let counts = self.queue.counts().await.unwrap();
                JobState::ALL
                    .into_iter()
                    .map(|state| (state.as_str().to_owned(), json!(counts.of(state))))
                    .collect()
            }
        }
    }

    /// A job's log.
    pub async fn logs(&self, side: Side, id: &str) -> Vec<String> {
        match side {
            Side::Node => {
                let logs = self.node("getJobLogs", json!([id])).await["logs"].take();
                serde_json::from_value(logs).unwrap()
            }
            Side::Rust => {
                let request =
                    LogsRequest { job: id.into(), offset: 0, limit: 1_000, order: Order::Ascending };
                self.queue.logs(request).await.unwrap().lines
            }
        }
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap()
}

/// Node's getters, without those that only say where the job is, and without what is not there.
fn from_node(job: Value) -> Value {
    let Value::Object(mut job) = job else { panic!("no job: {job}") };
    for where_it_is in ["queueQualifiedName", "queueName", "prefix", "token"] {
        job.remove(where_it_is);
    }
    if job["opts"]["attempts"] == 0 {
        job["opts"].as_object_mut().unwrap().remove("attempts");
    }
    let is_there = |_: &String, value: &mut Value| !value.is_null() && *value != undefined();
    job.retain(is_there);
    job["opts"].as_object_mut().unwrap().retain(is_there);
    if job.get("stacktrace") == Some(&json!([])) {
        job.remove("stacktrace");
    }
    job.into()
}

/// The same of ours.
fn from_view(view: JobView) -> Value {
    let job = view.job;
    let read = |text: &JsonText| text.read::<Value>().unwrap();
    let state = view.state.as_str();
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            shown.insert(name.into(), value);
        }
    };
    put("id", job.id.as_str().into());
    put("name", job.name.into());
    put("data", read(&job.data));
    let mut opts = read(&job.opts);
    // Node shows it beside the options only.
    opts.as_object_mut().map(|opts| opts.remove("repeatJobKey"));
    put("opts", opts);
    put("repeatJobKey", job.scheduler_id.into());
    put("progress", job.progress.as_ref().map_or(json!(0), read));
    put("returnvalue", job.return_value.as_ref().map_or(Value::Null, read));
    let stacks = job.stacktrace.as_ref().map_or(Value::Null, read);
    put("stacktrace", if stacks == json!([]) { Value::Null } else { stacks });
    put("delay", job.delay_ms.into());
    put("priority", job.priority.into());
    put("timestamp", job.timestamp.as_millis().into());
    put("attemptsStarted", job.attempts_started.into());
    put("attemptsMade", job.attempts_made.into());
    put("stalledCounter", job.stalled_count.into());
    put("failedReason", job.failed_reason.into());
    put("deferredFailure", job.deferred_failure.into());
    put("finishedOn", job.finished_on.map(Timestamp::as_millis).into());
    put("processedOn", job.processed_on.map(Timestamp::as_millis).into());
    put("processedBy", job.processed_by.into());
    if let Some(parent) = job.parent {
        put("parentKey", parent.key.to_string().into());
        let mut shown = json!({ "id": parent.key.id.as_str(), "queueKey": parent.key.queue.to_string() });
        let flag = match parent.on_failure {
            None => None,
            Some(ChildFailure::FailParent) => Some("fpof"),
            Some(ChildFailure::ContinueParent) => Some("cpof"),
            Some(ChildFailure::Ignore) => Some("idof"),
            Some(other) => (other == ChildFailure::Remove).then_some("rdof"),
        };
        if let Some(flag) = flag {
            shown[flag] = true.into();
        }
        put("parent", shown);
    }
    put("state", state.into());
    shown.into()
}
