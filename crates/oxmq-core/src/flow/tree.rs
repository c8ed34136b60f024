//! Reading a flow back.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use super::FLOW_DEPTH_MAX;
use crate::address::JobKey;
use crate::error::{Error, Result};
use crate::job::JobView;
use crate::store::{
    Child, ChildCounts, ChildKind, ChildOutcome, ChildrenRequest, FLOW_NODES_MAX, GROUP_JOBS_MAX, Store,
};

/// How many levels are read unless more are asked for.
pub const TREE_DEPTH_DEFAULT: usize = 10;

/// How many children of one kind are read of a job unless more are asked for.
pub const TREE_CHILDREN_DEFAULT: usize = 20;

/// A flow about to be read: say how much of it, then `.await`. `None` if the root is not there.
///
/// One to six calls to the store for each job, one after the other: what is changed meanwhile may be seen or not.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid): the depth or the number of children is out of range. Those of the store.
#[must_use = "nothing is read until this is awaited"]
pub struct GetFlow {
    store: Arc<dyn Store>,
    root: JobKey,
    depth: usize,
    children_max: usize,
}

impl GetFlow {
    pub(super) fn new(store: Arc<dyn Store>, root: JobKey) -> Self {
        Self { store, root, depth: TREE_DEPTH_DEFAULT, children_max: TREE_CHILDREN_DEFAULT }
    }

    /// How many levels: 1 is the root alone; up to [`FLOW_DEPTH_MAX`], default [`TREE_DEPTH_DEFAULT`].
    pub fn depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// How many children of each kind of each job; up to [`GROUP_JOBS_MAX`], default [`TREE_CHILDREN_DEFAULT`]. In all at most
    /// [`FLOW_NODES_MAX`] jobs are read, from above; the [counts](FlowTree::counts) tell what is left out.
    pub fn max_children(mut self, children: usize) -> Self {
        self.children_max = children;
        self
    }

    async fn read(self) -> Result<Option<FlowTree>> {
        if !(1..=FLOW_DEPTH_MAX).contains(&self.depth) {
            let remedy = format!("use 1 to {FLOW_DEPTH_MAX}");
            return Err(Error::invalid("get_flow", "depth", self.depth, remedy));
        }
        if self.children_max > GROUP_JOBS_MAX {
            let remedy = format!("use at most {GROUP_JOBS_MAX}");
            return Err(Error::invalid("get_flow", "max_children", self.children_max, remedy));
        }
        let Some(root) = self.store.job(&self.root.queue, &self.root.id).await? else { return Ok(None) };
        let mut nodes = vec![(FlowTree::new(self.root.clone(), None, Some(root)), None)];
        let mut line = VecDeque::from([(0, 1)]);
        while let Some((index, depth)) = line.pop_front() {
            let node: &FlowTree = &nodes[index].0;
            if node.job.is_none() {
                continue;
            }
            let limit = if depth < self.depth { self.children_max } else { 0 };
            let (counts, children) = self.children(&node.key, limit).await?;
            nodes[index].0.counts = counts;
            for Child { key, outcome } in children {
                if nodes.len() >= FLOW_NODES_MAX {
                    break;
                }
                let job = self.store.job(&key.queue, &key.id).await?;
                line.push_back((nodes.len(), depth + 1));
                nodes.push((FlowTree::new(key, Some(outcome), job), Some(index)));
            }
        }
        // Children come after their parents: the last node is complete.
        while let Some((mut node, parent)) = nodes.pop() {
            node.children.reverse();
            match parent {
                Some(parent) => nodes[parent].0.children.push(node),
                None => return Ok(Some(node)),
            }
        }
        Ok(None)
    }

    /// Up to `limit` children of each kind.
    async fn children(&self, of: &JobKey, limit: usize) -> Result<(ChildCounts, Vec<Child>)> {
        let page = async |kinds, limit| {
            let request = ChildrenRequest { job: of.id.clone(), kinds, cursor: None, limit };
            self.store.children(&of.queue, request).await
        };
        // Most jobs have so few that one look shows all.
        let all = page(ChildKind::ALL.to_vec(), limit).await?;
        if all.next.is_none() || limit == 0 {
            return Ok((all.counts, all.children));
        }
        let mut children = Vec::new();
        for kind in ChildKind::ALL {
            if all.counts.of(kind) > 0 {
                children.extend(page(vec![kind], limit).await?.children);
            }
        }
        Ok((all.counts, children))
    }
}

impl IntoFuture for GetFlow {
    type Output = Result<Option<FlowTree>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.read())
    }
}

impl fmt::Debug for GetFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetFlow")
            .field("root", &self.root)
            .field("depth", &self.depth)
            .field("children_max", &self.children_max)
            .finish_non_exhaustive()
    }
}

/// A job with what is below it.
#[derive(PartialEq)]
#[non_exhaustive]
pub struct FlowTree {
    /// Which job.
    pub key: JobKey,
    /// What became of it, as its parent knows it; `None` for the root.
    pub outcome: Option<ChildOutcome>,
    /// The job and where it is; `None` if it is gone. What its parent knows of it stays.
    pub job: Option<JobView>,
    /// How many children it has, whether or not they were read.
    pub counts: ChildCounts,
    /// Its children, kind by kind in the order of [`ChildKind::ALL`].
    pub children: Vec<FlowTree>,
}

impl FlowTree {
    fn new(key: JobKey, outcome: Option<ChildOutcome>, job: Option<JobView>) -> Self {
        Self { key, outcome, job, counts: ChildCounts::default(), children: Vec::new() }
    }
}

impl fmt::Debug for FlowTree {
    /// Without what is below the children: a deep tree would be too much for the stack.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children: Vec<String> = self.children.iter().map(|child| child.key.to_string()).collect();
        f.debug_struct("FlowTree")
            .field("key", &self.key)
            .field("outcome", &self.outcome)
            .field("job", &self.job)
            .field("counts", &self.counts)
            .field("children", &children)
            .finish()
    }
}
