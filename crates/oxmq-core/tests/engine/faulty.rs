//! A store that fails, holds and counts calls on demand, around the reference model.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use oxmq_core::conformance::ModelStore;
use oxmq_core::store::*;
use oxmq_core::{Error, ErrorKind, Event, EventId, JobId, JobView, QueueAddress, Result, Timestamp};
use tokio::sync::{Notify, watch};

/// How a call fails.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It fails, and was not applied.
    Before(ErrorKind),
    /// It fails, but was applied.
    After(ErrorKind),
}

/// A call that was made: its verb, how many endings it carried, and how many jobs it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub verb: &'static str,
    pub endings: usize,
    pub limit: usize,
}

#[derive(Debug)]
pub struct FaultyStore {
    pub model: ModelStore,
    me: Weak<Self>,
    /// Whether exchanges are answered before they are kept, by a call `keep`.
    early: AtomicBool,
    down: AtomicBool,
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    held: watch::Sender<Vec<&'static str>>,
    held_answers: watch::Sender<Vec<&'static str>>,
    /// What waits say, before anything of the model's.
    hints: Mutex<VecDeque<Woken>>,
    hinted: Notify,
    made: Mutex<Vec<Made>>,
    /// For each announcement whether it said that it renews one.
    pub renewals: Mutex<Vec<bool>>,
    under_way: AtomicUsize,
    pub under_way_max: AtomicUsize,
}

impl FaultyStore {
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            model: ModelStore::new(),
            me: me.clone(),
            early: AtomicBool::new(false),
            down: AtomicBool::new(false),
            faults: Mutex::default(),
            held: watch::Sender::new(Vec::new()),
            held_answers: watch::Sender::new(Vec::new()),
            hints: Mutex::default(),
            hinted: Notify::new(),
            made: Mutex::default(),
            renewals: Mutex::default(),
            under_way: AtomicUsize::new(0),
            under_way_max: AtomicUsize::new(0),
        })
    }

    /// Exchanges are answered before they are kept from now on: that is a call `keep` of its own.
    pub fn answer_early(&self) {
        self.early.store(true, Ordering::SeqCst);
    }

    /// Everything fails as unavailable from now on, or works again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The next call of this verb fails; after those that were ordered before.
    pub fn fail_next(&self, verb: &'static str, fault: Fault) {
        self.faults.lock().unwrap().entry(verb).or_default().push_back(fault);
    }

    /// No call fails any more by [`fail_next`](Self::fail_next).
    pub fn forget_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Calls of this verb do not begin before they are released.
    pub fn hold(&self, verb: &'static str) {
        self.held.send_modify(|held| held.push(verb));
    }

    pub fn release(&self, verb: &'static str) {
        self.held.send_modify(|held| held.retain(|other| *other != verb));
    }

    /// Calls of this verb are made, but do not end before that is released.
    pub fn hold_answers(&self, verb: &'static str) {
        self.held_answers.send_modify(|held| held.push(verb));
    }

    pub fn release_answers(&self, verb: &'static str) {
        self.held_answers.send_modify(|held| held.retain(|other| *other != verb));
    }

    /// Ends a wait with this, also one that is held.
    pub fn say(&self, woken: Woken) {
        self.hints.lock().unwrap().push_back(woken);
        self.hinted.notify_one();
    }

    async fn hint(&self) -> Woken {
        loop {
            let hint = self.hints.lock().unwrap().pop_front();
            match hint {
                Some(hint) => return hint,
                None => self.hinted.notified().await,
            }
        }
    }

    pub fn count(&self, verb: &str) -> usize {
        self.made.lock().unwrap().iter().filter(|made| made.verb == verb).count()
    }

    /// The calls that carried endings or demand, in order.
    pub fn exchanges(&self) -> Vec<Made> {
        self.made
            .lock()
            .unwrap()
            .iter()
            .filter(|made| ["take", "finish"].contains(&made.verb))
            .copied()
            .collect()
    }

    pub fn forget_calls(&self) {
        self.made.lock().unwrap().clear();
    }

    async fn call<T>(&self, made: Made, work: Answer<'_, T>) -> Result<T> {
        self.made.lock().unwrap().push(made);
        let exchange = ["take", "finish"].contains(&made.verb);
        if exchange {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.under_way_max.fetch_max(now, Ordering::SeqCst);
        }
        let answer = self.fail_or(made.verb, work).await;
        if exchange {
            self.under_way.fetch_sub(1, Ordering::SeqCst);
        }
        answer
    }

    async fn fail_or<T>(&self, verb: &'static str, work: Answer<'_, T>) -> Result<T> {
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held.contains(&verb)).await.unwrap();
        let failed = |kind: ErrorKind| Err(Error::new(kind, verb, "the test wants it so"));
        if self.down.load(Ordering::SeqCst) {
            return failed(ErrorKind::Unavailable);
        }
        let fault = self.faults.lock().unwrap().get_mut(verb).and_then(VecDeque::pop_front);
        match fault {
            None => {
                let answer = work.await;
                let mut held = self.held_answers.subscribe();
                held.wait_for(|held| !held.contains(&verb)).await.unwrap();
                answer
            }
            Some(Fault::Before(kind)) => failed(kind),
            Some(Fault::After(kind)) => {
                work.await?;
                failed(kind)
            }
        }
    }
}

