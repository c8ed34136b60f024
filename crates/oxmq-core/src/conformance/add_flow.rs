//! Cases of `Store::add_flow`, and of adds with a parent.

use super::harness::{Harness, completed, completed_keeping, draft, failed, ms, refused, tree};
use crate::address::JobId;
use crate::deduplication::Deduplication;
use crate::error::ErrorKind;
use crate::events::EventCursor;
use crate::family::{ChildFailure, Parent};
use crate::json::JsonText;
use crate::options::{JobOptions, Retention};
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{
    AddFlowRequest, Added, FLOW_BYTES_MAX, FLOW_NODES_MAX, Fate, Flow, OnRefusal, OwnerRequest, RemoveScope,
};

fn returns(json: &str) -> Ending {
    Ending::Completed { return_value: JsonText::parse(json).unwrap(), keep: Retention::ALL }
}

pub async fn a_parent_waits_for_its_children(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let flow = tree(&above, "p").over([tree(&below, "a"), tree(&below, "b")]);
    let added = bench.add_flow(flow).await;
    let expected = [
        Added::created("p".into(), JobState::WaitingChildren),
        Added::created("a".into(), JobState::Waiting),
        Added::created("b".into(), JobState::Waiting),
    ];
    assert_eq!(added, expected);
    assert_eq!(above.children("p").await, "unprocessed below:a below:b");
    let events = above.events_since(&EventCursor::Oldest).await;
    assert_eq!(events, ["added p name=work", "waiting-children p"]);
    let events = below.events_since(&EventCursor::Oldest).await;
    assert_eq!(events, ["added a name=work", "waiting a", "added b name=work", "waiting b"]);
    assert!(above.take(1).await.jobs.is_empty());

    below.end("a", returns("[1]")).await;
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
    let here = above.here().await;
    below.end("b", returns("2")).await;
    assert_eq!(above.children("p").await, "processed below:a=[1] below:b=2");
    above.expect_events(&here, &["waiting p prev=waiting-children"]).await;
    above.end("p", completed()).await;
}

pub async fn a_child_knows_its_parent(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let flow = tree(&above, "p").over([
        tree(&below, "a"),
        tree(&below, "b")
            .on_failure(ChildFailure::Ignore)
            .over([tree(&above, "c").on_failure(ChildFailure::FailParent)]),
    ]);
    bench.add_flow(flow).await;
    let parent = |key, on_failure| Some(Parent { key, on_failure });
    assert_eq!(above.job("p").await.job.parent, None);
    let a = below.job("a").await.job;
    assert_eq!(a.parent, parent(above.key("p"), None));
    assert_eq!(a.options().parent, Some(above.key("p")));
    assert_eq!(below.job("b").await.job.parent, parent(above.key("p"), Some(ChildFailure::Ignore)));
    let c = above.job("c").await.job;
    assert_eq!(c.parent, parent(below.key("b"), Some(ChildFailure::FailParent)));
    assert_eq!(c.options().on_failure, Some(ChildFailure::FailParent));
    let taken = above.take_one().await.job;
    assert_eq!(taken.parent, c.parent);
}

pub async fn a_tree_ends_from_its_leaves_to_its_root(bench: &Harness) {
    let q = bench.queue();
    let flow = tree(&q, "root").over([tree(&q, "left").over([tree(&q, "leaf")]), tree(&q, "right")]);
    bench.add_flow(flow).await;
    assert_eq!(q.tally().await, "waiting=2 waiting-children=2");
    for id in ["right", "leaf", "left", "root"] {
        q.end(id, returns(&format!("{id:?}"))).await;
    }
    assert_eq!(q.children("root").await, "processed tasks:left=\"left\" tasks:right=\"right\"");
    assert_eq!(q.tally().await, "completed=4");
}

