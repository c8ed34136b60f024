//! Job, jobs, counts, logs, workers, queues, events, publish.

use std::collections::BTreeMap;

use super::{Model, Queue};
use crate::address::{JobId, QueueAddress};
use crate::clock::Timestamp;
use crate::events::{Event, EventCursor, EventId};
use crate::job::JobView;
use crate::state::JobState;
use crate::store::{
    EventsPage, JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, Order, QueueInfo, QueueLimits,
    RateWindow, Tally, TrimEventsRequest, WorkerInfo,
};

impl Model {
    /// [`Store::job`](crate::Store::job).
    pub fn job(&self, queue: &QueueAddress, id: &JobId) -> Option<JobView> {
        self.queue(queue)?.jobs.get(id).map(super::Entry::view)
    }

    /// [`Store::jobs`](crate::Store::jobs).
    pub fn jobs(&self, queue: &QueueAddress, request: &JobsRequest) -> JobsPage {
        let Some(queue) = self.queue(queue) else { return JobsPage::default() };
        let sequence = request.states.iter().flat_map(|state| in_order(queue.list(*state), request.order));
        let page = cut(sequence, request.offset, request.limit);
        JobsPage { jobs: page.map(|id| queue.jobs[id].view()).collect() }
    }

    /// [`Store::counts`](crate::Store::counts).
    pub fn counts(&self, queue: &QueueAddress, now: Timestamp) -> JobCounts {
        let mut counts = JobCounts::default();
        if let Some(queue) = self.queue(queue) {
            for state in JobState::ALL {
                *counts.of_mut(state) = queue.len(state) as u64;
            }
            counts.paused = queue.paused;
            counts.limited_until = queue.is_limited(queue.rate(), now);
        }
        counts
    }

    /// [`Store::limits`](crate::Store::limits).
    pub fn limits(&self, queue: &QueueAddress, now: Timestamp) -> QueueLimits {
        self.queue(queue).map_or_else(QueueLimits::default, |queue| QueueLimits {
            until: queue.is_limited(queue.rate(), now),
            concurrency: queue.concurrency,
            rate: queue.rate(),
            is_full: queue.is_full(),
            window: queue.runs(now),
            by_hand: queue.limited_until.filter(|until| *until > now),
        })
    }

    /// [`Store::logs`](crate::Store::logs).
    pub fn logs(&self, queue: &QueueAddress, request: &LogsRequest) -> LogsPage {
        let Some(entry) = self.queue(queue).and_then(|queue| queue.jobs.get(&request.job)) else {
            return LogsPage::default();
        };
        let lines = cut(in_order(entry.log.iter(), request.order), request.offset, request.limit);
        LogsPage { lines: lines.cloned().collect(), total: entry.log.len() as u64 }
    }

    /// [`Store::workers`](crate::Store::workers).
    pub fn workers(&self, queue: &QueueAddress, now: Timestamp) -> Vec<WorkerInfo> {
        let workers = self.queue(queue).into_iter().flat_map(|queue| queue.workers.values());
        workers.filter(|(_, until)| *until > now).map(|(info, _)| info.clone()).collect()
    }

    /// [`Store::queues`](crate::Store::queues): those in which something was written.
    pub fn queues(&self, prefix: Option<&str>) -> Vec<QueueInfo> {
        let known = self.queues.iter().filter(|(address, queue)| {
            prefix.is_none_or(|prefix| prefix == address.prefix()) && queue.was_written()
        });
        known.map(|(address, queue)| QueueInfo { queue: address.clone(), paused: queue.paused }).collect()
    }

    /// [`Store::events`](crate::Store::events), without waiting for any.
    pub fn events(&self, queue: &QueueAddress, after: &EventCursor, limit: usize) -> EventsPage {
        let nothing = Queue::default();
        let queue = self.queue(queue).unwrap_or(&nothing);
        let end = EventCursor::After(EventId::stored(queue.last_event.to_string()));
        let number = match after {
            EventCursor::Now => return EventsPage { events: Vec::new(), cursor: end, trimmed: false },
            EventCursor::Oldest => None,
            // An id that is none of ours is older than all: the reader is told that it missed something.
            EventCursor::After(id) => Some(id.as_str().parse::<u64>().unwrap_or(0)),
        };
        let first_kept = queue.last_event + 1 - queue.events.len() as u64;
        let passed = number.unwrap_or(0).saturating_sub(first_kept - 1);
        let events: Vec<_> = queue
            .events
            .iter()
            .skip(usize::try_from(passed).unwrap_or(usize::MAX))
            .take(limit)
            .cloned()
            .collect();
        let cursor = events.last().map_or(after.clone(), |event| EventCursor::After(event.id.clone()));
        let trimmed = number.is_some_and(|number| number + 1 < first_kept);
        EventsPage { events, cursor, trimmed }
    }

