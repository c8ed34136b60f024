//! Producers and workers that go on whatever happens, and the account that is drawn up in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq::store::{Fate, GROUP_JOBS_MAX, JobsRequest};
use oxmq::{
    Error, ErrorKind, HandlerError, Job, JobOptions, JobState, JsonText, NewJob, Order, Queue, Store, Worker,
    WorkerEvent,
};
use oxmq_testkit::eventually;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::ms;

/// How long an add may take: the store's deadline, what was sent before it and got no answer, and some air.
const ADD_BOUND: Duration = Duration::from_secs(10 + 3 + 2);
/// How long the workers may take to finish everything once nothing is broken any more.
const DRAIN_BOUND: Duration = Duration::from_secs(20);
/// "Not for ever": the longest time to the first job after a fault.
const RECOVERY_BOUND: Duration = Duration::from_secs(15);
const GROUP: u64 = 10;

/// A load on a queue, and all that was said about it.
pub(crate) struct Load {
    name: &'static str,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Queue,
    workers: Vec<Worker>,
    producers: Vec<JoinHandle<()>>,
    log: Arc<Log>,
    recoveries: Vec<Duration>,
    /// Numbers that may be lost although they were acknowledged.
    forgiven: BTreeSet<u64>,
}

/// What became of one add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It is stored.
    Stored,
    /// It is surely not.
    Not,
    /// Nobody knows.
    Perhaps,
}

#[derive(Default)]
struct Log {
    stop: AtomicBool,
    paused: AtomicBool,
    adding: AtomicU64,
    numbers: AtomicU64,
    /// Each number (which is the data of one job), and how its add ended. With an id of its own, it is the best
    /// answer of several.
    said: Mutex<BTreeMap<u64, Said>>,
    /// Numbers of jobs with an id of their own, and how often the store said that it made them.
    own: Mutex<BTreeMap<u64, u32>>,
    groups: Mutex<Vec<std::ops::Range<u64>>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    slowest_ms: AtomicU64,
    starts: AtomicU64,
    /// When the first handler began since it was last asked for.
    first_start: Mutex<Option<Instant>>,
    runs: Mutex<BTreeMap<u64, u32>>,
    errors: Mutex<Vec<Error>>,
    told: AtomicU64,
    leases_lost: AtomicU64,
    stalls: AtomicU64,
    refused_late: AtomicU64,
    ended: AtomicBool,
}

impl Load {
    /// One worker.
    pub(crate) async fn start(name: &'static str, url: &str) -> Self {
        Self::start_with(name, url, 1).await
    }

    /// So many workers, each with connections of its own; the first shares them with the producers.
    pub(crate) async fn start_with(name: &'static str, url: &str, workers: usize) -> Self {
        Self::start_on(name, url, "q", workers).await
    }

    /// On a queue of this name.
    pub(crate) async fn start_on(name: &'static str, url: &str, queue: &str, workers: usize) -> Self {
        let store = oxmq::connect(url).await.unwrap();
        let queue = Queue::new(&store, queue).unwrap();
        let log = Arc::<Log>::default();
        let mut load = Self {
            name,
            store: store.clone(),
            queue: queue.clone(),
            workers: Vec::new(),
            producers: Vec::new(),
            log: log.clone(),
            recoveries: Vec::new(),
            forgiven: BTreeSet::new(),
        };
        for index in 0..workers {
            let of_worker = if index == 0 { store.clone() } else { oxmq::connect(url).await.unwrap() };
            load.add_worker(&of_worker);
        }
        load.producers = vec![
            tokio::spawn(own_ids(queue.clone(), log.clone())),
            tokio::spawn(auto_ids(queue.clone(), log.clone())),
            tokio::spawn(auto_ids(Queue::new(&store, queue.name()).unwrap(), log.clone())),
            tokio::spawn(groups(queue, log)),
        ];
        load.until_busy().await;
        load
    }

    pub(crate) fn add_worker(&mut self, store: &Arc<dyn Store>) {
        let log = self.log.clone();
        let run = move |number: u64| {
            log.started(number);
            async move {
                // Some are under way whenever a fault strikes.
                sleep(ms(if number.is_multiple_of(50) { 300 } else { 5 })).await;
                Ok::<u64, HandlerError>(number)
            }
        };
        let log = self.log.clone();
        let worker = Worker::builder(store, self.queue.name())
            .concurrency(10)
            .lease(ms(1_000))
            .renew_every(ms(250))
            .stall_check(ms(200))
            .poll(ms(1_000))
            // However often a fault strikes the same job.
            .max_stalled(1_000_000)
            .handle_any(run)
            .on(move |event| log.heard(event))
            .start()
            .unwrap();
        self.workers.push(worker);
    }

