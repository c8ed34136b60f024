//! Cases of `Store::add`.

use std::collections::BTreeMap;
use std::task::Poll;

use super::harness::{Harness, On, draft, ids, ms, words};
use crate::address::QueueAddress;
use crate::job::Job;
use crate::json::JsonText;
use crate::options::{Backoff, JobOptions, Retention};
use crate::state::JobState;
use crate::store::{AddGroup, AddRequest, Added, Fate};

fn id_words(added: &[Added]) -> String {
    words(added.iter().map(|added| added.id.as_str()))
}

pub async fn a_job_comes_back_as_it_was_added(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().name("send mail").data(r#"{"to":"a@example.org"}"#)).await;
    let view = q.job(&id).await;
    let mut expected = Job::new(
        id,
        "send mail".into(),
        JsonText::stored(r#"{"to":"a@example.org"}"#),
        view.job.opts.clone(),
    );
    expected.timestamp = q.now();
    assert_eq!(view.job, expected, "all but these is unset");
    assert_eq!((view.state, view.due, view.token), (JobState::Waiting, None, None));
}

pub async fn json_is_kept_byte_for_byte(bench: &Harness) {
    let q = bench.queue();
    let texts = [
        r#"{"b":12345678901234567890123,"a":1.10,"nested":{"z":[],"y":{}},"e":1e400}"#,
        r#"  [ 1,  "ü\u00fc\/ \u0000", null ] "#,
        "null",
        "\"\"",
        "{}",
    ];
    for text in texts {
        let id = q.add(draft().data(text)).await;
        assert_eq!(q.job(&id).await.job.data.as_str(), text);
        assert_eq!(q.take_one().await.job.data.as_str(), text);
    }
}

pub async fn large_data_and_odd_texts_survive(bench: &Harness) {
    let q = bench.queue();
    let text = format!("\"{}\"", "x".repeat(900_000));
    let id = q.add(draft().data(&text).name("emoji \u{1f980}, 'quotes\" and \\; -- ?1 :a @b $c")).await;
    let job = q.job(&id).await.job;
    assert_eq!(job.data.as_str(), text);
    assert_eq!(job.name, "emoji \u{1f980}, 'quotes\" and \\; -- ?1 :a @b $c");
}

pub async fn options_survive_with_members_that_are_not_known(bench: &Harness) {
    let q = bench.queue();
    let json = r#"{"attempts":7,"keepLogs":3,"mine":{"deep":[1,{"b":null}]},"oxmq":{"later":[2],"ttl":5000},"stackTraceLimit":2}"#;
    let options = JobOptions {
        backoff: Some(Backoff::exponential(ms(250)).jitter(0.5)),
        remove_on_complete: Some(Retention::count(9)),
        remove_on_fail: Some(Retention::age(ms(60_000))),
        ..JobOptions::parse(json).unwrap()
    };
    let id = q.add(draft().with(|of| *of = options.clone())).await;
    assert_eq!(q.job(&id).await.job.options(), options);
    assert_eq!(q.take_one().await.job.options(), options);
}

pub async fn ids_are_counted_from_one(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(id_words(&q.add_all([draft(), draft()]).await), "1 2");
    assert_eq!(q.add(draft().delay(ms(10))).await.as_str(), "3");
    assert_eq!(q.add(draft().priority(4)).await.as_str(), "4");
}

pub async fn a_job_with_an_id_of_its_own_spends_a_number(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_all([draft(), draft().id("mine"), draft()]).await;
    assert_eq!(id_words(&added), "1 mine 3");
}

pub async fn a_duplicate_spends_a_number(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("mine")).await;
    q.add(draft().id("mine")).await;
    assert_eq!(q.add(draft()).await.as_str(), "3");
}

pub async fn ids_are_not_given_again_after_a_removal(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    q.remove(&id).await;
    assert_eq!(q.add(draft()).await.as_str(), "2");
}

pub async fn an_own_id_can_be_used_again_after_a_removal(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().id("mine").data("1")).await;
    q.log(&id, "old", None).await;
    q.remove(&id).await;
    let added = q.add_all([draft().id("mine").data("2")]).await.remove(0);
    assert_eq!(added.fate, Fate::Created);
    assert_eq!(q.job("mine").await.job.data.as_str(), "2");
    assert_eq!(q.note(&id, crate::store::Note::ClearLogs { keep: Some(9) }).await.unwrap(), 0);
}

