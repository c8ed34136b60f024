//! Requests and answers about parents and children: `add_flow`, `children`, `detach`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{AddRequest, RemoveScope};
use crate::address::{JobId, JobKey, QueueAddress};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::family::Parent;
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::JobOptions;

/// The most nodes in one call of an add of flows, all flows together.
pub const FLOW_NODES_MAX: usize = 10_000;

/// The most bytes of data in one call of an add of flows, all jobs together: 64 MiB. It is one step for the store.
pub const FLOW_BYTES_MAX: usize = 64 << 20;

/// The most jobs that one removal takes along with a parent: as many as one call adds. It is one step for the store, which
/// does nothing else meanwhile. Beyond it the removal is refused.
pub const REMOVE_JOBS_MAX: usize = FLOW_NODES_MAX;

/// What a store says if there are more than [`REMOVE_JOBS_MAX`] jobs below one.
#[doc(hidden)]
#[must_use]
pub fn too_many_below() -> String {
    format!(
        "more than {REMOVE_JOBS_MAX} jobs are below it, too many for one step: drain or clean the queues of its children first, or \
         remove the job alone"
    )
}

/// Flows to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct AddFlowRequest {
    /// Each is created whole or not at all, unless `on_refusal` says otherwise. At most [`FLOW_NODES_MAX`] nodes and
    /// [`FLOW_BYTES_MAX`] together.
    pub flows: Vec<Flow>,
    /// What becomes of a flow if one of its nodes is refused.
    pub on_refusal: OnRefusal,
    /// The time of the call; the timestamp of jobs that bring none.
    pub now: Timestamp,
}

/// A tree of jobs: a parent runs when its children have ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// The root, then its children, then theirs: breadth first.
    pub nodes: Vec<FlowNode>,
}

/// A job of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowNode {
    /// Where it is added.
    pub queue: QueueAddress,
    /// Its id, chosen by the producer or drawn above. Its options have it only if the producer chose it.
    pub id: JobId,
    /// The job. Its option `parent` counts for the root only: a parent that is there already.
    pub job: NewJob,
    /// Its parent's place in the same flow, which comes before its own; `None` for the root only.
    pub parent: Option<usize>,
}

/// What becomes of a flow if one of its nodes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnRefusal {
    /// Nothing of it is added, and the answer is the refusal.
    #[default]
    UndoFlow,
    /// What can be added is, as with BullMQ. Only a refusal of the root is told as an error; a node below it has
    /// [`Fate::Refused`](super::Fate::Refused). A parent whose child belongs to somebody else waits until somebody removes it; a
    /// child that has failed is waited for until it is retried.
    KeepRest,
}

/// A node to be written: the flows of a call, or the groups of an add, as one list in the order in which they take effect. For stores.
#[derive(Debug, Clone)]
pub struct PlannedNode<'a> {
    /// Its flow or group: nodes of one stand or fall together.
    pub group: usize,
    /// Its place in that.
    pub index: usize,
    /// Where it is added.
    pub queue: &'a QueueAddress,
    /// Its id; `None` if the queue gives it a number.
    pub id: Option<&'a JobId>,
    /// Its name and data.
    pub job: &'a NewJob,
    /// Its options, with its parent.
    pub options: Cow<'a, JobOptions>,
    /// Its parent.
    pub parent: Option<Parent>,
    /// Whether it waits for children that are added with it.
    pub has_children: bool,
}

impl PlannedNode<'_> {
    /// Which job it is; `None` if the queue gives it a number.
    pub fn key(&self) -> Option<JobKey> {
        self.id.map(|id| JobKey::new(self.queue.clone(), id))
    }
}