pub async fn nodes_take_effect_level_by_level(bench: &Harness) {
    let q = bench.queue();
    let one = tree(&q, "a").over([tree(&q, "a1").over([tree(&q, "a2")])]);
    let two = tree(&q, "b").over([tree(&q, "b1")]);
    let answers = bench.add_flows([one, two]).await;
    assert!(answers.iter().all(Result::is_ok));
    let events = q.events_since(&EventCursor::Oldest).await;
    let added: Vec<&str> =
        events.iter().filter_map(|event| event.strip_prefix("added ")?.split(' ').next()).collect();
    assert_eq!(added, ["a", "b", "a1", "b1", "a2"]);
    assert_eq!(q.list(JobState::Waiting).await, "b1 a2");
}

pub async fn each_node_spends_a_number(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "a").over([tree(&q, "b"), tree(&q, "c")])).await;
    assert_eq!(q.add(draft()).await.as_str(), "4");
}

pub async fn leaves_go_where_their_options_say(bench: &Harness) {
    let q = bench.queue();
    let flow = tree(&q, "p").over([
        tree(&q, "a"),
        tree(&q, "b").with(|draft| draft.priority(3)),
        tree(&q, "c").with(|draft| draft.delay(ms(500))),
        tree(&q, "d").with(super::harness::Draft::lifo),
    ]);
    bench.add_flow(flow).await;
    assert_eq!(q.list(JobState::Waiting).await, "d a");
    assert_eq!(q.list(JobState::Prioritized).await, "b");
    assert_eq!(q.list(JobState::Delayed).await, "c");
}

pub async fn a_parents_delay_and_priority_count_when_it_is_released(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    for (id, set) in [("late", 500), ("last", 0)] {
        let parent = tree(&above, id).with(|draft| {
            let draft = draft.priority(7);
            if set > 0 { draft.delay(ms(set)) } else { draft }
        });
        bench.add_flow(parent.over([tree(&below, id)])).await;
    }
    above.add(draft().id("other").priority(7)).await;
    assert_eq!(above.tally().await, "prioritized=1 waiting-children=2");
    bench.advance(ms(1_000)).await;
    let here = above.here().await;
    below.run_one(completed()).await;
    below.run_one(completed()).await;
    assert_eq!(above.list(JobState::Prioritized).await, "other last");
    let view = above.job("late").await;
    assert_eq!((view.state, view.due), (JobState::Delayed, Some(above.now() + ms(500))));
    let due = format!("delayed late delay={}", (above.now() + ms(500)).as_millis());
    above.expect_events(&here, &[&due, "waiting last prev=waiting-children"]).await;
}

pub async fn a_released_parent_is_next(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    q.add(draft().id("other")).await;
    q.end("c", completed()).await;
    assert_eq!(q.list(JobState::Waiting).await, "p other");
}

pub async fn parents_are_listed_by_when_they_began_to_wait(bench: &Harness) {
    let q = bench.queue();
    let early = q.now().minus(ms(1_000));
    bench.add_flow(tree(&q, "x").over([tree(&q, "x1")])).await;
    bench.advance(ms(1)).await;
    bench.add_flow(tree(&q, "a").with(|draft| draft.timestamp(early)).over([tree(&q, "a1")])).await;
    bench.advance(ms(1)).await;
    bench.add_flow(tree(&q, "m").over([tree(&q, "m1")])).await;
    assert_eq!(q.list(JobState::WaitingChildren).await, "a x m");
}

pub async fn whoever_waits_is_woken_for_a_leaf_and_for_a_released_parent(bench: &Harness) {
    use crate::store::{WaitRequest, Woken};
    let (above, below) = (bench.on("above"), bench.on("below"));
    let request = || WaitRequest { worker: None, timeout: super::harness::PATIENCE };
    assert!(below.take(1).await.jobs.is_empty());
    let leaf = async { below.store().wait(&below.address, request()).await.unwrap() };
    let (woken, _) = tokio::join!(leaf, bench.add_flow(tree(&above, "p").over([tree(&below, "c")])));
    assert_eq!(woken, Woken::Look);
    assert!(above.take(1).await.jobs.is_empty());
    let parent = async { above.store().wait(&above.address, request()).await.unwrap() };
    let (woken, ()) = tokio::join!(parent, below.end("c", completed()));
    assert_eq!(woken, Woken::Look);
}

