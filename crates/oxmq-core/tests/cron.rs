//! Our cron module against what npm's cron-parser said: `fixtures/cron.jsonl`, which `interop/node/cron.mjs fixture` made.
//! New random cases are in `interop/tests/cron.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use oxmq_core::Timestamp;
use oxmq_core::schedule::{Cron, Zone};
use serde::Deserialize;

/// One line: what was asked, and what cron-parser said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    pattern: String,
    seed: Option<String>,
    tz: String,
    from: i64,
    next: Vec<i64>,
    error: Option<String>,
}

const QUARTER: i64 = 15 * 60_000;
const DAY: i64 = 24 * 4 * QUARTER;

/// It gave up its search.
const GAVE_UP: &str = "Invalid expression, loop limit exceeded";

/// Zones with changes that are no whole hour of the clock, or are longer. There cron-parser loses and doubles times at the
/// change, and the days around it are not compared.
const ODD_ZONES: [&str; 3] = ["Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Chatham"];

fn cases(lines: &str) -> impl Iterator<Item = Case> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
}

/// Whether the clocks change within two days.
fn is_near_change(time: i64, zone: &TimeZone) -> bool {
    let offset = |ms| zone.to_offset(jiff::Timestamp::from_millisecond(ms).unwrap());
    offset(time - 2 * DAY) != offset(time + 2 * DAY)
}

/// The times that are not near a change.
fn plain(times: &[i64], tz: &str) -> Vec<i64> {
    let zone = TimeZone::get(tz).unwrap();
    times.iter().copied().filter(|time| !is_near_change(*time, &zone)).collect()
}

/// Our answer: the times, or the error's text.
fn ask(case: &Case, count: usize) -> Result<Vec<i64>, String> {
    let zone = Zone::named(&case.tz).map_err(|error| error.to_string())?;
    let cron = match &case.seed {
        Some(seed) => Cron::parse_seeded(&case.pattern, seed),
        None => Cron::parse(&case.pattern),
    };
    let cron = cron.map_err(|error| error.to_string())?;
    let mut now = Timestamp::from_millis(case.from);
    let mut times = Vec::new();
    while times.len() < count
        && let Some(next) = cron.next_after(now, &zone)
    {
        assert!(next > now, "{case:?}: {next} is not after {now}");
        times.push(next.as_millis());
        now = next;
    }
    Ok(times)
}

/// How many lines had times, were refused, were given up there, were compared in part.
#[derive(Debug, Default)]
struct Tally {
    timed: usize,
    refused: usize,
    gave_up: usize,
    odd: usize,
}

