//! How many jobs ended in each minute.

use super::Queue;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::state::JobState;
use crate::store::{METRICS_POINTS_MAX, MetricsPage, MetricsRequest};

const MINUTE_MS: i64 = 60_000;

/// Times to keep metrics for, in minutes; BullMQ's names and numbers.
#[derive(Debug, Clone, Copy)]
pub struct MetricsTime;

impl MetricsTime {
    /// One minute.
    pub const ONE_MINUTE: u32 = 1;
    /// Five minutes.
    pub const FIVE_MINUTES: u32 = 5;
    /// A quarter of an hour.
    pub const FIFTEEN_MINUTES: u32 = 15;
    /// Half an hour.
    pub const THIRTY_MINUTES: u32 = 30;
    /// An hour.
    pub const ONE_HOUR: u32 = 60;
    /// Seven days.
    pub const ONE_WEEK: u32 = 7 * 24 * 60;
    /// Two weeks.
    pub const TWO_WEEKS: u32 = 2 * Self::ONE_WEEK;
    /// BullMQ's month, of eight weeks.
    pub const ONE_MONTH: u32 = 4 * Self::TWO_WEEKS;
}

/// How many jobs ended in a state, by the minute, as of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Completed or failed.
    pub state: JobState,
    /// How many jobs were counted since the queue exists.
    pub total: u64,
    /// When the first of the minutes began: the one that runs.
    pub newest: Timestamp,
    /// Jobs in each minute, the newest first: the one that runs, the one before it, .. None, if nothing was ever counted.
    /// The oldest one, if it is as far away as points are kept, may hold jobs from before: BullMQ puts the last burst before a long
    /// pause there.
    pub minutes: Vec<u64>,
}

impl Metrics {
    /// The page, which begins at the newest point, as of `now`: minutes in which nothing ended are there, too.
    fn of(state: JobState, page: &MetricsPage, minutes: usize, now: Timestamp) -> Self {
        let minute = |time: Timestamp| time.as_millis().div_euclid(MINUTE_MS);
        let prev = page.prev_at.map(minute);
        // The clock of a worker may be ahead.
        let newest = prev.map_or(minute(now), |prev| prev.max(minute(now)));
        let minutes = prev.map_or_else(Vec::new, |prev| {
            let idle = usize::try_from(newest - prev).unwrap_or(0);
            let running = page.total.saturating_sub(page.prev_total);
            let ended = std::iter::once(running).chain(page.points.iter().copied());
            std::iter::repeat_n(0, idle.min(minutes)).chain(ended).take(minutes).collect()
        });
        Self { state, total: page.total, newest: Timestamp::from_millis(newest * MINUTE_MS), minutes }
    }

    /// How many jobs ended in the last `minutes`, the one that runs included.
    pub fn sum(&self, minutes: usize) -> u64 {
        self.minutes.iter().take(minutes).sum()
    }
}

impl Queue {
    /// How many jobs completed, or failed for good, in each of the last `minutes`, in workers that count
    /// ([`WorkerBuilder::metrics`](crate::WorkerBuilder::metrics)).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): another state; those of the store.
    pub async fn metrics(&self, state: JobState, minutes: u32) -> Result<Metrics> {
        let minutes = minutes.min(METRICS_POINTS_MAX) as usize;
        let page = self.metrics_page(MetricsRequest { state, offset: 0, limit: minutes }).await?;
        Ok(Metrics::of(state, &page, minutes, self.inner.clock.now()))
    }

    /// The same as it is stored: BullMQ's `getMetrics`. An idle queue gets no points until its next job ends.
    ///
    /// # Errors
    /// As [`metrics`](Self::metrics).
    pub async fn metrics_page(&self, request: MetricsRequest) -> Result<MetricsPage> {
        if !request.state.is_final() {
            let remedy = "only completed and failed jobs are counted";
            return Err(Error::invalid("metrics", "state", request.state, remedy));
        }
        self.inner.store.metrics(&self.inner.address, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prev: Option<i64>, now: i64, minutes: usize) -> (i64, Vec<u64>) {
        let page = MetricsPage {
            total: 10,
            prev_at: prev.map(|minute| Timestamp::from_millis(minute * MINUTE_MS + 59_999)),
            prev_total: 7,
            points: vec![4, 0, 3],
            length: 3,
        };
        let now = Timestamp::from_millis(now * MINUTE_MS);
        let metrics = Metrics::of(JobState::Completed, &page, minutes, now);
        (metrics.newest.as_millis() / MINUTE_MS, metrics.minutes)
    }

    #[test]
    fn an_idle_queue_ages() {
        assert_eq!(shown(Some(100), 100, 9), (100, vec![3, 4, 0, 3]));
        assert_eq!(shown(Some(100), 102, 9), (102, vec![0, 0, 3, 4, 0, 3]));
        assert_eq!(shown(Some(100), 102, 4), (102, vec![0, 0, 3, 4]));
        assert_eq!(shown(Some(100), 100_000, 2), (100_000, vec![0, 0]));
    }

    #[test]
    fn a_clock_behind_that_of_the_workers_loses_nothing() {
        assert_eq!(shown(Some(100), 98, 9), (100, vec![3, 4, 0, 3]));
    }

    #[test]
    fn nothing_was_counted() {
        assert_eq!(shown(None, 98, 9), (98, vec![]));
    }
}
