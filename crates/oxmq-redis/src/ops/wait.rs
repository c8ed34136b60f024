//! `Store::wait`: the marker of the queue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oxmq_core::store::{WaitRequest, Woken};
use oxmq_core::{QueueAddress, Result, Timestamp};

use crate::connection::MarkerWait;
use crate::keys::Keys;
use crate::store::RedisStore;

pub(crate) async fn wait(store: &RedisStore, queue: &QueueAddress, request: WaitRequest) -> Result<Woken> {
    let keys = store.keys(queue);
    let wait = MarkerWait {
        key: keys.key("marker"),
        client_name: client_name(&keys, request.worker.as_deref()),
        timeout: request.timeout,
    };
    #[allow(clippy::cast_possible_truncation, reason = "a time in ms; a fraction means nothing here")]
    Ok(match store.hub().wait_marker(wait).await? {
        None => Woken::TimedOut,
        Some(marker) if marker.member == "0" || marker.score <= 0.0 => Woken::Look,
        Some(marker) => Woken::Due(Timestamp::from_millis(marker.score as i64)),
    })
}

/// The name by which Node's `getWorkers` finds a worker among the connections of the server.
fn client_name(keys: &Keys, worker: Option<&str>) -> String {
    let queue = STANDARD.encode(keys.queue());
    match worker {
        Some(worker) => format!("{}:{queue}:w:{worker}", keys.prefix()),
        None => format!("{}:{queue}", keys.prefix()),
    }
}
