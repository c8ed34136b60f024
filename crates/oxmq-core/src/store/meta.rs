//! Requests and answers about the named fields of a queue: `meta`, `set_meta`.

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The most fields that one call sets, and the most that it removes.
pub const META_FIELDS_MAX: usize = 1_000;

/// The longest name, and the longest value, of a field, in bytes.
pub const META_BYTES_MAX: usize = 64 << 10;

/// How many events a queue keeps unless it is told.
pub const EVENTS_KEPT_DEFAULT: u64 = 10_000;

/// A field that another call sets, too. The names are BullMQ's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetaField {
    /// `1` while the queue is paused: [`Store::pause`](crate::Store::pause).
    Paused,
    /// The most active jobs: [`Limit::Concurrency`](super::Limit::Concurrency).
    Concurrency,
    /// The most takes in a window: [`Limit::Rate`](super::Limit::Rate).
    RateMax,
    /// That window, in milliseconds.
    RateWindow,
    /// How many events are kept: [`Store::trim_events`](crate::Store::trim_events). There since it was set, or something was added to the queue.
    EventsKept,
}

impl MetaField {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Paused, Self::Concurrency, Self::RateMax, Self::RateWindow, Self::EventsKept];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Concurrency => "concurrency",
            Self::RateMax => "max",
            Self::RateWindow => "duration",
            Self::EventsKept => "opts.maxLenEvents",
        }
    }

    /// The field of this name, if it is one of these.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }
}

/// Named fields to be set and removed, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetMetaRequest {
    /// What is set: name and value. At most [`META_FIELDS_MAX`] of [`META_BYTES_MAX`] each.
    pub set: Vec<(String, String)>,
    /// What is removed, by name; at most as many.
    pub remove: Vec<String>,
    /// The time of the call.
    pub now: Timestamp,
}

/// What a change of fields did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MetaChanged {
    /// How many fields are there that were not.
    pub added: u64,
    /// How many are gone.
    pub removed: u64,
}

impl MetaChanged {
    /// For stores.
    pub const fn new(added: u64, removed: u64) -> Self {
        Self { added, removed }
    }
}

impl SetMetaRequest {
    /// The checks that are made before a store is asked.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): too many fields, or too long ones; a [`MetaField`] with a value that makes no sense:
    /// `paused` must be `1`, the limits whole numbers from 1 to 4,294,967,295, the number of events one from 0.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: &str, remedy: &str| {
            Err(Error::invalid("set_meta", "fields", format!("{name}={value}"), remedy))
        };
        if self.set.len() > META_FIELDS_MAX || self.remove.len() > META_FIELDS_MAX {
            let remedy = format!("use at most {META_FIELDS_MAX} in one call");
            return refuse("count", &self.set.len().max(self.remove.len()).to_string(), &remedy);
        }
        for (name, value) in &self.set {
            if name.len() > META_BYTES_MAX || value.len() > META_BYTES_MAX {
                let start: String = name.chars().take(100).collect();
                return refuse(&start, "..", &format!("use at most {META_BYTES_MAX} bytes"));
            }
            match MetaField::named(name) {
                None => {}
                Some(MetaField::Paused) if value == "1" => {}
                Some(MetaField::Paused) => return refuse(name, value, "use 1, or remove the field"),
                Some(MetaField::EventsKept) if value.parse::<u64>().is_ok() => {}
                Some(MetaField::EventsKept) => return refuse(name, value, "use a whole number, 0 or more"),
                Some(_) if value.parse::<u32>().is_ok_and(|number| number > 0) => {}
                Some(_) => return refuse(name, value, "use a whole number, at least 1, or remove the field"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_a_meaning_are_checked() {
        let check = |name: &str, value: &str| {
            SetMetaRequest { set: vec![(name.into(), value.into())], ..SetMetaRequest::default() }.check()
        };
        for (name, value) in
            [("paused", "1"), ("concurrency", "7"), ("max", "1"), ("opts.maxLenEvents", "0"), ("mine", "")]
        {
            assert!(check(name, value).is_ok(), "{name}={value}");
        }
        for (name, value) in [
            ("paused", "0"),
            ("concurrency", "0"),
            ("max", "-1"),
            ("duration", "1.5"),
            ("opts.maxLenEvents", "x"),
        ] {
            let error = check(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let many =
            SetMetaRequest { remove: vec![String::new(); META_FIELDS_MAX + 1], ..SetMetaRequest::default() };
        assert!(many.check().is_err());
        assert!(check("mine", &"x".repeat(META_BYTES_MAX + 1)).is_err());
    }
}
