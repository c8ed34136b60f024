//! Reading what scripts and commands answer.

use oxmq_core::{Error, ErrorKind};
use redis::Value;

/// An answer of another shape than the script gives.
#[derive(Debug)]
pub(crate) struct Malformed(String);

/// What was read.
pub(crate) type Read<T> = std::result::Result<T, Malformed>;

impl Malformed {
    /// That `value` is not `expected`.
    pub(crate) fn new(expected: &str, value: &Value) -> Self {
        let shown: String = format!("{value:?}").chars().take(200).collect();
        Self(format!("the server answered {shown} where {expected} was expected"))
    }

    /// As an error of `operation`.
    pub(crate) fn into_error(self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Corrupt, operation, self.0)
    }
}

/// A list.
pub(crate) fn list(value: Value) -> Read<Vec<Value>> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        other => Err(Malformed::new("a list", &other)),
    }
}

/// A list of exactly so many.
pub(crate) fn tuple<const N: usize>(value: Value) -> Read<[Value; N]> {
    list(value)?
        .try_into()
        .map_err(|values| Malformed::new("a list of another length", &Value::Array(values)))
}

/// A text, or nothing.
pub(crate) fn maybe_text(value: Value) -> Read<Option<String>> {
    Ok(Some(match value {
        Value::Nil | Value::Boolean(false) => return Ok(None),
        Value::BulkString(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        },
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        Value::Okay => "OK".into(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        other => return Err(Malformed::new("a text", &other)),
    }))
}

/// A text.
pub(crate) fn text(value: Value) -> Read<String> {
    maybe_text(value)?.ok_or_else(|| Malformed::new("a text", &Value::Nil))
}

/// A whole number.
pub(crate) fn int(value: Value) -> Read<i64> {
    match value {
        Value::Int(number) => Ok(number),
        other => {
            let text = text(other)?;
            text.parse()
                .map_err(|_| Malformed(format!("the server answered {text} where a number was expected")))
        }
    }
}

/// A number that counts.
pub(crate) fn count(value: Value) -> Read<u64> {
    Ok(u64::try_from(int(value)?).unwrap_or(0))
}
