//! The soak: workers and producers of both sides on one queue, killed with SIGKILL at random; in the end every
//! acknowledged job must be accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::Clock;
use serde_json::{Value, json};

use crate::agent::{node, spawn};
use crate::rig::{Side, ms};
use crate::server;

/// The queue.
const QUEUE: &str = "soak";
/// Leases and checks: short, so that what a kill leaves behind is soon found.
const LOCK_MS: u64 = 1_500;
const STALL_CHECK_MS: u64 = 500;
/// No job may fail because its workers were killed.
const MAX_STALLED: u32 = 1_000;
/// The longest that a run may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// The jobs of a producer: the twin of `node/soak_plan.mjs`. What should become of a job is in its name and data.
pub fn plan(run: &str, n: u64) -> (&'static str, Value, Value) {
    let mut opts = if n.is_multiple_of(2) { json!({}) } else { json!({ "jobId": format!("{run}-{n}") }) };
    let fails = if n % 20 == 6 { 2 } else { 1 };
    let data = json!({ "run": run, "n": n, "text": "ü/\u{7f}", "fails": fails, "message": "planned", "ms": 20 + (n % 50) * 5 });
    let name = match n % 10 {
        4 => {
            opts["priority"] = (1 + n % 7).into();
            "echo"
        }
        5 => {
            opts["delay"] = (50 + (n % 11) * 25).into();
            "echo"
        }
        6 => {
            opts["attempts"] = 3.into();
            opts["backoff"] = json!({ "type": "fixed", "delay": 20 });
            "throws"
        }
        7 => {
            opts["attempts"] = 2.into();
            "fail"
        }
        8 => "slow",
        9 => {
            opts["lifo"] = true.into();
            "echo"
        }
        _ => "echo",
    };
    (name, data, opts)
}

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    pub acknowledged: usize,
    /// Jobs that are there, with those whose producer was killed before it heard of them.
    pub jobs: usize,
    pub worker_kills: usize,
    pub producer_kills: usize,
    /// Starts beyond those that ended in a result: of workers that were killed.
    pub duplicate_runs: u64,
    pub stalls: u64,
    /// By the worker that did it last.
    pub done_by: BTreeMap<String, usize>,
    /// What workers complained of, without their numbers, and how often.
    pub complaints: BTreeMap<String, usize>,
    pub seconds: f64,
}

/// A producer that runs, and what it was asked for.
struct Producer {
    side: Side,
    child: Child,
    stdin: ChildStdin,
    acked: Arc<Mutex<Vec<String>>>,
    /// Ends with its stdout.
    reader: std::thread::JoinHandle<()>,
    asked: usize,
}

struct Soak {
    worker_program: String,
    producer_program: String,
    random: fastrand::Rng,
    clock: Clock,
    redis: redis::Connection,
    workers: Vec<(Side, Child)>,
    producers: Vec<Producer>,
    acked: Vec<String>,
    runs: usize,
    complaints: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// Runs it with our programs at these paths; `seed` decides who is killed when. Panics if anything is lost.
pub async fn run(jobs: usize, seed: u64, worker_program: &str, producer_program: &str) -> Report {
    let mut soak = Soak {
        worker_program: worker_program.into(),
        producer_program: producer_program.into(),
        random: fastrand::Rng::with_seed(seed),
        clock: Clock::system(),
        redis: server::connection(),
        workers: Vec::new(),
        producers: Vec::new(),
        acked: Vec::new(),
        runs: 0,
        complaints: Arc::default(),
    };
    // All events are kept, to be counted in the end.
    let () = redis::cmd("HSET")
        .arg(key("meta"))
        .arg("opts.maxLenEvents")
        .arg(100_000_000)
        .query(&mut soak.redis)
        .unwrap();
    let began = soak.clock.now();
    for side in [Side::Node, Side::Rust, Side::Node, Side::Rust] {
        let child = soak.worker(side);
        soak.workers.push((side, child));
    }
    for side in Side::BOTH {
        let producer = soak.producer(side, 0);
        soak.producers.push(producer);
    }
    let mut report = soak.campaign(jobs).await;
    soak.settle().await;
    report.seconds = (soak.clock.now() - began).as_secs_f64();
    soak.account(&mut report);
    report
}

impl Soak {
    /// Kills one after the other; with each kill a part of the jobs is asked for.
    async fn campaign(&mut self, jobs: usize) -> Report {
        let mut report = Report::default();
        let kills = (jobs / 60).clamp(12, 250);
        let part = jobs.div_ceil(kills).div_ceil(2);
        let mut asked = 0;
        while asked < jobs {
            for index in 0..self.producers.len() {
                self.ask(index, part);
                asked += part;
            }
            let pause = self.random.u64(20..500);
            self.clock.sleep(ms(pause)).await;
            if self.random.u32(0..4) == 0 {
                let index = self.random.usize(0..self.producers.len());
                self.kill_producer(index);
                report.producer_kills += 1;
            } else {
                let index = self.random.usize(0..self.workers.len());
                let (side, child) = &mut self.workers[index];
                child.kill().unwrap();
                child.wait().unwrap();
                let side = *side;
                self.workers[index].1 = self.worker(side);
                report.worker_kills += 1;
            }
        }
        report
    }

