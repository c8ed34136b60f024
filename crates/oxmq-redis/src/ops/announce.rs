//! `Store::announce` and `Store::workers`: `lua/announce.lua`.

use oxmq_core::store::AnnounceRequest;
use oxmq_core::{Error, ErrorKind, QueueAddress, Result, Timestamp, WorkerInfo, millis};
use redis::cmd;

use super::wait::client_name;
use crate::scripts::ANNOUNCE;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

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

pub(crate) async fn workers(
    store: &RedisStore,
    queue: &QueueAddress,
    now: Timestamp,
) -> Result<Vec<WorkerInfo>> {
    let mut command = cmd("HVALS");
    command.arg(store.keys(queue).own("workers"));
    let answer = store.read("workers", queue, command).await?;
    let read = || -> Read<Vec<String>> { reply::list(answer)?.into_iter().map(reply::text).collect() };
    let values = read().map_err(|bad| bad.into_error("workers"))?;
    let alive = values.iter().filter_map(|value| {
        let (until, json) = value.split_once(' ')?;
        // What a newer version says in words of its own is passed over.
        (until.parse::<i64>().ok()? > now.as_millis()).then(|| serde_json::from_str(json).ok())?
    });
    let mut workers: Vec<WorkerInfo> = alive.collect();
    workers.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(workers)
}
