//! Cases of `Store::remove`.

use super::harness::{Harness, On, completed, draft, failed, ms, refused, tree};
use crate::address::Token;
use crate::error::ErrorKind;
use crate::state::JobState;
use crate::store::{LogsPage, LogsRequest, Order, RemoveAnswer, RemoveScope, TakeRequest};

async fn removed(q: &On<'_>, id: &str, prev: &str) {
    let here = q.here().await;
    assert_eq!(q.remove(&id.into()).await, RemoveAnswer::Removed);
    q.expect_events(&here, &[&format!("removed {id} prev={prev}")]).await;
    assert!(q.find(&id.into()).await.is_none());
}

pub async fn a_job_is_removed_from_any_state(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    q.add_all([draft(), draft().priority(1), draft().delay(ms(10))]).await;
    let states = [("1", "completed"), ("2", "failed"), ("3", "wait"), ("4", "prioritized"), ("5", "delayed")];
    for (id, prev) in states {
        removed(&q, id, prev).await;
    }
    assert_eq!(q.tally().await, "");
    q.advance(ms(10)).await;
    assert!(q.take(9).await.jobs.is_empty());
}

pub async fn a_job_under_a_lease_stays(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let (here, before) = (q.here().await, q.job("1").await);
    assert_eq!(q.remove(&"1".into()).await, RemoveAnswer::Locked);
    assert_eq!(q.job("1").await, before);
    q.expect_events(&here, &[]).await;
    q.finish(&job, completed()).await.unwrap();
}

pub async fn a_running_job_without_a_lease_is_removed(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await.jobs.remove(0);
    removed(&q, "1", "active").await;
    refused(q.finish(&job, completed()).await, ErrorKind::NotFound);
}

pub async fn a_job_that_is_not_there_is_not_found(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    assert_eq!(q.remove(&"nobody".into()).await, RemoveAnswer::NotFound);
    q.expect_events(&here, &[]).await;
    q.add(draft()).await;
    q.remove(&"1".into()).await;
    assert_eq!(q.remove(&"1".into()).await, RemoveAnswer::NotFound);
}

pub async fn the_log_goes_too(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    q.log(&id, "a", None).await;
    q.remove(&id).await;
    let request = LogsRequest { job: id, offset: 0, limit: 9, order: Order::Ascending };
    assert_eq!(q.store().logs(&q.address, request).await.unwrap(), LogsPage::default());
}

pub async fn its_neighbours_keep_their_places(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    q.remove(&"3".into()).await;
    q.remove(&"1".into()).await;
    assert_eq!(q.list(JobState::Waiting).await, "2 4 5");
}

pub async fn a_lease_that_ran_out_protects_no_more(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.advance(super::harness::LEASE + ms(1)).await;
    removed(&q, "1", "active").await;
    refused(q.finish(&job, completed()).await, ErrorKind::NotFound);
}

// ---------------------------------------------------------------- with children

/// `p` over `c` (over `g`, and `done`, which has completed) and `x`, in two queues.
async fn family(bench: &Harness) -> (On<'_>, On<'_>) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let child = tree(&below, "c").over([tree(&above, "done"), tree(&above, "g")]);
    bench.add_flow(tree(&above, "p").over([child, tree(&below, "x")])).await;
    above.end("done", completed()).await;
    (above, below)
}

pub async fn children_stay_if_only_the_job_goes(bench: &Harness) {
    let (above, below) = family(bench).await;
    assert_eq!(above.remove_as("p", RemoveScope::JobOnly).await, RemoveAnswer::Removed);
    assert_eq!(below.tally().await, "waiting=1 waiting-children=1");
    assert_eq!(below.job("c").await.job.parent.unwrap().key, above.key("p"), "it says whose it was");
}

