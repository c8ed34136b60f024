//! How a handler's process died, written so that it is recognised later, and what a second death means. Pure.
//!
//! The deaths of a job are read from its stored failures and from nowhere else, so that they count across workers,
//! processes and machines. Its stacks hold each of them, up to the job's `stack_trace_limit`; a job that keeps no stacks
//! has the reason of its last failure, so that there two deaths in a row are recognised.

use std::process::ExitStatus;

use super::errors::{HandlerError, Wish};
use crate::job::Job;

/// What the reason of a quarantined job begins with. Such a job has failed for good, whatever tries were left.
pub const QUARANTINED: &str = "quarantined: ";

/// How many processes a job may kill: with this one it is quarantined.
pub const DEATHS_MAX: usize = 2;

/// What the reason of a failure begins with when the process that ran the handler died.
const DIED: &str = "the handler's process died: ";

/// What it begins with when somebody asked the process to end: a service manager that stops all processes of a worker,
/// an operator. That is no death of the job's doing.
const ENDED: &str = "the handler's process was ended: ";

/// The most deaths whose evidence is in the reason of a quarantine, the newest.
const EVIDENCE_MAX: usize = 3;

/// The longest last words that are told, in characters.
pub(crate) const LAST_WORDS_MAX: usize = 500;

/// The failure of a try whose process has ended, with `how` it did.
pub(crate) fn failure(
    status: Option<ExitStatus>,
    how: &str,
    memory: Option<u64>,
    last_words: &str,
) -> HandlerError {
    if status.is_some_and(was_asked_to_end) {
        return HandlerError::fail(told(ENDED, how, memory, last_words));
    }
    HandlerError { wish: Wish::Died, cause: Some(told(DIED, how, memory, last_words).into()) }
}

/// Whether it ended by a signal that asks for it, and that no crash brings about: SIGHUP, SIGINT, SIGTERM.
fn was_asked_to_end(status: ExitStatus) -> bool {
    #[cfg(unix)]
    return matches!(std::os::unix::process::ExitStatusExt::signal(&status), Some(1 | 2 | 15));
    #[cfg(not(unix))]
    return false;
}

fn told(what: &str, how: &str, memory: Option<u64>, last_words: &str) -> String {
    let memory = memory.map(|bytes| format!(", last memory {}", mebibytes(bytes))).unwrap_or_default();
    let words: String = last_words.trim().chars().take(LAST_WORDS_MAX).collect();
    let colon = if words.is_empty() { "" } else { ": " };
    format!("{what}{how}{memory}{colon}{words}")
}

/// `signal 9 (SIGKILL)`, or `exit code 3`.
pub(crate) fn how_it_ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = signal_name(signal).map(|name| format!(" ({name})")).unwrap_or_default();
        return format!("signal {signal}{name}");
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// The names of signals that have the same number on every Unix; another has none.
#[cfg(unix)]
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

/// Whole MiB, rounded up.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The reason to quarantine a job that has killed its process once more; `None` if it may be tried again.
pub(crate) fn verdict(job: &Job, reason: &str) -> Option<String> {
    let mut deaths = deaths(job);
    deaths.push(evidence(reason).to_owned());
    if deaths.len() < DEATHS_MAX {
        return None;
    }
    let count = deaths.len();
    deaths.reverse();
    deaths.truncate(EVIDENCE_MAX);
    Some(format!("{QUARANTINED}the handler's process died {count} times: {}", deaths.join("; before that: ")))
}

/// The evidence of the deaths that are stored with the job, oldest first.
fn deaths(job: &Job) -> Vec<String> {
    let stacks: Vec<String> =
        job.stacktrace.as_ref().and_then(|stored| stored.read().ok()).unwrap_or_default();
    let mut deaths: Vec<String> = stacks
        .iter()
        .filter(|stack| stack.starts_with(DIED))
        .map(|stack| evidence(stack).to_owned())
        .collect();
    // With stacks, the last failure is among them.
    if deaths.is_empty()
        && let Some(reason) = job.failed_reason.as_ref().filter(|reason| reason.starts_with(DIED))
    {
        deaths.push(evidence(reason).to_owned());
    }
    deaths
}

fn evidence(reason: &str) -> &str {
    let line = reason.lines().next().unwrap_or_default();
    line.strip_prefix(DIED).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonText;

    fn job(stacks: &[&str], reason: Option<&str>) -> Job {
        let mut job = Job::new("1".into(), "n".into(), JsonText::null(), JsonText::empty_object());
        job.stacktrace = Some(JsonText::of(stacks).unwrap());
        job.failed_reason = reason.map(Into::into);
        job
    }

    fn death(how: &str, memory: Option<u64>, last_words: &str) -> String {
        let failure = failure(None, how, memory, last_words);
        assert_eq!(failure.wish, Wish::Died);
        failure.message()
    }

    #[test]
    fn a_death_is_told_with_its_evidence() {
        let killed = death("signal 9 (SIGKILL)", Some(512 << 20), "");
        assert_eq!(killed, "the handler's process died: signal 9 (SIGKILL), last memory 512 MiB");
        let words = death("exit code 3", None, " no space left \n");
        assert_eq!(words, "the handler's process died: exit code 3: no space left");
        assert!(death("exit code 3", None, &"x".repeat(9_000)).len() < 600);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_was_asked_to_end_has_not_died() {
        use std::os::unix::process::ExitStatusExt;
        for signal in [1, 2, 15] {
            let status = ExitStatus::from_raw(signal);
            let failure = HandlerError::process_died(status, None, "bye");
            assert_eq!(failure.wish, Wish::Fail);
            let told = format!("the handler's process was ended: {}: bye", how_it_ended(status));
            assert_eq!(failure.message(), told);
            assert_eq!(deaths(&job(&[&told], Some(&told))), [""; 0]);
        }
        for raw in [9, 6, 11, 3 << 8] {
            assert_eq!(HandlerError::process_died(ExitStatus::from_raw(raw), None, "").wish, Wish::Died);
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_end_is_named() {
        use std::os::unix::process::ExitStatusExt;
        for (raw, text) in
            [(9, "signal 9 (SIGKILL)"), (6, "signal 6 (SIGABRT)"), (63, "signal 63"), (3 << 8, "exit code 3")]
        {
            assert_eq!(how_it_ended(ExitStatus::from_raw(raw)), text);
        }
    }

    #[test]
    fn the_second_death_is_one_too_many_wherever_the_first_is_written() {
        let (now, before) = (death("signal 6 (SIGABRT)", None, ""), death("signal 9 (SIGKILL)", Some(1), ""));
        for (stacks, reason, quarantined) in [
            (vec![], None, false),
            (vec!["boom"], Some("boom"), false),
            (vec![before.as_str()], Some(before.as_str()), true),
            // Something else came in between.
            (vec![before.as_str(), "boom"], Some("boom"), true),
            // It keeps no stacks.
            (vec![], Some(before.as_str()), true),
            // A failure that only speaks of it.
            (vec!["boom: the handler's process died: no"], Some("boom"), false),
        ] {
            let verdict = verdict(&job(&stacks, reason), &now);
            assert_eq!(verdict.is_some(), quarantined, "{stacks:?} {reason:?}");
            if let Some(verdict) = verdict {
                let told = "quarantined: the handler's process died 2 times: signal 6 (SIGABRT); before that: signal 9 (SIGKILL), last memory 1 MiB";
                assert_eq!(verdict, told);
            }
        }
        let mut not_json = job(&[], None);
        not_json.stacktrace = Some(JsonText::stored("{oops"));
        assert_eq!(verdict(&not_json, &now), None);
    }
}
