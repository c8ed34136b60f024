//! Cases of deduplication: in `Store::add`, and what frees an id.

use super::harness::{Draft, Harness, On, again, completed, completed_keeping, draft, failed, finish, ms};
use crate::address::JobId;
use crate::deduplication::Deduplication;
use crate::options::Retention;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{
    Added, CleanRequest, DrainRequest, Fate, LogsRequest, ObliterateRequest, Order, RemoveAnswer,
};

fn x() -> Deduplication {
    Deduplication::by("x")
}

/// A job that stands for others by the id `x`.
fn simple() -> Draft {
    draft().once(x())
}

fn throttled(ttl: u64) -> Draft {
    draft().once(x().ttl(ms(ttl)))
}

fn debounced(ttl: u64) -> Draft {
    draft().once(x().ttl(ms(ttl)).extend().replace()).delay(ms(ttl))
}

fn keeps_last() -> Draft {
    draft().once(x().keep_last_if_active())
}

/// What an add of a second job says: the owner, and where it is.
fn stands(added: &Added) -> (&str, JobState) {
    assert_eq!(added.fate, Fate::Deduplicated { owner_exists: true }, "{added:?}");
    (added.id.as_str(), added.state)
}

#[track_caller]
fn created(added: &Added, id: &str) {
    assert_eq!((added.id.as_str(), &added.fate), (id, &Fate::Created));
}

pub async fn a_second_job_with_the_id_is_not_added(bench: &Harness) {
    let q = bench.queue();
    created(&q.try_add(simple().data("1")).await, "1");
    assert_eq!(q.owner("x").await, Some(JobId::from("1")));
    let here = q.here().await;
    assert_eq!(stands(&q.try_add(simple().data("2")).await), ("1", JobState::Waiting));
    q.expect_events(&here, &["deduplicated 1 deduplicationId=x deduplicatedJobId=2"]).await;
    let job = q.job("1").await.job;
    assert_eq!((job.data.as_str(), job.deduplication_id.as_deref()), ("1", Some("x")));
    assert_eq!(job.options().deduplication, Some(x()));
    assert_eq!((q.tally().await.as_str(), q.find(&"2".into()).await), ("waiting=1", None));
    created(&q.try_add(draft()).await, "3");
    created(&q.try_add(draft().once(Deduplication::by("y"))).await, "4");
}

pub async fn the_answer_tells_where_the_owner_is(bench: &Harness) {
    let q = bench.queue();
    q.add(simple().delay(ms(10))).await;
    assert_eq!(stands(&q.try_add(simple()).await).1, JobState::Delayed);
    q.advance(ms(10)).await;
    let job = q.take_one().await;
    assert_eq!(stands(&q.try_add(simple()).await).1, JobState::Active);
    q.finish(&job, again(None)).await.unwrap();
    assert_eq!(stands(&q.try_add(simple().priority(3)).await).1, JobState::Waiting);
    q.add(draft().once(Deduplication::by("y")).priority(3)).await;
    assert_eq!(stands(&q.try_add(draft().once(Deduplication::by("y"))).await).1, JobState::Prioritized);
}

pub async fn the_id_is_free_when_the_owner_has_ended(bench: &Harness) {
    let q = bench.queue();
    let endings = [completed(), failed("no"), completed_keeping(Retention::NONE)];
    for (number, ending) in endings.into_iter().enumerate() {
        created(&q.try_add(simple()).await, &(number + 1).to_string());
        q.run_one(ending).await;
        assert_eq!(q.owner("x").await, None);
    }
    created(&q.try_add(simple()).await, "4");
}

pub async fn a_try_that_failed_frees_nothing(bench: &Harness) {
    let q = bench.queue();
    q.add(simple()).await;
    for ending in [again(None), again(Some(q.now())), Ending::Postponed { at: q.now() }, Ending::Returned] {
        q.run_one(ending).await;
        assert_eq!(stands(&q.try_add(simple()).await).0, "1");
    }
    q.take_one().await;
    assert_eq!(q.recover(9).await.len(), 1);
    assert_eq!(stands(&q.try_add(simple()).await), ("1", JobState::Waiting));
}

