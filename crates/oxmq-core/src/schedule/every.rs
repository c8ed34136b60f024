//! "Every so many milliseconds": the next slot, as BullMQ computes it.

use std::time::Duration;

use crate::clock::{Timestamp, millis};

/// The longest `every`: 2^40 ms, 34 years, as long as the longest delay.
pub const EVERY_MAX: Duration = Duration::from_millis(1 << 40);

/// A run of an `every` schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// When it is due.
    pub at: Timestamp,
    /// How far the schedule is from the multiples of `every` since 1970, in milliseconds. To be kept and given again, so
    /// that the runs stay in step.
    pub offset: i64,
}

/// The slot that follows `previous`, or the first one.
///
/// - The first is at `start`, or now if that has passed; without a start, at the next multiple of `every` plus `offset`
///   if an offset is given; else now.
/// - The next is `every` after the previous one. If that has passed, because nobody worked meanwhile, the missed ones are
///   left out: it is the first one after now that is in step.
///
/// `every` below 1 ms counts as 1 ms. An `offset` of 0 means that none is given; the answer then has the one that keeps
/// the slot's step. All of this is BullMQ's.
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::Timestamp;
/// use oxmq_core::schedule::next_every;
///
/// let (minute, now) = (Duration::from_secs(60), Timestamp::from_millis(1_700_000_000_000));
/// let first = next_every(None, minute, now, 0, None);
/// assert_eq!((first.at, first.offset), (now, 20_000));
///
/// // Nobody worked for an hour and a second: the next run is in step with the first.
/// let late = now + Duration::from_secs(3601);
/// let next = next_every(Some(first.at), minute, late, first.offset, None);
/// assert_eq!(next.at, now + Duration::from_secs(3660));
/// ```
pub fn next_every(
    previous: Option<Timestamp>,
    every: Duration,
    now: Timestamp,
    offset: i64,
    start: Option<Timestamp>,
) -> Slot {
    let every = millis(every).max(1);
    let now = now.as_millis();
    // In step with the offset: the last such time that began with a multiple of `every` up to now.
    let in_step = now.div_euclid(every).saturating_mul(every).saturating_add(offset);
    let at = match (previous, start) {
        (Some(previous), _) => {
            let next = previous.as_millis().saturating_add(every);
            if next >= now { next } else { after(in_step, every, now) }
        }
        (None, Some(start)) => start.as_millis().max(now),
        (None, None) if offset > 0 => after(in_step, every, now),
        (None, None) => now,
    };
    let offset = if offset == 0 { at.rem_euclid(every) } else { offset };
    Slot { at: Timestamp::from_millis(at), offset }
}

/// `time` if it is after `now`, else one step later.
fn after(time: i64, every: i64, now: i64) -> i64 {
    if time > now { time } else { time.saturating_add(every) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn slot(previous: Option<i64>, every: u64, now: i64, offset: i64, start: Option<i64>) -> (i64, i64) {
        let time = Timestamp::from_millis;
        let slot =
            next_every(previous.map(time), Duration::from_millis(every), time(now), offset, start.map(time));
        (slot.at.as_millis() - NOW, slot.offset)
    }

    #[test]
    fn the_first_slot_is_now_or_at_the_start_or_at_the_offset() {
        assert_eq!(slot(None, 60_000, NOW, 0, None), (0, 20_000));
        // B-S06: 1,700,000,000,000 is 20 s after a whole minute; 5 s after the next one is in 45 s.
        assert_eq!(slot(None, 60_000, NOW, 5_000, None), (45_000, 5_000));
        assert_eq!(slot(None, 60_000, NOW, 20_000, None), (60_000, 20_000));
        assert_eq!(slot(None, 60_000, NOW, 20_001, None), (1, 20_001));
        assert_eq!(slot(None, 60_000, NOW, 0, Some(NOW + 7)), (7, 20_007));
        assert_eq!(slot(None, 60_000, NOW, 5_000, Some(NOW - 7)), (0, 5_000));
    }

    #[test]
    fn missed_slots_are_left_out_and_the_step_is_kept() {
        assert_eq!(slot(Some(NOW), 60_000, NOW, 20_000, None), (60_000, 20_000));
        assert_eq!(slot(Some(NOW), 60_000, NOW + 60_000, 20_000, None), (60_000, 20_000));
        assert_eq!(slot(Some(NOW), 60_000, NOW + 60_001, 20_000, None), (120_000, 20_000));
        assert_eq!(slot(Some(NOW), 60_000, NOW + 3_600_000, 20_000, None), (3_660_000, 20_000));
        // Without an offset the missed ones bring it to a multiple of `every`.
        assert_eq!(slot(Some(NOW), 60_000, NOW + 60_001, 0, None), (100_000, 0));
    }

    #[test]
    fn no_input_panics() {
        for every in [0, 1, u64::MAX] {
            for now in [i64::MIN, -1, 0, i64::MAX] {
                for previous in [None, Some(i64::MIN), Some(i64::MAX)] {
                    for offset in [i64::MIN, -1, 0, i64::MAX] {
                        let time = Timestamp::from_millis;
                        let every = Duration::from_millis(every);
                        next_every(previous.map(time), every, time(now), offset, Some(time(now)));
                        next_every(previous.map(time), every, time(now), offset, None);
                    }
                }
            }
        }
    }
}
