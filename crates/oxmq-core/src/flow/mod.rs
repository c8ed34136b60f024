//! [`FlowProducer`]: the face for trees of jobs, in which a parent runs when its children have ended.
//!
//! Nothing is decided here: a tree is checked, walked level by level, and handed to [`Store::add_flow`] as a list.

mod job;
mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

pub use self::job::FlowJob;
pub use self::tree::{FlowTree, GetFlow, TREE_CHILDREN_DEFAULT, TREE_DEPTH_DEFAULT};
use crate::address::{DEFAULT_PREFIX, JobId, JobKey, QueueAddress};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::job::NewJob;
use crate::options::{DATA_BYTES_MAX_DEFAULT, JobOptions};
use crate::queue::{check, no_answer};
use crate::setters::with_time;
use crate::store::{AddFlowRequest, Added, FLOW_NODES_MAX, Fate, Flow, FlowNode, OnRefusal, Store};
use crate::telemetry::{Carried, SpanKind, SpanParent, Telemetry, Trace, Tracer, attribute};

/// The most levels that a flow may have, the root's included.
pub const FLOW_DEPTH_MAX: usize = 1_000;

/// Adds flows: trees of jobs, in whatever queues of a store, of which each parent waits for its children.
///
/// Cheap to clone. The queues need not be opened; their own default options do not count here, only those of
/// [`queue_defaults`](FlowProducerBuilder::queue_defaults).
///
/// ```
/// # use std::sync::Arc;
/// # use oxmq_core::{ChildFailure, FlowJob, FlowProducer, Store};
/// async fn order(store: &Arc<dyn Store>) -> oxmq_core::Result<()> {
///     let flows = FlowProducer::new(store);
///     let report = FlowJob::named("reports", "bind", "2026")
///         .child(FlowJob::named("chapters", "write", "sales").attempts(3))
///         .child(FlowJob::named("chapters", "write", "costs").on_failure(ChildFailure::Ignore));
///     let added = flows.add(report).await?;
///     assert_eq!(added.children.len(), 2);
///     let tree = flows.get_flow(added.key()).depth(2).await?;
///     assert!(tree.is_some());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct FlowProducer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    prefix: Arc<str>,
    clock: Clock,
    defaults: BTreeMap<String, JobOptions>,
    data_limit: usize,
    on_refusal: OnRefusal,
    tracer: Tracer,
}

impl FlowProducer {
    /// Adds flows to `store`, under the default prefix.
    pub fn new(store: &Arc<dyn Store>) -> Self {
        Self::builder(store).finish()
    }

    /// The same with settings.
    pub fn builder(store: &Arc<dyn Store>) -> FlowProducerBuilder {
        FlowProducerBuilder(Inner {
            store: store.clone(),
            prefix: DEFAULT_PREFIX.into(),
            clock: Clock::system(),
            defaults: BTreeMap::new(),
            data_limit: DATA_BYTES_MAX_DEFAULT,
            on_refusal: OnRefusal::default(),
            tracer: Tracer::default(),
        })
    }

    /// Adds a flow: all of it or, with an error, nothing, unless [`on_refusal`](FlowProducerBuilder::on_refusal) says otherwise.
    /// Answers with the same tree, as it was added.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for anything that makes no sense, before the store is asked: with the fact `node`, which is the way
    /// to it from the root (`root.children[0]`). [`NotFound`](crate::ErrorKind::NotFound): the root has a parent that is not there.
    /// [`Refused`](crate::ErrorKind::Refused): a job with the id of a node is there already, and has another parent, or has failed.
    /// [`Unsupported`](crate::ErrorKind::Unsupported): the queues are on several nodes of a Redis Cluster. The store's own errors;
    /// after [`Ambiguous`](crate::ErrorKind::Ambiguous) a flow can be added again if each of its jobs has an id of its own.
    pub async fn add(&self, flow: FlowJob) -> Result<JobNode> {
        let trace = self.inner.tracer.start("addFlow", flow.queue(), SpanKind::Producer, SpanParent::Current);
        trace.set(attribute::FLOW_NAME, || flow.name().into());
        let now = self.inner.clock.now();
        let flow = self.plan(flow, FLOW_NODES_MAX, now);
        let added = async {
            let mut added = self.send(vec![flow?], now, &trace).await?;
            added.pop().unwrap_or_else(|| Err(no_answer()))
        };
        trace.call(added, |_, _| {}).await
    }

