//! What a worker tells: to listeners, to the log, to other programs.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use oxmq_core::{HandlerError, Store, WorkerEvent};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::rig::{Rig, draft, ms, soon};

/// Keeps what is logged at the levels error and warn.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn failures_are_logged_also_when_nobody_listens() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let rig = Rig::new();
    let store: Arc<dyn Store> = rig.store.clone();
    let worker = oxmq_core::Worker::builder(&store, "q")
        .clock(rig.clock.clone())
        .handle_any(async |_: Value| Err::<(), _>("no such user"))
        .start()
        .unwrap();
    let id = rig.add_one(draft().with(|options| options.attempts = Some(2))).await;
    rig.until_state(&id, "failed").await;
    soon(worker.close()).await.unwrap();
    let lines = log.0.lock().unwrap().clone();
    let line = |level: &str| lines.iter().find(|line| line.starts_with(level)).cloned().unwrap_or_default();
    for part in ["a job failed", "queue=bull:q", "job=1", "attempt=2", "no such user"] {
        assert!(line("ERROR").contains(part), "{lines:#?}");
    }
    assert!(line("WARN").contains("attempt=1"), "{lines:#?}");
}

#[tokio::test]
async fn a_listener_that_panics_harms_nobody() {
    let rig = Rig::new();
    let worker = rig
        .worker()
        .on(|event| assert!(!matches!(event, WorkerEvent::Completed { .. }), "a listener's bug"))
        .handle_any(async |_: Value| Ok::<_, HandlerError>(()))
        .start()
        .unwrap();
    let ids = rig.add([draft(), draft()]).await;
    for id in &ids {
        rig.until_state(id, "completed").await;
    }
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_shows_itself_for_as_long_as_it_is_there() {
    let rig = Rig::new();
    let worker = rig
        .worker()
        .name("w1")
        .concurrency(7)
        .handle_any(async |_: Value| Ok::<_, HandlerError>(()))
        .start()
        .unwrap();
    let workers = async || rig.store.model.workers(&rig.queue, rig.clock.now()).await.unwrap();
    rig.until(async || workers().await.len() == 1).await;
    // Longer than an announcement holds.
    let before = rig.clock.now();
    rig.until_moving(ms(250), async || rig.clock.now() - before > ms(60_000)).await;
    rig.until(async || workers().await.len() == 1).await;
    let shown = workers().await.remove(0);
    assert_eq!((shown.id.as_str(), shown.name.as_deref()), (worker.handle().id(), Some("w1")));
    assert_eq!((shown.concurrency, shown.active, shown.pid), (7, 0, std::process::id()));
    assert!(!shown.host.is_empty() && shown.last_take_at.is_none());
    assert!(rig.store.count("sweep") >= 1, "and it sweeps meanwhile");
    soon(worker.close()).await.unwrap();
    assert!(workers().await.is_empty());
}
