//! The model behind the [`Store`] trait.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::model::Model;
use crate::address::{JobId, QueueAddress};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventCursor, EventId};
use crate::job::JobView;
use crate::store::{
    AddFlowRequest, AddRequest, Added, AdvanceScheduleRequest, Advanced, AnnounceRequest, Answer,
    CancelAnswer, CancelRequest, Cancellation, CancellationsRequest, ChildrenPage, ChildrenRequest,
    CleanRequest, DetachRequest, DrainRequest, EventsPage, EventsRequest, ExtendRequest, Extended,
    FinishRequest, Finished, JobCounts, JobsPage, JobsRequest, LimitRequest, LogsPage, LogsRequest,
    MetaChanged, MetricsPage, MetricsRequest, NoteRequest, ObliterateRequest, OwnerRequest, PromoteRequest,
    PutScheduleRequest, QueueInfo, QueueLimits, RecoverRequest, Recovered, ReleaseRequest, RemoveAnswer,
    RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest, ScheduleInfo, Scheduled,
    SchedulesPage, SchedulesRequest, SetMetaRequest, Step, Store, SweepRequest, TakeRequest, Taken, Tally,
    TrimEventsRequest, WaitRequest, Woken, WorkerInfo,
};

/// A store in memory that is the [`Model`] behind a mutex. For tests: it is slow, and forgets all.
#[derive(Debug)]
pub struct ModelStore {
    state: Mutex<State>,
    /// Counts the changes, for those that wait for one.
    changes: watch::Sender<u64>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    model: Model,
    /// Queues in which a delayed job came to be due before all others, of which nobody was told yet.
    due: BTreeMap<QueueAddress, Timestamp>,
    closed: bool,
}

impl Default for ModelStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), changes: watch::Sender::new(0), clock: Clock::system() }
    }

    /// Looks at the model, or changes it behind the store's back.
    pub fn with_model<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        let result = act(&mut self.lock().model);
        self.changes.send_modify(|changes| *changes += 1);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, "store", "the store is closed"));
        }
        Ok(state)
    }

    /// Changes a queue, and others by way of parents and children, and wakes whoever waits.
    fn change<'a, T: Send + 'a>(
        &'a self,
        _queue: &'a QueueAddress,
        act: impl FnOnce(&mut Model) -> Result<T> + Send + 'a,
    ) -> Answer<'a, T> {
        self.change_all(act)
    }

    fn change_all<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut Model) -> Result<T> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let mut state = self.open()?;
            let before = state.model.first_dues();
            let result = act(&mut state.model);
            for (queue, due) in state.model.first_dues() {
                if before.get(&queue).is_none_or(|before| due < *before) {
                    state.due.insert(queue, due);
                }
            }
            drop(state);
            self.changes.send_modify(|changes| *changes += 1);
            result
        })
    }

    fn look<'a, T: Send + 'a>(&'a self, look: impl FnOnce(&Model) -> T + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move { Ok(look(&self.open()?.model)) })
    }

    /// Looks again after each change until something is found, or the time is up.
    async fn look_until<T>(
        &self,
        timeout: std::time::Duration,
        look: impl Fn(&mut State) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut changes = self.changes.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&mut *self.open()?) {
                    return Ok(found);
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        self.clock.timeout(timeout, found).await.transpose()
    }
}

