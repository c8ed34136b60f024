//! `Store::announce`: `lua/announce.lua`, and between two of these a plain `HSET`.

use oxmq_core::store::AnnounceRequest;
use oxmq_core::{Error, ErrorKind, QueueAddress, Result, millis};
use redis::{Value, cmd};

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
    let is_leaving = request.ttl.is_zero();
    // Whoever sees the connection without the announcement takes it for a worker of BullMQ's.
    let show = || store.hub().show(keys.key("marker"), client_name.clone(), request.ttl);
    if is_leaving {
        show();
    }
    if request.renews && !is_leaving {
        let until = (request.now + request.ttl).as_millis();
        let mut renewal = cmd("HSET");
        renewal.arg(keys.own("workers")).arg(&request.worker.id).arg(format!("{until} {json}"));
        // If it was not there, the whole hash may have been gone: the script gives that its end.
        if store.repeatable("announce", queue, renewal).await? == Value::Int(0) {
            show();
            return Ok(());
        }
    }
    let mut call = store.script("announce", queue, &ANNOUNCE);
    call.arg(request.now.as_millis()).arg(millis(request.ttl)).arg(request.worker.id).arg(json);
    let answer = call.repeatable().await?;
    if !is_leaving {
        show();
    }
    let read = || -> Read<(Option<String>, u64)> {
        let [version, paused] = reply::tuple::<2>(answer)?;
        Ok((reply::maybe_text(version)?, reply::count(paused)?))
    };
    let (version, paused) = read().map_err(|bad| bad.into_error("announce"))?;
    for finding in leftovers(queue, version.as_deref(), paused) {
        store.hub().report(finding);
    }
    Ok(())
}

/// What an older BullMQ does to a queue that is shared with us.
fn leftovers(queue: &QueueAddress, version: Option<&str>, paused: u64) -> Vec<String> {
    let mut found = Vec::new();
    let major = |version: &str| version.strip_prefix("bullmq:")?.split('.').next()?.parse::<u32>().ok();
    if let Some(version) = version.filter(|version| major(version).is_some_and(|major| major < 6)) {
        found.push(format!(
            "{queue}: {version} uses this queue, too. It keeps the jobs of a paused queue elsewhere, and loses those that wait when \
             it resumes a queue that somebody else paused: move it to 6, or pause and resume from one side only"
        ));
    }
    if paused > 0 {
        // Without the number, so that it is told once.
        found.push(format!(
            "{queue}: jobs are in the list `paused`, where BullMQ 5 keeps those of a paused queue; nobody takes them until oxmq or \
             BullMQ 6 resumes the queue"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_bullmq_is_told() {
        let queue = QueueAddress::new("q").unwrap();
        for (version, paused, count) in [
            (None, 0, 0),
            (Some("bullmq:6.7.0"), 0, 0),
            (Some("bullmq:5.81.5"), 0, 1),
            (Some("bullmq-pro:7.1.0"), 0, 0),
            (Some("bullmq:5.81.5"), 3, 2),
        ] {
            assert_eq!(leftovers(&queue, version, paused).len(), count, "{version:?}");
        }
    }
}
