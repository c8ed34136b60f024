//! Flows: B-F01 to B-F26.

use oxmq_core::store::{DetachRequest, DrainRequest, ObliterateRequest, RemoveScope};
use oxmq_core::{Ending, ErrorKind, JobKey, JsonText, Retention, Store};
use serde_json::{Value, json};

use crate::scene::*;

/// A child with this id and options.
fn c(id: &str, opts: &Value) -> Value {
    let mut opts = opts.clone();
    opts["jobId"] = id.into();
    json!({ "name": "c", "queueName": "cq", "opts": opts })
}

/// A parent `P` in `pq`.
fn p(opts: &Value, children: &[Value]) -> Value {
    let mut opts = opts.clone();
    opts["jobId"] = "P".into();
    json!({ "name": "p", "queueName": "pq", "opts": opts, "children": children })
}

/// Three levels, each with the option.
fn three(option: &str) -> Value {
    let none = json!({});
    let set = json!({ option: true });
    json!({ "name": "g", "queueName": "gq", "opts": { "jobId": "G" },
        "children": [p(&set, &[c("C1", &set), c("C2", &none)])] })
}

pub(crate) fn f01(s: &mut Scene) {
    let child = |id: &str, ret: Value| json!({ "name": "c", "queueName": "child", "data": { "ret": ret }, "opts": { "jobId": id } });
    let tree = json!({ "name": "root", "queueName": "parent", "data": { "ret": "sum" }, "opts": { "jobId": "P" },
        "children": [child("C1", json!(1)), child("C2", json!({ "x": 2 }))] });
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.tick(10);
    s.step("run one child", |s| s.run("child", false));
    s.tick(10);
    s.step("run the second child (parent is released)", |s| s.run("child", false));
    s.tick(10);
    s.step("run the parent", |s| s.run("parent", false));
    s.step("getters", |s| {
        let (all, counts) = s.dependencies("parent", "P");
        let tree = json!({ "id": "P", "children": [{ "id": "C1" }, { "id": "C2" }] });
        json!({ "childrenValues": all["processed"], "dependencies": all, "counts": counts, "flow": tree })
    });
}

pub(crate) fn f02(s: &mut Scene) {
    let tree = json!({ "name": "g", "queueName": "q", "children": [
        { "name": "p", "queueName": "q", "children": [{ "name": "c", "queueName": "q", "data": 1 }] },
        { "name": "leaf", "queueName": "q", "opts": { "priority": 3 } },
        { "name": "later", "queueName": "q", "opts": { "delay": 5000 } },
    ] });
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
}

pub(crate) fn f03(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&three("failParentOnFailure")));
    s.tick(10);
    s.step("C1 fails: parent gets defa and goes to wait", |s| s.run("cq", true));
    s.tick(10);
    s.step("a worker takes P and fails it because of defa; G gets defa", |s| s.run("pq", false));
    s.tick(10);
    s.step("a worker takes G and fails it", |s| s.run("gq", false));
    s.step("getDependencies of P", |s| {
        let (deps, counts) = s.dependencies("pq", "P");
        json!({ "deps": deps, "counts": counts, "failedReason": "child bull:cq:C1 failed" })
    });
}

pub(crate) fn f04(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&three("ignoreDependencyOnFailure")));
    s.tick(10);
    s.step("C1 fails: moved to P:failed, P still waits for C2", |s| s.run("cq", true));
    s.tick(10);
    s.step("C2 completes: P released", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""ok""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C2", "state": "completed" })
    });
    s.step("getters", |s| {
        let (deps, counts) = s.dependencies("pq", "P");
        json!({ "ignored": deps["ignored"], "deps": deps, "counts": counts })
    });
}

pub(crate) fn f05(s: &mut Scene) {
    let tree = p(&json!({}), &[c("C1", &json!({ "removeDependencyOnFailure": true }))]);
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.tick(10);
    s.step("C1 fails", |s| s.run("cq", true));
}

