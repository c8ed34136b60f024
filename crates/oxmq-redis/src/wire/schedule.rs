//! The hash of a schedule. Twin: `SCHEDULE_FIELDS` in `lua/shared/schedule_view.lua`.

use std::collections::BTreeMap;

use oxmq_core::schedule::{Repeat, Rule};
use oxmq_core::store::ScheduleInfo;
use oxmq_core::{JsonText, Timestamp, millis};
use redis::Value;

use super::options::from_wire;
use super::reply::{Malformed, Read, int, list, maybe_text, text, tuple};

/// What the hash says of a rule, in the order of the scripts' arguments.
pub(crate) struct Fields {
    pub(crate) every: Option<i64>,
    pub(crate) limit: Option<u64>,
    pub(crate) pattern: String,
    /// The whole rule, if there is more to it than BullMQ keeps.
    pub(crate) own: Option<JsonText>,
}

impl Fields {
    pub(crate) fn of(repeat: &Repeat) -> Self {
        let (every, pattern) = match &repeat.rule {
            Rule::Every(every) => (Some(millis(*every)), String::new()),
            Rule::Pattern(pattern) => (None, pattern.clone()),
            // A kind of rule that the core has and this store does not know yet.
            _ => (None, String::new()),
        };
        let more = repeat.hash_seed.is_some() || !repeat.other.is_empty() || !repeat.other_oxmq.is_empty();
        Self { every, limit: repeat.limit, pattern, own: more.then(|| repeat.to_json()) }
    }
}

/// Reads what `view_schedule()` answers.
pub(crate) fn view(value: Value) -> Read<ScheduleInfo> {
    let [id, slot, ended, fields] = tuple::<4>(value)?;
    let mut info = ScheduleInfo::new(text(id)?, Timestamp::from_millis(int(slot)?));
    info.ended = int(ended)? == 1;
    let fields = list(fields)?;
    let Ok([name, data, opts, made, every, pattern, offset, zone, limit, start, end, own]) =
        <[Value; 12]>::try_from(fields)
    else {
        return Err(Malformed::new("the fields of a schedule", &Value::Nil));
    };
    let name = maybe_text(name)?;
    info.name = name.clone().unwrap_or_default();
    info.data = maybe_text(data)?.map_or_else(JsonText::empty_object, JsonText::stored);
    info.options = maybe_text(opts)?.map_or_else(JsonText::empty_object, from_wire);
    info.made = maybe_text(made)?.and_then(|made| made.parse().ok()).unwrap_or(0);
    let offset = maybe_text(offset)?;
    let (every, pattern) = (maybe_text(every)?, maybe_text(pattern)?);
    let is_every = every.is_some();
    let own = maybe_text(own)?;
    let from_own = own.and_then(|own| Repeat::parse(&own).ok());
    let repeat = match from_own {
        Some(repeat) => Some(repeat),
        // Without a name it is no hash of a schedule.
        None if name.is_none() => None,
        None => {
            let mut members: BTreeMap<&str, JsonText> = BTreeMap::new();
            for (name, value) in [("pattern", pattern), ("tz", maybe_text(zone)?)] {
                if let Some(json) = value.and_then(|value| JsonText::of(&value).ok()) {
                    members.insert(name, json);
                }
            }
            let numbers = [
                ("every", every),
                ("limit", maybe_text(limit)?),
                ("startDate", maybe_text(start)?),
                ("endDate", maybe_text(end)?),
            ];
            for (name, value) in numbers {
                if let Some(number) = value.filter(|value| value.parse::<f64>().is_ok_and(f64::is_finite)) {
                    members.insert(name, JsonText::stored(number));
                }
            }
            JsonText::of(&members).ok().and_then(|json| Repeat::parse(json.as_str()).ok())
        }
    };
    info.repeat = repeat.map(|mut repeat| {
        if is_every {
            repeat.offset = offset.and_then(|offset| offset.parse().ok());
        }
        repeat
    });
    Ok(info)
}
