//! `impl Store for SqliteStore`: a table of contents, each method one call of an operation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use oxmq_core::store::{
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
use oxmq_core::{Event, EventCursor, EventId, JobId, JobView, QueueAddress, Result, Timestamp};
use rusqlite::Connection;

use crate::engine::Engine;
use crate::fault::{Sql, SqlFault};
use crate::ops;
use crate::tx::{QueueRow, Tx};
use crate::wake::{Marks, NO_MARK};

/// The embedded store: one SQLite file (or memory), several processes.
///
/// Dropping it finishes what was begun and closes the file; [`Store::close`] waits for that. A program should close it
/// before it ends: what was committed in the last half second is brought to the disk then, and is otherwise left to
/// the system, which takes its time (a matter of power cuts only).
pub struct SqliteStore {
    pub(crate) engine: Arc<Engine>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.engine.name()).finish()
    }
}

impl SqliteStore {
    /// Runs an operation that writes.
    fn write<'a, T: Send + 'static>(
        &'a self,
        verb: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.engine.write(work).await.map_err(|fault| fault.into_error(verb, &self.engine.name()))
        })
    }

    /// Runs an operation that writes, and of which it is known how many jobs it moves.
    fn short<'a, T: Send + 'static>(
        &'a self,
        verb: &'static str,
        jobs: usize,
        work: impl FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let written = self.engine.write_jobs(jobs, work).await;
            written.map_err(|fault| fault.into_error(verb, &self.engine.name()))
        })
    }

    /// Runs an operation that writes, and whose answer may be a refusal.
    fn decide<'a, T: Send + 'static>(
        &'a self,
        verb: &'static str,
        work: impl FnMut(&mut Tx<'_>) -> Sql<Result<T>> + Send + 'static,
    ) -> Answer<'a, T> {
        let written = self.write(verb, work);
        Box::pin(async move { written.await? })
    }

    /// Runs an operation that only reads.
    fn read<'a, T: Send + 'static>(
        &'a self,
        verb: &'static str,
        work: impl FnMut(&Connection) -> Sql<T> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.engine.read(work).await.map_err(|fault| fault.into_error(verb, &self.engine.name()))
        })
    }

    fn closed(&self, verb: &'static str) -> oxmq_core::Error {
        SqlFault::Closed.into_error(verb, &self.engine.name())
    }
}

/// A method that hands its request to the operation of the same name.
macro_rules! methods {
    ($($how:ident $verb:ident = $operation:path, ($type:ty) -> $answer:ty;)*) => {
        $(
            fn $verb<'a>(&'a self, queue: &'a QueueAddress, request: $type) -> Answer<'a, $answer> {
                let queue = queue.clone();
                self.$how(stringify!($verb), move |place| $operation(place, &queue, &request))
            }
        )*
    };
}

/// The same for what adds, takes and finishes jobs, and so knows how many.
macro_rules! moves {
    ($($verb:ident = $operation:path, ($type:ty) -> $answer:ty, $jobs:expr;)*) => {
        $(
            fn $verb<'a>(&'a self, queue: &'a QueueAddress, request: $type) -> Answer<'a, $answer> {
                let queue = queue.clone();
                let jobs: fn(&$type) -> usize = $jobs;
                self.short(stringify!($verb), jobs(&request), move |place| $operation(place, &queue, &request))
            }
        )*
    };
}

impl Store for SqliteStore {
    moves! {
        add = ops::add::add, (AddRequest) -> Vec<Result<Vec<Added>>>, |add| add.groups.iter().map(|group| group.jobs.len()).sum();
        take = ops::take::take, (TakeRequest) -> Taken, |take| take.limit;
        finish = ops::finish::finish, (FinishRequest) -> Finished, |finish| {
            finish.finished.len() + finish.take.as_ref().map_or(0, |take| take.limit)
        };
        extend = ops::extend::extend, (ExtendRequest) -> Vec<Extended>, |extend| extend.leases.len();
    }

