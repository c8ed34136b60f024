//! The real clock of the store's threads. Jobs never see it: what happens to a job is decided by the `now` of a call.

use std::time::{Duration, Instant};

/// Now, for deadlines of calls and periods of threads.
#[allow(
    clippy::disallowed_methods,
    reason = "deadlines of calls are real time also when a test's clock stands"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps between two tries for a lock that another process holds, which nobody can announce.
#[allow(clippy::disallowed_methods, reason = "file locks cannot be waited for with a bound")]
pub(crate) fn nap(duration: Duration) {
    std::thread::sleep(duration);
}
