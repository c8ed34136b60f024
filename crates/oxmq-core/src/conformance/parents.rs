//! What happens to a parent when something happens to a child, and the endings of parents.

use super::harness::{
    Harness, On, Tree, again, completed, completed_keeping, draft, failed, failed_keeping, failure, finish,
    ms, refused, tree,
};
use crate::address::Token;
use crate::error::ErrorKind;
use crate::family::ChildFailure;
use crate::options::Retention;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{
    CancelAnswer, DrainRequest, ObliterateRequest, RecoverRequest, RetryRequest, Step, SweepRequest,
    TakeRequest,
};

/// A queue of parents, and one of children.
fn queues(bench: &Harness) -> (On<'_>, On<'_>) {
    (bench.on("above"), bench.on("below"))
}

/// Whether the reason names the child that failed, as its key is stored: on a cluster a prefix may have braces there.
#[track_caller]
fn tells_of_child(reason: Option<&str>, child: &str) {
    let plain = reason.map(|reason| reason.replace("{bull}", "bull"));
    assert_eq!(plain, Some(format!("child {child} failed")));
}

/// A parent `p` above of `c` (with this choice) and `x` below.
fn family(above: &On<'_>, below: &On<'_>, choice: Option<ChildFailure>) -> Tree {
    let child = tree(below, "c");
    let child = match choice {
        Some(choice) => child.on_failure(choice),
        None => child,
    };
    tree(above, "p").over([child, tree(below, "x")])
}

// ---------------------------------------------------------------- failures

pub async fn a_failure_without_a_choice_keeps_the_parent_waiting(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, None)).await;
    let here = above.here().await;
    below.end("c", failed("no")).await;
    below.end("x", completed()).await;
    assert_eq!(above.children("p").await, "processed below:x=null | unprocessed below:c");
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
    above.expect_events(&here, &[]).await;
    below.retry(&"c".into(), JobState::Failed).await.unwrap();
    below.end("c", completed()).await;
    assert_eq!(above.state("p").await, JobState::Waiting);
}

pub async fn a_failure_that_fails_the_parent_is_deferred_to_its_worker(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::FailParent))).await;
    bench.advance(ms(9)).await;
    let here = above.here().await;
    below.end("c", failed("no")).await;
    assert_eq!(above.children("p").await, "unprocessed below:x | failed below:c@9");
    above.expect_events(&here, &["waiting p prev=waiting-children"]).await;
    let parent = above.take_one().await;
    tells_of_child(parent.job.deferred_failure.as_deref(), "bull:below:c");
    above.finish(&parent, failed("child bull:below:c failed")).await.unwrap();
    assert_eq!(above.job("p").await.job.deferred_failure, None);
    below.end("x", completed()).await;
    assert_eq!(above.children("p").await, "processed below:x=null | failed below:c@9");
    assert_eq!(above.state("p").await, JobState::Failed);
}

pub async fn a_failure_climbs_one_level_at_a_time(bench: &Harness) {
    let q = bench.queue();
    let leaf = tree(&q, "leaf").on_failure(ChildFailure::FailParent);
    let middle = tree(&q, "middle").on_failure(ChildFailure::FailParent).over([leaf]);
    bench.add_flow(tree(&q, "root").over([middle])).await;
    q.end("leaf", failed("no")).await;
    assert_eq!(q.state("root").await, JobState::WaitingChildren);
    q.end("middle", failed("child bull:tasks:leaf failed")).await;
    let root = q.take_one().await.job;
    tells_of_child(root.deferred_failure.as_deref(), "bull:tasks:middle");
}

pub async fn a_parent_that_is_to_fail_does_not_wait_for_its_delay(bench: &Harness) {
    let (above, below) = queues(bench);
    let family = family(&above, &below, Some(ChildFailure::FailParent));
    bench.add_flow(family.with(|draft| draft.delay(ms(60_000)).priority(2))).await;
    below.end("c", failed("no")).await;
    let view = above.job("p").await;
    assert_eq!((view.state, view.job.delay_ms), (JobState::Prioritized, 0));
}

