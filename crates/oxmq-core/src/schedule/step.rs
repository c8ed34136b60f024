//! What a store decides when a schedule is put or goes on; pure. The Redis store has it in Lua:
//! `lua/shared/schedule.lua` is the twin.

use std::time::Duration;

use super::every::{Slot, next_every};
use super::repeat::{Repeat, Rule};
use crate::address::JobId;
use crate::clock::{Timestamp, millis};
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::store::SLOTS_TRIED_MAX;

/// Members of a job's options that a schedule sets.
const OWN_MEMBERS: [&str; 3] = ["repeat", "repeatJobKey", "prevMillis"];

/// The id of the job of a slot.
pub fn slot_id(schedule: &str, slot: Timestamp) -> JobId {
    JobId::stored(format!("repeat:{schedule}:{slot}"))
}

/// The schedule and the slot that a job's id names, if it has the form of [`slot_id`].
pub fn slot_of(id: &str) -> Option<(&str, Timestamp)> {
    let (schedule, ms) = id.strip_prefix("repeat:")?.rsplit_once(':')?;
    let digits = !ms.is_empty() && ms.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(())?;
    Some((schedule, Timestamp::from_millis(ms.parse().ok()?)))
}

/// Whether an id has the shape of the keys of BullMQ's repeatable jobs before version 6: `name:id:end:zone:pattern`.
pub fn is_legacy_key(id: &str) -> bool {
    let parts: Vec<&str> = id.splitn(5, ':').collect();
    let [_, _, end, _, suffix] = parts.as_slice() else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(end) && (suffix.contains(' ') || (!suffix.is_empty() && digits(suffix)))
}

/// What a store knows of the schedule that is there already.
#[derive(Debug, Clone)]
pub struct Current<'a> {
    /// The slot of its current job.
    pub slot: Timestamp,
    /// Its rule.
    pub repeat: Option<&'a Repeat>,
    /// The offset that is kept with it.
    pub offset: i64,
    /// Whether its current job waits, and so can be replaced.
    pub replaceable: bool,
}

/// The slot of the first job of a schedule that is put, and the offset to be kept; `None` for a pattern without a time.
///
/// - A job that waits is replaced in its slot by one of the same "every", and so is one of the same pattern that is due.
/// - A rule that is another than before begins anew: its slots are counted from now, or from its start.
pub fn first_slot(
    repeat: &Repeat,
    at: Option<Timestamp>,
    current: Option<&Current<'_>>,
    now: Timestamp,
) -> Option<Slot> {
    let same = current
        .filter(|current| current.repeat.is_some_and(|was| is_same_rule(was, current.offset, repeat, now)));
    match &repeat.rule {
        Rule::Every(every) => {
            if let Some(current) = same.filter(|current| current.replaceable) {
                return Some(Slot { at: current.slot, offset: current.offset });
            }
            let (previous, kept) = same.map_or((None, 0), |current| (Some(current.slot), current.offset));
            let offset = repeat.offset.filter(|offset| *offset != 0).unwrap_or(kept);
            Some(next_every(previous, *every, now, offset, repeat.start_date))
        }
        Rule::Pattern(_) => {
            let due =
                same.filter(|current| current.replaceable && current.slot <= now).map(|current| current.slot);
            due.or(at).map(|at| Slot { at, offset: 0 })
        }
    }
}

/// Whether a schedule goes on in its slots.
fn is_same_rule(was: &Repeat, kept_offset: i64, is: &Repeat, now: Timestamp) -> bool {
    if was.rule != is.rule {
        return false;
    }
    match is.rule {
        Rule::Every(_) => {
            let same_offset = is.offset.is_none_or(|offset| offset == 0 || offset == kept_offset);
            let begins_later =
                is.start_date.is_some_and(|start| start > now) && is.start_date != was.start_date;
            same_offset && !begins_later
        }
        Rule::Pattern(_) => was.tz == is.tz,
    }
}

/// The slot after `previous` of "every".
pub fn next_slot(
    previous: Timestamp,
    every: Duration,
    left_out_before: Timestamp,
    offset: i64,
    start: Option<Timestamp>,
) -> Timestamp {
    next_every(Some(previous), every, left_out_before, offset, start).at
}

/// The first slot from `slot` on whose job is not there: of "every" one of [`SLOTS_TRIED_MAX`] more, of a pattern this one.
///
/// # Errors
/// The id of the last one that was tried.
pub fn free_slot<E>(
    schedule: &str,
    rule: &Rule,
    mut slot: Timestamp,
    mut is_there: impl FnMut(&JobId) -> Result<bool, E>,
) -> Result<Result<Timestamp, JobId>, E> {
    let (step, tries) = match rule {
        Rule::Every(every) => (*every, SLOTS_TRIED_MAX),
        Rule::Pattern(_) => (Duration::ZERO, 0),
    };
    for left in (0..=tries).rev() {
        let id = slot_id(schedule, slot);
        if !is_there(&id)? {
            return Ok(Ok(slot));
        }
        if left == 0 {
            return Ok(Err(id));
        }
        slot = slot + step;
    }
    Ok(Ok(slot))
}

/// The options of the job of a slot.
pub fn job_options(
    options: &JobOptions,
    schedule: &str,
    repeat: &Repeat,
    number: u64,
    slot: Timestamp,
    now: Timestamp,
) -> JobOptions {
    let mut options = template_options(options);
    options.job_id = Some(slot_id(schedule, slot));
    options.timestamp = Some(now);
    options.delay = Some(slot - now);
    let mut repeat = repeat.clone();
    repeat.count = Some(number);
    repeat.immediately = false;
    options.other.insert("repeat".into(), repeat.to_json());
    let key = JsonText::of(schedule).unwrap_or_else(|_| JsonText::null());
    options.other.insert("repeatJobKey".into(), key);
    if matches!(repeat.rule, Rule::Pattern(_)) {
        options.other.insert("prevMillis".into(), JsonText::stored(slot.to_string()));
    }
    options
}