pub async fn a_job_that_is_cancelled_frees_the_id(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(simple()).await;
    q.cancel(&id, "why").await.unwrap();
    created(&q.try_add(simple()).await, "2");
}

pub async fn an_id_with_a_ttl_is_taken_whatever_becomes_of_the_owner(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(5_000)).await;
    q.run_one(completed()).await;
    assert_eq!(stands(&q.try_add(throttled(5_000)).await), ("1", JobState::Completed));
    assert_eq!(stands(&q.try_add(simple()).await).0, "1");
    q.advance(ms(4_900)).await;
    assert_eq!(stands(&q.try_add(throttled(5_000)).await).0, "1");
    q.advance(ms(600)).await;
    assert_eq!(q.owner("x").await, None);
    created(&q.try_add(throttled(5_000)).await, "5");
}

pub async fn a_ttl_may_end_before_the_owner_does(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(1_000)).await;
    q.advance(ms(1_500)).await;
    created(&q.try_add(throttled(60_000)).await, "2");
    let jobs = q.take(2).await.jobs;
    // The job that owns it no more frees nothing.
    q.finish(&jobs[0], completed()).await.unwrap();
    assert_eq!(q.owner("x").await, Some(JobId::from("2")));
}

pub async fn an_owner_that_retention_removed_stands_for_others_until_its_ttl_is_over(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(5_000)).await;
    q.run_one(completed_keeping(Retention::NONE)).await;
    let added = q.try_add(throttled(5_000)).await;
    assert_eq!((added.id.as_str(), added.fate), ("1", Fate::Deduplicated { owner_exists: false }));
    q.advance(ms(5_500)).await;
    created(&q.try_add(throttled(5_000)).await, "3");
    // Kept for an age, and swept.
    q.run_one(completed_keeping(Retention::age(ms(1_000)))).await;
    q.advance(ms(1_002)).await;
    let request = crate::store::SweepRequest { limit: 10, now: q.now() };
    q.store().sweep(&q.address, request).await.unwrap();
    assert_eq!(q.find(&"3".into()).await, None);
    assert_eq!(q.owner("x").await, Some(JobId::from("3")));
}

pub async fn an_id_without_a_ttl_whose_owner_is_gone_is_free(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(5_000)).await;
    q.run_one(completed_keeping(Retention::NONE)).await;
    // This takes the ttl away.
    let added = q.try_add(draft().once(x().ttl(ms(5_000)).extend().keep_last_if_active())).await;
    assert_eq!(added.fate, Fate::Deduplicated { owner_exists: false });
    q.advance(ms(60_000)).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("1")));
    created(&q.try_add(simple()).await, "3");
    assert_eq!(q.owner("x").await, Some(JobId::from("3")));
}

pub async fn extending_begins_the_ttl_anew(bench: &Harness) {
    let q = bench.queue();
    let extending = |ttl| draft().once(x().ttl(ms(ttl)).extend());
    q.add(extending(2_000)).await;
    q.advance(ms(1_900)).await;
    let here = q.here().await;
    assert_eq!(stands(&q.try_add(extending(9_000)).await).0, "1");
    q.expect_events(&here, &["deduplicated 1 deduplicationId=x deduplicatedJobId=2"]).await;
    q.advance(ms(8_900)).await;
    // Without extend it goes on.
    assert_eq!(stands(&q.try_add(throttled(9_000)).await).0, "1");
    q.advance(ms(600)).await;
    created(&q.try_add(extending(9_000)).await, "4");
}

