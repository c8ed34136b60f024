//! What the system knows of a process. Only Linux tells it in this way; elsewhere there is nothing to show.

use std::fs;

/// User and system time of a whole process, in seconds.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything; utime and stime are 14 and 15.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    let ticks = fields.next()? + fields.next()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory that a process ever had, in MiB.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn peak_rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"))?;
    Some(kib.trim().parse::<u64>().ok()? as f64 / 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_there_can_be_measured() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some_and(|seconds| seconds >= 0.0));
        assert!(peak_rss_mib(pid).is_some_and(|mib| mib > 0.5));
        assert_eq!((cpu_seconds(u32::MAX), peak_rss_mib(u32::MAX)), (None, None));
    }
}
