//! Every option of a job: unit, range, default, validation, and its JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use crate::address::{JobId, JobKey};
use crate::clock::{Timestamp, millis};
use crate::deduplication::Deduplication;
use crate::error::{Error, Result};
use crate::family::{ChildFailure, WireParent};
use crate::json::JsonText;

/// The largest priority.
pub const PRIORITY_MAX: u32 = 2_097_151;

/// The default limit of a job's data, in bytes of JSON.
pub const DATA_BYTES_MAX_DEFAULT: usize = 1 << 20;

/// How a job is to be run. Everything is optional.
///
/// The JSON form has BullMQ's names; members that are not known here are kept and returned untouched. What
/// BullMQ does not have lies under one member, `oxmq`.
///
/// ```
/// use oxmq_core::JobOptions;
///
/// let options = JobOptions::parse(r#"{"attempts":3,"backoff":{"type":"fixed","delay":100},"mine":[1,2]}"#).unwrap();
/// assert_eq!(options.attempts, Some(3));
/// assert_eq!(options.other["mine"].as_str(), "[1,2]");
///
/// let error = JobOptions::parse(r#"{"priority":"high"}"#).unwrap_err();
/// assert!(error.to_string().contains("`priority` is \"high\""));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// An id of the producer's choosing. A second add with the same id answers with the existing job.
    pub job_id: Option<JobId>,
    /// When the job counts as created; default [`made_at`](Self::made_at), else now.
    pub timestamp: Option<Timestamp>,
    /// When whoever adds the job made it, if that was before the call, and `timestamp` does not say; not part of the JSON. For
    /// callers that hand over several jobs in one call.
    pub made_at: Option<Timestamp>,
    /// How long to wait before it may run, from its timestamp; whole milliseconds, default 0.
    pub delay: Option<Duration>,
    /// 0 to [`PRIORITY_MAX`]; 0, the default, runs before 1, 1 before 2. First in, first out among equals.
    pub priority: Option<u32>,
    /// Last in, first out: run it next. Default no.
    pub lifo: Option<bool>,
    /// How often it is tried in all. 0 and 1 both mean that it is not tried again; default 0.
    pub attempts: Option<u32>,
    /// How long to wait before it is tried again; default not at all.
    pub backoff: Option<Backoff>,
    /// What is kept when it completes; default the worker's choice, else everything.
    pub remove_on_complete: Option<Retention>,
    /// What is kept when it fails for good; default the worker's choice, else everything.
    pub remove_on_fail: Option<Retention>,
    /// How many log lines are kept, the newest; default all.
    pub keep_logs: Option<u32>,
    /// How many stack traces are kept, the newest; 0 keeps none. Default 10.
    pub stack_trace_limit: Option<u32>,
    /// The most bytes its data may have as JSON; default [`DATA_BYTES_MAX_DEFAULT`].
    pub size_limit: Option<usize>,
    /// How long one run of the handler may take; default without limit. `oxmq.timeout`, in milliseconds.
    pub timeout: Option<Duration>,
    /// How late its first start may be, counted from when it is due (its timestamp + delay). A job that nobody
    /// started by then fails with the reason `expired: ..`. Default without limit. `oxmq.ttl`, in milliseconds.
    pub ttl: Option<Duration>,
    /// The job that waits for this one; it must be there when this one is added. Default none.
    pub parent: Option<JobKey>,
    /// What its failure does to its parent; default nothing. Four options of BullMQ's, of which one can be set:
    /// see [`ChildFailure`].
    pub on_failure: Option<ChildFailure>,
    /// Which other jobs it stands for; default none.
    pub deduplication: Option<Deduplication>,
    /// The context of the trace it belongs to, as text: `telemetry.metadata`.
    pub trace: Option<String>,
    /// Whether it is to begin a trace of its own: `telemetry.omitContext`. Default no.
    pub omit_trace: Option<bool>,
    /// Members that are not known here, by name.
    pub other: BTreeMap<String, JsonText>,
    /// Members of `oxmq` that are not known here, by name.
    pub other_oxmq: BTreeMap<String, JsonText>,
}

