//! From the text of an expression to sets of numbers. A set is a `u64` with a bit per number.

use std::cell::Cell;
use std::fmt;

use super::hash::draws;
use super::{Cron, Days, EXPRESSION_CHARS_MAX, OPERATION, Weekdays};
use crate::error::{Error, Result};

/// The set of the hours 0 to 23.
pub(super) const ALL_HOURS: u64 = (1 << 24) - 1;

/// What a field is called, and what may stand in it.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names for the numbers from `min` on.
    names: &'static [&'static str],
    /// Which of the draws is its own.
    draw: usize,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[], draw: 0 };
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[], draw: 1 };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[], draw: 2 };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[], draw: 4 };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS, draw: 3 };
const WEEKDAY: Field = Field { name: "day of week", min: 0, max: 7, names: &WEEKDAYS, draw: 5 };

/// The fields that are missing on the left.
const DEFAULTS: [&str; 6] = ["0", "*", "*", "*", "*", "*"];

/// What stands for a whole expression.
const ALIASES: [(&str, &str); 10] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
    ("@minutely", "0 * * * * *"),
    ("@secondly", "* * * * * *"),
    ("@weekdays", "0 0 0 * * 1-5"),
    ("@weekends", "0 0 0 * * 0,6"),
];

/// Reads an expression.
pub(super) fn expression(text: &str, seed: Option<&str>) -> Result<Cron> {
    let chars = text.chars().count();
    if chars > EXPRESSION_CHARS_MAX {
        let value = format!("{chars} characters long");
        return Err(refuse("pattern", value, format_args!("use at most {EXPRESSION_CHARS_MAX}")));
    }
    fields(text, seed).map_err(|error| error.with("pattern", text))
}

fn fields(text: &str, seed: Option<&str>) -> Result<Cron> {
    let plain = match ALIASES.iter().find(|(alias, _)| *alias == text) {
        Some((_, plain)) => plain,
        None if text.trim_start().starts_with('@') => {
            let known = ALIASES.map(|(alias, _)| alias).join(" ");
            return Err(refuse("pattern", text, format_args!("use fields, or exactly one of {known}")));
        }
        None => text,
    };
    let mut parts = DEFAULTS;
    let given: Vec<&str> = plain.split_whitespace().collect();
    let Some(missing) = parts.len().checked_sub(given.len()) else {
        let value = format!("{} fields", given.len());
        return Err(refuse("pattern", value, "use at most 6: second minute hour day month weekday"));
    };
    parts[missing..].copy_from_slice(&given);

    let [second, minute, hour, day, month, weekday] = parts;
    let draws = seed.map(draws);
    let reader = |field| Reader { field, draws, counted: u64::MAX, last: Cell::new(0) };
    let months = reader(&MONTH).list(month)?;
    // As in cron-parser: days that the only month does not have may be there twice.
    let only = months.is_power_of_two().then(|| range(0, longest(months.trailing_zeros())));
    let days = Reader { counted: only.unwrap_or(u64::MAX), ..reader(&DAY) };
    let days = Days { set: days.list(day)?, last: days.last.get() != 0, free: is_free(day) };
    let cron = Cron {
        text: text.to_owned(),
        seconds: reader(&SECOND).list(second)?,
        minutes: reader(&MINUTE).list(minute)?,
        hours: reader(&HOUR).list(hour)?,
        days,
        months,
        weekdays: reader(&WEEKDAY).weekdays(weekday)?,
    };
    if !comes(&cron) {
        return Err(refuse("day of month", day, format_args!("there is no such day in month {month}")));
    }
    Ok(cron)
}

/// Whether there is a date for it. A day of week comes in every month, but for a fifth, which comes in some years.
fn comes(cron: &Cron) -> bool {
    let in_month = |month: u32| cron.days.set & range(1, longest(month)) != 0;
    !cron.weekdays.free
        || cron.days.last
        || (1..=12).any(|month| cron.months & bit(month) != 0 && in_month(month))
}