    /// Adds several flows in one call to the store, each by itself: one that is refused does not keep the others back.
    ///
    /// # Errors
    /// Of one flow: as of [`add`](Self::add). Of the whole call, and nothing is added: one that makes no sense, with its place as the fact
    /// `flow_index`; more than [`FLOW_NODES_MAX`] jobs or [`FLOW_BYTES_MAX`](crate::store::FLOW_BYTES_MAX) in all; the store's own errors.
    pub async fn add_bulk(&self, flows: impl IntoIterator<Item = FlowJob>) -> Result<Vec<Result<JobNode>>> {
        let now = self.inner.clock.now();
        let planned = self.plan_all(flows, now);
        if planned.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let trace = self.inner.tracer.start("addBulkFlows", "", SpanKind::Producer, SpanParent::Current);
        if let Ok(flows) = &planned {
            trace.set(attribute::JOB_BULK_COUNT, || (flows.len() as u64).into());
            trace.set(attribute::JOB_BULK_NAMES, || {
                let roots = flows.iter().filter_map(|flow| flow.nodes.first());
                roots.map(|root| root.job.name.as_str()).collect::<Vec<_>>().join(",").into()
            });
        }
        let added = async { self.send(planned?, now, &trace).await };
        trace.call(added, |_, _| {}).await
    }

    fn plan_all(&self, flows: impl IntoIterator<Item = FlowJob>, now: Timestamp) -> Result<Vec<Flow>> {
        let mut planned = Vec::new();
        let mut left = FLOW_NODES_MAX;
        for (index, flow) in flows.into_iter().enumerate() {
            let flow = self.plan(flow, left, now).map_err(|error| error.with("flow_index", index))?;
            left -= flow.nodes.len();
            planned.push(flow);
        }
        Ok(planned)
    }

    /// Reads a flow back, from a job downwards. Ends in `.await`; `None` if there is no such job.
    pub fn get_flow(&self, root: JobKey) -> GetFlow {
        GetFlow::new(self.inner.store.clone(), root)
    }

    /// The tree as a list, breadth first; all is checked that can be without the store. `left` is how many nodes it may have.
    fn plan(&self, root: FlowJob, left: usize, now: Timestamp) -> Result<Flow> {
        let mut walk = Walk::default();
        let mut line = VecDeque::from([(root, Place { parent: None, ordinal: 0, depth: 1 })]);
        while let Some((node, place)) = line.pop_front() {
            let index = walk.places.len();
            walk.places.push(place);
            let depth = place.depth + 1;
            if depth > FLOW_DEPTH_MAX && node.has_children() {
                let remedy = format!("a flow has at most {FLOW_DEPTH_MAX} levels");
                return Err(walk.located(Error::invalid("add", "children", "too deep", remedy), index));
            }
            if index + line.len() >= left {
                let remedy = format!("add at most {FLOW_NODES_MAX} jobs in one call");
                return Err(Error::invalid("add", "nodes", "too many", remedy));
            }
            let (node, children) = node.into_parts();
            let has_children = !children.is_empty();
            let node = self.node(node, place.parent, has_children, now);
            let node = node.map_err(|error| walk.located(error, index))?;
            walk.nodes.push(node);
            for (ordinal, child) in children.into_iter().enumerate() {
                line.push_back((child, Place { parent: Some(index), ordinal, depth }));
            }
        }
        Ok(Flow { nodes: walk.nodes })
    }

    fn node(
        &self,
        node: job::Node,
        parent: Option<usize>,
        has_children: bool,
        now: Timestamp,
    ) -> Result<FlowNode> {
        let prefix = node.prefix.map_or_else(|| self.inner.prefix.clone(), Into::into);
        let queue = QueueAddress::with_prefix(prefix, node.queue)?;
        let mut options = with_time(node.options, node.at, now);
        if let Some(defaults) = self.inner.defaults.get(queue.name()) {
            options = options.or(defaults);
        }
        if let Some(key) = &options.parent
            && parent.is_some()
        {
            let remedy = "its parent is the node above it; only the root may hang from a job that is there";
            return Err(Error::invalid("add", "parent", key, remedy));
        }
        if let Some(deduplication) = &options.deduplication
            && (has_children || parent.is_some())
        {
            let remedy = "a job with a parent or children cannot be deduplicated: leave it out";
            return Err(Error::invalid("add", "deduplication", &deduplication.id, remedy));
        }
        let job = NewJob { name: node.name, data: node.data?, options };
        check(&job, self.inner.data_limit)?;
        let drawn = || JobId::stored(uuid::Uuid::new_v4().to_string());
        let id = job.options.job_id.clone().unwrap_or_else(drawn);
        Ok(FlowNode { queue, id, job, parent })
    }

