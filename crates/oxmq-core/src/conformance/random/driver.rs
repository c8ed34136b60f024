//! Does each step on both sides, and compares.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use super::super::harness::{Harness, failure, ms, spell, worker};
use super::super::model::Model;
use super::{End, FlowSpec, Keep, ONCE_IDS, Once, Op, Spec, Text, Turn};
use crate::address::{JobId, JobKey, QueueAddress, Token};
use crate::clock::Timestamp;
use crate::deduplication::Deduplication;
use crate::error::{Error, ErrorKind};
use crate::events::{Event, EventCursor, EventKind};
use crate::job::{JobView, Lease, LeasedJob, NewJob};
use crate::json::JsonText;
use crate::options::{JobOptions, Retention};
use crate::outcome::Ending;
use crate::schedule::Repeat;
use crate::schedule::step::slot_of;
use crate::state::JobState;
use crate::store::{
    AddFlowRequest, AddGroup, AddRequest, Advance, AdvanceFate, AdvanceScheduleRequest, AnnounceRequest,
    CancelRequest, CancellationsRequest, Change, ChildKind, ChildrenRequest, CleanRequest, DetachRequest,
    DrainRequest, EventsRequest, ExtendRequest, Fate, Finish, FinishRequest, Flow, FlowNode, Idle,
    JobsRequest, Limit, LimitRequest, LogsRequest, MetricsRequest, Note, NoteRequest, ObliterateRequest,
    OnRefusal, Order, OwnerRequest, PromoteRequest, PutScheduleRequest, RateLimit, RecoverRequest,
    ReleaseRequest, RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest, Scheduled,
    SchedulesRequest, Step, SweepRequest, TakeRequest, Taken,
};

/// Odd, so that no lease runs out exactly at a step.
const LEASE: Duration = ms(30_001);
const INTERVAL: Duration = ms(30_000);
const ALL: usize = 1_000;

pub(super) struct Driver<'a> {
    harness: &'a Harness,
    model: Model,
    queues: [Side; 2],
    /// How many ids were drawn for nodes of flows.
    drawn: usize,
    /// The number and name of the step, to be told when something differs.
    at: String,
}

/// What the driver knows of a queue.
struct Side {
    address: QueueAddress,
    /// The ids of all jobs that were ever there.
    jobs: Vec<JobId>,
    /// Leases that were given, newest last; some are not good any more.
    leases: Vec<Lease>,
    /// Where to read events from, in the store and in the model.
    cursors: (EventCursor, EventCursor),
}

fn kinds<T>(answer: Result<T, Error>) -> Result<T, ErrorKind> {
    answer.map_err(|error| error.kind())
}

fn name_of(worker: u8) -> Option<String> {
    (worker > 0).then(|| format!("worker {worker}"))
}

impl<'a> Driver<'a> {
    pub(super) fn new(harness: &'a Harness) -> Self {
        let side = |name: &str| Side {
            address: QueueAddress::new(name).unwrap(),
            jobs: Vec::new(),
            leases: Vec::new(),
            cursors: (EventCursor::Oldest, EventCursor::Oldest),
        };
        Self { harness, model: Model::new(), queues: [side("one"), side("two")], drawn: 0, at: String::new() }
    }

    fn now(&self) -> Timestamp {
        self.harness.now()
    }

    #[track_caller]
    fn same<T: PartialEq + Debug>(&self, what: &str, store: &T, model: &T) {
        // Reasons name children as their keys are stored: on a cluster a prefix may have braces there.
        let is_same =
            store == model || format!("{store:?}").replace("{bull}", "bull") == format!("{model:?}");
        assert!(is_same, "{}: {what} differs\n   store: {store:?}\n   model: {model:?}", self.at);
    }

    pub(super) async fn step(&mut self, number: usize, other: bool, op: Op) {
        let index = usize::from(other);
        self.at = format!("step {number} on queue {index}: {op:?}");
        self.harness.advance(ms(2)).await;
        // In which order jobs are brought back, or go, is left open here and there.
        let unordered_releases = matches!(
            op,
            Op::Obliterate { .. } | Op::Sweep | Op::Clean { state: JobState::WaitingChildren, .. }
        );
        let unordered_events = matches!(op, Op::Recover { .. } | Op::Remove(..)) || unordered_releases;
        self.act(index, op).await;
        if unordered_releases {
            self.settle_releases().await;
        }
        let stuck = self.model.stuck_parents();
        assert!(stuck.is_empty(), "{}: {stuck:?} wait for nothing", self.at);
        for index in 0..self.queues.len() {
            self.compare(index, unordered_events).await;
        }
    }