/// The most days that a month has.
fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether the text of a field leaves the day to the other field.
fn is_free(text: &str) -> bool {
    matches!(text, "*" | "?")
}

fn bit(number: u32) -> u64 {
    1 << number
}

/// The set of `from` to `to`; both below 64.
fn range(from: u32, to: u32) -> u64 {
    (from..=to).fold(0, |set, number| set | bit(number))
}

fn refuse(field: &'static str, value: impl fmt::Display, remedy: impl fmt::Display) -> Error {
    Error::invalid(OPERATION, field, value, remedy)
}

/// Reads one field.
struct Reader {
    field: &'static Field,
    draws: Option<[f64; 6]>,
    /// The numbers that must not be there twice.
    counted: u64,
    /// What was marked with `L`: bit 0 in the day of month, the weekdays in the day of week.
    last: Cell<u64>,
}

impl Reader {
    /// The day of week: a list, or one value with `#`.
    fn weekdays(&self, text: &str) -> Result<Weekdays> {
        let (list, nth) = match text.split_once('#') {
            None => (text, None),
            Some((day, nth)) => {
                if day.contains(['-', '/', ',', 'L']) || nth.contains(['-', '/', ',']) {
                    return Err(
                        self.refuse(text, "`#` stands alone, as in 1#2: no list, range, step or L with it")
                    );
                }
                match number(nth) {
                    Some(nth @ 1..=5) => (day, i8::try_from(nth).ok()),
                    _ => return Err(self.refuse(text, "use 1 to 5 after `#`, as in 1#2")),
                }
            }
        };
        let set = self.list(list)?;
        Ok(Weekdays { set, last: on_sunday(self.last.get()), nth, free: is_free(text) })
    }

    /// `x,y,..`: all of them; none may be there twice.
    fn list(&self, text: &str) -> Result<u64> {
        let mut all = 0;
        for item in text.split(',') {
            let set = self.item(item)?;
            let twice = all & set & self.counted;
            if twice != 0 {
                let twice = twice.trailing_zeros();
                return Err(self.refuse(text, format_args!("{twice} is in it twice; name it once")));
            }
            all |= set;
        }
        Ok(all)
    }

    /// One part of a list.
    fn item(&self, item: &str) -> Result<u64> {
        if let Some(rest) = item.strip_suffix('L')
            && self.is_last(rest, item)?
        {
            return Ok(0);
        }
        if let Some(rest) = item.strip_prefix('H') {
            return self.hashed(rest, item);
        }
        let (span, step) = match item.split_once('/') {
            None => (item, None),
            Some((span, step)) => (span, Some(self.step(step, item)?)),
        };
        let (from, to) = match span.split_once('-') {
            _ if is_free(span) => (self.field.min, self.field.max),
            Some((from, to)) => (self.value(from, item)?, self.value(to, item)?),
            None => {
                let value = self.value(span, item)?;
                (value, if step.is_some() { self.field.max } else { value })
            }
        };
        if from > to {
            return Err(
                self.refuse(item, "write the smaller end of a range first; a range does not wrap around")
            );
        }
        Ok(self.fold(stepped(from, to, from, step.unwrap_or(1))))
    }

    /// Notes what `L` marks. False if this field has no `L`.
    fn is_last(&self, rest: &str, item: &str) -> Result<bool> {
        let mark = if self.field.name == DAY.name && rest.is_empty() {
            1
        } else if self.field.name == WEEKDAY.name {
            if rest.is_empty() {
                return Err(self.refuse(item, "name the day before the L, as in 5L or FRIL"));
            }
            match rest {
                "H" => bit(self.drawn(self.field.min, self.field.max, item)?),
                _ => bit(self.value(rest, item)?),
            }
        } else {
            return Ok(false);
        };
        if self.last.get() & mark != 0 {
            return Err(self.refuse(item, "it is in the list twice; name it once"));
        }
        self.last.set(self.last.get() | mark);
        Ok(true)
    }

