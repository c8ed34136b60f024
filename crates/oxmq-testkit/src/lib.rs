//! Real servers and faults for tests: a server on a free port in a temporary folder, Sentinel, Cluster, and a proxy
//! that cuts, delays and swallows.
//!
//! Everything here is a guard: what it started ends when it is dropped, and on Linux also when the test's process
//! dies. Nothing needs a runtime; the calls block for as long as the server takes (milliseconds, a failover
//! seconds), and a multi-threaded or a current-thread runtime of the test does not matter to them.
//!
//! Everything here panics, with the facts, when something outside fails: a server that does not start, a command
//! that is not answered. The exceptions are named `try_..`.
//!
//! ```no_run
//! use oxmq_testkit::{Options, Proxy, Server};
//!
//! let server = Server::start(Options::new().aof());
//! let proxy = Proxy::start(server.addr());
//! let url = server.url_at(proxy.addr());
//! proxy.cut();
//! server.kill();
//! server.restart();
//! # let _ = url;
//! ```
//!
//! Which servers: see [`servers::Kind`]; `cargo xtask servers` installs what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "made for tests: it panics when something is wrong"
)]

pub mod servers;

#[cfg(unix)]
mod certificates;
#[cfg(unix)]
mod cluster;
mod deadline;
#[cfg(unix)]
mod options;
mod ports;
#[cfg(unix)]
mod process;
mod proxy;
#[cfg(unix)]
mod resp;
#[cfg(unix)]
mod sentinels;
#[cfg(unix)]
mod server;

#[cfg(unix)]
pub use certificates::Certificates;
#[cfg(unix)]
pub use cluster::{Cluster, Migration};
pub use deadline::{eventually, happens_within, until};
#[cfg(unix)]
pub use options::Options;
pub use proxy::Proxy;
#[cfg(unix)]
pub use resp::{Connection, Reply};
#[cfg(unix)]
pub use sentinels::Sentinels;
#[cfg(unix)]
pub use server::Server;
