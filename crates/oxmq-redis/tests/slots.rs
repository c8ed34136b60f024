//! Flows on a cluster: queues of one prefix lie in one slot, and others are refused before anything is sent.

#![cfg(feature = "cluster")]
#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::sync::Arc;

use oxmq_core::conformance::{self, Harness, block_on, draft};
use oxmq_core::store::{AddFlowRequest, AddGroup, AddRequest, Flow, FlowNode, OnRefusal};
use oxmq_core::{Error, ErrorKind, JobId, JobKey, QueueAddress, Store};
use oxmq_redis::RedisStore;
use oxmq_testkit::Cluster;

fn node(prefix: &str, queue: &str, id: &str, parent: Option<usize>) -> FlowNode {
    let queue = QueueAddress::with_prefix(prefix.to_owned(), queue.to_owned()).unwrap();
    FlowNode { queue, id: JobId::from(id), job: draft().0, parent }
}

fn says_what_to_do(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let text = error.to_string();
    for part in ["one:a", "two:b", "`{app}:a`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_flow_lies_in_one_slot() {
    let cluster = Cluster::start(3, 0);
    block_on(async {
        let store = Arc::new(RedisStore::open(&cluster.url()).await.unwrap());
        // Names, keys and parents are the same as everywhere, although the keys have braces.
        let harness = Harness::new(store.clone());
        conformance::add_flow::a_child_knows_its_parent(&harness).await;

        // A flow over two slots is refused, and the others of the call are added.
        let now = harness.now();
        let torn = Flow { nodes: vec![node("one", "a", "p", None), node("two", "b", "c", Some(0))] };
        let whole = Flow { nodes: vec![node("one", "a", "p2", None), node("one", "b", "c2", Some(0))] };
        let flows = vec![whole.clone(), torn.clone()];
        let request = AddFlowRequest { flows, on_refusal: OnRefusal::UndoFlow, now };
        let mut answers = store.add_flow(request).await.unwrap();
        says_what_to_do(&answers.remove(1).unwrap_err());
        assert_eq!(answers.remove(0).unwrap().len(), 2);
        let (parent, child) = (&torn.nodes[0], &torn.nodes[1]);
        for node in &torn.nodes {
            assert!(store.job(&node.queue, &node.id).await.unwrap().is_none());
        }

        // So is a child of a parent in another slot.
        let mut job = draft().0;
        job.options.parent = Some(JobKey::new(parent.queue.clone(), "p2"));
        let request = AddRequest { groups: vec![AddGroup { jobs: vec![job] }], now };
        let answer = store.add(&child.queue, request).await.unwrap().remove(0);
        says_what_to_do(&answer.unwrap_err());
        assert_eq!(store.counts(&child.queue, now).await.unwrap().total(), 0);

        // With braces of their own they lie together.
        let tied = Flow { nodes: vec![node("one:{x}", "a", "p", None), node("two:{x}", "b", "c", Some(0))] };
        let request = AddFlowRequest { flows: vec![tied], on_refusal: OnRefusal::UndoFlow, now };
        store.add_flow(request).await.unwrap().remove(0).unwrap();
        store.close().await.unwrap();
    });
}
