//! The boundary: everything that a backend must be able to do, as some thirty intents in named sections.
//!
//! Above it are the faces ([`Queue`](crate::Queue)) and the worker engine, which know no backend. Below it are the stores, which
//! know nothing of them. What should happen to a job is decided above; a store makes it so, in one atomic step.
//!
//! Rules that hold for every intent:
//!
//! - **Atomic.** Each unit (a group of an add, one ending of a finish, one job of a bulk) happens as a whole or
//!   not at all, and so does everything that belongs to it: the move, the counters, the events.
//! - **Time enters as `now`.** A store looks at no clock to decide anything about a job. Only the waits of
//!   [`Store::wait`], [`Store::cancellations`] and [`Store::events`] are real time.
//! - **Bounded.** A call answers within the store's call deadline (10 s unless the store was built otherwise), or
//!   with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) (not applied) or [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous) (may have been applied).
//!   Bulk intents do a bounded step and say whether there is more.
//! - **Cancel-safe.** A caller may drop a call at any time; what was sent may still be applied.
//! - **A queue exists by being named.** Reading one that was never written to is not an error: it is empty.

//!
//! # Parents and children
//!
//! A job may have a parent, in any queue of the store, that waits for it. What holds whatever intent moves them:
//!
//! - A parent knows its children by kind ([`ChildKind`]): pending ones, and those that ended. A child knows its parent ([`Job::parent`](crate::Job::parent)) and
//!   what its failure does to it ([`ChildFailure`](crate::ChildFailure)). Either may be gone without the other; then nothing happens.
//! - A parent that waits for its children is *released* when none is pending any more: it is delayed by its delay, counted from then; else it goes to its place in
//!   `prioritized`; else to the front of `waiting`. Event `delayed`, or `waiting` with prev `waiting-children`.
//! - A pending child that completes: the parent has its result (processed). It may be released.
//! - A pending child that fails for good, or is cancelled. With [`FailParent`](crate::ChildFailure::FailParent) the parent notes when (failed), and gets the
//!   deferred failure `child KEY failed`, unless it has failed itself; if it waits for children or is delayed, it goes to be run at once, its delay forgotten, so that a
//!   worker fails it. With [`ContinueParent`](crate::ChildFailure::ContinueParent) the parent notes why (ignored), and is released although others are
//!   pending. With [`Ignore`](crate::ChildFailure::Ignore) it notes why (ignored), with [`Remove`](crate::ChildFailure::Remove) nothing; it may be released. Without any of these the child stays pending.
//! - A pending child that is removed, by hand or by retention, is pending no more; the parent may be released. What it notes of children that have
//!   ended stays.
//! - A child that is retried is pending again, if its parent knew it as ended. A deferred failure that was due to it is taken back: it is
//!   another failed child's, or none; and then the parent, if it is waiting or prioritized, waits for its children again (event `waiting-children` with that state as prev).
//! - All this is written before what is told of the child itself.

mod flow;
mod gate;
mod listen;
mod look;
mod meta;
mod produce;
mod schedule;
mod steer;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use self::flow::{
    AddFlowRequest, Child, ChildCounts, ChildKind, ChildOutcome, ChildrenCursor, ChildrenPage,
    ChildrenRequest, DetachRequest, FLOW_BYTES_MAX, FLOW_NODES_MAX, Flow, FlowNode, OnRefusal, ParentRefusal,
    PlannedNode, REMOVE_JOBS_MAX, too_many_below,
};
pub use self::gate::Gate;
pub use self::listen::{EventsPage, EventsRequest, TrimEventsRequest};
pub use self::look::{
    ANNOUNCE_FOR, ANNOUNCE_WHOLE, JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest,
    METRICS_POINTS_MAX, MetricsPage, MetricsRequest, Order, QueueInfo, QueueLimits, RateWindow, Tally,
    WorkerInfo,
};
pub use self::meta::{
    EVENTS_KEPT_DEFAULT, META_BYTES_MAX, META_FIELDS_MAX, MetaChanged, MetaField, SetMetaRequest,
};
pub use self::produce::{AddGroup, AddRequest, Added, Fate, OwnerRequest, ReleaseRequest};
pub use self::schedule::{
    Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, NextRun, PutScheduleRequest,
    RemoveScheduleRequest, SLOTS_TRIED_MAX, ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest,
};
pub use self::steer::{
    CancelAnswer, CancelRequest, Change, CleanRequest, DrainRequest, Limit, LimitRequest, ObliterateRequest,
    PromoteRequest, RemoveAnswer, RemoveRequest, RemoveScope, RescheduleRequest, RetryRequest, Step,
    SweepRequest,
};
pub use self::work::{
    AnnounceRequest, Cancellation, CancellationsRequest, Exchanged, ExtendRequest, Extended, Finish,
    FinishRequest, Finished, Idle, Known, Note, NoteRequest, RateLimit, RecoverRequest, Recovered,
    TakeRequest, Taken, WaitRequest, Woken,
};

