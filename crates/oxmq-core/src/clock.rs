//! Time: the only place that reads a clock or waits for one.

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A point in time, in milliseconds since 1970-01-01 00:00 UTC. The unit of every stored time.
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::Timestamp;
///
/// let start = Timestamp::from_millis(1_700_000_000_000);
/// assert_eq!((start + Duration::from_secs(2)).as_millis(), 1_700_000_002_000);
/// assert_eq!((start + Duration::from_secs(2)) - start, Duration::from_secs(2));
/// assert_eq!(start - (start + Duration::from_secs(2)), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The beginning of 1970 in UTC.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339: `2026-01-31T12:00:00Z`, `2026-01-31 12:00:00.5+01:00`; fractions of a millisecond are dropped.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse().ok().map(|time: jiff::Timestamp| Self(time.as_millisecond()))
    }

    /// Writes RFC 3339 in UTC: `2026-01-31T12:00:00.000Z`; a time beyond the year 9999 as its milliseconds.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| self.0.to_string(), |time| format!("{time:.3}"))
    }

    /// The time that is `duration` before this one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// A duration as whole milliseconds, rounded down, at most `i64::MAX`.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of time.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    /// The time between, or zero when `other` is later.
    fn sub(self, other: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(other.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(millis(before.duration()).saturating_neg()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    /// Times before 1970 become 1970.
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The longest single sleep of the system clock. Longer waits look at the clock again in between, so that a
/// machine that slept, or whose clock was set, is at most this late.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Where time comes from: the system, or a test that moves it by hand.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use oxmq_core::{Clock, Timestamp};
///
/// let (clock, hand) = Clock::manual(Timestamp::from_millis(1_000));
/// let morning = clock.now() + Duration::from_secs(3600);
/// let sleeper = tokio::spawn({ let clock = clock.clone(); async move { clock.sleep_until(morning).await } });
/// hand.advance(Duration::from_secs(3600));
/// sleeper.await.unwrap();
/// assert_eq!(clock.now().as_millis(), 3_601_000);
/// # }
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(watch::Receiver<Timestamp>),
}

/// Moves a manual [`Clock`]; everything that waits on the clock wakes when its time has come.
#[derive(Debug, Clone)]
pub struct ClockHand(watch::Sender<Timestamp>);

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn manual(start: Timestamp) -> (Self, ClockHand) {
        let (sender, receiver) = watch::channel(start);
        (Self(Source::Manual(receiver)), ClockHand(sender))
    }

    /// The time now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => SystemTime::now().into(),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// Waits until `time` has come; returns at once if it has.
    pub async fn sleep_until(&self, time: Timestamp) {
        match &self.0 {
            Source::System => loop {
                let left = time - self.now();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
            },
            Source::Manual(now) => {
                let mut now = now.clone();
                if now.wait_for(|now| *now >= time).await.is_err() {
                    // The hand is gone, so this time never comes.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Runs `work` for at most `duration`; `None` when the time was up first.
    pub async fn timeout<T>(&self, duration: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(duration) => None,
        }
    }
}

/// How long something takes, for figures only: nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::System => f.write_str("Clock::system"),
            Source::Manual(now) => write!(f, "Clock::manual({})", now.borrow().as_millis()),
        }
    }
}

impl ClockHand {
    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|now| *now = *now + duration);
    }

    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        *self.0.borrow()
    }
}