impl AddFlowRequest {
    /// The nodes of all flows in the order in which they are written: the roots, then all nodes of the next level,
    /// and so on.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid): a flow is empty, a parent's place is wrong, or there are too many nodes or bytes.
    pub fn plan(&self) -> Result<Vec<PlannedNode<'_>>> {
        let count: usize = self.flows.iter().map(|flow| flow.nodes.len()).sum();
        if count > FLOW_NODES_MAX {
            let remedy = format!("add at most {FLOW_NODES_MAX} jobs in one call");
            return Err(Error::invalid("add_flow", "nodes", count, remedy));
        }
        let jobs = self.flows.iter().flat_map(|flow| &flow.nodes);
        let bytes: usize = jobs.map(|node| node.job.data.as_str().len()).sum();
        if bytes > FLOW_BYTES_MAX {
            let remedy = format!("add at most {FLOW_BYTES_MAX} bytes of data in one call");
            return Err(Error::invalid("add_flow", "data", bytes, remedy));
        }
        let mut levels: BTreeMap<usize, Vec<PlannedNode<'_>>> = BTreeMap::new();
        for (group, flow) in self.flows.iter().enumerate() {
            let parents: BTreeSet<usize> = flow.nodes.iter().filter_map(|node| node.parent).collect();
            let mut depths = Vec::with_capacity(flow.nodes.len());
            if flow.nodes.is_empty() {
                return Err(Error::invalid("add_flow", "nodes", "empty", "give each flow a root"));
            }
            for (index, node) in flow.nodes.iter().enumerate() {
                let mut options = Cow::Borrowed(&node.job.options);
                if let Some(deduplication) = &options.deduplication
                    && (flow.nodes.len() > 1 || options.parent.is_some())
                {
                    let remedy = "a job with a parent or children cannot be deduplicated: leave it out";
                    return Err(Error::invalid("add_flow", "deduplication", &deduplication.id, remedy));
                }
                match node.parent {
                    None if index == 0 => depths.push(0),
                    Some(place) if place < index => {
                        depths.push(depths[place] + 1);
                        let above = &flow.nodes[place];
                        options.to_mut().parent = Some(JobKey::new(above.queue.clone(), &above.id));
                    }
                    place => {
                        let remedy = "the first node is the root, and every other node names one before it";
                        return Err(Error::invalid("add_flow", "parent", format!("{place:?}"), remedy));
                    }
                }
                let on_failure = options.on_failure;
                let parent = options.parent.clone().map(|key| Parent { key, on_failure });
                levels.entry(depths[index]).or_default().push(PlannedNode {
                    group,
                    index,
                    queue: &node.queue,
                    id: Some(&node.id),
                    job: &node.job,
                    options,
                    parent,
                    has_children: parents.contains(&index),
                });
            }
        }
        Ok(levels.into_values().flatten().collect())
    }
}

impl AddRequest {
    /// The jobs of all groups, as nodes.
    pub fn plan<'a>(&'a self, queue: &'a QueueAddress) -> Vec<PlannedNode<'a>> {
        let mut planned = Vec::new();
        for (group, jobs) in self.groups.iter().enumerate() {
            for (index, job) in jobs.jobs.iter().enumerate() {
                let options = &job.options;
                let parent = options.parent.clone().map(|key| Parent { key, on_failure: options.on_failure });
                planned.push(PlannedNode {
                    group,
                    index,
                    queue,
                    id: options.job_id.as_ref(),
                    job,
                    options: Cow::Borrowed(options),
                    parent,
                    has_children: false,
                });
            }
        }
        planned
    }
}

/// Why a job cannot become somebody's child. For stores, so that all say it in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParentRefusal {
    /// The parent is not there.
    Missing,
    /// The job is there already and has another parent that is.
    Taken,
    /// The job is there already and has failed: the parent would wait for it for ever.
    ChildFailed,
    /// The parent waits for the job already, directly or not, or is the job itself.
    Circle,
}

impl ParentRefusal {
    /// The refusal of an add of `child` (if it has an id) to `parent`. The first two have BullMQ's words.
    pub fn into_error(self, operation: &'static str, child: Option<&JobKey>, parent: &JobKey) -> Error {
        let (kind, message) = match self {
            Self::Missing => (ErrorKind::NotFound, format!("Missing key for parent job {parent}. addJob")),
            Self::Taken => {
                (ErrorKind::Refused, format!("The parent job {parent} cannot be replaced. addJob"))
            }
            Self::ChildFailed => (
                ErrorKind::Refused,
                format!(
                    "a job with this id has failed already, and {parent} would wait for it for ever: retry or remove it first"
                ),
            ),
            Self::Circle => (
                ErrorKind::Refused,
                format!("the parent {parent} waits for this job, which would wait for itself"),
            ),
        };
        let error = Error::new(kind, operation, message);
        match child {
            Some(child) => error.with("job", child),
            None => error,
        }
    }

