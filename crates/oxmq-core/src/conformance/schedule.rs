//! `put_schedule`, `advance_schedule`, `remove_schedule`, `schedule`, `schedules`.

use std::time::Duration;

use super::harness::{Draft, Harness, On, completed, draft, failed, ms, refused, words};
use crate::address::JobId;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};
use crate::job::{JobView, LeasedJob};
use crate::json::JsonText;
use crate::schedule::Repeat;
use crate::schedule::step::slot_id;
use crate::state::JobState::{Active, Completed, Delayed, Failed, Prioritized, Waiting};
use crate::store::{
    Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, CancelAnswer, DrainRequest, NextRun,
    ObliterateRequest, Order, PutScheduleRequest, RemoveAnswer, RemoveRequest, RemoveScheduleRequest,
    RemoveScope, SLOTS_TRIED_MAX, ScheduleInfo, Scheduled, SchedulesRequest,
};

const MINUTE: Duration = Duration::from_secs(60);

fn every() -> Repeat {
    Repeat::every(MINUTE)
}

fn hourly() -> Repeat {
    Repeat::pattern("0 * * * *")
}

impl On<'_> {
    fn in_time(&self, time: u64) -> Timestamp {
        self.now() + ms(time)
    }

    async fn try_put(
        &self,
        id: &str,
        repeat: &Repeat,
        at: Option<Timestamp>,
        job: Draft,
    ) -> Result<Scheduled> {
        let (repeat, now) = (repeat.clone(), self.now());
        let request = PutScheduleRequest { id: id.into(), repeat, at, template: job.0, now };
        self.store().put_schedule(&self.address, request).await
    }

    /// Puts a schedule that makes a job; its slot.
    async fn put(&self, id: &str, repeat: &Repeat, job: Draft) -> Timestamp {
        self.put_at(id, repeat, None, job).await
    }

    async fn put_at(&self, id: &str, repeat: &Repeat, at: Option<Timestamp>, job: Draft) -> Timestamp {
        let next = self.try_put(id, repeat, at, job).await.unwrap().next.unwrap();
        assert_eq!(next.job, slot_id(id, next.due));
        next.due
    }

    async fn advance_by(&self, id: &str, job: &JobId, next: Option<Advance>, alone: bool) -> Advanced {
        let (id, job) = (id.into(), job.clone());
        let request = AdvanceScheduleRequest { id, job, next, alone, now: self.now() };
        self.store().advance_schedule(&self.address, request).await.unwrap()
    }

    /// What the engine asks for when it has taken a job.
    fn next_of(&self, job: &JobView, at: Option<Timestamp>) -> Advance {
        let options = job.job.options();
        let mut repeat = Repeat::parse(options.other["repeat"].as_str()).unwrap();
        repeat.count = repeat.iteration();
        Advance { at, left_out_before: self.now(), repeat, options }
    }

    /// Starts the only job that is due, and makes the next one.
    async fn start(&self, id: &str, at: Option<Timestamp>) -> (LeasedJob, AdvanceFate) {
        let job = self.take_one().await;
        let next = self.next_of(&self.job(&job.job.id).await, at);
        let advanced = self.advance_by(id, &job.job.id, Some(next), false).await;
        assert_eq!(advanced.overlaps, None);
        (job, advanced.fate)
    }

    /// The same; it is made, and its slot is given.
    async fn run_slot(&self, id: &str, at: Option<Timestamp>) -> Timestamp {
        let (job, fate) = self.start(id, at).await;
        self.finish(&job, completed()).await.unwrap();
        match fate {
            AdvanceFate::Made(next) => next.due,
            other => panic!("{other:?}"),
        }
    }

    async fn schedule(&self, id: &str) -> ScheduleInfo {
        self.store().schedule(&self.address, id).await.unwrap().unwrap()
    }

    async fn page_of(&self, offset: u64, limit: usize, order: Order) -> (String, u64) {
        let request = SchedulesRequest { offset, limit, order };
        let page = self.store().schedules(&self.address, request).await.unwrap();
        (words(page.schedules.iter().map(|schedule| schedule.id.as_str())), page.total)
    }

    async fn remove_schedule(&self, id: &str) -> bool {
        let request = RemoveScheduleRequest { id: id.into(), now: self.now() };
        self.store().remove_schedule(&self.address, request).await.unwrap()
    }

    async fn try_remove(&self, job: &JobId) -> Result<RemoveAnswer> {
        let request = RemoveRequest { job: job.clone(), scope: RemoveScope::JobOnly, now: self.now() };
        self.store().remove(&self.address, request).await
    }
}

