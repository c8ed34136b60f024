//! How values are written on the command line, and times on the screen.

use std::time::Duration;

use oxmq::schedule::{Missed, Overlap};
use oxmq::{Backoff, Retention, Timestamp};

/// How the crash campaign's producer adds its jobs.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Filling {
    /// One by one.
    Single,
    /// Fifty at a time.
    Bulk,
}

/// What becomes of the jobs that a benchmark works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BenchOutcome {
    /// They complete.
    Complete,
    /// They fail for good.
    Fail,
}

/// A limit of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LimitKind {
    /// How many jobs at a time.
    Concurrency,
    /// How many jobs in a time.
    Rate,
    /// Nothing until a time.
    Until,
}

/// `100/1s`
pub(crate) fn rate(text: &str) -> Result<(u32, Duration), String> {
    let parts = text.split_once('/').and_then(|(max, window)| Some((max.parse().ok()?, window)));
    let (max, window) = parts.ok_or("give a number of jobs and a time: 100/1s")?;
    Ok((max, duration(window)?))
}

/// `500ms`, `10s`, `1.5m`, `2h`, `1d`; a bare number is milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let ms = match unit {
        "ms" | "" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return Err("give a time such as 500ms, 10s, 5m, 2h or 1d".into()),
    };
    let number: f64 = number.parse().map_err(|_| "give a time such as 500ms, 10s, 5m, 2h or 1d")?;
    Duration::try_from_secs_f64((number * ms).round() / 1_000.0).map_err(|error| error.to_string())
}

/// Milliseconds since 1970, or a date and time by RFC 3339.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    if let Ok(ms) = text.parse() {
        return Ok(Timestamp::from_millis(ms));
    }
    Timestamp::from_rfc3339(text)
        .ok_or_else(|| "give a time such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00, or milliseconds since 1970".into())
}

/// `fixed:1s`, `exponential:1s`, or the name of a worker's own curve.
pub(crate) fn backoff(text: &str) -> Result<Backoff, String> {
    let (curve, delay) = match text.split_once(':') {
        Some((curve, delay)) => (curve, duration(delay)?),
        None => (text, Duration::ZERO),
    };
    match curve {
        "" => Err("give a curve and a time: fixed:1s or exponential:1s".into()),
        "fixed" | "exponential" if delay.is_zero() => Err(format!("give it a time: {curve}:1s")),
        "fixed" => Ok(Backoff::fixed(delay)),
        "exponential" => Ok(Backoff::exponential(delay)),
        name => {
            let mut custom = Backoff::custom(name);
            custom.delay = delay;
            Ok(custom)
        }
    }
}

/// `last`, `none`, `all=1d`.
pub(crate) fn missed(text: &str) -> Result<Missed, String> {
    match (text, text.strip_prefix("all=")) {
        ("last", _) => Ok(Missed::Last),
        ("none", _) => Ok(Missed::None),
        (_, Some(within)) => Ok(Missed::All { within: duration(within)? }),
        _ => Err("use last, none, or all=TIME, such as all=1d".into()),
    }
}

/// `allow`, `skip`.
pub(crate) fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "allow" => Ok(Overlap::Allow),
        "skip" => Ok(Overlap::Skip),
        _ => Err("use allow or skip".into()),
    }
}

/// A share between 0 and 1.
pub(crate) fn jitter(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "use 0 to 1".into())
}

/// `all`, `none`, `100`, `age=7d`, `100,age=7d`.
pub(crate) fn retention(text: &str) -> Result<Retention, String> {
    match text {
        "all" => return Ok(Retention::ALL),
        "none" => return Ok(Retention::NONE),
        _ => {}
    }
    let mut keep = Retention::ALL;
    for part in text.split(',') {
        if let Some(age) = part.strip_prefix("age=") {
            let age = duration(age)?;
            if age.subsec_nanos() > 0 {
                return Err("an age is whole seconds".into());
            }
            keep.age = Some(age);
        } else if let Ok(count) = part.parse() {
            keep.count = Some(count);
        } else {
            return Err("use all, none, a number of jobs, age=7d, or both with a comma between".into());
        }
    }
    Ok(keep)
}

/// A time as `2026-01-31 12:00:00.123Z`.
pub(crate) fn show_time(time: Timestamp) -> String {
    time.to_rfc3339().replacen('T', " ", 1)
}

/// A duration in few signs: `350 ms`, `2.4 s`, `3 min`, `5 h`, `2 d`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=119 => format!("{:.1} s", duration.as_secs_f64()),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, ms) in
            [("0", 0), ("250", 250), ("250ms", 250), ("1.5s", 1_500), ("2m", 120_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1 s", "1w", "1.2.3s", "1e9s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        assert_eq!(rate("100/1s"), Ok((100, Duration::from_secs(1))));
        assert_eq!(rate("1/250"), Ok((1, Duration::from_millis(250))));
        for text in ["", "100", "/1s", "100/", "x/1s", "-1/1s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_by_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1700000000000", 1_700_000_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.250+01:00", 1_700_000_000_250),
            ("2024-02-29t12:00:00.1234567-00:30", 1_709_209_800_123),
            ("1969-12-31T23:59:59.5Z", -500),
        ] {
            assert_eq!(timestamp(text), Ok(Timestamp::from_millis(ms)), "{text}");
        }
        for text in [
            "tomorrow",
            "2023-11-14",
            "2023-02-29T00:00:00Z",
            "2023-11-14T22:13:20",
            "2023-13-01T00:00:00Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20+1:00x",
            "äääää",
        ] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_as_they_are_read() {
        for ms in [0, -1, 1_700_000_000_123, 951_782_400_000, 4_102_444_799_999] {
            let shown = show_time(Timestamp::from_millis(ms));
            assert_eq!(timestamp(&shown), Ok(Timestamp::from_millis(ms)), "{shown}");
        }
    }

    #[test]
    fn what_is_kept_can_be_a_count_an_age_or_both() {
        assert_eq!(retention("all"), Ok(Retention::ALL));
        assert_eq!(retention("none"), Ok(Retention::NONE));
        assert_eq!(retention("5"), Ok(Retention::count(5)));
        let both = retention("5,age=1h").unwrap();
        assert_eq!((both.count, both.age), (Some(5), Some(Duration::from_secs(3_600))));
        assert!(retention("many").is_err());
        assert!(retention("age=1ms").is_err());
    }

    #[test]
    fn a_backoff_is_a_curve_and_a_time() {
        assert_eq!(backoff("fixed:1s"), Ok(Backoff::fixed(Duration::from_secs(1))));
        assert_eq!(backoff("exponential:250"), Ok(Backoff::exponential(Duration::from_millis(250))));
        assert!(backoff("fixed").is_err());
        assert!(backoff(":1s").is_err());
    }
}
