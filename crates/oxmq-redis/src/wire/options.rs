//! A job's options as BullMQ stores them: some members have short names there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use oxmq_core::{ChildFailure, JobOptions, JsonText};

/// Names in the API, and in the stored JSON.
const SHORT: [(&str, &str); 6] = [
    ("keepLogs", "kl"),
    ("failParentOnFailure", "fpof"),
    ("continueParentOnFailure", "cpof"),
    ("ignoreDependencyOnFailure", "idof"),
    ("removeDependencyOnFailure", "rdof"),
    ("deduplication", "de"),
];

/// The same for the members of `telemetry`, which is flat in the stored JSON.
const TELEMETRY: [(&str, &str); 2] = [("metadata", "tm"), ("omitContext", "omc")];

/// What stands for no attempts given.
const ZERO: &str = r#""attempts":0"#;

/// The letters that stand for a choice in the stored JSON.
pub(crate) fn flag_of(choice: ChildFailure) -> &'static str {
    let long = choice.as_str();
    SHORT.iter().find(|(name, _)| *name == long).map_or(long, |(_, short)| short)
}

/// The options as they are stored with a job. `attempts` is always there.
pub(crate) fn to_wire(options: &JobOptions) -> String {
    let json = to_wire_as_given(options);
    if options.attempts.is_some() {
        return json;
    }
    match json.strip_prefix('{') {
        Some("}") => r#"{"attempts":0}"#.into(),
        Some(rest) => format!(r#"{{"attempts":0,{rest}"#),
        None => json,
    }
}

/// The options as they are stored with a schedule, and with its first job: only what was given.
pub(crate) fn to_wire_as_given(options: &JobOptions) -> String {
    let mut options = Cow::Borrowed(options);
    if let Some(choice) = options.on_failure {
        let own = options.to_mut();
        own.on_failure = None;
        own.other.insert(flag_of(choice).into(), JsonText::stored("true"));
    }
    if let Some(deduplication) = options.deduplication.as_ref().and_then(|it| JsonText::of(it).ok()) {
        let own = options.to_mut();
        own.deduplication = None;
        own.other.insert("de".into(), deduplication);
    }
    if let Some(trace) = options.trace.as_ref().and_then(|trace| JsonText::of(trace).ok()) {
        let own = options.to_mut();
        own.trace = None;
        own.other.insert("tm".into(), trace);
    }
    if let Some(omit) = options.omit_trace {
        let own = options.to_mut();
        own.omit_trace = None;
        own.other.insert("omc".into(), JsonText::stored(omit.to_string()));
    }
    if let Some(keep) = options.keep_logs {
        let own = options.to_mut();
        own.keep_logs = None;
        own.other.insert("kl".into(), JsonText::stored(keep.to_string()));
    }
    options.to_json().as_str().to_owned()
}

/// The options as the API names them.
pub(crate) fn from_wire(stored: String) -> JsonText {
    if stored == r#"{"attempts":0}"# {
        return JsonText::empty_object();
    }
    let has_short = SHORT.iter().chain(&TELEMETRY).any(|(_, short)| {
        stored.match_indices(short).any(|(at, _)| {
            let bytes = stored.as_bytes();
            at > 0 && bytes[at - 1] == b'"' && bytes.get(at + short.len()) == Some(&b'"')
        })
    });
    // The 0 that every writer puts there when nothing was given; BullMQ puts it anywhere.
    if let Some(rest) = stored.strip_prefix(r#"{"attempts":0,"#).filter(|_| !has_short) {
        return JsonText::stored(format!("{{{rest}"));
    }
    let has_zero = stored
        .match_indices(ZERO)
        .any(|(at, _)| matches!(stored.as_bytes().get(at + ZERO.len()), Some(b',' | b'}')));
    if (has_short || has_zero)
        && let Ok(mut members) = serde_json::from_str::<BTreeMap<String, JsonText>>(&stored)
    {
        for (long, short) in SHORT {
            if let Some(value) = members.remove(short) {
                members.insert(long.into(), value);
            }
        }
        let own = TELEMETRY.iter().filter_map(|(long, short)| Some((*long, members.remove(*short)?)));
        let own: BTreeMap<&str, JsonText> = own.collect();
        if !own.is_empty() {
            members.insert("telemetry".into(), JsonText::of(&own).unwrap_or_else(|_| JsonText::null()));
        }
        if members.get("attempts").is_some_and(|attempts| attempts.as_str() == "0") {
            members.remove("attempts");
        }
        return JsonText::of(&members).unwrap_or_else(|_| JsonText::stored(stored));
    }
    JsonText::stored(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_as_they_went() {
        for json in [
            "{}",
            r#"{"lifo":true}"#,
            r#"{"attempts":3,"keepLogs":5}"#,
            r#"{"keepLogs":0,"failParentOnFailure":true,"mine":[],"deduplication":{"id":"x"}}"#,
            r#"{"telemetry":{"metadata":"a","omitContext":false}}"#,
            r#"{"telemetry":{"later":1}}"#,
        ] {
            let options = JobOptions::parse(json).unwrap();
            assert_eq!(JobOptions::stored(&from_wire(to_wire(&options))), options, "{json}");
        }
        assert_eq!(to_wire(&JobOptions::default()), r#"{"attempts":0}"#);
        let options = JobOptions::parse(r#"{"telemetry":{"metadata":"a"}}"#).unwrap();
        assert_eq!(to_wire(&options), r#"{"attempts":0,"tm":"a"}"#);
        let options = JobOptions::parse(r#"{"keepLogs":5,"priority":2}"#).unwrap();
        assert_eq!(to_wire(&options), r#"{"attempts":0,"priority":2,"kl":5}"#);
    }

    #[test]
    fn no_attempts_are_not_shown_wherever_they_are_stored() {
        for (stored, shown) in [
            (r#"{"attempts":0}"#, "{}"),
            (r#"{"attempts":0,"lifo":true}"#, r#"{"lifo":true}"#),
            (r#"{"lifo":true,"attempts":0}"#, r#"{"lifo":true}"#),
            (r#"{"attempts":0,"kl":3}"#, r#"{"keepLogs":3}"#),
            (r#"{"mine":{"attempts":0},"attempts":2}"#, r#"{"attempts":2,"mine":{"attempts":0}}"#),
        ] {
            assert_eq!(from_wire(stored.into()).as_str(), shown, "{stored}");
        }
    }
}
