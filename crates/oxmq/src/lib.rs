//! oxmq: background jobs. Your app adds a job, a separate worker process does it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use oxmq::{Backoff, HandlerError, JobContext, Queue, Worker};
//! use serde_json::{Value, json};
//!
//! // One process adds:
//! async fn produce() -> oxmq::Result<()> {
//!     let store = oxmq::connect("sqlite:jobs.db").await?;
//!     let queue = Queue::new(&store, "pictures")?;
//!     let backoff = Backoff::exponential(Duration::from_secs(1));
//!     let job = queue.add_named("resize", &json!({ "file": "cat.jpg" })).attempts(5).backoff(backoff).await?;
//!     println!("job {} is {}", job.id, job.state);
//!     store.close().await
//! }
//!
//! // Another one works:
//! async fn resize(job: Value, context: JobContext) -> Result<String, HandlerError> {
//!     context.progress(&50).await?;
//!     Ok(format!("resized {}", job["file"]))
//! }
//!
//! async fn work() -> oxmq::Result<()> {
//!     let store = oxmq::connect("sqlite:jobs.db").await?;
//!     Worker::builder(&store, "pictures").concurrency(4).handle_any(resize).run().await
//! }
//! ```
//!
//! Start at [`Queue`] to add, look and steer, at [`FlowProducer`] to add trees of jobs, at [`Worker`] to work, and at [`store`] to write a store.
//!
//! This is the only crate that users name. It re-exports [`oxmq_core`] and adds [`connect`], which opens a store by
//! its URL:
//!
//! | URL | store | feature |
//! | --- | --- | --- |
//! | `sqlite:jobs.db` | one SQLite file, several processes | `sqlite` |
//! | `sqlite::memory:` | the same in memory, for tests | `sqlite` |
//! | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | Redis 6.2 or later, or Valkey; the queues of BullMQ 6 | `redis` |
//! | `redis+unix:///PATH[?db=N]` | the same through a socket of this machine | `redis` |
//! | `rediss://..` | the same, encrypted; `?ca=FILE.pem` for an authority of your own | `tls` |
//! | `redis-sentinel://HOST:PORT,HOST:PORT/DB?master=NAME` | the master that sentinels know | `redis` |
//! | `redis-cluster://HOST:PORT,HOST:PORT` | a cluster, of which some nodes are named | `cluster` |
//!
//! `valkey` may stand for `redis` in each of them. Options of all that speak to Redis: `call_timeout=MS` (how long one
//! call may take in all, default 10000) and `shared_wait=true` (one connection waits for the work of all queues; Node's
//! `getWorkers` does not list the workers then).
//!
//! The feature `otel` gives spans and figures to OpenTelemetry, and lets a trace run through a job: `otel::OpenTelemetry`.
//!
//! No feature is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "otel")]
pub mod otel;

use std::sync::Arc;

#[doc(inline)]
pub use oxmq_core::*;
/// The Redis store.
#[cfg(feature = "redis")]
pub use oxmq_redis as redis;
/// The embedded store, with its builder.
#[cfg(feature = "sqlite")]
pub use oxmq_sqlite as sqlite;

/// Opens the store at `url`.
///
/// # Errors
/// [`ErrorKind::Invalid`]: the URL is not understood, or has an option that is unknown; [`ErrorKind::Unsupported`]: this build
/// lacks the store; those of opening it.
pub async fn connect(url: &str) -> Result<Arc<dyn Store>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(store::Gate::before(Arc::new(oxmq_sqlite::SqliteStore::open(url).await?))),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(lacks("SQLite", "sqlite")),
        scheme if scheme.starts_with("redis") || scheme.starts_with("valkey") => connect_redis(url).await,
        "" => Err(Error::invalid("connect", "url", url, USE)),
        scheme => Err(Error::invalid("connect", "url", format!("{scheme}:.."), USE)),
    }
}

/// What the message about a wrong URL says. The URL itself is not shown: it may hold a password.
const USE: &str = "use `sqlite:PATH`, `sqlite::memory:` or `redis://HOST:PORT`";

#[cfg(feature = "redis")]
async fn connect_redis(url: &str) -> Result<Arc<dyn Store>> {
    Ok(store::Gate::before(Arc::new(oxmq_redis::RedisStore::open(url).await?)))
}

#[cfg(not(feature = "redis"))]
async fn connect_redis(_url: &str) -> Result<Arc<dyn Store>> {
    Err(lacks("Redis", "redis"))
}

#[cfg(not(all(feature = "sqlite", feature = "redis")))]
fn lacks(store: &str, feature: &str) -> Error {
    let message =
        format!("this build has no {store} store; turn on the feature `{feature}` of the crate `oxmq`");
    Error::new(ErrorKind::Unsupported, "connect", message)
}

/// The code in the README compiles.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
