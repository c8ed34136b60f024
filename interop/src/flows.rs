//! Flows from either side.

use std::collections::BTreeMap;

use oxmq_core::store::{ChildKind, RemoveAnswer};
use oxmq_core::{FlowJob, FlowProducer, FlowTree, JobKey, JobNode, JobOptions};
use serde_json::{Value, json};

use crate::rig::{Rig, Side};

/// A flow as either side gives it back: a job and what is below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// `prefix:queue:id`
    pub key: String,
    pub children: Vec<Tree>,
}

impl Tree {
    /// The id of the job.
    pub fn id(&self) -> &str {
        self.key.rsplit(':').next().unwrap()
    }

    fn of_node(node: &Value) -> Self {
        let job = &node["job"];
        let key = format!("{}:{}", job["queueQualifiedName"].as_str().unwrap(), job["id"].as_str().unwrap());
        // One that is gone is `undefined`.
        let there =
            node["children"].as_array().into_iter().flatten().filter(|child| child.get("job").is_some());
        Self { key, children: there.map(Self::of_node).collect() }
    }

    fn of_added(node: &JobNode) -> Self {
        Self { key: node.key().to_string(), children: node.children.iter().map(Self::of_added).collect() }
    }

    /// Without the jobs that are gone: Node does not tell which these are.
    fn of_read(tree: &FlowTree) -> Self {
        let there = tree.children.iter().filter(|child| child.job.is_some());
        Self { key: tree.key.to_string(), children: there.map(Self::of_read).collect() }
    }

    /// With the children of each job in order of their keys.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.children = self.children.into_iter().map(Self::sorted).collect();
        self.children.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }
}

/// A flow in Node's form as one of ours.
fn ours(tree: &Value) -> FlowJob {
    let text = |name: &str| tree[name].as_str().unwrap().to_owned();
    let mut job = FlowJob::named(text("queueName"), text("name"), &tree["data"]);
    if let Some(opts) = tree.get("opts") {
        job = job.options(JobOptions::parse(&opts.to_string()).unwrap());
    }
    if let Some(prefix) = tree.get("prefix") {
        job = job.prefix(prefix.as_str().unwrap());
    }
    job.children(tree["children"].as_array().into_iter().flatten().map(ours))
}

impl Rig {
    fn key(&self, id: &str) -> JobKey {
        JobKey::new(self.queue.address().clone(), id)
    }

    /// Adds a flow, given in Node's form.
    pub async fn add_flow(&self, side: Side, tree: &Value) -> Tree {
        match side {
            Side::Node => {
                let producer = self.make("FlowProducer", json!({})).await;
                let added = self.agent.call(&producer, "add", json!([tree])).await;
                Tree::of_node(&added.unwrap_or_else(|error| panic!("{tree}: {error:?}")))
            }
            Side::Rust => {
                let added = FlowProducer::new(&self.store).add(ours(tree)).await;
                Tree::of_added(&added.unwrap_or_else(|error| panic!("{tree}: {error}")))
            }
        }
    }

    /// Reads a flow back from a job of this queue; `None` if that is not there.
    pub async fn get_flow(&self, side: Side, id: &str, depth: usize, max_children: usize) -> Option<Tree> {
        match side {
            Side::Node => {
                let producer = self.make("FlowProducer", json!({})).await;
                let what =
                    json!({ "id": id, "queueName": self.name, "depth": depth, "maxChildren": max_children });
                let read = self.agent.call(&producer, "getFlow", json!([what])).await.unwrap();
                read.get("job").is_some().then(|| Tree::of_node(&read))
            }
            Side::Rust => {
                let get = FlowProducer::new(&self.store).get_flow(self.key(id));
                let read = get.depth(depth).max_children(max_children).await.unwrap();
                read.as_ref().map(Tree::of_read)
            }
        }
    }

    /// What the children of a job returned, by key.
    pub async fn children_values(&self, side: Side, id: &str) -> BTreeMap<String, Value> {
        match side {
            Side::Node => by_key(&self.node_job(id, "getChildrenValues", json!([])).await),
            Side::Rust => {
                let values = self.queue.children_values(id).await.unwrap();
                values.into_iter().map(|(key, value)| (key.to_string(), value.read().unwrap())).collect()
            }
        }
    }

    /// Why those children of a job failed that it does without, by key.
    pub async fn ignored_failures(&self, side: Side, id: &str) -> BTreeMap<String, Value> {
        match side {
            Side::Node => by_key(&self.node_job(id, "getIgnoredChildrenFailures", json!([])).await),
            Side::Rust => {
                let failures = self.queue.ignored_failures(id).await.unwrap();
                failures.into_iter().map(|(key, reason)| (key.to_string(), reason.into())).collect()
            }
        }
    }

    /// How many children a job has of each kind, by Node's names.
    pub async fn child_counts(&self, side: Side, id: &str) -> Value {
        match side {
            Side::Node => self.node_job(id, "getDependenciesCount", json!([])).await,
            Side::Rust => {
                let counts = self.queue.child_counts(id).await.unwrap();
                ChildKind::ALL
                    .map(|kind| (kind.as_str().to_owned(), json!(counts.of(kind))))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Removes the children that a job waits for.
    pub async fn remove_pending_children(&self, side: Side, id: &str) {
        match side {
            Side::Node => drop(self.node_job(id, "removeUnprocessedChildren", json!([])).await),
            Side::Rust => {
                assert_eq!(self.queue.remove_pending_children(id).await.unwrap(), RemoveAnswer::Removed);
            }
        }
    }

    /// Takes a child from its parent; whether that waited for it.
    pub async fn detach(&self, side: Side, id: &str) -> bool {
        match side {
            Side::Node => self.node_job(id, "removeChildDependency", json!([])).await == true,
            Side::Rust => self.queue.detach(id).await.unwrap(),
        }
    }
}

fn by_key(object: &Value) -> BTreeMap<String, Value> {
    object.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