    async fn act(&mut self, index: usize, op: Op) {
        let store = self.harness.store();
        let queue = self.queues[index].address.clone();
        let q = &queue;
        let mut now = self.now();
        match op {
            Op::Add(specs) => {
                let jobs = specs.iter().map(|spec| self.new_job(spec)).collect();
                let request = AddRequest { groups: vec![AddGroup { jobs }], now };
                let answer = kinds(store.add(q, request.clone()).await.unwrap().remove(0));
                let expected = kinds(self.model.add(q, &request).remove(0));
                self.same("the answer", &answer, &expected);
                for added in answer.unwrap_or_default() {
                    self.know(index, added.id.clone());
                    if let Fate::KeptAsNext { next } = &added.fate {
                        self.know(index, next.clone());
                    }
                }
            }
            Op::AddFlow(specs) => {
                let flows: Vec<Flow> = specs.iter().map(|spec| self.flow(index, spec)).collect();
                let request = AddFlowRequest { flows: flows.clone(), on_refusal: OnRefusal::UndoFlow, now };
                let answer = store.add_flow(request.clone()).await.unwrap();
                let expected = self.model.add_flow(&request).unwrap();
                for ((flow, answer), expected) in flows.iter().zip(answer).zip(expected) {
                    let (answer, expected) = (kinds(answer), kinds(expected));
                    self.same("the answer", &answer, &expected);
                    for (node, added) in flow.nodes.iter().zip(answer.unwrap_or_default()) {
                        let index = usize::from(node.queue == self.queues[1].address);
                        self.know(index, added.id.clone());
                    }
                }
            }
            Op::Take { worker, limit, locked, rated } => {
                // A queue is limited by hand or by rate, because what both mean together is left open.
                let rate_limit = (rated && index == 1).then_some(RateLimit { max: 2, window: ms(4_001) });
                let token = if locked { self.token(worker) } else { Token::none() };
                let request = TakeRequest { rate_limit, ..demand(limit, token, worker, now) };
                let answer = store.take(q, request.clone()).await.unwrap();
                let expected = self.model.take(q, &request);
                self.same_taken(index, answer, &expected);
            }
            Op::Finish { endings, take, heeds_cancel } => {
                let mut has_final = false;
                let mut finished = Vec::new();
                for (pick, end) in endings {
                    let Some(lease) = self.lease(index, pick) else { continue };
                    // The order of jobs that ended at the same time is left open.
                    let is_final = matches!(end, End::Completed(_) | End::Failed(_));
                    if !(is_final && has_final) {
                        has_final |= is_final;
                        let known = self.model.job(q, &lease.job).and_then(|view| view.job.known());
                        finished.push(Finish { lease, ending: self.ending(&end, now), heeds_cancel, known });
                    }
                }
                // Of jobs that were put before their equals the order is left open: see it first, then take.
                let returns = finished
                    .iter()
                    .any(|finish| matches!(finish.ending, Ending::Returned | Ending::AwaitChildren { .. }));
                let take = (take && !returns).then(|| demand(2, self.token(2), 2, now));
                let request = FinishRequest { finished, take, metrics: Some(3), now };
                let answer = store.finish(q, request.clone()).await.unwrap();
                let expected = self.model.finish(q, request);
                let plain = |answers: Vec<_>| answers.into_iter().map(kinds).collect::<Vec<_>>();
                self.same("the answers", &plain(answer.answers), &plain(expected.answers));
                self.same("whether it took", &answer.taken.is_some(), &expected.taken.is_some());
                if let (Some(answer), Some(expected)) = (answer.taken, expected.taken) {
                    self.same_taken(index, answer, &expected);
                }
            }
            Op::Extend(picks) => {
                let leases = picks.into_iter().filter_map(|pick| self.lease(index, pick));
                let leases = leases.filter(|lease| !lease.token.is_none()).collect();
                let request = ExtendRequest { leases, lease_for: LEASE, now };
                let answer = store.extend(q, request.clone()).await.unwrap();
                let expected = self.model.extend(q, &request);
                self.same("the answers", &answer, &expected);
            }
            Op::Crash(worker) => {
                let id = format!("{}:", id_of(worker));
                for side in &mut self.queues {
                    side.leases.retain(|lease| !lease.token.as_str().starts_with(&id));
                }
            }
            Op::Recover { max_stalled } => {
                // A check that comes too soon after another one may be skipped.
                self.harness.advance(ms(61_000)).await;
                now = self.now();
                let request = RecoverRequest { max_stalled, interval: INTERVAL, now };
                let answer = store.recover(q, request.clone()).await.unwrap();
                let expected = self.model.recover(q, &request);
                // A store that does not know says no.
                assert!(expected.empty || !answer.empty, "there is something to be done");
                let (mut answer, mut expected) = (answer.stalled, expected.stalled);
                // In which order they come to the front is left open.
                let waiting = self.page(q, JobState::Waiting).await;
                let front: Vec<_> =
                    waiting.into_iter().map(|view| view.job.id).take(expected.len()).collect();
                let mut sorted = front.clone();
                sorted.sort();
                answer.sort();
                expected.sort();
                self.same("the answer", &answer, &expected);
                self.same("the front", &sorted, &expected);
                self.model.arrange_front(q, front);
            }
            Op::Note(pick, text) => {
                let note = match text {
                    Text::Progress(n) => Note::Progress(JsonText::stored(n.to_string())),
                    Text::Data(n) => Note::Data(JsonText::stored(format!("[{n}]"))),
                    Text::Log(n, keep) => Note::Log { line: format!("line {n}"), keep },
                    Text::ClearLogs(keep) => Note::ClearLogs { keep },
                };
                let job = self.job(index, pick);
                let request = NoteRequest { job: job.clone(), note, now };
                let answer = kinds(store.note(q, request.clone()).await);
                let expected = kinds(self.model.note(q, request));
                self.same("the answer", &answer, &expected);
                let request = LogsRequest { job, offset: 0, limit: ALL, order: Order::Ascending };
                let answer = store.logs(q, request.clone()).await.unwrap();
                self.same("the log", &answer, &self.model.logs(q, &request));
            }
            Op::Announce { worker: number, stays } => {
                let worker = worker(&id_of(number), name_of(number).as_deref());
                let ttl = if stays { ms(600_001) } else { Duration::ZERO };
                let request = AnnounceRequest { worker, ttl, renews: number % 2 == 0, now };
                store.announce(q, request.clone()).await.unwrap();
                self.model.announce(q, request);
            }
            Op::Cancel(pick) => {
                // Every other one is likely to run.
                let leased = self.lease(index, pick / 2).filter(|_| pick % 2 == 0).map(|lease| lease.job);
                let job = leased.unwrap_or_else(|| self.job(index, pick / 2));
                let request = CancelRequest { job, reason: "why".into(), now };
                let answer = kinds(store.cancel(q, request.clone()).await);
                let expected = kinds(self.model.cancel(q, request));
                self.same("the answer", &answer, &expected);
            }
            Op::Promote(pick) => {
                let request = PromoteRequest::One { job: self.job(index, pick), now };
                let answer = kinds(store.promote(q, request.clone()).await);
                let expected = kinds(self.model.promote(q, request));
                self.same_steps(&answer, &expected, 1, Ids::Untold);
            }
            Op::PromoteAll(limit) => {
                let request = PromoteRequest::All { limit, now };
                let answer = kinds(store.promote(q, request.clone()).await);
                let expected = kinds(self.model.promote(q, request));
                self.same_steps(&answer, &expected, limit, Ids::Untold);
            }
            Op::Retry { job, completed, made, started } => {
                let request = RetryRequest::One {
                    job: self.job(index, job),
                    state: if completed { JobState::Completed } else { JobState::Failed },
                    reset_attempts_made: made,
                    reset_attempts_started: started,
                    now,
                };
                let answer = kinds(store.retry(q, request.clone()).await);
                let expected = kinds(self.model.retry(q, request));
                self.same_steps(&answer, &expected, 1, Ids::Untold);
            }
            Op::RetryMany { completed, ago, limit } => {
                let state = if completed { JobState::Completed } else { JobState::Failed };
                let finished_until = now.minus(Duration::from_secs(ago));
                let request = RetryRequest::Many { state, finished_until, limit, now };
                let answer = kinds(store.retry(q, request.clone()).await);
                let expected = kinds(self.model.retry(q, request));
                self.same_steps(&answer, &expected, limit, Ids::Untold);
            }
            Op::Delay(pick, delay) => {
                let change = Change::Delay(ms(delay));
                let request = RescheduleRequest { job: self.job(index, pick), change, now };
                let answer = kinds(store.reschedule(q, request.clone()).await);
                let expected = kinds(self.model.reschedule(q, request));
                self.same("the answer", &answer, &expected);
            }
            Op::Priority { job, priority, lifo } => {
                let change = Change::Priority { priority, lifo };
                let request = RescheduleRequest { job: self.job(index, job), change, now };
                let answer = kinds(store.reschedule(q, request.clone()).await);
                let expected = kinds(self.model.reschedule(q, request));
                self.same("the answer", &answer, &expected);
            }
            Op::Remove(pick, scope) => {
                let job = self.job(index, pick);
                // Whether a lease that ran out still protects a job is left open.
                if self.queues.iter().any(|side| !self.model.ran_out(&side.address, now).is_empty()) {
                    return;
                }
                let request = RemoveRequest { job, scope, now };
                let answer = kinds(store.remove(q, request.clone()).await);
                let expected = kinds(self.model.remove(q, &request));
                self.same("the answer", &answer, &expected);
            }
            Op::Detach(pick) => {
                let request = DetachRequest { child: self.job(index, pick), now };
                let answer = kinds(store.detach(q, request.clone()).await);
                let expected = kinds(self.model.detach(q, &request));
                self.same("the answer", &answer, &expected);
            }
            Op::Release(id, owner) => {
                let only_if_owner = owner.map(|pick| self.job(index, pick));
                let request = ReleaseRequest { id: once_id(id), only_if_owner, now };
                let answer = store.release_deduplication(q, request.clone()).await.unwrap();
                let expected = self.model.release_deduplication(q, &request);
                self.same("the answer", &answer, &expected);
            }
            Op::Pause => {
                store.pause(q, now).await.unwrap();
                self.model.pause(q, now);
            }
            Op::Resume => {
                store.resume(q, now).await.unwrap();
                self.model.resume(q, now);
            }
            Op::Limit(seconds) => {
                if index == 0 {
                    let until = seconds.map(|seconds| now + Duration::from_secs(seconds) + ms(1));
                    let request = LimitRequest { limit: Limit::Until(until), now };
                    store.limit(q, request).await.unwrap();
                    self.model.limit(q, request);
                }
            }
            Op::Concurrency(most) => {
                let request = LimitRequest { limit: Limit::Concurrency(most), now };
                store.limit(q, request).await.unwrap();
                self.model.limit(q, request);
            }
            Op::Rate(max) => {
                if index == 1 {
                    let rate = max.map(|max| RateLimit { max, window: ms(6_700) });
                    let request = LimitRequest { limit: Limit::Rate(rate), now };
                    store.limit(q, request).await.unwrap();
                    self.model.limit(q, request);
                }
            }
            Op::Drain { delayed } => {
                let request = DrainRequest { delayed, limit: ALL, now };
                let answer = kinds(store.drain(q, request).await);
                let expected = Ok(self.model.drain(q, request));
                self.same_steps(&answer, &expected, ALL, Ids::Untold);
            }
            Op::Clean { state, ago, limit } => {
                if state == JobState::Active && !self.model.ran_out(q, now).is_empty() {
                    return;
                }
                let is_ordered =
                    !matches!(state, JobState::Waiting | JobState::Active | JobState::WaitingChildren);
                let limit = if is_ordered { limit } else { ALL };
                let older_than = now.minus(Duration::from_secs(ago));
                let request = CleanRequest { state, older_than, limit, now };
                let answer = kinds(store.clean(q, request).await);
                let expected = Ok(self.model.clean(q, request));
                let told = if is_ordered { Ids::InOrder } else { Ids::Told };
                self.same_steps(&answer, &expected, limit, told);
            }
            Op::Obliterate { force } => {
                let counts = self.model.counts(q, now);
                if !force && counts.active > 0 && counts.paused {
                    // Whether a pause of a paused queue is told here is left open.
                    return;
                }
                let request = ObliterateRequest { force, limit: ALL, now };
                let mut answer = kinds(store.obliterate(q, request).await);
                while matches!(&answer, Ok(step) if step.more) {
                    answer = kinds(store.obliterate(q, request).await);
                }
                let expected = kinds(self.model.obliterate(q, request));
                self.same("whether it was done", &answer.is_ok(), &expected.is_ok());
                self.same("the error", &answer.as_ref().err(), &expected.as_ref().err());
                if answer.is_ok() {
                    self.queues[index].cursors = (EventCursor::Oldest, EventCursor::Oldest);
                    // Whether an id that was taken for a time by a job that is gone stays taken is left open.
                    for id in 0..ONCE_IDS {
                        let request = ReleaseRequest { id: once_id(id), only_if_owner: None, now };
                        store.release_deduplication(q, request).await.unwrap();
                    }
                }
            }
            Op::Sweep => {
                let request = SweepRequest { limit: ALL, now };
                let answer = kinds(store.sweep(q, request).await);
                let expected = Ok(self.model.sweep(q, request));
                self.same_steps(&answer, &expected, ALL, Ids::Untold);
            }
            Op::Publish => {
                let fields = vec![("field".into(), now.to_string())];
                let event = Event::queue(EventKind::Custom { name: "mine".into(), fields });
                store.publish(q, event.clone(), now).await.unwrap();
                self.model.publish(q, event, now);
            }
            Op::Put { schedule, rule, limit, priority } => {
                let mut at = None;
                let mut repeat = match rule {
                    Turn::Every { every, offset, start } => {
                        let mut repeat = Repeat::every(ms(every));
                        repeat.offset = offset.and_then(|offset| i64::try_from(offset).ok());
                        repeat.start_date = start.map(|start| now + ms(start));
                        repeat
                    }
                    Turn::At { pattern, after } => {
                        at = Some(now + ms(after));
                        Repeat::pattern(format!("{pattern} * * * *"))
                    }
                };
                repeat.limit = limit;
                let options =
                    JobOptions { priority: (priority > 0).then_some(priority), ..JobOptions::default() };
                let template = NewJob { name: "turn".into(), data: JsonText::stored("{\"a\":1}"), options };
                let request = PutScheduleRequest { id: schedule_of(schedule), repeat, at, template, now };
                let answer = kinds(store.put_schedule(q, request.clone()).await);
                let expected = kinds(self.model.put_schedule(q, request));
                self.same("the answer", &answer, &expected);
                if let Ok(Scheduled { next: Some(next) }) = answer {
                    self.know(index, next.job);
                }
            }
            Op::GoOn { job, after, alone } => {
                let made: Vec<JobId> = self.queues[index].jobs.clone();
                let made: Vec<_> = made.into_iter().filter(|id| slot_of(id.as_str()).is_some()).collect();
                let Some(job) = made.iter().rev().nth(usize::from(job) % made.len().clamp(1, 4)) else {
                    return;
                };
                let Some((id, _)) = slot_of(job.as_str()) else { return };
                let options = self.model.job(q, job).map(|view| view.job.options()).unwrap_or_default();
                let repeat = options.other.get("repeat").and_then(|json| Repeat::parse(json.as_str()).ok());
                let mut repeat = repeat.unwrap_or_else(|| Repeat::every(ms(7_000)));
                repeat.count = repeat.iteration();
                let is_over = repeat.count.is_none();
                let (at, left_out_before) = (Some(now + ms(after)), now);
                let next = Advance { at, left_out_before, repeat, options };
                let next = (!is_over).then_some(next);
                let request = AdvanceScheduleRequest { id: id.into(), job: job.clone(), next, alone, now };
                let answer = store.advance_schedule(q, request.clone()).await.unwrap();
                let expected = self.model.advance_schedule(q, request);
                self.same("the fate", &answer.fate, &expected.fate);
                // Of several either may be named.
                self.same("an overlap", &answer.overlaps.is_some(), &expected.overlaps.is_some());
                if let AdvanceFate::Made(next) = answer.fate {
                    self.know(index, next.job);
                }
            }
            Op::RemoveSchedule(schedule) => {
                let request = RemoveScheduleRequest { id: schedule_of(schedule), now };
                let answer = store.remove_schedule(q, request.clone()).await.unwrap();
                let expected = self.model.remove_schedule(q, &request);
                self.same("the answer", &answer, &expected);
            }
            Op::Advance(seconds) => self.harness.advance(Duration::from_secs(seconds)).await,
        }
    }