    /// Waits until all is added and done, as long as something happens.
    async fn settle(&mut self) {
        self.all_done().await;
        // What BullMQ brought back of ours is still noted in our leases, until the next check for stalled jobs.
        let at = self.clock.now();
        while self.leases() > 0 {
            assert!(self.clock.now() - at < PATIENCE, "leases are left over: {}", self.leases());
            self.clock.sleep(ms(50)).await;
        }
    }

    fn leases(&mut self) -> usize {
        redis::cmd("HLEN").arg(format!("bull::oxmq:{QUEUE}:leases")).query(&mut self.redis).unwrap()
    }

    async fn all_done(&mut self) {
        let (mut seen, mut at) = ((0, 0), self.clock.now());
        loop {
            let added =
                self.producers.iter().all(|producer| producer.acked.lock().unwrap().len() >= producer.asked);
            let owed: usize =
                self.producers.iter().map(|producer| producer.acked.lock().unwrap().len()).sum();
            let unfinished = self.unfinished();
            if added && unfinished.values().all(|count| *count == 0) {
                return;
            }
            let now = (owed, self.length("ZCARD", "completed") + self.length("ZCARD", "failed"));
            if now != seen {
                (seen, at) = (now, self.clock.now());
            }
            assert!(
                self.clock.now() - at < PATIENCE,
                "stuck, with all of {added:?} added: {unfinished:?}, {:?}",
                self.complaints
            );
            self.clock.sleep(ms(50)).await;
        }
    }

    fn unfinished(&mut self) -> BTreeMap<&'static str, usize> {
        let lists = ["wait", "active", "paused"];
        let sets = ["delayed", "prioritized", "waiting-children"];
        let mut counts: BTreeMap<_, _> = lists.map(|name| (name, self.length("LLEN", name))).into();
        counts.extend(sets.map(|name| (name, self.length("ZCARD", name))));
        counts
    }

    fn length(&mut self, command: &str, suffix: &str) -> usize {
        redis::cmd(command).arg(key(suffix)).query(&mut self.redis).unwrap()
    }