pub async fn a_duplicate_changes_nothing_and_says_so(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().id("mine").data("1").priority(3)).await;
    q.add(draft().priority(3)).await;
    let before = q.job("mine").await;
    let here = q.here().await;
    let added = q.add_all([draft().id("mine").data("2").name("other").delay(ms(5))]).await.remove(0);
    assert_eq!(added, Added::existing("mine".into(), JobState::Prioritized));
    assert_eq!(q.job("mine").await, before);
    assert_eq!(q.list(JobState::Prioritized).await, "mine 2");
    q.expect_events(&here, &["duplicated mine"]).await;
}

pub async fn a_duplicate_tells_the_state_the_job_is_in(bench: &Harness) {
    let q = bench.queue();
    let again = async || q.add_all([draft().id("mine")]).await.remove(0);
    q.add(draft().id("mine").delay(ms(1_000))).await;
    assert_eq!(again().await.state, JobState::Delayed);
    q.promote(&"mine".into()).await.unwrap();
    assert_eq!(again().await.state, JobState::Waiting);
    let job = q.take_one().await;
    assert_eq!(again().await.state, JobState::Active);
    q.finish(&job, super::harness::completed()).await.unwrap();
    assert_eq!(again().await, Added::existing("mine".into(), JobState::Completed));
    assert_eq!(q.tally().await, "completed=1");
}

pub async fn a_duplicate_within_one_group_is_found(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_all([draft().id("a").data("1"), draft().id("a").data("2"), draft()]).await;
    assert_eq!(id_words(&added), "a a 3");
    assert_eq!((&added[0].fate, &added[1].fate), (&Fate::Created, &Fate::Existing));
    assert_eq!(q.job("a").await.job.data.as_str(), "1");
}

pub async fn jobs_of_one_call_keep_what_each_was_given(bench: &Harness) {
    let q = bench.queue();
    let later = || draft().delay(ms(500));
    let urgent = || draft().priority(3);
    let drafts =
        [draft(), draft(), urgent(), urgent(), later(), later(), urgent().id("own"), urgent(), draft()];
    let added = q.add_all(drafts).await;
    assert_eq!(id_words(&added), "1 2 3 4 5 6 own 8 9");
    for (added, given) in added.iter().zip("wait wait prio prio late late prio prio wait".split(' ')) {
        let view = q.job(added.id.as_str()).await;
        let (state, priority, delay_ms) = match given {
            "prio" => (JobState::Prioritized, 3, 0),
            "late" => (JobState::Delayed, 0, 500),
            _ => (JobState::Waiting, 0, 0),
        };
        assert_eq!((&added.fate, added.state), (&Fate::Created, state), "{added:?}");
        assert_eq!((view.state, view.job.priority, view.job.delay_ms), (state, priority, delay_ms));
        assert_eq!(view.job.options().priority.unwrap_or(0), priority, "{added:?}");
    }
}

pub async fn a_hundred_jobs_of_one_call_keep_what_each_was_given(bench: &Harness) {
    let q = bench.queue();
    let given = |n: usize| match n {
        n if n.is_multiple_of(29) => draft().delay(ms(500)),
        n if n.is_multiple_of(23) => draft().id(&format!("own-{n}")),
        n if n.is_multiple_of(7) => draft().lifo(),
        n if n.is_multiple_of(3) => draft().priority(1 + u32::try_from(n % 2).unwrap()),
        _ => draft(),
    };
    let added = q.add_all((1..=100).map(|n| given(n).data(&n.to_string()))).await;
    let (mut front, mut back, mut urgent, mut less) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (added, n) in added.iter().zip(1..) {
        let wanted = given(n).0.options;
        let view = q.job(added.id.as_str()).await;
        let id = wanted.job_id.map_or_else(|| n.to_string(), |id| id.as_str().to_owned());
        let priority = wanted.priority.unwrap_or(0);
        let is_late = wanted.delay.is_some();
        let state = match priority {
            _ if is_late => JobState::Delayed,
            0 => JobState::Waiting,
            _ => JobState::Prioritized,
        };
        assert_eq!((added.id.as_str(), added.state, view.state), (id.as_str(), state, state), "{n}");
        assert_eq!((view.job.data.as_str(), view.job.priority), (n.to_string().as_str(), priority), "{n}");
        assert_eq!(view.job.delay_ms, if is_late { 500 } else { 0 }, "{n}");
        assert_eq!((view.job.timestamp, view.job.options().lifo), (q.now(), wanted.lifo), "{n}");
        match priority {
            _ if is_late => {}
            0 if wanted.lifo.is_some() => front.insert(0, id),
            0 => back.push(id),
            1 => urgent.push(id),
            _ => less.push(id),
        }
    }
    assert_eq!(q.take_rest().await, [front, back, urgent, less].concat().join(" "));
}

