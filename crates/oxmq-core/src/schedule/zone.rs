//! Where the clock hangs that a cron expression reads.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::OPERATION;
use crate::error::{Error, Result};

/// A time zone: a name, and the rules that it stands for.
///
/// A schedule without a zone is read in the zone of the program that evaluates it; in Node that is the machine's own
/// ([`Zone::local`]), so two machines may disagree. Here the default is UTC, and whoever shares a queue with Node can
/// say otherwise.
///
/// The rules come from the machine's zone files where it has them, because they are updated with the system, and else
/// from the copy that is compiled in. They are looked up once, when the zone is made.
///
/// ```
/// use oxmq_core::schedule::Zone;
///
/// assert_eq!(Zone::default(), Zone::utc());
/// assert_eq!(Zone::named("europe/stockholm").unwrap().name(), "Europe/Stockholm");
/// assert_eq!(Zone::named("UTC+5:30").unwrap().name(), "UTC+5:30");
///
/// let error = Zone::named("Mars/Olympus").unwrap_err();
/// assert!(error.to_string().contains("`tz` is Mars/Olympus"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// The zones that are compiled in.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Zone {
    /// UTC, the default.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// The zone of this machine: the variable `TZ`, else the system's setting.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the machine does not say which zone it is in, or names
    /// none that is known.
    pub fn local() -> Result<Self> {
        let refuse = || {
            Error::invalid(OPERATION, "tz", "the machine's own zone", "set TZ, or name a zone such as UTC")
        };
        let rules = TimeZone::try_system().map_err(|error| refuse().caused_by(error))?;
        if rules.is_unknown() {
            return Err(refuse());
        }
        // A zone file that does not say its name keeps one that means the same here and in Node.
        let name = rules.iana_name().map_or_else(|| "local".to_owned(), ToOwned::to_owned);
        Ok(Self { name, rules })
    }

    /// A zone by its name in the IANA database, any case: `Europe/Stockholm`, `UTC`.
    ///
    /// As in BullMQ also `UTC+3` and `UTC-5:30`, which are always that far from UTC, and `local` or `system`, which
    /// is [`Zone::local`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when there is no such zone.
    pub fn named(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "local" | "system" | "default" => return Self::local(),
            "utc" | "gmt" => return Ok(Self::utc()),
            lower => {
                if let Some(offset) = lower.strip_prefix("utc").and_then(fixed_offset) {
                    return Ok(Self { name: name.to_owned(), rules: TimeZone::fixed(offset) });
                }
            }
        }
        match TimeZone::get(name).or_else(|_| BUNDLED.get(name)) {
            Ok(rules) => Ok(Self { name: rules.iana_name().unwrap_or(name).to_owned(), rules }),
            Err(error) => {
                let remedy = "use a name of the IANA time zone database, such as Europe/Stockholm or UTC";
                Err(Error::invalid(OPERATION, "tz", name, remedy).caused_by(error))
            }
        }
    }

    /// Its name, which [`Zone::named`] understands, and so does BullMQ.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

/// Reads `+3`, `-05:30`.
fn fixed_offset(text: &str) -> Option<Offset> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "00"));
    let digits = |text: &str, count: std::ops::RangeInclusive<usize>| -> Option<i32> {
        (count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    Offset::from_seconds(sign * (digits(hours, 1..=2)? * 3600 + digits(minutes, 2..=2)? * 60)).ok()
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_offsets_are_read_as_in_bullmq() {
        for (name, seconds) in [("UTC+3", 10_800), ("utc-5:30", -19_800), ("UTC+03", 10_800), ("UTC+0", 0)] {
            assert_eq!(
                Zone::named(name).unwrap().rules.to_fixed_offset().unwrap().seconds(),
                seconds,
                "{name}"
            );
        }
        for name in ["+03:00", "UTC+", "UTC+3:5", "UTC+123", "UTC+99", "UTC3", "", " ", "UTC+é"] {
            assert!(Zone::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_compiled_in_zones_are_there() {
        for name in ["Europe/Stockholm", "america/new_york", "Australia/Lord_Howe"] {
            assert!(BUNDLED.get(name).is_ok(), "{name}");
        }
    }
}
