//! Typed jobs: a Rust type fixes the name and the payload on both sides.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The payload of one kind of job.
///
/// A producer adds it with [`Queue::add`](crate::Queue::add); a worker's handler takes it as its first argument.
/// Both have the name and the shape from the type, so they cannot drift apart.
///
/// ```
/// use oxmq_core::JobArgs;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Welcome { user: u64 }
///
/// impl JobArgs for Welcome {
///     const NAME: &'static str = "welcome";
/// }
/// ```
pub trait JobArgs: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the job; not empty.
    const NAME: &'static str;
}