pub async fn a_flow_may_hang_from_a_job_that_is_there(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    above.add(draft().id("top")).await;
    let flow = tree(&below, "p").with(|draft| draft.parent(&above, "top")).over([tree(&below, "c")]);
    bench.add_flow(flow).await;
    assert_eq!(above.children("top").await, "unprocessed below:p");
}

pub async fn a_flow_whose_roots_parent_is_missing_is_not_added(bench: &Harness) {
    let q = bench.queue();
    let bad = tree(&q, "a").with(|draft| draft.parent(&q, "nobody")).over([tree(&q, "a1")]);
    let mut answers = bench.add_flows([bad, tree(&q, "b").over([tree(&q, "b1")])]).await;
    answers.remove(1).unwrap();
    let error = answers.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("bull:tasks:nobody"), "{error}");
    assert_eq!(q.tally().await, "waiting=1 waiting-children=1", "only the other one");
    assert!(q.find(&"a1".into()).await.is_none());
    assert_eq!(q.add(draft()).await.as_str(), "3", "what is refused spends no number");
}

pub async fn a_flow_with_somebody_elses_child_is_not_added(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    let here = q.here().await;
    let answer = bench.add_flows([tree(&q, "p2").over([tree(&q, "x"), tree(&q, "c")])]).await.remove(0);
    refused(answer, ErrorKind::Refused);
    assert_eq!(q.tally().await, "waiting=1 waiting-children=1");
    q.expect_events(&here, &[]).await;
    // Once its parent is gone it may have another.
    q.remove(&"p".into()).await;
    let added = bench.add_flow(tree(&q, "p2").over([tree(&q, "c")])).await;
    assert_eq!(added[1], Added::existing("c".into(), JobState::Waiting));
    assert_eq!(q.job("c").await.job.parent.unwrap().key, q.key("p2"));
    q.end("c", completed()).await;
    assert_eq!(q.children("p2").await, "processed tasks:c=null");
}

pub async fn a_flow_with_a_child_that_has_failed_is_not_added(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("c")).await;
    q.end("c", failed("x")).await;
    refused(bench.add_flows([tree(&q, "p").over([tree(&q, "c")])]).await.remove(0), ErrorKind::Refused);
    assert_eq!(q.tally().await, "failed=1");
    q.retry(&"c".into(), JobState::Failed).await.unwrap();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    assert_eq!(q.children("p").await, "unprocessed tasks:c");
}

pub async fn a_job_that_is_there_becomes_a_child(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    below.add(draft().id("done")).await;
    below.end("done", returns("\"old\"")).await;
    below.add(draft().id("waits").data("1")).await;
    let (here, there) = (above.here().await, below.here().await);
    let mut flow = tree(&above, "p")
        .over([tree(&below, "done"), tree(&below, "waits").on_failure(ChildFailure::Ignore)]);
    flow = flow.with(|draft| draft.name("root"));
    let added = bench.add_flow(flow).await;
    assert_eq!(added[1], Added::existing("done".into(), JobState::Completed));
    assert_eq!(added[2], Added::existing("waits".into(), JobState::Waiting));
    above.expect_events(&here, &["added p name=root", "waiting-children p"]).await;
    below.expect_events(&there, &["duplicated done", "duplicated waits"]).await;
    assert_eq!(above.children("p").await, "processed below:done=\"old\" | unprocessed below:waits");
    let job = below.job("waits").await.job;
    assert_eq!(job.data.as_str(), "1");
    assert_eq!(job.parent, Some(Parent { key: above.key("p"), on_failure: Some(ChildFailure::Ignore) }));
    below.end("waits", completed()).await;
    assert_eq!(above.state("p").await, JobState::Waiting);
}

pub async fn a_parent_whose_children_have_all_completed_runs_at_once(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("c")).await;
    q.end("c", returns("7")).await;
    let here = q.here().await;
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    let expected =
        ["added p name=work", "waiting-children p", "duplicated c", "waiting p prev=waiting-children"];
    q.expect_events(&here, &expected).await;
    assert_eq!(q.children("p").await, "processed tasks:c=7");
    q.end("p", completed()).await;
}