    fn exchange<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Exchanged> {
        Box::pin(async move {
            let (address, demand) = (queue.clone(), request.take.as_ref().map_or(0, |take| take.limit));
            let verb = if request.finished.is_empty() { "take" } else { "finish" };
            let written =
                self.engine.write_early(request.finished.len() + demand, move |tx| match &request {
                    FinishRequest { finished, take: Some(take), .. } if finished.is_empty() => {
                        let taken = ops::take::take(tx, &address, take)?;
                        Ok(Finished { answers: Vec::new(), taken: Some(taken) })
                    }
                    _ => ops::finish::finish(tx, &address, &request),
                });
            let name = self.engine.name();
            let (finished, syncing) = written.await.map_err(|fault| fault.into_error(verb, &name))?;
            let kept = syncing.map(|syncing| -> Answer<'static, ()> {
                Box::pin(async move { syncing.end().await.map_err(|fault| fault.into_error(verb, &name)) })
            });
            Ok(Exchanged { finished, kept })
        })
    }

    methods! {
        read deduplication_owner = ops::dedup::owner, (OwnerRequest) -> Option<JobId>;
        write release_deduplication = ops::dedup::release, (ReleaseRequest) -> bool;
        decide note = ops::note::note, (NoteRequest) -> u64;
        write announce = ops::announce::announce, (AnnounceRequest) -> ();
        decide cancel = ops::cancel::cancel, (CancelRequest) -> CancelAnswer;
        decide promote = ops::promote::promote, (PromoteRequest) -> Step;
        decide retry = ops::retry::retry, (RetryRequest) -> Step;
        decide reschedule = ops::reschedule::reschedule, (RescheduleRequest) -> ();
        decide remove = ops::remove::remove, (RemoveRequest) -> RemoveAnswer;
        decide detach = ops::family::detach, (DetachRequest) -> bool;
        write limit = ops::limit::limit, (LimitRequest) -> ();
        write set_meta = ops::meta::set_meta, (SetMetaRequest) -> MetaChanged;
        write drain = ops::drain::drain, (DrainRequest) -> Step;
        decide obliterate = ops::obliterate::obliterate, (ObliterateRequest) -> Step;
        write sweep = ops::sweep::sweep, (SweepRequest) -> Step;
        write trim_events = ops::publish::trim_events, (TrimEventsRequest) -> u64;
        read tally = ops::look::tally, (Tally) -> Vec<u64>;
        decide put_schedule = ops::schedule::put, (PutScheduleRequest) -> Scheduled;
        write advance_schedule = ops::schedule::advance, (AdvanceScheduleRequest) -> Advanced;
        write remove_schedule = ops::schedule::remove, (RemoveScheduleRequest) -> bool;
        read schedules = ops::schedule::page, (SchedulesRequest) -> SchedulesPage;
        read jobs = ops::look::jobs, (JobsRequest) -> JobsPage;
        read metrics = ops::metrics::metrics, (MetricsRequest) -> MetricsPage;
        read logs = ops::look::logs, (LogsRequest) -> LogsPage;
        read children = ops::children::children, (ChildrenRequest) -> ChildrenPage;
    }

    fn pause<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()> {
        let queue = queue.clone();
        self.write("pause", move |tx| ops::pause::pause(tx, &queue, now))
    }

    fn resume<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()> {
        let queue = queue.clone();
        self.write("resume", move |tx| ops::pause::resume(tx, &queue, now))
    }

    fn recover<'a>(&'a self, queue: &'a QueueAddress, request: RecoverRequest) -> Answer<'a, Recovered> {
        Box::pin(async move {
            let address = queue.clone();
            // Most checks find nothing, and need not get in the way of those who write.
            let found = self.read("recover", move |db| ops::recover::nothing(db, &address)).await?;
            if let Some(nothing) = found {
                return Ok(nothing);
            }
            let address = queue.clone();
            self.write("recover", move |tx| ops::recover::recover(tx, &address, &request)).await
        })
    }

    fn clean<'a>(&'a self, queue: &'a QueueAddress, request: CleanRequest) -> Answer<'a, Step> {
        Box::pin(async move {
            let address = queue.clone();
            let found = self.read("clean", move |db| ops::clean::find(db, &address, &request)).await?;
            let address = queue.clone();
            self.write("clean", move |tx| ops::clean::clean(tx, &address, &request, &found)).await
        })
    }

    fn wait<'a>(&'a self, queue: &'a QueueAddress, request: WaitRequest) -> Answer<'a, Woken> {
        Box::pin(async move {
            let bells = self.engine.bells();
            let waiting = self.engine.wait();
            let bell = bells.bell(queue);
            let mut newest = bell.work.subscribe();
            // What came after the last take that found nothing is news, whenever it came.
            let seen = if let Some(seen) = bell.idle_at() {
                seen
            } else {
                // No take of this process looked yet.
                let address = queue.clone();
                let row = self.read("wait", move |db| QueueRow::find(db, &address)).await?;
                if row.is_some_and(|row| {
                    !row.counts.paused && !row.is_full() && row.counts.waiting + row.counts.prioritized > 0
                }) {
                    return Ok(Woken::Look);
                }
                row.map_or(NO_MARK, |row| Marks::of(&row).work)
            };
            tokio::select! {
                biased;
                () = bells.closing() => Err(self.closed("wait")),
                _ = newest.wait_for(|mark| *mark > seen) => Ok(Woken::Look),
                never = waiting.listen() => match never {},
                () = tokio::time::sleep(request.timeout) => Ok(Woken::TimedOut),
            }
        })
    }

    fn cancellations<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: CancellationsRequest,
    ) -> Answer<'a, Vec<Cancellation>> {
        Box::pin(async move {
            let bells = self.engine.bells();
            let _waiting = self.engine.wait_beside();
            let mut news = bells.bell(queue).cancel.subscribe();
            let end = tokio::time::sleep(request.timeout);
            tokio::pin!(end);
            loop {
                news.mark_unchanged();
                let (address, asked) = (queue.clone(), request.clone());
                let found = self
                    .read("cancellations", move |db| ops::look::cancellations(db, &address, &asked))
                    .await?;
                if !found.is_empty() {
                    return Ok(found);
                }
                tokio::select! {
                    biased;
                    () = bells.closing() => return Err(self.closed("cancellations")),
                    _ = news.changed() => {}
                    () = &mut end => return Ok(found),
                }
            }
        })
    }

    fn schedule<'a>(&'a self, queue: &'a QueueAddress, id: &'a str) -> Answer<'a, Option<ScheduleInfo>> {
        let (queue, id) = (queue.clone(), id.to_owned());
        self.read("schedule", move |db| ops::schedule::one(db, &queue, &id))
    }

    fn job<'a>(&'a self, queue: &'a QueueAddress, id: &'a JobId) -> Answer<'a, Option<JobView>> {
        let (queue, id) = (queue.clone(), id.clone());
        self.read("job", move |db| ops::look::job(db, &queue, &id))
    }

    fn counts<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, JobCounts> {
        let queue = queue.clone();
        self.read("counts", move |db| ops::look::counts(db, &queue, now))
    }

    fn limits<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, QueueLimits> {
        let queue = queue.clone();
        self.read("limits", move |db| ops::limit::limits(db, &queue, now))
    }

    fn workers<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, Vec<WorkerInfo>> {
        let queue = queue.clone();
        self.read("workers", move |db| ops::look::workers(db, &queue, now))
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        self.read("queues", move |db| ops::look::queues(db, prefix.as_deref()))
    }

    fn events<'a>(&'a self, queue: &'a QueueAddress, request: EventsRequest) -> Answer<'a, EventsPage> {
        Box::pin(async move {
            let bells = self.engine.bells();
            let waiting = (!request.timeout.is_zero()).then(|| self.engine.wait());
            let mut news = bells.bell(queue).events.subscribe();
            let end = tokio::time::sleep(request.timeout);
            tokio::pin!(end);
            loop {
                news.mark_unchanged();
                let (address, after, limit) = (queue.clone(), request.after.clone(), request.limit.max(1));
                let page =
                    self.read("events", move |db| ops::look::events(db, &address, &after, limit)).await?;
                let Some(waiting) = waiting.as_ref().filter(|_| request.after != EventCursor::Now) else {
                    return Ok(page);
                };
                if !page.events.is_empty() || page.trimmed {
                    return Ok(page);
                }
                tokio::select! {
                    biased;
                    () = bells.closing() => return Err(self.closed("events")),
                    _ = news.changed() => {}
                    never = waiting.listen() => match never {},
                    () = &mut end => return Ok(page),
                }
            }
        })
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId> {
        let queue = queue.clone();
        self.write("publish", move |tx| ops::publish::publish(tx, &queue, &event, now))
    }

    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        self.decide("add_flow", move |tx| ops::flow::add_flow(tx, &request))
    }

    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>> {
        let queue = queue.clone();
        self.read("meta", move |db| ops::meta::meta(db, &queue))
    }

    fn describe(&self) -> String {
        self.engine.name()
    }

    /// The one writer runs what it is handed in that order, and it is handed when a call is first polled.
    fn keeps_order(&self) -> bool {
        true
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.engine.close().await;
            Ok(())
        })
    }
}