use crate::address::{JobId, QueueAddress};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::events::{Event, EventId};
use crate::job::JobView;
use crate::metrics::CallTimes;

/// What an intent returns: a future that owns or borrows all it needs.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The most jobs in one group of an add, and the most that one bulk step moves.
pub const GROUP_JOBS_MAX: usize = 1_000;

/// The most delayed jobs that one take promotes.
pub const PROMOTE_PER_TAKE_MAX: usize = 1_000;

/// A place where jobs are kept. Object-safe; shared as `Arc<dyn Store>`.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    // ---------------------------------------------------------------- produce

    /// Adds jobs, many in one call.
    ///
    /// # Behavior
    /// - Each group is created whole or not at all, and answered by itself, in the order given: a group that is
    ///   refused leaves the others alone. Groups take effect in order, and so do the jobs in a group.
    /// - Each job spends one number of the queue's id counter, also when it has an id of its own, and when it
    ///   turns out to be there already. The number is the id of a job that brings none.
    /// - A job whose own id is there already is not added: the answer is [`Fate::Existing`] with the state it is in, its
    ///   data and place stay as they are, and the event `duplicated` is written.
    /// - A job with a deduplication id that is free, or whose owner is gone though it is taken until the owner has finished,
    ///   takes it and is created. Otherwise nothing is created ([`Fate::Deduplicated`], event `deduplicated` of the owner), with these
    ///   exceptions. With `replace` and an owner that is delayed, the owner is removed (event `removed`, then `deduplicated` of the new job,
    ///   which names the old one) and the new job created ([`Fate::Replaced`]); the id is taken for the new `ttl` if that is to
    ///   extend, or if there is none, else for what is left of the old one. With `keep_last_if_active`
    ///   and an owner that is active, the job is kept as the next one ([`Fate::KeptAsNext`], event `deduplicated` of the owner). Without
    ///   `replace`, `extend` begins the `ttl` anew, and `reschedule` makes a delayed owner due at the new job's timestamp + delay (event
    ///   `delayed`).
    /// - A deduplication id is free again when its owner has completed or failed for good, unless it was taken for a
    ///   `ttl`: then when that is over, whatever becomes of the owner. It is free at once when the owner is removed by hand ([`remove`](Store::remove),
    ///   [`clean`](Store::clean), [`drain`](Store::drain)), but not when retention removes it. (After [`obliterate`](Store::obliterate) an id that was taken for a `ttl` by a job
    ///   that is gone may be taken until that is over.) When the owner has finished, the job that was kept as the next one is created:
    ///   events `added`, then `waiting` or `delayed`, before those of the ending.
    /// - The job goes to `delayed` if its delay is more than 0 (due at its timestamp + delay), else to
    ///   `prioritized` if its priority is more than 0 (behind its equals), else to the back of `waiting`, or to the front if it is lifo.
    /// - A paused queue takes jobs as always; they wait.
    /// - A job with a parent is a pending child of it from then on, whatever state the parent is in. If the job is there already, it becomes
    ///   one if it has no parent, or one that is gone: its result counts at once if it has completed, and the parent may be released by it.
    /// - Events: `added`, then `waiting` or `delayed`. Whoever [waits](Store::wait) for work is woken.
    /// - Requests were validated above: at most [`GROUP_JOBS_MAX`] jobs in a group.
    ///
    /// # Errors
    /// For a group, if it has a job with a parent: [`NotFound`](crate::ErrorKind::NotFound): the parent is not there; [`Refused`](crate::ErrorKind::Refused): the job is there already, and has another
    /// parent that is, or has failed (unless its parent knows), or the parent waits for it; [`Unsupported`](crate::ErrorKind::Unsupported): the store cannot write to both queues in one step (Redis Cluster).
    ///
    /// For the whole call: nothing was added ([`Unavailable`](crate::ErrorKind::Unavailable), [`Full`](crate::ErrorKind::Full), ..), or nobody knows ([`Ambiguous`](crate::ErrorKind::Ambiguous)).
    fn add<'a>(&'a self, queue: &'a QueueAddress, request: AddRequest)
    -> Answer<'a, Vec<Result<Vec<Added>>>>;

    /// Adds flows: trees of jobs, in whatever queues, of which each parent waits for its children.
    ///
    /// # Behavior
    /// - Each flow is created whole or not at all, and answered by itself, in the order given, a node at a time; unless
    ///   [`OnRefusal::KeepRest`] is asked for. What is refused is found out before anything is written.
    /// - The nodes of all flows take effect level by level: the roots, then their children, ..; each as in [`add`](Self::add), and spends a
    ///   number of its queue's counter, too. A node with children goes to `waiting-children` instead, since its timestamp: events `added`, `waiting-children`. Its
    ///   delay and priority count when it is released.
    /// - In the end each parent that has nothing pending is released: all its children were there, and completed.
    /// - A flow may hang from a job that is there: the root's option `parent`.
    ///
    /// # Errors
    /// For a flow: as for a group of [`add`](Self::add). For the whole call also [`Invalid`](crate::ErrorKind::Invalid): a tree that is none, or more than
    /// [`FLOW_NODES_MAX`] nodes, or [`FLOW_BYTES_MAX`] of data.
    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>>;

    /// The job that owns a deduplication id; `None` if it is free. The job may be gone, see [`Fate::Deduplicated`].
    fn deduplication_owner<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: OwnerRequest,
    ) -> Answer<'a, Option<JobId>>;

    /// Frees a deduplication id, so that the next job with it is created. Returns whether it was taken.
    ///
    /// # Behavior
    /// - A job that was kept as the next one stays kept: it is created when the job has finished that was active then,
    ///   unless another one owns the id by then.
    fn release_deduplication<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: ReleaseRequest,
    ) -> Answer<'a, bool>;

    // ---------------------------------------------------------------- work

    /// Gives up to `request.limit` jobs that are due, in order: `waiting` from the front, then `prioritized` by
    /// priority and first in, first out.
    ///
    /// # Behavior
    /// - No job is given to two callers. Each comes with a lease until `now + lease_for`, under `request.token`;
    ///   with [`Token::none`](crate::Token::none) there is no lease, and no protection either.
    /// - First, up to [`PROMOTE_PER_TAKE_MAX`] delayed jobs that are due at `now` are promoted, earliest first: to the back of
    ///   `waiting`, or to their place in `prioritized`; their delay becomes 0; event `waiting` with prev `delayed`. Also on a paused queue.
    /// - A paused, rate-limited or full queue gives none and says why, and until when if that is known. No more jobs are ever
    ///   active, or taken in one window, than the [limits](Limit) of the queue allow, whoever takes.
    /// - A job that is given counts one more start (`attempts_started`), gets `processed_on` and the worker's name, and the event
    ///   `active` with prev `waiting`.
    /// - A job with a deferred failure is given like any other; the caller must fail it with that reason.
    /// - When fewer than `limit` are given, `idle` says why: [`Idle::Empty`] carries when the next delayed job is due.
    ///
    /// # Errors
    /// After [`Ambiguous`](crate::ErrorKind::Ambiguous) jobs may be leased to `request.token`; they are found by [`Store::jobs`] among the active ones.
    fn take<'a>(&'a self, queue: &'a QueueAddress, request: TakeRequest) -> Answer<'a, Taken>;

    /// Writes the endings of jobs, answers for each, and may take the next ones in the same call.
    ///
    /// # Behavior
    /// - Each ending is checked, then written whole: [`Ending`](crate::Ending) says what happens. One that is refused changes
    ///   nothing and leaves the others alone. Answers are in the order given.
    /// - A lease is good if the job is active and held by the lease's token. A lease that ran out is still good
    ///   as long as nobody recovered the job.
    /// - If somebody [asked to cancel](Store::cancel) the job and `heeds_cancel` is not set, the answer is
    ///   [`CancelRequested`](crate::ErrorKind::CancelRequested) with their reason, and nothing changes: the caller decides anew. Every ending that is written
    ///   ends the request.
    /// - Completed, Failed: `attempts_made` grows by one; the result or reason is stored; the retention is
    ///   applied to the finished jobs of that kind: first those that are too old, the newest of them first, at most its `limit`; then all but the newest `count`. With count 0 the
    ///   job itself is removed; its events are written all the same. A job kept with an age is also removed by [`Store::sweep`] when its time has come.
    /// - Retry: `attempts_made` grows by one, the failure is stored; the job waits or is delayed. One whose time is past
    ///   is delayed all the same, due at `now`, and promoted by the next take. So it is with one that is postponed.
    /// - Postponed, Returned, `AwaitChildren`: no attempt is spent.
    /// - `AwaitChildren`: the job goes to `waiting-children`, event `waiting-children` with prev `active`; if there is nothing to wait for, it is returned.
    /// - Events: `completed` or `failed` (then `retries-exhausted` if the attempts made have reached `attempts`), `waiting` with
    ///   prev `active`, or `delayed`. Then those of the take; else `drained`, if the last ending was completed or failed and nothing is waiting, prioritized or active.
    ///   (With a take, `drained` comes only if it found neither a job, nor a later one, nor a pause or limit.)
    /// - `take` is [`Store::take`], after the endings.
    ///
    /// # Errors
    /// For one ending: [`NotFound`](crate::ErrorKind::NotFound) (the job is gone), [`NotLocked`](crate::ErrorKind::NotLocked) (nobody holds it: recovered, or finished by somebody else),
    /// [`LockedByAnother`](crate::ErrorKind::LockedByAnother), [`WrongState`](crate::ErrorKind::WrongState) (a token of none, and the job is not active), [`CancelRequested`](crate::ErrorKind::CancelRequested);
    /// of a completion [`PendingChildren`](crate::ErrorKind::PendingChildren); of a completion, and of waiting for children, [`FailedChildren`](crate::ErrorKind::FailedChildren).
    /// The lease is looked at first, then a request to cancel, then the children, then the state.
    fn finish<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Finished>;

    /// [`finish`](Store::finish), or [`take`](Store::take) if nothing is to be finished, for a caller who has use for jobs before it is
    /// certain that this call survives all that the store's writes survive.
    ///
    /// # Behavior
    /// - Others see the jobs leased and the endings written when this answers, if not before.
    /// - [`Exchanged::kept`] ends when what was written survives, say, a power cut. Before that nobody is to be told of the endings, and the jobs
    ///   may be begun by those who can bear to begin them again: after such a cut they may be as if they had not been taken.
    /// - A store whose answers always hold has this default.
    ///
    /// # Errors
    /// Those of the call that is made.
    fn exchange<'a>(&'a self, queue: &'a QueueAddress, request: FinishRequest) -> Answer<'a, Exchanged> {
        Box::pin(async move {
            let finished = match request {
                FinishRequest { finished, take: Some(take), .. } if finished.is_empty() => {
                    Finished { answers: Vec::new(), taken: Some(self.take(queue, take).await?) }
                }
                request => self.finish(queue, request).await?,
            };
            Ok(finished.into())
        })
    }

    /// Keeps leases: each lasts until `now + lease_for` from then on. Answers for each, in the order given.
    ///
    /// # Behavior
    /// - A job that is not active, or held by another token, is [`Extended::Lost`]; nothing changes for it.
    /// - A lease that ran out, but was not yet recovered, is kept.
    /// - If somebody asked to cancel the job, the lease is kept and the answer is [`Extended::CancelRequested`], every
    ///   time until the job ends.
    fn extend<'a>(&'a self, queue: &'a QueueAddress, request: ExtendRequest) -> Answer<'a, Vec<Extended>>;

    /// Brings back the jobs of dead workers: active jobs whose lease has run out at `now`.
    ///
    /// # Behavior
    /// - The job goes to the front of `waiting`, also if it has a priority; `stalled_count` grows by one; events
    ///   `waiting` with prev `active`, then `stalled`.
    /// - If `stalled_count` is now more than `max_stalled`, the job gets the deferred failure
    ///   `job stalled more than allowable limit`: the next worker that takes it fails it with that reason.
    /// - The job of a schedule never gets it, as long as the schedule is there: it would end with the job.
    /// - A job taken without a lease is recovered when it was taken more than `interval` ago.
    /// - At most [`GROUP_JOBS_MAX`] per call. Returns the ids of those that were brought back.
    /// - It also says whether the queue was [empty](Recovered::empty): then nothing can be lost there, and workers look less often.
    fn recover<'a>(&'a self, queue: &'a QueueAddress, request: RecoverRequest) -> Answer<'a, Recovered>;

    /// Waits until there may be something to take. Real time; a hint, never a promise.
    ///
    /// # Behavior
    /// - Returns [`Woken::Look`] soon after a job came to wait, from whatever process, and after `resume` and the end of a limit that was
    ///   lifted, and when a queue in which jobs wait is full no more; [`Woken::TimedOut`] after `request.timeout`.
    /// - No wake-up is lost between an empty [`Store::take`] and this call.
    /// - One of several that wait may be woken, or all; so look, and be ready to find nothing.
    /// - Dropping the call loses nothing.
    fn wait<'a>(&'a self, queue: &'a QueueAddress, request: WaitRequest) -> Answer<'a, Woken>;

    /// Waits until somebody asks to cancel a running job of this worker. Real time; a hint: [`Store::extend`]
    /// tells it too.
    ///
    /// # Behavior
    /// - Returns the requests for jobs that are held by a token of the worker (its id, `:`, and anything), as soon as
    ///   there are any that are not in `request.known`; empty after `request.timeout`.
    fn cancellations<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: CancellationsRequest,
    ) -> Answer<'a, Vec<Cancellation>>;

    /// Writes down something about a job: its progress, a log line, new data.
    ///
    /// # Behavior
    /// - In any state, and without a lease. [`Note::Progress`] writes the event `progress`; the others write none.
    /// - Returns how many log lines the job has after the call, or 0 if the note was not about the log.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    fn note<'a>(&'a self, queue: &'a QueueAddress, request: NoteRequest) -> Answer<'a, u64>;

    /// Tells that a worker is there, until `now + ttl`; with a `ttl` of zero, that it is gone. Whether it was known does not matter.
    fn announce<'a>(&'a self, queue: &'a QueueAddress, request: AnnounceRequest) -> Answer<'a, ()>;

    // ---------------------------------------------------------------- steer

    /// Asks for a job to be cancelled.
    ///
    /// # Behavior
    /// - Waiting, prioritized, delayed, waiting for children: it fails at once, for good, with the reason
    ///   `cancelled: ` + reason; event `failed` with prev the state it was in; no attempt is spent.
    /// - Active, and held by a worker that has [announced](Store::announce) itself: the request is kept with the lease, the holder is
    ///   [woken](Store::cancellations), and the answer is [`CancelAnswer::Requested`]. The request dies with the attempt.
    /// - Active, and held by anybody else: [`CancelAnswer::Unreachable`], with the holder's name as far as it is known.
    /// - Finished already: [`CancelAnswer::Finished`]; nothing changes.
    /// - The first request stands: a second one is answered alike, and its reason is dropped. A job that is cancelled
    ///   before it starts is kept, whatever its retention, until it is removed by hand.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Refused`](crate::ErrorKind::Refused): it has not started, and is the current job of a
    /// [schedule](Store::put_schedule), which would end with it.
    fn cancel<'a>(&'a self, queue: &'a QueueAddress, request: CancelRequest) -> Answer<'a, CancelAnswer>;

    /// Lets delayed jobs run now: one, or a step of all.
    ///
    /// # Behavior
    /// - The job goes to the back of `waiting`, or to its place in `prioritized`; its delay becomes 0; event `waiting` with prev `delayed`.
    /// - All: earliest first, at most `limit` (1 to [`GROUP_JOBS_MAX`]) per call.
    ///
    /// # Errors
    /// One: [`NotFound`](crate::ErrorKind::NotFound), [`WrongState`](crate::ErrorKind::WrongState).
    fn promote<'a>(&'a self, queue: &'a QueueAddress, request: PromoteRequest) -> Answer<'a, Step>;

    /// Runs finished jobs again: one, or a step of many.
    ///
    /// # Behavior
    /// - The job goes to `waiting` (at the back, or the front if it is lifo) or to its place in `prioritized`. Its
    ///   finish and start times and its result or reason are forgotten, and its counters as asked for; stacks, progress and log stay. Event `waiting` with prev
    ///   the state it was in.
    /// - Many: those that finished at or before `finished_until`, oldest first, at most `limit` per call.
    ///
    /// # Errors
    /// One: [`NotFound`](crate::ErrorKind::NotFound), [`WrongState`](crate::ErrorKind::WrongState) (not in `state`).
    fn retry<'a>(&'a self, queue: &'a QueueAddress, request: RetryRequest) -> Answer<'a, Step>;

    /// Changes when a delayed job is due, or the priority of a job.
    ///
    /// # Behavior
    /// - [`Change::Delay`]: the job must be delayed; it is due at `now + delay`; event `delayed`.
    /// - [`Change::Priority`]: if the job waits, it is placed anew, behind its equals, or before them with `lifo`; in other states only the
    ///   priority is stored, and counts when it waits the next time. No event.
    /// - Of several with one priority that were put before their equals, here or by [`Ending::Returned`](crate::Ending::Returned), the order
    ///   among each other is open: BullMQ's format has one place for all of them.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); delay: [`WrongState`](crate::ErrorKind::WrongState).
    fn reschedule<'a>(&'a self, queue: &'a QueueAddress, request: RescheduleRequest) -> Answer<'a, ()>;

    /// Removes a job and all that belongs to it, in any state but one: a job under a lease that has
    /// not run out stays ([`RemoveAnswer::Locked`]). Event `removed` with prev the state it was in (`wait` for waiting, as BullMQ writes it).
    ///
    /// # Behavior
    /// - With its children: theirs go too, and so on, in whatever queues; children first. If somebody holds the job or one
    ///   of the pending ones below it, nothing is removed. The parent is not released by this.
    /// - Only the pending children: those that are held or have failed stay, with all below them. Then the job itself may be released.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused): there are more than [`REMOVE_JOBS_MAX`] jobs below it; or it has not ended, and is the current job of a
    /// [schedule](Store::put_schedule), which would end with it.
    fn remove<'a>(&'a self, queue: &'a QueueAddress, request: RemoveRequest) -> Answer<'a, RemoveAnswer>;

    /// Takes a child from its parent: it is pending no more, and has no parent; the parent may be released. Whether it was
    /// pending: if not, nothing changes.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound): the child, or its parent.
    fn detach<'a>(&'a self, queue: &'a QueueAddress, request: DetachRequest) -> Answer<'a, bool>;

    /// Pauses the queue: nothing is taken until it is resumed. Running jobs go on. Event `paused`, each time.
    fn pause<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()>;

    /// Ends the pause. Event `resumed`, each time.
    fn resume<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, ()>;

    /// Sets one of the [limits](Limit) of the queue, or lifts it. No event.
    fn limit<'a>(&'a self, queue: &'a QueueAddress, request: LimitRequest) -> Answer<'a, ()>;

    /// Sets and removes named fields of the queue: settings that others keep with it, by the names and in the form of BullMQ's `meta`.
    ///
    /// # Behavior
    /// - All of it in one step: first what is set, then what is removed. A queue of which only a field was set is [there](Store::queues).
    /// - The fields of [`MetaField`] are the same as what the call of that meaning sets: setting or removing one has its effect, but writes no event. A rate
    ///   counts when there is a `max` and a window: the queue's or the worker's. Without `opts.maxLenEvents` it is [`EVENTS_KEPT_DEFAULT`].
    /// - Whoever [waits](Store::wait) for work is woken if there may be some now.
    /// - Requests were [checked](SetMetaRequest::check) above.
    fn set_meta<'a>(&'a self, queue: &'a QueueAddress, request: SetMetaRequest) -> Answer<'a, MetaChanged>;

    /// Removes a step of the jobs that wait: waiting and prioritized ones, and the delayed ones if asked.
    ///
    /// # Behavior
    /// - The current jobs of [schedules](Store::put_schedule) stay.
    /// - At most `limit` (1 to [`GROUP_JOBS_MAX`]) per call. No events.
    /// - A parent *in the same queue* that waited only for jobs that are removed here goes with them (event `removed`), and so on upwards; it does not count. So it
    ///   is with [`clean`](Self::clean). A parent in another queue is released.
    fn drain<'a>(&'a self, queue: &'a QueueAddress, request: DrainRequest) -> Answer<'a, Step>;

    /// Removes a step of the jobs in one state that are old.
    ///
    /// # Behavior
    /// - Old: finished (completed, failed), else last taken, else created, at or before `older_than`; delayed
    ///   jobs by that too, whenever they are due. Waiting and prioritized jobs count by their creation only.
    /// - Finished ones oldest first; delayed and prioritized in the order in which they would run; active ones only without
    ///   a lease.
    /// - The current jobs of [schedules](Store::put_schedule) stay, unless they have finished.
    /// - At most `limit` (1 to [`GROUP_JOBS_MAX`]) per call. Event `cleaned` with the count, each call.
    fn clean<'a>(&'a self, queue: &'a QueueAddress, request: CleanRequest) -> Answer<'a, Step>;

    /// Removes a step of everything of the queue; in the end the queue itself, its events and its id counter.
    ///
    /// # Behavior
    /// - Pauses the queue first. At most `limit` jobs per call; call until there is no more.
    /// - Afterwards the queue is as if it had never been named. Children in other queues stay, and have no parent; parents in other queues may be released.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused): jobs are active, and it is not forced; nothing was removed, but the queue stays paused.
    fn obliterate<'a>(&'a self, queue: &'a QueueAddress, request: ObliterateRequest) -> Answer<'a, Step>;

    /// Removes a step of the finished jobs that were kept for an age which is over at `now`. No events.
    fn sweep<'a>(&'a self, queue: &'a QueueAddress, request: SweepRequest) -> Answer<'a, Step>;

    // ---------------------------------------------------------------- schedule

    /// Makes a schedule with its next job, or gives the one with this id another rule or template.
    ///
    /// A schedule has one *current* job, that of its next *slot*: it waits in `delayed`, and whoever starts it makes the next one
    /// first, by [`advance_schedule`](Store::advance_schedule). The job's id is `repeat:<schedule>:<slot in ms>`, so a slot has one job.
    ///
    /// # Behavior
    /// - The slot: of a pattern `at`; of "every" by [`next_every`](crate::schedule::next_every) from the slot before, if there is one and the rule is the same;
    ///   else from now, or from its start. Another `every`, another `offset`, or a start that is new and still to come are another rule.
    /// - If the current job of the schedule that is there waits (delayed, prioritized, waiting; also on a paused queue), it is removed,
    ///   silently. The new one takes its slot if the rule is the same "every", or the same pattern and zone and the slot is due: a run that is
    ///   due is not lost. An active or finished current job stays as it is.
    /// - "Every" passes over slots whose job is there already, up to [`SLOTS_TRIED_MAX`] of them.
    /// - The schedule counts the jobs that it made, also over puts; one that replaces another counts once. That number is the
    ///   `repeat.count` of the job. If it would be more than the limit, no job is made; the rule and the template are kept all the same.
    /// - The job has the template's name, data and options; to these are added `repeat` (the rule), `repeatJobKey` (the id),
    ///   and for patterns `prevMillis` (the slot). Its timestamp is `now`, its delay what is left until the slot; without one it waits or is
    ///   prioritized at once. It spends one number of the id counter. Events: `added`, then `waiting` or `delayed`.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused): the job of the slot (of "every": and of those after it) is there already. Nothing changes.
    fn put_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: PutScheduleRequest,
    ) -> Answer<'a, Scheduled>;

    /// Makes the next job of a schedule, of which a job has started.
    ///
    /// # Behavior
    /// - Only if `job` is the current one of the schedule; else [`AdvanceFate::Passed`], or [`AdvanceFate::Gone`]. So it may be repeated.
    /// - The slot: of a pattern `at`; of "every" by [`next_every`](crate::schedule::next_every) from the current slot and what is kept with the schedule, passing
    ///   over those before `left_out_before` and those whose job is there already. One later than the end of the rule is
    ///   [`AdvanceFate::Ended`], and nothing is made.
    /// - A job that is there already in the slot: [`AdvanceFate::Taken`]; event `duplicated` for it; nothing else.
    /// - The job has the schedule's name and data, and `options`; the rest is as with [`put_schedule`](Store::put_schedule). It becomes the current one.
    /// - With `alone` the answer names a job of an earlier slot of this schedule that is active, whatever else is answered.
    fn advance_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: AdvanceScheduleRequest,
    ) -> Answer<'a, Advanced>;

    /// Removes a schedule; whether it was there.
    ///
    /// # Behavior
    /// - Its current job goes with it if it is delayed; event `removed` with prev `delayed`. Otherwise it stays, runs, and is the last one.
    fn remove_schedule<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: RemoveScheduleRequest,
    ) -> Answer<'a, bool>;

    /// One schedule; `None` if there is none.
    fn schedule<'a>(&'a self, queue: &'a QueueAddress, id: &'a str) -> Answer<'a, Option<ScheduleInfo>>;

    /// A page of the schedules, by slot; those of the same slot by id. Writes nothing, also if something damaged is found.
    fn schedules<'a>(
        &'a self,
        queue: &'a QueueAddress,
        request: SchedulesRequest,
    ) -> Answer<'a, SchedulesPage>;

    // ---------------------------------------------------------------- look

    /// One job and where it is; `None` if there is none.
    fn job<'a>(&'a self, queue: &'a QueueAddress, id: &'a JobId) -> Answer<'a, Option<JobView>>;

    /// A page of the jobs in some states.
    ///
    /// # Behavior
    /// - State by state in the order asked for, as one sequence; `offset` and `limit` cut the page out of it.
    /// - [`Order::Ascending`]: waiting and prioritized as they would be taken, delayed by due time, active by when they were taken, finished by
    ///   when they finished. [`Order::Descending`] is the reverse of each state.
    fn jobs<'a>(&'a self, queue: &'a QueueAddress, request: JobsRequest) -> Answer<'a, JobsPage>;

    /// How many jobs are in each state, and whether the queue is held.
    fn counts<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, JobCounts>;

    /// How many jobs lie in parts of a state: a number for each part.
    fn tally<'a>(&'a self, queue: &'a QueueAddress, tally: Tally) -> Answer<'a, Vec<u64>>;

    /// The limits of the queue, and whether it is at one of them.
    fn limits<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, QueueLimits>;

    /// The named fields of the queue, see [`set_meta`](Store::set_meta); none of a queue that is not there.
    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>>;

    /// What was counted of the jobs that completed, or failed, by workers that count.
    ///
    /// # Behavior
    /// - A finish with [`metrics`](FinishRequest::metrics) counts each of its jobs that completes or fails for good, at its `now`. The first one of a
    ///   state begins a minute; each one of a later minute ends the one that runs: the jobs counted in it become the newest
    ///   point, and then there is a point of 0 for each minute in which none was counted. The oldest points beyond as many as the finish says are dropped.
    /// - After a pause that is longer than all points kept, the last minute before it becomes the oldest point.
    fn metrics<'a>(&'a self, queue: &'a QueueAddress, request: MetricsRequest) -> Answer<'a, MetricsPage>;

    /// A page of a job's log lines; empty if there is no such job.
    fn logs<'a>(&'a self, queue: &'a QueueAddress, request: LogsRequest) -> Answer<'a, LogsPage>;

    /// A page of a job's children, and how many there are; empty if there is no such job.
    ///
    /// # Behavior
    /// - Kind by kind in the order asked for, as one sequence; within a kind in an order of the store's own, which stays the same.
    ///   Each child that is there all the while is given once.
    fn children<'a>(&'a self, queue: &'a QueueAddress, request: ChildrenRequest) -> Answer<'a, ChildrenPage>;

    /// The workers that have announced themselves for this queue and are not gone at `now`.
    fn workers<'a>(&'a self, queue: &'a QueueAddress, now: Timestamp) -> Answer<'a, Vec<WorkerInfo>>;

    /// The queues under a prefix, by name; of every prefix if `None`.
    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>>;

    // ---------------------------------------------------------------- listen

    /// Events of the queue after a cursor, oldest first; waits for some if there are none. Real time.
    ///
    /// # Behavior
    /// - With [`EventCursor::Now`](crate::EventCursor::Now) the answer is immediate and empty, and its cursor is the end of the stream: what
    ///   is written after that is read from it.
    /// - Otherwise up to `limit` events; if there are none, waits until there are, at most `timeout`.
    /// - `trimmed` is true if events between the cursor and the first one given are gone.
    fn events<'a>(&'a self, queue: &'a QueueAddress, request: EventsRequest) -> Answer<'a, EventsPage>;

    /// Writes an event of the users' own into the queue's stream.
    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, now: Timestamp) -> Answer<'a, EventId>;

    /// Lets go of a queue's old events, and may change how many are kept. Returns how many went.
    ///
    /// # Behavior
    /// - A store lets go of whole blocks of events: what is kept may be more than asked for.
    fn trim_events<'a>(&'a self, queue: &'a QueueAddress, request: TrimEventsRequest) -> Answer<'a, u64>;

    // ---------------------------------------------------------------- the store itself

    /// What this store is, without secrets: `sqlite:/var/lib/app/jobs.db`.
    fn describe(&self) -> String;

    /// Whether calls take effect in the order in which they were begun: each was polled once before the next one was, and no store
    /// call of another task came between. What a call reads is ordered only against calls that were answered.
    fn keeps_order(&self) -> bool {
        false
    }

    /// Drops the connections it has and makes new ones, if it has any; calls that are under way may answer
    /// [`Ambiguous`](crate::ErrorKind::Ambiguous). For a worker that sees work and gets none.
    fn renew(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// How long the calls to this store took in this process, by verb; those that wait by design are not timed. Empty
    /// for a store that nobody times: `connect` gives one that is.
    fn call_times(&self) -> Vec<CallTimes> {
        Vec::new()
    }

    /// Writes what is still to be written, and closes. Later calls answer [`Closed`](crate::ErrorKind::Closed).
    fn close(&self) -> Answer<'_, ()>;
}