/// The members of a job's options that a schedule sets.
fn ties(view: &JobView) -> String {
    let options = view.job.options();
    let member = |name: &str| options.other.get(name).map_or("-", JsonText::as_str).to_owned();
    let mut repeat: std::collections::BTreeMap<String, JsonText> = options.other["repeat"].read().unwrap();
    let count = repeat.remove("count").unwrap();
    let repeat = JsonText::of(&repeat).unwrap();
    format!("{repeat} {count} {} {}", member("repeatJobKey"), member("prevMillis"))
}

pub async fn a_schedule_of_every_begins_at_once(bench: &Harness) {
    let on = bench.queue();
    let since = on.here().await;
    let slot = on.put("tick", &every(), draft().name("tock").data("[1]")).await;
    assert_eq!(slot, on.now());
    let id = slot_id("tick", slot);
    on.expect_events(&since, &[&format!("added {id} name=tock"), &format!("waiting {id}")]).await;
    let view = on.job(&id).await;
    assert_eq!((view.state, view.job.delay_ms, view.job.timestamp), (Waiting, 0, slot));
    assert_eq!((view.job.name.as_str(), view.job.data.as_str()), ("tock", "[1]"));
    assert_eq!(view.job.scheduler_id.as_deref(), Some("tick"));
    assert_eq!(ties(&view), r#"{"every":60000} 1 "tick" -"#);
    let options = view.job.options();
    assert_eq!((options.job_id, options.delay), (Some(id), Some(Duration::ZERO)));
    // It spent a number.
    assert_eq!(on.add(draft()).await.as_str(), "2");
}

pub async fn every_begins_at_its_start_or_in_step_with_its_offset(bench: &Harness) {
    let on = bench.queue();
    // The clock of the cases begins 20 s after a whole minute.
    let mut repeat = every();
    repeat.offset = Some(5_000);
    assert_eq!(on.put("offset", &repeat, draft()).await, on.in_time(45_000));
    repeat.offset = None;
    repeat.start_date = Some(on.in_time(7));
    assert_eq!(on.put("start", &repeat, draft()).await, on.in_time(7));
    let view = on.job(slot_id("start", on.in_time(7))).await;
    assert_eq!((view.state, view.due, view.job.delay_ms), (Delayed, Some(on.in_time(7)), 7));
    repeat.start_date = Some(on.now().minus(MINUTE));
    assert_eq!(on.put("begun", &repeat, draft()).await, on.now());
    let offsets = ["offset", "start", "begun"].map(async |id| on.schedule(id).await.repeat.unwrap().offset);
    let [a, b, c] = offsets;
    assert_eq!((a.await, b.await, c.await), (Some(5_000), Some(20_007), Some(20_000)));
}

pub async fn a_pattern_waits_for_the_time_it_is_given(bench: &Harness) {
    let on = bench.queue();
    let since = on.here().await;
    let mut repeat = hourly();
    repeat.tz = Some("Europe/Stockholm".into());
    let slot = on.put_at("cron", &repeat, Some(on.in_time(5_000)), draft()).await;
    assert_eq!(slot, on.in_time(5_000));
    let id = slot_id("cron", slot);
    on.expect_events(&since, &[&format!("added {id} name=work"), &format!("delayed {id} delay={slot}")])
        .await;
    let view = on.job(&id).await;
    assert_eq!((view.state, view.due), (Delayed, Some(slot)));
    assert_eq!(ties(&view), format!(r#"{{"pattern":"0 * * * *","tz":"Europe/Stockholm"}} 1 "cron" {slot}"#));
    refused(on.try_put("cron", &repeat, None, draft()).await, ErrorKind::Invalid);
}

pub async fn a_pattern_that_is_due_waits_at_once(bench: &Harness) {
    let on = bench.queue();
    let mut repeat = hourly();
    repeat.immediately = true;
    let slot = on.put_at("cron", &repeat, Some(on.now()), draft()).await;
    let view = on.job(slot_id("cron", slot)).await;
    assert_eq!(view.state, Waiting);
    assert!(!ties(&view).contains("immediately"), "only the first run is at once");
}

pub async fn the_jobs_are_as_the_template_says(bench: &Harness) {
    let on = bench.queue();
    on.add(draft()).await;
    on.put("urgent", &every(), draft().priority(4).with(|options| options.attempts = Some(3))).await;
    on.put("next", &every(), draft().lifo()).await;
    let (urgent, next) = (slot_id("urgent", on.now()), slot_id("next", on.now()));
    assert_eq!(on.list(Prioritized).await, urgent.as_str());
    assert_eq!(on.list(Waiting).await, format!("{next} 1"));
    assert_eq!(on.job(&urgent).await.job.options().attempts, Some(3));
    let info = on.schedule("urgent").await;
    assert_eq!(info.options.as_str(), r#"{"priority":4,"attempts":3}"#);
    // What only a single job can have is no part of it.
    let id =
        on.put("own", &every(), draft().id("mine").delay(MINUTE).timestamp(on.now().minus(MINUTE))).await;
    let view = on.job(slot_id("own", id)).await;
    assert_eq!((view.state, view.job.timestamp), (Waiting, on.now()));
    assert_eq!(on.schedule("own").await.options.as_str(), "{}");
}

pub async fn a_job_of_a_schedule_wakes_who_waits(bench: &Harness) {
    let on = bench.queue();
    assert!(on.take(1).await.jobs.is_empty());
    on.put("tick", &every(), draft()).await;
    let request = crate::store::WaitRequest { worker: None, timeout: super::harness::PATIENCE };
    assert_eq!(on.store().wait(&on.address, request).await.unwrap(), crate::store::Woken::Look);
}

pub async fn starting_a_job_makes_the_next_one(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft().name("tock").data("1").priority(2)).await;
    let since = on.here().await;
    let (first, second) = (slot_id("tick", begin), slot_id("tick", begin + MINUTE));
    let (_, fate) = on.start("tick", None).await;
    assert_eq!(fate, AdvanceFate::Made(NextRun { job: second.clone(), due: begin + MINUTE }));
    let told = [
        format!("active {first} prev=waiting"),
        format!("added {second} name=tock"),
        format!("delayed {second} delay={}", begin + MINUTE),
    ];
    on.expect_events(&since, &told.each_ref().map(String::as_str)).await;
    let view = on.job(&second).await;
    assert_eq!((view.state, view.job.priority, view.job.data.as_str()), (Delayed, 2, "1"));
    assert_eq!(ties(&view), r#"{"every":60000} 2 "tick" -"#);
    let info = on.schedule("tick").await;
    assert_eq!((info.next, info.made, info.ended), (begin + MINUTE, 2, false));
    on.advance(MINUTE).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE * 2);
}

pub async fn the_next_job_of_a_pattern_is_due_when_the_caller_says(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put_at("cron", &hourly(), Some(on.now()), draft()).await;
    let next = on.run_slot("cron", Some(on.in_time(2_800_000))).await;
    assert_eq!(next, begin + ms(2_800_000));
    let view = on.job(slot_id("cron", next)).await;
    assert_eq!(ties(&view), format!(r#"{{"pattern":"0 * * * *"}} 2 "cron" {next}"#));
}

pub async fn a_next_job_has_the_name_and_data_of_the_schedule_and_the_options_of_the_job(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft().name("old").data("1").priority(1)).await;
    let job = on.take_one().await;
    // Meanwhile the template changed; the job that runs is as it was made.
    on.advance(ms(10)).await;
    let next = on.put("tick", &every(), draft().name("new").data("2").priority(2)).await;
    assert_eq!(next, on.now().minus(ms(10)) + MINUTE, "the slot after the one that runs");
    let mut advance = on.next_of(&on.job(&job.job.id).await, None);
    assert_eq!(
        on.advance_by("tick", &job.job.id, Some(advance.clone()), false).await.fate,
        AdvanceFate::Passed
    );
    on.advance(MINUTE).await;
    let second = on.take_one().await;
    assert_eq!((second.job.name.as_str(), second.job.priority), ("new", 2));
    advance.options.priority = Some(7);
    advance.left_out_before = on.now();
    let made = on.advance_by("tick", &second.job.id, Some(advance), false).await.fate;
    let AdvanceFate::Made(next) = made else { panic!("{made:?}") };
    let view = on.job(&next.job).await;
    assert_eq!((view.job.name.as_str(), view.job.data.as_str(), view.job.priority), ("new", "2", 7));
}

pub async fn only_the_current_job_makes_the_next_one(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    let (job, fate) = on.start("tick", None).await;
    assert!(matches!(fate, AdvanceFate::Made(_)));
    let next = on.next_of(&on.job(&job.job.id).await, None);
    let again = on.advance_by("tick", &job.job.id, Some(next.clone()), false).await;
    assert_eq!(again.fate, AdvanceFate::Passed);
    assert_eq!(on.schedule("tick").await.made, 2);
    let nobody = on.advance_by("other", &job.job.id, Some(next.clone()), false).await;
    assert_eq!(nobody.fate, AdvanceFate::Gone);
    assert!(on.remove_schedule("tick").await);
    assert_eq!(on.advance_by("tick", &job.job.id, Some(next), false).await.fate, AdvanceFate::Gone);
    assert_eq!(on.tally().await, "active=1");
}

pub async fn slots_that_were_missed_are_left_out_in_step(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    on.advance(MINUTE * 5 + ms(1)).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE * 6);
}

pub async fn slots_that_were_missed_can_be_made_up_for(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    on.advance(MINUTE * 5 + ms(1)).await;
    let mut left_out_before = on.now().minus(MINUTE * 3);
    let mut slots = Vec::new();
    for _ in 0..4 {
        let job = on.take_one().await;
        let mut next = on.next_of(&on.job(&job.job.id).await, None);
        next.left_out_before = left_out_before;
        match on.advance_by("tick", &job.job.id, Some(next), false).await.fate {
            AdvanceFate::Made(next) => slots.push((next.due - begin).as_secs() / 60),
            other => panic!("{other:?}"),
        }
        left_out_before = on.now().minus(MINUTE * 3);
    }
    assert_eq!(slots, [3, 4, 5, 6]);
    assert_eq!(on.state(slot_id("tick", begin + MINUTE * 6)).await, Delayed);
}

pub async fn a_schedule_ends_with_its_end(bench: &Harness) {
    let on = bench.queue();
    let mut repeat = every();
    repeat.end_date = Some(on.in_time(60_000));
    let begin = on.put("tick", &repeat, draft()).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE);
    on.advance(MINUTE).await;
    let (job, fate) = on.start("tick", None).await;
    assert_eq!(fate, AdvanceFate::Ended);
    assert!(!on.schedule("tick").await.ended, "its last job runs");
    on.finish(&job, completed()).await.unwrap();
    let info = on.schedule("tick").await;
    assert_eq!((info.ended, info.made, info.next), (true, 2, begin + MINUTE));
    assert_eq!(on.tally().await, "completed=2");
}

pub async fn a_schedule_that_has_nothing_next_makes_nothing(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    let job = on.take_one().await;
    assert_eq!(on.advance_by("tick", &job.job.id, None, false).await.fate, AdvanceFate::Ended);
    assert_eq!(on.tally().await, "active=1");
}

pub async fn a_slot_that_has_a_job_is_passed_over(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE);
    assert!(on.remove_schedule("tick").await);
    // The first slot's job is still there, completed.
    assert_eq!(on.put("tick", &every(), draft()).await, begin + MINUTE);
    on.advance(MINUTE).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE * 2);
    assert!(on.remove_schedule("tick").await);
    on.put_at("tick", &hourly(), Some(begin + MINUTE * 2), draft()).await;
    on.advance(MINUTE).await;
    let since = on.here().await;
    let (job, fate) = on.start("tick", Some(begin)).await;
    let taken = slot_id("tick", begin);
    assert_eq!(fate, AdvanceFate::Taken(taken.clone()));
    let told = [
        format!("waiting {} prev=delayed", job.job.id),
        format!("active {} prev=waiting", job.job.id),
        format!("duplicated {taken}"),
    ];
    on.expect_events(&since, &told.each_ref().map(String::as_str)).await;
}