pub async fn a_delayed_owner_is_replaced_if_asked(bench: &Harness) {
    let q = bench.queue();
    q.add(debounced(5_000).data("1")).await;
    q.log(&"1".into(), "a line", None).await;
    q.advance(ms(1_000)).await;
    let here = q.here().await;
    let due = (q.now() + ms(5_000)).as_millis();
    let added = q.try_add(debounced(5_000).data("2")).await;
    assert_eq!((added.id.as_str(), added.state), ("2", JobState::Delayed));
    assert_eq!(added.fate, Fate::Replaced { removed: "1".into() });
    q.expect_events(
        &here,
        &[
            "removed 1 prev=delayed",
            "deduplicated 2 deduplicationId=x deduplicatedJobId=1",
            "added 2 name=work",
            &format!("delayed 2 delay={due}"),
        ],
    )
    .await;
    assert_eq!(q.tally().await, "delayed=1");
    let request = LogsRequest { job: "1".into(), offset: 0, limit: 1, order: Order::Ascending };
    assert_eq!(q.store().logs(&q.address, request).await.unwrap().total, 0);
    // The new one brought a ttl of its own.
    q.advance(ms(4_900)).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("2")));
    q.advance(ms(600)).await;
    assert_eq!((q.owner("x").await, q.take_rest().await.as_str()), (None, "2"));
}

pub async fn a_replacement_that_does_not_extend_has_what_is_left_of_the_ttl(bench: &Harness) {
    let q = bench.queue();
    let replacing = |ttl| draft().once(x().ttl(ms(ttl)).replace()).delay(ms(60_000));
    q.add(replacing(5_000)).await;
    q.advance(ms(3_000)).await;
    assert!(q.try_add(replacing(90_000)).await.fate.is_new());
    q.advance(ms(1_900)).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("2")));
    q.advance(ms(600)).await;
    assert_eq!(q.owner("x").await, None);
    // Without a ttl it is taken until the owner has ended, whatever it was before.
    q.add(replacing(5_000)).await;
    q.add(draft().once(x().replace()).delay(ms(60_000))).await;
    q.advance(ms(50_000)).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("4")));
    // And that stays so.
    q.add(replacing(5_000)).await;
    q.advance(ms(50_000)).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("5")));
}

pub async fn an_owner_that_is_not_delayed_is_not_replaced(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().once(x().replace())).await;
    let here = q.here().await;
    assert_eq!(stands(&q.try_add(draft().once(x().replace())).await), ("1", JobState::Waiting));
    q.expect_events(&here, &["deduplicated 1 deduplicationId=x deduplicatedJobId=2"]).await;
    let job = q.take_one().await;
    assert_eq!(stands(&q.try_add(draft().once(x().replace())).await), ("1", JobState::Active));
    q.finish(&job, again(Some(q.now() + ms(10)))).await.unwrap();
    let added = q.try_add(draft().once(x().replace())).await;
    assert_eq!(added.fate, Fate::Replaced { removed: "1".into() }, "also one that is to be tried again");
    assert_eq!(q.tally().await, "waiting=1");
}

pub async fn a_delayed_owner_is_rescheduled_if_asked(bench: &Harness) {
    let q = bench.queue();
    let rescheduling = |delay| draft().once(x().reschedule()).delay(ms(delay));
    q.add(simple().delay(ms(10_000)).data("1")).await;
    q.add(draft().delay(ms(15_000))).await;
    q.advance(ms(1_000)).await;
    let here = q.here().await;
    let due = q.now() + ms(20_000);
    assert_eq!(stands(&q.try_add(rescheduling(20_000)).await), ("1", JobState::Delayed));
    let delayed = format!("delayed 1 delay={}", due.as_millis());
    q.expect_events(&here, &["deduplicated 1 deduplicationId=x deduplicatedJobId=3", &delayed]).await;
    let view = q.job("1").await;
    assert_eq!((view.due, view.job.delay_ms, view.job.data.as_str()), (Some(due), 20_000, "1"));
    assert_eq!(q.list(JobState::Delayed).await, "2 1");
    // From the timestamp of the new job.
    let timestamp = q.now() + ms(500);
    q.add(rescheduling(1_000).timestamp(timestamp)).await;
    assert_eq!(q.job("1").await.due, Some(timestamp + ms(1_000)));
    q.add(draft().once(x().reschedule())).await;
    assert_eq!(q.job("1").await.due, Some(q.now()));
    let job = q.take_one().await;
    assert_eq!(job.job.id.as_str(), "1");
    assert_eq!(stands(&q.try_add(rescheduling(1_000)).await), ("1", JobState::Active));
}

