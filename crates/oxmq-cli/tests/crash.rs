//! The crash campaign: producers and workers are killed with SIGKILL, again and again, under load on one file. In the
//! end no job that was acknowledged is lost, none is stuck or failed, and every start beyond a job's first is
//! explained by the kill that cut the one before.
//!
//! `OXMQ_KILLS` is the number of kills: 12 unless said otherwise, 200 in the full form. `OXMQ_SEED` repeats a run's
//! choices (not its timing).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

/// The store of each bench.
fn store_url() -> String {
    "sqlite:jobs.db".to_owned()
}

#[path = "cli/support.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use oxmq::store::{GROUP_JOBS_MAX, JobsRequest};
use oxmq::{Job, JobCounts, JobState, Order, Queue};

use crate::support::{Bench, Running, eventually_within};

const LEASE: &str = "2s";
const CONCURRENCY: u64 = 8;
/// Jobs of one producer, unless it is killed before.
const JOBS_PER_PRODUCER: &str = "400";
/// With more than this left to do, no new producer is started until the workers have caught up.
const BACKLOG_MAX: u64 = 4_000;
/// The longest time between two kills, and for the workers to finish in the end.
const PATIENCE: Duration = Duration::from_secs(90);

/// A start: the job and the number of the start.
type Start = (String, u32);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Role {
    ProducerSingle,
    ProducerBulk,
    Worker,
    /// `oxmq work --exec`
    Executor,
}

/// What the processes have told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<String>,
    /// Who made each start.
    starts: BTreeMap<Start, String>,
}

struct Process {
    role: Role,
    name: String,
    running: Running,
    reader: Option<JoinHandle<()>>,
}

struct Campaign {
    bench: Bench,
    told: Arc<Mutex<Told>>,
    processes: Vec<Process>,
    spawned: usize,
    killed: BTreeSet<String>,
    kills: BTreeMap<&'static str, usize>,
}

#[test]
fn nothing_is_lost_however_often_we_are_killed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("OXMQ_KILLS").unwrap_or(12);
    let seed = number("OXMQ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let mut campaign = Campaign::new();
    let queue = runtime.block_on(async {
        let store =
            oxmq::connect(&format!("sqlite:{}", campaign.bench.path("jobs.db").display())).await.unwrap();
        Queue::new(&store, "q").unwrap()
    });
    let counts = || runtime.block_on(queue.counts()).unwrap();
    let roles = [Role::ProducerSingle, Role::ProducerBulk, Role::Worker, Role::Worker, Role::Executor];
    for role in roles {
        campaign.start(role);
    }
    for _ in 0..kills {
        // Something must have happened since the last kill: the store is under load when the next one strikes.
        let goal = campaign.progress() + random.usize(10..400);
        eventually_within(PATIENCE, "the load goes on", || {
            campaign.restart_ended_producers(counts());
            (campaign.progress() >= goal).then_some(())
        });
        let index = random.usize(..campaign.processes.len());
        campaign.kill(index);
    }
    while let Some(index) = campaign.processes.iter().position(Process::is_producer) {
        let mut producer = campaign.processes.remove(index);
        producer.kill();
    }
    let total = |counts: JobCounts| counts.unfinished();
    eventually_within(PATIENCE, "every job has ended", || (total(counts()) == 0).then_some(()));
    for mut process in std::mem::take(&mut campaign.processes) {
        process.running.signal("TERM");
        assert_eq!(process.running.code(), 0, "{} ends well", process.name);
        process.join();
    }
    let jobs = runtime.block_on(all_jobs(&queue));
    println!("{}; seed {seed}", campaign.audit(&jobs, counts()));
}

impl Process {
    fn is_producer(&self) -> bool {
        matches!(self.role, Role::ProducerSingle | Role::ProducerBulk)
    }

    /// Kills it, and reads what it said last.
    fn kill(&mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
        self.join();
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Campaign {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            told: Arc::default(),
            processes: Vec::new(),
            spawned: 0,
            killed: BTreeSet::new(),
            kills: BTreeMap::new(),
        }
    }

    fn start(&mut self, role: Role) {
        self.spawned += 1;
        let name = format!("p{}", self.spawned);
        let mut args: Vec<&str> = match role {
            Role::ProducerSingle | Role::ProducerBulk => {
                let by = if role == Role::ProducerSingle { "single" } else { "bulk" };
                vec!["crash-producer", "q", "--n", JOBS_PER_PRODUCER, "--by", by, "--tag", &name]
            }
            Role::Worker => {
                vec!["crash-worker", "q", "--concurrency", "8", "--lease", LEASE, "--name", &name]
            }
            Role::Executor => {
                vec![
                    "work",
                    "q",
                    "--concurrency",
                    "2",
                    "--max-stalled",
                    "4000000000",
                    "--lease",
                    LEASE,
                    "--name",
                    &name,
                ]
            }
        };
        // What the programs say goes to a file: they have no stdout of the worker's to write to.
        let log = format!("{}.starts", self.bench.path(&name).display());
        let exec = format!("echo \"$OXMQ_JOB_ID $OXMQ_START\" >> {log}");
        if role == Role::Executor {
            args.extend(["--create", "--exec", &exec]);
        }
        args.push("--quiet");
        let mut child = self.bench.command(&args).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (told, reader_name) = (self.told.clone(), name.clone());
        let reader = std::thread::spawn(move || {
            lines(stdout, |line| {
                let mut told = told.lock().unwrap();
                match role {
                    Role::ProducerSingle | Role::ProducerBulk => drop(told.acknowledged.insert(line.into())),
                    Role::Worker => drop(told.starts.insert(start(line), reader_name.clone())),
                    Role::Executor => {}
                }
            });
        });
        self.processes.push(Process { role, name, running: child.into(), reader: Some(reader) });
    }

