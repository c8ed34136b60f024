//! One request: who asks, about which queue, when, and with what.

use std::sync::Arc;

use oxmq::{Clock, JsonText, QueueAddress, Store, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Door;
use super::errors::Failure;

/// What a request is answered with: the JSON of its result, or an error.
pub(super) type Outcome = Result<String, Failure>;

/// A line, read.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    /// As the caller wrote it; none for a notification, which is not answered.
    pub(super) id: Option<JsonText>,
    pub(super) method: String,
    pub(super) params: Option<Box<RawValue>>,
}

/// What every request says.
#[derive(Debug, Deserialize)]
struct Common {
    client: Option<f64>,
    queue: Option<String>,
    prefix: Option<String>,
    now: Option<f64>,
}

/// A request on its way to the store.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) door: Arc<Door>,
    pub(super) method: String,
    /// Which of the caller's objects asks.
    pub(super) client: i64,
    pub(super) queue: String,
    pub(super) prefix: String,
    /// The caller's clock.
    pub(super) now: Timestamp,
    params: Arc<str>,
}

impl Call {
    pub(super) fn new(
        door: Arc<Door>,
        method: String,
        params: Option<Box<RawValue>>,
    ) -> Result<Self, Failure> {
        let params: Arc<str> = params.map_or_else(|| "{}".into(), |params| params.get().into());
        let common: Common =
            serde_json::from_str(&params).map_err(|error| Failure::params(&method, error))?;
        let Some(client) = common.client else {
            return Err(Failure::params(&method, "`client` is missing: say which object asks"));
        };
        Ok(Self {
            door,
            method,
            client: whole(client),
            queue: common.queue.unwrap_or_default(),
            prefix: common
                .prefix
                .filter(|prefix| !prefix.is_empty())
                .unwrap_or_else(|| oxmq::DEFAULT_PREFIX.into()),
            now: common.now.map_or_else(|| Clock::system().now(), |now| Timestamp::from_millis(whole(now))),
            params,
        })
    }

    /// The parameters of the operation.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.params).map_err(|error| Failure::params(&self.method, error))
    }

    /// The queue that is meant.
    pub(super) fn address(&self) -> Result<QueueAddress, Failure> {
        address(&self.method, &self.prefix, &self.queue)
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.door.store
    }

    /// The size of what came, in bytes.
    pub(super) fn size(&self) -> usize {
        self.params.len()
    }
}

/// A queue by its parts.
pub(super) fn address(method: &str, prefix: &str, queue: &str) -> Result<QueueAddress, Failure> {
    QueueAddress::with_prefix(prefix, queue).map_err(|error| Failure::params(method, error.message()))
}

/// The answer of an operation.
pub(super) fn answer(value: &(impl Serialize + ?Sized)) -> Outcome {
    serde_json::to_string(value).map_err(Failure::internal)
}

/// Where there is nothing to say.
#[allow(clippy::unnecessary_wraps, reason = "it is what an operation ends with")]
pub(super) fn done() -> Outcome {
    Ok("null".to_owned())
}

/// Reads what may also be `null`, which means the default.
pub(super) fn or_default<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(json).map(Option::unwrap_or_default)
}

/// A number of JavaScript's as a whole one, as Node reads it; what is not finite is 0.
#[allow(clippy::cast_possible_truncation, reason = "as intended: the nearest that is in range")]
pub(super) fn whole(number: f64) -> i64 {
    if number.is_finite() { number.trunc() as i64 } else { 0 }
}

/// A number that counts; less than nothing is nothing.
pub(super) fn count(number: f64) -> u64 {
    u64::try_from(whole(number)).unwrap_or(0)
}