pub async fn a_flow_that_is_added_again_stays_as_it_is(bench: &Harness) {
    let q = bench.queue();
    let flow = || {
        tree(&q, "p").over([
            tree(&q, "a"),
            tree(&q, "b"),
            tree(&q, "c").on_failure(ChildFailure::Ignore),
            tree(&q, "d").on_failure(ChildFailure::FailParent),
        ])
    };
    bench.add_flow(flow()).await;
    q.end("a", completed()).await;
    q.end("b", failed("x")).await;
    q.end("c", failed("x")).await;
    let known = q.children("p").await;
    let added = bench.add_flow(flow()).await;
    assert!(added.iter().all(|added| added.fate == Fate::Existing), "{added:?}");
    assert_eq!(q.children("p").await, known);
    assert_eq!(q.state("p").await, JobState::WaitingChildren);
    q.end("d", failed("x")).await;
    let known = q.children("p").await;
    bench.add_flow(flow()).await;
    assert_eq!(q.children("p").await, known);
}

pub async fn the_same_job_twice_in_a_flow_is_one(bench: &Harness) {
    let q = bench.queue();
    let added = bench.add_flow(tree(&q, "p").over([tree(&q, "c"), tree(&q, "c")])).await;
    assert_eq!(added[2], Added::existing("c".into(), JobState::Waiting));
    assert_eq!(q.children("p").await, "unprocessed tasks:c");
    let twice = tree(&q, "p2").over([tree(&q, "x").over([tree(&q, "y")]), tree(&q, "y")]);
    refused(bench.add_flows([twice]).await.remove(0), ErrorKind::Refused);
    assert!(q.find(&"p2".into()).await.is_none());
}

pub async fn a_later_flow_of_a_call_knows_the_earlier_ones(bench: &Harness) {
    let q = bench.queue();
    let one = tree(&q, "p").over([tree(&q, "c")]);
    let two = tree(&q, "p2").over([tree(&q, "c")]);
    let three = tree(&q, "leaf").with(|draft| draft.parent(&q, "p"));
    let four = tree(&q, "x").with(|draft| draft.parent(&q, "p2"));
    let answers = bench.add_flows([one, two, three, four]).await;
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Refused), None, Some(ErrorKind::NotFound)]);
    assert_eq!(q.children("p").await, "unprocessed tasks:c tasks:leaf");
}

pub async fn no_job_waits_for_itself(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "a").over([tree(&q, "b").over([tree(&q, "c")])])).await;
    let answers = bench
        .add_flows([
            tree(&q, "c").over([tree(&q, "a")]),
            tree(&q, "a").with(|draft| draft.parent(&q, "a")),
            tree(&q, "a").with(|draft| draft.parent(&q, "c")),
        ])
        .await;
    for answer in answers {
        refused(answer, ErrorKind::Refused);
    }
    assert_eq!(q.job("a").await.job.parent, None);
    let own = tree(&q, "x").over([tree(&q, "x")]);
    refused(bench.add_flows([own]).await.remove(0), ErrorKind::Refused);
    assert!(q.find(&"x".into()).await.is_none());
}

async fn keep_rest(bench: &Harness, trees: Vec<super::harness::Tree>) -> Vec<crate::Result<Vec<Added>>> {
    let flows = trees.into_iter().map(super::harness::Tree::flow).collect();
    let request = AddFlowRequest { flows, on_refusal: OnRefusal::KeepRest, now: bench.now() };
    bench.store().add_flow(request).await.unwrap()
}