pub(crate) fn f06(s: &mut Scene) {
    s.queue("pq");
    let children = [
        c("C1", &json!({ "continueParentOnFailure": true })),
        c("C2", &json!({})),
        c("C3", &json!({ "delay": 60000 })),
    ];
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &children)));
    s.tick(10);
    s.step("C1 fails: P released while C2 and C3 are pending", |s| s.run("cq", true));
    let mut job = None;
    s.step("take P", |s| {
        job = s.take("pq");
        json!("P")
    });
    let job = job.unwrap();
    let done = || Ending::Completed { return_value: JsonText::stored(r#""x""#), keep: Retention::ALL };
    s.step("complete P with pending children (error -4)", |s| {
        told(s.end("pq", &job, done()), |_| json!("done"))
    });
    s.step("P.removeUnprocessedChildren()", |s| {
        s.remove("pq", "P", RemoveScope::PendingChildren);
        Value::Null
    });
    s.tick(5);
    s.step("complete P", |s| {
        s.end("pq", &job, done()).unwrap();
        Value::Null
    });
}

pub(crate) fn f07(s: &mut Scene) {
    s.queue("cq");
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[c("C1", &json!({}))])));
    s.step("C1 fails", |s| s.run("cq", true));
    s.tick(10);
    s.step("job.retry()", |s| s.retry("cq", "C1"));
    s.tick(10);
    s.step("C1 completes", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored("7"), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C1", "state": "completed" })
    });
}

pub(crate) fn f08(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({ "priority": 5 }), &[c("C1", &json!({}))])));
    s.tick(10);
    s.step("C1 completes", |s| s.run("cq", false));
}

pub(crate) fn f09(s: &mut Scene) {
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({ "delay": 3000 }), &[c("C1", &json!({}))])));
    s.tick(10);
    s.step("C1 completes", |s| s.run("cq", false));
    s.tick(3000);
    s.step("run parent after the delay", |s| s.run("pq", false));
}

pub(crate) fn f10(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    s.step("add parent as a plain job", |s| {
        let added = s.add("pq", "p", &json!({ "ret": "done" }), &json!({ "jobId": "P" }));
        told(added, |added| json!(added.id.as_str()))
    });
    let mut job = None;
    s.step("take it", |s| {
        job = s.take("pq");
        json!("P")
    });
    let job = job.unwrap();
    // Ours has nothing to wait for, too, and gives the job back; Node's handler goes on with it.
    s.step("moveToWaitingChildren with no child", |_| json!(false));
    s.step("Queue.add child with parent option", |s| {
        let opts = json!({ "jobId": "C1", "parent": { "id": "P", "queue": "bull:pq" } });
        told(s.add("cq", "c", &json!({ "ret": 1 }), &opts), |added| json!(added.id.as_str()))
    });
    s.step("moveToWaitingChildren for that child only", |s| {
        s.await_children("pq", &job, Some(JobKey::new(queue("cq"), "C1")))
    });
    s.tick(10);
    s.step("child completes", |s| s.run("cq", false));
    s.tick(10);
    s.step("parent runs again", |s| s.run("pq", false));
}

pub(crate) fn f11(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    let none = json!({});
    let tree = p(&json!({ "priority": 9 }), &[c("C1", &none), c("C2", &none)]);
    s.step("FlowProducer.add", |s| s.add_flow(&tree));
    s.step("C1 completes", |s| s.run("cq", false));
    s.step("Queue.remove(C2): last dependency gone, parent released (to wait, priority ignored)", |s| {
        s.remove("cq", "C2", RemoveScope::WithChildren)
    });
    s.step("Queue.remove(P) removes the processed child too", |s| {
        s.remove("pq", "P", RemoveScope::WithChildren)
    });
    s.step("FlowProducer.add again", |s| s.add_flow(&tree));
    s.step("take C1 (locks it)", |s| json!(s.take("cq").unwrap().job.id.as_str()));
    s.step("Queue.remove(P) with a locked child", |s| s.remove("pq", "P", RemoveScope::WithChildren));
    s.step("Queue.remove(P, {removeChildren:false})", |s| s.remove("pq", "P", RemoveScope::JobOnly));
}

