//! `Store::detach`: `lua/detach.lua`.

use oxmq_core::store::DetachRequest;
use oxmq_core::{Error, ErrorKind, JobKey, QueueAddress, Result};

use super::not_found;
use crate::scripts::DETACH;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn detach(store: &RedisStore, queue: &QueueAddress, request: DetachRequest) -> Result<bool> {
    let mut call = store.script("detach", queue, &DETACH);
    call.arg(request.now.as_millis()).arg(request.child.as_str());
    let answer = call.once().await?;
    match reply::tuple::<2>(answer)
        .and_then(|[code, parent]| Ok((reply::int(code)?, reply::maybe_text(parent)?)))
    {
        Ok((1, _)) => Ok(true),
        Ok((0, _)) => Ok(false),
        Ok((-5, parent)) => {
            let key = parent.unwrap_or_default();
            let named = JobKey::parse(&key).map_or(key, |key| store.key_of_keys(key).to_string());
            Err(Error::new(ErrorKind::NotFound, "detach", "the parent is not there").with("job", named))
        }
        Ok(_) => Err(not_found("detach", queue, &request.child)),
        Err(bad) => Err(bad.into_error("detach")),
    }
}
