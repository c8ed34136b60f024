//! Rules that BullMQ does not have. They travel with the jobs as members of `repeat.oxmq`, which BullMQ hands on untouched.

use std::collections::BTreeMap;
use std::time::Duration;

use super::OPERATION;
use super::repeat::Repeat;
use crate::clock::millis;
use crate::error::{Error, Result};
use crate::json::JsonText;

/// The most slots in a row that [`Missed::All`] makes up for; then the rest is left out.
pub const CATCH_UP_MAX: u32 = 1_000;

/// The longest `within` of [`Missed::All`]: 366 days.
pub const CATCH_UP_WITHIN_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What becomes of the slots that pass while no worker takes the schedule's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missed {
    /// One late job runs for all of them, as with BullMQ.
    #[default]
    Last,
    /// None runs: a job that would start after its next slot is skipped.
    None,
    /// Each gets its job, one made when the one before starts; but none that is older than `within` when it would be made, and
    /// at most [`CATCH_UP_MAX`] in a row.
    All {
        /// How old a slot may be; whole milliseconds, at most [`CATCH_UP_WITHIN_MAX`].
        within: Duration,
    },
}

/// What becomes of a job that would start while one of an earlier slot is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// Both run, as with BullMQ.
    #[default]
    Allow,
    /// It is skipped. One that failed and waits for its next try is not active.
    Skip,
}

/// The rules of a schedule that BullMQ does not have. Workers of BullMQ's do not heed them, but hand them on.
///
/// A job that is skipped completes without having run, with `{"skipped":"missed"}` or `{"skipped":"overlap"}` as its result; the worker
/// tells it ([`WorkerEvent::Skipped`](crate::WorkerEvent::Skipped)). It counts against the schedule's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Slots that were missed; default [`Missed::Last`].
    pub missed: Missed,
    /// Runs that would overlap; default [`Overlap::Allow`].
    pub overlap: Overlap,
    /// How many slots in a row were made up for, up to the job that carries this.
    pub(crate) behind: u32,
}

impl Policy {
    /// Reads what the rule of a schedule, or of one of its jobs, carries. What makes no sense is as if it were not there.
    pub fn of(repeat: &Repeat) -> Self {
        let member = |name: &str| repeat.other_oxmq.get(name);
        let text = |name: &str| member(name).and_then(|json| json.read::<String>().ok());
        let missed = match text("missed").as_deref() {
            Some("none") => Missed::None,
            Some(_) => Missed::Last,
            None => {
                let all = member("missed").and_then(|json| json.read::<BTreeMap<String, u64>>().ok());
                all.and_then(|all| all.get("all").copied()).map_or(Missed::Last, |ms| Missed::All {
                    within: Duration::from_millis(ms).min(CATCH_UP_WITHIN_MAX),
                })
            }
        };
        let overlap = if text("overlap").as_deref() == Some("skip") { Overlap::Skip } else { Overlap::Allow };
        let behind = member("behind").and_then(|json| json.read().ok()).unwrap_or(0);
        Self { missed, overlap, behind }
    }

    /// Writes them into a rule; the defaults are not written.
    pub fn write(self, repeat: &mut Repeat) {
        let own = &mut repeat.other_oxmq;
        let mut set = |name: &str, json: Option<String>| match json {
            Some(json) => {
                own.insert(name.into(), JsonText::stored(json));
            }
            None => {
                own.remove(name);
            }
        };
        set(
            "missed",
            match self.missed {
                Missed::Last => None,
                Missed::None => Some("\"none\"".into()),
                Missed::All { within } => Some(format!("{{\"all\":{}}}", millis(within))),
            },
        );
        set("overlap", (self.overlap == Overlap::Skip).then(|| "\"skip\"".into()));
        set("behind", (self.behind > 0).then(|| self.behind.to_string()));
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): `within` is longer than [`CATCH_UP_WITHIN_MAX`].
    pub fn check(&self) -> Result<()> {
        match self.missed {
            Missed::All { within } if within > CATCH_UP_WITHIN_MAX => {
                Err(Error::invalid(OPERATION, "within", format!("{within:?}"), "use at most 366 days"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_the_way_there_and_back() {
        let within = Duration::from_secs(90);
        for (missed, overlap, behind, json) in [
            (Missed::Last, Overlap::Allow, 0, r#"{"every":1000}"#),
            (Missed::None, Overlap::Skip, 0, r#"{"every":1000,"oxmq":{"missed":"none","overlap":"skip"}}"#),
            (
                Missed::All { within },
                Overlap::Allow,
                3,
                r#"{"every":1000,"oxmq":{"behind":3,"missed":{"all":90000}}}"#,
            ),
        ] {
            let mut repeat = Repeat::every(Duration::from_secs(1));
            let policy = Policy { missed, overlap, behind };
            policy.write(&mut repeat);
            assert_eq!(repeat.to_json().as_str(), json);
            assert_eq!(Policy::of(&Repeat::parse(json).unwrap()), policy);
            Policy::default().write(&mut repeat);
            assert_eq!(repeat, Repeat::every(Duration::from_secs(1)));
        }
        for json in
            [r#"{"missed":"later"}"#, r#"{"missed":7,"overlap":1,"behind":"x"}"#, r#"{"missed":{"all":-1}}"#]
        {
            let repeat = Repeat::parse(&format!(r#"{{"every":1,"oxmq":{json}}}"#)).unwrap();
            assert_eq!(Policy::of(&repeat), Policy::default(), "{json}");
        }
        let long =
            Policy { missed: Missed::All { within: CATCH_UP_WITHIN_MAX + within }, ..Policy::default() };
        assert!(long.check().is_err());
    }
}
