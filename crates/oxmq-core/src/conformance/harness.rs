//! What the cases run on: a store under test, a clock that is moved by hand, and short words for the intents.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{JobId, JobKey, QueueAddress, Token};
use crate::clock::{Clock, ClockHand, Timestamp};
use crate::deduplication::Deduplication;
use crate::error::{ErrorKind, Result};
use crate::events::{Event, EventCursor};
use crate::family::ChildFailure;
use crate::job::{JobView, Lease, LeasedJob, NewJob};
use crate::json::JsonText;
use crate::options::{JobOptions, Retention};
use crate::outcome::{Ending, Failure};
use crate::state::JobState;
use crate::store::{
    AddFlowRequest, AddGroup, AddRequest, Added, AnnounceRequest, CancelAnswer, CancelRequest, Change,
    ChildKind, ChildOutcome, ChildrenRequest, CleanRequest, DetachRequest, EventsRequest, Finish,
    FinishRequest, Finished, Flow, FlowNode, JobCounts, JobsRequest, Limit, LimitRequest, Note, NoteRequest,
    OnRefusal, Order, OwnerRequest, PromoteRequest, QueueLimits, RecoverRequest, ReleaseRequest,
    RemoveAnswer, RemoveRequest, RemoveScope, RescheduleRequest, RetryRequest, Step, Store, TakeRequest,
    Taken, WorkerInfo,
};

/// How long leases last in the cases.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often the cases recover.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// How long a case waits in real time for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a case waits in real time for what must not happen.
pub const MOMENT: Duration = Duration::from_millis(60);

/// A store under test. Make a new one, with nothing in it, for each case.
pub trait Bench: Send + Sync + 'static {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Tells the store that the suite's clock moved by `by`. For stores whose data expires by itself in real time,
    /// which then make it older by as much; nothing to do for those that go by the `now` of each call.
    fn advance(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let _ = by;
        Box::pin(async {})
    }
}

/// Any store can be a bench if there is nothing else to hold.
impl<S: Store> Bench for Arc<S> {
    fn store(&self) -> Arc<dyn Store> {
        Self::clone(self)
    }
}

/// A bench and a manual clock.
pub struct Harness {
    bench: Box<dyn Bench>,
    store: Arc<dyn Store>,
    clock: Clock,
    hand: ClockHand,
}

/// A queue of a harness.
pub struct On<'a> {
    pub harness: &'a Harness,
    pub address: QueueAddress,
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Harness({:?} at {:?})", self.store, self.clock)
    }
}

/// Runs a case on a runtime of its own.
pub fn block_on<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(case)
}

/// Looks again and again, for at most `deadline` of real time, until `condition` holds. The only place that polls.
pub async fn eventually<F: Future<Output = bool>>(deadline: Duration, mut condition: impl FnMut() -> F) {
    let clock = Clock::system();
    let end = clock.now() + deadline;
    while !condition().await {
        assert!(clock.now() < end, "it did not happen within {deadline:?}");
        clock.sleep(Duration::from_millis(2)).await;
    }
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Harness {
    pub fn new(bench: impl Bench) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        Self { store: bench.store(), bench: Box::new(bench), clock, hand }
    }

    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, to be held by workers.
    pub fn store_handle(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock. What the store has expires first: nothing that is made at the new time is made older.
    pub async fn advance(&self, by: Duration) {
        self.bench.advance(by).await;
        self.hand.advance(by);
    }

    /// The queue `name` under the default prefix.
    pub fn on(&self, name: &str) -> On<'_> {
        On { harness: self, address: QueueAddress::new(name).unwrap() }
    }

    /// Adds flows; an answer for each.
    pub async fn add_flows(&self, trees: impl IntoIterator<Item = Tree>) -> Vec<Result<Vec<Added>>> {
        let flows = trees.into_iter().map(Tree::flow).collect();
        let request = AddFlowRequest { flows, on_refusal: OnRefusal::UndoFlow, now: self.now() };
        self.store().add_flow(request).await.unwrap()
    }

    /// Adds a flow that must be taken.
    pub async fn add_flow(&self, tree: Tree) -> Vec<Added> {
        self.add_flows([tree]).await.remove(0).unwrap()
    }

    /// The queue that cases use which need only one.
    pub fn queue(&self) -> On<'_> {
        self.on("tasks")
    }
}

/// A job to be added, with what is to be set.
#[derive(Debug, Clone)]
pub struct Draft(pub NewJob);