fn plain(verb: &'static str) -> Made {
    Made { verb, endings: 0, limit: 0 }
}

macro_rules! pass_on {
    ($($verb:ident($request:ty) -> $answer:ty;)*) => {$(
        fn $verb<'a>(&'a self, queue: &'a QueueAddress, request: $request) -> Answer<'a, $answer> {
            Box::pin(self.call(plain(stringify!($verb)), self.model.$verb(queue, request)))
        }
    )*};
}

impl Store for FaultyStore {
    fn take<'a>(&'a self, queue: &'a QueueAddress, request: TakeRequest) -> Answer<'a, Taken> {
        let made = Made { verb: "take", endings: 0, limit: request.limit };
        Box::pin(self.call(made, self.model.take(queue, request)))
    }

    fn finish<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Finished> {
        let limit = request.take.as_ref().map_or(0, |take| take.limit);
        let made = Made { verb: "finish", endings: request.finished.len(), limit };
        Box::pin(self.call(made, self.model.finish(queue, request)))
    }

    fn exchange<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Exchanged> {
        Box::pin(async move {
            let finished = if request.finished.is_empty() {
                let taken = self.take(queue, request.take.unwrap()).await?;
                Finished { taken: Some(taken), ..Finished::default() }
            } else {
                self.finish(queue, request).await?
            };
            let me = self.me.upgrade().unwrap();
            let kept = self.early.load(Ordering::SeqCst).then(|| -> Answer<'static, ()> {
                Box::pin(async move { me.call(plain("keep"), Box::pin(async { Ok(()) })).await })
            });
            Ok(Exchanged { finished, kept })
        })
    }

    fn wait<'a>(&'a self, queue: &'a QueueAddress, request: WaitRequest) -> Answer<'a, Woken> {
        let waits = self.call(plain("wait"), self.model.wait(queue, request));
        Box::pin(async {
            tokio::select! {
                biased;
                woken = waits => woken,
                hint = self.hint() => Ok(hint),
            }
        })
    }

    fn announce<'a>(&'a self, queue: &'a QueueAddress, request: AnnounceRequest) -> Answer<'a, ()> {
        self.renewals.lock().unwrap().push(request.renews);
        Box::pin(self.call(plain("announce"), self.model.announce(queue, request)))
    }

    pass_on! {
        add(AddRequest) -> Vec<Result<Vec<Added>>>;
        deduplication_owner(OwnerRequest) -> Option<JobId>;
        release_deduplication(ReleaseRequest) -> bool;
        extend(ExtendRequest) -> Vec<Extended>;
        recover(RecoverRequest) -> Recovered;
        cancellations(CancellationsRequest) -> Vec<Cancellation>;
        note(NoteRequest) -> u64;
        cancel(CancelRequest) -> CancelAnswer;
        promote(PromoteRequest) -> Step;
        retry(RetryRequest) -> Step;
        reschedule(RescheduleRequest) -> ();
        remove(RemoveRequest) -> RemoveAnswer;
        detach(DetachRequest) -> bool;
        pause(Timestamp) -> ();
        resume(Timestamp) -> ();
        limit(LimitRequest) -> ();
        set_meta(SetMetaRequest) -> MetaChanged;
        drain(DrainRequest) -> Step;
        clean(CleanRequest) -> Step;
        obliterate(ObliterateRequest) -> Step;
        sweep(SweepRequest) -> Step;
        put_schedule(PutScheduleRequest) -> Scheduled;
        advance_schedule(AdvanceScheduleRequest) -> Advanced;
        remove_schedule(RemoveScheduleRequest) -> bool;
        schedule(&'a str) -> Option<ScheduleInfo>;
        schedules(SchedulesRequest) -> SchedulesPage;
        job(&'a JobId) -> Option<JobView>;
        jobs(JobsRequest) -> JobsPage;
        counts(Timestamp) -> JobCounts;
        tally(Tally) -> Vec<u64>;
        trim_events(TrimEventsRequest) -> u64;
        metrics(MetricsRequest) -> MetricsPage;
        limits(Timestamp) -> QueueLimits;
        logs(LogsRequest) -> LogsPage;
        children(ChildrenRequest) -> ChildrenPage;
        workers(Timestamp) -> Vec<WorkerInfo>;
        events(EventsRequest) -> EventsPage;
    }

    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        Box::pin(self.call(plain("add_flow"), self.model.add_flow(request)))
    }

    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>> {
        Box::pin(self.call(plain("meta"), self.model.meta(queue)))
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        self.model.queues(prefix)
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId> {
        self.model.publish(queue, event, now)
    }

    fn renew(&self) -> Answer<'_, ()> {
        self.made.lock().unwrap().push(Made { verb: "renew", endings: 0, limit: 0 });
        Box::pin(async { Ok(()) })
    }

    fn describe(&self) -> String {
        "faulty".into()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.model.close()
    }
}