    /// [`Store::tally`](crate::Store::tally).
    pub fn tally(&self, queue: &QueueAddress, tally: &Tally) -> Vec<u64> {
        let Some(queue) = self.queue(queue) else {
            return match tally {
                Tally::Priorities(priorities) => vec![0; priorities.len()],
                Tally::DueBefore(_) => vec![0],
            };
        };
        let count = |state, is_meant: &dyn Fn(&super::Entry) -> bool| {
            queue.list(state).filter(|id| is_meant(&queue.jobs[*id])).count() as u64
        };
        match tally {
            Tally::Priorities(priorities) => priorities
                .iter()
                .map(|priority| match priority {
                    0 => queue.len(JobState::Waiting) as u64,
                    _ => count(JobState::Prioritized, &|entry| entry.job.priority == *priority),
                })
                .collect(),
            Tally::DueBefore(time) => vec![count(JobState::Delayed, &|entry| entry.due < Some(*time))],
        }
    }

    /// [`Store::trim_events`](crate::Store::trim_events).
    pub fn trim_events(&mut self, queue: &QueueAddress, request: TrimEventsRequest) -> u64 {
        let queue = self.queue_mut(queue);
        let keep = usize::try_from(request.keep).unwrap_or(usize::MAX);
        if request.from_now_on {
            queue.events_kept = Some(keep);
        }
        let surplus = queue.events.len().saturating_sub(keep);
        queue.events.drain(..surplus).count() as u64
    }

    /// [`Store::publish`](crate::Store::publish).
    pub fn publish(&mut self, queue: &QueueAddress, event: Event, now: Timestamp) -> EventId {
        self.queue_mut(queue).emit(event, now)
    }

    /// Whether there may be something to take; a limit is nothing that the model could see the end of here.
    pub(in crate::conformance) fn has_work(&self, queue: &QueueAddress) -> bool {
        self.queue(queue).is_some_and(|queue| !queue.nothing_waits() && !queue.paused && !queue.is_full())
    }

    /// The active jobs whose lease has run out.
    pub(in crate::conformance) fn ran_out(&self, queue: &QueueAddress, now: Timestamp) -> Vec<JobId> {
        let Some(queue) = self.queue(queue) else { return Vec::new() };
        let is_over = |id: &&JobId| queue.jobs[*id].lease.as_ref().is_some_and(|lease| lease.until <= now);
        queue.list(JobState::Active).filter(is_over).cloned().collect()
    }

    /// Puts the first waiting jobs into this order; they are the same ones.
    pub(in crate::conformance) fn arrange_front(&mut self, queue: &QueueAddress, front: Vec<JobId>) {
        let waiting = self.queue_mut(queue).lists.entry(JobState::Waiting).or_default();
        waiting.drain(..front.len());
        front.into_iter().rev().for_each(|id| waiting.push_front(id));
    }

    /// Puts the jobs of a state into this order; they are the same ones.
    pub(in crate::conformance) fn arrange(
        &mut self,
        queue: &QueueAddress,
        state: JobState,
        order: Vec<JobId>,
    ) {
        self.queue_mut(queue).lists.insert(state, order.into());
    }

    /// Puts jobs that were put before their equals, whose order among each other is left open, into this order.
    pub(in crate::conformance) fn arrange_equals(&mut self, queue: &QueueAddress, order: &[JobId]) {
        let queue = self.queue_mut(queue);
        let place = |id: &JobId| order.iter().position(|other| other == id);
        let Some(list) = queue.lists.get_mut(&JobState::Prioritized) else { return };
        let list = list.make_contiguous();
        let priority_of = |id: &JobId| {
            let entry = &queue.jobs[id];
            entry.is_before.then_some(entry.job.priority)
        };
        for equals in list
            .chunk_by_mut(|one, other| priority_of(one).is_some() && priority_of(one) == priority_of(other))
        {
            equals.sort_by_key(place);
        }
    }

    /// When the next delayed job of each queue is due.
    pub(in crate::conformance) fn first_dues(&self) -> BTreeMap<QueueAddress, Timestamp> {
        let due = |(address, queue): (&QueueAddress, &Queue)| Some((address.clone(), queue.first_due()?));
        self.queues.iter().filter_map(due).collect()
    }

    /// When the next delayed job is due.
    pub(in crate::conformance) fn first_due(&self, queue: &QueueAddress) -> Option<Timestamp> {
        self.queue(queue)?.first_due()
    }
}

impl Queue {
    /// The window that runs.
    fn runs(&self, now: Timestamp) -> Option<RateWindow> {
        let (until, taken) = self.window.filter(|(until, _)| *until > now)?;
        Some(RateWindow::new(u64::from(taken), until))
    }

    fn was_written(&self) -> bool {
        self.last_number > 0
            || self.last_event > 0
            || self.limited_until.is_some()
            || self.concurrency.is_some()
            || self.rate_max.is_some()
            || self.rate_window.is_some()
            || self.paused
            || self.events_kept.is_some()
            || !self.meta.is_empty()
            || !self.workers.is_empty()
    }
}

pub(super) fn in_order<'a, T: 'a>(
    ascending: impl DoubleEndedIterator<Item = &'a T> + 'a,
    order: Order,
) -> Box<dyn Iterator<Item = &'a T> + 'a> {
    match order {
        Order::Ascending => Box::new(ascending),
        Order::Descending => Box::new(ascending.rev()),
    }
}

pub(super) fn cut<T>(
    sequence: impl Iterator<Item = T>,
    offset: u64,
    limit: usize,
) -> impl Iterator<Item = T> {
    sequence.skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(limit)
}
