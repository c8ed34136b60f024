//! Cron expressions, as npm's cron-parser 5 reads them.
//!
//! [`parse`] turns the text into sets of numbers, [`hash`] chooses the numbers that `H` stands for, [`search`] finds
//! the next time. A clock change is handled in [`search`] only.

mod hash;
mod parse;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;

pub use search::SEARCH_YEARS_MAX;

use super::OPERATION;
use super::zone::Zone;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The most characters an expression may have.
pub const EXPRESSION_CHARS_MAX: usize = 1024;

/// A cron expression: the times at which something is due, again and again.
///
/// ```
/// use oxmq_core::Timestamp;
/// use oxmq_core::schedule::{Cron, Zone};
///
/// let nine = Cron::parse("0 9 * * MON-FRI").unwrap();
/// let stockholm = Zone::named("Europe/Stockholm").unwrap();
/// let friday = Timestamp::from_rfc3339("2026-10-23T12:00:00Z").unwrap();
/// // The clocks go back on Sunday: nine o'clock there is then eight in UTC, no longer seven.
/// assert_eq!(nine.next_after(friday, &stockholm).unwrap().to_rfc3339(), "2026-10-26T08:00:00.000Z");
///
/// let error = Cron::parse("0 25 * * *").unwrap_err();
/// assert!(error.to_string().contains("`hour` is 25: use 0 to 23"), "{error}");
/// ```
///
/// # Syntax
///
/// Up to six fields, divided by white space. Those that are missing are missing **on the left** and are filled with
/// `0 * * * * *`: five fields begin with the minute, `5` alone is a day of the week, and the empty text is every
/// minute. At most [`EXPRESSION_CHARS_MAX`] characters.
///
/// | field | values | also |
/// | --- | --- | --- |
/// | second | 0-59 | |
/// | minute | 0-59 | |
/// | hour | 0-23 | |
/// | day of month | 1-31 | `L`: the last day |
/// | month | 1-12 | `JAN` to `DEC`, any case |
/// | day of week | 0-7; 0 and 7 are Sunday | `SUN` to `SAT`, any case; `5L`, `FRIL`: the last Friday of the month; `1#2`, `MON#2`: the second Monday |
///
/// | in a field | means |
/// | --- | --- |
/// | `*` or `?` | every value |
/// | `a` | this value |
/// | `a-b` | from `a` to `b`; `a` must not be greater (`FRI-MON` is refused) |
/// | `*/n`, `a-b/n` | every `n`th of them, from the first |
/// | `a/n` | every `n`th from `a` to the end of the field |
/// | `x,y,..` | each of them; a value that is named twice is refused |
/// | `H`, `H(a-b)` | one value, chosen by a hash of the seed, out of the field, or out of the range |
/// | `H/n`, `H(a-b)/n` | every `n`th value, from one chosen by the hash |
///
/// | instead of the fields | means |
/// | --- | --- |
/// | `@yearly`, `@annually` | `0 0 0 1 1 *` |
/// | `@monthly` | `0 0 0 1 * *` |
/// | `@weekly` | `0 0 0 * * 0` |
/// | `@daily` | `0 0 0 * * *` |
/// | `@hourly` | `0 0 * * * *` |
/// | `@minutely` | `0 * * * * *` |
/// | `@secondly` | `* * * * * *` |
/// | `@weekdays` | `0 0 0 * * 1-5` |
/// | `@weekends` | `0 0 0 * * 0,6` |
///
/// If neither day of month nor day of week is `*` or `?`, a day that matches **either** of them is taken: `0 0 13 * 5`
/// is every 13th and every Friday. `#` stands alone in its field and counts 1 to 5. Days that never come (`30 2`) are
/// refused. There is no `W`, no year, no `@midnight`, no `@reboot`, and the names of the aliases are lower case.
///
/// # When the clocks change
///
/// - An expression for **all 24 hours** follows real time: it is due in both passes of an hour that comes twice, and
///   not in an hour that does not come.
/// - Any other is due once. Of a time that comes twice, the first counts. A time that does not come is due as much later
///   as the clocks were put forward: where 2:00 is followed by 3:00, 2:30 is due at 3:30, and `*/20 2` at 3:00, 3:20 and 3:40.
///   If 3:30 was named as well, it is still one time. What would come to the next day is left out (Apia, 30 December 2011).
/// - A change **at midnight** is as cron-parser has it, whose search steps from one day to the next. Where 0:00 is followed
///   by 1:00, as in Havana or Cairo, `0 0 * * *` is **not due** on that day; where 0:00 comes twice, the second counts. Both
///   are as above if the last hour of the day before is due as well (`0 0,23 * * *`); and where 0:00 comes twice, also if
///   nothing is due on the day before (`0 0 * * SUN`).
///
/// Whoever wants none of this uses [`Zone::utc`], or an hour at which no clocks are changed: 4 to 20.
///
/// # Where this differs from cron-parser, on purpose
///
/// The times are those of a cron-parser that is asked for one after the other. It differs where cron-parser has no
/// answer, or one that depends on when it was asked, or loses and doubles times:
///
/// - **It does not give up.** cron-parser ends with "loop limit exceeded" after 10,000 steps, and BullMQ then ends the
///   schedule without a word; `0 2 * * *` in Lord Howe does so each autumn. Here the search looks [`SEARCH_YEARS_MAX`]
///   years ahead, and a date that never comes is refused when it is parsed (`0 0 31 4,6 *`).
/// - **It remembers the change.** cron-parser knows of a change only if its search passed it. BullMQ makes a new one for
///   each run: of `*/20 2` above only 3:00 is due there, and a worker that is late by half an hour runs 2:30 twice when
///   it comes twice. And asked in the middle of October, it takes the second 0:00 of a November that begins with two of them, asked before
///   that the first. Here the times do not depend on when one asks.
/// - **Odd changes follow the same rules.** Where the clocks change by half an hour (Lord Howe), by two or three (Troll, Casey), or
///   not at a full hour (Chatham), cron-parser loses times that come, runs some twice, and moves others by another span.
/// - **`H` stays the same.** Without a seed cron-parser draws a new one each time, so that every run has other values.
///   Here the seed must be given; schedulers give their id, or `hashSeed` if they have one.
/// - **Slips are refused** that cron-parser reads as something else: `1-2-3` (1-2), `*-5` (`*`), `1*` (10), `1-3L` (1-3), `8L`,
///   `1L#2`, `1#1.5`, `*L`, `H-5`, `mon` as a month (January), `janfeb` (12).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: Days,
    months: u64,
    weekdays: Weekdays,
}

