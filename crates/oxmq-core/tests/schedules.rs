//! The face `Queue::schedules()`, on the model store: what it checks and adds before the store is asked.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::sync::Arc;
use std::time::Duration;

use oxmq_core::conformance::ModelStore;
use oxmq_core::schedule::{CATCH_UP_WITHIN_MAX, Missed, Overlap, PREVIEW_RUNS_MAX, Policy, Repeat};
use oxmq_core::store::{PutScheduleRequest, SchedulesRequest};
use oxmq_core::{
    Clock, ClockHand, Deduplication, ErrorKind, JobArgs, JobOptions, JsonText, NewJob, Order, Queue,
    Schedule, Store, Timestamp,
};
use serde::{Deserialize, Serialize};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn queue() -> (Queue, ClockHand) {
    let store: Arc<dyn Store> = Arc::new(ModelStore::new());
    let (clock, hand) = Clock::manual(NOW);
    let defaults = JobOptions::parse(r#"{"attempts":2,"delay":5000,"deduplication":{"id":"x"}}"#).unwrap();
    (Queue::builder(&store, "q").clock(clock).default_options(defaults).build().unwrap(), hand)
}

#[derive(Serialize, Deserialize)]
struct Report {
    team: String,
}

impl JobArgs for Report {
    const NAME: &'static str = "report";
}

async fn repeat_of(queue: &Queue, id: &str) -> Repeat {
    queue.schedules().get(id).await.unwrap().unwrap().repeat.unwrap()
}

#[tokio::test]
async fn a_typed_template_gets_the_defaults_that_a_schedule_can_have() {
    let (queue, _) = queue();
    let hourly = Schedule::cron("0 * * * *");
    let scheduled =
        queue.schedules().put("r", hourly, Report { team: "a".into() }).priority(3).await.unwrap();
    let next = scheduled.next.unwrap();
    assert_eq!(next.due, NOW + Duration::from_secs(2_800));
    let info = queue.schedules().get("r").await.unwrap().unwrap();
    assert_eq!((info.name.as_str(), info.data.as_str()), ("report", r#"{"team":"a"}"#));
    assert_eq!(info.options.as_str(), r#"{"priority":3,"attempts":2}"#);
}

#[tokio::test]
async fn a_pattern_always_says_in_which_zone_and_by_which_seed() {
    let (queue, _) = queue();
    let put = async |id: &str, schedule| queue.schedules().put_named(id, schedule, "job", &()).await.unwrap();
    put("plain", Schedule::cron("0 9 * * *")).await;
    let plain = repeat_of(&queue, "plain").await;
    assert_eq!((plain.tz.as_deref(), plain.hash_seed), (Some("UTC"), None));
    put("hash", Schedule::cron("H 9 * * *").zone("Asia/Tokyo")).await;
    let hash = repeat_of(&queue, "hash").await;
    assert_eq!((hash.tz.as_deref(), hash.hash_seed.as_deref()), (Some("Asia/Tokyo"), Some("hash")));
    put("seed", Schedule::cron("0 H(1-5) * * THU").hash_seed("s")).await;
    assert_eq!(repeat_of(&queue, "seed").await.hash_seed.as_deref(), Some("s"));
    put("thursday", Schedule::cron("0 9 * * THU")).await;
    assert_eq!(repeat_of(&queue, "thursday").await.hash_seed, None, "THU has no hash");
    put("every", Schedule::every(MINUTE)).await;
    assert_eq!(repeat_of(&queue, "every").await.tz, None);
}

#[tokio::test]
async fn rules_are_kept_and_read_back() {
    let (queue, _) = queue();
    let within = Duration::from_secs(3_600);
    let schedule = Schedule::every(MINUTE)
        .offset(Duration::from_secs(5))
        .start(NOW + MINUTE)
        .end(NOW + MINUTE * 100)
        .limit(7)
        .missed(Missed::All { within })
        .overlap(Overlap::Skip);
    queue.schedules().put_named("s", schedule.clone(), "job", &()).await.unwrap();
    let repeat = repeat_of(&queue, "s").await;
    let policy = Policy::of(&repeat);
    assert_eq!((policy.missed, policy.overlap), (Missed::All { within }, Overlap::Skip));
    assert_eq!(Schedule::from(repeat), schedule);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_the_store_is_asked() {
    let (queue, _) = queue();
    let refused = async |id: &str, schedule: Schedule, options: JobOptions, part: &str| {
        let error = queue.schedules().put_named(id, schedule, "job", &()).options(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let none = JobOptions::default;
    let minute = || Schedule::every(MINUTE);
    refused("", minute(), none(), "give the schedule a name").await;
    refused(&"x".repeat(513), minute(), none(), "at most 512 bytes").await;
    refused("a:17", minute(), none(), "must not end with").await;
    refused("name::::* * * * *", minute(), none(), "old version").await;
    refused("s", Schedule::every(Duration::ZERO), none(), "`every` is 0").await;
    refused("s", minute().end(NOW), none(), "`endDate`").await;
    refused("s", minute().offset(MINUTE), none(), "`offset`").await;
    refused("s", Schedule::cron("oops"), none(), "oops").await;
    refused("s", Schedule::cron("* * * * *").zone("Mars"), none(), "`tz` is Mars").await;
    refused("s", Schedule::cron("0 0 1 1 *").end(NOW + MINUTE), none(), "never due before its end").await;
    let long = Missed::All { within: CATCH_UP_WITHIN_MAX + MINUTE };
    refused("s", minute().missed(long), none(), "at most 366 days").await;
    let mut options = JobOptions::default();
    options.deduplication = Some(Deduplication::by("d"));
    refused("s", minute(), options, "a slot has one job anyway").await;
    let mut options = JobOptions::default();
    options.delay = Some(MINUTE);
    refused("s", minute(), options, "waits for its slot").await;
    assert_eq!(queue.schedules().count().await.unwrap(), 0);
    assert_eq!(queue.counts().await.unwrap().total(), 0);
}

#[tokio::test]
async fn the_next_runs_are_shown_as_they_will_come() {
    let (queue, hand) = queue();
    let schedules = queue.schedules();
    let ms = |runs: Vec<Timestamp>| runs.into_iter().map(|run| (run - NOW).as_secs()).collect::<Vec<_>>();
    schedules.put_named("tick", Schedule::every(MINUTE).limit(3), "job", &()).await.unwrap();
    assert_eq!(ms(schedules.next("tick", 9).await.unwrap()), [0, 60, 120]);
    assert_eq!(ms(schedules.next("tick", 2).await.unwrap()), [0, 60]);
    schedules
        .put_named("cron", Schedule::cron("0 * * * *").end(NOW + MINUTE * 120), "job", &())
        .await
        .unwrap();
    assert_eq!(ms(schedules.next("cron", 9).await.unwrap()), [2_800, 6_400]);
    schedules.put_named("often", Schedule::every(Duration::from_secs(1)), "job", &()).await.unwrap();
    assert_eq!(schedules.next("often", usize::MAX).await.unwrap().len(), PREVIEW_RUNS_MAX);
    // The job that is late runs, then those that are still to come.
    hand.advance(Duration::from_secs(150));
    assert_eq!(ms(schedules.next("tick", 9).await.unwrap()), [0, 180, 240]);
    assert_eq!(schedules.next("nobody", 1).await.unwrap_err().kind(), ErrorKind::NotFound);
    let request = SchedulesRequest { offset: 0, limit: 2, order: Order::Ascending };
    let page = schedules.list(request).await.unwrap();
    assert_eq!((page.schedules.len(), page.total, schedules.count().await.unwrap()), (2, 3, 3));
    assert!(schedules.remove("tick").await.unwrap() && !schedules.remove("tick").await.unwrap());
}

#[tokio::test]
async fn somebody_elses_pattern_without_a_zone_is_previewed_and_a_wrong_one_is_an_error() {
    let (queue, _) = queue();
    for (id, pattern) in [("node", "*/5 * * * * *"), ("own strategy", "fridays")] {
        let options = JobOptions::default();
        let template = NewJob { name: "job".into(), data: JsonText::null(), options };
        let (repeat, at) = (Repeat::pattern(pattern), Some(NOW));
        let request = PutScheduleRequest { id: id.into(), repeat, at, template, now: NOW };
        queue.store().put_schedule(queue.address(), request).await.unwrap();
    }
    assert_eq!(queue.schedules().next("node", 2).await.unwrap(), [NOW, NOW + Duration::from_secs(5)]);
    assert_eq!(queue.schedules().next("own strategy", 2).await.unwrap_err().kind(), ErrorKind::Invalid);
}
