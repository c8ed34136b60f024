use super::*;
use crate::error::ErrorKind;

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

fn next(pattern: &str, zone: &str, from: &str) -> Option<String> {
    let zone = Zone::named(zone).unwrap();
    Cron::parse(pattern).unwrap().next_after(at(from), &zone).map(Timestamp::to_rfc3339)
}

#[test]
fn the_next_time_is_after_now_and_a_whole_second() {
    for (from, expected) in [
        ("2024-02-27T10:20:30.500Z", "2024-02-27T10:20:31.000Z"),
        ("2024-02-27T10:20:30Z", "2024-02-27T10:20:31.000Z"),
        ("2024-12-31T23:59:59.999Z", "2025-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:58.001Z", "1969-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(next("* * * * * *", "UTC", from).as_deref(), Some(expected));
    }
    let daily = Cron::parse("@daily").unwrap();
    assert_eq!(daily.next_after(Timestamp::from_millis(-1), &Zone::utc()), Some(Timestamp::EPOCH));
}

#[test]
fn what_comes_rarely_is_found() {
    for (pattern, from, expected) in [
        // 2100 is no leap year.
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00.000Z"),
        // A February with five Mondays.
        ("0 0 * 2 MON#5", "2044-03-01T00:00:00Z", "2072-02-29T00:00:00.000Z"),
        ("0 0 * 2 MON#5", "2072-03-01T00:00:00Z", "2112-02-29T00:00:00.000Z"),
    ] {
        assert_eq!(next(pattern, "Europe/Stockholm", from).unwrap()[..10], expected_eve(expected)[..10]);
        assert_eq!(next(pattern, "UTC", from).as_deref(), Some(expected));
    }
}

/// Midnight in Stockholm is late in the evening before in UTC.
fn expected_eve(day: &str) -> String {
    Timestamp::from_millis(at(day).as_millis() - 3_600_000).to_rfc3339()
}

#[test]
fn the_search_ends() {
    // The clocks of Cairo leave out this hour on every day that it names.
    assert_eq!(next("30 0 * 4 FRIL", "Africa/Cairo", "2026-01-01T00:00:00Z"), None);
    let every = Cron::parse("0 0 * * *").unwrap();
    for (now, some) in
        [(i64::MIN, false), (i64::MAX, false), (-377_705_023_201_000, true), (253_402_207_200_000, false)]
    {
        for zone in ["UTC", "Europe/Stockholm", "UTC+23"] {
            let found = every.next_after(Timestamp::from_millis(now), &Zone::named(zone).unwrap());
            assert_eq!(found.is_some(), some, "{now} {zone}: {found:?}");
        }
    }
}

#[test]
fn slips_that_cron_parser_reads_as_something_else_are_refused() {
    for pattern in [
        "1-2-3 * * * *",
        "*-5 * * * *",
        "?-5 * * * *",
        "1* * * * *",
        "** * * * *",
        "* * *L * *",
        "* * ?L * *",
        "* * * mon *",
        "* * * * jan",
        "* * * janfeb *",
        "* * * jan1 *",
        "* * * * 1-3L",
        "* * * * 1L-3L",
        "* * * * 8L",
        "* * * * 1L#2",
        "* * * * 1#1.5",
        "H-5 * * * *",
        "1-H * * * *",
        "H*  * * * *",
        "*/H * * * *",
        "H(1-2)H * * * *",
        "H/5/5 * * * *",
        "0 0 31 4,6 *",
        "0 0 30,31 2 ?",
    ] {
        let error = Cron::parse_seeded(pattern, "seed").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{pattern}");
    }
}

#[test]
fn errors_name_the_field_the_value_and_what_to_do() {
    for (pattern, message) in [
        ("60 * * * *", "schedule: `minute` is 60: use 0 to 59 (pattern=60 * * * *)"),
        ("0 0 * * MONDAY", "`day of week` is MONDAY: use 0 to 7, or SUN to SAT"),
        ("0 0 * 13 *", "`month` is 13: use 1 to 12, or JAN to DEC"),
        ("1,1 * * * *", "`minute` is 1,1: 1 is in it twice; name it once"),
        ("1, * * * *", "`minute` is empty: use 0 to 59"),
        (
            "5-1 * * * *",
            "`minute` is 5-1: write the smaller end of a range first; a range does not wrap around",
        ),
        ("*/0 * * * *", "`minute` is */0: use a whole number, at least 1, after the /"),
        ("0 0 31 2 *", "`day of month` is 31: there is no such day in month 2"),
        ("0 0 * * L", "`day of week` is L: name the day before the L, as in 5L or FRIL"),
        ("0 0 * * 1,2#1", "`day of week` is 1,2#1: `#` stands alone, as in 1#2"),
        ("0 0 * * 1#6", "`day of week` is 1#6: use 1 to 5 after `#`"),
        ("H * * * *", "`minute` is H: H needs a seed to choose its value by"),
        ("1 2 3 4 5 6 7", "`pattern` is 7 fields: use at most 6: second minute hour day month weekday"),
        ("@midnight", "`pattern` is @midnight: use fields, or exactly one of @yearly"),
    ] {
        let error = Cron::parse(pattern).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let long = Cron::parse(&"*".repeat(EXPRESSION_CHARS_MAX + 1)).unwrap_err().to_string();
    assert_eq!(long, "schedule: `pattern` is 1025 characters long: use at most 1024");
}

#[test]
fn no_text_panics() {
    const PARTS: &[u8] = b"0159*?,-/#LHWJANmon()@ \t\xc3\xa9";
    let mut random = fastrand::Rng::with_seed(1);
    let zone = Zone::named("America/Havana").unwrap();
    let mut read = 0;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.usize(..14)).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
        if let Ok(cron) = Cron::parse_seeded(&String::from_utf8_lossy(&bytes), "seed") {
            read += 1;
            cron.next_after(Timestamp::from_millis(random.i64(0..4_000_000_000_000)), &zone);
        }
    }
    assert!(read > 500, "{read}");
}

#[test]
fn the_text_is_given_back() {
    for text in ["", "@daily", " 5  4 * * * ", "H H * * *"] {
        assert_eq!(Cron::parse_seeded(text, "seed").unwrap().to_string(), text);
    }
    assert_eq!("*/5 * * * *".parse::<Cron>().unwrap(), Cron::parse("*/5 * * * *").unwrap());
}