    fn know(&mut self, index: usize, job: JobId) {
        let known = &mut self.queues[index].jobs;
        if !known.contains(&job) {
            known.push(job);
        }
    }

    /// A job that is or was there; or one that never was.
    fn job(&self, index: usize, pick: u8) -> JobId {
        let known = &self.queues[index].jobs;
        let place = usize::from(pick) % (known.len() + 1);
        known.get(place).cloned().unwrap_or_else(|| "nobody".into())
    }

    /// The same, in any queue.
    fn key(&self, (other, pick): (bool, u8)) -> JobKey {
        let index = usize::from(other);
        JobKey::new(self.queues[index].address.clone(), self.job(index, pick))
    }

    fn new_job(&self, spec: &Spec) -> NewJob {
        let mut job = new_job(spec);
        job.options.parent = spec.parent.map(|pick| self.key(pick));
        job.options.on_failure = spec.on_failure;
        job
    }

    /// A tree whose root is in this queue, breadth first.
    fn flow(&mut self, index: usize, spec: &FlowSpec) -> Flow {
        let count = spec.nodes.len();
        let parents: Vec<usize> = (1..count).map(|place| usize::from(spec.nodes[place].1) % place).collect();
        let depth = |mut place: usize| {
            let mut depth = 0;
            while place > 0 {
                place = parents[place - 1];
                depth += 1;
            }
            depth
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|place| depth(*place));
        let mut nodes = Vec::new();
        for place in &order {
            let (other, _, spec) = &spec.nodes[*place];
            let queue = if *place == 0 { index } else { usize::from(*other) };
            let mut job = self.new_job(spec);
            if count > 1 || job.options.parent.is_some() {
                // Only a job that stands alone can be deduplicated.
                job.options.deduplication = None;
            }
            self.drawn += 1;
            let id = job.options.job_id.clone().unwrap_or_else(|| format!("f{}", self.drawn).into());
            let parent = place.checked_sub(1).map(|below| {
                job.options.parent = None;
                order.iter().position(|other| *other == parents[below]).unwrap()
            });
            nodes.push(FlowNode { queue: self.queues[queue].address.clone(), id, job, parent });
        }
        Flow { nodes }
    }

