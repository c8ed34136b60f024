//! Free ports.

use std::net::TcpListener;

/// Below what systems give to outgoing connections (Linux from 32768, macOS from 49152). A port from their range can
/// be taken by anyone while a server is down for a moment; and a client that keeps dialling such a port, with nobody
/// listening, now and then connects to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port that nobody listens on now. Somebody else can still take it before the caller does: try again then.
pub(crate) fn free() -> u16 {
    let found = (0..1_000).map(|_| fastrand::u16(RANGE)).find(|port| is_free(*port));
    found.unwrap_or_else(|| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        listener.local_addr().expect("a listener has an address").port()
    })
}

/// A free port whose cluster bus, by the servers' rule 10000 above, is free as well.
#[cfg(unix)]
pub(crate) fn free_with_bus() -> u16 {
    let range = RANGE.start..RANGE.end - 10_000;
    let found = (0..1_000).map(|_| fastrand::u16(range.clone()));
    found
        .into_iter()
        .find(|port| is_free(*port) && is_free(*port + 10_000))
        .expect("there are two free ports")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
