//! Deduplication: one job stands for all that are added under one id.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::millis;
use crate::error::{Error, Result};

/// The longest deduplication id, in bytes.
pub const DEDUPLICATION_ID_BYTES_MAX: usize = 512;

/// How a job is deduplicated: as long as the id is taken, further jobs with it are not added, and the answer names the
/// job that stands for them, the owner of the id.
///
/// | to have | options |
/// | --- | --- |
/// | one job until it has finished | only the id |
/// | throttle: one job in each `ttl` | `ttl` |
/// | debounce: the last one, `delay` after the last add | `ttl`, `extend`, `replace`, and a delay |
/// | the last one that came while the owner ran is run after it | `keep_last_if_active` |
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::Deduplication;
///
/// let throttle = Deduplication::by("user-7").ttl(Duration::from_secs(60));
/// let debounce = Deduplication::by("user-7").ttl(Duration::from_secs(5)).extend().replace();
/// # let _ = (throttle, debounce);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "BullMQ's switches")]
#[non_exhaustive]
pub struct Deduplication {
    /// What jobs have in common that stand for each other; 1 to [`DEDUPLICATION_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// How long the id is taken, from the add on, whatever becomes of the job. Without it (or with 0): until the job has finished.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "ttl_in_ms")]
    pub ttl: Option<Duration>,
    /// Whether each further add begins the `ttl` anew. Default no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub extend: bool,
    /// Whether a further add takes the place of the owner as long as that is delayed. Default no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace: bool,
    /// Whether a further add gives its delay to the owner as long as that is delayed; no effect with `replace`. Default no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reschedule: bool,
    /// Whether the last job that comes while the owner is active is kept, and added when the owner has
    /// finished. `ttl` has no effect then. Default no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_last_if_active: bool,
}

impl Deduplication {
    /// One job until it has finished.
    pub fn by(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ttl: None,
            extend: false,
            replace: false,
            reschedule: false,
            keep_last_if_active: false,
        }
    }

    /// See [`ttl`](Self::ttl); whole milliseconds.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// See [`extend`](Self::extend).
    #[must_use]
    pub fn extend(mut self) -> Self {
        self.extend = true;
        self
    }

    /// See [`replace`](Self::replace).
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// See [`reschedule`](Self::reschedule).
    #[must_use]
    pub fn reschedule(mut self) -> Self {
        self.reschedule = true;
        self
    }

    /// See [`keep_last_if_active`](Self::keep_last_if_active).
    #[must_use]
    pub fn keep_last_if_active(mut self) -> Self {
        self.keep_last_if_active = true;
        self
    }

    /// The `ttl` in whole milliseconds, if it is more than 0.
    pub fn ttl_ms(&self) -> Option<i64> {
        self.ttl.map(millis).filter(|ms| *ms > 0)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.id.is_empty() {
            return Err(Error::invalid(
                "add",
                "deduplication.id",
                "empty",
                "say what the jobs have in common",
            ));
        }
        if self.id.len() > DEDUPLICATION_ID_BYTES_MAX {
            let remedy = format!("use at most {DEDUPLICATION_ID_BYTES_MAX} bytes");
            return Err(Error::invalid("add", "deduplication.id", &self.id, remedy));
        }
        if let Some(ttl) = self.ttl.filter(|ttl| millis(*ttl) > (1 << 40)) {
            return Err(Error::invalid(
                "add",
                "deduplication.ttl",
                format!("{ttl:?}"),
                "use at most 34 years",
            ));
        }
        Ok(())
    }
}

/// A `ttl` as BullMQ writes it: a number of milliseconds.
mod ttl_in_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::millis;
    use crate::options::duration_ms;

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(ttl: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        ttl.map(millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Duration>, D::Error> {
        let ms = Option::<f64>::deserialize(json)?;
        ms.map(|ms| duration_ms(ms).ok_or_else(|| serde::de::Error::custom("no whole milliseconds")))
            .transpose()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}