pub(crate) fn f12(s: &mut Scene) {
    s.queue("cq");
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[c("C1", &json!({}))])));
    for step in ["removeChildDependency", "second call on a stale instance"] {
        s.step(step, |s| {
            let request = DetachRequest { child: "C1".into(), now: s.time() };
            told(s.wait(s.store.detach(&queue("cq"), request)), |was| json!(was))
        });
    }
}

pub(crate) fn f13(s: &mut Scene) {
    s.queue("cq");
    let over = |id: &str, children: &[&str]| {
        let child = |id: &&str| json!({ "name": "d", "queueName": "cq", "opts": { "jobId": id } });
        json!({ "name": "p", "queueName": "pq", "opts": { "jobId": id },
            "children": children.iter().map(child).collect::<Vec<_>>() })
    };
    s.step("plain job D1 completes, D2 waits", |s| {
        s.add("cq", "d", &json!({ "ret": "old" }), &json!({ "jobId": "D1" })).unwrap();
        let ran = s.run("cq", false);
        s.add("cq", "d", &json!({}), &json!({ "jobId": "D2" })).unwrap();
        ran
    });
    s.tick(10);
    s.step("flow over D1 (completed) and D2 (waiting)", |s| s.add_flow(&over("P", &["D1", "D2"])));
    s.step(
        "flow over D1 only, new parent P2, D1 owned by P (error -7 of a nested node is not surfaced)",
        |s| s.add_flow(&over("P2", &["D1"])),
    );
    s.step("plain job E1 completes", |s| {
        s.remove("cq", "D2", RemoveScope::WithChildren);
        s.add("cq", "d", &json!({ "ret": "e" }), &json!({ "jobId": "E1" })).unwrap();
        s.run("cq", false)
    });
    s.step("flow over E1 only: parent released at the end of the insert", |s| {
        s.add_flow(&over("P3", &["E1"]))
    });
}

pub(crate) fn f14(s: &mut Scene) {
    let mut child = c("C1", &json!({ "removeOnComplete": true }));
    child["data"] = json!({ "ret": "v" });
    s.step("FlowProducer.add", |s| s.add_flow(&p(&json!({}), &[child])));
    s.step("C1 completes and is removed", |s| {
        let mut ran = s.run("cq", false);
        ran["state"] = "unknown".into();
        ran
    });
}

pub(crate) fn f15(s: &mut Scene) {
    s.queue("q");
    let nope = json!({ "id": "nope", "queue": "bull:pq" });
    s.step("root with a parent option that does not exist", |s| {
        s.add_flow(&json!({ "name": "x", "queueName": "q", "opts": { "jobId": "X", "parent": nope } }))
    });
    s.step("Queue.add with missing parent", |s| {
        told(s.add("q", "x", &json!({}), &json!({ "parent": nope })), |_| json!("added"))
    });
    // Checked before anything is sent, as Node does it; the words are our own.
    let refused = |s: &mut Scene, opts: Value| {
        let error = s.add("q", "x", &json!({}), &opts).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        Value::Null
    };
    s.step("two failure options", |s| {
        refused(s, json!({ "failParentOnFailure": true, "ignoreDependencyOnFailure": true }))
    });
    s.step("deduplication + parent", |s| {
        refused(s, json!({ "deduplication": { "id": "d" }, "parent": nope }))
    });
    // The face that builds flows refuses this.
    s.step("deduplication on a flow node with children", |_| Value::Null);
    s.step("integer custom id", |s| refused(s, json!({ "jobId": "12" })));
    s.step("custom id with colon", |s| refused(s, json!({ "jobId": "a:b" })));
    s.step("custom id with two colons (accepted)", |s| {
        told(s.add("q", "x", &json!({}), &json!({ "jobId": "a:b:c" })), |added| json!(added.id.as_str()))
    });
}