    /// How much has happened: ids acknowledged and jobs started.
    fn progress(&self) -> usize {
        let told = self.told.lock().unwrap();
        told.acknowledged.len() + told.starts.len()
    }

    fn restart_ended_producers(&mut self, counts: JobCounts) {
        if counts.unfinished() > BACKLOG_MAX {
            return;
        }
        let mut index = 0;
        while index < self.processes.len() {
            let process = &mut self.processes[index];
            let ended = process.running.child.try_wait().unwrap();
            match ended {
                None => index += 1,
                Some(status) => {
                    assert!(process.is_producer() && status.success(), "{} ended: {status}", process.name);
                    let mut process = self.processes.remove(index);
                    process.join();
                    self.start(process.role);
                }
            }
        }
    }

    fn kill(&mut self, index: usize) {
        let mut process = self.processes.remove(index);
        process.kill();
        self.killed.insert(process.name.clone());
        *self.kills.entry(if process.is_producer() { "producers" } else { "workers" }).or_default() += 1;
        self.start(process.role);
    }

    /// Checks everything, and says it in one line.
    fn audit(&self, jobs: &BTreeMap<String, Job>, counts: JobCounts) -> String {
        let mut told = self.told.lock().unwrap();
        for number in 1..=self.spawned {
            let name = format!("p{number}");
            if let Ok(log) = File::open(self.bench.path(&format!("{name}.starts"))) {
                lines(log, |line| drop(told.starts.insert(start(line), name.clone())));
            }
        }
        let lost: Vec<_> = told.acknowledged.iter().filter(|id| !jobs.contains_key(*id)).collect();
        assert!(lost.is_empty(), "acknowledged, and lost: {lost:?}");
        assert_eq!((counts.failed, counts.unfinished()), (0, 0), "{counts:?}");
        assert_eq!(counts.completed, jobs.len() as u64);

        let (mut again, mut untold) = (0, 0);
        for (id, job) in jobs {
            assert_eq!(job.attempts_made, 1, "{id}: {job:?}");
            assert_eq!(
                job.attempts_started,
                1 + job.stalled_count,
                "{id}: each extra start follows a stall: {job:?}"
            );
            for number in 1..job.attempts_started {
                again += 1;
                match told.starts.get(&(id.clone(), number)) {
                    Some(worker) => {
                        let why = format!("start {number} of {id} was cut, but {worker} was not killed");
                        assert!(self.killed.contains(worker), "{why}");
                    }
                    // Taken, but killed before the handler had said so.
                    None => untold += 1,
                }
            }
        }
        let worker_kills = self.kills.get("workers").copied().unwrap_or(0) as u64;
        let in_hand = worker_kills * CONCURRENCY * 2;
        assert!(
            untold <= in_hand,
            "{untold} starts are told by nobody, and only {in_hand} can have been in hand"
        );
        format!(
            "crash campaign: kills {:?}, {} jobs acknowledged, {} stored, {} completed, 0 lost, 0 stuck, 0 failed; \
             {again} starts cut by a kill, each run again ({untold} before their first line)",
            self.kills,
            told.acknowledged.len(),
            jobs.len(),
            counts.completed,
        )
    }
}

/// Each whole line; one that was cut off by a kill was not said.
fn lines(source: impl Read, mut each: impl FnMut(&str)) {
    let mut source = BufReader::new(source);
    let mut line = String::new();
    while source.read_line(&mut line).unwrap() > 0 {
        if let Some(line) = line.strip_suffix('\n') {
            each(line);
        }
        line.clear();
    }
}

fn start(line: &str) -> Start {
    let (id, number) = line.split_once(' ').expect(line);
    (id.into(), number.parse().expect(line))
}

async fn all_jobs(queue: &Queue) -> BTreeMap<String, Job> {
    let mut all = BTreeMap::new();
    let mut offset = 0;
    loop {
        let states = JobState::ALL.to_vec();
        let request = JobsRequest { states, offset, limit: GROUP_JOBS_MAX, order: Order::Ascending };
        let page = queue.jobs(request).await.unwrap().jobs;
        offset += page.len() as u64;
        let is_last = page.len() < GROUP_JOBS_MAX;
        all.extend(page.into_iter().map(|view| (view.job.id.to_string(), view.job)));
        if is_last {
            return all;
        }
    }
}
