//! A queue on a faulty store, a manual clock, and what workers told.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use oxmq_core::conformance::{Draft, draft, ms};
use oxmq_core::store::{AddGroup, AddRequest};
use oxmq_core::{
    Clock, ClockHand, JobCounts, JobId, JobView, QueueAddress, Store, Timestamp, Worker, WorkerBuilder,
    WorkerEvent,
};

use crate::faulty::FaultyStore;

/// The longest that anything here may take, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Rig {
    pub store: Arc<FaultyStore>,
    pub queue: QueueAddress,
    pub clock: Clock,
    pub hand: ClockHand,
    pub told: Arc<Mutex<Vec<WorkerEvent>>>,
}

impl Rig {
    pub fn new() -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let queue = QueueAddress::new("q").unwrap();
        Self { store: FaultyStore::new(), queue, clock, hand, told: Arc::default() }
    }

    /// A worker on the manual clock whose events are kept.
    pub fn worker(&self) -> WorkerBuilder {
        let store: Arc<dyn Store> = self.store.clone();
        let told = self.told.clone();
        Worker::builder(&store, self.queue.name())
            .clock(self.clock.clone())
            .on(move |event| told.lock().unwrap().push(event.clone()))
    }

    pub async fn add(&self, jobs: impl IntoIterator<Item = Draft>) -> Vec<JobId> {
        let jobs: Vec<_> = jobs.into_iter().map(|draft| draft.0).collect();
        let request = AddRequest { groups: vec![AddGroup { jobs }], now: self.clock.now() };
        let mut added = self.store.model.add(&self.queue, request).await.unwrap();
        added.remove(0).unwrap().into_iter().map(|added| added.id).collect()
    }

    pub async fn add_one(&self, job: Draft) -> JobId {
        self.add([job]).await.remove(0)
    }

    pub async fn job(&self, id: &JobId) -> JobView {
        self.store.model.job(&self.queue, id).await.unwrap().expect("the job is there")
    }

    pub async fn counts(&self) -> JobCounts {
        self.store.model.counts(&self.queue, self.clock.now()).await.unwrap()
    }

    /// Waits until a job is in a state, named as BullMQ does.
    pub async fn until_state(&self, id: &JobId, state: &str) -> JobView {
        self.until(async || self.job(id).await.state.as_str() == state).await;
        self.job(id).await
    }

    pub async fn until(&self, condition: impl AsyncFnMut() -> bool) {
        self.until_moving(Duration::ZERO, condition).await;
    }

    /// Waits for a condition while the clock is moved, a step each time it is looked at.
    pub async fn until_moving(&self, step: Duration, mut condition: impl AsyncFnMut() -> bool) {
        let real = Clock::system();
        let end = real.now() + PATIENCE;
        while !condition().await {
            assert!(real.now() < end, "it did not happen; told: {:#?}", self.names());
            self.hand.advance(step);
            real.sleep(ms(1)).await;
        }
    }

    /// The names of all that was told, in order.
    pub fn names(&self) -> Vec<String> {
        let word =
            |event: &WorkerEvent| format!("{event:?}").split([' ', '{', '(']).next().unwrap_or("").to_owned();
        self.told.lock().unwrap().iter().map(word).collect()
    }

    pub fn told(&self, name: &str) -> usize {
        self.names().iter().filter(|other| *other == name).count()
    }

    pub async fn until_told(&self, name: &str, count: usize) {
        self.until(async || self.told(name) >= count).await;
    }
}

/// Something must happen soon, in real time.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    Clock::system().timeout(PATIENCE, work).await.expect("it did not happen")
}

/// A gate that handlers wait at.
#[derive(Clone, Default)]
pub struct Barrier(Arc<tokio_util::sync::CancellationToken>);

impl Barrier {
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    pub fn open(&self) {
        self.0.cancel();
    }
}

pub fn reason(view: &JobView) -> &str {
    view.job.failed_reason.as_deref().unwrap_or("none")
}
