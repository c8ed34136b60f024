//! BullMQ's format and ours.

pub(crate) mod event;
pub(crate) mod job;
pub(crate) mod options;
pub(crate) mod reply;
pub(crate) mod schedule;
