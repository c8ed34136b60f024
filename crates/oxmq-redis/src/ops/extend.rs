//! `Store::extend`: `lua/extend.lua`.

use oxmq_core::store::{ExtendRequest, Extended};
use oxmq_core::{QueueAddress, Result, millis};
use redis::Value;

use crate::scripts::EXTEND;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

/// How many leases one call carries.
const LEASES_PER_CALL: usize = 500;

pub(crate) async fn extend(
    store: &RedisStore,
    queue: &QueueAddress,
    request: ExtendRequest,
) -> Result<Vec<Extended>> {
    let mut answers = Vec::with_capacity(request.leases.len());
    for leases in request.leases.chunks(LEASES_PER_CALL) {
        let mut call = store.script("extend", queue, &EXTEND);
        call.arg(request.now.as_millis()).arg(millis(request.lease_for).max(1));
        for lease in leases {
            call.arg(lease.job.as_str()).arg(lease.token.as_str());
        }
        let answer = call.repeatable().await?;
        let read = || -> Read<Vec<Extended>> { reply::list(answer)?.into_iter().map(read_one).collect() };
        answers.extend(read().map_err(|bad| bad.into_error("extend"))?);
    }
    Ok(answers)
}

fn read_one(value: Value) -> Read<Extended> {
    if let Value::Array(mut values) = value {
        let reason = values.pop().map_or(Ok(String::new()), reply::text)?;
        return Ok(Extended::CancelRequested { reason });
    }
    Ok(if reply::text(value)? == "kept" { Extended::Kept } else { Extended::Lost })
}
