//! The next time that an expression is due.
//!
//! The search goes from one change of the zone's clocks to the next. Between two changes the clocks run like any
//! other, and the first match of the sets is the answer. So times come in order and once, whatever the clocks do, and
//! only the beginning of such a stretch needs thought:
//!
//! - after a change **forward**, the times that were left out are due as much later ([`Stretch::moved`]);
//! - after a change **backward**, the times that were already there are passed over ([`Stretch::begin`]).
//!
//! A change at midnight is as cron-parser has it, which steps from day to day without a look at the hours between them
//! ([`Cron::walks_into`]).

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp as Instant};

use super::Cron;
use crate::clock::Timestamp;

/// How far ahead the search looks, in years. The calendar repeats after 400 years, days of the week included: what has
/// not come by then never does.
pub const SEARCH_YEARS_MAX: i16 = 400;

/// The first time after `now`.
pub(super) fn next_after(cron: &Cron, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let from = Instant::from_second(now.as_millis().div_euclid(1000).checked_add(1)?).ok()?;
    let until = latest(from);
    let mut stretch = Stretch::at(from, zone);
    loop {
        let end = zone.following(stretch.instant).next().map(|change| change.timestamp());
        let end = end.filter(|end| *end < until);
        let next = end.map(|end| Stretch::at(end, zone));
        let shown =
            next.as_ref().map_or_else(|| stretch.offset.to_datetime(until), |next| stretch.end(cron, next));
        if let Some(found) = stretch.first(cron, shown) {
            let found = stretch.offset.to_timestamp(found).ok()?;
            return Some(Timestamp::from_millis(found.as_millisecond()));
        }
        stretch = next?;
    }
}

/// Where the search that begins at `from` ends.
fn latest(from: Instant) -> Instant {
    let years = SignedDuration::from_hours(i64::from(SEARCH_YEARS_MAX) * 8766);
    from.checked_add(years).unwrap_or(Instant::MAX)
}

/// A time in which the clocks are not changed, from `instant` on.
struct Stretch {
    instant: Instant,
    offset: Offset,
    /// What the clocks showed and show at the change with which it began, if it began with one.
    change: Option<(DateTime, DateTime)>,
}

impl Stretch {
    fn at(instant: Instant, zone: &TimeZone) -> Self {
        let offset = zone.to_offset(instant);
        let change = instant
            .checked_add(SignedDuration::from_secs(1))
            .ok()
            .and_then(|after| zone.preceding(after).next())
            .and_then(|change| {
                let at = change.timestamp();
                let before = zone.to_offset(at.checked_sub(SignedDuration::from_secs(1)).ok()?);
                Some((before.to_datetime(at), offset.to_datetime(at)))
            });
        Self { instant, offset, change }
    }

    /// The first time that is due before the clocks show `until`.
    fn first(&self, cron: &Cron, until: DateTime) -> Option<DateTime> {
        let times = [self.regular(cron, until), self.moved(cron, until)];
        times.into_iter().flatten().min()
    }

    /// The first match before the clocks show `until`.
    fn regular(&self, cron: &Cron, until: DateTime) -> Option<DateTime> {
        let begin = self.begin(cron);
        let (mut date, mut time) = (begin.date(), begin.time());
        while date <= until.date() {
            if !has(cron.months, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                time = Time::midnight();
                continue;
            }
            if cron.is_due_on(date)
                && let Some(time) = cron.first_time(time)
            {
                return Some(date.to_datetime(time)).filter(|found| *found < until);
            }
            date = date.tomorrow().ok()?;
            time = Time::midnight();
        }
        None
    }

    /// What the clocks show when it begins. Times that come a second time count only if all hours are named, or if the
    /// first pass does not count.
    fn begin(&self, cron: &Cron) -> DateTime {
        let begin = self.offset.to_datetime(self.instant);
        match self.change {
            Some((before, after)) if before > after && !cron.is_every_hour() && !cron.jumps_over(after) => {
                begin.max(before)
            }
            _ => begin,
        }
    }

