//! Flows that either side makes and either side works: parents and children, in all directions.
#![allow(clippy::needless_pass_by_value, reason = "values are written where they are handed over")]

use oxmq_core::JobState;
use oxmq_interop::flows::Tree;
use oxmq_interop::{Rig, Side, Work, keyspace, until};
use serde_json::{Value, json};

/// The ways in which the first side makes, the second works the children, and the third the parent.
fn ways() -> impl Iterator<Item = [Side; 3]> {
    let sides = || Side::BOTH.into_iter();
    sides()
        .flat_map(move |makes| sides().flat_map(move |below| sides().map(move |above| [makes, below, above])))
}

fn child(queue: &Rig, name: &str, data: Value, opts: Value) -> Value {
    json!({ "name": name, "queueName": queue.name, "data": data, "opts": opts })
}

fn parent(queue: &Rig, opts: Value, children: Vec<Value>) -> Value {
    json!({ "name": "family", "queueName": queue.name, "data": {}, "opts": opts, "children": children })
}

#[tokio::test]
async fn results_go_up_whoever_makes_the_flow_and_works_its_levels() {
    for way in ways() {
        let [makes, works_below, works_above] = way;
        let (above, below) = (Rig::new().await, Rig::new().await);
        let kids = (1..=3).map(|n| child(&below, "value", json!({ "value": n }), json!({}))).collect();
        let tree = above.add_flow(makes, &parent(&above, json!({}), kids)).await;
        assert_eq!(tree.children.len(), 3, "{way:?}");
        for side in Side::BOTH {
            assert_eq!(above.shown(side, tree.id()).await["state"], "waiting-children", "{way:?}");
        }
        let workers =
            [below.work(works_below, Work::default()).await, above.work(works_above, Work::default()).await];
        let result = json!({ "values": [1, 2, 3], "ignored": [], "started": 1, "made": 0 });
        for side in Side::BOTH {
            assert_eq!(above.outcome(side, tree.id()).await, Ok(result.clone()), "{way:?}");
        }
        let values = above.children_values(Side::Node, tree.id()).await;
        assert_eq!(values, above.children_values(Side::Rust, tree.id()).await, "{way:?}");
        assert_eq!(values.keys().collect::<Vec<_>>(), keys(&tree), "{way:?}");
        for worker in workers {
            worker.close().await;
        }
    }
}

