//! Several processes on one file, and processes that are killed.
//!
//! The other processes are this test binary, which runs [`other_process`] alone.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oxmq_core::store::{
    AddGroup, AddRequest, Finish, FinishRequest, Idle, JobsRequest, Limit, LimitRequest, TakeRequest, Taken,
    WaitRequest, Woken,
};
use oxmq_core::{
    Clock, Ending, JobId, JobOptions, JobState, JsonText, NewJob, Order, QueueAddress, Retention, Store,
    Token,
};
use oxmq_sqlite::SqliteStore;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const ROLE: &str = "OXMQ_TEST_ROLE";
const FILE: &str = "OXMQ_TEST_FILE";

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    (folder, path)
}

async fn open(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&format!("sqlite:{}", path.display())).await.unwrap())
}

fn queue() -> QueueAddress {
    QueueAddress::new("tasks").unwrap()
}

async fn add(store: &SqliteStore, count: usize) -> Vec<JobId> {
    let job = NewJob { name: "work".into(), data: JsonText::empty_object(), options: JobOptions::default() };
    let groups = vec![AddGroup { jobs: vec![job; count] }];
    let now = Clock::system().now();
    let mut answers = store.add(&queue(), AddRequest { groups, now }).await.unwrap();
    answers.remove(0).unwrap().into_iter().map(|added| added.id).collect()
}

fn demand(limit: usize, token: &str) -> TakeRequest {
    TakeRequest {
        limit,
        token: Token::new(token),
        lease_for: Duration::from_secs(30),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: Clock::system().now(),
    }
}

/// Completes what was taken and takes again.
async fn exchange(store: &SqliteStore, last: Taken, limit: usize, token: &str) -> Taken {
    let finished = last.jobs.into_iter().map(|job| Finish {
        lease: job.lease,
        ending: Ending::Completed { return_value: JsonText::null(), keep: Retention::ALL },
        heeds_cancel: false,
        known: None,
    });
    let now = Clock::system().now();
    let request =
        FinishRequest { finished: finished.collect(), take: Some(demand(limit, token)), metrics: None, now };
    let answer = store.finish(&queue(), request).await.unwrap();
    for ended in answer.answers {
        assert_eq!(ended.unwrap(), Some(JobState::Completed));
    }
    answer.taken.unwrap()
}

