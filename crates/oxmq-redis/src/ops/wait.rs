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

/// The name by which Node's `getWorkers` finds a worker among the connections of the server. A server takes only what is
/// printable ASCII without spaces: other characters of the worker's name become `_`, and with such a prefix, which
/// Node would not find either, the connection has no name.
pub(super) fn client_name(keys: &Keys, worker: Option<&str>) -> String {
    if !keys.prefix().chars().all(|c| c.is_ascii_graphic()) {
        return String::new();
    }
    let queue = STANDARD.encode(keys.queue());
    match worker {
        Some(worker) => {
            let worker = worker.replace(|c: char| !c.is_ascii_graphic(), "_");
            format!("{}:{queue}:w:{worker}", keys.prefix())
        }
        None => format!("{}:{queue}", keys.prefix()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_server_takes() {
        let name = |prefix: &str, worker| {
            let address = QueueAddress::with_prefix(prefix, "Q").unwrap_or_else(|_| unreachable!());
            client_name(&Keys::new(&address, false), worker)
        };
        assert_eq!(name("bull", None), "bull:UQ==");
        assert_eq!(name("bull", Some("ann")), "bull:UQ==:w:ann");
        assert_eq!(name("bull", Some("bob ü:1")), "bull:UQ==:w:bob__:1");
        assert_eq!(name("my app", Some("ann")), "");
    }
}