/// How long to wait before a try: `{"type":"exponential","delay":1000,"jitter":0.5}`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// The curve.
    pub curve: Curve,
    /// The base; default 0.
    pub delay: Duration,
    /// How much of the delay is left to chance, 0 to 1; default 0.
    pub jitter: f64,
}

/// How the delay grows from try to try.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Curve {
    /// The same delay each time.
    Fixed,
    /// The delay doubles each time: d, 2d, 4d, ..
    Exponential,
    /// The worker's own function, by name.
    Custom(String),
}

impl Backoff {
    /// The same delay before each try.
    pub fn fixed(delay: Duration) -> Self {
        Self { curve: Curve::Fixed, delay, jitter: 0.0 }
    }

    /// `delay` before the second try, twice that before the third, and so on.
    pub fn exponential(delay: Duration) -> Self {
        Self { curve: Curve::Exponential, delay, jitter: 0.0 }
    }

    /// The worker's own function, which gets `name`.
    pub fn custom(name: impl Into<String>) -> Self {
        Self { curve: Curve::Custom(name.into()), delay: Duration::ZERO, jitter: 0.0 }
    }

    /// Leaves a part of the delay, 0 to 1, to chance: the delay is between (1 - jitter) x delay and delay.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }
}

/// What is kept of finished jobs of one kind when a job with this policy finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Retention {
    /// At most this many are kept, the newest. 0: this job is removed at once. None: any number.
    pub count: Option<u64>,
    /// Those that finished this long ago, or longer, are removed; whole seconds. Zero removes this job too. None:
    /// kept for ever.
    pub age: Option<Duration>,
    /// The most jobs that one finish removes for their age, the newest of them first; default 1,000.
    pub limit: Option<u32>,
}

impl Retention {
    /// Keep all.
    pub const ALL: Self = Self { count: None, age: None, limit: None };
    /// Remove it as soon as it has finished.
    pub const NONE: Self = Self { count: Some(0), age: None, limit: None };

    /// Keep the newest `count`.
    pub const fn count(count: u64) -> Self {
        Self { count: Some(count), ..Self::ALL }
    }

    /// Keep those that finished less than `age` ago.
    pub const fn age(age: Duration) -> Self {
        Self { age: Some(age), ..Self::ALL }
    }
}

impl JobOptions {
    /// Reads the JSON form and checks every member that is known here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the member, its value and what is allowed.
    pub fn parse(json: &str) -> Result<Self> {
        let mut options = Self::read(json, true)?;
        if let Some(id) = options.job_id.take() {
            // An empty id means that none is given.
            options.job_id = if id.as_str().is_empty() { None } else { Some(JobId::chosen(id.as_str())?) };
        }
        options.check()?;
        Ok(options)
    }

    /// Reads the JSON form as another program may have stored it: a member with a value that makes no sense
    /// here is kept under [`other`](Self::other) and has no effect.
    pub fn stored(json: &JsonText) -> Self {
        if json.as_str() == "{}" {
            return Self::default();
        }
        Self::read(json.as_str(), false).unwrap_or_default()
    }

