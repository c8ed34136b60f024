//! Pure parts that are no API, for the instruction counts in `benches/counts`: no promise holds for them.

use oxmq_core::{JobOptions, JsonText, QueueAddress, StoredEvent};
use redis::{Cmd, Value};

use crate::keys::Keys;
use crate::wire;

/// Options as they are stored.
pub fn options_to_wire(options: &JobOptions) -> String {
    wire::options::to_wire(options)
}

/// Options as they were stored.
pub fn options_from_wire(stored: String) -> JsonText {
    wire::options::from_wire(stored)
}

/// A command with all keys of a queue.
pub fn keys(address: &QueueAddress) -> Cmd {
    let mut command = Cmd::new();
    Keys::new(address, false).write(&mut command);
    command
}

/// An entry of the stream of events, as the server gives it.
pub fn event(entry: Value) -> Option<StoredEvent> {
    wire::event::entry(entry).ok()
}
