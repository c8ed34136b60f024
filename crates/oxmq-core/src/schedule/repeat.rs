//! What a scheduler was told: BullMQ's repeat options, checked, and the runs that come of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::cron::Cron;
use super::every::{EVERY_MAX, Slot, next_every};
use super::zone::Zone;
use super::{EXPRESSION_CHARS_MAX, OPERATION};
use crate::clock::{Timestamp, millis};
use crate::error::{Error, Result};
use crate::json::JsonText;

/// The most runs that [`preview`] shows.
pub const PREVIEW_RUNS_MAX: usize = 1000;

/// When a scheduler makes jobs, and for how long.
///
/// The JSON form has BullMQ's names; members that are not known here are kept and returned untouched. What BullMQ does
/// not have lies under one member, `oxmq`.
///
/// ```
/// use oxmq_core::Timestamp;
/// use oxmq_core::schedule::{Repeat, Rule, Zone, preview};
///
/// let repeat = Repeat::parse(r#"{"pattern":"0 9 * * 1-5","tz":"Europe/Stockholm","limit":2}"#).unwrap();
/// assert_eq!(repeat.rule, Rule::Pattern("0 9 * * 1-5".to_owned()));
///
/// let now = Timestamp::from_rfc3339("2026-10-23T12:00:00Z").unwrap();
/// repeat.check(now).unwrap();
/// let runs = preview(&repeat, "reports", &Zone::utc(), now, 10).unwrap();
/// let runs: Vec<String> = runs.iter().map(|run| run.to_rfc3339()).collect();
/// assert_eq!(runs, ["2026-10-26T08:00:00.000Z", "2026-10-27T08:00:00.000Z"]);
///
/// let error = Repeat::parse(r#"{"every":1000,"pattern":"* * * * *"}"#).unwrap_err();
/// assert!(error.to_string().contains("give `pattern` or `every`, not both"));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Repeat {
    /// `every` or `pattern`.
    pub rule: Rule,
    /// The name of the zone in which the pattern is read; without one, that of the program that evaluates it.
    pub tz: Option<String>,
    /// How many jobs are made in all; at least 1, default without limit.
    pub limit: Option<u64>,
    /// When it begins; default now. The first run of `every` is at this time, that of a pattern **after** it.
    pub start_date: Option<Timestamp>,
    /// When it ends: no run is later; default never.
    pub end_date: Option<Timestamp>,
    /// `every` only: how far the runs are from the multiples of `every` since 1970, in milliseconds; default as the
    /// first run has it.
    pub offset: Option<i64>,
    /// Pattern only: whether the first run is now, when the scheduler is made; default no. Not kept with the jobs.
    pub immediately: bool,
    /// How many jobs were made already; default 0.
    pub count: Option<u64>,
    /// What the `H` of a pattern is hashed from; default the scheduler's id. Node's BullMQ hands it to cron-parser, so that
    /// with it both sides choose the same values.
    pub hash_seed: Option<String>,
    /// Members that are not known here, by name.
    pub other: BTreeMap<String, JsonText>,
    /// Members of `oxmq` that are not known here, by name.
    pub other_oxmq: BTreeMap<String, JsonText>,
}

/// What makes a scheduler repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// So much time after the run before; whole milliseconds, 1 ms to [`EVERY_MAX`].
    Every(Duration),
    /// The times that a [`Cron`] expression names; the text, not checked here, because a worker may have a strategy of its
    /// own that reads something else.
    Pattern(String),
}

impl Repeat {
    /// Runs every so often, for the first time at once.
    pub fn every(every: Duration) -> Self {
        Self::new(Rule::Every(every))
    }