fn other(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["other_process", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the other process told, without what the test harness says.
fn told(line: &str) -> Option<&str> {
    line.strip_prefix("> ")
}

fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    // The test harness may have begun a line.
    writeln!(out, "\n> {text}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
#[ignore = "not a test: the other process of these tests"]
async fn other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let store = open(Path::new(&std::env::var_os(FILE).unwrap())).await;
    match role.as_str() {
        "add one" => {
            add(&store, 1).await;
            store.close().await.unwrap();
        }
        "work" => {
            let token = format!("{}:0", std::process::id());
            let mut given = store.take(&queue(), demand(7, &token)).await.unwrap();
            loop {
                for job in &given.jobs {
                    tell(job.job.id.as_str());
                }
                if given.jobs.is_empty() {
                    let request = WaitRequest { worker: None, timeout: Duration::from_millis(1_500) };
                    if store.wait(&queue(), request).await.unwrap() == Woken::TimedOut {
                        break;
                    }
                }
                given = exchange(&store, given, 7, &token).await;
            }
            store.close().await.unwrap();
        }
        "take one and end it" => {
            let taken = store.take(&queue(), demand(1, "other:0")).await.unwrap();
            tell(taken.jobs[0].job.id.as_str());
            Clock::system().sleep(Duration::from_millis(300)).await;
            let finished = taken.jobs.into_iter().map(|job| Finish {
                lease: job.lease,
                ending: Ending::Completed { return_value: JsonText::null(), keep: Retention::ALL },
                heeds_cancel: false,
                known: None,
            });
            let finished = finished.collect();
            let request = FinishRequest { finished, take: None, metrics: None, now: Clock::system().now() };
            store.finish(&queue(), request).await.unwrap();
            store.close().await.unwrap();
        }
        "add for ever" => {
            let adders: Vec<_> = (0..8)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        while store.describe().starts_with("sqlite:") {
                            for id in add(&store, 3).await {
                                tell(id.as_str());
                            }
                        }
                    })
                })
                .collect();
            // They end when the process is killed.
            for adder in adders {
                let () = adder.await.unwrap();
            }
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_or_given_twice_between_processes() {
    const JOBS: usize = 3_000;
    let (_folder, path) = file();
    let store = open(&path).await;
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let mut child = other("work", &path);
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let reader = std::thread::spawn(move || {
                lines.filter_map(|line| told(&line.unwrap()).map(str::to_owned)).collect::<Vec<_>>()
            });
            (child, reader)
        })
        .collect();
    for _ in 0..JOBS / 10 {
        add(&store, 10).await;
        tokio::task::yield_now().await;
    }
    let mut given = Vec::new();
    for (mut child, reader) in workers {
        assert!(child.wait().unwrap().success());
        given.extend(reader.join().unwrap());
    }
    assert_eq!(given.len(), JOBS);
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), JOBS, "one was given twice");
    let counts = store.counts(&queue(), Clock::system().now()).await.unwrap();
    assert_eq!((counts.completed, counts.total()), (JOBS as u64, JOBS as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_another_process_adds() {
    let (_folder, path) = file();
    let store = open(&path).await;
    for _ in 0..3 {
        let taken = store.take(&queue(), demand(5, "here:0")).await.unwrap();
        assert_eq!(taken.idle, Some(Idle::Empty { next_due: None }));
        let mut child = other("add one", &path);
        let woken = store.wait(&queue(), WaitRequest { worker: None, timeout: PATIENCE }).await.unwrap();
        assert_eq!(woken, Woken::Look);
        let taken = store.take(&queue(), demand(1, "here:0")).await.unwrap();
        assert_eq!(taken.jobs.len(), 1, "the wake-up comes after the commit");
        assert!(child.wait().unwrap().success());
    }
}

async fn at_most(store: &SqliteStore, most: u32) {
    let request = LimitRequest { limit: Limit::Concurrency(Some(most)), now: Clock::system().now() };
    store.limit(&queue(), request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_jobs_are_active_than_allowed_in_all_processes_together() {
    const JOBS: usize = 600;
    let (_folder, path) = file();
    let store = open(&path).await;
    at_most(&store, 3).await;
    for _ in 0..JOBS / 100 {
        add(&store, 100).await;
    }
    let workers: Vec<Child> = (0..3).map(|_| other("work", &path)).collect();
    let mut most = 0;
    let end = Clock::system().now() + PATIENCE;
    loop {
        let counts = store.counts(&queue(), Clock::system().now()).await.unwrap();
        most = most.max(counts.active);
        if counts.completed == JOBS as u64 {
            break;
        }
        assert!(Clock::system().now() < end, "{counts:?}");
    }
    assert_eq!(most, 3);
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_another_process_frees_a_place() {
    let (_folder, path) = file();
    let store = open(&path).await;
    at_most(&store, 1).await;
    add(&store, 2).await;
    let mut child = other("take one and end it", &path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| told(line.as_ref().unwrap()).is_some()).unwrap().unwrap();
    assert_eq!(store.take(&queue(), demand(1, "here:0")).await.unwrap().idle, Some(Idle::Full));
    let woken = store.wait(&queue(), WaitRequest { worker: None, timeout: PATIENCE }).await.unwrap();
    assert_eq!(woken, Woken::Look);
    assert_eq!(store.take(&queue(), demand(1, "here:0")).await.unwrap().jobs.len(), 1);
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_kill_of_the_process() {
    for round in 0..4 {
        let (_folder, path) = file();
        let mut child = other("add for ever", &path);
        let mut acknowledged = BTreeSet::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(id) = told(&line.unwrap()).map(str::to_owned) else { continue };
            acknowledged.insert(id);
            if acknowledged.len() == 500 * (round + 1) {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = open(&path).await;
        let mut there = BTreeSet::new();
        loop {
            let request = JobsRequest {
                states: vec![JobState::Waiting],
                offset: there.len() as u64,
                limit: 1_000,
                order: Order::Ascending,
            };
            let page = store.jobs(&queue(), request).await.unwrap();
            if page.jobs.is_empty() {
                break;
            }
            there.extend(page.jobs.into_iter().map(|view| view.job.id.to_string()));
        }
        assert!(acknowledged.is_subset(&there), "{} of {} are there", there.len(), acknowledged.len());
        store.close().await.unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}