pub async fn a_delayed_parent_that_is_to_fail_is_delayed_no_more(bench: &Harness) {
    let (above, below) = queues(bench);
    above.add(draft().id("p").delay(ms(60_000))).await;
    below.add(draft().id("c").parent(&above, "p").on_failure(ChildFailure::FailParent)).await;
    below.end("c", failed("no")).await;
    let view = above.job("p").await;
    assert_eq!((view.state, view.job.delay_ms), (JobState::Waiting, 0));
    assert!(view.job.deferred_failure.is_some());
}

pub async fn a_running_parent_is_told_by_its_deferred_failure(bench: &Harness) {
    let (above, below) = queues(bench);
    above.add(draft().id("p")).await;
    let parent = above.take_one().await;
    below.add(draft().id("c").parent(&above, "p").on_failure(ChildFailure::FailParent)).await;
    below.end("c", failed("no")).await;
    let view = above.job("p").await;
    assert_eq!(view.state, JobState::Active);
    tells_of_child(view.job.deferred_failure.as_deref(), "bull:below:c");
    let error = above.finish(&parent, completed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedChildren);
    let text = "Cannot complete job p because it has at least one failed child. moveToFinished";
    assert_eq!(error.message(), text);
    let error = above.finish(&parent, Ending::AwaitChildren { child: None }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedChildren);
    assert_eq!(above.job("p").await, view, "nothing has changed");
    above.finish(&parent, failed("so be it")).await.unwrap();
}

pub async fn the_last_failure_is_the_one_that_is_told(bench: &Harness) {
    let q = bench.queue();
    let bad = |id| tree(&q, id).on_failure(ChildFailure::FailParent);
    bench.add_flow(tree(&q, "p").over([bad("a"), bad("b")])).await;
    let jobs = q.take(2).await.jobs;
    q.finish(&jobs[0], failed("x")).await.unwrap();
    bench.advance(ms(1)).await;
    q.finish(&jobs[1], failed("x")).await.unwrap();
    let reason = q.job("p").await.job.deferred_failure;
    tells_of_child(reason.as_deref(), "bull:tasks:b");
    assert_eq!(q.tally().await, "failed=2 waiting=1");
}

pub async fn a_failure_after_which_the_parent_goes_on(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::ContinueParent))).await;
    let here = above.here().await;
    below.end("c", failed("no")).await;
    above.expect_events(&here, &["waiting p prev=waiting-children"]).await;
    assert_eq!(above.children("p").await, "unprocessed below:x | ignored below:c=no");
    let parent = above.take_one().await;
    assert_eq!(parent.job.deferred_failure, None);
    let error = above.finish(&parent, completed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PendingChildren);
    assert_eq!(error.message(), "Job p has pending dependencies. moveToFinished");
    below.end("x", completed()).await;
    above.finish(&parent, completed()).await.unwrap();
}

pub async fn a_failure_that_is_ignored(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::Ignore))).await;
    below.end("c", failed("no")).await;
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
    below.end("x", failed("x")).await;
    assert_eq!(above.children("p").await, "unprocessed below:x | ignored below:c=no");
    below.remove(&"x".into()).await;
    above.end("p", completed()).await;
}

pub async fn a_failure_that_is_forgotten(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::Remove))).await;
    below.end("c", failed("no")).await;
    assert_eq!(above.children("p").await, "unprocessed below:x");
    below.end("x", completed()).await;
    above.end("p", completed()).await;
}

pub async fn a_failure_that_is_tried_again_tells_nobody(bench: &Harness) {
    let q = bench.queue();
    for (n, choice) in ChildFailure::ALL.into_iter().enumerate() {
        let id = format!("p{n}");
        bench.add_flow(tree(&q, &id).over([tree(&q, &format!("c{n}")).on_failure(choice)])).await;
        let job = q.take_one().await;
        q.finish(&job, again(Some(q.now() + ms(60_000)))).await.unwrap();
        assert_eq!(q.children(&id).await, format!("unprocessed tasks:c{n}"));
        assert_eq!(q.state(id).await, JobState::WaitingChildren);
    }
}

