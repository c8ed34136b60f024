//! `Store::announce`: `lua/announce.lua`.

use oxmq_core::store::AnnounceRequest;
use oxmq_core::{Error, ErrorKind, QueueAddress, Result, millis};

use super::wait::client_name;
use crate::scripts::ANNOUNCE;
use crate::store::RedisStore;

pub(crate) async fn announce(
    store: &RedisStore,
    queue: &QueueAddress,
    request: AnnounceRequest,
) -> Result<()> {
    let json = serde_json::to_string(&request.worker).map_err(|error| {
        Error::new(ErrorKind::Internal, "announce", "what the worker says cannot be written").caused_by(error)
    })?;
    let keys = store.keys(queue);
    let client_name = client_name(&keys, request.worker.name.as_deref());
    store.hub().show(keys.key("marker"), client_name, request.ttl);
    let mut call = store.script("announce", queue, &ANNOUNCE);
    call.arg(request.now.as_millis()).arg(millis(request.ttl)).arg(request.worker.id).arg(json);
    call.repeatable().await.map(drop)
}
