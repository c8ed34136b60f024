//! The one gate before every store: a span for each call, `store.<verb>`, and its time, whatever the backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{Instrument, Span, debug_span};

use super::{
    AddFlowRequest, AddRequest, Added, AdvanceScheduleRequest, Advanced, AnnounceRequest, Answer,
    CancelAnswer, CancelRequest, Cancellation, CancellationsRequest, ChildrenPage, ChildrenRequest,
    CleanRequest, DetachRequest, DrainRequest, EventsPage, EventsRequest, Exchanged, ExtendRequest, Extended,
    FinishRequest, Finished, JobCounts, JobsPage, JobsRequest, LimitRequest, LogsPage, LogsRequest,
    MetaChanged, MetricsPage, MetricsRequest, NoteRequest, ObliterateRequest, OwnerRequest, PromoteRequest,
    PutScheduleRequest, QueueInfo, QueueLimits, RecoverRequest, Recovered, ReleaseRequest, RemoveAnswer,
    RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest, ScheduleInfo, Scheduled,
    SchedulesPage, SchedulesRequest, SetMetaRequest, Step, Store, SweepRequest, TakeRequest, Taken, Tally,
    TrimEventsRequest, WaitRequest, Woken, WorkerInfo,
};
use crate::address::{JobId, QueueAddress};
use crate::clock::{Stopwatch, Timestamp};
use crate::error::Result;
use crate::events::{Event, EventId};
use crate::job::JobView;
use crate::metrics::{CallClock, CallTimes};

/// A store with a span round each of its calls, which are timed ([`Store::call_times`]). What `connect` gives.
///
/// The spans are at level debug, with the field `queue`; without a subscriber that wants them they cost next to
/// nothing. A call that is dropped before its answer is not in the times.
#[derive(Debug, Clone)]
pub struct Gate {
    store: Arc<dyn Store>,
    /// One for each of [`TIMED`].
    clocks: Arc<[CallClock]>,
}

impl Gate {
    /// Puts the gate before a store.
    pub fn before(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self { store, clocks: TIMED.iter().map(|call| CallClock::new(call)).collect() })
    }

    /// The call in its span, with its time taken.
    fn guard<'a, T: Send + 'a>(
        &'a self,
        clock: Option<usize>,
        call: Answer<'a, T>,
        span: Span,
    ) -> Answer<'a, T> {
        let Some(clock) = clock.and_then(|index| self.clocks.get(index)) else {
            return if span.is_disabled() { call } else { Box::pin(call.instrument(span)) };
        };
        let timed = async move {
            let watch = Stopwatch::start();
            let result = call.await;
            clock.record(watch.elapsed(), result.is_err());
            result
        };
        if span.is_disabled() { Box::pin(timed) } else { Box::pin(timed.instrument(span)) }
    }
}

/// The calls whose time is taken.
const TIMED: &[&str] = &[
    "add",
    "take",
    "finish",
    "extend",
    "recover",
    "note",
    "announce",
    "cancel",
    "promote",
    "retry",
    "reschedule",
    "remove",
    "pause",
    "resume",
    "limit",
    "drain",
    "clean",
    "obliterate",
    "sweep",
    "job",
    "jobs",
    "counts",
    "tally",
    "logs",
    "workers",
    "publish",
    "queues",
    "trim_events",
    "put_schedule",
    "advance_schedule",
    "remove_schedule",
    "schedule",
    "schedules",
    "deduplication_owner",
    "limits",
    "metrics",
    "meta",
    "set_meta",
    "add_flow",
    "children",
    "detach",
    "release_deduplication",
];

/// Those that last as long as nothing happens.
const UNTIMED: &[&str] = &["wait", "cancellations", "events"];

