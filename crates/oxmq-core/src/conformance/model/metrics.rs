//! Metrics: what is counted of the jobs that end.

use std::collections::VecDeque;

use super::{Model, Queue};
use crate::address::QueueAddress;
use crate::clock::Timestamp;
use crate::state::JobState;
use crate::store::{MetricsPage, MetricsRequest};

/// What was counted of the jobs that ended in a state.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended {
    total: u64,
    prev: Option<(Timestamp, u64)>,
    /// The newest first.
    points: VecDeque<u64>,
}

impl Model {
    /// [`Store::metrics`](crate::Store::metrics).
    pub fn metrics(&self, queue: &QueueAddress, request: MetricsRequest) -> MetricsPage {
        let Some(ended) = self.queue(queue).and_then(|queue| queue.ended.get(&request.state)) else {
            return MetricsPage::default();
        };
        let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
        MetricsPage {
            total: ended.total,
            prev_at: ended.prev.map(|(at, _)| at),
            prev_total: ended.prev.map_or(0, |(_, total)| total),
            points: ended.points.iter().skip(offset).take(request.limit).copied().collect(),
            length: ended.points.len() as u64,
        }
    }
}

impl Queue {
    /// A job has completed or failed for good, in a worker that counts and keeps so many points.
    pub(super) fn count_ended(&mut self, state: JobState, keep: u32, now: Timestamp) {
        let minute = |time: Timestamp| time.as_millis().div_euclid(60_000);
        let ended = self.ended.entry(state).or_default();
        let before = ended.total;
        ended.total += 1;
        let Some((prev_at, prev_total)) = ended.prev else {
            ended.prev = Some((now, 0));
            return;
        };
        let passed = (minute(now) - minute(prev_at)).min(i64::from(keep));
        if passed > 0 {
            ended.points.push_front(before - prev_total);
            (1..passed).for_each(|_| ended.points.push_front(0));
            ended.points.truncate(keep as usize);
            ended.prev = Some((now, before));
        }
    }
}