    fn read(json: &str, strict: bool) -> Result<Self> {
        let members: BTreeMap<String, JsonText> = serde_json::from_str(json).map_err(|error| {
            Error::invalid("options", "opts", json, "it must be a JSON object").caused_by(error)
        })?;
        let mut options = Self::default();
        let mut chosen: Vec<ChildFailure> = Vec::new();
        let mut set = |name: String, value: JsonText| -> Result<()> {
            if value.as_str() == "null" {
                return Ok(());
            }
            let known = match name.as_str() {
                "jobId" => read_into(&mut options.job_id, &value, |id: String| Some(JobId::stored(id))),
                "timestamp" => {
                    read_into(&mut options.timestamp, &value, |ms| whole(ms).map(Timestamp::from_millis))
                }
                "delay" => read_into(&mut options.delay, &value, duration_ms),
                "priority" => read_into(&mut options.priority, &value, number),
                "lifo" => read_into(&mut options.lifo, &value, Some),
                "attempts" => read_into(&mut options.attempts, &value, number),
                "backoff" => read_into(&mut options.backoff, &value, WireBackoff::into_backoff),
                "removeOnComplete" => {
                    read_into(&mut options.remove_on_complete, &value, WireRetention::into_retention)
                }
                "removeOnFail" => {
                    read_into(&mut options.remove_on_fail, &value, WireRetention::into_retention)
                }
                "keepLogs" => read_into(&mut options.keep_logs, &value, number),
                "stackTraceLimit" => read_into(&mut options.stack_trace_limit, &value, number),
                "sizeLimit" => read_into(&mut options.size_limit, &value, |bytes: u64| bytes.try_into().ok()),
                "parent" => read_into(&mut options.parent, &value, WireParent::into_key),
                "deduplication" => read_into(&mut options.deduplication, &value, Some),
                "telemetry" => options.read_telemetry(&value),
                "oxmq" => match value.read::<BTreeMap<String, JsonText>>() {
                    Ok(own) => {
                        for (name, value) in own {
                            let known = match name.as_str() {
                                "timeout" => read_into(&mut options.timeout, &value, duration_ms),
                                "ttl" => read_into(&mut options.ttl, &value, duration_ms),
                                _ => {
                                    options.other_oxmq.insert(name, value);
                                    continue;
                                }
                            };
                            if !known && strict {
                                return Err(Error::invalid(
                                    "options",
                                    "oxmq",
                                    format!("{{\"{name}\": {value}}}"),
                                    "give milliseconds, 0 or more",
                                ));
                            } else if !known {
                                options.other_oxmq.insert(name, value);
                            }
                        }
                        true
                    }
                    Err(_) => false,
                },
                name if ChildFailure::ALL.iter().any(|choice| choice.as_str() == name) => {
                    match value.read::<bool>() {
                        Ok(true) => {
                            chosen.extend(ChildFailure::ALL.iter().filter(|one| one.as_str() == name));
                        }
                        Err(_) if strict => return Err(refuse(name, &value)),
                        Ok(false) | Err(_) => {}
                    }
                    return Ok(());
                }
                "debounce" if strict => {
                    let remedy = "BullMQ has no such option any more; use `deduplication`";
                    return Err(Error::invalid("options", "debounce", value, remedy));
                }
                _ => {
                    options.other.insert(name, value);
                    return Ok(());
                }
            };
            if known {
                return Ok(());
            }
            if strict {
                return Err(refuse(&name, &value));
            }
            options.other.insert(name, value);
            Ok(())
        };
        for (name, value) in members {
            set(name, value)?;
        }
        if strict && chosen.len() > 1 {
            let names = chosen.iter().map(|one: &ChildFailure| one.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(
                "options",
                "opts",
                names,
                "use one of these, they exclude each other",
            ));
        }
        options.on_failure = ChildFailure::ALL.into_iter().find(|choice| chosen.contains(choice));
        Ok(options)
    }