/// The place of a call's clock; does not compile for a call that is in neither list.
const fn clock_of(verb: &str) -> Option<usize> {
    let mut index = 0;
    while index < TIMED.len() {
        if same(TIMED[index], verb) {
            return Some(index);
        }
        index += 1;
    }
    let mut index = 0;
    while index < UNTIMED.len() {
        if same(UNTIMED[index], verb) {
            return None;
        }
        index += 1;
    }
    panic!("put the call into TIMED or UNTIMED")
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Hands each call on, in a span of its name.
macro_rules! hand_on {
    ($($verb:ident($request:ident: $type:ty) -> $answer:ty;)*) => {
        $(
            fn $verb<'a>(&'a self, queue: &'a QueueAddress, $request: $type) -> Answer<'a, $answer> {
                let call = self.store.$verb(queue, $request);
                let span = debug_span!(concat!("store.", stringify!($verb)), %queue);
                self.guard(const { clock_of(stringify!($verb)) }, call, span)
            }
        )*
    };
}

impl Store for Gate {
    hand_on! {
        add(request: AddRequest) -> Vec<Result<Vec<Added>>>;
        deduplication_owner(request: OwnerRequest) -> Option<JobId>;
        release_deduplication(request: ReleaseRequest) -> bool;
        take(request: TakeRequest) -> Taken;
        finish(request: FinishRequest) -> Finished;
        extend(request: ExtendRequest) -> Vec<Extended>;
        recover(request: RecoverRequest) -> Recovered;
        wait(request: WaitRequest) -> Woken;
        cancellations(request: CancellationsRequest) -> Vec<Cancellation>;
        note(request: NoteRequest) -> u64;
        announce(request: AnnounceRequest) -> ();
        cancel(request: CancelRequest) -> CancelAnswer;
        promote(request: PromoteRequest) -> Step;
        retry(request: RetryRequest) -> Step;
        reschedule(request: RescheduleRequest) -> ();
        remove(request: RemoveRequest) -> RemoveAnswer;
        detach(request: DetachRequest) -> bool;
        pause(now: Timestamp) -> ();
        resume(now: Timestamp) -> ();
        limit(request: LimitRequest) -> ();
        set_meta(request: SetMetaRequest) -> MetaChanged;
        drain(request: DrainRequest) -> Step;
        clean(request: CleanRequest) -> Step;
        obliterate(request: ObliterateRequest) -> Step;
        sweep(request: SweepRequest) -> Step;
        put_schedule(request: PutScheduleRequest) -> Scheduled;
        advance_schedule(request: AdvanceScheduleRequest) -> Advanced;
        remove_schedule(request: RemoveScheduleRequest) -> bool;
        schedule(id: &'a str) -> Option<ScheduleInfo>;
        schedules(request: SchedulesRequest) -> SchedulesPage;
        job(id: &'a JobId) -> Option<JobView>;
        jobs(request: JobsRequest) -> JobsPage;
        counts(now: Timestamp) -> JobCounts;
        tally(tally: Tally) -> Vec<u64>;
        metrics(request: MetricsRequest) -> MetricsPage;
        limits(now: Timestamp) -> QueueLimits;
        logs(request: LogsRequest) -> LogsPage;
        children(request: ChildrenRequest) -> ChildrenPage;
        workers(now: Timestamp) -> Vec<WorkerInfo>;
        events(request: EventsRequest) -> EventsPage;
        trim_events(request: TrimEventsRequest) -> u64;
    }

    fn exchange<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Exchanged> {
        let takes = request.finished.is_empty();
        let call = self.store.exchange(queue, request);
        // It is one of these two, whatever it is called by.
        if takes {
            self.guard(const { clock_of("take") }, call, debug_span!("store.take", %queue))
        } else {
            self.guard(const { clock_of("finish") }, call, debug_span!("store.finish", %queue))
        }
    }

    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        let call = self.store.add_flow(request);
        self.guard(const { clock_of("add_flow") }, call, debug_span!("store.add_flow"))
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId> {
        let call = self.store.publish(queue, event, now);
        self.guard(const { clock_of("publish") }, call, debug_span!("store.publish", %queue))
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        let call = self.store.queues(prefix);
        self.guard(const { clock_of("queues") }, call, debug_span!("store.queues"))
    }

    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>> {
        let call = self.store.meta(queue);
        self.guard(const { clock_of("meta") }, call, debug_span!("store.meta", %queue))
    }

    fn describe(&self) -> String {
        self.store.describe()
    }

    fn keeps_order(&self) -> bool {
        self.store.keeps_order()
    }

    fn renew(&self) -> Answer<'_, ()> {
        self.store.renew()
    }

    fn call_times(&self) -> Vec<CallTimes> {
        self.clocks.iter().map(CallClock::read).filter(|times| times.count() > 0).collect()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}