    fn ending(&self, end: &End, now: Timestamp) -> Ending {
        match end {
            End::Await(child) => Ending::AwaitChildren { child: child.map(|pick| self.key(pick)) },
            other => ending(other, now),
        }
    }

    /// Puts those of the model's jobs that were released together into the store's order, where that is left open: among
    /// equals.
    async fn settle_releases(&mut self) {
        for index in 0..self.queues.len() {
            let queue = self.queues[index].address.clone();
            for state in [JobState::Waiting, JobState::Prioritized, JobState::Delayed] {
                // A job with a priority may wait with those that have none: its worker died.
                let priority = |view: &JobView| (state == JobState::Prioritized).then_some(view.job.priority);
                let place = |view: &JobView| (priority(view), view.due);
                let there = self.page(&queue, state).await;
                let expected = self.model.jobs(&queue, &page_of(state)).jobs;
                let places = |views: &[JobView]| views.iter().map(place).collect::<Vec<_>>();
                self.same(&format!("the places of {state}"), &places(&there), &places(&expected));
                let ids =
                    |views: &[JobView]| views.iter().map(|view| view.job.id.clone()).collect::<Vec<_>>();
                let (there, mut expected) = (ids(&there), ids(&expected));
                let mut sorted = there.clone();
                sorted.sort();
                expected.sort();
                self.same(&format!("what is {state}"), &sorted, &expected);
                self.model.arrange(&queue, state, there);
            }
        }
    }

