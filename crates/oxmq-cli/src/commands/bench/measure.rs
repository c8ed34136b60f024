//! Clocks and counters of this process.

use std::fs;

use anyhow::{Context as _, Result};
use oxmq::JsonText;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::{Map, Value};

/// `CLOCK_MONOTONIC` in ns: the same clock in every process of the machine.
pub(super) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The payload of a job: when it was added, and padding up to about 100 bytes.
#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) t: u64,
}

/// The payload of a job that is added now.
pub(super) fn payload() -> JsonText {
    JsonText::stored(format!("{{\"t\":{},\"pad\":\"{}\"}}", monotonic_ns(), "x".repeat(62)))
}

/// A measured part: its time and its CPU time.
#[derive(Debug)]
pub(super) struct Span {
    start_ns: u64,
    start_cpu: f64,
}

impl Span {
    pub(super) fn start() -> Result<Self> {
        Ok(Self { start_ns: monotonic_ns(), start_cpu: cpu_seconds()? })
    }

    /// What is told of `n` jobs done since.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(super) fn end(self, n: u64) -> Result<Map<String, Value>> {
        let seconds = (monotonic_ns() - self.start_ns) as f64 / 1e9;
        let cpu = cpu_seconds()? - self.start_cpu;
        Ok(Map::from_iter([
            ("seconds".to_owned(), rounded(seconds).into()),
            ("jobs_per_s".to_owned(), (n as f64 / seconds).round().into()),
            ("cpu_s_per_1000".to_owned(), rounded(cpu * 1_000.0 / n as f64).into()),
        ]))
    }
}

/// p50 and p99 of times in ns, as µs.
pub(super) fn percentiles(mut times_ns: Vec<u64>) -> Map<String, Value> {
    times_ns.sort_unstable();
    let at = |percent: usize| {
        let index = (times_ns.len() * percent / 100).min(times_ns.len().saturating_sub(1));
        times_ns.get(index).copied().unwrap_or(0) / 1_000
    };
    Map::from_iter([("p50_us".to_owned(), at(50).into()), ("p99_us".to_owned(), at(99).into())])
}

/// Four digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// User and system time of the whole process.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the name in parentheses, which may contain anything; utime and stime are 14 and 15.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat has no `)`")?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
        anyhow::bail!("/proc/self/stat is not as expected: {stat}");
    };
    Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory this process ever had, in MiB.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .context("/proc/self/status has no VmHWM")?;
    Ok((kib as f64 / 1024.0 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let found = percentiles((1..=100).rev().map(|us| us * 1_000).collect());
        assert_eq!((found["p50_us"].as_u64(), found["p99_us"].as_u64()), (Some(51), Some(100)));
        assert_eq!(percentiles(Vec::new())["p50_us"], 0);
    }

    #[test]
    fn a_payload_is_about_a_hundred_bytes_of_json() {
        let payload = payload();
        assert!((85..=115).contains(&payload.as_str().len()), "{payload}");
        assert!(payload.read::<Payload>().unwrap().t > 0);
    }

    #[test]
    fn this_process_can_be_measured() {
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(peak_rss_mib().unwrap() > 0.5);
    }
}