pub async fn a_put_into_a_slot_that_has_a_job_is_refused(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put_at("cron", &hourly(), Some(on.now()), draft()).await;
    on.run_slot("cron", Some(on.in_time(1_000))).await;
    let before = on.schedule("cron").await;
    refused(on.try_put("cron", &hourly(), Some(begin), draft().data("2")).await, ErrorKind::Refused);
    assert_eq!(on.schedule("cron").await, before);
    assert_eq!(on.tally().await, "completed=1 delayed=1");
    // Of "every" the slots after it are looked at, too, but not for ever.
    for slot in 0..=SLOTS_TRIED_MAX {
        on.add(draft().id(slot_id("tick", begin + MINUTE * slot).as_str())).await;
    }
    refused(on.try_put("tick", &every(), None, draft()).await, ErrorKind::Refused);
    assert_eq!(on.store().schedule(&on.address, "tick").await.unwrap(), None);
    on.advance(ms(1)).await;
    assert_eq!(on.put("tick", &every(), draft()).await, begin + ms(1));
}

pub async fn the_same_every_keeps_its_slot(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    on.advance(ms(5_000)).await;
    let since = on.here().await;
    assert_eq!(on.put("tick", &every(), draft().data("2")).await, begin);
    let id = slot_id("tick", begin);
    on.expect_events(&since, &[&format!("added {id} name=work"), &format!("waiting {id}")]).await;
    let view = on.job(&id).await;
    assert_eq!((view.job.data.as_str(), view.job.timestamp), ("2", on.now()));
    assert_eq!(ties(&view), r#"{"every":60000} 1 "tick" -"#);
    on.run_slot("tick", None).await;
    assert_eq!(on.put("tick", &every(), draft()).await, begin + MINUTE);
    assert_eq!(on.tally().await, "completed=1 delayed=1");
    let mut offset = every();
    offset.offset = Some(20_000);
    assert_eq!(on.put("tick", &offset, draft()).await, begin + MINUTE, "it is the one it has");
}

pub async fn another_every_begins_anew(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    on.run_slot("tick", None).await;
    on.advance(ms(15_000)).await;
    let half = Repeat::every(MINUTE / 2);
    assert_eq!(on.put("tick", &half, draft()).await, begin + ms(15_000));
    assert_eq!(on.schedule("tick").await.repeat.unwrap().offset, Some(5_000), "with a phase of its own");
    assert_eq!(on.tally().await, "completed=1 waiting=1");
    on.advance(ms(100_001)).await;
    assert_eq!(on.run_slot("tick", None).await, begin + ms(135_000));
    let mut moved = half.clone();
    moved.offset = Some(7_000);
    on.put("tick", &moved, draft()).await;
    // It is 15,001 ms after a whole half minute.
    assert_eq!(on.schedule("tick").await.next, begin + ms(137_000));
    moved.start_date = Some(on.now() + MINUTE);
    assert_eq!(on.put("tick", &moved, draft()).await, on.now() + MINUTE);
}

pub async fn a_run_that_is_due_is_not_lost_by_a_put(bench: &Harness) {
    let on = bench.queue();
    let slot = on.put_at("cron", &hourly(), Some(on.in_time(1_000)), draft()).await;
    on.advance(ms(1_500)).await;
    // It is due, but nobody took it: the new one takes its place.
    assert_eq!(on.put_at("cron", &hourly(), Some(on.in_time(5_000)), draft().data("2")).await, slot);
    assert_eq!(on.job(slot_id("cron", slot)).await.job.data.as_str(), "2");
    assert_eq!(on.tally().await, "waiting=1");
    on.pause().await;
    assert_eq!(on.put_at("cron", &hourly(), Some(on.in_time(5_000)), draft().priority(1)).await, slot);
    assert_eq!(on.tally().await, "prioritized=1");
    // Another pattern or another zone means other times.
    let mut elsewhere = hourly();
    elsewhere.tz = Some("UTC".into());
    assert_eq!(on.put_at("cron", &elsewhere, Some(on.in_time(5_000)), draft()).await, on.in_time(5_000));
    assert_eq!(on.tally().await, "delayed=1");
    // One that is not due yet moves.
    assert_eq!(on.put_at("cron", &elsewhere, Some(on.in_time(4_000)), draft()).await, on.in_time(4_000));
    assert_eq!(on.tally().await, "delayed=1");
}

pub async fn a_put_finds_the_job_that_waits_in_a_paused_queue(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    on.pause().await;
    on.advance(ms(1_000)).await;
    assert_eq!(on.put("tick", &every(), draft()).await, begin);
    assert_eq!(on.tally().await, "waiting=1");
}

pub async fn a_put_leaves_a_job_that_runs_alone(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    let job = on.take_one().await;
    assert_eq!(on.put("tick", &every(), draft()).await, begin + MINUTE);
    assert_eq!(on.tally().await, "active=1 delayed=1");
    on.finish(&job, completed()).await.unwrap();
    assert_eq!(on.schedule("tick").await.made, 2);
}

pub async fn the_limit_counts_the_jobs_over_all_puts(bench: &Harness) {
    let on = bench.queue();
    let mut repeat = every();
    repeat.limit = Some(2);
    let begin = on.put("tick", &repeat, draft()).await;
    on.put("tick", &repeat, draft()).await;
    assert_eq!(on.schedule("tick").await.made, 1, "one that is replaced counts once");
    on.run_slot("tick", None).await;
    on.put("tick", &repeat, draft()).await;
    let second = slot_id("tick", begin + MINUTE);
    assert_eq!(ties(&on.job(&second).await), r#"{"every":60000,"limit":2} 2 "tick" -"#);
    on.advance(MINUTE).await;
    let job = on.take_one().await;
    on.finish(&job, completed()).await.unwrap();
    assert_eq!(on.try_put("tick", &repeat, None, draft().data("7")).await.unwrap().next, None);
    let info = on.schedule("tick").await;
    assert_eq!((info.made, info.next, info.data.as_str()), (2, begin + MINUTE, "7"));
    assert_eq!(on.tally().await, "completed=2");
    repeat.limit = Some(3);
    assert_eq!(on.put("tick", &repeat, draft()).await, begin + MINUTE * 2);
    // With a lower one the job that waits goes.
    repeat.limit = Some(1);
    assert_eq!(on.try_put("tick", &repeat, None, draft()).await.unwrap().next, None);
    assert_eq!(on.tally().await, "completed=2");
    assert!(on.schedule("tick").await.ended);
}

pub async fn a_removed_schedule_takes_its_delayed_job_along(bench: &Harness) {
    let on = bench.queue();
    let slot = on.put_at("cron", &hourly(), Some(on.in_time(1_000)), draft()).await;
    let since = on.here().await;
    assert!(on.remove_schedule("cron").await);
    on.expect_events(&since, &[&format!("removed {} prev=delayed", slot_id("cron", slot))]).await;
    assert_eq!(on.tally().await, "");
    assert!(!on.remove_schedule("cron").await);
    assert_eq!(on.store().schedule(&on.address, "cron").await.unwrap(), None);
    assert_eq!(on.page_of(0, 10, Order::Ascending).await, (String::new(), 0));
}

pub async fn a_removed_schedule_leaves_the_job_that_waits(bench: &Harness) {
    let on = bench.queue();
    let slot = on.put("tick", &every(), draft()).await;
    let since = on.here().await;
    assert!(on.remove_schedule("tick").await);
    on.expect_events(&since, &[]).await;
    let (job, fate) = on.start("tick", None).await;
    assert_eq!((job.job.id, fate), (slot_id("tick", slot), AdvanceFate::Gone));
}

pub async fn the_current_job_is_not_removed_or_cancelled_before_it_ended(bench: &Harness) {
    let on = bench.queue();
    let slot = on.put_at("cron", &hourly(), Some(on.in_time(1_000)), draft()).await;
    let id = slot_id("cron", slot);
    refused(on.try_remove(&id).await, ErrorKind::Refused);
    refused(on.cancel(&id, "no more").await, ErrorKind::Refused);
    on.promote(&id).await.unwrap();
    refused(on.try_remove(&id).await, ErrorKind::Refused);
    refused(on.cancel(&id, "no more").await, ErrorKind::Refused);
    let job = on.take_one().await;
    assert_eq!(on.try_remove(&id).await.unwrap(), RemoveAnswer::Locked);
    assert!(matches!(on.cancel(&id, "no more").await.unwrap(), CancelAnswer::Unreachable { .. }));
    on.finish(&job, failed("boom")).await.unwrap();
    // It ended without making a next one: nothing is left to protect.
    assert_eq!(on.try_remove(&id).await.unwrap(), RemoveAnswer::Removed);
    assert!(on.schedule("cron").await.ended);
}

pub async fn a_job_that_is_not_the_current_one_is_like_any_other(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    let (job, _) = on.start("tick", None).await;
    on.finish(&job, super::harness::again(None)).await.unwrap();
    assert_eq!(on.try_remove(&job.job.id).await.unwrap(), RemoveAnswer::Removed);
    on.put("other", &every(), draft()).await;
    assert!(on.remove_schedule("other").await);
    let stray = slot_id("other", on.now());
    assert_eq!(on.cancel(&stray, "no more").await.unwrap(), CancelAnswer::Cancelled);
    // An id of that form, but of no schedule.
    let mine = on.add(draft().id("repeat:tick:7")).await;
    assert_eq!(on.job(&mine).await.job.scheduler_id, None);
    assert_eq!(on.try_remove(&mine).await.unwrap(), RemoveAnswer::Removed);
}

pub async fn draining_and_cleaning_spare_the_current_jobs(bench: &Harness) {
    let on = bench.queue();
    on.put("a", &every(), draft()).await;
    on.put("b", &every(), draft().priority(1)).await;
    on.put_at("c", &hourly(), Some(on.in_time(60_000)), draft()).await;
    on.add_all([draft(), draft().priority(1), draft().delay(MINUTE)]).await;
    let request = DrainRequest { delayed: true, limit: 2, now: on.now() };
    let first = on.store().drain(&on.address, request).await.unwrap();
    let second = on.store().drain(&on.address, request).await.unwrap();
    assert_eq!((first.count, first.more, second.count, second.more), (2, true, 1, false));
    assert_eq!(on.tally().await, "delayed=1 prioritized=1 waiting=1");
    on.advance(ms(1)).await;
    for state in [Waiting, Prioritized, Delayed] {
        let step = on.clean(state, on.now(), 10).await;
        assert_eq!((step.count, step.more), (0, false), "{state:?}");
    }
    let job = on.take_one().await;
    on.finish(&job, completed()).await.unwrap();
    assert_eq!(on.clean(Completed, on.now(), 10).await.count, 1, "one that has finished is needed no more");
}

pub async fn cleaning_looks_behind_the_current_jobs(bench: &Harness) {
    let on = bench.queue();
    for id in ["a", "b", "c"] {
        on.put(id, &every(), draft()).await;
    }
    on.add_many(3).await;
    on.advance(ms(1)).await;
    let step = on.clean(Waiting, on.now(), 2).await;
    assert_eq!((step.count, step.more), (2, true));
    let step = on.clean(Waiting, on.now(), 2).await;
    assert_eq!((step.count, step.more), (1, false));
    assert_eq!(on.tally().await, "waiting=3");
}

pub async fn an_obliterated_queue_has_no_schedules(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    on.put("tock", &every(), draft()).await;
    let request = ObliterateRequest { force: false, limit: 1, now: on.now() };
    while on.store().obliterate(&on.address, request).await.unwrap().more {}
    assert_eq!(on.page_of(0, 10, Order::Ascending).await, (String::new(), 0));
    assert_eq!(on.store().schedule(&on.address, "tick").await.unwrap(), None);
    assert!(on.store().queues(None).await.unwrap().is_empty());
}

pub async fn the_job_of_a_schedule_never_stalls_too_often(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    let (first, _) = on.start("tick", None).await;
    let plain = on.add(draft()).await;
    on.take_one().await;
    assert_eq!(on.recover(0).await.len(), 2);
    assert_eq!(on.job(&first.job.id).await.job.deferred_failure, None);
    assert!(on.job(&plain).await.job.deferred_failure.is_some());
    // Without the schedule there is nothing that would end.
    assert!(on.remove_schedule("tick").await);
    on.take(2).await;
    on.recover(0).await;
    assert!(on.job(&first.job.id).await.job.deferred_failure.is_some());
}

pub async fn a_run_of_an_earlier_slot_that_is_active_is_found(bench: &Harness) {
    let on = bench.queue();
    on.put("tick", &every(), draft()).await;
    let (first, _) = on.start("tick", None).await;
    let alone = on.advance_by("tick", &first.job.id, None, true).await;
    assert_eq!((alone.fate, alone.overlaps), (AdvanceFate::Passed, None), "not with itself");
    on.put("tick:tock", &every(), draft()).await;
    let other = on.take_one().await;
    assert_eq!(on.advance_by("tick:tock", &other.job.id, None, true).await.overlaps, None);
    on.advance(MINUTE).await;
    let second = on.take_one().await;
    let next = on.next_of(&on.job(&second.job.id).await, None);
    let answer = on.advance_by("tick", &second.job.id, Some(next), true).await;
    assert!(matches!(answer.fate, AdvanceFate::Made(_)));
    assert_eq!(answer.overlaps, Some(first.job.id.clone()));
    // A later one does not count.
    assert_eq!(on.advance_by("tick", &first.job.id, None, true).await.overlaps, None);
    on.finish(&first, completed()).await.unwrap();
    assert_eq!(on.advance_by("tick", &second.job.id, None, true).await.overlaps, None);
}

pub async fn a_schedule_is_shown_as_it_was_put(bench: &Harness) {
    let on = bench.queue();
    let json = r#"{"pattern":"0 9 * * 1","tz":"Asia/Tokyo","limit":9,"startDate":1600000000000,"endDate":1900000000000,"hashSeed":"s","oxmq":{"later":[1]},"custom":{"a":[]}}"#;
    let repeat = Repeat::parse(json).unwrap();
    let template = draft().name("n").data(r#"{"a":[1,"ü"]}"#).priority(3);
    let slot = on.put_at("all", &repeat, Some(on.in_time(1_000)), template).await;
    let mut info = on.schedule("all").await;
    assert_eq!(info.repeat.take(), Some(repeat));
    let mut expected = ScheduleInfo::new("all".into(), slot);
    (expected.name, expected.made) = ("n".into(), 1);
    expected.data = JsonText::stored(r#"{"a":[1,"ü"]}"#);
    expected.options = JsonText::stored(r#"{"priority":3}"#);
    assert_eq!(info, expected);
    let mut plain = Repeat::every(ms(1_500));
    (plain.limit, plain.end_date) = (Some(2), Some(on.in_time(9_000)));
    on.put("plain", &plain, draft()).await;
    plain.offset = Some(500);
    let info = on.schedule("plain").await;
    assert_eq!((info.repeat, info.data.as_str(), info.options.as_str()), (Some(plain), "{}", "{}"));
}

pub async fn schedules_are_listed_by_slot(bench: &Harness) {
    let on = bench.queue();
    assert_eq!(on.page_of(0, 10, Order::Ascending).await, (String::new(), 0));
    for (id, due) in [("d", 4), ("a", 1), ("c", 2), ("b", 2)] {
        on.put_at(id, &hourly(), Some(on.in_time(due * 1_000)), draft()).await;
    }
    assert_eq!(on.page_of(0, 10, Order::Ascending).await, ("a b c d".into(), 4));
    assert_eq!(on.page_of(0, 10, Order::Descending).await, ("d c b a".into(), 4));
    assert_eq!(on.page_of(1, 2, Order::Ascending).await, ("b c".into(), 4));
    assert_eq!(on.page_of(3, 2, Order::Descending).await, ("a".into(), 4));
    assert_eq!(on.page_of(4, 2, Order::Ascending).await, (String::new(), 4));
    assert_eq!(on.page_of(0, 0, Order::Ascending).await, (String::new(), 4));
    assert_eq!(on.page_of(u64::MAX, 1, Order::Ascending).await, (String::new(), 4));
    let other = bench.on("other");
    assert_eq!(other.page_of(0, 10, Order::Ascending).await, (String::new(), 0));
}

pub async fn ids_of_schedules_may_be_any_text(bench: &Harness) {
    let on = bench.queue();
    for id in ["a b", "x:y:z", "ü\"\\\n", "{}", "repeat:1"] {
        let slot = on.put(id, &every(), draft()).await;
        let job = on.take_one().await;
        assert_eq!((&job.job.id, job.job.scheduler_id.as_deref()), (&slot_id(id, slot), Some(id)));
        let options = job.job.options();
        assert_eq!(options.job_id, Some(job.job.id.clone()));
        assert_eq!(options.other["repeatJobKey"].read::<String>().unwrap(), id);
        let next = on.next_of(&on.job(&job.job.id).await, None);
        let made = on.advance_by(id, &job.job.id, Some(next), true).await;
        assert!(matches!(made.fate, AdvanceFate::Made(_)), "{id}");
        on.finish(&job, completed()).await.unwrap();
        assert_eq!(on.schedule(id).await.id, id);
    }
    assert_eq!(on.page_of(0, 10, Order::Ascending).await.1, 5);
}

pub async fn numbers_in_data_and_options_survive_each_run(bench: &Harness) {
    let on = bench.queue();
    let data = r#"{"big":12345678901234567890,"empty":[],"none":null}"#;
    let set = |options: &mut crate::JobOptions| {
        options.other.insert("mine".into(), JsonText::stored("[9007199254740993,[]]"));
        options.keep_logs = Some(3);
    };
    on.put("tick", &every(), draft().data(data).with(set)).await;
    for _ in 0..3 {
        on.run_slot("tick", None).await;
        on.advance(MINUTE).await;
    }
    let job = on.take_one().await.job;
    assert_eq!(job.data.as_str(), data);
    assert_eq!(job.options().other["mine"].as_str(), "[9007199254740993,[]]");
    assert_eq!((job.options().keep_logs, job.attempts_started), (Some(3), 1));
}

pub async fn a_schedule_whose_job_failed_goes_on(bench: &Harness) {
    let on = bench.queue();
    let begin = on.put("tick", &every(), draft()).await;
    let (job, _) = on.start("tick", None).await;
    on.finish(&job, failed("boom")).await.unwrap();
    assert_eq!(on.state(&job.job.id).await, Failed);
    on.advance(MINUTE).await;
    assert_eq!(on.run_slot("tick", None).await, begin + MINUTE * 2);
    assert_eq!(on.list(Active).await, "");
}