    /// Starts the span of each node, under that of the node above it, and puts its context into the node.
    fn trace_nodes(&self, flow: &mut Flow, trace: &Trace) -> Vec<Trace> {
        let mut traces: Vec<Trace> = Vec::new();
        if !self.inner.tracer.is_on() {
            return traces;
        }
        for node in &mut flow.nodes {
            let above = node.parent.and_then(|parent| traces.get(parent)).unwrap_or(trace);
            let started = above.within(|| {
                let queue = node.queue.name();
                self.inner.tracer.start("addNode", queue, SpanKind::Producer, SpanParent::Current)
            });
            started.set(attribute::JOB_NAME, || node.job.name.as_str().into());
            started.set(attribute::JOB_ID, || node.id.as_str().into());
            started.put_context(&mut node.job.options, Carried::Producers);
            traces.push(started);
        }
        traces
    }

    async fn send(
        &self,
        mut flows: Vec<Flow>,
        now: Timestamp,
        trace: &Trace,
    ) -> Result<Vec<Result<JobNode>>> {
        let traces: Vec<Vec<Trace>> = flows.iter_mut().map(|flow| self.trace_nodes(flow, trace)).collect();
        let shape = |node: &FlowNode| (node.queue.clone(), node.parent);
        let shapes: Vec<Vec<_>> = flows.iter().map(|flow| flow.nodes.iter().map(shape).collect()).collect();
        let request = AddFlowRequest { flows, on_refusal: self.inner.on_refusal, now };
        let answers = self.inner.store.add_flow(request).await?;
        if answers.len() != shapes.len() {
            return Err(no_answer());
        }
        for (traces, answer) in traces.iter().zip(&answers) {
            end_nodes(traces, answer);
        }
        let trees = shapes.into_iter().zip(answers);
        Ok(trees.map(|(shape, answer)| answer.and_then(|added| grown(shape, added))).collect())
    }
}

/// Ends the spans of a flow's nodes, from the leaves up. What was refused is an error of its node; the whole flow, of its root.
fn end_nodes(traces: &[Trace], answer: &Result<Vec<Added>>) {
    match answer {
        Ok(added) => {
            for (trace, added) in traces.iter().zip(added) {
                // Another job may stand for it.
                trace.set(attribute::JOB_ID, || added.id.as_str().into());
                if let Fate::Refused(kind) = added.fate {
                    trace.error(|| format!("refused: {kind}"));
                }
            }
        }
        Err(error) => {
            if let Some(root) = traces.first() {
                root.error(|| error.to_string());
            }
        }
    }
    for trace in traces.iter().rev() {
        trace.end();
    }
}

/// The list as a tree again.
fn grown(shape: Vec<(QueueAddress, Option<usize>)>, added: Vec<Added>) -> Result<JobNode> {
    if shape.len() != added.len() {
        return Err(no_answer());
    }
    let mut parents = Vec::with_capacity(shape.len());
    let mut nodes = Vec::with_capacity(shape.len());
    for ((queue, parent), job) in shape.into_iter().zip(added) {
        parents.push(parent);
        nodes.push(JobNode { queue, job, children: Vec::new() });
    }
    // Children come after their parents: the last node is complete.
    while let (Some(mut node), Some(parent)) = (nodes.pop(), parents.pop()) {
        node.children.reverse();
        match parent.and_then(|parent| nodes.get_mut(parent)) {
            Some(above) => above.children.push(node),
            None => return Ok(node),
        }
    }
    Err(no_answer())
}

/// Where a node is in its tree.
#[derive(Clone, Copy)]
struct Place {
    parent: Option<usize>,
    /// Which child of its parent.
    ordinal: usize,
    /// The root's is 1.
    depth: usize,
}