    /// Runs at the times that a cron expression names.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self::new(Rule::Pattern(pattern.into()))
    }

    fn new(rule: Rule) -> Self {
        Self {
            rule,
            tz: None,
            limit: None,
            start_date: None,
            end_date: None,
            offset: None,
            immediately: false,
            count: None,
            hash_seed: None,
            other: BTreeMap::new(),
            other_oxmq: BTreeMap::new(),
        }
    }

    /// Reads the JSON form. A date is a number of milliseconds since 1970, or text: `2026-01-31T12:00:00Z`, with any
    /// offset from UTC, or `2026-01-31`, which is its midnight in UTC.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the member, its value and what is allowed; also when there
    /// is both `every` and `pattern`, or neither.
    pub fn parse(json: &str) -> Result<Self> {
        let members: BTreeMap<String, JsonText> = serde_json::from_str(json).map_err(|error| {
            Error::invalid(OPERATION, "repeat", json, "it must be a JSON object").caused_by(error)
        })?;
        let (mut every, mut pattern) = (None, None);
        let mut repeat = Self::pattern("");
        for (name, value) in members {
            if value.as_str() == "null" {
                continue;
            }
            match name.as_str() {
                "every" => every = Some(read("every", &value, duration, "give milliseconds, at least 1")?),
                "pattern" => pattern = Some(read("pattern", &value, Some, "give a cron expression as text")?),
                "tz" => repeat.tz = Some(read("tz", &value, Some, "give the name of a time zone")?),
                "limit" => {
                    repeat.limit = Some(read("limit", &value, count, "give a whole number, at least 1")?);
                }
                "startDate" => repeat.start_date = Some(date("startDate", &value)?),
                "endDate" => repeat.end_date = Some(date("endDate", &value)?),
                "offset" => {
                    repeat.offset = Some(read("offset", &value, whole, "give whole milliseconds")?);
                }
                "immediately" => {
                    repeat.immediately = read("immediately", &value, Some, "use true or false")?;
                }
                "count" => {
                    repeat.count = Some(read("count", &value, count, "give a whole number, 0 or more")?);
                }
                "hashSeed" => {
                    let seed: String = read("hashSeed", &value, Some, "give a text")?;
                    // As in cron-parser, an empty seed is none.
                    repeat.hash_seed = Some(seed).filter(|seed| !seed.is_empty());
                }
                "oxmq" => repeat.other_oxmq = read("oxmq", &value, Some, "it must be an object")?,
                _ => {
                    repeat.other.insert(name, value);
                }
            }
        }
        repeat.rule = match (every, pattern) {
            (Some(every), None) => Rule::Every(every),
            (None, Some(pattern)) => Rule::Pattern(pattern),
            (Some(_), Some(_)) => {
                let remedy = "give `pattern` or `every`, not both";
                return Err(Error::invalid(OPERATION, "repeat", json, remedy));
            }
            (None, None) => {
                let remedy = "give `pattern`, a cron expression, or `every`, in milliseconds";
                return Err(Error::invalid(OPERATION, "repeat", json, remedy));
            }
        };
        Ok(repeat)
    }

    /// The JSON form. Dates are milliseconds, as BullMQ keeps them.
    pub fn to_json(&self) -> JsonText {
        // Cannot fail: every part has a JSON form.
        JsonText::of(self).unwrap_or_else(|_| JsonText::empty_object())
    }

    /// The checks that a producer makes. The pattern's syntax and the zone are checked by [`next_run`](Self::next_run).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the member, its value and what is allowed:
    /// - `endDate` is not after `now`, or not after `startDate`;
    /// - `immediately` and `startDate` are both given;
    /// - `every` is not from 1 ms to [`EVERY_MAX`], or there is an `offset` but no `every`, or it is not from 0 up to
    ///   `every`;
    /// - `limit` is 0, or the pattern is longer than [`EXPRESSION_CHARS_MAX`].
    pub fn check(&self, now: Timestamp) -> Result<()> {
        let refuse = |field, value: &dyn std::fmt::Display, remedy: &dyn std::fmt::Display| {
            Err(Error::invalid(OPERATION, field, value, remedy))
        };
        if let Some(end) = self.end_date {
            if end <= now {
                return refuse("endDate", &end.to_rfc3339(), &"give a time after now");
            }
            if self.start_date.is_some_and(|start| start >= end) {
                return refuse("endDate", &end.to_rfc3339(), &"give a time after `startDate`");
            }
        }
        if self.immediately && self.start_date.is_some() {
            return refuse("immediately", &true, &"give `immediately` or `startDate`, not both");
        }
        match &self.rule {
            Rule::Every(every) => {
                let ms = millis(*every);
                if ms == 0 || *every > EVERY_MAX {
                    let remedy = format!("give 1 to {} milliseconds", millis(EVERY_MAX));
                    return refuse("every", &ms, &remedy);
                }
                if let Some(offset) = self.offset.filter(|offset| !(0..ms).contains(offset)) {
                    return refuse("offset", &offset, &"give 0 or more, and less than `every`");
                }
            }
            Rule::Pattern(pattern) => {
                let chars = pattern.chars().count();
                if chars > EXPRESSION_CHARS_MAX {
                    let remedy = format!("use at most {EXPRESSION_CHARS_MAX}");
                    return refuse("pattern", &format!("{chars} characters long"), &remedy);
                }
                if let Some(offset) = self.offset.filter(|offset| *offset != 0) {
                    return refuse("offset", &offset, &"use it with `every`; a pattern names its own times");
                }
            }
        }
        if self.limit == Some(0) {
            return refuse("limit", &0, &"give at least 1, or leave it out");
        }
        Ok(())
    }

    /// The number of the job that is made next; the first is 1. `None` if the limit is reached.
    pub fn iteration(&self) -> Option<u64> {
        let next = self.count.unwrap_or(0).saturating_add(1);
        (next <= self.limit.unwrap_or(u64::MAX)).then_some(next)
    }

    /// The zone in which a pattern is read: the one that is named, else `default`.
    ///
    /// # Errors
    /// As [`Zone::named`].
    pub fn zone(&self, default: &Zone) -> Result<Zone> {
        self.tz.as_deref().map_or_else(|| Ok(default.clone()), Zone::named)
    }

    /// The run after `previous`, or the first one; `None` if it would be later than `end_date`, or there is none. The limit
    /// is not looked at; that is [`iteration`](Self::iteration).
    ///
    /// Runs that were missed are left out: the answer is never before `now`, but a first run may be now. `id` is the
    /// scheduler's, which `H` is hashed from; `zone` is for patterns that name none. A pattern's offset is 0.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the pattern or the zone is wrong.
    pub fn next_run(
        &self,
        id: &str,
        zone: &Zone,
        now: Timestamp,
        previous: Option<Timestamp>,
    ) -> Result<Option<Slot>> {
        let slot = match &self.rule {
            Rule::Every(every) => {
                Some(next_every(previous, *every, now, self.offset.unwrap_or(0), self.start_date))
            }
            Rule::Pattern(pattern) => {
                let cron = Cron::parse_seeded(pattern, self.hash_seed.as_deref().unwrap_or(id))?;
                let zone = self.zone(zone)?;
                let at = if self.immediately && previous.is_none() {
                    Some(now)
                } else {
                    let begin = [self.start_date, previous].into_iter().flatten().fold(now, Timestamp::max);
                    cron.next_after(begin, &zone)
                };
                at.map(|at| Slot { at, offset: 0 })
            }
        };
        Ok(slot.filter(|slot| self.end_date.is_none_or(|end| slot.at <= end)))
    }
}