    /// Waits until jobs are done.
    pub(crate) async fn until_busy(&self) {
        let before = self.log.starts.load(Ordering::SeqCst);
        eventually(DRAIN_BOUND, || async { self.log.starts.load(Ordering::SeqCst) >= before + 50 }).await;
    }

    /// The fault has ended just now: waits for the first job that is taken since, and writes down how long that took.
    pub(crate) async fn recovers(&mut self) {
        let begin = Instant::now();
        *self.log.first_start.lock().unwrap() = None;
        let first = loop {
            if let Some(first) = *self.log.first_start.lock().unwrap() {
                break first;
            }
            let waited = begin.elapsed();
            assert!(
                waited < RECOVERY_BOUND,
                "{}: no job was taken within {waited:?}: {}",
                self.name,
                self.log.summary()
            );
            sleep(ms(1)).await;
        };
        self.recoveries.push(first - begin);
    }

    /// Adds nothing more for now; returns when no add is under way.
    pub(crate) async fn pause_adds(&self) {
        self.log.paused.store(true, Ordering::SeqCst);
        eventually(ADD_BOUND, || async { self.log.adding.load(Ordering::SeqCst) == 0 }).await;
    }

    pub(crate) fn resume_adds(&self) {
        self.log.paused.store(false, Ordering::SeqCst);
    }

    /// One job, although adds are paused.
    pub(crate) async fn add_one(&self) {
        let number = self.log.numbers.fetch_add(1, Ordering::SeqCst);
        self.queue.add_named("one", &number).await.unwrap();
        self.log.said.lock().unwrap().insert(number, Said::Stored);
    }

    /// The errors that workers have told of since this was last asked.
    pub(crate) fn take_errors(&self) -> Vec<Error> {
        std::mem::take(&mut *self.log.errors.lock().unwrap())
    }

    /// How many adds ended with such an error.
    pub(crate) fn refused(&self, kind: ErrorKind) -> u64 {
        self.log.refusals.lock().unwrap().get(kind.as_str()).copied().unwrap_or(0)
    }

    /// How long the longest add has taken.
    pub(crate) fn slowest_add(&self) -> Duration {
        ms(self.log.slowest_ms.load(Ordering::SeqCst))
    }

    /// How many handlers have begun.
    pub(crate) fn starts(&self) -> u64 {
        self.log.starts.load(Ordering::SeqCst)
    }

    /// The numbers that are acknowledged.
    pub(crate) fn stored(&self) -> BTreeSet<u64> {
        let said = self.log.said.lock().unwrap();
        said.iter().filter(|(_, said)| **said == Said::Stored).map(|(number, _)| *number).collect()
    }

    /// The fault has destroyed data, and no client can help it: what was added until now may be lost, but for these.
    pub(crate) fn forgive_all_but(&mut self, secured: &BTreeSet<u64>) {
        let numbers = 0..self.log.numbers.load(Ordering::SeqCst);
        self.forgiven.extend(numbers.filter(|number| !secured.contains(number)));
    }

    /// Ends the load, waits until all is done, and draws up the account.
    pub(crate) async fn finish(self) {
        let (name, log) = (self.name, &self.log);
        log.stop.store(true, Ordering::SeqCst);
        for producer in self.producers {
            producer.await.unwrap();
        }
        // Much may be waiting; what must not be is that nothing goes on.
        let (mut fewest, mut end) = (u64::MAX, Instant::now() + DRAIN_BOUND);
        loop {
            let counts = self.queue.counts().await;
            let unfinished = counts.as_ref().map_or(u64::MAX, oxmq::store::JobCounts::unfinished);
            if unfinished == 0 {
                break;
            }
            if unfinished < fewest {
                (fewest, end) = (unfinished, Instant::now() + DRAIN_BOUND);
            }
            if Instant::now() >= end {
                let seen = stuck(&self.queue, &self.workers).await;
                panic!("{name}: stuck: {counts:?}; {}; {seen}", log.summary());
            }
            sleep(ms(20)).await;
        }
        let jobs = all_jobs(&self.queue).await;
        for job in jobs.values().filter(|job| job.attempts_made != 1) {
            println!("{name}: {job:?}: {}", history(&self.queue, &job.id).await);
        }
        assert!(!log.ended.load(Ordering::SeqCst), "{name}: a worker has ended");
        for worker in self.workers {
            worker.close().await.unwrap();
        }
        let extra = log.check(name, &jobs, &self.forgiven);
        let mut line = format!("fault={name} rounds={}", self.recoveries.len());
        let mut times: Vec<u128> = self.recoveries.iter().map(Duration::as_millis).collect();
        times.sort_unstable();
        if let Some(max) = times.last() {
            let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
            let _ = write!(line, " recovery_ms p50={} p99={} max={max}", at(50), at(99));
        }
        println!("{line} jobs={} extra={extra} {}", jobs.len(), log.summary());
    }
}

