//! `oxmq flow`: trees of jobs.

use std::{fs, io};

use anyhow::{Context as _, Result};
use oxmq::store::{ChildCounts, ChildKind, ChildOutcome, FLOW_NODES_MAX, Fate};
use oxmq::{Error, FLOW_DEPTH_MAX, FlowJob, FlowProducer, FlowTree, JobKey, JobNode, JobOptions, JsonText};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{jobs_text, no_such_job};
use crate::args::{FlowVerb, OneJob};
use crate::context::{Context, Missing};
use crate::shape::ChildrenShape;

/// What a flow looks like.
pub(crate) const HELP: &str = r#"
A flow is one JSON object, as BullMQ's FlowProducer takes it:

  { "name": "bind", "queueName": "reports", "data": {"year": 2026}, "opts": {"attempts": 3},
    "children": [
      { "name": "write", "queueName": "chapters", "data": {"title": "Sales"} },
      { "name": "write", "queueName": "chapters", "data": {"title": "Costs"},
        "opts": {"ignoreDependencyOnFailure": true} }
    ] }

data, opts, prefix and children may be left out. What a child's failure does to its parent is an option of the child:
failParentOnFailure, continueParentOnFailure, ignoreDependencyOnFailure or removeDependencyOnFailure; without one the parent
waits until the child is retried or removed."#;

pub(crate) async fn run(verb: FlowVerb, context: &Context) -> Result<()> {
    match verb {
        FlowVerb::Add { source } => add(&source, context).await,
        FlowVerb::Show { job, depth, max_children } => show(&job, depth, max_children, context).await,
    }
}

async fn add(source: &str, context: &Context) -> Result<()> {
    let text = match source {
        "-" => io::read_to_string(io::stdin().lock()).context("flow add -")?,
        path => fs::read_to_string(path).with_context(|| format!("flow add {path}"))?,
    };
    // A flow that makes no sense must not leave a new store behind.
    let flow = parse(JsonText::stored(text))?;
    let store = context.store(Missing::Create).await?;
    let flows = FlowProducer::builder(&store).prefix(context.prefix.as_str()).build()?;
    let added = flows.add(flow).await?;
    if context.out.json {
        return context.out.object(&added_json(&added));
    }
    let lines = outline(&added, |node| &node.children, |node, _| added_text(node));
    context.out.line(lines.join("\n"))
}

/// A node of the JSON. What is below it is read level by level, so that no depth is too much for the stack.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    name: String,
    queue_name: String,
    prefix: Option<String>,
    data: Option<JsonText>,
    opts: Option<JsonText>,
    children: Option<Vec<JsonText>>,
}

/// Where a node is, for messages: as in `root.children[2]`.
type Path = String;

fn parse(text: JsonText) -> Result<FlowJob> {
    let mut jobs: Vec<(FlowJob, Option<usize>)> = Vec::new();
    let mut line = vec![(text, None, Path::from("root"), 1)];
    while let Some((text, parent, path, depth)) = line.pop() {
        let node: Node = serde_json::from_str(text.as_str()).map_err(|error| {
            let remedy = format!(
                "it must be {{\"name\": .., \"queueName\": .., \"data\"?: .., \"prefix\"?: .., \"opts\"?: {{..}}, \
                 \"children\"?: [..]}}: {error}"
            );
            located(Error::invalid("flow", "flow", shortened(text.as_str()), remedy), &path)
        })?;
        let place = jobs.len();
        if place >= FLOW_NODES_MAX {
            let remedy = format!("a flow has at most {FLOW_NODES_MAX} jobs");
            return Err(located(Error::invalid("flow", "nodes", "too many", remedy), &path).into());
        }
        let children = node.children.unwrap_or_default();
        if depth >= FLOW_DEPTH_MAX && !children.is_empty() {
            let remedy = format!("a flow has at most {FLOW_DEPTH_MAX} levels");
            return Err(located(Error::invalid("flow", "children", "too deep", remedy), &path).into());
        }
        let options = node.opts.map_or(Ok(JobOptions::default()), |opts| JobOptions::parse(opts.as_str()));
        let options = options.map_err(|error| located(error, &path))?;
        let data = node.data.unwrap_or_else(JsonText::empty_object);
        let mut job = FlowJob::named(node.queue_name, node.name, &data).options(options);
        if let Some(prefix) = node.prefix {
            job = job.prefix(prefix);
        }
        jobs.push((job, parent));
        // The last is the next: the first child comes right after its parent.
        for (index, child) in children.into_iter().enumerate().rev() {
            line.push((child, Some(place), format!("{path}.children[{index}]"), depth + 1));
        }
    }
    joined(jobs)
}

/// The list as a tree: each job after its parent, and the children of one in order.
fn joined(jobs: Vec<(FlowJob, Option<usize>)>) -> Result<FlowJob> {
    let mut below: Vec<Vec<FlowJob>> = jobs.iter().map(|_| Vec::new()).collect();
    for (job, parent) in jobs.into_iter().rev() {
        let children = below.pop().unwrap_or_default();
        let job = job.children(children.into_iter().rev());
        match parent.and_then(|parent| below.get_mut(parent)) {
            Some(siblings) => siblings.push(job),
            None => return Ok(job),
        }
    }
    anyhow::bail!("a flow without a root")
}

fn located(error: Error, path: &Path) -> Error {
    error.with("node", path)
}

/// Enough of a text to know it by.
fn shortened(text: &str) -> String {
    const SIGNS_MAX: usize = 60;
    let mut short: String = text.trim().chars().take(SIGNS_MAX).collect();
    if short.len() < text.trim().len() {
        short.push_str(" ..");
    }
    short
}