/// The next `count` runs of a scheduler that is made now, at most [`PREVIEW_RUNS_MAX`]; fewer where its limit or its end
/// comes first.
///
/// `id` and `zone` are as for [`Repeat::next_run`]. It is assumed that each run starts when it is due.
///
/// # Errors
/// As [`Repeat::next_run`].
pub fn preview(
    repeat: &Repeat,
    id: &str,
    zone: &Zone,
    now: Timestamp,
    count: usize,
) -> Result<Vec<Timestamp>> {
    let mut repeat = repeat.clone();
    let (mut runs, mut now, mut previous) = (Vec::new(), now, None);
    while runs.len() < count.min(PREVIEW_RUNS_MAX)
        && let Some(iteration) = repeat.iteration()
        && let Some(slot) = repeat.next_run(id, zone, now, previous)?
    {
        runs.push(slot.at);
        (now, previous) = (now.max(slot.at), Some(slot.at));
        repeat.count = Some(iteration);
        if matches!(repeat.rule, Rule::Every(_)) {
            repeat.offset = Some(slot.offset);
        }
    }
    Ok(runs)
}

impl Serialize for Repeat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        macro_rules! entry {
            ($name:literal, $value:expr) => {
                if let Some(value) = $value {
                    map.serialize_entry($name, &value)?;
                }
            };
        }
        match &self.rule {
            Rule::Every(every) => map.serialize_entry("every", &millis(*every))?,
            Rule::Pattern(pattern) => map.serialize_entry("pattern", pattern)?,
        }
        entry!("tz", self.tz.as_ref());
        entry!("limit", self.limit);
        entry!("startDate", self.start_date.map(Timestamp::as_millis));
        entry!("endDate", self.end_date.map(Timestamp::as_millis));
        entry!("offset", self.offset);
        entry!("immediately", self.immediately.then_some(true));
        entry!("count", self.count);
        entry!("hashSeed", self.hash_seed.as_ref());
        entry!("oxmq", Some(&self.other_oxmq).filter(|own| !own.is_empty()));
        for (name, value) in &self.other {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Reads a member and turns it into what it means.
fn read<W: DeserializeOwned, T>(
    field: &'static str,
    value: &JsonText,
    turn: impl FnOnce(W) -> Option<T>,
    remedy: &str,
) -> Result<T> {
    value.read().ok().and_then(turn).ok_or_else(|| Error::invalid(OPERATION, field, value, remedy))
}

/// A JSON number that is a whole one; `3.0` is, as in JavaScript.
#[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range just before")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

fn count(number: f64) -> Option<u64> {
    whole(number)?.try_into().ok()
}

fn duration(ms: f64) -> Option<Duration> {
    count(ms).filter(|ms| *ms > 0).map(Duration::from_millis)
}

fn date(field: &'static str, value: &JsonText) -> Result<Timestamp> {
    let time = match value.read::<f64>() {
        Ok(ms) => whole(ms).map(Timestamp::from_millis),
        Err(_) => value.read::<String>().ok().and_then(|text| {
            let midnight = || Timestamp::from_rfc3339(&format!("{text}T00:00:00Z"));
            Timestamp::from_rfc3339(&text).or_else(midnight)
        }),
    };
    let remedy = "give milliseconds since 1970, or a time with its offset, such as \"2026-01-31T12:00:00Z\"";
    time.ok_or_else(|| Error::invalid(OPERATION, field, value, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn refused(result: Result<impl std::fmt::Debug>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn every_member_survives_the_way_to_json_and_back() {
        let json = r#"{"pattern":"0 9 * * *","tz":"Europe/Paris","limit":3,"startDate":1800000000000,"endDate":1900000000000,"immediately":true,"count":2,"hashSeed":"s","oxmq":{"new":[1]},"key":"k","strict":false}"#;
        let repeat = Repeat::parse(json).unwrap();
        assert_eq!(repeat.to_json().as_str(), json);
        assert_eq!(repeat.other["key"].as_str(), "\"k\"");
        let json = r#"{"every":60000,"offset":5000,"count":1}"#;
        assert_eq!(Repeat::parse(json).unwrap().to_json().as_str(), json);
        let nulls = r#"{"every":1000,"pattern":null,"tz":null,"limit":null,"hashSeed":""}"#;
        assert_eq!(Repeat::parse(nulls).unwrap(), Repeat::every(Duration::from_secs(1)));
    }

    #[test]
    fn dates_are_numbers_or_texts() {
        for (date, ms) in [
            ("1800000000000", 1_800_000_000_000),
            ("1800000000000.0", 1_800_000_000_000),
            ("\"2027-01-15T08:00:00Z\"", 1_800_000_000_000),
            ("\"2027-01-15T09:00:00.000+01:00\"", 1_800_000_000_000),
            ("\"2027-01-15\"", 1_799_971_200_000),
        ] {
            let json = format!(r#"{{"every":1000,"startDate":{date}}}"#);
            assert_eq!(Repeat::parse(&json).unwrap().start_date.unwrap().as_millis(), ms, "{date}");
        }
        for date in ["\"tomorrow\"", "\"2027-01-15T08:00\"", "\"1800000000000\"", "true", "1.5", "1e300"] {
            let json = format!(r#"{{"every":1000,"endDate":{date}}}"#);
            assert!(refused(Repeat::parse(&json)).contains("`endDate` is "), "{date}");
        }
    }

    #[test]
    fn wrong_members_are_refused_by_name() {
        for (json, part) in [
            ("[]", "`repeat` is []"),
            ("{}", "give `pattern`, a cron expression, or `every`"),
            (r#"{"every":1,"pattern":""}"#, "not both"),
            (r#"{"every":0}"#, "`every` is 0"),
            (r#"{"every":-5}"#, "`every` is -5"),
            (r#"{"every":1.5}"#, "`every` is 1.5"),
            (r#"{"every":"1m"}"#, "`every` is \"1m\""),
            (r#"{"pattern":5}"#, "`pattern` is 5"),
            (r#"{"every":1,"limit":-1}"#, "`limit` is -1"),
            (r#"{"every":1,"tz":1}"#, "`tz` is 1"),
            (r#"{"every":1,"offset":"x"}"#, "`offset` is \"x\""),
            (r#"{"every":1,"immediately":1}"#, "`immediately` is 1"),
            (r#"{"every":1,"oxmq":1}"#, "`oxmq` is 1"),
        ] {
            let error = refused(Repeat::parse(json));
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_when_it_is_made() {
        for (json, part) in [
            (r#"{"every":1,"endDate":1700000000000}"#, "`endDate` is 2023-11-14T22:13:20.000Z"),
            (
                r#"{"every":1,"startDate":1800000000000,"endDate":1800000000000}"#,
                "give a time after `startDate`",
            ),
            (r#"{"pattern":"","immediately":true,"startDate":1800000000000}"#, "`immediately` is true"),
            (r#"{"every":1099511627777}"#, "`every` is 1099511627777"),
            (r#"{"every":1000,"offset":1000}"#, "`offset` is 1000"),
            (r#"{"pattern":"","offset":1000}"#, "`offset` is 1000"),
            (r#"{"every":1000,"limit":0}"#, "`limit` is 0"),
        ] {
            let error = refused(Repeat::parse(json).unwrap().check(now()));
            assert!(error.contains(part), "{json}: {error}");
        }
        assert!(refused(Repeat::pattern("*".repeat(1025)).check(now())).contains("1025 characters"));
        Repeat::parse(r#"{"every":1,"endDate":1700000000001}"#).unwrap().check(now()).unwrap();
        let run = Repeat::pattern("oops").next_run("id", &Zone::utc(), now(), None);
        assert!(refused(run).contains("`day of week` is oops"));
        let mut mars = Repeat::pattern("* * * * *");
        mars.tz = Some("Mars".to_owned());
        assert!(refused(mars.next_run("id", &Zone::utc(), now(), None)).contains("`tz` is Mars"));
    }

    fn runs(json: &str, count: usize) -> Vec<i64> {
        let repeat = Repeat::parse(json).unwrap();
        let runs = preview(&repeat, "id", &Zone::utc(), now(), count).unwrap();
        runs.iter().map(|run| run.as_millis() - now().as_millis()).collect()
    }

    #[test]
    fn a_preview_shows_the_runs_up_to_the_limit_and_the_end() {
        assert_eq!(runs(r#"{"every":60000}"#, 3), [0, 60_000, 120_000]);
        assert_eq!(runs(r#"{"every":60000,"offset":5000}"#, 2), [45_000, 105_000]);
        assert_eq!(runs(r#"{"every":60000,"startDate":1700000000007}"#, 2), [7, 60_007]);
        assert_eq!(runs(r#"{"every":60000,"limit":2}"#, 9), [0, 60_000]);
        assert_eq!(runs(r#"{"every":60000,"limit":2,"count":1}"#, 9), [0]);
        assert!(runs(r#"{"every":60000,"limit":2,"count":2}"#, 9).is_empty());
        assert_eq!(runs(r#"{"every":60000,"endDate":1700000060000}"#, 9), [0, 60_000]);
        // 1,700,000,000,000 is 22:13:20.
        assert_eq!(runs(r#"{"pattern":"0 * * * *"}"#, 2), [2_800_000, 6_400_000]);
        assert_eq!(runs(r#"{"pattern":"0 * * * *","immediately":true}"#, 2), [0, 2_800_000]);
        let on_a_run = r#"{"pattern":"0 * * * *","startDate":1700002800000,"endDate":1700010000000}"#;
        assert_eq!(runs(on_a_run, 9), [6_400_000, 10_000_000]);
        assert_eq!(runs(r#"{"every":1}"#, usize::MAX).len(), PREVIEW_RUNS_MAX);
    }

    #[test]
    fn a_hash_is_of_the_seed_else_of_the_id() {
        let at = |id: &str, seed: Option<&str>| {
            let mut repeat = Repeat::pattern("H H * * *");
            repeat.hash_seed = seed.map(ToOwned::to_owned);
            repeat.next_run(id, &Zone::utc(), now(), None).unwrap()
        };
        assert_eq!(at("one", None), at("two", Some("one")));
        assert_ne!(at("one", None), at("two", None));
    }
}
