//! The clock of all processes of a benchmark, and times by it.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

/// `CLOCK_MONOTONIC` in ns: the same clock in every process of the machine.
pub(super) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Seconds since a time of [`monotonic_ns`].
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn seconds_since(start_ns: u64) -> f64 {
    monotonic_ns().saturating_sub(start_ns) as f64 / 1e9
}

/// p50, p90 and p99 of times in ns, as µs.
pub(super) fn percentiles(mut times_ns: Vec<u64>) -> Map<String, Value> {
    times_ns.sort_unstable();
    let percents = [(50, "p50_us"), (90, "p90_us"), (99, "p99_us")];
    percents
        .map(|(percent, name)| (name.to_owned(), micros_at(&times_ns, percent).into()))
        .into_iter()
        .collect()
}

/// The time that so many percent of the sorted times in ns are below, in µs; 0 if there are none.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn micros_at(sorted_ns: &[u64], percent: usize) -> f64 {
    let index = (sorted_ns.len() * percent / 100).min(sorted_ns.len().saturating_sub(1));
    rounded(sorted_ns.get(index).copied().unwrap_or(0) as f64 / 1_000.0, 1)
}

/// So many digits after the point.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let found = percentiles((1..=100).rev().map(|us| us * 1_000).collect());
        assert_eq!(
            (&found["p50_us"], &found["p90_us"], &found["p99_us"]),
            (&51.0.into(), &91.0.into(), &100.0.into())
        );
        assert_eq!(percentiles(Vec::new())["p50_us"], 0.0);
    }
}
