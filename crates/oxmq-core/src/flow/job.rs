//! A job of a flow that is about to be added.

use std::fmt;
use std::mem;

use serde::Serialize;

use crate::address::JobKey;
use crate::args::JobArgs;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::queue::payload;
use crate::setters::option_setters;

/// A job of a flow: a root, or the child of another; for [`FlowProducer::add`](crate::FlowProducer::add).
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::{ChildFailure, FlowJob};
///
/// let chapters = ["sales", "costs"].map(|title| FlowJob::named("chapters", "write", title).attempts(3));
/// let report = FlowJob::named("reports", "bind", "2026")
///     .children(chapters)
///     .child(FlowJob::named("pictures", "draw", "cover").on_failure(ChildFailure::Ignore));
/// # let _ = report;
/// ```
#[must_use = "nothing is added until a `FlowProducer` is given this"]
pub struct FlowJob {
    node: Node,
    children: Children,
}

/// The job itself.
pub(super) struct Node {
    pub(super) queue: String,
    pub(super) name: String,
    pub(super) data: Result<JsonText>,
    pub(super) prefix: Option<String>,
    pub(super) options: JobOptions,
    pub(super) at: Option<Timestamp>,
}

/// What is below it. A deep tree is dropped step by step: level within level would be too much for the stack.
#[derive(Default)]
struct Children(Vec<FlowJob>);

impl Drop for Children {
    fn drop(&mut self) {
        let mut rest = mem::take(&mut self.0);
        while let Some(mut job) = rest.pop() {
            rest.append(&mut job.children.0);
        }
    }
}

impl FlowJob {
    /// A job for `queue`, of a type that fixes its name and payload.
    #[allow(clippy::needless_pass_by_value, reason = "a job is handed over")]
    pub fn new<T: JobArgs>(queue: impl Into<String>, args: T) -> Self {
        Self::named(queue, T::NAME, &args)
    }

    /// A job for `queue` by name, with any payload that has a JSON form.
    pub fn named(
        queue: impl Into<String>,
        name: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Self {
        let data = payload(data);
        let options = JobOptions::default();
        let node = Node { queue: queue.into(), name: name.into(), data, prefix: None, options, at: None };
        Self { node, children: Children::default() }
    }

    /// A job that it waits for.
    pub fn child(mut self, child: Self) -> Self {
        self.children.0.push(child);
        self
    }

    /// Jobs that it waits for.
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.0.extend(children);
        self
    }

    /// The prefix of its queue; default the producer's, also for the child of a job with another.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.node.prefix = Some(prefix.into());
        self
    }

    /// For the root: a job that is there already, and waits for this one from then on. Any other node has its parent above it.
    pub fn parent(mut self, parent: JobKey) -> Self {
        self.node.options.parent = Some(parent);
        self
    }

    option_setters!(node);

    pub(super) fn queue(&self) -> &str {
        &self.node.queue
    }

    pub(super) fn name(&self) -> &str {
        &self.node.name
    }

    pub(super) fn has_children(&self) -> bool {
        !self.children.0.is_empty()
    }

    pub(super) fn into_parts(mut self) -> (Node, Vec<Self>) {
        let children = mem::take(&mut self.children.0);
        (self.node, children)
    }
}

impl fmt::Debug for FlowJob {
    /// Without what is below it: a deep tree would be too much for the stack.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowJob")
            .field("queue", &self.node.queue)
            .field("name", &self.node.name)
            .field("data", &self.node.data)
            .field("options", &self.node.options)
            .field("children", &self.children.0.len())
            .finish_non_exhaustive()
    }
}
