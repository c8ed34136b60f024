//! Where there is no Unix: a worker that asks for children does not start.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::Isolation;
use crate::error::{Error, ErrorKind, Result};
use crate::worker::handler::{HandlerFuture, Handlers};
use crate::worker::run::Running;
use crate::worker::shared::Shared;

/// The queue whose jobs this process runs as a child: none, here.
pub fn child_queue() -> Option<String> {
    None
}

/// Whether this process is a child: no.
pub(crate) fn is_child() -> bool {
    false
}

/// Does nothing here: there are no children.
pub fn serve_if_child(_handlers: Handlers) -> impl Future<Output = ()> {
    std::future::ready(())
}

/// No children; never made.
#[derive(Debug)]
pub(crate) enum Pool {}

impl Pool {
    pub(crate) fn new(_isolation: Isolation) -> Result<Arc<Self>> {
        Err(Error::new(ErrorKind::Unsupported, "start", "isolated handlers need Unix"))
    }

    pub(crate) fn watch(self: &Arc<Self>, _shared: &Arc<Shared>) {
        match **self {}
    }

    pub(crate) fn kill_time(&self) -> Duration {
        match *self {}
    }

    pub(crate) fn call(self: Arc<Self>, _shared: Arc<Shared>, _running: Arc<Running>) -> HandlerFuture {
        match *self {}
    }

    pub(crate) async fn close(&self) {
        match *self {}
    }

    pub(crate) fn close_now(&self) {
        match *self {}
    }
}
