//! JSON that is carried, not read.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A piece of JSON as text: job data, results, progress, options.
///
/// It travels as it was written, byte for byte: big numbers, key order and unknown members survive. Cheap to clone.
///
/// ```
/// use oxmq_core::JsonText;
///
/// let text = JsonText::of(&serde_json::json!({ "user": 7 })).unwrap();
/// assert_eq!(text.as_str(), r#"{"user":7}"#);
/// assert!(JsonText::parse("{oops").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The JSON of a value.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// Text that must be JSON.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        serde_json::from_str::<IgnoredAny>(&text)?;
        Ok(Self(text.into()))
    }

    /// Text of a store, which was JSON when it was written. Not checked: if it is not JSON, reading it fails.
    pub fn stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// `null`
    pub fn null() -> Self {
        static NULL: LazyLock<Arc<str>> = LazyLock::new(|| "null".into());
        Self(NULL.clone())
    }

    /// `{}`
    pub fn empty_object() -> Self {
        static EMPTY: LazyLock<Arc<str>> = LazyLock::new(|| "{}".into());
        Self(EMPTY.clone())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads it as a value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for JsonText {
    /// As the JSON it is, if the serializer is the one of `serde_json`; text that is not JSON is an error.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Box::<str>::from(raw).into()))
    }
}