/// The keys of the children, in order.
fn keys(tree: &Tree) -> Vec<&String> {
    let mut keys: Vec<&String> = tree.children.iter().map(|child| &child.key).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn each_say_of_a_child_has_its_effect_whoever_makes_the_flow_and_works_it() {
    for way in ways() {
        let [makes, works_below, works_above] = way;
        for option in [
            "failParentOnFailure",
            "continueParentOnFailure",
            "ignoreDependencyOnFailure",
            "removeDependencyOnFailure",
        ] {
            let (above, below) = (Rig::new().await, Rig::new().await);
            // With `continue` the parent runs although this one never ends.
            let endless = json!({ "delay": if option == "continueParentOnFailure" { 600_000 } else { 0 } });
            let kids = vec![
                child(&below, "value", json!({ "value": 1 }), endless),
                child(&below, "fail", json!({ "message": "no" }), json!({ option: true })),
            ];
            let mut root = parent(&above, json!({}), kids);
            // It cannot complete as long as one is pending.
            root["data"]["leaves"] = (option == "continueParentOnFailure").into();
            let tree = above.add_flow(makes, &root).await;
            let kid = tree.children[1].id();
            assert_eq!(below.shown(Side::Rust, kid).await, below.shown(Side::Node, kid).await);
            let first = below.work(works_below, Work::default()).await;
            let second = above.work(works_above, Work::default()).await;
            let outcome = above.outcome(makes.other(), tree.id()).await;
            let done = |values: Value, ignored: Value| {
                Ok(json!({ "values": values, "ignored": ignored, "started": 1, "made": 0 }))
            };
            let shown = format!("{way:?} {option}");
            match option {
                "failParentOnFailure" => {
                    assert_eq!(outcome, Err(format!("child {} failed", tree.children[1].key)), "{shown}");
                }
                "continueParentOnFailure" => assert_eq!(outcome, done(json!([]), json!(["no"])), "{shown}"),
                "ignoreDependencyOnFailure" => {
                    assert_eq!(outcome, done(json!([1]), json!(["no"])), "{shown}");
                }
                _ => assert_eq!(outcome, done(json!([1]), json!([])), "{shown}"),
            }
            let counts = above.child_counts(Side::Node, tree.id()).await;
            assert_eq!(counts, above.child_counts(Side::Rust, tree.id()).await, "{shown}");
            assert_eq!(
                above.ignored_failures(Side::Node, tree.id()).await,
                above.ignored_failures(Side::Rust, tree.id()).await,
                "{shown}"
            );
            first.close().await;
            second.close().await;
        }
    }
}

#[tokio::test]
async fn a_failure_climbs_three_levels_whoever_works_them() {
    for way in ways() {
        let [bottom, middle, top] = way;
        let rigs = [Rig::new().await, Rig::new().await, Rig::new().await];
        let fatal = || json!({ "failParentOnFailure": true });
        let leaf = child(&rigs[0], "fail", json!({ "message": "no" }), fatal());
        let mut between = child(&rigs[1], "family", json!({}), fatal());
        between["children"] = json!([leaf]);
        let tree = rigs[2].add_flow(Side::Rust, &parent(&rigs[2], json!({}), vec![between])).await;
        let mut workers = Vec::new();
        for (rig, side) in rigs.iter().zip([bottom, middle, top]) {
            workers.push(rig.work(side, Work::default()).await);
        }
        for side in Side::BOTH {
            let reason = rigs[2].outcome(side, tree.id()).await;
            assert_eq!(reason, Err(format!("child {} failed", tree.children[0].key)), "{way:?}");
        }
        for worker in workers {
            worker.close().await;
        }
    }
}

#[tokio::test]
async fn children_added_at_run_time_are_waited_for_whoever_adds_and_works_them() {
    for [above_side, below_side, _] in ways().filter(|way| way[2] == Side::Node) {
        let shown = format!("{above_side:?} adds, {below_side:?} works");
        let (above, below) = (Rig::new().await, Rig::new().await);
        let kids = json!([
            { "name": "value", "data": { "value": "a" } },
            { "name": "value", "data": { "value": "b" }, "opts": { "priority": 3, "jobId": "own" } },
            { "name": "fail", "data": { "message": "no" }, "opts": { "ignoreDependencyOnFailure": true } },
        ]);
        let data = json!({ "queue": below.name, "children": kids });
        let id = above.add(below_side, "spawn", data, json!({ "attempts": 2 })).await;
        let worker = above.work(above_side, Work::default()).await;
        above.reaches(&id, JobState::WaitingChildren).await;
        for side in Side::BOTH {
            assert_eq!(above.child_counts(side, &id).await["unprocessed"], 3, "{shown}");
            assert_eq!(below.shown(side, "own").await["priority"], 3, "{shown}");
        }
        let workers = below.work(below_side, Work::default()).await;
        let result = json!({ "values": ["a", "b"], "ignored": ["no"], "started": 2, "made": 0 });
        for side in Side::BOTH {
            assert_eq!(above.outcome(side, &id).await, Ok(result.clone()), "{shown}");
            let job = above.shown(side, &id).await;
            assert_eq!((&job["attemptsStarted"], &job["attemptsMade"]), (&json!(2), &json!(1)), "{shown}");
        }
        worker.close().await;
        workers.close().await;
    }
}

#[tokio::test]
async fn a_child_is_added_to_a_job_that_is_there_by_either_side() {
    let mut left = Vec::new();
    for side in Side::BOTH {
        let (above, below) = (Rig::new().await, Rig::new().await);
        above
            .add_flow(
                Side::Node,
                &parent(
                    &above,
                    json!({ "jobId": "p" }),
                    vec![child(&below, "echo", json!(1), json!({ "jobId": "c0" }))],
                ),
            )
            .await;
        let opts = json!({
            "jobId": "c1", "parent": { "id": "p", "queue": format!("bull:{}", above.name) }, "continueParentOnFailure": true,
        });
        below.add(side, "echo", json!(2), opts).await;
        left.push(keyspace::of(&[&above, &below], &[]));
    }
    assert_eq!(left[0], left[1]);
}

/// Flows with ids of their own: levels, options, prefixes.
fn trees(above: &Rig, below: &Rig) -> Vec<Value> {
    let kid = |id: &str, opts: Value| {
        let mut opts = opts;
        opts["jobId"] = id.into();
        child(below, "echo", json!({ "of": [id, 1.5, null] }), opts)
    };
    let root = |opts: Value, children: Vec<Value>| {
        let mut opts = opts;
        opts["jobId"] = "p".into();
        parent(above, opts, children)
    };
    let levels = |top: Vec<Value>, next: Vec<Value>| {
        let mut first = kid("m", json!({ "failParentOnFailure": true, "priority": 9 }));
        first["children"] = next.into();
        let mut all = vec![first];
        all.extend(top);
        root(json!({ "attempts": 3 }), all)
    };
    let mut trees = vec![
        root(json!({}), vec![]),
        root(json!({ "deduplication": { "id": "d" } }), vec![]),
        root(json!({ "priority": 4, "attempts": 2, "backoff": { "type": "fixed", "delay": 9 } }), vec![]),
        root(json!({ "delay": 60_000 }), vec![kid("a", json!({})), kid("b", json!({ "delay": 60_000 }))]),
        root(
            json!({ "lifo": true, "priority": 2 }),
            vec![kid("a", json!({ "lifo": true })), kid("b", json!({ "lifo": true }))],
        ),
        root(
            json!({ "removeOnComplete": true, "keepLogs": 3 }),
            vec![kid("a", json!({ "removeOnFail": 5 }))],
        ),
        levels(
            vec![kid("a", json!({})), kid("b", json!({ "priority": 1 }))],
            vec![kid("c", json!({ "ignoreDependencyOnFailure": true })), kid("d", json!({}))],
        ),
    ];
    for option in [
        "failParentOnFailure",
        "continueParentOnFailure",
        "ignoreDependencyOnFailure",
        "removeDependencyOnFailure",
    ] {
        trees.push(root(json!({}), vec![kid("a", json!({ option: true }))]));
    }
    trees
}

#[tokio::test]
async fn a_flow_leaves_the_same_in_redis_whoever_adds_it() {
    let rig = Rig::new().await;
    for index in 0..trees(&rig, &rig).len() {
        let mut left = Vec::new();
        let mut shown = Value::Null;
        for side in Side::BOTH {
            let (above, below) = (Rig::new().await, Rig::new().await);
            let tree = trees(&above, &below).swap_remove(index);
            shown = tree["children"].clone();
            let first = above.add_flow(side, &tree).await;
            // A second time: all of it is there already.
            assert_eq!(above.add_flow(side, &tree).await, first);
            left.push(keyspace::of(&[&above, &below], &[]));
        }
        let (ours, node) = (left.pop().unwrap(), left.pop().unwrap());
        for (key, value) in node.as_object().unwrap() {
            assert_eq!(&ours[key], value, "{key} of {shown}");
        }
        assert_eq!(ours, node, "{shown}");
    }
}

#[tokio::test]
async fn jobs_of_a_flow_under_another_prefix_are_found_by_both_sides() {
    for makes in Side::BOTH {
        let (above, below) = (Rig::new().await, Rig::new().await);
        let mut away = child(&below, "echo", json!(1), json!({ "jobId": "away" }));
        away["prefix"] = format!("far {}", below.name).into();
        let tree = above.add_flow(makes, &parent(&above, json!({}), vec![away])).await;
        assert_eq!(tree.children[0].key, format!("far {}:{}:away", below.name, below.name), "{makes:?}");
        let read = above.get_flow(Side::Rust, tree.id(), 10, 20).await;
        assert_eq!(read, Some(tree.clone()), "{makes:?}");
        assert_eq!(read, above.get_flow(Side::Node, tree.id(), 10, 20).await, "{makes:?}");
    }
}

#[tokio::test]
async fn a_flow_is_read_back_the_same_by_both_sides() {
    for makes in Side::BOTH {
        let (above, below) = (Rig::new().await, Rig::new().await);
        let branch = |index: usize| {
            let mut branch = child(&below, "family", json!({}), json!({ "jobId": format!("b{index}") }));
            let leaf = |n: usize| {
                child(&below, "value", json!({ "value": n }), json!({ "jobId": format!("l{index}{n}") }))
            };
            branch["children"] = (0..4).map(leaf).collect();
            branch
        };
        let fails = child(
            &below,
            "fail",
            json!({ "message": "x" }),
            json!({ "jobId": "f", "ignoreDependencyOnFailure": true }),
        );
        let gone =
            child(&below, "value", json!({ "value": 1 }), json!({ "jobId": "g", "removeOnComplete": true }));
        let tree = parent(&above, json!({ "jobId": "p" }), vec![branch(0), branch(1), fails, gone]);
        let added = above.add_flow(makes, &tree).await;
        let same = async |depth, max_children| {
            let [node, ours] = [
                above.get_flow(Side::Node, "p", depth, max_children).await.map(Tree::sorted),
                above.get_flow(Side::Rust, "p", depth, max_children).await.map(Tree::sorted),
            ];
            assert_eq!(ours, node, "{makes:?}: depth {depth}, {max_children} children");
            ours.unwrap()
        };
        assert_eq!(same(10, 20).await, added.clone().sorted(), "{makes:?}");
        assert_eq!(same(2, 20).await.children.len(), 4, "{makes:?}");
        assert_eq!(same(1, 20).await.children.len(), 0, "{makes:?}");
        let worker = below.work(makes, Work { concurrency: 4, ..Work::default() }).await;
        above.reaches("p", JobState::Waiting).await;
        worker.close().await;
        let done = same(10, 20).await;
        assert_eq!(done.children.len(), 3, "{makes:?}: the one that is gone is not shown");
        for side in Side::BOTH {
            let counts = json!({ "processed": 3, "unprocessed": 0, "ignored": 1, "failed": 0 });
            assert_eq!(above.child_counts(side, "p").await, counts, "{makes:?}");
            assert_eq!(above.get_flow(side, "nobody", 10, 20).await, None);
        }
    }
}

/// How a family is parted.
#[derive(Debug, Clone, Copy)]
enum Parting {
    RemoveRoot,
    RemoveBranch,
    RemovePendingOfRoot,
    RemovePendingOfBranch,
    DetachBranch,
    DetachLeaf,
    DetachDone,
}

/// What a family of three levels leaves in Redis when it is parted by one side. Of the branch `m`, one leaf is done and one has failed.
async fn parted(makes: Side, parts: Side, parting: Parting) -> Value {
    let (above, below) = (Rig::new().await, Rig::new().await);
    let kid = |name: &str, id: &str, opts: Value| {
        let mut opts = opts;
        opts["jobId"] = id.into();
        child(&below, name, json!({ "message": "no" }), opts)
    };
    let mut branch = kid("echo", "m", json!({}));
    branch["children"] = json!([
        kid("echo", "done", json!({})),
        kid("fail", "bad", json!({ "ignoreDependencyOnFailure": true })),
        kid("echo", "later", json!({ "delay": 60_000 })),
    ]);
    let late = kid("echo", "late", json!({ "delay": 60_000 }));
    above.add_flow(makes, &parent(&above, json!({ "jobId": "p" }), vec![branch, late])).await;
    let worker = below.work(Side::Node, Work { name: Some("w".into()), ..Work::default() }).await;
    until("two have ended", || async {
        let counts = below.queue.counts().await.unwrap();
        counts.completed + counts.failed == 2
    })
    .await;
    worker.close().await;
    match parting {
        Parting::RemoveRoot => assert!(above.remove(parts, "p").await),
        Parting::RemoveBranch => assert!(below.remove(parts, "m").await),
        Parting::RemovePendingOfRoot => above.remove_pending_children(parts, "p").await,
        Parting::RemovePendingOfBranch => below.remove_pending_children(parts, "m").await,
        Parting::DetachBranch => assert!(below.detach(parts, "m").await),
        Parting::DetachLeaf => assert!(below.detach(parts, "later").await),
        Parting::DetachDone => assert!(!below.detach(parts, "done").await),
    }
    keyspace::of(&[&above, &below], &[])
}

/// Node releases a parent that it removes with its last child, and then removes it; we only remove it. Siblings are removed in
/// whatever order Redis has them.
fn comparable(mut left: Value) -> Value {
    let lists = left.as_object_mut().unwrap().iter_mut().filter(|(key, _)| key.ends_with(":events"));
    for events in lists.filter_map(|(_, events)| events.as_array_mut()) {
        let event = |name: &str, id: &Value, prev: &str| json!(["event", name, "jobId", id, "prev", prev]);
        for index in (0..events.len()).rev() {
            let id = events[index][3].clone();
            let released =
                events.iter().position(|other| *other == event("waiting", &id, "waiting-children"));
            if events[index] == event("removed", &id, "wait")
                && let Some(released) = released
            {
                events[index] = event("removed", &id, "waiting-children");
                events.remove(released);
            }
        }
        events.sort_by_key(|event| (event[1] == "removed").then(|| event.to_string()));
    }
    left
}

#[tokio::test]
async fn a_family_that_is_parted_leaves_the_same_whoever_does_it() {
    for parting in [
        Parting::RemoveRoot,
        Parting::RemoveBranch,
        Parting::RemovePendingOfRoot,
        Parting::RemovePendingOfBranch,
        Parting::DetachBranch,
        Parting::DetachLeaf,
        Parting::DetachDone,
    ] {
        let node = comparable(parted(Side::Node, Side::Node, parting).await);
        for (makes, parts) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
            let ours = comparable(parted(makes, parts, parting).await);
            let keys = node.as_object().unwrap().keys().chain(ours.as_object().unwrap().keys());
            for key in keys {
                assert_eq!(
                    ours.get(key),
                    node.get(key),
                    "{parting:?}: {key}; {makes:?} makes, {parts:?} parts"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_child_without_a_say_keeps_its_parent_waiting_until_it_is_retried() {
    for way in ways() {
        let [makes, works_below, retries] = way;
        let (above, below) = (Rig::new().await, Rig::new().await);
        let stumbles = child(&below, "throws", json!({ "fails": 1 }), json!({ "jobId": "c" }));
        above.add_flow(makes, &parent(&above, json!({ "jobId": "p" }), vec![stumbles])).await;
        let worker = below.work(works_below, Work::default()).await;
        below.reaches("c", JobState::Failed).await;
        assert_eq!(above.view("p").await.unwrap().state, JobState::WaitingChildren, "{way:?}");
        below.retry(retries, "c", JobState::Failed).await;
        above.reaches("p", JobState::Waiting).await;
        assert_eq!(above.children_values(Side::Node, "p").await.len(), 1, "{way:?}");
        worker.close().await;
    }
}
