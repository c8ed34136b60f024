//! The figures of queues and workers as Prometheus text. Pure: the numbers are gathered elsewhere.
//!
//! The first part has BullMQ's names and is, for one queue, byte for byte what its `exportPrometheusMetrics` gives, so
//! that dashboards go on working. The names of our own begin with `oxmq_`:
//!
//! | name | what |
//! | --- | --- |
//! | `oxmq_waiting_jobs` | jobs that could run now: waiting, with or without a priority |
//! | `oxmq_active_jobs` | jobs that run |
//! | `oxmq_oldest_waiting_seconds` | for how long the oldest of the waiting ones has waited |
//! | `oxmq_delayed_late_seconds` | how late the first of the delayed ones is |
//! | `oxmq_stalled_total` | jobs of dead workers that the workers of this process brought back |
//! | `oxmq_retries_total` | tries that failed in this process and are followed by another |
//! | `oxmq_store_call_seconds` | how long calls to the store took, by `call`: a histogram |
//! | `oxmq_store_call_errors_total` | calls to the store that failed as a whole, by `call` |

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::state::JobState;
use crate::store::JobCounts;
use crate::worker::WorkerStats;

/// The figures of one queue.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct QueueFigures {
    /// Its name.
    pub queue: String,
    /// How many jobs are in each state.
    pub counts: JobCounts,
    /// How many jobs have completed since the queue counts them; 0 if it does not.
    pub completed_total: u64,
    /// How many jobs have failed for good since the queue counts them; 0 if it does not.
    pub failed_total: u64,
    /// For how long the oldest waiting job has waited; `None` if none waits, or it was not looked for.
    pub oldest_waiting: Option<Duration>,
    /// How long ago the first delayed job was due; zero if none is late, `None` if it was not looked for.
    pub delayed_late: Option<Duration>,
    /// What workers of this process have done; `None` if it has none.
    pub workers: Option<WorkerStats>,
}

impl QueueFigures {
    /// The figures of a queue, as far as counts tell; the rest is set by its fields.
    pub fn new(queue: impl Into<String>, counts: JobCounts) -> Self {
        Self { queue: queue.into(), counts, ..Self::default() }
    }

    /// Adds what a worker of this process has done for this queue; several add up.
    #[must_use]
    pub fn with_worker(mut self, stats: &WorkerStats) -> Self {
        self.workers.get_or_insert_default().add(stats);
        self
    }
}

/// The upper bounds of [`CallTimes::buckets`], in microseconds. There is one bucket more, for what took longer.
pub const CALL_BUCKETS_MICROS: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// How long the calls of one verb took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallTimes {
    /// The verb: `add`, `take`, `finish`.
    pub call: &'static str,
    /// How many calls ended within each of [`CALL_BUCKETS_MICROS`] and not within the one before; last, those that took
    /// longer than all.
    pub buckets: [u64; CALL_BUCKETS_MICROS.len() + 1],
    /// The sum of their times.
    pub total: Duration,
    /// How many of them failed as a whole.
    pub errors: u64,
}