impl Log {
    fn started(&self, number: u64) {
        self.starts.fetch_add(1, Ordering::SeqCst);
        *self.runs.lock().unwrap().entry(number).or_default() += 1;
        self.first_start.lock().unwrap().get_or_insert_with(Instant::now);
    }

    fn heard(&self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Error { error } => {
                self.told.fetch_add(1, Ordering::SeqCst);
                self.errors.lock().unwrap().push(error.clone());
            }
            WorkerEvent::LeaseLost { .. } => drop(self.leases_lost.fetch_add(1, Ordering::SeqCst)),
            WorkerEvent::Stalled { .. } => drop(self.stalls.fetch_add(1, Ordering::SeqCst)),
            WorkerEvent::LateResultRefused { .. } => drop(self.refused_late.fetch_add(1, Ordering::SeqCst)),
            WorkerEvent::Closed => self.ended.store(true, Ordering::SeqCst),
            _ => {}
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Waits for leave to add; none if there is to be no more.
    async fn next(&self, count: u64) -> Option<u64> {
        // Together somewhat less than what one worker can do.
        sleep(ms(8)).await;
        loop {
            self.adding.fetch_add(1, Ordering::SeqCst);
            if !self.goes_on() {
                self.adding.fetch_sub(1, Ordering::SeqCst);
                return None;
            }
            if !self.paused.load(Ordering::SeqCst) {
                return Some(self.numbers.fetch_add(count, Ordering::SeqCst));
            }
            self.adding.fetch_sub(1, Ordering::SeqCst);
            sleep(ms(5)).await;
        }
    }

    /// An add that began then has ended.
    fn answered(&self, begin: Instant, result: Result<(), &Error>) -> Said {
        let took = begin.elapsed();
        self.slowest_ms.fetch_max(u64::try_from(took.as_millis()).unwrap(), Ordering::SeqCst);
        let Err(error) = result else { return Said::Stored };
        *self.refusals.lock().unwrap().entry(error.kind().as_str()).or_default() += 1;
        match error.kind() {
            ErrorKind::Ambiguous => Said::Perhaps,
            ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::ReadOnly => Said::Not,
            _ => panic!("an add fails in a way that the fault does not explain: {error:?}"),
        }
    }

    /// One of several answers to adds with the same id: what nobody knew once is not known until it is stored.
    fn says_again(&self, number: u64, said: Said) {
        let mut all = self.said.lock().unwrap();
        let known = all.entry(number).or_insert(said);
        if said == Said::Stored || *known == Said::Not {
            *known = said;
        }
    }

    fn summary(&self) -> String {
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let (runs, said) = (self.runs.lock().unwrap(), self.said.lock().unwrap());
        let again: u32 = runs.values().map(|runs| runs - 1).sum();
        let stored = said.values().filter(|said| **said == Said::Stored).count();
        format!(
            "acknowledged={stored} refused={:?} slowest_add_ms={} again={again} stalls={} leases_lost={} late={} told={}",
            self.refusals.lock().unwrap(),
            count(&self.slowest_ms),
            count(&self.stalls),
            count(&self.leases_lost),
            count(&self.refused_late),
            count(&self.told),
        )
    }

    /// Compares what was said with what there is. How many jobs there are beyond those that were acknowledged.
    fn check(&self, name: &str, jobs: &BTreeMap<String, Job>, forgiven: &BTreeSet<u64>) -> u64 {
        let (said, own) = (self.said.lock().unwrap(), self.own.lock().unwrap());
        let mut found: BTreeMap<u64, &Job> = BTreeMap::new();
        let mut extra = 0;
        for (id, job) in jobs {
            let number: u64 = job.data.read().unwrap();
            assert_eq!(job.failed_reason, None, "{name}: {job:?}");
            assert_eq!(job.return_value, Some(job.data.clone()), "{name}: {job:?}");
            assert_eq!(job.attempts_made, 1, "{name}: {job:?}");
            let twin = found.insert(number, job);
            assert!(twin.is_none(), "{name}: added once, there twice: {job:?} and {twin:?}");
            if own.contains_key(&number) {
                assert_eq!(*id, own_id(number), "{name}");
            }
            match said.get(&number).copied() {
                Some(Said::Stored) => {}
                Some(Said::Perhaps) => extra += 1,
                other => panic!("{name}: {other:?} was said of a job that is there: {job:?}"),
            }
        }
        let is_lost = |(number, said): &(&u64, &Said)| {
            **said == Said::Stored && !found.contains_key(number) && !forgiven.contains(number)
        };
        let lost: Vec<_> = said.iter().filter(is_lost).collect();
        assert!(lost.is_empty(), "{name}: acknowledged, and lost: {lost:?}");
        let made_again: Vec<_> = own.iter().filter(|(_, created)| **created > 1).collect();
        assert!(
            made_again.is_empty() || !forgiven.is_empty(),
            "{name}: the same id was added twice: {made_again:?}"
        );
        for group in &*self.groups.lock().unwrap() {
            let there = group.clone().filter(|number| found.contains_key(number)).count() as u64;
            assert!(there == 0 || there == GROUP, "{name}: {there} jobs of a group of {GROUP} are there");
        }
        let slowest = self.slowest_ms.load(Ordering::SeqCst);
        assert!(ms(slowest) <= ADD_BOUND, "{name}: an add took {slowest} ms");
        extra
    }
}

fn own_id(number: u64) -> String {
    format!("own-{number}")
}

/// Adds jobs with ids of its own, each again until it is acknowledged.
async fn own_ids(queue: Queue, log: Arc<Log>) {
    while let Some(number) = log.next(1).await {
        log.own.lock().unwrap().insert(number, 0);
        loop {
            let begin = Instant::now();
            let added = queue.add_named("own", &number).id(own_id(number)).await;
            let said = log.answered(begin, added.as_ref().map(|_| ()));
            log.says_again(number, said);
            if let Ok(added) = added {
                if added.fate == Fate::Created {
                    *log.own.lock().unwrap().get_mut(&number).unwrap() += 1;
                }
                break;
            }
            if !log.goes_on() {
                break;
            }
            sleep(ms(10)).await;
        }
        log.adding.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds jobs without ids, each once.
async fn auto_ids(queue: Queue, log: Arc<Log>) {
    while let Some(number) = log.next(1).await {
        let begin = Instant::now();
        let added = queue.add_named("auto", &number).await;
        let said = log.answered(begin, added.as_ref().map(|_| ()));
        log.said.lock().unwrap().insert(number, said);
        log.adding.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds groups of jobs without ids, each once.
async fn groups(queue: Queue, log: Arc<Log>) {
    while let Some(first) = log.next(GROUP).await {
        let numbers = first..first + GROUP;
        let job = |number: u64| NewJob {
            name: "group".into(),
            data: JsonText::of(&number).unwrap(),
            options: JobOptions::default(),
        };
        let begin = Instant::now();
        let added = queue.add_bulk(numbers.clone().map(job).collect()).await;
        let said = log.answered(begin, added.as_ref().map(|_| ()));
        log.said.lock().unwrap().extend(numbers.clone().map(|number| (number, said)));
        log.groups.lock().unwrap().push(numbers);
        log.adding.fetch_sub(1, Ordering::SeqCst);
        sleep(ms(40)).await;
    }
}

/// What there is to see of work that does not go on.
async fn stuck(queue: &Queue, workers: &[Worker]) -> String {
    let mut text = String::new();
    for worker in workers {
        let _ = write!(text, "{worker:?} {:?}; ", worker.handle().stats());
    }
    let request =
        JobsRequest { states: vec![JobState::Active], offset: 0, limit: 20, order: Order::Ascending };
    let active = queue.jobs(request).await.map(|page| page.jobs).unwrap_or_default();
    let starts = |view: oxmq::JobView| (view.job.id.clone(), view.job.attempts_started, view.token);
    let _ = write!(text, "active: {:?}", active.into_iter().map(starts).collect::<Vec<_>>());
    text
}

/// The events of one job, as far as they are kept.
async fn history(queue: &Queue, id: &oxmq::JobId) -> String {
    let mut text = String::new();
    let mut events = queue.events(oxmq::EventCursor::Oldest).await.unwrap();
    while let Some(notice) = events.try_next().await.unwrap() {
        if let oxmq::Notice::Event(event) = notice
            && format!("{event:?}").contains(&format!("{id:?}"))
        {
            let _ = write!(text, "\n  {event:?}");
        }
    }
    text
}

async fn all_jobs(queue: &Queue) -> BTreeMap<String, Job> {
    let mut all = BTreeMap::new();
    let mut offset = 0;
    loop {
        let states = JobState::ALL.to_vec();
        let request = JobsRequest { states, offset, limit: GROUP_JOBS_MAX, order: Order::Ascending };
        let page = queue.jobs(request).await.unwrap().jobs;
        offset += page.len() as u64;
        let is_last = page.len() < GROUP_JOBS_MAX;
        all.extend(page.into_iter().map(|view| (view.job.id.to_string(), view.job)));
        if is_last {
            return all;
        }
    }
}