/// Which days of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Days {
    /// Bit 1 to 31.
    set: u64,
    /// `L`
    last: bool,
    /// `*` or `?`: the day of week decides alone.
    free: bool,
}

/// Which days of the week; 0 is Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Weekdays {
    /// Bit 0 to 6.
    set: u64,
    /// `5L`: those that are due on the last such day of the month.
    last: u64,
    /// `#2`: only the second such day of the month.
    nth: Option<i8>,
    /// `*` or `?`: the day of month decides alone.
    free: bool,
}

impl Cron {
    /// Reads an expression without `H`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the field, what is wrong in it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        parse::expression(text, None)
    }

    /// Reads an expression in which `H` may stand; `seed` decides which values it takes.
    ///
    /// The same seed gives the same values, here and with cron-parser's option `hashSeed`.
    ///
    /// ```
    /// use oxmq_core::schedule::Cron;
    ///
    /// // Some minute of the day, the same one each day.
    /// let nightly = Cron::parse_seeded("H H(0-5) * * *", "reports").unwrap();
    /// assert_eq!(nightly.to_string(), "H H(0-5) * * *");
    /// assert!(Cron::parse("H H(0-5) * * *").is_err());
    /// ```
    ///
    /// # Errors
    /// As [`Cron::parse`].
    pub fn parse_seeded(text: &str, seed: &str) -> Result<Self> {
        parse::expression(text, Some(seed))
    }

    /// The first time **after** `now` that it is due; a whole second.
    ///
    /// `None` if there is none in the next [`SEARCH_YEARS_MAX`] years, which is to say never: the calendar repeats by
    /// then. That takes a time that the zone's clocks always leave out, or a `now` at the end of the year 9999.
    pub fn next_after(&self, now: Timestamp, zone: &Zone) -> Option<Timestamp> {
        search::next_after(self, now, zone.rules())
    }

    /// Whether it is due at some second of every one of the 24 hours.
    fn is_every_hour(&self) -> bool {
        self.hours == parse::ALL_HOURS
    }
}

impl fmt::Display for Cron {
    /// The text it was made from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Cron {
    type Err = Error;

    /// As [`Cron::parse`].
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}