    /// What the clocks show when it ends and `next` begins. If it is the first pass that does not count, that is where the
    /// second begins.
    fn end(&self, cron: &Cron, next: &Self) -> DateTime {
        let end = self.offset.to_datetime(next.instant);
        match next.change {
            Some((before, after)) if before > after && cron.jumps_over(after) => end.min(after),
            _ => end,
        }
    }

    /// The first of the times that the change left out, as much later as the clocks were put forward. Not if all hours are
    /// named, and only within one day.
    fn moved(&self, cron: &Cron, until: DateTime) -> Option<DateTime> {
        let (before, after) = self.change?;
        let gap = after.duration_since(before);
        let date = before.date();
        if !gap.is_positive() || date != after.date() || cron.is_every_hour() || !cron.is_due_on(date) {
            return None;
        }
        if before.time() == Time::midnight() && !cron.walks_into(date) {
            return None;
        }
        let from = self.offset.to_datetime(self.instant).checked_sub(gap).ok()?.max(before);
        let left_out =
            cron.first_time(from.time()).filter(|time| from.date() == date && *time < after.time())?;
        let moved = date.to_datetime(left_out).checked_add(gap).ok()?;
        Some(moved).filter(|moved| *moved < until && moved.date() == date)
    }
}

impl Cron {
    /// Whether the search comes to this date from the last hour of the day before, which is due.
    fn walks_into(&self, date: Date) -> bool {
        has(self.hours, 23) && self.is_due_on_eve(date)
    }

    /// Whether this is midnight, and the search comes to it from an earlier hour of the day before, which is due. It then
    /// comes to the **second** 0:00, if there are two.
    fn jumps_over(&self, time: DateTime) -> bool {
        time.time() == Time::midnight() && !has(self.hours, 23) && self.is_due_on_eve(time.date())
    }

    fn is_due_on_eve(&self, date: Date) -> bool {
        date.yesterday().is_ok_and(|eve| self.is_due_on(eve))
    }

    /// Whether the date matches month, day of month and day of week.
    fn is_due_on(&self, date: Date) -> bool {
        let (days, weekdays) = (&self.days, &self.weekdays);
        let day = has(days.set, date.day()) || (days.last && date.day() == date.days_in_month());
        let weekday = date.weekday().to_sunday_zero_offset();
        let named = has(weekdays.set, weekday);
        let weekday = if let Some(nth) = weekdays.nth {
            named && (date.day() - 1) / 7 + 1 == nth
        } else {
            let is_last = date.day() + 7 > date.days_in_month();
            named || (is_last && has(weekdays.last, weekday))
        };
        let matches = match (days.free, weekdays.free) {
            (true, true) => true,
            (false, true) => day,
            (true, false) => weekday,
            (false, false) => day || weekday,
        };
        matches && has(self.months, date.month())
    }

    /// The first match of a day that is not before `time`.
    fn first_time(&self, time: Time) -> Option<Time> {
        let hours = self.hours;
        let [hour, minute, second] = [time.hour(), time.minute(), time.second()];
        let at = |hour, minute, second| Time::new(hour, minute, second, 0).ok();
        let (first_minute, first_second) = (next(self.minutes, 0)?, next(self.seconds, 0)?);
        if has(hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = next(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = next(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(next(hours, hour + 1)?, first_minute, first_second)
    }
}

/// Whether the set has this number.
fn has(set: u64, number: i8) -> bool {
    next(set, number) == Some(number)
}

/// The first number of the set that is not below `from`.
fn next(set: u64, from: i8) -> Option<i8> {
    let rest = set.checked_shr(u32::try_from(from).ok()?)?;
    if rest == 0 { None } else { i8::try_from(rest.trailing_zeros()).ok().map(|more| from + more) }
}