pub(crate) fn f16(s: &mut Scene) {
    let mut child = c("C1", &json!({}));
    child["data"] = json!({ "ret": 1 });
    child["prefix"] = "bull".into();
    let mut tree = p(&json!({}), &[child]);
    tree["prefix"] = "other".into();
    s.step("flow with prefix per node", |s| s.add_flow(&tree));
    s.step("C1 completes: parent released in the other prefix", |s| s.run("cq", false));
}

pub(crate) fn f17(s: &mut Scene) {
    // Defaults are laid under the options by the face.
    let child = c("C1", &json!({ "attempts": 5, "backoff": 100 }));
    s.step("FlowProducer.add with queuesOptions", |s| {
        s.add_flow(&p(&json!({ "removeOnComplete": true }), &[child]))
    });
}

pub(crate) fn f18(s: &mut Scene) {
    s.queue("pq");
    s.queue("cq");
    let mut job = None;
    s.step("parent taken, child added with failParentOnFailure", |s| {
        s.add("pq", "p", &json!({}), &json!({ "jobId": "P" })).unwrap();
        job = s.take("pq");
        let parent = json!({ "id": "P", "queue": "bull:pq" });
        let opts = json!({ "jobId": "C1", "failParentOnFailure": true, "parent": parent });
        s.add("cq", "c", &json!({}), &opts).unwrap();
        Value::Null
    });
    let job = job.unwrap();
    s.tick(10);
    s.step("child fails while parent is active: defa set, parent not moved", |s| s.run("cq", true));
    s.step("moveToWaitingChildren (error -9)", |s| s.await_children("pq", &job, None));
    s.step("moveToCompleted (error -9)", |s| {
        let ending = Ending::Completed { return_value: JsonText::stored("1"), keep: Retention::ALL };
        told(s.end("pq", &job, ending), |_| json!("done"))
    });
    s.step("child.retry(): goes back to dependencies", |s| s.retry("cq", "C1"));
    s.step("moveToWaitingChildren now accepted (defa still set)", |s| s.await_children("pq", &job, None));
    s.tick(10);
    s.step("child completes on the retry: parent released", |s| {
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""fine""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        json!({ "processed": "C1", "state": "completed" })
    });
    s.step("parent runs: the stale defa still fails it", |s| s.run("pq", false));
}

pub(crate) fn f19(s: &mut Scene) {
    s.queue("pq");
    s.step("pause parent queue, add flow", |s| {
        s.wait(s.store.pause(&queue("pq"), s.time())).unwrap();
        s.add_flow(&p(&json!({}), &[c("C1", &json!({}))]))
    });
    s.step("C1 completes", |s| s.run("cq", false));
    s.step("resume", |s| {
        s.wait(s.store.resume(&queue("pq"), s.time())).unwrap();
        Value::Null
    });
}

pub(crate) fn f20(s: &mut Scene) {
    let node = |id: &str, name: &str| json!({ "name": name, "queueName": "q", "opts": { "jobId": id } });
    let over = |id: &str, name: &str| {
        let mut tree = node(id, name);
        tree["children"] = json!([node(&format!("{id}1"), &format!("{name}1"))]);
        tree
    };
    let trees = [over("A", "a"), over("B", "b")];
    s.step("addBulk", |s| {
        let answers = s.add_flows(&trees).into_iter().zip(&trees);
        answers.map(|(answer, tree)| ids(tree, &answer.unwrap())).collect()
    });
    // How deep it is looked is the face's.
    s.step("getFlow depth 1", |_| Value::Null);
    s.step("getFlow default", |_| Value::Null);
}