pub async fn a_child_that_dies_with_its_worker_is_still_waited_for(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::FailParent))).await;
    below.take_one().await;
    assert_eq!(below.recover(1).await.len(), 1);
    assert_eq!(above.children("p").await, "unprocessed below:c below:x");
    below.end("c", completed()).await;
    assert_eq!(above.children("p").await, "processed below:c=null | unprocessed below:x");
}

pub async fn a_parent_that_is_gone_minds_nothing(bench: &Harness) {
    let q = bench.queue();
    for (n, choice) in ChildFailure::ALL.into_iter().enumerate() {
        let (p, c) = (format!("p{n}"), format!("c{n}"));
        bench.add_flow(tree(&q, &p).over([tree(&q, &c).on_failure(choice)])).await;
        q.remove(&p.as_str().into()).await;
        q.end(&c, failed("x")).await;
        assert!(q.find(&p.as_str().into()).await.is_none());
    }
    assert_eq!(q.tally().await, "failed=4");
}

pub async fn cancelling_a_child_counts_as_its_failure(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::Ignore))).await;
    assert_eq!(below.cancel(&"c".into(), "enough").await.unwrap(), CancelAnswer::Cancelled);
    assert_eq!(above.children("p").await, "unprocessed below:x | ignored below:c=cancelled: enough");
    assert_eq!(below.cancel(&"x".into(), "enough").await.unwrap(), CancelAnswer::Cancelled);
    assert_eq!(above.state("p").await, JobState::WaitingChildren, "nobody said what that does");
}

pub async fn a_cancelled_parent_leaves_its_children(bench: &Harness) {
    let q = bench.queue();
    let top = tree(&q, "top").over([tree(&q, "p").on_failure(ChildFailure::Ignore).over([tree(&q, "c")])]);
    bench.add_flow(top).await;
    let here = q.here().await;
    assert_eq!(q.cancel(&"p".into(), "why").await.unwrap(), CancelAnswer::Cancelled);
    let expected =
        ["waiting top prev=waiting-children", "failed p failedReason=cancelled: why prev=waiting-children"];
    q.expect_events(&here, &expected).await;
    assert_eq!(q.list(JobState::Waiting).await, "top c");
    q.end("top", completed()).await;
    q.end("c", completed()).await;
    assert_eq!(q.children("p").await, "processed tasks:c=null");
    assert_eq!(q.state("p").await, JobState::Failed);
}

// ---------------------------------------------------------------- endings

pub async fn a_running_job_waits_for_its_children(bench: &Harness) {
    let (above, below) = queues(bench);
    above.add(draft().id("p").priority(4)).await;
    let parent = above.take_one().await;
    below.add(draft().id("c").parent(&above, "p")).await;
    let here = above.here().await;
    let answer = above.finish(&parent, Ending::AwaitChildren { child: None }).await.unwrap();
    assert_eq!(answer, Some(JobState::WaitingChildren));
    above.expect_events(&here, &["waiting-children p prev=active"]).await;
    refused(above.finish(&parent, completed()).await, ErrorKind::NotLocked);
    below.end("c", completed()).await;
    assert_eq!(above.state("p").await, JobState::Prioritized);
    let again = above.take_one().await.job;
    assert_eq!((again.attempts_started, again.attempts_made), (2, 0));
}

pub async fn a_job_with_nothing_to_wait_for_runs_again_next(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().id("p"), draft().id("other")]).await;
    let parent = q.take_one().await;
    let here = q.here().await;
    let answer = q.finish(&parent, Ending::AwaitChildren { child: None }).await.unwrap();
    assert_eq!(answer, Some(JobState::Waiting));
    q.expect_events(&here, &["waiting p prev=active"]).await;
    assert_eq!(q.list(JobState::Waiting).await, "p other");
    assert_eq!(q.job("p").await.job.attempts_made, 0);
}