pub async fn the_last_job_that_came_while_the_owner_ran_is_run_after_it(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last().data("1")).await;
    assert_eq!(stands(&q.try_add(keeps_last()).await), ("1", JobState::Waiting));
    let job = q.take_one().await;
    let here = q.here().await;
    for n in [3, 4] {
        let added = q.try_add(keeps_last().name("later").data(&n.to_string())).await;
        assert_eq!((added.id.as_str(), added.state), ("1", JobState::Active));
        assert_eq!(added.fate, Fate::KeptAsNext { next: n.to_string().into() });
    }
    q.advance(ms(500)).await;
    q.finish(&job, completed()).await.unwrap();
    q.expect_events(
        &here,
        &[
            "deduplicated 1 deduplicationId=x deduplicatedJobId=3",
            "deduplicated 1 deduplicationId=x deduplicatedJobId=4",
            "added 4 name=later",
            "waiting 4",
            "completed 1 returnvalue=null prev=active",
        ],
    )
    .await;
    let next = q.job("4").await;
    assert_eq!((next.state, next.job.data.as_str()), (JobState::Waiting, "4"));
    assert_eq!((next.job.timestamp, next.job.deduplication_id.as_deref()), (q.now(), Some("x")));
    assert_eq!(q.owner("x").await, Some(JobId::from("4")));
    q.run_one(completed()).await;
    assert_eq!(q.owner("x").await, None);
    created(&q.try_add(simple()).await, "6");
}

pub async fn the_next_job_comes_after_a_failure_too(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let job = q.take_one().await;
    q.add(keeps_last()).await;
    q.finish(&job, again(None)).await.unwrap();
    assert_eq!(q.tally().await, "waiting=1", "the owner has not ended");
    assert_eq!(stands(&q.try_add(keeps_last()).await).1, JobState::Waiting);
    q.run_one(failed("no")).await;
    assert_eq!(q.list(JobState::Waiting).await, "2");
}

pub async fn the_take_of_a_finish_gets_the_next_job(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let job = q.take_one().await;
    q.add(keeps_last()).await;
    let done = q.finish_by(vec![finish(&job, completed())], Some(q.demand(1))).await;
    assert_eq!(super::harness::ids(&done.taken.unwrap().jobs), "2");
}

pub async fn the_next_job_goes_to_its_place(bench: &Harness) {
    let q = bench.queue();
    let next = async |draft: Draft| {
        let q = bench.queue();
        let id = q.add(keeps_last().lifo()).await;
        let job = q.take_one().await;
        assert_eq!(job.job.id, id);
        q.add(draft).await;
        q.finish(&job, completed()).await.unwrap();
        let owner = q.owner("x").await.unwrap();
        q.release("x", None).await;
        q.job(owner).await
    };
    let view = next(keeps_last().delay(ms(700))).await;
    assert_eq!((view.state, view.due), (JobState::Delayed, Some(q.now() + ms(700))));
    let view = next(keeps_last().priority(4)).await;
    assert_eq!((view.state, view.job.priority), (JobState::Prioritized, 4));
    q.add(draft().id("other")).await;
    let first = next(keeps_last().lifo()).await.job.id;
    assert_eq!(q.list(JobState::Waiting).await, format!("{first} other"));
    q.remove(&first).await;
    let second = next(keeps_last()).await.job.id;
    assert_eq!(q.list(JobState::Waiting).await, format!("other {second}"));
}