/// Options without what a schedule sets.
#[must_use]
pub fn template_options(options: &JobOptions) -> JobOptions {
    let mut options = options.clone();
    (options.job_id, options.timestamp, options.delay) = (None, None, None);
    options.made_at = None;
    for member in OWN_MEMBERS {
        options.other.remove(member);
    }
    options
}

/// How long a job waits for its slot, in milliseconds.
pub fn delay_ms(slot: Timestamp, now: Timestamp) -> i64 {
    millis(slot - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_id_names_its_schedule_and_its_slot() {
        for schedule in ["daily", "a:b:c", "", "ü 7", "x:12"] {
            assert_eq!(slot_of(slot_id(schedule, NOW).as_str()), Some((schedule, NOW)));
        }
        for id in
            ["17", "repeat:a", "repeat:a:", "repeat:a:b", "repeat:a:-5", "repeat:a:99999999999999999999"]
        {
            assert_eq!(slot_of(id), None, "{id}");
        }
    }

    #[test]
    fn keys_of_old_repeatable_jobs_are_known_by_their_shape() {
        for id in ["name::::* * * * *", "name:id:1700:Europe/Rome:0 9 * * *", "a:b:::5000"] {
            assert!(is_legacy_key(id), "{id}");
        }
        for id in
            ["daily", "a:b:c", "a:b:c:d:1000", "a:b:::", "a:b::tz:x", "d41d8cd98f00b204e9800998ecf8427e"]
        {
            assert!(!is_legacy_key(id), "{id}");
        }
    }

    #[test]
    fn a_rule_that_changes_begins_anew_and_one_that_stays_goes_on() {
        let minute = Repeat::every(ms(60_000));
        let current =
            Current { slot: NOW + ms(60_000), repeat: Some(&minute), offset: 20_000, replaceable: true };
        let first = |repeat: &Repeat, replaceable| {
            let current = Current { replaceable, ..current.clone() };
            let slot = first_slot(repeat, None, Some(&current), NOW + ms(15_000)).unwrap();
            ((slot.at - NOW).as_millis(), slot.offset)
        };
        assert_eq!(first(&minute, true), (60_000, 20_000));
        assert_eq!(first(&minute, false), (120_000, 20_000));
        // A new phase comes with a new rule.
        assert_eq!(first(&Repeat::every(ms(30_000)), true), (15_000, 5_000));
        let mut moved = minute.clone();
        moved.offset = Some(7_000);
        assert_eq!(first(&moved, true), (47_000, 7_000));
        moved.offset = Some(20_000);
        assert_eq!(first(&moved, true), (60_000, 20_000));
        let mut later = minute.clone();
        later.start_date = Some(NOW + ms(500_000));
        assert_eq!(first(&later, true).0, 500_000);
        later.start_date = Some(NOW);
        assert_eq!(first(&later, true), (60_000, 20_000));
    }

    #[test]
    fn a_run_of_a_pattern_that_is_due_is_kept() {
        let hourly = Repeat::pattern("0 * * * *");
        let at = Some(NOW + ms(3_000));
        let first = |repeat: &Repeat, slot, replaceable| {
            let current = Current { slot, repeat: Some(&hourly), offset: 0, replaceable };
            first_slot(repeat, at, Some(&current), NOW).unwrap().at
        };
        assert_eq!(first(&hourly, NOW, true), NOW);
        assert_eq!(first(&hourly, NOW, false), NOW + ms(3_000));
        assert_eq!(first(&hourly, NOW + ms(5_000), true), NOW + ms(3_000));
        assert_eq!(first(&Repeat::pattern("1 * * * *"), NOW, true), NOW + ms(3_000));
        assert_eq!(first_slot(&hourly, None, None, NOW), None);
    }

    #[test]
    fn a_slot_that_is_taken_is_passed_over() {
        let find = |rule: &Rule, taken: u32| {
            let mut left = taken;
            let found: Result<_, ()> = free_slot("s", rule, NOW, |_| {
                left = left.saturating_sub(1);
                Ok(left > 0)
            });
            found.unwrap()
        };
        let every = Rule::Every(ms(10));
        assert_eq!(find(&every, 1), Ok(NOW));
        assert_eq!(find(&every, 33), Ok(NOW + ms(320)));
        assert_eq!(find(&every, 34), Err(slot_id("s", NOW + ms(320))));
        let pattern = Rule::Pattern("*".into());
        assert_eq!(find(&pattern, 1), Ok(NOW));
        assert_eq!(find(&pattern, 2), Err(slot_id("s", NOW)));
    }

    #[test]
    fn the_options_of_a_job_say_where_it_comes_from() {
        let mut options = JobOptions { priority: Some(3), ..JobOptions::default() };
        options.other.insert("prevMillis".into(), JsonText::stored("1"));
        let repeat = Repeat::pattern("0 * * * *");
        let made = job_options(&options, "a \"b\"", &repeat, 4, NOW + ms(5), NOW);
        let expected = r#"{"jobId":"repeat:a \"b\":1700000000005","timestamp":1700000000000,"delay":5,"priority":3,"prevMillis":1700000000005,"repeat":{"pattern":"0 * * * *","count":4},"repeatJobKey":"a \"b\""}"#;
        assert_eq!(made.to_json().as_str(), expected);
        let plain = template_options(&made).to_json();
        assert_eq!(plain.as_str(), r#"{"priority":3}"#);
        let every = job_options(&JobOptions::default(), "s", &Repeat::every(ms(7)), 1, NOW, NOW);
        assert!(!every.other.contains_key("prevMillis"));
    }
}
