//! A worker of ours in a process of its own, to be killed: its settings are one JSON argument, its diary is on stdout,
//! and it ends when its stdin does.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the tests")]

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use oxmq_core::store::Gate;
use oxmq_core::{JobContext, Worker, WorkerEvent};
use oxmq_interop::processors::{self, Diary};
use oxmq_redis::RedisStore;
use serde_json::{Value, json};

#[tokio::main]
async fn main() {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).unwrap()).unwrap();
    let ms = |name: &str| Duration::from_millis(settings[name].as_u64().unwrap());
    let url = std::env::var("OXMQ_INTEROP_URL").unwrap();
    let store = Gate::before(Arc::new(RedisStore::open(&url).await.unwrap()));
    let diary = Arc::<Diary>::default();
    let tells = settings["tells"] == true;
    let worker = Worker::builder(&store, settings["queue"].as_str().unwrap())
        .concurrency(settings["concurrency"].as_u64().unwrap().try_into().unwrap())
        .lease(ms("lock"))
        .stall_check(ms("stallCheck"))
        .max_stalled(settings["maxStalled"].as_u64().unwrap().try_into().unwrap())
        .poll(ms("stallCheck"))
        .retry_delay(ms("stallCheck"))
        .name("rust")
        .on(|event| {
            if let WorkerEvent::Error { error } = event {
                tell(&json!({ "event": "error", "message": error.to_string() }));
            }
        })
        .handle_any(move |data: Value, context: JobContext| {
            if tells {
                tell(&json!({ "event": "run", "jobId": context.job().id.as_str() }));
            }
            processors::work(diary.clone(), data, context)
        })
        .start()
        .unwrap();
    let ended = tokio::task::spawn_blocking(|| for _ in std::io::stdin().lock().lines() {});
    worker.run_until(async { ended.await.unwrap() }).await.unwrap();
}

/// One line; nobody is there to read it when the test is over.
fn tell(line: &Value) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
