//! Instruction counts of what every job passes through, without a store: they are the same on a quiet and on a noisy machine.
//!
//! Run by `cargo xtask bench`, which compares them with `baseline.txt`.
//!
//! Each function does its work a hundred times or more, so that what surrounds it does not show.

#![allow(missing_docs, reason = "the macros make public items")]
#![allow(clippy::unwrap_used, reason = "what is set up here is right")]

mod null_store;

use std::hint::black_box;
use std::sync::Arc;

use gungraun::prelude::*;
use oxmq_core::internals::{ending_of_failure, ending_of_success};
use oxmq_core::{
    Ending, HandlerError, Job, JobOptions, JsonText, QueueAddress, Store, StoredEvent, Timestamp, Worker,
    WorkerEvent,
};
use oxmq_redis::internals::{event, keys, options_from_wire, options_to_wire};
use redis::Value;
use serde::de::IgnoredAny;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::null_store::NullStore;

/// How often each pure part is done.
const TIMES: usize = 100;
/// Jobs that go through the engine.
const JOBS: usize = 1_000;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const RICH: &str = r#"{"attempts":5,"backoff":{"type":"exponential","delay":1000},"delay":60000,"priority":3,"keepLogs":10,"removeOnComplete":{"age":3600,"count":1000},"deduplication":{"id":"x","ttl":5000}}"#;

fn options(json: &str) -> JobOptions {
    JobOptions::parse(json).unwrap()
}

#[library_benchmark]
#[bench::plain(options("{}"))]
#[bench::rich(options(RICH))]
fn encode_options(options: JobOptions) {
    for _ in 0..TIMES {
        black_box(options_to_wire(black_box(&options)));
    }
}

#[library_benchmark]
#[bench::plain(options_to_wire(&options("{}")))]
#[bench::rich(options_to_wire(&options(RICH)))]
fn decode_options(stored: String) {
    for _ in 0..TIMES {
        let text = options_from_wire(black_box(stored.clone()));
        black_box(JobOptions::stored(&text));
    }
}

fn address() -> QueueAddress {
    QueueAddress::with_prefix("bull", "emails").unwrap()
}

#[library_benchmark]
#[bench::all(address())]
fn build_keys(address: QueueAddress) {
    for _ in 0..TIMES {
        black_box(keys(black_box(&address)));
    }
}

fn job() -> (Job, JobOptions) {
    let mut job = Job::new("1".into(), "job".into(), JsonText::stored(r#"{"a":1}"#), JsonText::stored(RICH));
    job.attempts_started = 1;
    let options = job.options();
    (job, options)
}

#[library_benchmark]
#[bench::success(job())]
fn decide_success((job, options): (Job, JobOptions)) -> Option<Ending> {
    let mut last = None;
    for _ in 0..TIMES {
        last = Some(black_box(ending_of_success(&job, &options, JsonText::null(), NOW)));
    }
    last
}

#[library_benchmark]
#[bench::retry(job())]
fn decide_failure((job, options): (Job, JobOptions)) -> Option<Ending> {
    let mut last = None;
    for _ in 0..TIMES {
        last = Some(black_box(ending_of_failure(&job, &options, HandlerError::fail("no"), NOW)));
    }
    last
}

fn entry() -> Value {
    let text = |text: &str| Value::BulkString(text.into());
    let fields = ["event", "completed", "jobId", "12345", "returnvalue", r#"{"ok":true}"#, "prev", "active"];
    Value::Array(vec![text("1700000000000-3"), Value::Array(fields.map(text).to_vec())])
}

#[library_benchmark]
#[bench::completed(entry())]
fn decode_event(entry: Value) -> Option<StoredEvent> {
    let mut last = None;
    for _ in 0..TIMES {
        last = black_box(event(black_box(entry.clone())));
    }
    last
}

/// A runtime of one thread, and a store that has [`JOBS`] jobs to give. The duties of the worker have a thread of their
/// own, which is not counted.
fn rig() -> (Runtime, Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    (runtime, Arc::new(NullStore::with_jobs(JOBS)))
}

#[library_benchmark]
#[bench::c1(rig(), 1)]
#[bench::c100(rig(), 100)]
fn engine_loop((runtime, store): (Runtime, Arc<dyn Store>), concurrency: usize) {
    runtime.block_on(async {
        let (sender, done) = oneshot::channel();
        let (sender, left) = (std::sync::Mutex::new(Some(sender)), std::sync::atomic::AtomicUsize::new(JOBS));
        let worker = Worker::builder(&store, "q").concurrency(concurrency).on(move |event| {
            if matches!(event, WorkerEvent::Completed { .. })
                && left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1
                && let Some(sender) = sender.lock().unwrap().take()
            {
                sender.send(()).unwrap();
            }
        });
        let worker = worker.handle_any(|_: IgnoredAny| async { Ok::<_, String>(()) }).start().unwrap();
        done.await.unwrap();
        worker.close().await.unwrap();
    });
}

library_benchmark_group!(
    name = pure,
    benchmarks = [encode_options, decode_options, build_keys, decide_success, decide_failure, decode_event]
);
library_benchmark_group!(name = engine, benchmarks = [engine_loop]);

main!(library_benchmark_groups = pure, engine);
