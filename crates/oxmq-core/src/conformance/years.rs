//! Schedules over years of virtual time, worked by real workers on the store under test: no slot is missed, none is
//! doubled.
//!
//! The slots that are expected come from civil dates and jiff's rules for clock changes, not from [`crate::schedule`].

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::harness::Harness;
use crate::clock::{Clock, Timestamp};
use crate::options::Retention;
use crate::queue::{Queue, Schedule};
use crate::schedule::step::slot_of;
use crate::store::Store;
use crate::worker::{HandlerError, JobContext, Worker, WorkerEvent};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How much of time before and after a clock change is looked at closely.
const AROUND: Duration = Duration::from_secs(12 * 3_600);
/// The longest that the runs of one step may take in real time: for a machine that stands still for a while.
const STEP_PATIENCE: Duration = Duration::from_secs(120);
/// How many jobs run at once.
const CONCURRENCY: usize = 64;

/// Zones whose clocks change in different ways, and some that never do.
const ZONES: [&str; 56] = [
    "Europe/Stockholm",
    "Australia/Lord_Howe",
    "America/Havana",
    "UTC",
    "America/New_York",
    "Europe/London",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Tehran",
    "Asia/Beirut",
    "Asia/Gaza",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Athens",
    "Europe/Moscow",
    "Europe/Kyiv",
    "Europe/Chisinau",
    "Atlantic/Azores",
    "America/Los_Angeles",
    "America/Denver",
    "America/Phoenix",
    "America/Chicago",
    "America/Mexico_City",
    "America/Bogota",
    "America/Asuncion",
    "America/Nuuk",
    "America/Halifax",
    "America/Anchorage",
    "America/Adak",
    "Pacific/Honolulu",
    "Pacific/Auckland",
    "Pacific/Kiritimati",
    "Pacific/Norfolk",
    "Pacific/Easter",
    "Pacific/Marquesas",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Australia/Brisbane",
    "Australia/Eucla",
    "Asia/Dhaka",
    "Asia/Yangon",
    "Asia/Shanghai",
    "Asia/Jerusalem",
    "Antarctica/Troll",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Asia/Dubai",
    "Asia/Singapore",
];

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Days of virtual time.
    pub days: u64,
    /// How many of 56 zones.
    pub zones: usize,
}

impl Extent {
    /// `OXMQ_SCHEDULE_YEARS` and `OXMQ_SCHEDULE_ZONES`; without them 200 days, which have clock changes in both directions,
    /// in three zones.
    pub fn from_env() -> Self {
        let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let zones = number("OXMQ_SCHEDULE_ZONES").map_or(3, |zones| usize::try_from(zones).unwrap());
        assert!(zones <= ZONES.len(), "there are {} zones", ZONES.len());
        Self { days: number("OXMQ_SCHEDULE_YEARS").map_or(200, |years| years * 365 + 1), zones }
    }
}

/// What came of it. Missed and doubled slots have their schedules with them.
#[derive(Debug, Default)]
pub struct Outcome {
    pub schedules: usize,
    pub zones: usize,
    /// Clock changes forward, and back, with schedules of their own around them.
    pub changes: [usize; 2],
    pub expected: usize,
    pub runs: usize,
    pub missed: Vec<(String, Timestamp)>,
    pub doubled: Vec<(String, Timestamp)>,
    /// Runs in slots that no schedule has.
    pub strange: Vec<(String, Timestamp)>,
    pub seconds: u64,
}

/// Runs it, and panics when a slot is missed or doubled.
pub async fn check(bench: &Harness) {
    let outcome = run(bench, Extent::from_env()).await;
    #[allow(clippy::print_stderr, reason = "figures of the full form, for who runs it")]
    {
        eprintln!(
            "{} schedules in {} zones, {} changes forward and {} back: {} slots, {} runs, {} missed, {} doubled, {} strange, {} s",
            outcome.schedules,
            outcome.zones,
            outcome.changes[0],
            outcome.changes[1],
            outcome.expected,
            outcome.runs,
            outcome.missed.len(),
            outcome.doubled.len(),
            outcome.strange.len(),
            outcome.seconds
        );
    }
    let Outcome { missed, doubled, strange, .. } = &outcome;
    assert!(
        missed.is_empty() && doubled.is_empty() && strange.is_empty(),
        "missed {missed:?}, doubled {doubled:?}, strange {strange:?}"
    );
    assert_eq!(outcome.expected, outcome.runs);
    assert!(outcome.changes.iter().all(|changes| *changes > 0), "clocks change in both directions");
}

/// The schedules, with the slots that each must have.
#[derive(Debug, Default)]
struct Plan {
    schedules: BTreeMap<String, (Schedule, Vec<Timestamp>)>,
    changes: [usize; 2],
}