    /// One of the newest leases.
    fn lease(&self, index: usize, pick: u8) -> Option<Lease> {
        let leases = &self.queues[index].leases;
        leases.iter().rev().nth(usize::from(pick) % leases.len().clamp(1, 6)).cloned()
    }

    /// A worker has some tokens.
    fn token(&self, worker: u8) -> Token {
        Token::new(format!("{}:{}", id_of(worker), self.now().as_millis() / 2 % 3))
    }

    #[track_caller]
    fn same_taken(&mut self, index: usize, answer: Taken, expected: &Taken) {
        let plain = |jobs: &[LeasedJob]| -> Vec<_> {
            let plain =
                |job: &LeasedJob| (plain(JobView::new(job.job.clone(), JobState::Active)), job.lease.clone());
            jobs.iter().map(plain).collect()
        };
        self.same("what was taken", &plain(&answer.jobs), &plain(&expected.jobs));
        if answer.idle != expected.idle {
            // When there are two reasons, the store may tell either.
            let counts = self.model.counts(&self.queues[index].address, self.now());
            let is_also_true = match answer.idle {
                Some(Idle::Paused) => counts.paused,
                Some(Idle::Full) => self.model.limits(&self.queues[index].address, self.now()).is_full,
                Some(Idle::Empty { next_due }) => {
                    let nothing_waits = counts.waiting + counts.prioritized == 0;
                    let is_held = counts.paused || counts.limited_until.is_some();
                    nothing_waits && !is_held && next_due == self.model.first_due(&self.queues[index].address)
                }
                _ => false,
            };
            assert!(
                is_also_true && matches!(expected.idle, Some(Idle::RateLimited { .. })),
                "{}: the reason is {:?}, should be {:?}",
                self.at,
                answer.idle,
                expected.idle
            );
        }
        self.queues[index].leases.extend(answer.jobs.into_iter().map(|job| job.lease));
    }