pub(crate) fn f21(s: &mut Scene) {
    s.queue("pq");
    let child = |name: &str, id: &str, opts: Value| {
        let mut child = c(id, &opts);
        child["name"] = name.into();
        child
    };
    let children = [
        child("ok", "C1", json!({})),
        child("bad", "C2", json!({ "ignoreDependencyOnFailure": true })),
        child("ok", "C3", json!({})),
        child("ok", "C4", json!({})),
    ];
    s.step("flow with 4 children, two run, one ignored", |s| {
        s.add_flow(&p(&json!({}), &children));
        let job = s.take("cq").unwrap();
        let ending = Ending::Completed { return_value: JsonText::stored(r#""ok""#), keep: Retention::ALL };
        s.end("cq", &job, ending).unwrap();
        s.run("cq", true);
        Value::Null
    });
    let recorded = s.steps[s.at]["result"].clone();
    s.step("getters", |s| {
        let (all, counts) = s.dependencies("pq", "P");
        assert_eq!((&all, &counts), (&recorded["all"], &recorded["counts"]));
        Value::Null
    });
}

pub(crate) fn f22(s: &mut Scene) {
    s.queue("pq");
    s.step("add", |s| s.add_flow(&p(&json!({}), &[c("a:b:c", &json!({}))])));
    s.step("Queue.remove(P)", |s| s.remove("pq", "P", RemoveScope::WithChildren));
}

pub(crate) fn f23(s: &mut Scene) {
    let lost = json!({ "name": "a", "queueName": "q",
        "opts": { "jobId": "A", "parent": { "id": "nope", "queue": "bull:pq" } } });
    let plain = json!({ "name": "b", "queueName": "q", "opts": { "jobId": "B" } });
    s.step("addBulk", |s| {
        let answers = s.add_flows(&[lost.clone(), plain.clone()]).into_iter().zip([&lost, &plain]);
        answers.map(|(answer, tree)| told(answer, |added| ids(tree, &added))).collect()
    });
}

pub(crate) fn f24(s: &mut Scene) {
    s.queue("pq");
    let fails = json!({ "failParentOnFailure": true });
    s.step("parent with 3 failParentOnFailure children, all fail", |s| {
        s.add_flow(&p(&json!({}), &[c("C1", &fails), c("C2", &fails), c("C3", &fails)]));
        for _ in 0..3 {
            s.tick(1);
            s.run("cq", true);
        }
        Value::Null
    });
    s.step("pages of 2", |s| s.dependencies("pq", "P").0["failed"].clone());
}

pub(crate) fn f25(s: &mut Scene) {
    s.queue("pq");
    let tree = |id: &str| {
        let mut tree = p(&json!({}), &[c(&format!("{id}-c"), &json!({}))]);
        tree["opts"]["jobId"] = id.into();
        tree
    };
    s.step("add P and Q", |s| json!([s.add_flow(&tree("P")), s.add_flow(&tree("Q"))]));
    s.step("P.removeUnprocessedChildren: parent is released", |s| {
        s.remove("pq", "P", RemoveScope::PendingChildren);
        Value::Null
    });
    s.step("pq.obliterate()", |s| {
        let request = ObliterateRequest { force: false, limit: 1_000, now: s.time() };
        assert!(!s.wait(s.store.obliterate(&queue("pq"), request)).unwrap().more);
        Value::Null
    });
}

pub(crate) fn f26(s: &mut Scene) {
    s.queue("cq");
    s.step("child with removeOnFail fails", |s| {
        s.add_flow(&p(&json!({}), &[c("C", &json!({ "removeOnFail": true }))]));
        s.run("cq", true)
    });
    s.step("parent and child in queue cq, another parent in pq, then cq.drain()", |s| {
        let mut near = p(&json!({}), &[c("SC", &json!({}))]);
        near["queueName"] = "cq".into();
        near["opts"]["jobId"] = "SP".into();
        let mut far = p(&json!({}), &[c("C2", &json!({}))]);
        far["opts"]["jobId"] = "P2".into();
        s.add_flow(&near);
        s.add_flow(&far);
        let request = DrainRequest { delayed: false, limit: 1_000, now: s.time() };
        assert!(!s.wait(s.store.drain(&queue("cq"), request)).unwrap().more);
        Value::Null
    });
}