pub async fn groups_are_answered_each_in_order(bench: &Harness) {
    let q = bench.queue();
    let groups = [vec![draft(), draft().id("x")], vec![], vec![draft().id("x")], vec![draft()]];
    let answers: Vec<_> = q.add_groups(groups).await.into_iter().map(|group| group.unwrap()).collect();
    assert_eq!(answers.iter().map(|group| id_words(group)).collect::<Vec<_>>(), ["1 x", "", "x", "4"]);
    assert_eq!(answers[2][0].fate, Fate::Existing);
    assert_eq!(q.take_rest().await, "1 x 4");
}

pub async fn an_add_of_nothing_is_answered_with_nothing(bench: &Harness) {
    let q = bench.queue();
    assert!(q.add_groups([]).await.is_empty());
    assert_eq!(q.tally().await, "");
}

pub async fn a_group_of_a_thousand_keeps_its_order(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_many(1_000).await;
    assert_eq!(q.counts().await.waiting, 1_000);
    let taken = q.take(1_000).await.jobs;
    assert!(taken.iter().map(|job| &job.job.id).eq(&added));
}

pub async fn waiting_jobs_come_first_in_first_out(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    assert_eq!(q.take_rest().await, "1 2 3 4 5");
}

pub async fn waiting_jobs_come_before_prioritized_ones(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().priority(1), draft(), draft().priority(1), draft()]).await;
    assert_eq!(q.take_rest().await, "2 4 1 3");
}

pub async fn smaller_priorities_come_first_and_equals_in_the_order_added(bench: &Harness) {
    let q = bench.queue();
    q.add_all([5, 2, 2_097_151, 5, 1, 2].map(|priority| draft().priority(priority))).await;
    q.add_all([5, 1].map(|priority| draft().priority(priority))).await;
    assert_eq!(q.list(JobState::Prioritized).await, "5 8 2 6 1 4 7 3");
    assert_eq!(q.take_rest().await, "5 8 2 6 1 4 7 3");
}

pub async fn many_equals_stay_in_the_order_added(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_all(std::iter::repeat_n(draft().priority(7), 120)).await;
    assert_eq!(q.take_rest().await, id_words(&added));
}

pub async fn lifo_jobs_go_to_the_front(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().lifo(), draft(), draft().lifo()]).await;
    assert_eq!(q.list(JobState::Waiting).await, "4 2 1 3");
    assert_eq!(q.take_rest().await, "4 2 1 3");
}

pub async fn a_priority_beats_lifo(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().priority(3), draft().priority(3).lifo(), draft()]).await;
    assert_eq!(q.take_rest().await, "3 1 2");
}

pub async fn a_delayed_job_is_due_at_its_timestamp_and_its_delay(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().delay(ms(1_500))).await;
    let view = q.job(&id).await;
    assert_eq!(
        (view.state, view.due, view.job.delay_ms),
        (JobState::Delayed, Some(q.now() + ms(1_500)), 1_500)
    );
    let made = q.now().minus(ms(1_000));
    let id = q.add(draft().timestamp(made).delay(ms(1_500))).await;
    let view = q.job(&id).await;
    assert_eq!((view.due, view.job.timestamp), (Some(q.now() + ms(500)), made));
}

pub async fn a_delayed_job_whose_time_is_past_waits_for_a_take(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().timestamp(q.now().minus(ms(9_000))).delay(ms(1))).await;
    assert_eq!(q.state(&id).await, JobState::Delayed);
    assert_eq!(ids(&q.take(1).await.jobs), "1");
}

pub async fn a_delay_of_zero_is_none(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(0)), draft().delay(ms(0)).priority(1)]).await;
    assert_eq!(q.tally().await, "prioritized=1 waiting=1");
}

pub async fn a_delay_comes_before_a_priority(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().delay(ms(1)).priority(2)).await;
    let view = q.job(&id).await;
    assert_eq!((view.state, view.job.priority), (JobState::Delayed, 2));
}

pub async fn delayed_jobs_are_in_order_of_their_time(bench: &Harness) {
    let q = bench.queue();
    q.add_all([300, 100, 200, 100].map(|delay| draft().delay(ms(delay)))).await;
    assert_eq!(q.list(JobState::Delayed).await, "2 4 3 1");
}