pub async fn a_job_may_wait_for_one_child(bench: &Harness) {
    let (above, below) = queues(bench);
    above.add(draft().id("p")).await;
    let parent = above.take_one().await;
    below.add_all([draft().id("a").parent(&above, "p"), draft().id("b").parent(&above, "p")]).await;
    below.end("a", completed()).await;
    let child = Some(below.key("a"));
    let answer = above.finish(&parent, Ending::AwaitChildren { child }).await.unwrap();
    assert_eq!(answer, Some(JobState::Waiting), "that one has ended");
    let parent = above.take_one().await;
    let child = Some(below.key("b"));
    let answer = above.finish(&parent, Ending::AwaitChildren { child }).await.unwrap();
    assert_eq!(answer, Some(JobState::WaitingChildren));
    below.end("b", completed()).await;
    above.end("p", completed()).await;
}

pub async fn a_wait_for_children_needs_the_lease(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let mut parent = q.take_one().await;
    q.add(draft().parent(&q, "p")).await;
    parent.lease = On::lease(&"p".into(), "other:1");
    refused(q.finish(&parent, Ending::AwaitChildren { child: None }).await, ErrorKind::LockedByAnother);
    assert_eq!(q.state("p").await, JobState::Active);
}

pub async fn a_job_that_waits_for_children_holds_no_lease(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let parent = q.take_one().await;
    q.add(draft().id("c").parent(&q, "p").delay(ms(900_000))).await;
    q.finish(&parent, Ending::AwaitChildren { child: None }).await.unwrap();
    assert_eq!(q.job("p").await.token, None);
    assert!(q.recover(0).await.is_empty());
    assert_eq!(q.job("p").await.job.stalled_count, 0);
}

pub async fn a_parent_does_not_complete_before_its_children(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let parent = q.take_one().await;
    q.add(draft().id("c").parent(&q, "p")).await;
    let (before, here) = (q.job("p").await, q.here().await);
    refused(q.finish(&parent, completed()).await, ErrorKind::PendingChildren);
    refused(q.finish(&parent, completed_keeping(Retention::NONE)).await, ErrorKind::PendingChildren);
    assert_eq!(q.job("p").await, before);
    q.expect_events(&here, &[]).await;
    q.finish(&parent, failed("but it may fail")).await.unwrap();
    q.end("c", completed()).await;
    assert_eq!(q.children("p").await, "processed tasks:c=null");
}

pub async fn a_lease_is_looked_at_before_the_children(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let mut parent = q.take_one().await;
    q.add(draft().id("c").parent(&q, "p")).await;
    parent.lease = On::lease(&"p".into(), "other:1");
    refused(q.finish(&parent, completed()).await, ErrorKind::LockedByAnother);
}

pub async fn without_a_lease_the_children_are_looked_at_before_the_state(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let parent = q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await.jobs.remove(0);
    q.add(draft().id("c").parent(&q, "p")).await;
    q.finish(&parent, Ending::Retry { failure: failure("once"), at: None }).await.unwrap();
    let before = q.job("p").await;
    refused(q.finish(&parent, completed()).await, ErrorKind::PendingChildren);
    refused(q.finish(&parent, failed("not active")).await, ErrorKind::WrongState);
    assert_eq!(q.job("p").await, before);
}

pub async fn a_child_and_its_parent_may_end_in_one_call(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("p")).await;
    let parent = q.take_one().await;
    q.add(draft().id("c").parent(&q, "p")).await;
    let child = q.take_one().await;
    let wrong_way = vec![finish(&parent, completed()), finish(&child, completed())];
    let answers = q.finish_by(wrong_way, None).await.answers;
    let kinds: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect();
    assert_eq!(kinds, [Err(ErrorKind::PendingChildren), Ok(Some(JobState::Completed))]);
    q.add(draft().id("d").parent(&q, "p")).await;
    let child = q.take_one().await;
    let right_way = vec![finish(&child, completed()), finish(&parent, completed())];
    let answers = q.finish_by(right_way, None).await.answers;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

