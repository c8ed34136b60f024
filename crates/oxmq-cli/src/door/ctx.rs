//! What a worker says of itself with its requests.

use std::time::Duration;

use oxmq::store::{METRICS_POINTS_MAX, RateLimit, TakeRequest};
use oxmq::{JobOptions, JsonText, Retention, Timestamp, Token};
use serde::Deserialize;

use super::call::count;

/// How long BullMQ's workers hold a job, and how often they look for stalled ones, unless they say.
pub(super) const LEASE_DEFAULT_MS: f64 = 30_000.0;

/// The options that a worker has at the moment.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ctx {
    pub(super) name: Option<String>,
    pub(super) lock_duration: Option<f64>,
    pub(super) limiter: Option<Limiter>,
    pub(super) remove_on_complete: Option<JsonText>,
    pub(super) remove_on_fail: Option<JsonText>,
    pub(super) max_stalled_count: Option<f64>,
    pub(super) stalled_interval: Option<f64>,
    pub(super) metrics: Option<Metrics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Limiter {
    pub(super) max: Option<f64>,
    pub(super) duration: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metrics {
    pub(super) max_data_points: Option<f64>,
}

/// A number of milliseconds.
pub(super) fn ms(number: f64) -> Duration {
    Duration::from_millis(count(number))
}

/// A number that counts, at most as large as it may be.
pub(super) fn small(number: f64) -> u32 {
    u32::try_from(count(number)).unwrap_or(u32::MAX)
}

impl Ctx {
    /// A demand for one job.
    pub(super) fn demand(&self, token: &str, name: Option<String>, now: Timestamp) -> TakeRequest {
        let rate_limit = self
            .limiter
            .as_ref()
            .and_then(|limiter| Some(RateLimit { max: small(limiter.max?), window: ms(limiter.duration?) }));
        TakeRequest {
            limit: 1,
            token: Token::new(token),
            lease_for: ms(self.lock_duration.unwrap_or(LEASE_DEFAULT_MS)),
            worker: name.or_else(|| self.name.clone()).filter(|name| !name.is_empty()),
            rate_limit,
            until_needs_rate: true,
            now,
        }
    }

    /// How many points are kept of what ended, if it is counted.
    pub(super) fn points(&self) -> Option<u32> {
        let points = small(self.metrics.as_ref()?.max_data_points?);
        (points > 0).then(|| points.min(METRICS_POINTS_MAX))
    }
}

/// What is kept of jobs that ended: as the job says, else as the worker does, else all.
pub(super) fn keep(own: Option<JsonText>, worker: Option<JsonText>) -> Retention {
    let read = |json: Option<JsonText>| {
        let json = json.filter(|json| json.as_str() != "null")?;
        let member = JsonText::stored(format!(r#"{{"removeOnComplete":{json}}}"#));
        JobOptions::stored(&member).remove_on_complete
    };
    read(own).or_else(|| read(worker)).unwrap_or(Retention::ALL)
}