impl Plan {
    fn new(now: Timestamp, extent: Extent) -> Self {
        let end = now + DAY * u32::try_from(extent.days).unwrap();
        let mut plan = Self::default();
        plan.every(now, end);
        for name in ZONES.iter().take(extent.zones) {
            let zone = TimeZone::get(name).unwrap();
            plan.zone(name, &zone, now, end);
        }
        plan
    }

    fn put(&mut self, id: String, schedule: Schedule, slots: Vec<Timestamp>) {
        assert!(!slots.is_empty(), "{id} has no slot");
        let before = self.schedules.insert(id, (schedule, slots));
        assert!(before.is_none(), "two schedules have one id");
    }

    fn every(&mut self, now: Timestamp, end: Timestamp) {
        let steps = |first: Timestamp, step: Duration, last: Timestamp| {
            let times = std::iter::successors(Some(first), move |at| Some(*at + step));
            times.take_while(|at| *at <= last).collect::<Vec<_>>()
        };
        let day_and_a_half = HOUR * 36;
        self.put(
            "every 36 h".into(),
            Schedule::every(day_and_a_half).end(end),
            steps(now, day_and_a_half, end),
        );
        // In step with midnight in UTC, and 5 hours later.
        let date = utc_date(now);
        let five = |date: Date| Timestamp::from_millis(utc_midnight(date).as_millis() + 5 * 3_600_000);
        let first = if five(date) > now { five(date) } else { five(date.tomorrow().unwrap()) };
        self.put(
            "every day with an offset".into(),
            Schedule::every(DAY).offset(HOUR * 5).end(end),
            steps(first, DAY, end),
        );
        let start = now + DAY * 10 + Duration::from_millis(7);
        self.put(
            "every week from a start".into(),
            Schedule::every(WEEK).start(start).end(end),
            steps(start, WEEK, end),
        );
        let mut limited = steps(now, HOUR, end);
        limited.truncate(100);
        self.put("every hour with a limit".into(), Schedule::every(HOUR).limit(100), limited);
        // Around the change of 31 March 2024 in Europe, of which "every" must know nothing.
        let (start, step) = (Timestamp::from_rfc3339("2024-03-30T22:00:00Z").unwrap(), HOUR / 6);
        let last = start + HOUR * 6;
        self.put(
            "every ten minutes from a start to an end".into(),
            Schedule::every(step).start(start).end(last),
            steps(start, step, last),
        );
    }

    fn zone(&mut self, name: &str, zone: &TimeZone, now: Timestamp, end: Timestamp) {
        let all = (now, end);
        let at = |hours: &[i8], minutes: &[i8], within: (Timestamp, Timestamp), day: fn(Date) -> bool| {
            civil_times(zone, hours, minutes, within, day)
        };
        // In the hours in which most clocks change; a day and an hour of the week; the first of a month.
        for (pattern, slots) in [
            ("30 2 * * *", at(&[2], &[30], all, |_| true)),
            ("0 0 * * 1", at(&[0], &[0], all, |date| date.weekday() == Weekday::Monday)),
            ("15 3 1 * *", at(&[3], &[15], all, |date| date.day() == 1)),
        ] {
            self.put(format!("{name} {pattern}"), Schedule::cron(pattern).zone(name).end(end), slots);
        }
        let limited: Vec<_> = at(&[23], &[59], all, |date| date.day() == 28).into_iter().take(4).collect();
        self.put(format!("{name} with a limit"), Schedule::cron("59 23 28 * *").zone(name).limit(4), limited);
        for change in zone.following(instant(now)) {
            let time = Timestamp::from_millis(change.timestamp().as_millisecond());
            if time.minus(AROUND) <= now || time + AROUND >= end {
                if time > end {
                    break;
                }
                continue;
            }
            let before = zone.to_offset(instant(time.minus(Duration::from_millis(1))));
            if before == change.offset() {
                continue;
            }
            self.changes[usize::from(change.offset() < before)] += 1;
            // Slots are after the start; the last may be at the end.
            let within = (time.minus(AROUND), time + AROUND);
            let schedule = |pattern: &str| Schedule::cron(pattern).zone(name).start(within.0).end(within.1);
            let each = ("*/30 * * * *", real_times(zone, 30, within));
            let once = ("*/20 1-2 * * *", at(&[1, 2], &[0, 20, 40], within, |_| true));
            for (pattern, slots) in [each, once] {
                self.put(format!("{name} {time} {pattern}"), schedule(pattern), slots);
            }
        }
    }
}

fn instant(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(time.as_millis()).unwrap()
}

fn utc_date(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(instant(time)).date()
}

fn utc_midnight(date: Date) -> Timestamp {
    let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap();
    Timestamp::from_millis(midnight.as_millisecond())
}