/// A tree on its way to become a list.
#[derive(Default)]
struct Walk {
    nodes: Vec<FlowNode>,
    places: Vec<Place>,
}

impl Walk {
    /// Says which node is at fault.
    fn located(&self, error: Error, index: usize) -> Error {
        let mut ordinals = Vec::new();
        let mut at = self.places.get(index);
        while let Some(Place { parent: Some(parent), ordinal, .. }) = at {
            ordinals.push(*ordinal);
            at = self.places.get(*parent);
        }
        let steps = ordinals.iter().rev().map(|ordinal| format!(".children[{ordinal}]"));
        error.with("node", format!("root{}", steps.collect::<Vec<_>>().concat()))
    }
}

impl fmt::Debug for FlowProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowProducer")
            .field("prefix", &self.prefix)
            .field("store", &self.store.describe())
            .finish_non_exhaustive()
    }
}

/// A job of a flow, as it was added.
#[derive(Clone, PartialEq)]
pub struct JobNode {
    /// Its queue.
    pub queue: QueueAddress,
    /// Its id and state, and whether it was created: with [`OnRefusal::KeepRest`] it may be
    /// [`Fate::Refused`].
    pub job: Added,
    /// Its children, in the order in which they were given.
    pub children: Vec<JobNode>,
}

impl JobNode {
    /// Which job it is.
    pub fn key(&self) -> JobKey {
        JobKey::new(self.queue.clone(), &self.job.id)
    }
}

impl fmt::Debug for JobNode {
    /// Without what is below the children: a deep tree would be too much for the stack.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children: Vec<String> = self.children.iter().map(|child| child.key().to_string()).collect();
        f.debug_struct("JobNode")
            .field("queue", &self.queue)
            .field("job", &self.job)
            .field("children", &children)
            .finish()
    }
}

/// Settings of a [`FlowProducer`].
#[derive(Debug)]
#[must_use]
pub struct FlowProducerBuilder(Inner);

impl FlowProducerBuilder {
    /// The prefix of the queues; default `bull`. A node may have its own.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.0.prefix = prefix.into();
        self
    }

    /// The clock; default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.0.clock = clock;
        self
    }

    /// Options for the jobs of a queue that do not bring their own, under whatever prefix. An id or a parent is never taken from here.
    ///
    /// They count for [`add_bulk`](FlowProducer::add_bulk), too, where BullMQ takes none. The default options of a
    /// [`Queue`](crate::Queue) never count for flows.
    pub fn queue_defaults(mut self, queue: impl Into<String>, options: JobOptions) -> Self {
        self.0.defaults.insert(queue.into(), options);
        self
    }

    /// The most bytes of JSON that a job's data may have; default 1 MiB
    /// ([`DATA_BYTES_MAX_DEFAULT`]). A job's own `size_limit` counts instead of it.
    pub fn data_limit(mut self, bytes: usize) -> Self {
        self.0.data_limit = bytes;
        self
    }

    /// Where spans go, and where the context comes from that travels with each job; default nowhere. There is one for each call and
    /// below it one for each job, as the tree is: see [`telemetry`](crate::telemetry). Every job carries its own, also one without
    /// options, for which BullMQ leaves it out.
    pub fn telemetry(mut self, telemetry: Arc<dyn Telemetry>) -> Self {
        self.0.tracer = Tracer::new(telemetry);
        self
    }

    /// What becomes of a flow if the store refuses one of its jobs; default: nothing of it is added.
    pub fn on_refusal(mut self, what: OnRefusal) -> Self {
        self.0.on_refusal = what;
        self
    }

    /// The producer.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid): the prefix, the name of a queue, or a default option.
    pub fn build(self) -> Result<FlowProducer> {
        QueueAddress::with_prefix(self.0.prefix.clone(), "any")?;
        for (queue, options) in &self.0.defaults {
            QueueAddress::with_prefix(self.0.prefix.clone(), queue.as_str())?;
            options.check().map_err(|error| error.with("queue", queue))?;
        }
        Ok(self.finish())
    }

    fn finish(self) -> FlowProducer {
        FlowProducer { inner: Arc::new(self.0) }
    }
}