    /// Reads the member `telemetry`, unless it has parts that are not known here.
    fn read_telemetry(&mut self, value: &JsonText) -> bool {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Telemetry {
            metadata: Option<String>,
            #[serde(rename = "omitContext")]
            omit_context: Option<bool>,
        }
        let Ok(telemetry) = value.read::<Telemetry>() else {
            self.other.insert("telemetry".into(), value.clone());
            return true;
        };
        self.trace = telemetry.metadata;
        self.omit_trace = telemetry.omit_context;
        true
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), naming the option, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        if let Some(priority) = self.priority.filter(|priority| *priority > PRIORITY_MAX) {
            let remedy = format!("use 0 (first) to {PRIORITY_MAX} (last)");
            return Err(Error::invalid("add", "priority", priority, remedy));
        }
        if let Some(backoff) = &self.backoff
            && !(0.0..=1.0).contains(&backoff.jitter)
        {
            return Err(Error::invalid("add", "backoff.jitter", backoff.jitter, "use 0 to 1"));
        }
        if let Some(deduplication) = &self.deduplication {
            deduplication.check()?;
            if self.parent.is_some() {
                return Err(Error::invalid(
                    "add",
                    "deduplication",
                    &deduplication.id,
                    "a job with a parent cannot be deduplicated: leave out one of them",
                ));
            }
        }
        for (field, duration) in [("delay", self.delay), ("timeout", self.timeout), ("ttl", self.ttl)] {
            // Redis keeps the time a delayed job is due, times 4096, in a double. From September 2039 on (2^53 / 4096 ms) the order
            // of jobs that are due in the same millisecond gets coarser, and the time itself stays exact for centuries.
            if let Some(duration) = duration.filter(|duration| millis(*duration) > (1 << 40)) {
                return Err(Error::invalid("add", field, format!("{duration:?}"), "use at most 34 years"));
            }
        }
        Ok(())
    }

    /// These options over `defaults`: what is set here wins. The id, the parent and the trace are never taken from the defaults.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        let mut other = defaults.other.clone();
        other.extend(self.other);
        let mut other_oxmq = defaults.other_oxmq.clone();
        other_oxmq.extend(self.other_oxmq);
        Self {
            job_id: self.job_id,
            timestamp: self.timestamp.or(defaults.timestamp),
            made_at: self.made_at,
            delay: self.delay.or(defaults.delay),
            priority: self.priority.or(defaults.priority),
            lifo: self.lifo.or(defaults.lifo),
            attempts: self.attempts.or(defaults.attempts),
            backoff: self.backoff.or_else(|| defaults.backoff.clone()),
            remove_on_complete: self.remove_on_complete.or(defaults.remove_on_complete),
            remove_on_fail: self.remove_on_fail.or(defaults.remove_on_fail),
            keep_logs: self.keep_logs.or(defaults.keep_logs),
            stack_trace_limit: self.stack_trace_limit.or(defaults.stack_trace_limit),
            size_limit: self.size_limit.or(defaults.size_limit),
            timeout: self.timeout.or(defaults.timeout),
            ttl: self.ttl.or(defaults.ttl),
            parent: self.parent,
            on_failure: self.on_failure.or(defaults.on_failure),
            deduplication: self.deduplication.or_else(|| defaults.deduplication.clone()),
            trace: self.trace,
            omit_trace: self.omit_trace.or(defaults.omit_trace),
            other,
            other_oxmq,
        }
    }

    /// When the job counts as created, if it is added at `now`.
    pub fn created_at(&self, now: Timestamp) -> Timestamp {
        self.timestamp.or(self.made_at).unwrap_or(now)
    }

    /// The JSON form.
    pub fn to_json(&self) -> JsonText {
        // Cannot fail: every part has a JSON form.
        JsonText::of(self).unwrap_or_else(|_| JsonText::empty_object())
    }
}

