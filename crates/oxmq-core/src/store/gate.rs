//! The one gate before every store: a span for each call, `store.<verb>`, whatever the backend.

use std::sync::Arc;

use tracing::{Instrument, debug_span};

use super::{
    AddRequest, Added, AdvanceScheduleRequest, Advanced, AnnounceRequest, Answer, CancelAnswer,
    CancelRequest, Cancellation, CancellationsRequest, CleanRequest, DrainRequest, EventsPage, EventsRequest,
    ExtendRequest, Extended, FinishRequest, Finished, JobCounts, JobsPage, JobsRequest, LimitRequest,
    LogsPage, LogsRequest, NoteRequest, ObliterateRequest, PromoteRequest, PutScheduleRequest, QueueInfo,
    RecoverRequest, RemoveAnswer, RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest,
    ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest, Step, Store, SweepRequest, TakeRequest, Taken,
    WaitRequest, Woken, WorkerInfo,
};
use crate::address::{JobId, QueueAddress};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::events::{Event, EventId};
use crate::job::JobView;

/// A store with a span round each of its calls. What `connect` gives.
///
/// The spans are at level debug, with the field `queue`; without a subscriber that wants them they cost next to
/// nothing.
#[derive(Debug, Clone)]
pub struct Gate(Arc<dyn Store>);

impl Gate {
    /// Puts the gate before a store.
    pub fn before(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self(store))
    }
}

/// Hands each call on, in a span of its name.
macro_rules! hand_on {
    ($($verb:ident($request:ident: $type:ty) -> $answer:ty;)*) => {
        $(
            fn $verb<'a>(&'a self, queue: &'a QueueAddress, $request: $type) -> Answer<'a, $answer> {
                let call = self.0.$verb(queue, $request);
                let span = debug_span!(concat!("store.", stringify!($verb)), %queue);
                if span.is_disabled() { call } else { Box::pin(call.instrument(span)) }
            }
        )*
    };
}

impl Store for Gate {
    hand_on! {
        add(request: AddRequest) -> Vec<Result<Vec<Added>>>;
        take(request: TakeRequest) -> Taken;
        finish(request: FinishRequest) -> Finished;
        extend(request: ExtendRequest) -> Vec<Extended>;
        recover(request: RecoverRequest) -> Vec<JobId>;
        wait(request: WaitRequest) -> Woken;
        cancellations(request: CancellationsRequest) -> Vec<Cancellation>;
        note(request: NoteRequest) -> u64;
        announce(request: AnnounceRequest) -> ();
        cancel(request: CancelRequest) -> CancelAnswer;
        promote(request: PromoteRequest) -> Step;
        retry(request: RetryRequest) -> Step;
        reschedule(request: RescheduleRequest) -> ();
        remove(request: RemoveRequest) -> RemoveAnswer;
        pause(now: Timestamp) -> ();
        resume(now: Timestamp) -> ();
        limit(request: LimitRequest) -> ();
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
        logs(request: LogsRequest) -> LogsPage;
        workers(now: Timestamp) -> Vec<WorkerInfo>;
        events(request: EventsRequest) -> EventsPage;
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId> {
        let call = self.0.publish(queue, event, now);
        let span = debug_span!("store.publish", %queue);
        if span.is_disabled() { call } else { Box::pin(call.instrument(span)) }
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        let call = self.0.queues(prefix);
        let span = debug_span!("store.queues");
        if span.is_disabled() { call } else { Box::pin(call.instrument(span)) }
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn renew(&self) -> Answer<'_, ()> {
        self.0.renew()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.0.close()
    }
}