/// The times on a clock of this zone, each once: the first of two, and one that does not come as much later as the clock was put
/// forward. After the first bound, up to the second.
fn civil_times(
    zone: &TimeZone,
    hours: &[i8],
    minutes: &[i8],
    within: (Timestamp, Timestamp),
    day: fn(Date) -> bool,
) -> Vec<Timestamp> {
    let last = utc_date(within.1).tomorrow().unwrap();
    let mut times = Vec::new();
    let mut date = utc_date(within.0).yesterday().unwrap();
    while date <= last {
        for hour in hours.iter().filter(|_| day(date)) {
            for minute in minutes {
                let time = zone.to_ambiguous_timestamp(date.at(*hour, *minute, 0, 0)).compatible().unwrap();
                times.push(Timestamp::from_millis(time.as_millisecond()));
            }
        }
        date = date.tomorrow().unwrap();
    }
    times.retain(|at| *at > within.0 && *at <= within.1);
    times.sort_unstable();
    times.dedup();
    times
}

/// Every moment at which a clock of this zone shows a multiple of so many minutes.
fn real_times(zone: &TimeZone, every: i8, within: (Timestamp, Timestamp)) -> Vec<Timestamp> {
    let minute = Duration::from_secs(60);
    let first = Timestamp::from_millis(within.0.as_millis().div_euclid(60_000) * 60_000);
    let times = std::iter::successors(Some(first), |at| Some(*at + minute)).take_while(|at| *at <= within.1);
    times
        .filter(|at| *at > within.0)
        .filter(|at| {
            let clock = zone.to_datetime(instant(*at));
            clock.minute() % every == 0 && clock.second() == 0
        })
        .collect()
}

/// Puts the schedules, and moves the clock from slot to slot while workers run what is due.
pub async fn run(bench: &Harness, extent: Extent) -> Outcome {
    let real = Clock::system();
    let began = real.now();
    let plan = Plan::new(bench.now(), extent);
    let store: Arc<dyn Store> = bench.store_handle();
    let queue = Queue::builder(&store, "years").clock(bench.clock().clone()).build().unwrap();
    for (id, (schedule, _)) in &plan.schedules {
        let put = queue.schedules().put_named(id, schedule.clone(), "tick", &());
        // Those that have run are in the list of runs; the store need not carry them along.
        put.remove_on_complete(Retention::count(1)).await.unwrap();
    }

    let runs = Arc::new(Mutex::new(BTreeMap::<(String, Timestamp), usize>::new()));
    let (ended, mut heard) = watch::channel(0_usize);
    let (seen, trouble) = (runs.clone(), Arc::new(Mutex::new(Vec::new())));
    let told = trouble.clone();
    let worker = Worker::builder(&store, "years")
        .clock(bench.clock().clone())
        .concurrency(CONCURRENCY)
        .on(move |event| match event {
            WorkerEvent::Completed { .. } => ended.send_modify(|ended| *ended += 1),
            WorkerEvent::ScheduleTrouble { .. }
            | WorkerEvent::Failed { .. }
            | WorkerEvent::Skipped { .. } => {
                told.lock().unwrap().push(format!("{event:?}"));
            }
            _ => {}
        })
        .handle_any(move |_: serde_json::Value, context: JobContext| {
            let (id, slot) = slot_of(context.job().id.as_str()).unwrap();
            *seen.lock().unwrap().entry((id.to_owned(), slot)).or_default() += 1;
            async { Ok::<_, HandlerError>(()) }
        })
        .start()
        .unwrap();

    let mut due = BTreeMap::<Timestamp, usize>::new();
    for slot in plan.schedules.values().flat_map(|(_, slots)| slots) {
        *due.entry(*slot).or_default() += 1;
    }
    let mut expected = 0;
    for (slot, count) in due {
        if slot > bench.now() {
            bench.advance(slot - bench.now()).await;
        }
        expected += count;
        let all = heard.wait_for(|ended| *ended >= expected);
        if real.timeout(STEP_PATIENCE, all).await.is_none() {
            // What is missing is told below.
            break;
        }
    }
    real.timeout(STEP_PATIENCE, worker.close()).await.expect("the worker closes").unwrap();
    let counts = queue.counts().await.unwrap();
    assert!(trouble.lock().unwrap().is_empty(), "{:?}", trouble.lock().unwrap());

    let mut outcome = Outcome {
        schedules: plan.schedules.len(),
        zones: extent.zones,
        changes: plan.changes,
        expected: plan.schedules.values().map(|(_, slots)| slots.len()).sum(),
        seconds: (real.now() - began).as_secs(),
        ..Outcome::default()
    };
    let mut runs = std::mem::take(&mut *runs.lock().unwrap());
    outcome.runs = runs.values().sum();
    for (id, (_, slots)) in plan.schedules {
        for slot in slots {
            match runs.remove(&(id.clone(), slot)) {
                None => outcome.missed.push((id.clone(), slot)),
                Some(1) => {}
                Some(_) => outcome.doubled.push((id.clone(), slot)),
            }
        }
    }
    outcome.strange = runs.into_keys().collect();
    if outcome.missed.is_empty() {
        assert_eq!(counts.unfinished(), 0, "every schedule has ended: {counts:?}");
    }
    outcome
}