impl Store for ModelStore {
    fn add<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: AddRequest,
    ) -> Answer<'a, Vec<Result<Vec<Added>>>> {
        self.change(queue, move |model| Ok(model.add(queue, &request)))
    }

    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        self.change_all(move |model| model.add_flow(&request))
    }

    fn deduplication_owner<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: OwnerRequest,
    ) -> Answer<'a, Option<JobId>> {
        self.look(move |model| model.deduplication_owner(queue, &request))
    }

    fn release_deduplication<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: ReleaseRequest,
    ) -> Answer<'a, bool> {
        self.change(queue, move |model| Ok(model.release_deduplication(queue, &request)))
    }

    fn take<'a>(&'a self, queue: &'a QueueAddress, request: TakeRequest) -> Answer<'a, Taken> {
        self.change(queue, move |model| Ok(model.take(queue, &request)))
    }

    fn finish<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Finished> {
        self.change(queue, move |model| Ok(model.finish(queue, request)))
    }

    fn extend<'a>(&'a self, queue: &'a QueueAddress, request: ExtendRequest) -> Answer<'a, Vec<Extended>> {
        self.change(queue, move |model| Ok(model.extend(queue, &request)))
    }

    fn recover<'a>(&'a self, queue: &'a QueueAddress, request: RecoverRequest) -> Answer<'a, Recovered> {
        self.change(queue, move |model| Ok(model.recover(queue, &request)))
    }

    fn wait<'a>(&'a self, queue: &'a QueueAddress, request: WaitRequest) -> Answer<'a, Woken> {
        Box::pin(async move {
            let look = |state: &mut State| {
                let work = state.model.has_work(queue).then_some(Woken::Look);
                work.or_else(|| state.due.remove(queue).map(Woken::Due))
            };
            Ok(self.look_until(request.timeout, look).await?.unwrap_or(Woken::TimedOut))
        })
    }

    fn cancellations<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: CancellationsRequest,
    ) -> Answer<'a, Vec<Cancellation>> {
        Box::pin(async move {
            let look = |state: &mut State| {
                Some(state.model.cancellations(queue, &request)).filter(|found| !found.is_empty())
            };
            Ok(self.look_until(request.timeout, look).await?.unwrap_or_default())
        })
    }

    fn note<'a>(&'a self, queue: &'a QueueAddress, request: NoteRequest) -> Answer<'a, u64> {
        self.change(queue, move |model| model.note(queue, request))
    }

    fn announce<'a>(&'a self, queue: &'a QueueAddress, request: AnnounceRequest) -> Answer<'a, ()> {
        self.change(queue, move |model| {
            model.announce(queue, request);
            Ok(())
        })
    }

    fn cancel<'a>(&'a self, queue: &'a QueueAddress, request: CancelRequest) -> Answer<'a, CancelAnswer> {
        self.change(queue, move |model| model.cancel(queue, request))
    }

    fn promote<'a>(&'a self, queue: &'a QueueAddress, request: PromoteRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| model.promote(queue, request))
    }

    fn retry<'a>(&'a self, queue: &'a QueueAddress, request: RetryRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| model.retry(queue, request))
    }

    fn reschedule<'a>(&'a self, queue: &'a QueueAddress, request: RescheduleRequest) -> Answer<'a, ()> {
        self.change(queue, move |model| model.reschedule(queue, request))
    }

    fn remove<'a>(&'a self, queue: &'a QueueAddress, request: RemoveRequest) -> Answer<'a, RemoveAnswer> {
        self.change(queue, move |model| model.remove(queue, &request))
    }

    fn detach<'a>(&'a self, queue: &'a QueueAddress, request: DetachRequest) -> Answer<'a, bool> {
        self.change(queue, move |model| model.detach(queue, &request))
    }

    fn pause<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()> {
        self.change(queue, move |model| {
            model.pause(queue, now);
            Ok(())
        })
    }

    fn resume<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()> {
        self.change(queue, move |model| {
            model.resume(queue, now);
            Ok(())
        })
    }

    fn limit<'a>(&'a self, queue: &'a QueueAddress, request: LimitRequest) -> Answer<'a, ()> {
        self.change(queue, move |model| {
            model.limit(queue, request);
            Ok(())
        })
    }

    fn set_meta<'a>(&'a self, queue: &'a QueueAddress, request: SetMetaRequest) -> Answer<'a, MetaChanged> {
        self.change(queue, move |model| Ok(model.set_meta(queue, request)))
    }

    fn drain<'a>(&'a self, queue: &'a QueueAddress, request: DrainRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| Ok(model.drain(queue, request)))
    }

    fn clean<'a>(&'a self, queue: &'a QueueAddress, request: CleanRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| Ok(model.clean(queue, request)))
    }

    fn obliterate<'a>(&'a self, queue: &'a QueueAddress, request: ObliterateRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| model.obliterate(queue, request))
    }

    fn sweep<'a>(&'a self, queue: &'a QueueAddress, request: SweepRequest) -> Answer<'a, Step> {
        self.change(queue, move |model| Ok(model.sweep(queue, request)))
    }

    fn put_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: PutScheduleRequest,
    ) -> Answer<'a, Scheduled> {
        self.change(queue, move |model| model.put_schedule(queue, request))
    }

    fn advance_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: AdvanceScheduleRequest,
    ) -> Answer<'a, Advanced> {
        self.change(queue, move |model| Ok(model.advance_schedule(queue, request)))
    }

    fn remove_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: RemoveScheduleRequest,
    ) -> Answer<'a, bool> {
        self.change(queue, move |model| Ok(model.remove_schedule(queue, &request)))
    }

    fn schedule<'a>(&'a self, queue: &'a QueueAddress, id: &'a str) -> Answer<'a, Option<ScheduleInfo>> {
        self.look(move |model| model.schedule(queue, id))
    }

    fn schedules<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: SchedulesRequest,
    ) -> Answer<'a, SchedulesPage> {
        self.look(move |model| model.schedules(queue, request))
    }

    fn job<'a>(&'a self, queue: &'a QueueAddress, id: &'a JobId) -> Answer<'a, Option<JobView>> {
        self.look(move |model| model.job(queue, id))
    }

    fn jobs<'a>(&'a self, queue: &'a QueueAddress, request: JobsRequest) -> Answer<'a, JobsPage> {
        self.look(move |model| model.jobs(queue, &request))
    }

    fn counts<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, JobCounts> {
        self.look(move |model| model.counts(queue, now))
    }

    fn metrics<'a>(&'a self, queue: &'a QueueAddress, request: MetricsRequest) -> Answer<'a, MetricsPage> {
        self.look(move |model| model.metrics(queue, request))
    }

    fn limits<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, QueueLimits> {
        self.look(move |model| model.limits(queue, now))
    }

    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>> {
        self.look(move |model| model.meta(queue))
    }

    fn logs<'a>(&'a self, queue: &'a QueueAddress, request: LogsRequest) -> Answer<'a, LogsPage> {
        self.look(move |model| model.logs(queue, &request))
    }

    fn children<'a>(&'a self, queue: &'a QueueAddress, request: ChildrenRequest) -> Answer<'a, ChildrenPage> {
        self.look(move |model| model.children(queue, &request))
    }

    fn workers<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, Vec<WorkerInfo>> {
        self.look(move |model| model.workers(queue, now))
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        self.look(move |model| model.queues(prefix.as_deref()))
    }

    fn events<'a>(&'a self, queue: &'a QueueAddress, request: EventsRequest) -> Answer<'a, EventsPage> {
        Box::pin(async move {
            let page = |state: &mut State| state.model.events(queue, &request.after, request.limit);
            let look =
                |state: &mut State| Some(page(state)).filter(|page| !page.events.is_empty() || page.trimmed);
            if request.after == EventCursor::Now {
                return Ok(page(&mut *self.open()?));
            }
            match self.look_until(request.timeout, look).await? {
                Some(found) => Ok(found),
                None => Ok(page(&mut *self.open()?)),
            }
        })
    }

    fn tally<'a>(&'a self, queue: &'a QueueAddress, tally: Tally) -> Answer<'a, Vec<u64>> {
        self.look(move |model| model.tally(queue, &tally))
    }

    fn trim_events<'a>(&'a self, queue: &'a QueueAddress, request: TrimEventsRequest) -> Answer<'a, u64> {
        self.change(queue, move |model| Ok(model.trim_events(queue, request)))
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId> {
        self.change(queue, move |model| Ok(model.publish(queue, event, now)))
    }

    fn describe(&self) -> String {
        "model".into()
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.lock().closed = true;
            self.changes.send_modify(|changes| *changes += 1);
            Ok(())
        })
    }
}