    /// What follows an `H`: nothing, `/n`, `(a-b)`, `(a-b)/n`.
    fn hashed(&self, rest: &str, item: &str) -> Result<u64> {
        let remedy = "after H comes nothing, /n, (a-b) or (a-b)/n, with numbers";
        let syntax = || self.refuse(item, remedy);
        let (span, rest) = match rest.strip_prefix('(') {
            None => ((self.field.min, self.field.max), rest),
            Some(inner) => {
                let (span, rest) = inner.split_once(')').ok_or_else(syntax)?;
                let (from, to) = span.split_once('-').ok_or_else(syntax)?;
                let (from, to) = (number(from).ok_or_else(syntax)?, number(to).ok_or_else(syntax)?);
                if from > to {
                    return Err(self.refuse(item, "write the smaller end of a range first"));
                }
                ((from.max(self.field.min), to.min(self.field.max)), rest)
            }
        };
        let (from, to) = span;
        if from > to {
            return Err(self.refuse(item, self.allowed()));
        }
        let one = self.drawn(from, to, item)?;
        let set = match rest.strip_prefix('/') {
            None if rest.is_empty() => bit(one),
            None => return Err(syntax()),
            Some(step) => {
                let step = self.step(step, item)?;
                let phase = self.drawn(0, step - 1, item)?;
                // The values that leave this remainder; if there are none, it is as if no step was given.
                let first = (from..=to).find(|value| value % step == phase);
                first.map_or(bit(one), |first| stepped(from, to, first, step))
            }
        };
        let folded = self.fold(set);
        if folded.count_ones() < set.count_ones() {
            // cron-parser writes the values out as a list, and refuses them.
            return Err(self.refuse(item, "0 and 7 are both Sunday; use a range such as H(0-6)"));
        }
        Ok(folded)
    }

    /// The value between `from` and `to` that the seed chooses.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the length of a range of u32"
    )]
    fn drawn(&self, from: u32, to: u32, item: &str) -> Result<u32> {
        let Some(draws) = self.draws else {
            return Err(self.refuse(item, "H needs a seed to choose its value by"));
        };
        let length = f64::from(to - from) + 1.0;
        Ok(from.saturating_add((draws[self.field.draw] * length).floor() as u32))
    }

    /// The number after a `/`.
    fn step(&self, text: &str, item: &str) -> Result<u32> {
        match number(text) {
            Some(step) if step > 0 => Ok(step),
            _ => Err(self.refuse(item, "use a whole number, at least 1, after the /")),
        }
    }

    /// A number or a name.
    fn value(&self, text: &str, item: &str) -> Result<u32> {
        let name = self.field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match name {
            Some(index) => u32::try_from(index).ok().map(|index| index + self.field.min),
            None => number(text),
        };
        value
            .filter(|value| (self.field.min..=self.field.max).contains(value))
            .ok_or_else(|| self.refuse(item, self.allowed()))
    }

    /// The field's set with 7 as 0, if it is the day of week.
    fn fold(&self, set: u64) -> u64 {
        if self.field.name == WEEKDAY.name { on_sunday(set) } else { set }
    }

    fn allowed(&self) -> String {
        let Field { min, max, names, .. } = self.field;
        match (names.first(), names.last()) {
            (Some(first), Some(last)) => {
                format!("use {min} to {max}, or {} to {}", first.to_uppercase(), last.to_uppercase())
            }
            _ => format!("use {min} to {max}"),
        }
    }

    fn refuse(&self, value: &str, remedy: impl fmt::Display) -> Error {
        // Nothing at all reads badly in a sentence.
        refuse(self.field.name, if value.is_empty() { "empty" } else { value }, remedy)
    }
}

/// From `first` to `to` by `step`; what is below `from` is not in it.
fn stepped(from: u32, to: u32, first: u32, step: u32) -> u64 {
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    (first.max(from)..=to).step_by(step).fold(0, |set, number| set | bit(number))
}

/// Day 7 is day 0.
fn on_sunday(set: u64) -> u64 {
    (set | set >> 7) & range(0, 6)
}

/// Digits only; a number that is too large is the largest, which no field allows and every step may be.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}
