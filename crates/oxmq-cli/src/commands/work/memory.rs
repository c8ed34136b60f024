//! How much memory a program has, with all it has started. Known on Linux only.

use std::fs;
use std::time::Duration;

/// How often it is looked at.
pub(super) const MEMORY_CHECK: Duration = Duration::from_millis(500);

/// The most processes that are counted for one program.
const PROCESSES_MAX: usize = 256;

/// Resident memory in bytes. `None` where it cannot be known: of the shell alone, it would mislead.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let mut sum = resident_of(pid)?;
    let mut found = children_of(pid)?;
    let mut count = 1;
    while let Some(pid) = found.pop() {
        count += 1;
        if count > PROCESSES_MAX {
            break;
        }
        // One that has ended in the meantime has none.
        sum += resident_of(pid).unwrap_or(0);
        found.extend(children_of(pid).unwrap_or_default());
    }
    Some(sum)
}

fn resident_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

fn children_of(pid: u32) -> Option<Vec<u32>> {
    let pids = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