pub async fn a_kept_job_whose_own_id_is_there_by_then_is_not_added(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let job = q.take_one().await;
    let added = q.try_add(keeps_last().id("mine").data("1")).await;
    assert_eq!(added.fate, Fate::KeptAsNext { next: "mine".into() });
    q.add(draft().id("mine").data("2")).await;
    let here = q.here().await;
    q.finish(&job, completed()).await.unwrap();
    q.expect_events(&here, &["duplicated mine", "completed 1 returnvalue=null prev=active"]).await;
    assert_eq!(q.job("mine").await.job.data.as_str(), "2");
    assert_eq!(q.owner("x").await, None);
}

pub async fn a_ttl_has_no_effect_with_keep_last(bench: &Harness) {
    let q = bench.queue();
    let draft = || draft().once(x().keep_last_if_active().ttl(ms(1_000)));
    q.add(draft()).await;
    q.advance(ms(1_500)).await;
    assert_eq!(stands(&q.try_add(draft()).await).0, "1");
    q.run_one(completed()).await;
    assert_eq!(q.owner("x").await, None);
}

pub async fn a_job_that_is_removed_by_hand_frees_the_id(bench: &Harness) {
    let q = bench.queue();
    let now = q.now();
    let ways = ["remove", "clean", "drain", "obliterate"];
    for way in ways {
        for draft in [simple(), throttled(60_000)] {
            let id = q.try_add(draft).await;
            assert_eq!(id.fate, Fate::Created, "{way}");
            match way {
                "remove" => assert_eq!(q.remove(&id.id).await, RemoveAnswer::Removed),
                "clean" => {
                    let request = CleanRequest { state: JobState::Waiting, older_than: now, limit: 10, now };
                    q.store().clean(&q.address, request).await.unwrap();
                }
                "drain" => {
                    let request = DrainRequest { delayed: true, limit: 10, now };
                    q.store().drain(&q.address, request).await.unwrap();
                }
                _ => {
                    let request = ObliterateRequest { force: true, limit: 10, now };
                    while q.store().obliterate(&q.address, request).await.unwrap().more {}
                }
            }
            assert_eq!(q.owner("x").await, None, "{way}");
        }
    }
}

pub async fn the_removal_of_another_job_frees_nothing(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(1_000)).await;
    q.advance(ms(1_500)).await;
    q.add(simple()).await;
    q.remove(&"1".into()).await;
    assert_eq!(q.owner("x").await, Some(JobId::from("2")));
}

pub async fn the_kept_job_goes_with_an_owner_that_is_removed(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let job = q.take_one().await;
    q.add(keeps_last()).await;
    q.finish(&job, again(None)).await.unwrap();
    q.remove(&job.job.id).await;
    q.add(simple()).await;
    q.run_one(completed()).await;
    assert_eq!(q.tally().await, "completed=1");
}

pub async fn retention_frees_no_id(bench: &Harness) {
    let q = bench.queue();
    q.add(throttled(60_000)).await;
    q.run_one(completed()).await;
    q.add(draft()).await;
    q.run_one(completed_keeping(Retention::count(1))).await;
    assert_eq!(q.list(JobState::Completed).await, "2");
    assert_eq!(q.owner("x").await, Some(JobId::from("1")));
}

pub async fn earlier_jobs_of_one_call_are_seen(bench: &Harness) {
    let q = bench.queue();
    let group = q.add_all([simple(), simple(), draft(), debounced(5_000), simple().id("mine")]).await;
    created(&group[0], "1");
    assert_eq!(stands(&group[1]), ("1", JobState::Waiting));
    created(&group[2], "3");
    assert_eq!(stands(&group[3]).0, "1");
    assert_eq!(stands(&group[4]).0, "1");
    assert_eq!(q.tally().await, "waiting=2");
    let y = || draft().once(Deduplication::by("y").replace()).delay(ms(9));
    let answers = q.add_groups([vec![y()], vec![y(), y()], vec![draft().once(Deduplication::by("y"))]]).await;
    let answers: Vec<Added> = answers.into_iter().flat_map(Result::unwrap).collect();
    created(&answers[0], "6");
    assert_eq!(answers[1].fate, Fate::Replaced { removed: "6".into() });
    assert_eq!(answers[2].fate, Fate::Replaced { removed: "7".into() });
    assert_eq!(stands(&answers[3]), ("8", JobState::Delayed));
    assert_eq!(q.list(JobState::Delayed).await, "8");
}

