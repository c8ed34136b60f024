//! Waiting for what must happen: looking again and again until a deadline. The only place that sleeps.
#![allow(clippy::disallowed_methods, reason = "the deadlines are of real time: other processes have to act")]

use std::future::Future;
use std::time::{Duration, Instant};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Blocks until `condition` holds, and panics if that takes longer than `deadline`.
#[track_caller]
pub fn until(deadline: Duration, condition: impl FnMut() -> bool) {
    assert!(happens_within(deadline, condition), "it did not happen within {deadline:?}");
}

/// Blocks until `condition` holds (true), or until `deadline` is over (false).
pub fn happens_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until `condition` holds, and panics if that takes longer than `deadline` of real time. The same as
/// [`until`], for conditions that are asked of an asynchronous API.
pub async fn eventually<F: Future<Output = bool>>(deadline: Duration, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < end, "it did not happen within {deadline:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
