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
//! Start at [`Queue`] to add, look and steer, at [`Worker`] to work, and at [`store`] to write a store.
//!
//! This is the only crate that users name. It re-exports [`oxmq_core`] and adds [`connect`], which opens a store by
//! its URL:
//!
//! | URL | store | feature |
//! | --- | --- | --- |
//! | `sqlite:jobs.db` | one SQLite file, several processes | `sqlite` |
//! | `sqlite::memory:` | the same in memory, for tests | `sqlite` |
//!
//! No feature is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::sync::Arc;

#[doc(inline)]
pub use oxmq_core::*;
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
        "sqlite" => Err(Error::new(
            ErrorKind::Unsupported,
            "connect",
            "this build has no SQLite store; turn on the feature `sqlite` of the crate `oxmq`",
        )),
        "redis" | "rediss" | "valkey" | "valkeys" => Err(Error::new(
            ErrorKind::Unsupported,
            "connect",
            "this version has no Redis store yet; use `sqlite:PATH`",
        )),
        _ => Err(Error::invalid("connect", "url", url, "use `sqlite:PATH` or `sqlite::memory:`")),
    }
}

/// The code in the README compiles.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
