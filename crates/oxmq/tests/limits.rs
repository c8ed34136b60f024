//! The limits of a whole queue, with many workers that share nothing but the store: never more jobs than it allows.
#![cfg(all(feature = "sqlite", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq::conformance::eventually;
use oxmq::{Clock, HandlerError, JobState, Queue, Store, Timestamp, Worker};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const WORKERS: usize = 4;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the handlers of all workers see.
#[derive(Default)]
struct Seen {
    running: AtomicUsize,
    most: AtomicUsize,
    starts: Mutex<Vec<Timestamp>>,
}

impl Seen {
    async fn run(self: Arc<Self>, time: Duration) -> Result<(), HandlerError> {
        self.starts.lock().unwrap().push(Clock::system().now());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        Clock::system().sleep(time).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Workers on stores of their own, as in processes of their own.
async fn workers(url: &str, seen: &Arc<Seen>, time: Duration) -> Vec<(Worker, Arc<dyn Store>)> {
    let mut all = Vec::new();
    for _ in 0..WORKERS {
        let store = oxmq::connect(url).await.unwrap();
        let seen = seen.clone();
        let handler = move |_: Value| seen.clone().run(time);
        let worker =
            Worker::builder(&store, "q").concurrency(10).metrics(60).handle_any(handler).start().unwrap();
        all.push((worker, store));
    }
    all
}

async fn add(queue: &Queue, count: u32) {
    for n in 0..count {
        queue.add_named("job", &n).await.unwrap();
    }
}

async fn close(workers: Vec<(Worker, Arc<dyn Store>)>) {
    for (worker, store) in workers {
        worker.close().await.unwrap();
        store.close().await.unwrap();
    }
}

async fn no_more_jobs_run_than_the_queue_allows(url: String) {
    let store = oxmq::connect(&url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    queue.set_global_concurrency(3).await.unwrap();
    let seen = Arc::new(Seen::default());
    let workers = workers(&url, &seen, ms(4)).await;
    add(&queue, 120).await;
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 120 }).await;
    assert_eq!(seen.most.load(Ordering::SeqCst), 3, "never more, and no fewer than it allows");
    assert_eq!(queue.metrics(JobState::Completed, 60).await.unwrap().total, 120);
    assert_eq!(queue.metrics(JobState::Failed, 60).await.unwrap().total, 0);

    // Without the limit, more run.
    queue.remove_global_concurrency().await.unwrap();
    add(&queue, 120).await;
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 240 }).await;
    assert!(seen.most.load(Ordering::SeqCst) > 3);
    close(workers).await;
}

async fn no_more_jobs_begin_than_the_rate_allows(url: String) {
    const MAX: usize = 5;
    const WINDOW: Duration = ms(300);
    let store = oxmq::connect(&url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    queue.set_global_rate_limit(u32::try_from(MAX).unwrap(), WINDOW).await.unwrap();
    let seen = Arc::new(Seen::default());
    let workers = workers(&url, &seen, ms(1)).await;
    add(&queue, 30).await;
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 30 }).await;
    close(workers).await;
    let mut starts = std::mem::take(&mut *seen.starts.lock().unwrap());
    starts.sort();
    // Two windows that touch hold twice as many; a job begins a moment after it was taken.
    for some in starts.windows(2 * MAX + 1) {
        assert!(some[2 * MAX] - some[0] + ms(100) > WINDOW, "{starts:?}");
    }
    // Six windows were needed, of which five were over.
    assert!(starts[29] - starts[0] + ms(100) > 5 * WINDOW, "{starts:?}");
}

async fn whoever_waits_for_a_place_hears_of_it(url: String) {
    let store = oxmq::connect(&url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    queue.set_global_concurrency(1).await.unwrap();
    let (seen, slow) = (Arc::new(Seen::default()), oxmq::connect(&url).await.unwrap());
    let holds = {
        let seen = seen.clone();
        move |_: Value| seen.clone().run(ms(400))
    };
    let first = Worker::builder(&slow, "q").handle_any(holds).start().unwrap();
    add(&queue, 1).await;
    eventually(PATIENCE, || async { queue.counts().await.unwrap().active == 1 }).await;
    let others = workers(&url, &seen, ms(1)).await;
    add(&queue, 1).await;
    // The first worker ends its job, and takes no other one.
    first.close().await.unwrap();
    let freed = Clock::system().now();
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 2 }).await;
    let started = seen.starts.lock().unwrap()[1];
    // Not only at the next look, which is every second.
    assert!(started - freed < ms(350), "{:?}", started - freed);
    assert_eq!(seen.most.load(Ordering::SeqCst), 1);
    close(others).await;
}

macro_rules! cases {
    ($($case:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$case(format!("sqlite:{}", folder.path().join("jobs.db").display())).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(oxmq_testkit::Server::shared().fresh_url()).await;
                }
            )*
        }
    };
}

cases! {
    no_more_jobs_run_than_the_queue_allows
    no_more_jobs_begin_than_the_rate_allows
    whoever_waits_for_a_place_hears_of_it
}
