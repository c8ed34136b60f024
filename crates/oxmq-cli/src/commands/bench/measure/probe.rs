//! How long the commands of other clients take while something heavy goes on.

use std::time::Duration;

use anyhow::Result;
use oxmq::Clock;

use super::super::clock::{micros_at, monotonic_ns, rounded};
use super::server::Server;

/// Between the answer to a probe and the next one.
const GAP: Duration = Duration::from_millis(1);
/// The most probes of one operation: at least a quarter of an hour of them.
const PROBES_MAX: usize = 1_000_000;

/// What the probes saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    pub(super) p99_ms: f64,
    pub(super) worst_ms: f64,
}

/// Probes the server until `work` ends.
pub(super) async fn probing<T>(
    server: &mut Server,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Delays)> {
    let (mut times, clock) = (Vec::new(), Clock::system());
    let mut work = std::pin::pin!(work);
    loop {
        let probe = async {
            let start = monotonic_ns();
            server.probe().await?;
            anyhow::Ok(monotonic_ns() - start)
        };
        if times.len() >= PROBES_MAX {
            let done = work.await?;
            return Ok((done, delays(times)));
        }
        // A probe that has begun is waited for: the slow ones are those that matter.
        times.push(probe.await?);
        tokio::select! {
            done = &mut work => return Ok((done?, delays(times))),
            () = clock.sleep(GAP) => {}
        }
    }
}

fn delays(mut times: Vec<u64>) -> Delays {
    times.sort_unstable();
    let ms = |percent| rounded(micros_at(&times, percent) / 1_000.0, 3);
    Delays { p99_ms: ms(99), worst_ms: ms(100) }
}