pub async fn a_released_parent_is_given_in_the_same_call(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    let child = q.take_one().await;
    let here = q.here().await;
    let finished = q.finish_by(vec![finish(&child, completed())], Some(q.demand(1))).await;
    assert_eq!(finished.taken.unwrap().jobs[0].job.id.as_str(), "p");
    let expected = [
        "waiting p prev=waiting-children",
        "completed c returnvalue=null prev=active",
        "active p prev=waiting",
    ];
    q.expect_events(&here, &expected).await;
}

// ---------------------------------------------------------------- retention and removal

pub async fn the_result_of_a_child_that_is_not_kept_stays(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    q.end("c", completed_keeping(Retention::NONE)).await;
    assert!(q.find(&"c".into()).await.is_none());
    assert_eq!(q.children("p").await, "processed tasks:c=null");
    assert_eq!(q.state("p").await, JobState::Waiting);
}

pub async fn a_failed_child_that_is_not_kept_is_waited_for_no_more(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&above, "p").over([tree(&below, "c")])).await;
    let (here, there) = (above.here().await, below.here().await);
    below.end("c", failed_keeping("no", Retention::NONE)).await;
    above.expect_events(&here, &["waiting p prev=waiting-children"]).await;
    let expected = [
        "active c prev=waiting",
        "failed c failedReason=no prev=active",
        "retries-exhausted c attemptsMade=1",
        "drained",
    ];
    below.expect_events(&there, &expected).await;
    assert_eq!(above.children("p").await, "");
}

pub async fn a_failed_child_that_retention_removes_is_waited_for_no_more(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&above, "p").over([tree(&below, "c")])).await;
    bench.add_flow(tree(&above, "p2").over([tree(&below, "c2")])).await;
    below.end("c", failed("no")).await;
    bench.advance(ms(1)).await;
    below.end("c2", failed_keeping("no", Retention::count(1))).await;
    assert_eq!(above.tally().await, "waiting=1 waiting-children=1");
    assert_eq!(above.list(JobState::Waiting).await, "p");
}

pub async fn a_failed_child_that_is_swept_is_waited_for_no_more(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&above, "p").over([tree(&below, "c")])).await;
    below.end("c", failed_keeping("no", Retention::age(ms(1_000)))).await;
    bench.advance(ms(1_001)).await;
    let request = SweepRequest { limit: 10, now: below.now() };
    assert_eq!(below.store().sweep(&below.address, request).await.unwrap().count, 1);
    assert_eq!(above.state("p").await, JobState::Waiting);
}

pub async fn a_removed_child_is_waited_for_no_more(bench: &Harness) {
    let (above, below) = queues(bench);
    let parent = family(&above, &below, None).with(|draft| draft.priority(3));
    bench.add_flow(parent).await;
    below.end("c", completed()).await;
    let here = above.here().await;
    below.remove(&"x".into()).await;
    assert_eq!(above.children("p").await, "processed below:c=null");
    above.expect_events(&here, &["waiting p prev=waiting-children"]).await;
    assert_eq!(above.state("p").await, JobState::Prioritized, "its priority counts here, too");
    below.remove(&"c".into()).await;
    assert_eq!(above.children("p").await, "processed below:c=null", "what has ended stays known");
}

async fn drain(q: &On<'_>) -> Step {
    let request = DrainRequest { delayed: true, limit: 1_000, now: q.now() };
    q.store().drain(&q.address, request).await.unwrap()
}

/// A parent in the children's queue and one in another, each over one child; and one with a child that has completed and one that
/// runs.
async fn near_and_far(bench: &Harness) -> (On<'_>, On<'_>) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&below, "busy").over([tree(&below, "runs"), tree(&below, "c0")])).await;
    below.take_as("w:1", 1).await;
    bench.add_flow(tree(&below, "top").over([tree(&below, "near").over([tree(&below, "c1")])])).await;
    bench.add_flow(tree(&above, "far").over([tree(&below, "c2")])).await;
    (above, below)
}

