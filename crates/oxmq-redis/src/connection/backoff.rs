//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The first pause.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Pauses that grow, with chance in them so that many clients do not come at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Begins anew.
    pub(super) fn new() -> Self {
        Self { next: BACKOFF_MIN }
    }

    /// The next pause: between half and all of what it has grown to.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(BACKOFF_MAX);
        pause
    }

    /// Waits for the next pause, or says that it would end after `deadline`.
    pub(super) async fn wait(&mut self, deadline: Instant) -> bool {
        let until = Instant::now() + self.pause();
        if until >= deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut backoff = Backoff::new();
        let first = backoff.pause();
        assert!(first >= BACKOFF_MIN / 2 && first <= BACKOFF_MIN, "{first:?}");
        for _ in 0..20 {
            backoff.pause();
        }
        let last = backoff.pause();
        assert!(last >= BACKOFF_MAX / 2 && last <= BACKOFF_MAX, "{last:?}");
    }
}