impl Serialize for JobOptions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        macro_rules! entry {
            ($name:literal, $value:expr) => {
                if let Some(value) = $value {
                    map.serialize_entry($name, &value)?;
                }
            };
        }
        entry!("jobId", self.job_id.as_ref().map(JobId::as_str));
        entry!("timestamp", self.timestamp.map(Timestamp::as_millis));
        entry!("delay", self.delay.map(millis));
        entry!("priority", self.priority);
        entry!("lifo", self.lifo);
        entry!("attempts", self.attempts);
        entry!("backoff", self.backoff.as_ref().map(WireBackoff::from_backoff));
        entry!("removeOnComplete", self.remove_on_complete.map(WireRetention::from_retention));
        entry!("removeOnFail", self.remove_on_fail.map(WireRetention::from_retention));
        entry!("keepLogs", self.keep_logs);
        entry!("stackTraceLimit", self.stack_trace_limit);
        entry!("sizeLimit", self.size_limit);
        entry!("parent", self.parent.as_ref().map(WireParent::of));
        if let Some(choice) = self.on_failure {
            map.serialize_entry(choice.as_str(), &true)?;
        }
        entry!("deduplication", self.deduplication.as_ref());
        if self.trace.is_some() || self.omit_trace.is_some() {
            let telemetry = WireTelemetry { metadata: self.trace.as_deref(), omit_context: self.omit_trace };
            map.serialize_entry("telemetry", &telemetry)?;
        }
        if self.timeout.is_some() || self.ttl.is_some() || !self.other_oxmq.is_empty() {
            let mut own = self.other_oxmq.clone();
            for (name, duration) in [("timeout", self.timeout), ("ttl", self.ttl)] {
                if let Some(duration) = duration {
                    own.insert(name.into(), JsonText::stored(millis(duration).to_string()));
                }
            }
            map.serialize_entry("oxmq", &own)?;
        }
        for (name, value) in &self.other {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The option `telemetry` as it is written.
#[derive(Serialize)]
struct WireTelemetry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    #[serde(rename = "omitContext", skip_serializing_if = "Option::is_none")]
    omit_context: Option<bool>,
}

fn refuse(name: &str, value: &JsonText) -> Error {
    let (field, remedy) = match name {
        "jobId" => ("jobId", "give a text"),
        "timestamp" => ("timestamp", "give milliseconds since 1970"),
        "delay" => ("delay", "give milliseconds, 0 or more"),
        "priority" => ("priority", "use a whole number, 0 (first) to 2097151 (last)"),
        "lifo" => ("lifo", "use true or false"),
        "attempts" => ("attempts", "use a whole number, 0 or more"),
        "backoff" => (
            "backoff",
            "give milliseconds, or {\"type\": \"fixed\" | \"exponential\" | .., \"delay\": ms, \"jitter\": 0 to 1}",
        ),
        "removeOnComplete" => {
            ("removeOnComplete", "use true, false, a number of jobs, or {\"count\": n, \"age\": seconds}")
        }
        "removeOnFail" => {
            ("removeOnFail", "use true, false, a number of jobs, or {\"count\": n, \"age\": seconds}")
        }
        "keepLogs" => ("keepLogs", "use a number of lines"),
        "stackTraceLimit" => ("stackTraceLimit", "use a number of entries"),
        "sizeLimit" => ("sizeLimit", "use a number of bytes"),
        "parent" => ("parent", "give {\"id\": the parent's id, \"queue\": \"prefix:queue\"}"),
        "deduplication" => ("deduplication", "give {\"id\": text, \"ttl\": ms, \"extend\": bool, ..}"),
        "failParentOnFailure" => ("failParentOnFailure", "use true or false"),
        "continueParentOnFailure" => ("continueParentOnFailure", "use true or false"),
        "ignoreDependencyOnFailure" => ("ignoreDependencyOnFailure", "use true or false"),
        "removeDependencyOnFailure" => ("removeDependencyOnFailure", "use true or false"),
        _ => ("oxmq", "it must be an object"),
    };
    Error::invalid("options", field, value, remedy)
}

/// Reads `value` as a `W` and turns it into a `T`; false when either does not work.
fn read_into<W: for<'de> Deserialize<'de>, T>(
    target: &mut Option<T>,
    value: &JsonText,
    turn: impl FnOnce(W) -> Option<T>,
) -> bool {
    match serde_json::from_str(value.as_str()).ok().and_then(turn) {
        Some(value) => {
            *target = Some(value);
            true
        }
        None => false,
    }
}

/// A JSON number that is a whole one; `3.0` is, as in JavaScript.
#[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range just before")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

fn number(value: f64) -> Option<u32> {
    whole(value)?.try_into().ok()
}