/// A job without any options.
pub fn draft() -> Draft {
    let (name, data) = ("work".into(), JsonText::empty_object());
    Draft(NewJob { name, data, options: JobOptions::default() })
}

impl Draft {
    #[must_use]
    pub fn with(mut self, set: impl FnOnce(&mut JobOptions)) -> Self {
        set(&mut self.0.options);
        self
    }

    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.0.name = name.into();
        self
    }

    #[must_use]
    pub fn data(mut self, json: &str) -> Self {
        self.0.data = JsonText::parse(json).unwrap();
        self
    }

    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.with(|options| options.job_id = Some(JobId::chosen(id).unwrap()))
    }

    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.with(|options| options.priority = Some(priority))
    }

    #[must_use]
    pub fn lifo(self) -> Self {
        self.with(|options| options.lifo = Some(true))
    }

    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|options| options.delay = Some(delay))
    }

    #[must_use]
    pub fn once(self, deduplication: Deduplication) -> Self {
        self.with(|options| options.deduplication = Some(deduplication))
    }

    #[must_use]
    pub fn parent(self, queue: &On<'_>, id: &str) -> Self {
        self.with(|options| options.parent = Some(queue.key(id)))
    }

    #[must_use]
    pub fn on_failure(self, choice: ChildFailure) -> Self {
        self.with(|options| options.on_failure = Some(choice))
    }

    #[must_use]
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        self.with(|options| options.timestamp = Some(timestamp))
    }
}

/// A tree of jobs to be added.
#[derive(Debug, Clone)]
pub struct Tree {
    node: FlowNode,
    children: Vec<Self>,
}

/// A job without any options, as part of a flow.
pub fn tree(queue: &On<'_>, id: &str) -> Tree {
    let node = FlowNode { queue: queue.address.clone(), id: JobId::from(id), job: draft().0, parent: None };
    Tree { node, children: Vec::new() }
}

impl Tree {
    #[must_use]
    pub fn with(mut self, set: impl FnOnce(Draft) -> Draft) -> Self {
        self.node.job = set(Draft(self.node.job)).0;
        self
    }

    /// What its failure does to its parent.
    #[must_use]
    pub fn on_failure(self, choice: ChildFailure) -> Self {
        self.with(|draft| draft.on_failure(choice))
    }

    #[must_use]
    pub fn over(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The nodes, breadth first.
    pub fn flow(self) -> Flow {
        let mut nodes = Vec::new();
        let mut level = vec![(None, self)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (parent, tree) in level {
                let place = nodes.len();
                nodes.push(FlowNode { parent, ..tree.node });
                next.extend(tree.children.into_iter().map(|child| (Some(place), child)));
            }
            level = next;
        }
        Flow { nodes }
    }
}

/// A completion that keeps the job.
pub fn completed() -> Ending {
    completed_keeping(Retention::ALL)
}

pub fn completed_keeping(keep: Retention) -> Ending {
    Ending::Completed { return_value: JsonText::null(), keep }
}

/// A failure for good, of a job that had one try.
pub fn failed(reason: &str) -> Ending {
    failed_keeping(reason, Retention::ALL)
}

pub fn failed_keeping(reason: &str, keep: Retention) -> Ending {
    Ending::Failed { failure: failure(reason), attempts: 1, keep }
}

pub fn failure(reason: &str) -> Failure {
    Failure { reason: reason.into(), stacktrace: None }
}

/// A failure that is tried again, at once or at a time.
pub fn again(at: Option<Timestamp>) -> Ending {
    Ending::Retry { failure: failure("boom"), at }
}

/// The ending of a job that was taken.
pub fn finish(job: &LeasedJob, ending: Ending) -> Finish {
    Finish { lease: job.lease.clone(), ending, heeds_cancel: false, known: job.job.known() }
}

/// The ids of jobs that were taken, separated by blanks.
pub fn ids(jobs: &[LeasedJob]) -> String {
    words(jobs.iter().map(|job| job.job.id.as_str()))
}

/// Words, separated by blanks.
pub fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// An event as text: `waiting 1 prev=active`, `cleaned count=2`.
pub fn spell(event: &Event) -> String {
    let mut text = event.name().to_owned();
    for (field, value) in event.fields() {
        text.push(' ');
        if field != "jobId" {
            text.push_str(field);
            text.push('=');
        }
        text.push_str(&value);
    }
    text
}

/// That an answer is an error of this kind.
#[track_caller]
pub fn refused<T: fmt::Debug>(answer: Result<T>, kind: ErrorKind) {
    match answer {
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
        Ok(answer) => panic!("{answer:?}, but it must be refused as {kind}"),
    }
}

/// What a worker says of itself.
pub fn worker(id: &str, name: Option<&str>) -> WorkerInfo {
    WorkerInfo {
        id: id.into(),
        name: name.map(Into::into),
        host: "here".into(),
        pid: 1,
        version: "0.1.0".into(),
        concurrency: 1,
        active: 0,
        started_at: 1_700_000_000_000,
        last_take_at: None,
    }
}

impl On<'_> {
    pub fn store(&self) -> &dyn Store {
        self.harness.store()
    }