    /// What [`Fate::Refused`](super::Fate::Refused) says.
    pub fn kind(self) -> ErrorKind {
        if self == Self::Missing { ErrorKind::NotFound } else { ErrorKind::Refused }
    }
}

/// What a child is to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChildKind {
    /// It has completed: `processed`.
    Processed,
    /// It has not ended, or has failed without any say in what that does: `unprocessed`.
    Pending,
    /// It has failed, and the parent does without it: `ignored`.
    Ignored,
    /// It has failed, and the parent fails for it: `failed`.
    Failed,
}

impl ChildKind {
    /// All kinds, in the order in which BullMQ lists them.
    pub const ALL: [Self; 4] = [Self::Processed, Self::Pending, Self::Ignored, Self::Failed];

    /// BullMQ's name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Pending => "unprocessed",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// What became of a child, as its parent knows it. It outlasts the child.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChildOutcome {
    /// What it returned.
    Processed(JsonText),
    /// Nothing yet.
    Pending,
    /// Why it failed.
    Ignored(String),
    /// When it failed.
    Failed(Timestamp),
}

impl ChildOutcome {
    /// Its kind.
    pub const fn kind(&self) -> ChildKind {
        match self {
            Self::Processed(_) => ChildKind::Processed,
            Self::Pending => ChildKind::Pending,
            Self::Ignored(_) => ChildKind::Ignored,
            Self::Failed(_) => ChildKind::Failed,
        }
    }
}

/// A child, as its parent knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Which job. It may be gone.
    pub key: JobKey,
    /// What became of it.
    pub outcome: ChildOutcome,
}

/// Which page of a job's children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildrenRequest {
    /// Whose children.
    pub job: JobId,
    /// These kinds, one after the other.
    pub kinds: Vec<ChildKind>,
    /// Where to go on: what the last page said; `None` for the first one.
    pub cursor: Option<ChildrenCursor>,
    /// The most children to give; at most [`GROUP_JOBS_MAX`](super::GROUP_JOBS_MAX). With 0 there are only the counts.
    pub limit: usize,
}

/// Where a page of children ended: after this child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildrenCursor {
    /// The kind it was listed under.
    pub kind: ChildKind,
    /// The last child of the page.
    pub after: JobKey,
}

/// A page of a job's children.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChildrenPage {
    /// The children.
    pub children: Vec<Child>,
    /// How to ask for the next page; `None` if this was the last one.
    pub next: Option<ChildrenCursor>,
    /// How many there are of each kind, asked for or not.
    pub counts: ChildCounts,
}

/// How many children a job has of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChildCounts {
    /// Those that have completed.
    pub processed: u64,
    /// Those that the job waits for.
    pub pending: u64,
    /// Those that have failed and do not matter.
    pub ignored: u64,
    /// Those that have failed, and fail the job.
    pub failed: u64,
}

impl ChildCounts {
    /// The number of one kind.
    pub const fn of(&self, kind: ChildKind) -> u64 {
        match kind {
            ChildKind::Processed => self.processed,
            ChildKind::Pending => self.pending,
            ChildKind::Ignored => self.ignored,
            ChildKind::Failed => self.failed,
        }
    }

    /// The place for the number of one kind; for stores.
    pub const fn of_mut(&mut self, kind: ChildKind) -> &mut u64 {
        match kind {
            ChildKind::Processed => &mut self.processed,
            ChildKind::Pending => &mut self.pending,
            ChildKind::Ignored => &mut self.ignored,
            ChildKind::Failed => &mut self.failed,
        }
    }

    /// All children.
    pub const fn total(&self) -> u64 {
        self.processed + self.pending + self.ignored + self.failed
    }
}

/// A child to be taken from its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct DetachRequest {
    /// Which job, of the queue of the call.
    pub child: JobId,
    /// The time of the call.
    pub now: Timestamp,
}

impl RemoveScope {
    /// Whether children go too.
    pub const fn has_children(self) -> bool {
        !matches!(self, Self::JobOnly)
    }
}
