//! `Store::limit`: `lua/limit.lua`; `Store::limits`: `lua/limits.lua`.

use oxmq_core::store::{Limit, LimitRequest, QueueLimits, RateLimit, RateWindow};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result, Timestamp, millis};
use redis::Value;

use crate::scripts::{LIMIT, LIMITS};
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

pub(crate) async fn limit(store: &RedisStore, queue: &QueueAddress, request: LimitRequest) -> Result<()> {
    let mut call = store.script("limit", queue, &LIMIT);
    call.arg(request.now.as_millis());
    match request.limit {
        Limit::Until(until) => {
            call.arg("until").arg(until.map(|until| until.as_millis().to_string()).unwrap_or_default())
        }
        Limit::Concurrency(most) => {
            call.arg("concurrency").arg(most.map(|most| most.to_string()).unwrap_or_default())
        }
        Limit::Rate(Some(rate)) => call.arg("rate").arg(rate.max).arg(millis(rate.window).max(1)),
        Limit::Rate(None) => call.arg("rate").arg(""),
        _ => {
            let error = Error::new(ErrorKind::Unsupported, "limit", "the store does not know this limit");
            return Err(error.with("queue", queue));
        }
    };
    call.repeatable().await.map(drop)
}

pub(crate) async fn limits(store: &RedisStore, queue: &QueueAddress, now: Timestamp) -> Result<QueueLimits> {
    let mut call = store.script("limits", queue, &LIMITS);
    call.arg(now.as_millis());
    let answer = call.repeatable().await?;
    let read = || -> Read<QueueLimits> {
        let [until, concurrency, max, window, full, by_hand, taken, ends] = reply::tuple::<8>(answer)?;
        let number = |value: Value| -> Read<Option<i64>> {
            Ok(reply::maybe_text(value)?.and_then(|text| text.parse().ok()))
        };
        let small = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        let mut limits = QueueLimits::default();
        limits.until = number(until)?.map(Timestamp::from_millis);
        limits.concurrency = small(number(concurrency)?);
        let window = number(window)?.and_then(|ms| u64::try_from(ms).ok());
        limits.rate = small(number(max)?)
            .zip(window)
            .map(|(max, ms)| RateLimit { max, window: std::time::Duration::from_millis(ms) });
        limits.is_full = reply::int(full)? == 1;
        limits.by_hand = limits.until.filter(|_| reply::int(by_hand).is_ok_and(|by_hand| by_hand == 1));
        let taken = number(taken)?.and_then(|taken| u64::try_from(taken).ok());
        let ends = number(ends)?.map(Timestamp::from_millis);
        limits.window = taken.zip(ends).map(|(taken, ends)| RateWindow::new(taken, ends));
        Ok(limits)
    };
    read().map_err(|bad| bad.into_error("limits"))
}