pub async fn a_drain_takes_parents_of_the_same_queue_along(bench: &Harness) {
    let (above, below) = near_and_far(bench).await;
    let (here, there) = (above.here().await, below.here().await);
    let step = drain(&below).await;
    assert_eq!((step.count, step.more), (3, false));
    assert_eq!(below.tally().await, "active=1 waiting-children=1");
    assert_eq!(below.children("busy").await, "unprocessed below:runs");
    assert!(below.find(&"top".into()).await.is_none());
    above.expect_events(&here, &["waiting far prev=waiting-children"]).await;
    let expected = ["removed near prev=waiting-children", "removed top prev=waiting-children"];
    below.expect_events(&there, &expected).await;
}

pub async fn a_clean_takes_parents_of_the_same_queue_along(bench: &Harness) {
    let (above, below) = near_and_far(bench).await;
    let (here, there) = (above.here().await, below.here().await);
    let step = below.clean(JobState::Waiting, below.now(), 1_000).await;
    assert_eq!(step.count, 3);
    assert_eq!(below.tally().await, "active=1 waiting-children=1");
    above.expect_events(&here, &["waiting far prev=waiting-children"]).await;
    let expected =
        ["removed near prev=waiting-children", "removed top prev=waiting-children", "cleaned count=3"];
    below.expect_events(&there, &expected).await;
}

pub async fn parents_that_wait_for_children_can_be_cleaned(bench: &Harness) {
    let (above, below) = near_and_far(bench).await;
    let step = below.clean(JobState::WaitingChildren, below.now(), 1_000).await;
    assert_eq!(step.count, 3);
    assert_eq!(below.tally().await, "active=1 waiting=3");
    assert_eq!(above.tally().await, "waiting-children=1");
}

pub async fn a_removed_child_never_takes_a_parent_along_that_does_not_wait(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().id("p"), draft().id("fresh")]).await;
    q.take_one().await;
    q.add_all([draft().id("c").parent(&q, "p"), draft().id("d").parent(&q, "fresh")]).await;
    assert_eq!(drain(&q).await.count, 3);
    assert_eq!(q.tally().await, "active=1");
    assert_eq!(q.children("p").await, "");
}

pub async fn an_obliterated_queue_leaves_relatives_in_other_queues(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&above, "far").over([tree(&below, "c")])).await;
    bench.add_flow(tree(&below, "p").over([tree(&above, "orphan"), tree(&below, "c2")])).await;
    let here = above.here().await;
    loop {
        let request = ObliterateRequest { force: false, limit: 1, now: below.now() };
        if !below.store().obliterate(&below.address, request).await.unwrap().more {
            break;
        }
    }
    above.expect_events(&here, &["waiting far prev=waiting-children"]).await;
    assert_eq!(above.list(JobState::Waiting).await, "far orphan");
    above.end("far", completed()).await;
    above.end("orphan", failed("x")).await;
    assert!(below.store().queues(None).await.unwrap().iter().all(|info| info.queue != below.address));
}

// ---------------------------------------------------------------- retries

pub async fn a_child_that_is_retried_is_pending_again(bench: &Harness) {
    let (above, below) = queues(bench);
    let children = [
        tree(&below, "done"),
        tree(&below, "ignored").on_failure(ChildFailure::Ignore),
        tree(&below, "forgotten").on_failure(ChildFailure::Remove),
        tree(&below, "later").with(|draft| draft.delay(ms(60_000))),
    ];
    bench.add_flow(tree(&above, "p").over(children)).await;
    below.end("done", completed()).await;
    below.end("ignored", failed("x")).await;
    below.end("forgotten", failed("x")).await;
    below.retry(&"done".into(), JobState::Completed).await.unwrap();
    assert_eq!(above.children("p").await, "unprocessed below:done below:later | ignored below:ignored=x");
    let request = RetryRequest::Many {
        state: JobState::Failed,
        finished_until: below.now(),
        limit: 9,
        now: below.now(),
    };
    assert_eq!(below.store().retry(&below.address, request).await.unwrap().count, 2);
    assert_eq!(above.children("p").await, "unprocessed below:done below:ignored below:later");
    assert_eq!(above.state("p").await, JobState::WaitingChildren);
}