pub async fn a_timestamp_of_its_own_is_kept(bench: &Harness) {
    let q = bench.queue();
    let made = q.now().minus(ms(77));
    let id = q.add(draft().timestamp(made)).await;
    assert_eq!(q.job(&id).await.job.timestamp, made);
    assert_eq!(q.state(&id).await, JobState::Waiting);
}

pub async fn a_job_counts_as_created_when_it_was_made(bench: &Harness) {
    let q = bench.queue();
    let made = q.now().minus(ms(77));
    let id = q.add(draft().with(|options| options.made_at = Some(made))).await;
    let job = q.job(&id).await.job;
    assert_eq!((job.timestamp, job.options().timestamp), (made, None), "it is no option of the job's");
    let both = draft().timestamp(made.minus(ms(1))).with(|options| options.made_at = Some(made));
    let id = q.add(both).await;
    assert_eq!(q.job(&id).await.job.timestamp, made.minus(ms(1)));
    let late = draft().delay(ms(100)).with(|options| options.made_at = Some(made));
    let id = q.add(late).await;
    assert_eq!(q.job(&id).await.due, Some(made + ms(100)));
}

pub async fn calls_take_effect_in_the_order_in_which_they_began(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    if !bench.store().keeps_order() {
        return;
    }
    let add = |q: &On<'_>| {
        let request = AddRequest { groups: vec![AddGroup { jobs: vec![draft().0] }], now: q.now() };
        let (store, address) = (bench.store_handle(), q.address.clone());
        Box::pin(async move { store.add(&address, request).await })
    };
    let mut calls: Vec<_> = (0..200).map(|turn| add(if turn % 3 == 0 { &other } else { &q })).collect();
    let mut early = Vec::new();
    for (turn, call) in calls.iter_mut().enumerate() {
        let polled = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        early.push((turn, polled));
    }
    let mut last = BTreeMap::new();
    for ((turn, polled), call) in early.into_iter().zip(calls) {
        let added = match polled {
            Poll::Ready(added) => added,
            Poll::Pending => call.await,
        };
        let id: u64 = added.unwrap().remove(0).unwrap()[0].id.as_str().parse().unwrap();
        let before = last.insert(turn % 3 == 0, id).unwrap_or(0);
        assert_eq!(id, before + 1, "call {turn}");
    }
}

pub async fn a_paused_queue_takes_jobs_as_always(bench: &Harness) {
    let q = bench.queue();
    q.pause().await;
    let added = q.add_all([draft(), draft().priority(1), draft().delay(ms(1))]).await;
    let states: Vec<_> = added.iter().map(|added| added.state).collect();
    assert_eq!(states, [JobState::Waiting, JobState::Prioritized, JobState::Delayed]);
    assert_eq!(q.tally().await, "delayed=1 prioritized=1 waiting=1");
}

pub async fn an_add_tells_added_and_then_where_the_job_is(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.add_all([
        draft().name("a"),
        draft().name("b").priority(1),
        draft().name("c").delay(ms(50)),
        draft().name("d").lifo(),
    ])
    .await;
    let due = (q.now() + ms(50)).as_millis();
    q.expect_events(
        &here,
        &[
            "added 1 name=a",
            "waiting 1",
            "added 2 name=b",
            "waiting 2",
            "added 3 name=c",
            &format!("delayed 3 delay={due}"),
            "added 4 name=d",
            "waiting 4",
        ],
    )
    .await;
}

pub async fn queues_and_prefixes_are_separate(bench: &Harness) {
    let (one, two) = (bench.on("one"), bench.on("two"));
    let mut other = bench.on("one");
    other.address = QueueAddress::with_prefix("an:other", "one").unwrap();
    assert_eq!(one.add(draft().id("same").data("1")).await.as_str(), "same");
    for q in [&two, &other] {
        assert_eq!(q.tally().await, "");
        assert!(q.find(&"same".into()).await.is_none());
        assert!(q.take(1).await.jobs.is_empty());
        assert!(q.events_since(&crate::EventCursor::Oldest).await.is_empty());
    }
    two.add(draft().id("same").data("2")).await;
    assert_eq!(other.add(draft()).await.as_str(), "1");
    two.pause().await;
    assert_eq!(one.take_one().await.job.data.as_str(), "1");
    assert_eq!(two.state("same").await, JobState::Waiting);
    assert_eq!(other.take_rest().await, "1");
}