    #[track_caller]
    fn same_steps(
        &self,
        answer: &Result<Step, ErrorKind>,
        expected: &Result<Step, ErrorKind>,
        limit: usize,
        told: Ids,
    ) {
        let (Ok(mut answer), Ok(mut expected)) = (answer.clone(), expected.clone()) else {
            self.same("the answer", answer, expected);
            return;
        };
        match told {
            Ids::Untold => expected.ids.clone_from(&answer.ids),
            Ids::Told => {
                answer.ids.sort();
                expected.ids.sort();
            }
            Ids::InOrder => {}
        }
        // A store need not look whether there is more when it did all it may.
        if answer.more && answer.count == limit as u64 {
            expected.more = true;
        }
        self.same("the answer", &answer, &expected);
    }

    async fn page(&self, queue: &QueueAddress, state: JobState) -> Vec<JobView> {
        self.harness.store().jobs(queue, page_of(state)).await.unwrap().jobs
    }

    /// Compares all that can be seen of a queue.
    async fn compare(&mut self, index: usize, unordered_events: bool) {
        let store = self.harness.store();
        let queue = self.queues[index].address.clone();
        let q = &queue;
        let now = self.now();
        let counts = store.counts(q, now).await.unwrap();
        self.same("the counts", &counts, &self.model.counts(q, now));
        let limits = store.limits(q, now).await.unwrap();
        self.same("the limits", &limits, &self.model.limits(q, now));
        for state in [JobState::Completed, JobState::Failed] {
            let request = MetricsRequest { state, offset: 0, limit: 10 };
            let page = store.metrics(q, request).await.unwrap();
            self.same("the metrics", &page, &self.model.metrics(q, request));
        }
        for state in JobState::ALL {
            let mut store: Vec<_> = self.page(q, state).await.into_iter().map(plain).collect();
            if state == JobState::Prioritized {
                let order: Vec<JobId> = store.iter().map(|(view, _)| view.job.id.clone()).collect();
                self.model.arrange_equals(q, &order);
            }
            let mut model: Vec<_> = self.model.jobs(q, &page_of(state)).jobs.into_iter().map(plain).collect();
            if matches!(state, JobState::Active | JobState::WaitingChildren) {
                // Jobs that were taken, or added, in one call are equally old.
                let key = |(view, _): &(JobView, JobOptions)| (view.job.processed_on, view.job.id.clone());
                store.sort_by_key(key);
                model.sort_by_key(key);
            }
            let ids = |views: &[(JobView, _)]| {
                views.iter().map(|(view, _)| view.job.id.clone()).collect::<Vec<_>>()
            };
            self.same(&format!("the order of {state}"), &ids(&store), &ids(&model));
            for (store, model) in store.iter().zip(&model) {
                self.same(&format!("a {state} job"), store, model);
            }
        }

        let (after, expected_after) = self.queues[index].cursors.clone();
        let request = EventsRequest { after, limit: 10_000, timeout: Duration::ZERO };
        let page = store.events(q, request).await.unwrap();
        let expected = self.model.events(q, &expected_after, 10_000);
        let texts = |page: &crate::store::EventsPage| -> Vec<String> {
            let mut events: Vec<_> = page.events.iter().map(|stored| &stored.event).collect();
            if unordered_events {
                events.sort_by_key(|event| event.job.clone());
            }
            events.into_iter().map(spell).collect()
        };
        self.same("what was told", &texts(&page), &texts(&expected));
        self.same("whether events are gone", &page.trimmed, &expected.trimmed);
        self.queues[index].cursors = (page.cursor, expected.cursor);

        for parent in self.model.parents(q) {
            let kinds = ChildKind::ALL.to_vec();
            let request = ChildrenRequest { job: parent.clone(), kinds, cursor: None, limit: ALL };
            let mut page = store.children(q, request.clone()).await.unwrap();
            page.children.sort_by_key(|child| (child.outcome.kind(), child.key.clone()));
            let expected = self.model.children(q, &request);
            self.same(&format!("what {parent} knows of its children"), &page, &expected);
        }
        for id in 0..ONCE_IDS {
            let request = OwnerRequest { id: once_id(id), now };
            let owner = store.deduplication_owner(q, request.clone()).await.unwrap();
            self.same("the owner of an id", &owner, &self.model.deduplication_owner(q, &request));
        }
        let request = SchedulesRequest { offset: 0, limit: ALL, order: Order::Ascending };
        let schedules = store.schedules(q, request).await.unwrap();
        self.same("the schedules", &schedules, &self.model.schedules(q, request));

        let mut workers = store.workers(q, now).await.unwrap();
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        self.same("the workers", &workers, &self.model.workers(q, now));
        for number in 0..3 {
            let worker_id = id_of(number);
            let request = CancellationsRequest { worker_id, known: Vec::new(), timeout: Duration::ZERO };
            let mut found = store.cancellations(q, request.clone()).await.unwrap();
            let mut expected = self.model.cancellations(q, &request);
            for list in [&mut found, &mut expected] {
                list.sort_by(|a, b| a.lease.job.cmp(&b.lease.job));
            }
            self.same("the requests to cancel", &found, &expected);
        }
    }
}