pub async fn children_go_with_the_job(bench: &Harness) {
    let (above, below) = family(bench).await;
    let (here, there) = (above.here().await, below.here().await);
    assert_eq!(above.remove_as("p", RemoveScope::WithChildren).await, RemoveAnswer::Removed);
    assert_eq!((above.tally().await, below.tally().await), (String::new(), String::new()));
    let mut events = above.events_since(&here).await;
    assert_eq!(events.pop().as_deref(), Some("removed p prev=waiting-children"), "nobody was released");
    events.sort();
    assert_eq!(events, ["removed done prev=completed", "removed g prev=wait"]);
    let mut events = below.events_since(&there).await;
    events.sort();
    assert_eq!(events, ["removed c prev=waiting-children", "removed x prev=wait"]);
}

pub async fn a_job_without_children_goes_alone(bench: &Harness) {
    let (above, below) = family(bench).await;
    assert_eq!(below.remove_as("x", RemoveScope::WithChildren).await, RemoveAnswer::Removed);
    assert_eq!(above.children("p").await, "unprocessed below:c");
    assert_eq!(above.remove_as("nobody", RemoveScope::WithChildren).await, RemoveAnswer::NotFound);
    assert_eq!(above.remove_as("nobody", RemoveScope::PendingChildren).await, RemoveAnswer::NotFound);
}

pub async fn the_parent_above_is_released_by_it(bench: &Harness) {
    let (above, below) = family(bench).await;
    below.remove_as("c", RemoveScope::WithChildren).await;
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
    below.remove_as("x", RemoveScope::WithChildren).await;
    assert_eq!(above.state("p").await, JobState::Waiting);
}

pub async fn nothing_goes_while_somebody_works_on_a_child(bench: &Harness) {
    let (above, below) = family(bench).await;
    let grandchild = above.take_one().await;
    assert_eq!(grandchild.job.id.as_str(), "g");
    let (here, there) = (above.here().await, below.here().await);
    assert_eq!(above.remove_as("p", RemoveScope::WithChildren).await, RemoveAnswer::Locked);
    assert_eq!(above.tally().await, "active=1 completed=1 waiting-children=1");
    assert_eq!(below.tally().await, "waiting=1 waiting-children=1");
    above.expect_events(&here, &[]).await;
    below.expect_events(&there, &[]).await;
    assert_eq!(above.remove_as("p", RemoveScope::JobOnly).await, RemoveAnswer::Removed);
}

pub async fn children_that_have_another_parent_by_now_stay(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c"), tree(&q, "d")])).await;
    q.end("c", completed()).await;
    q.remove(&"c".into()).await;
    bench.add_flow(tree(&q, "p2").over([tree(&q, "c")])).await;
    q.remove_as("p", RemoveScope::WithChildren).await;
    assert_eq!(q.list(JobState::Waiting).await, "c");
    assert_eq!(q.children("p2").await, "unprocessed tasks:c");
}

pub async fn pending_children_go_and_the_job_runs(bench: &Harness) {
    let (above, below) = family(bench).await;
    let (here, there) = (above.here().await, below.here().await);
    assert_eq!(above.remove_as("p", RemoveScope::PendingChildren).await, RemoveAnswer::Removed);
    assert_eq!(above.tally().await, "completed=1 waiting=1");
    assert_eq!(below.tally().await, "");
    let mut events = above.events_since(&here).await;
    events.sort();
    assert_eq!(events, ["removed g prev=wait", "waiting p prev=waiting-children"]);
    let mut events = below.events_since(&there).await;
    events.sort();
    assert_eq!(events, ["removed c prev=waiting-children", "removed x prev=wait"]);
}

pub async fn pending_children_that_run_or_have_failed_stay(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let children = [tree(&below, "fails"), tree(&below, "runs"), tree(&below, "waits")];
    bench.add_flow(tree(&above, "p").over(children)).await;
    below.end("fails", failed("x")).await;
    below.take_one().await;
    assert_eq!(above.remove_as("p", RemoveScope::PendingChildren).await, RemoveAnswer::Removed);
    assert_eq!(above.children("p").await, "unprocessed below:fails below:runs");
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
    assert_eq!(below.tally().await, "active=1 failed=1");
}