pub async fn an_own_id_that_is_there_already_comes_first(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("mine")).await;
    let here = q.here().await;
    let added = q.try_add(simple().id("mine")).await;
    assert_eq!((added.id.as_str(), &added.fate), ("mine", &Fate::Existing));
    q.expect_events(&here, &["duplicated mine"]).await;
    assert_eq!(q.owner("x").await, None);
    // An own id that is new stands for others like any.
    q.add(simple().id("other")).await;
    assert_eq!(stands(&q.try_add(simple()).await).0, "other");
    assert_eq!(stands(&q.try_add(simple().id("third")).await).0, "other");
}

pub async fn an_id_can_be_released(bench: &Harness) {
    let q = bench.queue();
    assert!(!q.release("x", None).await);
    let id = q.add(throttled(60_000)).await;
    assert!(!q.release("x", Some(&"7".into())).await);
    assert!(!q.release("y", Some(&id)).await);
    let here = q.here().await;
    assert!(q.release("x", Some(&id)).await);
    assert!(!q.release("x", Some(&id)).await);
    created(&q.try_add(simple()).await, "2");
    assert!(q.release("x", None).await);
    q.expect_events(&here, &["added 2 name=work", "waiting 2"]).await;
    q.run_one(completed()).await;
    created(&q.try_add(simple()).await, "3");
}

pub async fn a_release_leaves_the_kept_job(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let job = q.take_one().await;
    q.add(keeps_last()).await;
    assert!(q.release("x", None).await);
    q.finish(&job, completed()).await.unwrap();
    assert_eq!((q.owner("x").await, q.list(JobState::Waiting).await.as_str()), (Some("2".into()), "2"));
}

pub async fn a_kept_job_waits_for_the_owner_and_not_for_one_that_was(bench: &Harness) {
    let q = bench.queue();
    q.add(keeps_last()).await;
    let first = q.take_one().await;
    q.release("x", None).await;
    q.add(keeps_last()).await;
    let second = q.take_one().await;
    assert_eq!(q.try_add(keeps_last()).await.fate, Fate::KeptAsNext { next: "3".into() });
    q.finish(&first, completed()).await.unwrap();
    assert_eq!(q.tally().await, "active=1 completed=1");
    q.finish(&second, completed()).await.unwrap();
    assert_eq!(q.tally().await, "completed=2 waiting=1");
}

pub async fn of_many_at_once_one_is_created(bench: &Harness) {
    async fn add_one(q: &On<'_>) -> usize {
        usize::from(q.try_add(simple()).await.fate.is_new())
    }
    let q = bench.queue();
    let new: [usize; 4] = tokio::join!(add_one(&q), add_one(&q), add_one(&q), add_one(&q)).into();
    assert_eq!((new.iter().sum::<usize>(), q.tally().await.as_str()), (1, "waiting=1"));
}

pub async fn ids_of_queues_and_prefixes_are_separate(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    q.add(simple()).await;
    assert_eq!(other.owner("x").await, None);
    created(&other.try_add(simple()).await, "1");
    let odd = "a b:c/{d}\"\u{e9}\n";
    q.add(draft().once(Deduplication::by(odd))).await;
    assert_eq!(stands(&q.try_add(draft().once(Deduplication::by(odd))).await).0, "2");
    assert_eq!(q.owner(odd).await, Some(JobId::from("2")));
}