    fn worker(&self, side: Side) -> Child {
        let settings = json!({
            "queue": QUEUE, "concurrency": 5, "lock": LOCK_MS, "stallCheck": STALL_CHECK_MS, "maxStalled": MAX_STALLED,
        });
        let mut child = spawn(Self::command(side, "soak_worker.mjs", &self.worker_program, &settings));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let complaints = self.complaints.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                let message = line["message"].as_str().unwrap_or("?");
                let message = format!("{side:?}: {}", message.replace(|c: char| c.is_ascii_digit(), "#"));
                *complaints.lock().unwrap().entry(message).or_default() += 1;
            }
        });
        child
    }

    fn producer(&mut self, side: Side, owes: usize) -> Producer {
        let run = self.runs;
        self.runs += 1;
        let settings = json!({ "queue": QUEUE, "run": format!("{side:?}{run}") });
        let mut child = spawn(Self::command(side, "soak_producer.mjs", &self.producer_program, &settings));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acked = Arc::<Mutex<Vec<String>>>::default();
        let hears = acked.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A line may be cut by the kill.
                let Ok(mut line) = serde_json::from_str::<Value>(&line) else { continue };
                let ids: Vec<String> = serde_json::from_value(line["acked"].take()).unwrap();
                hears.lock().unwrap().extend(ids);
            }
        });
        let mut producer =
            Producer { side, stdin: child.stdin.take().unwrap(), child, acked, reader, asked: 0 };
        if owes > 0 {
            send(&mut producer, owes);
        }
        producer
    }

    fn ask(&mut self, index: usize, count: usize) {
        send(&mut self.producers[index], count);
    }

    fn kill_producer(&mut self, index: usize) {
        let Producer { side, mut child, acked, reader, asked, .. } = self.producers.remove(index);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before its end counts.
        reader.join().unwrap();
        let heard = acked.lock().unwrap().clone();
        let fresh = self.producer(side, asked - heard.len());
        self.producers.insert(index, fresh);
        self.acked.extend(heard);
    }

    fn command(side: Side, script: &str, program: &str, settings: &Value) -> Command {
        let mut command = match side {
            Side::Node => node(script),
            Side::Rust => Command::new(program),
        };
        command.arg(settings.to_string()).env("OXMQ_INTEROP_URL", server::url());
        command
    }

    /// Each acknowledged job is there, has ended as planned, and ended once.
    fn account(&mut self, report: &mut Report) {
        for Producer { mut child, stdin, acked, reader, .. } in std::mem::take(&mut self.producers) {
            // It ends with its stdin.
            drop(stdin);
            child.wait().unwrap();
            reader.join().unwrap();
            self.acked.append(&mut acked.lock().unwrap());
        }
        let acked: BTreeSet<String> = self.acked.iter().cloned().collect();
        assert_eq!(acked.len(), self.acked.len(), "no id was given twice");
        let mut ended = BTreeMap::new();
        for state in ["completed", "failed"] {
            let ids: Vec<String> =
                redis::cmd("ZRANGE").arg(key(state)).arg(0).arg(-1).query(&mut self.redis).unwrap();
            for id in ids {
                assert_eq!(ended.insert(id.clone(), state), None, "{id} is in both");
            }
        }
        let lost: Vec<&String> = acked.iter().filter(|id| !ended.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} acknowledged jobs are lost: {lost:?}", lost.len());
        for (id, state) in &ended {
            let fields = ["name", "data", "ats", "atm", "stc", "returnvalue", "failedReason", "pb", "defa"];
            let job: Vec<Option<String>> =
                redis::cmd("HMGET").arg(key(id)).arg(&fields).query(&mut self.redis).unwrap();
            let [name, data, ats, atm, stc, returned, reason, by, defa] = &job[..] else { unreachable!() };
            let number =
                |text: &Option<String>| text.as_deref().map_or(0, |text| text.parse::<u64>().unwrap());
            let data: Value = serde_json::from_str(data.as_deref().unwrap()).unwrap();
            let (planned, tries) = match name.as_deref().unwrap() {
                "fail" => ("failed", 2),
                "throws" => ("completed", data["fails"].as_u64().unwrap() + 1),
                _ => ("completed", 1),
            };
            assert_eq!(*state, planned, "{id}: {job:?}");
            assert_eq!(number(atm), tries, "{id}: {job:?}");
            assert_eq!(number(ats) - number(atm), number(stc), "starts are results or stalls; {id}: {job:?}");
            assert_eq!(*defa, None, "{id}: {job:?}");
            match planned {
                "failed" => assert_eq!(reason.as_deref(), Some("planned"), "{id}: {job:?}"),
                _ => assert!(returned.is_some(), "{id}: {job:?}"),
            }
            report.duplicate_runs += number(ats) - number(atm);
            report.stalls += number(stc);
            *report.done_by.entry(by.clone().unwrap_or_default()).or_default() += 1;
        }
        self.count_events(&ended);
        report.acknowledged = acked.len();
        report.jobs = ended.len();
        report.complaints.append(&mut self.complaints.lock().unwrap());
        for (_, child) in &mut self.workers {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Each job has one event of its end.
    fn count_events(&mut self, ended: &BTreeMap<String, &'static str>) {
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        let mut from = "-".to_owned();
        loop {
            let page: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
                .arg(key("events"))
                .arg(&from)
                .arg("+")
                .arg("COUNT")
                .arg(10_000)
                .query(&mut self.redis)
                .unwrap();
            let Some((last, _)) = page.last() else { break };
            from = format!("({last}");
            for (_, fields) in page {
                let get = |name: &str| {
                    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
                };
                if matches!(get("event").as_deref(), Some("completed" | "failed")) {
                    *ends.entry(get("jobId").unwrap()).or_default() += 1;
                }
            }
        }
        assert_eq!(ends.len(), ended.len(), "jobs with an event of their end");
        let twice: Vec<_> = ends.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "ended more than once: {twice:?}");
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        let producers = self.producers.iter_mut().map(|producer| &mut producer.child);
        for child in self.workers.iter_mut().map(|(_, child)| child).chain(producers) {
            // An error says that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn send(producer: &mut Producer, count: usize) {
    producer.asked += count;
    writeln!(producer.stdin, "{count}").expect("the producer listens");
}

fn key(suffix: &str) -> String {
    format!("bull:{QUEUE}:{suffix}")
}