pub async fn the_rest_of_a_refused_flow_is_kept_if_asked(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    let mut answers = keep_rest(
        bench,
        vec![
            tree(&q, "p2").over([tree(&q, "x"), tree(&q, "c")]),
            tree(&q, "a").with(|draft| draft.parent(&q, "nobody")).over([tree(&q, "a1")]),
        ],
    )
    .await;
    refused(answers.remove(1), ErrorKind::NotFound);
    let added = answers.remove(0).unwrap();
    let fates: Vec<_> = added.into_iter().map(|added| added.fate).collect();
    assert_eq!(fates, [Fate::Created, Fate::Created, Fate::Refused(ErrorKind::Refused)]);
    assert_eq!(q.children("p2").await, "unprocessed tasks:x");
    assert!(q.find(&"a1".into()).await.is_none(), "its parent is missing, too");
    // BullMQ's way, asked for: a parent that lacks a child waits until somebody removes it.
    let lacks = keep_rest(bench, vec![tree(&q, "p3").over([tree(&q, "c")])]).await.remove(0).unwrap();
    assert_eq!(lacks[1].fate, Fate::Refused(ErrorKind::Refused));
    assert_eq!(q.state("p3").await, JobState::WaitingChildren);
    assert_eq!(q.children("p3").await, "");
    q.remove_as("p3", RemoveScope::PendingChildren).await;
    assert_eq!(q.state("p3").await, JobState::Waiting, "or asks for it to be let go");
}

pub async fn a_tree_that_is_none_is_invalid(bench: &Harness) {
    let q = bench.queue();
    let request = |flows| AddFlowRequest { flows, on_refusal: OnRefusal::UndoFlow, now: bench.now() };
    let mut own_parent = tree(&q, "a").over([tree(&q, "b")]).flow();
    own_parent.nodes[1].parent = Some(1);
    let mut two_roots = tree(&q, "a").over([tree(&q, "b")]).flow();
    two_roots.nodes[1].parent = None;
    let many = tree(&q, "a").over((0..FLOW_NODES_MAX).map(|n| tree(&q, &format!("n{n}")))).flow();
    let text = JsonText::stored(format!("\"{}\"", "x".repeat(FLOW_BYTES_MAX / 2)));
    let mut large = tree(&q, "a").over([tree(&q, "b")]).flow();
    large.nodes.iter_mut().for_each(|node| node.job.data = text.clone());
    for flow in [Flow::default(), own_parent, two_roots, many, large] {
        refused(bench.store().add_flow(request(vec![flow])).await, ErrorKind::Invalid);
    }
    assert_eq!(q.tally().await, "");
}

pub async fn a_flow_of_a_thousand_jobs_is_added_and_ends(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let children = (0..999).map(|n| tree(&below, &format!("c{n}")));
    assert_eq!(bench.add_flow(tree(&above, "p").over(children)).await.len(), 1_000);
    let taken = below.take(999).await.jobs;
    let finished = taken.iter().map(|job| super::harness::finish(job, completed_keeping(Retention::NONE)));
    let finished = below.finish_by(finished.collect(), None).await;
    assert!(finished.answers.iter().all(Result::is_ok));
    assert_eq!(above.state("p").await, JobState::Waiting);
    let request = crate::store::ChildrenRequest { job: "p".into(), kinds: vec![], cursor: None, limit: 0 };
    let counts = above.store().children(&above.address, request).await.unwrap().counts;
    assert_eq!((counts.processed, counts.pending, counts.total()), (999, 0, 999));
}

// ---------------------------------------------------------------- adds with a parent

pub async fn a_child_is_added_to_a_parent_that_runs(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    above.add(draft().id("p")).await;
    above.take_one().await;
    let child = draft().parent(&above, "p").on_failure(ChildFailure::Remove);
    let id = below.add(child).await;
    assert_eq!(id.as_str(), "1");
    assert_eq!(above.children("p").await, "unprocessed below:1");
    let parent = Parent { key: above.key("p"), on_failure: Some(ChildFailure::Remove) };
    assert_eq!(below.job(id).await.job.parent, Some(parent));
    let events = below.events_since(&EventCursor::Oldest).await;
    assert_eq!(events, ["added 1 name=work", "waiting 1"]);
}