fn check(lines: &str) -> Tally {
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for case in cases(lines) {
        let ours = ask(&case, 6);
        let right = match (case.error.as_deref(), &ours) {
            (Some(GAVE_UP), ours) => {
                tally.gave_up += 1;
                // As far as it came. Here a search does not end; a date that never comes is refused.
                ours.as_ref()
                    .map_or(case.next.is_empty(), |ours| ours.len() == 6 && ours.starts_with(&case.next))
            }
            (Some(_), ours) => {
                tally.refused += 1;
                ours.is_err()
            }
            (None, Ok(ours)) if ODD_ZONES.contains(&case.tz.as_str()) => {
                tally.odd += 1;
                let (ours, theirs) = (plain(ours, &case.tz), plain(&case.next, &case.tz));
                ours.iter().zip(&theirs).all(|(ours, theirs)| ours == theirs)
            }
            (None, Ok(ours)) => {
                tally.timed += 1;
                ours[..case.next.len()] == case.next
            }
            (None, Err(_)) => false,
        };
        if !right {
            wrong.push(format!("{case:?}\n  ours: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    tally
}

#[test]
fn the_times_are_those_of_cron_parser() {
    let tally = check(include_str!("fixtures/cron.jsonl"));
    assert!(tally.timed > 1200 && tally.refused > 100 && tally.odd > 50 && tally.gave_up > 1, "{tally:?}");
}

#[test]
fn the_times_are_those_that_were_recorded_with_bullmq() {
    let tally = check(include_str!("fixtures/cron-bullmq.jsonl"));
    let counts = [tally.timed, tally.refused, tally.odd, tally.gave_up];
    assert_eq!(counts.iter().sum::<usize>(), 149);
    assert_eq!(tally.gave_up, 3, "{tally:?}");
}

/// An odd change: nothing is lost, nothing is twice.
#[test]
fn the_odd_changes_follow_the_rules() {
    for (pattern, tz, from, expected) in [
        // 2:00 is followed by 2:30.
        (
            "0 2 * * *",
            "Australia/Lord_Howe",
            "2024-10-05T22:00+10:30",
            ["2024-10-06T02:30+11", "2024-10-07T02:00+11"],
        ),
        (
            "30 1,2 * * *",
            "Australia/Lord_Howe",
            "2024-10-06T00:00+10:30",
            ["2024-10-06T01:30+10:30", "2024-10-06T02:30+11"],
        ),
        (
            "0 * * * *",
            "Australia/Lord_Howe",
            "2024-10-06T00:30+10:30",
            ["2024-10-06T01:00+10:30", "2024-10-06T03:00+11"],
        ),
        // 2:00 is followed by 1:30.
        (
            "0 2 * * *",
            "Australia/Lord_Howe",
            "2024-04-06T22:00+11",
            ["2024-04-07T02:00+10:30", "2024-04-08T02:00+10:30"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2024-04-06T22:00+11",
            ["2024-04-07T01:45+11", "2024-04-08T01:45+10:30"],
        ),
        (
            "45 * * * *",
            "Australia/Lord_Howe",
            "2024-04-07T01:00+11",
            ["2024-04-07T01:45+11", "2024-04-07T01:45+10:30"],
        ),
        // 2:45 is followed by 3:45.
        (
            "15,50 2 * * *",
            "Pacific/Chatham",
            "2024-09-29T00:00+12:45",
            ["2024-09-29T02:15+12:45", "2024-09-29T03:50+13:45"],
        ),
        // 1:00 is followed by 3:00; 3:00 by 1:00.
        (
            "30 1,2 * * *",
            "Antarctica/Troll",
            "2024-03-31T00:00+00",
            ["2024-03-31T03:30+02", "2024-03-31T04:30+02"],
        ),
        (
            "30 2 * * *",
            "Antarctica/Troll",
            "2024-10-27T00:00+02",
            ["2024-10-27T02:30+02", "2024-10-28T02:30+00"],
        ),
    ] {
        let time = |text: &str| Timestamp::from_rfc3339(text).unwrap_or_else(|| panic!("{text}")).as_millis();
        let case = Case {
            pattern: pattern.into(),
            seed: None,
            tz: tz.into(),
            from: time(from),
            next: vec![],
            error: None,
        };
        assert_eq!(ask(&case, 2).unwrap(), expected.map(time), "{pattern} {tz} {from}");
    }
}

/// Whoever asks late, or again in the middle of a change, gets the same times.
#[test]
fn the_times_do_not_depend_on_when_one_asks() {
    let mut asked = 0;
    for case in cases(include_str!("fixtures/cron.jsonl")) {
        let Ok(times) = ask(&case, 6) else { continue };
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        let step = ((last - first) / 40).max(1);
        for now in (0..40).map(|index| first + index * step) {
            let later = Case {
                from: now,
                pattern: case.pattern.clone(),
                seed: case.seed.clone(),
                tz: case.tz.clone(),
                next: vec![],
                error: None,
            };
            let expected = times.iter().find(|time| **time > now).copied();
            assert_eq!(
                ask(&later, 1).unwrap().first().copied(),
                expected.or(Some(*last)).filter(|_| now < *last),
                "{case:?} {now}"
            );
            asked += 1;
        }
    }
    assert!(asked > 40_000, "{asked}");
}

/// A day's worth of a pattern, from which the brute force below makes the runs itself.
struct Daily {
    pattern: &'static str,
    hours: &'static [i8],
    minutes: &'static [i8],
    /// Days of the week, Sunday is 0; empty is all.
    weekdays: &'static [i8],
}

/// Patterns that are not for all 24 hours, with times at which clocks are changed.
const DAILIES: [Daily; 4] = [
    Daily { pattern: "30 2 * * *", hours: &[2], minutes: &[30], weekdays: &[] },
    Daily { pattern: "*/30 1-2 * * *", hours: &[1, 2], minutes: &[0, 30], weekdays: &[] },
    Daily { pattern: "5 0,9,23 * * *", hours: &[0, 9, 23], minutes: &[5], weekdays: &[] },
    Daily { pattern: "15 3 * * MON-FRI,SUN", hours: &[3], minutes: &[15], weekdays: &[0, 1, 2, 3, 4, 5] },
];

/// Every run from one time to another, day by day: each time of the calendar once, asked of the zone directly.
fn runs_by_calendar(daily: &Daily, zone: &TimeZone, from: i64, until: i64) -> Vec<i64> {
    let time = |ms| jiff::Timestamp::from_millisecond(ms).unwrap();
    let mut date = zone.to_datetime(time(from)).date().yesterday().unwrap();
    let mut runs = BTreeSet::new();
    while date <= zone.to_datetime(time(until)).date() {
        for (hour, minute) in
            daily.hours.iter().flat_map(|hour| daily.minutes.iter().map(move |minute| (*hour, *minute)))
        {
            let weekday = date.weekday().to_sunday_zero_offset();
            if !daily.weekdays.is_empty() && !daily.weekdays.contains(&weekday) {
                continue;
            }
            // Of two the earlier one; if there is none, as much later as the clocks were put forward.
            let run = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0)).compatible().unwrap();
            if zone.to_datetime(run).date() == date {
                runs.insert(run.as_millisecond());
            }
        }
        date = date.tomorrow().unwrap();
    }
    runs.into_iter().filter(|run| (from + 1..=until).contains(run)).collect()
}

/// Every run of `minutes` of all 24 hours, looking at the clock every quarter of an hour.
fn runs_by_clock(minutes: &[i8], zone: &TimeZone, from: i64, until: i64) -> Vec<i64> {
    let shown = |ms: &i64| zone.to_datetime(jiff::Timestamp::from_millisecond(*ms).unwrap()).minute();
    let first = (from / QUARTER + 1) * QUARTER;
    let looks = std::iter::successors(Some(first), |ms| Some(ms + QUARTER)).take_while(|ms| *ms <= until);
    looks.filter(|ms| minutes.contains(&shown(ms))).collect()
}

fn runs(pattern: &str, tz: &str, from: i64, until: i64) -> Vec<i64> {
    let (cron, zone) = (Cron::parse(pattern).unwrap(), Zone::named(tz).unwrap());
    let times = std::iter::successors(Some(Timestamp::from_millis(from)), |now| cron.next_after(*now, &zone));
    times.skip(1).map(Timestamp::as_millis).take_while(|time| *time <= until).collect()
}

/// From when until when: `OXMQ_CRON_YEARS` years, default 3.
fn years() -> (i64, i64, usize) {
    let years: usize = std::env::var("OXMQ_CRON_YEARS").map_or(3, |years| years.parse().unwrap());
    let from = Timestamp::from_rfc3339("2024-01-01T00:00:00Z").unwrap().as_millis();
    (from, from + i64::try_from(years).unwrap() * 365 * DAY, years)
}

#[test]
fn no_daily_run_is_missed_or_doubled_in_years() {
    let (from, until, years) = years();
    let mut count = 0;
    for tz in ZONES {
        let zone = TimeZone::get(tz).unwrap();
        for daily in &DAILIES {
            let ours = runs(daily.pattern, tz, from, until);
            assert_eq!(ours, runs_by_calendar(daily, &zone, from, until), "{} {tz}", daily.pattern);
            count += ours.len();
        }
    }
    assert!(count > ZONES.len() * years * 365 * 8, "{count}");
}

#[test]
fn no_hourly_run_is_missed_or_doubled_in_years() {
    let (from, until, years) = years();
    let mut count = 0;
    for tz in ZONES {
        let ours = runs("45 * * * *", tz, from, until);
        assert_eq!(ours, runs_by_clock(&[45], &TimeZone::get(tz).unwrap(), from, until), "{tz}");
        count += ours.len();
    }
    assert!(count > ZONES.len() * years * 365 * 23, "{count}");
}

/// Zones of every continent, with and without changes, at midnight and elsewhere, of half an hour and of two.
const ZONES: [&str; 56] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Anchorage",
    "America/Asuncion",
    "America/Bogota",
    "America/Caracas",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Havana",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Phoenix",
    "America/Port-au-Prince",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Toronto",
    "Antarctica/McMurdo",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Dhaka",
    "Asia/Dubai",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Karachi",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Atlantic/Reykjavik",
    "Australia/Adelaide",
    "Australia/Brisbane",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Athens",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/Kyiv",
    "Europe/Lisbon",
    "Europe/London",
    "Europe/Stockholm",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Norfolk",
];