/// Milliseconds; fractions are dropped. Less than nothing counts as nothing, as in BullMQ.
pub(crate) fn duration_ms(ms: f64) -> Option<Duration> {
    whole(ms.max(0.0).trunc()).and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireBackoff {
    Delay(f64),
    Full {
        #[serde(rename = "type")]
        curve: String,
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "as_whole_if_any")]
        delay: Option<f64>,
        #[serde(default, skip_serializing_if = "is_zero")]
        jitter: f64,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Writes `1000`, as JavaScript does, and not `1000.0`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_whole<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match whole(*value) {
        Some(whole) => serializer.serialize_i64(whole),
        None => serializer.serialize_f64(*value),
    }
}

#[allow(clippy::ref_option, reason = "serde's signature")]
fn as_whole_if_any<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => as_whole(value, serializer),
        None => serializer.serialize_none(),
    }
}

impl WireBackoff {
    fn into_backoff(self) -> Option<Backoff> {
        Some(match self {
            Self::Delay(ms) => Backoff::fixed(duration_ms(ms)?),
            Self::Full { curve, delay, jitter } => Backoff {
                curve: match curve.as_str() {
                    "fixed" => Curve::Fixed,
                    "exponential" => Curve::Exponential,
                    _ => Curve::Custom(curve),
                },
                delay: duration_ms(delay.unwrap_or(0.0))?,
                jitter,
            },
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "delays are far below 2^53 ms")]
    fn from_backoff(backoff: &Backoff) -> Self {
        Self::Full {
            curve: match &backoff.curve {
                Curve::Fixed => "fixed".into(),
                Curve::Exponential => "exponential".into(),
                Curve::Custom(name) => name.clone(),
            },
            // BullMQ's own curves need one; a worker's own function is told what the producer gave.
            delay: (!(backoff.delay.is_zero() && matches!(backoff.curve, Curve::Custom(_))))
                .then(|| millis(backoff.delay) as f64),
            jitter: backoff.jitter,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireRetention {
    Flag(bool),
    Count(#[serde(serialize_with = "as_whole")] f64),
    Full {
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_whole_if_any")]
        count: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_whole_if_any")]
        age: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
}

impl WireRetention {
    fn into_retention(self) -> Option<Retention> {
        let count = |count: f64| -> Option<Option<u64>> {
            match whole(count)? {
                -1 => Some(None),
                count => Some(Some(u64::try_from(count).ok()?)),
            }
        };
        Some(match self {
            Self::Flag(true) => Retention::NONE,
            Self::Flag(false) => Retention::ALL,
            Self::Count(n) => Retention { count: count(n)?, ..Retention::ALL },
            Self::Full { count: n, age, limit } => Retention {
                count: n.map_or(Some(None), count)?,
                age: match age {
                    None => None,
                    Some(seconds) => Some(Duration::from_secs(u64::try_from(whole(seconds)?).ok()?)),
                },
                limit,
            },
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "counts and ages are far below 2^53")]
    fn from_retention(retention: Retention) -> Self {
        match retention {
            Retention::ALL => Self::Flag(false),
            Retention::NONE => Self::Flag(true),
            Retention { count: Some(count), age: None, limit: None } => Self::Count(count as f64),
            Retention { count, age, limit } => Self::Full {
                count: count.map(|count| count as f64),
                age: age.map(|age| age.as_secs() as f64),
                limit,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_the_way_there_and_back() {
        let json = r#"{"attempts":5,"backoff":{"type":"mine","delay":10,"jitter":0.5},"big":12345678901234567890,"delay":1500,"empty":[],"jobId":"a","oxmq":{"later":1,"timeout":20,"ttl":30},"priority":7,"removeOnComplete":{"age":60,"count":3},"removeOnFail":true}"#;
        let options = JobOptions::parse(json).unwrap();
        assert_eq!(options.ttl, Some(Duration::from_millis(30)));
        let back = JobOptions::parse(options.to_json().as_str()).unwrap();
        assert_eq!(back, options);
        assert!(
            !options.to_json().as_str().contains(".0"),
            "whole numbers are written as such: {}",
            options.to_json()
        );
        assert_eq!(back.other["big"].as_str(), "12345678901234567890");
        assert_eq!(back.other_oxmq["later"].as_str(), "1");
    }

    #[test]
    fn ties_to_other_jobs_survive_the_way_there_and_back() {
        let json = r#"{"parent":{"id":"7","queue":"a:b:emails"},"ignoreDependencyOnFailure":true,"telemetry":{"metadata":"x"}}"#;
        let options = JobOptions::parse(json).unwrap();
        assert_eq!(options.on_failure, Some(ChildFailure::Ignore));
        assert_eq!(options.parent.as_ref().map(ToString::to_string).as_deref(), Some("a:b:emails:7"));
        assert_eq!(options.to_json().as_str(), json);
        let json = r#"{"deduplication":{"id":"x","ttl":50,"extend":true,"keepLastIfActive":true}}"#;
        assert_eq!(JobOptions::parse(json).unwrap().to_json().as_str(), json);
        let strange = r#"{"telemetry":{"later":1}}"#;
        assert_eq!(JobOptions::parse(strange).unwrap().to_json().as_str(), strange);
        assert_eq!(JobOptions::parse(r#"{"failParentOnFailure":false}"#).unwrap(), JobOptions::default());
        for (json, field) in [
            (r#"{"failParentOnFailure":true,"ignoreDependencyOnFailure":true}"#, "exclude"),
            (r#"{"failParentOnFailure":1}"#, "failParentOnFailure"),
            (r#"{"parent":{"id":"7","queue":"emails"}}"#, "parent"),
            (r#"{"deduplication":{}}"#, "deduplication"),
            (r#"{"deduplication":{"id":""}}"#, "deduplication.id"),
            (r#"{"deduplication":{"id":"x","ttl":"soon"}}"#, "deduplication"),
            (r#"{"debounce":{"id":"x"}}"#, "debounce"),
            (r#"{"deduplication":{"id":"x"},"parent":{"id":"7","queue":"a:b"}}"#, "deduplication"),
        ] {
            let error = JobOptions::parse(json).unwrap_err();
            assert!(error.to_string().contains(field), "{json}: {error}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_as_javascript_does() {
        let options = JobOptions::parse(r#"{"attempts":3.0,"backoff":250,"removeOnComplete":-1}"#).unwrap();
        assert_eq!(options.attempts, Some(3));
        assert_eq!(options.backoff, Some(Backoff::fixed(Duration::from_millis(250))));
        assert_eq!(options.remove_on_complete, Some(Retention::ALL));
    }

    #[test]
    fn options_are_written_as_node_writes_them() {
        for json in [
            r#"{"removeOnFail":25}"#,
            r#"{"removeOnFail":{"count":25,"age":60}}"#,
            r#"{"backoff":{"type":"mine"}}"#,
            r#"{"backoff":{"type":"exponential","delay":0}}"#,
        ] {
            assert_eq!(JobOptions::parse(json).unwrap().to_json().as_str(), json);
        }
    }

    #[test]
    fn a_bad_member_is_named_and_a_stored_one_is_kept() {
        for (json, field) in [
            (r#"{"priority":1.5}"#, "priority"),
            (r#"{"priority":2097152}"#, "priority"),
            (r#"{"priority":-1}"#, "priority"),
            (r#"{"attempts":"3"}"#, "attempts"),
            (r#"{"delay":"soon"}"#, "delay"),
            (r#"{"backoff":{"type":"fixed","jitter":2}}"#, "backoff"),
            (r#"{"jobId":"17"}"#, "job_id"),
            (r#"{"oxmq":{"timeout":"x"}}"#, "oxmq"),
            ("[1]", "opts"),
        ] {
            let error = JobOptions::parse(json).unwrap_err();
            assert!(error.to_string().contains(field), "{json}: {error}");
        }
        let stored = JobOptions::stored(&JsonText::stored(r#"{"attempts":"3","priority":4}"#));
        assert_eq!((stored.attempts, stored.priority), (None, Some(4)));
        assert_eq!(stored.other["attempts"].as_str(), "\"3\"");
    }
}