pub async fn a_group_whose_parent_is_missing_is_not_added(bench: &Harness) {
    let q = bench.queue();
    let groups = [vec![draft()], vec![draft(), draft().parent(&q, "nobody")], vec![draft()]];
    let mut answers = q.add_groups(groups).await;
    assert_eq!(answers.remove(2).unwrap()[0].id.as_str(), "2");
    let error = answers.remove(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("bull:tasks:nobody"), "{error}");
    assert_eq!(q.list(JobState::Waiting).await, "1 2");
}

pub async fn a_group_may_bring_the_parent_itself(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().id("p"), draft().id("c").parent(&q, "p")]).await;
    assert_eq!(q.children("p").await, "unprocessed tasks:c");
}

pub async fn a_child_that_has_completed_counts_at_once(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("c")).await;
    q.end("c", returns("[5]")).await;
    bench.add_flow(tree(&q, "p").over([tree(&q, "x")])).await;
    let added = q.add_all([draft().id("c").parent(&q, "p")]).await;
    assert_eq!(added, [Added::existing("c".into(), JobState::Completed)]);
    assert_eq!(q.children("p").await, "processed tasks:c=[5] | unprocessed tasks:x");
    assert_eq!(q.state("p").await, JobState::WaitingChildren);
}

pub async fn a_child_of_somebody_else_is_refused(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    q.add(draft().id("other")).await;
    let here = q.here().await;
    refused(q.add_groups([vec![draft().id("c").parent(&q, "other")]]).await.remove(0), ErrorKind::Refused);
    q.expect_events(&here, &[]).await;
    assert_eq!(q.children("other").await, "");
    let again = q.add_all([draft().id("c").parent(&q, "p")]).await;
    assert_eq!(again[0].fate, Fate::Existing);
    let plain = q.add_all([draft().id("c")]).await;
    assert_eq!(plain[0].fate, Fate::Existing);
    assert_eq!(q.job("c").await.job.parent.unwrap().key, q.key("p"), "it keeps its parent");
}

pub async fn ids_with_colons_are_found_again(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    bench.add_flow(tree(&above, "p:q:r").over([tree(&below, "a:b:c"), tree(&below, "d")])).await;
    assert_eq!(above.children("p:q:r").await, "unprocessed below:a:b:c below:d");
    assert_eq!(below.job("a:b:c").await.job.parent.unwrap().key, above.key("p:q:r"));
    below.end("a:b:c", completed()).await;
    below.end("d", completed()).await;
    assert_eq!(above.state(JobId::from("p:q:r")).await, JobState::Waiting);
    assert_eq!(above.children("p:q:r").await, "processed below:a:b:c=null below:d=null");
}

pub async fn a_job_that_stands_alone_can_be_deduplicated(bench: &Harness) {
    let q = bench.queue();
    let once = |key: &'static str| {
        move |options: &mut JobOptions| options.deduplication = Some(Deduplication::by(key))
    };
    let alone = |id: &str| tree(&q, id).with(|draft| draft.with(once("x"))).flow();
    let add = async |flows: Vec<Flow>| {
        let request = AddFlowRequest { flows, on_refusal: OnRefusal::UndoFlow, now: q.now() };
        let answers = q.store().add_flow(request).await?;
        Ok::<_, crate::Error>(answers.into_iter().map(|flow| flow.unwrap().remove(0)).collect::<Vec<_>>())
    };
    let added = add(vec![alone("a"), alone("b")]).await.unwrap();
    let waits = Some(JobState::Waiting);
    assert_eq!(
        added,
        [Added::created("a".into(), JobState::Waiting), Added::deduplicated("a".into(), waits)]
    );
    let owner = OwnerRequest { id: "x".into(), now: q.now() };
    assert_eq!(q.store().deduplication_owner(&q.address, owner).await.unwrap(), Some("a".into()));
    assert_eq!(q.counts().await.total(), 1);
    q.end("a", completed()).await;
    assert_eq!(add(vec![alone("c")]).await.unwrap()[0].fate, Fate::Created, "the owner has finished");

    let family = tree(&q, "p").with(|draft| draft.with(once("y"))).over([tree(&q, "k")]);
    assert_eq!(add(vec![family.flow()]).await.unwrap_err().kind(), ErrorKind::Invalid);
}
