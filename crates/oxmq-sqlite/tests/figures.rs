//! Figures, printed: what a call costs. Nothing is asserted about time.
//!
//! `cargo test --release -p oxmq-sqlite --test figures -- --ignored --nocapture --test-threads 1`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "figures are printed, and a test panics")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oxmq_core::store::{AddGroup, AddRequest, Finish, FinishRequest, TakeRequest, WaitRequest};
use oxmq_core::{
    Clock, Ending, JobOptions, JsonText, NewJob, QueueAddress, Retention, Store, Timestamp, Token,
};
use oxmq_sqlite::SqliteStore;

const RUN: Duration = Duration::from_secs(4);

#[allow(clippy::disallowed_methods, reason = "this measures real time")]
fn instant() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "two processes share no other clock of this resolution")]
fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

fn now() -> Timestamp {
    Clock::system().now()
}

fn queue() -> QueueAddress {
    QueueAddress::new("tasks").unwrap()
}

async fn open(folder: &Path, durability: &str) -> Arc<SqliteStore> {
    let url = format!("sqlite:{}?durability={durability}", folder.join("jobs.db").display());
    Arc::new(SqliteStore::open(&url).await.unwrap())
}

async fn add(store: &SqliteStore, count: usize, data: JsonText) {
    let job = NewJob { name: "work".into(), data, options: JobOptions::default() };
    let groups = vec![AddGroup { jobs: vec![job; count] }];
    store.add(&queue(), AddRequest { groups, now: now() }).await.unwrap().remove(0).unwrap();
}

fn demand() -> TakeRequest {
    TakeRequest {
        limit: 1,
        token: Token::new("me:0"),
        lease_for: Duration::from_secs(30),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: now(),
    }
}

/// One finish with the next take, as a worker does it; false when nothing was left.
async fn cycle(store: &SqliteStore, finished: &mut Vec<Finish>) -> bool {
    let request =
        FinishRequest { finished: std::mem::take(finished), take: Some(demand()), metrics: None, now: now() };
    let answer = store.finish(&queue(), request).await.unwrap();
    assert!(answer.answers.iter().all(Result::is_ok));
    let jobs = answer.taken.unwrap().jobs;
    finished.extend(jobs.into_iter().map(|job| Finish {
        lease: job.lease,
        ending: Ending::Completed { return_value: JsonText::null(), keep: Retention::ALL },
        heeds_cancel: false,
        known: None,
    }));
    !finished.is_empty()
}

#[allow(clippy::cast_precision_loss, reason = "counts of some millions")]
fn print(what: &str, jobs: usize, took: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() * permille / 1000).min(times.len() - 1)];
    println!(
        "{what}: {:.0} jobs/s, call p50 {:?} p99 {:?} max {:?}",
        jobs as f64 / took.as_secs_f64(),
        at(500),
        at(990),
        at(1000)
    );
}

async fn adds(durability: &str, callers: usize, per_call: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), durability).await;
    add(&store, 1, JsonText::empty_object()).await;
    let start = instant();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < RUN {
                    let at = instant();
                    add(&store, per_call, JsonText::empty_object()).await;
                    times.push(at.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let what = format!("add, {durability}, {callers} callers, {per_call} per call");
    print(&what, times.len() * per_call, start.elapsed(), times);
    store.close().await.unwrap();
}

async fn cycles(durability: &str, callers: usize, waiting: usize, data_bytes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), durability).await;
    let data = JsonText::of(&"x".repeat(data_bytes)).unwrap();
    for _ in 0..waiting / 1_000 {
        add(&store, 1_000, data.clone()).await;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let start = instant();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, done) = (store.clone(), done.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut finished = Vec::new();
                while start.elapsed() < RUN {
                    let at = instant();
                    if !cycle(&store, &mut finished).await {
                        break;
                    }
                    times.push(at.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let what = format!(
        "finish + take, {durability}, {callers} callers, {waiting} jobs waiting, {data_bytes} bytes of data"
    );
    print(&what, done.load(Ordering::Relaxed), start.elapsed(), times);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures_of_adds() {
    for durability in ["process", "power"] {
        adds(durability, 1, 1).await;
        adds(durability, 100, 1).await;
        adds(durability, 1, 1_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures_of_cycles() {
    for durability in ["process", "power"] {
        cycles(durability, 1, 100_000, 10).await;
        cycles(durability, 100, 500_000, 10).await;
    }
    cycles("process", 100, 1_000_000, 10).await;
    cycles("process", 100, 200_000, 4_096).await;
}

// ------------------------------------------------------------------ several processes

const ROLE: &str = "OXMQ_TEST_ROLE";
const FOLDER: &str = "OXMQ_TEST_FOLDER";

fn other(role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["other_process", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdout(if role == "idle" { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "not a test: the other process of the figures"]
async fn other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let store = open(Path::new(&std::env::var_os(FOLDER).unwrap()), "process").await;
    match role.as_str() {
        "add 200 a second" => loop {
            add(&store, 1, JsonText::of(&micros().to_string()).unwrap()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        },
        "idle" => {
            let waits: Vec<_> = (0..10)
                .map(|number| {
                    let store = store.clone();
                    let queue = QueueAddress::new(format!("idle-{number}")).unwrap();
                    tokio::spawn(async move {
                        let request = WaitRequest { worker: None, timeout: Duration::from_secs(10) };
                        store.wait(&queue, request).await.unwrap()
                    })
                })
                .collect();
            let before = cpu_ticks();
            for wait in waits {
                wait.await.unwrap();
            }
            println!("10 waits for 10 s: {} ms of processor time", (cpu_ticks() - before) * 10);
        }
        other => panic!("{other}"),
    }
}

/// Hundredths of a second that this process has computed.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures_of_wake_ups() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), "process").await;
    let mut child = other("add 200 a second", folder.path());
    let mut times = Vec::new();
    let start = instant();
    while start.elapsed() < RUN {
        let taken = store.take(&queue(), demand()).await.unwrap();
        let Some(job) = taken.jobs.first() else {
            let request = WaitRequest { worker: None, timeout: Duration::from_secs(2) };
            store.wait(&queue(), request).await.unwrap();
            continue;
        };
        let began: u128 = job.job.data.read::<String>().unwrap().parse().unwrap();
        times.push(Duration::from_micros(u64::try_from(micros().saturating_sub(began)).unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    print("another process' add begins -> taken here, 200 a second", times.len(), start.elapsed(), times);
    assert!(other("idle", folder.path()).wait().unwrap().success());
}