pub async fn a_deep_tree_goes_with_its_root(bench: &Harness) {
    let q = bench.queue();
    let mut chain = tree(&q, "n299");
    for n in (0..299).rev() {
        chain = tree(&q, &format!("n{n}")).over([chain]);
    }
    bench.add_flow(chain).await;
    assert_eq!(q.tally().await, "waiting=1 waiting-children=299");
    assert_eq!(q.remove_as("n0", RemoveScope::WithChildren).await, RemoveAnswer::Removed);
    assert_eq!(q.tally().await, "");
}

/// A parent of twelve children in all states, and a neighbour of each that runs, in one queue.
async fn many_children(q: &On<'_>, bench: &Harness) {
    let mut children: Vec<_> = ["done", "old", "w1", "w2", "w3", "w4"].map(|id| tree(q, id)).into();
    children.extend(["l1", "l2"].map(|id| tree(q, id).with(|job| job.delay(ms(9_000)))));
    children.extend(["p1", "p2"].map(|id| tree(q, id).with(|job| job.priority(3))));
    children.push(tree(q, "mid").over([tree(q, "deep")]));
    let wide = tree(q, "parent").over(children);
    bench.add_flow(wide).await;
    q.end("done", completed()).await;
    q.take_one().await;
    for id in ["n1", "n2"] {
        q.add(draft().id(id)).await;
    }
    q.add(draft().id("np").priority(3)).await;
    bench.add_flow(tree(q, "later").over([tree(q, "w5"), tree(q, "w6")])).await;
    // The lease of `old` runs out.
    q.advance(super::harness::LEASE + ms(1)).await;
}

pub async fn many_children_leave_their_neighbours_in_their_places(bench: &Harness) {
    for scope in [RemoveScope::WithChildren, RemoveScope::PendingChildren] {
        let q = bench.on(if scope == RemoveScope::WithChildren { "all" } else { "pending" });
        many_children(&q, bench).await;
        let waiting = q.list(JobState::Waiting).await;
        let stays = |id: &&str| ["n1", "n2", "w5", "w6"].contains(id);
        let neighbours: Vec<&str> = waiting.split(' ').filter(stays).collect();
        assert_eq!(neighbours.len(), 4, "{waiting}");
        let here = q.here().await;
        assert_eq!(q.remove_as("parent", scope).await, RemoveAnswer::Removed);
        let mut events = q.events_since(&here).await;
        let (left, released) = if scope == RemoveScope::WithChildren {
            assert_eq!(events.pop().as_deref(), Some("removed parent prev=waiting-children"));
            (neighbours.join(" "), Some("removed done prev=completed"))
        } else {
            assert_eq!(events[events.len() - 2], "waiting parent prev=waiting-children");
            // At the front, as a parent always.
            (format!("parent {}", neighbours.join(" ")), Some("waiting parent prev=waiting-children"))
        };
        events.sort();
        let mut expected = vec![
            "removed deep prev=wait",
            "removed l1 prev=delayed",
            "removed l2 prev=delayed",
            "removed mid prev=waiting-children",
            "removed old prev=active",
            "removed p1 prev=prioritized",
            "removed p2 prev=prioritized",
            "removed w1 prev=wait",
            "removed w2 prev=wait",
            "removed w3 prev=wait",
            "removed w4 prev=wait",
        ];
        expected.extend(released);
        expected.sort_unstable();
        assert_eq!(events, expected, "{scope:?}");
        assert_eq!(q.list(JobState::Waiting).await, left, "{scope:?}");
        assert_eq!(q.list(JobState::Prioritized).await, "np");
        assert_eq!(q.list(JobState::Active).await, "");
        assert_eq!(q.list(JobState::WaitingChildren).await, "later");
    }
}