/// A tree as lines, each as deep as its node. `children` gives what is below a node.
fn outline<T>(root: &T, children: impl Fn(&T) -> &[T], text: impl Fn(&T, usize) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = vec![(root, 0)];
    while let Some((node, level)) = rest.pop() {
        lines.push(format!("{}{}", "  ".repeat(level), text(node, level)));
        rest.extend(children(node).iter().rev().map(|child| (child, level + 1)));
    }
    lines
}

/// A tree as JSON, from below. `own` gives the members of a node but for its children.
fn tree_json<T>(root: &T, children: impl Fn(&T) -> &[T], own: impl Fn(&T) -> Map<String, Value>) -> Value {
    let mut nodes = vec![(root, None)];
    let mut at = 0;
    while let Some((node, _)) = nodes.get(at).copied() {
        nodes.extend(children(node).iter().map(|child| (child, Some(at))));
        at += 1;
    }
    let mut below: Vec<Vec<Value>> = nodes.iter().map(|_| Vec::new()).collect();
    while let (Some((node, parent)), Some(mut children)) = (nodes.pop(), below.pop()) {
        let mut shape = own(node);
        if !children.is_empty() {
            children.reverse();
            shape.insert("children".into(), children.into());
        }
        match parent.and_then(|parent: usize| below.get_mut(parent)) {
            Some(siblings) => siblings.push(shape.into()),
            None => return shape.into(),
        }
    }
    Value::Null
}

fn named(key: &JobKey) -> Map<String, Value> {
    let names = [("id", key.id.as_str()), ("queueName", key.queue.name()), ("prefix", key.queue.prefix())];
    names.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn added_json(root: &JobNode) -> Value {
    tree_json(
        root,
        |node| &node.children,
        |node| {
            let mut shape = named(&node.key());
            shape.insert("state".into(), node.job.state.as_str().into());
            shape.insert("existing".into(), (node.job.fate == Fate::Existing).into());
            shape
        },
    )
}

fn added_text(node: &JobNode) -> String {
    let there = if node.job.fate == Fate::Existing { " (was there already)" } else { "" };
    format!("{}: job {} is {}{there}", node.queue.name(), node.job.id, node.job.state)
}

async fn show(job: &OneJob, depth: usize, max_children: usize, context: &Context) -> Result<()> {
    let queue = context.existing(&job.queue).await?;
    let flows = FlowProducer::builder(queue.store()).prefix(context.prefix.as_str()).build()?;
    let key = JobKey::new(queue.address().clone(), job.id.as_str());
    let tree = flows.get_flow(key).depth(depth).max_children(max_children).await?;
    let tree = tree.ok_or_else(|| no_such_job("flow", &queue, &job.id))?;
    if context.out.json {
        return context.out.object(&shown_json(&tree));
    }
    let mut lines = outline(&tree, |node| &node.children, |node, _| shown_text(node));
    let left_out = left_out(&tree);
    if left_out > 0 {
        lines.push(format!("({} more: --depth, --max-children)", jobs_text(left_out)));
    }
    context.out.line(lines.join("\n"))
}

/// How many children of the jobs that are shown are not.
fn left_out(tree: &FlowTree) -> u64 {
    let mut count = 0;
    let mut rest = vec![tree];
    while let Some(node) = rest.pop() {
        count += node.counts.total().saturating_sub(node.children.len() as u64);
        rest.extend(&node.children);
    }
    count
}

fn shown_json(root: &FlowTree) -> Value {
    tree_json(
        root,
        |node| &node.children,
        |node| {
            let mut shape = named(&node.key);
            if let Some(view) = &node.job {
                shape.insert("name".into(), view.job.name.clone().into());
            }
            shape.insert("state".into(), node.job.as_ref().map_or("gone", |view| view.state.as_str()).into());
            if let Some(outcome) = &node.outcome {
                shape.insert("outcome".into(), outcome.kind().as_str().into());
                let (name, value) = match outcome {
                    ChildOutcome::Processed(value) => {
                        ("value", value.read().unwrap_or_else(|_| value.as_str().into()))
                    }
                    ChildOutcome::Ignored(reason) => ("failedReason", reason.as_str().into()),
                    ChildOutcome::Failed(at) => ("failedAt", at.as_millis().into()),
                    _ => ("", Value::Null),
                };
                if !name.is_empty() {
                    shape.insert(name.into(), value);
                }
            }
            if node.counts.total() > 0 {
                shape.insert("counts".into(), json!(ChildrenShape(node.counts)));
            }
            shape
        },
    )
}

fn shown_text(node: &FlowTree) -> String {
    let (name, state) = match &node.job {
        Some(view) => (format!(" {}", view.job.name), view.state.as_str()),
        None => (String::new(), "gone"),
    };
    let outcome = match &node.outcome {
        Some(ChildOutcome::Processed(value)) => format!(" -> {}", shortened(value.as_str())),
        Some(ChildOutcome::Ignored(reason)) => format!(", ignored: {}", shortened(reason)),
        Some(ChildOutcome::Failed(_)) => ", fails its parent".to_owned(),
        _ => String::new(),
    };
    let children = children_text(node.counts).map(|counts| format!(" [{counts}]")).unwrap_or_default();
    format!("{}:{name} {} is {state}{outcome}{children}", node.key.queue.name(), node.key.id)
}

/// `3 completed, 1 pending`; `None` without children.
pub(super) fn children_text(counts: ChildCounts) -> Option<String> {
    let words = ChildKind::ALL.into_iter().filter(|kind| counts.of(*kind) > 0).map(|kind| {
        let word = match kind {
            ChildKind::Processed => "completed",
            ChildKind::Pending => "pending",
            ChildKind::Ignored => "ignored",
            kind => kind.as_str(),
        };
        format!("{} {word}", counts.of(kind))
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}
