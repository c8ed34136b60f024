//! A store that costs nothing: it gives jobs from a list, and answers that every ending is stored.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use oxmq_core::store::{
    AddFlowRequest, AddRequest, Added, AdvanceScheduleRequest, Advanced, AnnounceRequest, Answer,
    CancelAnswer, CancelRequest, Cancellation, CancellationsRequest, ChildrenPage, ChildrenRequest,
    CleanRequest, DetachRequest, DrainRequest, EventsPage, EventsRequest, ExtendRequest, Extended,
    FinishRequest, Finished, Idle, JobsPage, JobsRequest, LimitRequest, LogsPage, LogsRequest, MetaChanged,
    MetricsPage, MetricsRequest, NoteRequest, ObliterateRequest, OwnerRequest, PromoteRequest,
    PutScheduleRequest, QueueInfo, QueueLimits, RecoverRequest, Recovered, ReleaseRequest, RemoveAnswer,
    RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest, ScheduleInfo, Scheduled,
    SchedulesPage, SchedulesRequest, SetMetaRequest, Step, SweepRequest, TakeRequest, Taken, Tally,
    TrimEventsRequest, WaitRequest, Woken,
};
use oxmq_core::{
    Error, ErrorKind, Event, EventId, Job, JobCounts, JobId, JobState, JobView, JsonText, Lease, LeasedJob,
    QueueAddress, Result, Store, Timestamp, WorkerInfo,
};

/// Jobs to be given.
#[derive(Debug)]
pub(crate) struct NullStore {
    jobs: Mutex<Vec<Job>>,
}

impl NullStore {
    pub(crate) fn with_jobs(count: usize) -> Self {
        let data = JsonText::stored(format!(r#"{{"t":1,"pad":"{}"}}"#, "x".repeat(62)));
        let job = |number: usize| {
            let id = JobId::from(number.to_string().as_str());
            Job::new(id, "job".into(), data.clone(), JsonText::empty_object())
        };
        Self { jobs: Mutex::new((0..count).map(job).collect()) }
    }

    fn give(&self, request: &TakeRequest) -> Taken {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let from = jobs.len().saturating_sub(request.limit);
        let lease =
            |job: Job| LeasedJob { lease: Lease { job: job.id.clone(), token: request.token.clone() }, job };
        let given: Vec<_> = jobs.drain(from..).map(lease).collect();
        let idle = (given.len() < request.limit).then_some(Idle::Empty { next_due: None });
        Taken { jobs: given, idle }
    }
}

fn ready<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

/// What the engine does not ask of a store while jobs simply complete.
macro_rules! refuses {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self, _: &'a QueueAddress, $($argument: $type),*) -> Answer<'a, $answer> {
            $(let _ = $argument;)*
            Box::pin(std::future::ready(Err(refusal(stringify!($name)))))
        })*
    };
}

fn refusal(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, "the null store has only jobs to give")
}

impl Store for NullStore {
    fn take<'a>(&'a self, _: &'a QueueAddress, request: TakeRequest) -> Answer<'a, Taken> {
        ready(self.give(&request))
    }

    fn finish<'a>(&'a self, _: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Finished> {
        let answers = request.finished.iter().map(|_| Ok(Some(JobState::Completed))).collect();
        ready(Finished { answers, taken: request.take.map(|take| self.give(&take)) })
    }

    fn extend<'a>(&'a self, _: &'a QueueAddress, request: ExtendRequest) -> Answer<'a, Vec<Extended>> {
        ready(request.leases.iter().map(|_| Extended::Kept).collect())
    }

    fn recover<'a>(&'a self, _: &'a QueueAddress, _: RecoverRequest) -> Answer<'a, Recovered> {
        ready(Recovered::default())
    }

    fn wait<'a>(&'a self, _: &'a QueueAddress, _: WaitRequest) -> Answer<'a, Woken> {
        Box::pin(std::future::pending())
    }

    fn cancellations<'a>(
        &'a self,
        _: &'a QueueAddress,
        _: CancellationsRequest,
    ) -> Answer<'a, Vec<Cancellation>> {
        Box::pin(std::future::pending())
    }

    fn announce<'a>(&'a self, _: &'a QueueAddress, _: AnnounceRequest) -> Answer<'a, ()> {
        ready(())
    }

    fn sweep<'a>(&'a self, _: &'a QueueAddress, _: SweepRequest) -> Answer<'a, Step> {
        ready(Step::default())
    }

    fn add_flow(&self, _: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        Box::pin(std::future::ready(Err(refusal("add_flow"))))
    }

    fn queues(&self, _: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        Box::pin(std::future::ready(Err(refusal("queues"))))
    }

    fn describe(&self) -> String {
        "null".into()
    }

    fn close(&self) -> Answer<'_, ()> {
        ready(())
    }

    refuses! {
        fn meta() -> BTreeMap<String, String>;
        fn set_meta(request: SetMetaRequest) -> MetaChanged;
        fn add(request: AddRequest) -> Vec<Result<Vec<Added>>>;
        fn deduplication_owner(request: OwnerRequest) -> Option<JobId>;
        fn release_deduplication(request: ReleaseRequest) -> bool;
        fn note(request: NoteRequest) -> u64;
        fn cancel(request: CancelRequest) -> CancelAnswer;
        fn promote(request: PromoteRequest) -> Step;
        fn retry(request: RetryRequest) -> Step;
        fn reschedule(request: RescheduleRequest) -> ();
        fn remove(request: RemoveRequest) -> RemoveAnswer;
        fn detach(request: DetachRequest) -> bool;
        fn pause(now: Timestamp) -> ();
        fn resume(now: Timestamp) -> ();
        fn limit(request: LimitRequest) -> ();
        fn drain(request: DrainRequest) -> Step;
        fn clean(request: CleanRequest) -> Step;
        fn obliterate(request: ObliterateRequest) -> Step;
        fn put_schedule(request: PutScheduleRequest) -> Scheduled;
        fn advance_schedule(request: AdvanceScheduleRequest) -> Advanced;
        fn remove_schedule(request: RemoveScheduleRequest) -> bool;
        fn schedule(id: &'a str) -> Option<ScheduleInfo>;
        fn schedules(request: SchedulesRequest) -> SchedulesPage;
        fn job(id: &'a JobId) -> Option<JobView>;
        fn jobs(request: JobsRequest) -> JobsPage;
        fn counts(now: Timestamp) -> JobCounts;
        fn tally(tally: Tally) -> Vec<u64>;
        fn limits(now: Timestamp) -> QueueLimits;
        fn metrics(request: MetricsRequest) -> MetricsPage;
        fn logs(request: LogsRequest) -> LogsPage;
        fn children(request: ChildrenRequest) -> ChildrenPage;
        fn workers(now: Timestamp) -> Vec<WorkerInfo>;
        fn events(request: EventsRequest) -> EventsPage;
        fn publish(event: Event, now: Timestamp) -> EventId;
        fn trim_events(request: TrimEventsRequest) -> u64;
    }
}