pub async fn a_parent_that_was_to_fail_waits_again_when_the_child_is_retried(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::FailParent))).await;
    below.end("c", failed("no")).await;
    assert_eq!(above.state("p").await, JobState::Waiting);
    let here = above.here().await;
    below.retry(&"c".into(), JobState::Failed).await.unwrap();
    let view = above.job("p").await;
    assert_eq!((view.state, view.job.deferred_failure), (JobState::WaitingChildren, None));
    above.expect_events(&here, &["waiting-children p prev=waiting"]).await;
    assert!(above.take(1).await.jobs.is_empty());
    below.run_one(completed()).await;
    below.run_one(completed()).await;
    above.end("p", completed()).await;
}

pub async fn a_running_parent_that_was_to_fail_may_complete_when_the_child_did(bench: &Harness) {
    let (above, below) = queues(bench);
    above.add(draft().id("p")).await;
    let parent = above.take_one().await;
    below.add(draft().id("c").parent(&above, "p").on_failure(ChildFailure::FailParent)).await;
    below.end("c", failed("no")).await;
    below.retry(&"c".into(), JobState::Failed).await.unwrap();
    let view = above.job("p").await;
    assert_eq!((view.state, view.job.deferred_failure), (JobState::Active, None));
    refused(above.finish(&parent, completed()).await, ErrorKind::PendingChildren);
    below.end("c", completed()).await;
    above.finish(&parent, completed()).await.unwrap();
}

pub async fn a_parent_is_still_to_fail_for_another_child(bench: &Harness) {
    let q = bench.queue();
    let bad = |id| tree(&q, id).on_failure(ChildFailure::FailParent);
    bench.add_flow(tree(&q, "p").over([bad("a"), bad("b")])).await;
    let jobs = q.take(2).await.jobs;
    q.finish(&jobs[0], failed("x")).await.unwrap();
    bench.advance(ms(1)).await;
    q.finish(&jobs[1], failed("x")).await.unwrap();
    q.retry(&"b".into(), JobState::Failed).await.unwrap();
    let view = q.job("p").await;
    assert_eq!(view.state, JobState::Waiting);
    tells_of_child(view.job.deferred_failure.as_deref(), "bull:tasks:a");
    q.retry(&"a".into(), JobState::Failed).await.unwrap();
    assert_eq!(q.state("p").await, JobState::WaitingChildren);
}

pub async fn a_failed_parent_that_is_retried_runs(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::FailParent))).await;
    below.end("c", failed("no")).await;
    above.end("p", failed("child bull:below:c failed")).await;
    below.retry(&"c".into(), JobState::Failed).await.unwrap();
    assert_eq!(above.state("p").await, JobState::Failed);
    below.run_one(completed()).await;
    below.run_one(completed()).await;
    assert_eq!(above.children("p").await, "processed below:c=null below:x=null");
    above.retry(&"p".into(), JobState::Failed).await.unwrap();
    above.end("p", completed()).await;
}

// ---------------------------------------------------------------- crashes

pub async fn a_parent_that_dies_with_its_worker_runs_again(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(tree(&above, "p").over([tree(&below, "c")])).await;
    below.end("c", completed()).await;
    above.take_one().await;
    assert_eq!(above.recover(1).await.len(), 1);
    assert_eq!(above.children("p").await, "processed below:c=null");
    above.end("p", completed()).await;
}

pub async fn a_child_that_dies_too_often_fails_its_parent(bench: &Harness) {
    let (above, below) = queues(bench);
    bench.add_flow(family(&above, &below, Some(ChildFailure::FailParent))).await;
    below.take_as("w:1", 1).await;
    bench.advance(super::harness::LEASE + super::harness::INTERVAL + ms(1)).await;
    let request = RecoverRequest { max_stalled: 0, interval: super::harness::INTERVAL, now: below.now() };
    below.store().recover(&below.address, request).await.unwrap();
    let child = below.take_by(TakeRequest { ..below.demand(1) }).await.jobs.remove(0);
    let reason = child.job.deferred_failure.clone().unwrap();
    below.finish(&child, failed(&reason)).await.unwrap();
    tells_of_child(above.take_one().await.job.deferred_failure.as_deref(), "bull:below:c");
}