/// What the ids of a step are.
#[derive(Clone, Copy)]
enum Ids {
    Untold,
    Told,
    InOrder,
}

fn once_id(id: u8) -> String {
    format!("once {id}")
}

fn deduplication(once: &Once) -> Deduplication {
    // So that none is over near a step.
    let ttl = once.ttl.map(|seconds| Duration::from_secs(seconds) - ms(300));
    let mut deduplication = Deduplication::by(once_id(once.id));
    deduplication.ttl = ttl;
    deduplication.extend = once.extend;
    deduplication.replace = once.replace;
    deduplication.reschedule = once.reschedule;
    deduplication.keep_last_if_active = once.keep_last;
    deduplication
}

fn id_of(worker: u8) -> String {
    format!("w{worker}")
}

fn schedule_of(number: u8) -> String {
    format!("turn {number}")
}

fn page_of(state: JobState) -> JobsRequest {
    JobsRequest { states: vec![state], offset: 0, limit: ALL, order: Order::Ascending }
}

/// The job with its options as what they mean, because their text is the store's own affair.
fn plain(mut view: JobView) -> (JobView, JobOptions) {
    let mut options = view.job.options();
    if let Some(repeat) = options.other.get_mut("repeat") {
        let members: BTreeMap<String, JsonText> = repeat.read().unwrap();
        *repeat = JsonText::of(&members).unwrap();
    }
    view.job.opts = JsonText::empty_object();
    (view, options)
}