    pub fn now(&self) -> Timestamp {
        self.harness.now()
    }

    pub async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
    }

    /// A job of this queue.
    pub fn key(&self, id: &str) -> JobKey {
        JobKey::new(self.address.clone(), id)
    }

    // ---------------------------------------------------------------- produce

    /// Adds jobs as one group.
    pub async fn add_all(&self, drafts: impl IntoIterator<Item = Draft>) -> Vec<Added> {
        self.add_groups([drafts.into_iter().collect()]).await.remove(0).unwrap()
    }

    pub async fn add_groups(&self, groups: impl IntoIterator<Item = Vec<Draft>>) -> Vec<Result<Vec<Added>>> {
        let groups =
            groups.into_iter().map(|group| AddGroup { jobs: group.into_iter().map(|d| d.0).collect() });
        let request = AddRequest { groups: groups.collect(), now: self.now() };
        self.store().add(&self.address, request).await.unwrap()
    }

    /// Adds one job; its id.
    pub async fn add(&self, draft: Draft) -> JobId {
        self.add_all([draft]).await.remove(0).id
    }

    /// Adds one job; what became of it.
    pub async fn try_add(&self, draft: Draft) -> Added {
        self.add_all([draft]).await.remove(0)
    }

    /// The owner of a deduplication id.
    pub async fn owner(&self, id: &str) -> Option<JobId> {
        let request = OwnerRequest { id: id.into(), now: self.now() };
        self.store().deduplication_owner(&self.address, request).await.unwrap()
    }

    /// Frees a deduplication id.
    pub async fn release(&self, id: &str, only_if_owner: Option<&JobId>) -> bool {
        let only_if_owner = only_if_owner.cloned();
        let request = ReleaseRequest { id: id.into(), only_if_owner, now: self.now() };
        self.store().release_deduplication(&self.address, request).await.unwrap()
    }

    /// Adds as many jobs without options.
    pub async fn add_many(&self, count: usize) -> Vec<JobId> {
        let added = self.add_all(std::iter::repeat_n(draft(), count)).await;
        added.into_iter().map(|added| added.id).collect()
    }

    // ---------------------------------------------------------------- work

    /// A demand for `limit` jobs by the token `w:1`.
    pub fn demand(&self, limit: usize) -> TakeRequest {
        TakeRequest {
            limit,
            token: Token::new("w:1"),
            lease_for: LEASE,
            worker: None,
            rate_limit: None,
            until_needs_rate: false,
            now: self.now(),
        }
    }

    pub async fn take_by(&self, request: TakeRequest) -> Taken {
        self.store().take(&self.address, request).await.unwrap()
    }

    /// Takes up to `limit` jobs by the token `w:1`.
    pub async fn take(&self, limit: usize) -> Taken {
        self.take_by(self.demand(limit)).await
    }

    /// Takes up to `limit` jobs by `token`.
    pub async fn take_as(&self, token: &str, limit: usize) -> Vec<LeasedJob> {
        self.take_by(TakeRequest { token: Token::new(token), ..self.demand(limit) }).await.jobs
    }

    /// Takes one job that must be there.
    pub async fn take_one(&self) -> LeasedJob {
        let mut taken = self.take(1).await;
        assert_eq!(taken.jobs.len(), 1, "there is a job to take: {:?}", taken.idle);
        taken.jobs.remove(0)
    }

    /// Takes everything that is there; the ids in order.
    pub async fn take_rest(&self) -> String {
        ids(&self.take(1_000).await.jobs)
    }

    pub async fn finish_by(&self, finished: Vec<Finish>, take: Option<TakeRequest>) -> Finished {
        let request = FinishRequest { finished, take, metrics: None, now: self.now() };
        self.store().finish(&self.address, request).await.unwrap()
    }

    /// Ends one job; the state it is in then.
    pub async fn finish(&self, job: &LeasedJob, ending: Ending) -> Result<Option<JobState>> {
        self.finish_by(vec![finish(job, ending)], None).await.answers.remove(0)
    }

    /// Takes a job that must be there, and ends it; its id.
    pub async fn run_one(&self, ending: Ending) -> JobId {
        let job = self.take_one().await;
        self.finish(&job, ending).await.unwrap();
        job.job.id
    }

    /// Lets the leases of now run out, and recovers; the ids.
    pub async fn recover(&self, max_stalled: u32) -> Vec<JobId> {
        self.advance(LEASE + INTERVAL + ms(1)).await;
        let request = RecoverRequest { max_stalled, interval: INTERVAL, now: self.now() };
        self.store().recover(&self.address, request).await.unwrap().stalled
    }

    /// Whether the store finds nothing to be done in the queue, now.
    pub async fn is_empty(&self) -> bool {
        let request = RecoverRequest { max_stalled: 1, interval: INTERVAL, now: self.now() };
        self.store().recover(&self.address, request).await.unwrap().empty
    }

    pub async fn note(&self, id: &JobId, note: Note) -> Result<u64> {
        self.store().note(&self.address, NoteRequest { job: id.clone(), note, now: self.now() }).await
    }

    pub async fn log(&self, id: &JobId, line: &str, keep: Option<u32>) -> u64 {
        self.note(id, Note::Log { line: line.into(), keep }).await.unwrap()
    }

    pub async fn announce(&self, worker: WorkerInfo, ttl: Duration) {
        let request = AnnounceRequest { worker, ttl, renews: false, now: self.now() };
        self.store().announce(&self.address, request).await.unwrap();
    }

    /// Announces a worker that did so before.
    pub async fn renew(&self, worker: WorkerInfo, ttl: Duration) {
        let request = AnnounceRequest { worker, ttl, renews: true, now: self.now() };
        self.store().announce(&self.address, request).await.unwrap();
    }

    // ---------------------------------------------------------------- steer

    pub async fn cancel(&self, id: &JobId, reason: &str) -> Result<CancelAnswer> {
        let request = CancelRequest { job: id.clone(), reason: reason.into(), now: self.now() };
        self.store().cancel(&self.address, request).await
    }

    pub async fn promote(&self, id: &JobId) -> Result<Step> {
        let request = PromoteRequest::One { job: id.clone(), now: self.now() };
        self.store().promote(&self.address, request).await
    }

    /// Runs a finished job again; its counters stay.
    pub async fn retry(&self, id: &JobId, state: JobState) -> Result<Step> {
        let request = RetryRequest::One {
            job: id.clone(),
            state,
            reset_attempts_made: false,
            reset_attempts_started: false,
            now: self.now(),
        };
        self.store().retry(&self.address, request).await
    }

    pub async fn reschedule(&self, id: &JobId, change: Change) -> Result<()> {
        let request = RescheduleRequest { job: id.clone(), change, now: self.now() };
        self.store().reschedule(&self.address, request).await
    }

    pub async fn remove(&self, id: &JobId) -> RemoveAnswer {
        self.remove_as(id, RemoveScope::JobOnly).await
    }

    pub async fn remove_as(&self, id: impl Into<JobId>, scope: RemoveScope) -> RemoveAnswer {
        let request = RemoveRequest { job: id.into(), scope, now: self.now() };
        self.store().remove(&self.address, request).await.unwrap()
    }

    pub async fn detach(&self, id: &str) -> Result<bool> {
        self.store().detach(&self.address, DetachRequest { child: id.into(), now: self.now() }).await
    }

    pub async fn pause(&self) {
        self.store().pause(&self.address, self.now()).await.unwrap();
    }

    pub async fn resume(&self) {
        self.store().resume(&self.address, self.now()).await.unwrap();
    }

    pub async fn limit(&self, until: Option<Timestamp>) {
        self.bound(Limit::Until(until)).await;
    }

    /// Sets a limit.
    pub async fn bound(&self, limit: Limit) {
        let request = LimitRequest { limit, now: self.now() };
        self.store().limit(&self.address, request).await.unwrap();
    }

    pub async fn limits(&self) -> QueueLimits {
        self.store().limits(&self.address, self.now()).await.unwrap()
    }

    pub async fn clean(&self, state: JobState, older_than: Timestamp, limit: usize) -> Step {
        let request = CleanRequest { state, older_than, limit, now: self.now() };
        self.store().clean(&self.address, request).await.unwrap()
    }

    // ---------------------------------------------------------------- look

    /// A job that must be there.
    pub async fn job(&self, id: impl Into<JobId>) -> JobView {
        let id = id.into();
        self.find(&id).await.unwrap_or_else(|| panic!("the job {id} is there"))
    }

    pub async fn find(&self, id: &JobId) -> Option<JobView> {
        self.store().job(&self.address, id).await.unwrap()
    }

    /// The state of a job that must be there.
    pub async fn state(&self, id: impl Into<JobId>) -> JobState {
        self.job(id).await.state
    }

    pub async fn page(&self, states: &[JobState], offset: u64, limit: usize, order: Order) -> Vec<JobView> {
        let request = JobsRequest { states: states.to_vec(), offset, limit, order };
        self.store().jobs(&self.address, request).await.unwrap().jobs
    }

    /// The ids of the jobs in a state, ascending.
    pub async fn list(&self, state: JobState) -> String {
        let jobs = self.page(&[state], 0, 1_000, Order::Ascending).await;
        words(jobs.iter().map(|view| view.job.id.as_str()))
    }

    pub async fn counts(&self) -> JobCounts {
        self.store().counts(&self.address, self.now()).await.unwrap()
    }

    /// How many jobs are in each state that is not empty: `active=1 waiting=2`.
    pub async fn tally(&self) -> String {
        let counts = self.counts().await;
        let states: BTreeMap<&str, u64> =
            JobState::ALL.into_iter().map(|state| (state.as_str(), counts.of(state))).collect();
        let texts: Vec<_> =
            states.iter().filter(|(_, n)| **n > 0).map(|(state, n)| format!("{state}={n}")).collect();
        texts.join(" ")
    }

    /// All children of a job by kind, in order of their keys, as texts: `processed below:a=1 | pending below:b`.
    pub async fn children(&self, id: &str) -> String {
        let mut kinds = Vec::new();
        for kind in ChildKind::ALL {
            let mut texts = Vec::new();
            let mut cursor = None;
            loop {
                let request = ChildrenRequest { job: id.into(), kinds: vec![kind], cursor, limit: 1_000 };
                let page = self.store().children(&self.address, request).await.unwrap();
                texts.extend(page.children.iter().map(|child| {
                    let key = format!("{}:{}", child.key.queue.name(), child.key.id);
                    match &child.outcome {
                        ChildOutcome::Processed(value) => format!("{key}={}", value.as_str()),
                        ChildOutcome::Pending => key,
                        ChildOutcome::Ignored(reason) => format!("{key}={reason}"),
                        ChildOutcome::Failed(at) => format!("{key}@{}", at.as_millis() - 1_700_000_000_000),
                    }
                }));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            texts.sort();
            if !texts.is_empty() {
                kinds.push(format!("{} {}", kind.as_str(), texts.join(" ")));
            }
        }
        kinds.join(" | ")
    }

    /// Takes this job, which must be the next, and ends it.
    pub async fn end(&self, id: &str, ending: Ending) {
        let job = self.take_one().await;
        assert_eq!(job.job.id.as_str(), id, "which job is next");
        self.finish(&job, ending).await.unwrap();
    }

    // ---------------------------------------------------------------- listen

    /// The end of the stream of events.
    pub async fn here(&self) -> EventCursor {
        let request = EventsRequest { after: EventCursor::Now, limit: 1, timeout: Duration::ZERO };
        self.store().events(&self.address, request).await.unwrap().cursor
    }

    /// The events after a cursor, as texts.
    pub async fn events_since(&self, cursor: &EventCursor) -> Vec<String> {
        let mut after = cursor.clone();
        let mut texts = Vec::new();
        loop {
            let request = EventsRequest { after, limit: 1_000, timeout: Duration::ZERO };
            let page = self.store().events(&self.address, request).await.unwrap();
            if page.events.is_empty() {
                return texts;
            }
            texts.extend(page.events.iter().map(|stored| spell(&stored.event)));
            after = page.cursor;
        }
    }

    /// Checks that exactly these events were written since the cursor, in this order.
    pub async fn expect_events(&self, since: &EventCursor, expected: &[&str]) {
        assert_eq!(self.events_since(since).await, expected);
    }

    /// The lease of a job that was taken by `token`.
    pub fn lease(id: &JobId, token: &str) -> Lease {
        Lease { job: id.clone(), token: Token::new(token) }
    }
}