impl CallTimes {
    /// How many calls ended.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// [`CallTimes`], counting. Each number only grows; a reader may see a call in one of them and not yet in another.
#[derive(Debug)]
pub(crate) struct CallClock {
    call: &'static str,
    buckets: [AtomicU64; CALL_BUCKETS_MICROS.len() + 1],
    micros: AtomicU64,
    errors: AtomicU64,
}

impl CallClock {
    pub(crate) fn new(call: &'static str) -> Self {
        Self { call, buckets: Default::default(), micros: AtomicU64::new(0), errors: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, time: Duration, failed: bool) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = CALL_BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        if failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> CallTimes {
        let mut buckets = [0; CALL_BUCKETS_MICROS.len() + 1];
        for (read, bucket) in buckets.iter_mut().zip(&self.buckets) {
            *read = bucket.load(Ordering::Relaxed);
        }
        CallTimes {
            call: self.call,
            buckets,
            total: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

/// The Prometheus text of some queues, and of a store's calls ([`Store::call_times`](crate::Store::call_times)).
///
/// `labels` are put on every line, after those that say what it is about. It ends with a line break, as Prometheus wants it.
///
/// ```
/// use oxmq_core::JobCounts;
/// use oxmq_core::metrics::{QueueFigures, prometheus};
///
/// let text = prometheus(&[QueueFigures::new("emails", JobCounts::default())], &[], &[("env", "dev")]).unwrap();
/// assert!(text.contains("oxmq_waiting_jobs{queue=\"emails\", env=\"dev\"} 0\n"));
/// ```
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): a label's name is not one, is used here already, or is given twice.
pub fn prometheus(queues: &[QueueFigures], calls: &[CallTimes], labels: &[(&str, &str)]) -> Result<String> {
    let mut text = bullmq_prometheus(queues, labels)?;
    text.push('\n');
    let labels = Labels::new(labels)?;
    let mut page = Page { text, labels };

    page.head("oxmq_waiting_jobs", "gauge", "Jobs that could run now");
    for queue in queues {
        page.line("oxmq_waiting_jobs", &queue.of(), queue.counts.waiting + queue.counts.prioritized);
    }
    page.head("oxmq_active_jobs", "gauge", "Jobs that run");
    for queue in queues {
        page.line("oxmq_active_jobs", &queue.of(), queue.counts.active);
    }
    let waits = |queue: &QueueFigures| queue.oldest_waiting.map(seconds);
    page.some(
        "oxmq_oldest_waiting_seconds",
        "gauge",
        "How long the oldest waiting job has waited",
        queues,
        waits,
    );
    let late = |queue: &QueueFigures| queue.delayed_late.map(seconds);
    page.some("oxmq_delayed_late_seconds", "gauge", "How late the first delayed job is", queues, late);
    let stalled = |queue: &QueueFigures| queue.workers.map(|stats| stats.stalled);
    page.some(
        "oxmq_stalled_total",
        "counter",
        "Jobs of dead workers that were brought back",
        queues,
        stalled,
    );
    let retries = |queue: &QueueFigures| queue.workers.map(|stats| stats.retried);
    page.some("oxmq_retries_total", "counter", "Failed tries that are followed by another", queues, retries);
    page.calls(calls);
    Ok(page.text)
}

/// BullMQ's part of the text, without a line break at the end: for one queue what its `exportPrometheusMetrics` gives.
///
/// # Errors
/// As [`prometheus`].
pub fn bullmq_prometheus(queues: &[QueueFigures], labels: &[(&str, &str)]) -> Result<String> {
    let mut page = Page { text: String::new(), labels: Labels::new(labels)? };
    page.head("bullmq_job_count", "gauge", "Number of jobs in the queue by state");
    for queue in queues {
        for state in STATES {
            let of = [("queue", queue.queue.as_str()), ("state", state.as_str())];
            page.line("bullmq_job_count", &of, queue.counts.of(state));
        }
    }
    page.head("bullmq_job_completed_total", "counter", "Total number of completed jobs");
    for queue in queues {
        page.line("bullmq_job_completed_total", &queue.of(), queue.completed_total);
    }
    page.head("bullmq_job_failed_total", "counter", "Total number of failed jobs");
    for queue in queues {
        page.line("bullmq_job_failed_total", &queue.of(), queue.failed_total);
    }
    page.text.pop();
    Ok(page.text)
}

/// In BullMQ's order.
const STATES: [JobState; 7] = [
    JobState::Active,
    JobState::Completed,
    JobState::Delayed,
    JobState::Failed,
    JobState::Prioritized,
    JobState::Waiting,
    JobState::WaitingChildren,
];

impl QueueFigures {
    fn of(&self) -> [(&'static str, &str); 1] {
        [("queue", &self.queue)]
    }
}

fn seconds(time: Duration) -> String {
    format!("{}", time.as_secs_f64())
}

/// The labels of every line, as they are written: `, env="dev"`.
struct Labels(String);

impl Labels {
    /// The names that lines have already.
    const TAKEN: [&'static str; 4] = ["queue", "state", "call", "le"];

    fn new(labels: &[(&str, &str)]) -> Result<Self> {
        let mut text = String::new();
        let mut seen = BTreeSet::new();
        for (name, value) in labels {
            let first = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            let rest = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if !first || !rest || name.starts_with("__") {
                let remedy = "use letters, digits and `_`, no digit first, not `__` first";
                return Err(Error::invalid("prometheus", "labels", name, remedy));
            }
            if Self::TAKEN.contains(name) || !seen.insert(*name) {
                return Err(Error::invalid("prometheus", "labels", name, "this label is there already"));
            }
            let _ = write!(text, ", {name}=\"");
            escape(&mut text, value);
            text.push('"');
        }
        Ok(Self(text))
    }
}

fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// The text so far.
struct Page {
    text: String,
    labels: Labels,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, of: &[(&str, &str)], value: impl Display) {
        let text = &mut self.text;
        text.push_str(name);
        let mut before = '{';
        for (label, value) in of {
            text.push(before);
            if before == ',' {
                text.push(' ');
            }
            before = ',';
            let _ = write!(text, "{label}=\"");
            escape(text, value);
            text.push('"');
        }
        let _ = writeln!(text, "{}}} {value}", self.labels.0);
    }

    /// A metric that not every queue has; nothing if none has.
    fn some<T: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        queues: &[QueueFigures],
        value: impl Fn(&QueueFigures) -> Option<T>,
    ) {
        if queues.iter().all(|queue| value(queue).is_none()) {
            return;
        }
        self.head(name, kind, help);
        for queue in queues {
            if let Some(value) = value(queue) {
                self.line(name, &queue.of(), value);
            }
        }
    }

    fn calls(&mut self, calls: &[CallTimes]) {
        if calls.is_empty() {
            return;
        }
        self.head("oxmq_store_call_seconds", "histogram", "How long calls to the store took");
        for times in calls {
            let mut within = 0;
            for (bound, bucket) in CALL_BUCKETS_MICROS.iter().zip(times.buckets) {
                within += bucket;
                let bound = seconds(Duration::from_micros(*bound));
                self.line("oxmq_store_call_seconds_bucket", &[("call", times.call), ("le", &bound)], within);
            }
            let all = [("call", times.call), ("le", "+Inf")];
            self.line("oxmq_store_call_seconds_bucket", &all, times.count());
            self.line("oxmq_store_call_seconds_sum", &[("call", times.call)], seconds(times.total));
            self.line("oxmq_store_call_seconds_count", &[("call", times.call)], times.count());
        }
        self.head("oxmq_store_call_errors_total", "counter", "Calls to the store that failed");
        for times in calls {
            self.line("oxmq_store_call_errors_total", &[("call", times.call)], times.errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> QueueFigures {
        let counts = JobCounts { waiting: 1, delayed: 1, ..JobCounts::default() };
        QueueFigures::new("q\"x", counts)
    }

    /// What BullMQ 6.7 gave for a queue named `q"x` with one job waiting and one delayed.
    const BULLMQ: &str = include_str!("metrics_bullmq.txt");

    #[test]
    fn the_first_part_is_bullmqs_byte_for_byte() {
        let text = bullmq_prometheus(&[figures()], &[("env", "dev")]).unwrap();
        assert_eq!(text, BULLMQ.trim_end_matches('\n'));
        let all = prometheus(&[figures()], &[], &[("env", "dev")]).unwrap();
        assert!(all.starts_with(BULLMQ), "{all}");
    }

    #[test]
    fn several_queues_share_the_head_of_each_metric() {
        let mut mail = QueueFigures::new("mail", JobCounts::default());
        mail.completed_total = 7;
        mail.oldest_waiting = Some(Duration::from_millis(1_500));
        let stats = WorkerStats { stalled: 2, retried: 3, ..WorkerStats::default() };
        let mail = mail.with_worker(&stats).with_worker(&stats);
        let text = prometheus(&[mail, figures()], &[], &[]).unwrap();
        for line in [
            "bullmq_job_completed_total{queue=\"mail\"} 7",
            "bullmq_job_completed_total{queue=\"q\\\"x\"} 0",
            "oxmq_waiting_jobs{queue=\"q\\\"x\"} 1",
            "oxmq_oldest_waiting_seconds{queue=\"mail\"} 1.5",
            "oxmq_stalled_total{queue=\"mail\"} 4",
            "oxmq_retries_total{queue=\"mail\"} 6",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let names: BTreeSet<&str> = heads.iter().copied().collect();
        assert_eq!(heads.len(), names.len(), "a head twice:\n{text}");
        // Nobody looked for it, so nothing is said of it.
        assert!(!text.contains("oxmq_delayed_late_seconds"), "{text}");
        assert!(!text.contains("oxmq_oldest_waiting_seconds{queue=\"q"), "{text}");
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    }

    #[test]
    fn the_times_of_calls_are_a_histogram_that_adds_up() {
        let clock = CallClock::new("add");
        for (micros, failed) in [(100, false), (101, false), (9_000_000, true)] {
            clock.record(Duration::from_micros(micros), failed);
        }
        let times = clock.read();
        assert_eq!((times.count(), times.errors), (3, 1));
        let text = prometheus(&[], &[times], &[("env", "dev")]).unwrap();
        for line in [
            "oxmq_store_call_seconds_bucket{call=\"add\", le=\"0.0001\", env=\"dev\"} 1",
            "oxmq_store_call_seconds_bucket{call=\"add\", le=\"0.00025\", env=\"dev\"} 2",
            "oxmq_store_call_seconds_bucket{call=\"add\", le=\"5\", env=\"dev\"} 2",
            "oxmq_store_call_seconds_bucket{call=\"add\", le=\"+Inf\", env=\"dev\"} 3",
            "oxmq_store_call_seconds_sum{call=\"add\", env=\"dev\"} 9.000201",
            "oxmq_store_call_seconds_count{call=\"add\", env=\"dev\"} 3",
            "oxmq_store_call_errors_total{call=\"add\", env=\"dev\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn values_are_escaped_and_names_are_checked() {
        let queue = QueueFigures::new("a\\b\nc", JobCounts::default());
        let text = bullmq_prometheus(&[queue], &[("team", "\"x\"")]).unwrap();
        assert!(text.contains(r#"bullmq_job_failed_total{queue="a\\b\nc", team="\"x\""} 0"#), "{text}");
        for name in ["", "1a", "a-b", "a b", "ä", "__own", "a\"", "queue", "le"] {
            let error = prometheus(&[], &[], &[(name, "x")]).unwrap_err();
            assert!(error.to_string().contains("labels"), "{name}: {error}");
        }
        prometheus(&[], &[], &[("a", "1"), ("a", "2")]).unwrap_err();
        prometheus(&[], &[], &[("_a1", "1"), ("B", "2")]).unwrap();
    }
}