fn demand(limit: usize, token: Token, worker: u8, now: Timestamp) -> TakeRequest {
    TakeRequest {
        limit,
        token,
        lease_for: LEASE,
        worker: name_of(worker),
        rate_limit: None,
        until_needs_rate: false,
        now,
    }
}

fn new_job(spec: &Spec) -> NewJob {
    let options = JobOptions {
        job_id: spec.own_id.map(|n| JobId::from(format!("own-{n}"))),
        priority: (spec.priority > 0).then_some(spec.priority),
        lifo: spec.lifo.then_some(true),
        delay: (spec.delay > 0).then_some(ms(spec.delay)),
        deduplication: spec.once.as_ref().map(deduplication),
        ..JobOptions::default()
    };
    let data = JsonText::stored(format!("{{\"n\": {}}}", spec.data));
    NewJob { name: format!("job {}", spec.data % 3), data, options }
}

fn ending(end: &End, now: Timestamp) -> Ending {
    match end {
        End::Completed(keep) => {
            Ending::Completed { return_value: JsonText::stored("[1]"), keep: retention(keep) }
        }
        End::Failed(keep) => Ending::Failed { failure: failure("bad"), attempts: 2, keep: retention(keep) },
        End::Retry(delay) => {
            Ending::Retry { failure: failure("boom"), at: delay.map(|delay| now + ms(delay)) }
        }
        End::Postponed(delay) => Ending::Postponed { at: now + ms(*delay) },
        End::Returned | End::Await(_) => Ending::Returned,
    }
}

fn retention(keep: &Keep) -> Retention {
    match *keep {
        Keep::All => Retention::ALL,
        Keep::None => Retention::NONE,
        Keep::Count(count) => Retention::count(count),
        Keep::Seconds(seconds) => Retention::age(Duration::from_secs(seconds)),
        Keep::Both(count, seconds) => {
            Retention { count: Some(count), ..Retention::age(Duration::from_secs(seconds)) }
        }
    }
}
