//! The model test: random operations, times, workers and crashes, done by the store under test and by the model,
//! which must answer the same and look the same after each step.
//!
//! `OXMQ_MODEL_CASES` says how many sequences are tried (default 24), `OXMQ_MODEL_OPS` how long one may be (default
//! 80). They are the same ones at every run, so that a change that breaks nothing is not told off for what an earlier one broke;
//! `OXMQ_MODEL_SEED` (a number, or `random`) draws others: `cargo xtask test --all` draws anew. The seeds of failures are kept in
//! `proptest-regressions/model.txt` of the crate whose store failed.
//!
//! Flows are part of it: trees over both queues, children of jobs that are there, every way to fail. After each step no parent
//! may wait for children when it has none to wait for.
//!
//! What the contract leaves open is not generated (two policies of retention in one call, ..), or not compared (the
//! order among jobs that are recovered in one call). The clock is made so that no border is hit that the contract
//! does not speak of: steps are 2 ms apart, all else moves it by whole seconds, and leases and the like are odd.

mod driver;

use std::env;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestError, TestRunner};

use self::driver::Driver;
use super::harness::{Harness, block_on};
use crate::family::ChildFailure;
use crate::state::JobState;
use crate::store::RemoveScope;

/// One step. Jobs and leases are picked by a number, from those that are known when the step is made.
#[derive(Debug, Clone)]
enum Op {
    Add(Vec<Spec>),
    AddFlow(Vec<FlowSpec>),
    Take {
        worker: u8,
        limit: usize,
        locked: bool,
        rated: bool,
    },
    Finish {
        endings: Vec<(u8, End)>,
        take: bool,
        heeds_cancel: bool,
    },
    Extend(Vec<u8>),
    /// The worker forgets its leases.
    Crash(u8),
    Recover {
        max_stalled: u32,
    },
    Note(u8, Text),
    Announce {
        worker: u8,
        stays: bool,
    },
    Cancel(u8),
    Promote(u8),
    PromoteAll(usize),
    Retry {
        job: u8,
        completed: bool,
        made: bool,
        started: bool,
    },
    RetryMany {
        completed: bool,
        ago: u64,
        limit: usize,
    },
    Delay(u8, u64),
    Priority {
        job: u8,
        priority: u32,
        lifo: bool,
    },
    Remove(u8, RemoveScope),
    Detach(u8),
    /// A deduplication id, and whether only if some job owns it.
    Release(u8, Option<u8>),
    Pause,
    Resume,
    Limit(Option<u64>),
    Concurrency(Option<u32>),
    Rate(Option<u32>),
    Drain {
        delayed: bool,
    },
    Clean {
        state: JobState,
        ago: u64,
        limit: usize,
    },
    Obliterate {
        force: bool,
    },
    Sweep,
    Publish,
    /// Makes a schedule, or replaces it.
    Put {
        schedule: u8,
        rule: Turn,
        limit: Option<u64>,
        priority: u32,
    },
    /// Lets the schedule of a job go on.
    GoOn {
        job: u8,
        after: u64,
        alone: bool,
    },
    RemoveSchedule(u8),
    Advance(u64),
}

/// The rule of a schedule, in milliseconds.
#[derive(Debug, Clone)]
enum Turn {
    Every {
        every: u64,
        offset: Option<u64>,
        start: Option<u64>,
    },
    /// A pattern that is due so long from now.
    At {
        pattern: u8,
        after: u64,
    },
}

#[derive(Debug, Clone)]
struct Spec {
    own_id: Option<u8>,
    priority: u32,
    lifo: bool,
    delay: u64,
    data: u8,
    /// The queue of a parent that is there, and which job.
    parent: Option<(bool, u8)>,
    on_failure: Option<ChildFailure>,
    once: Option<Once>,
}

/// A deduplication: a number that makes the id, seconds, and the switches.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "BullMQ's switches")]
struct Once {
    id: u8,
    ttl: Option<u64>,
    extend: bool,
    replace: bool,
    reschedule: bool,
    keep_last: bool,
}

/// A tree of jobs: each in a queue, below one that came before it.
#[derive(Debug, Clone)]
struct FlowSpec {
    nodes: Vec<(bool, u8, Spec)>,
}

#[derive(Debug, Clone)]
enum End {
    Completed(Keep),
    Failed(Keep),
    Retry(Option<u64>),
    Postponed(u64),
    Returned,
    /// For its children, or for a child in a queue.
    Await(Option<(bool, u8)>),
}

#[derive(Debug, Clone)]
enum Keep {
    All,
    None,
    Count(u64),
    Seconds(u64),
    Both(u64, u64),
}

#[derive(Debug, Clone)]
enum Text {
    Progress(u8),
    Data(u8),
    Log(u8, Option<u32>),
    ClearLogs(Option<u32>),
}

/// Which queue, and what.
type Step = (bool, Op);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec((proptest::bool::weighted(0.35), op()), 1..=most)
}

fn op() -> impl Strategy<Value = Op> {
    let job = any::<u8>;
    let worker = || 0_u8..3;
    let limit = || prop_oneof![1_usize..4, Just(1_000)];
    let ago = || prop_oneof![Just(0_u64), 1_u64..90];
    let log_cap = || proptest::option::of(1_u32..4);
    prop_oneof![
        20 => vec(spec(), 1..5).prop_map(Op::Add),
        20 => (worker(), 1_usize..4, proptest::bool::weighted(0.9), proptest::bool::weighted(0.7))
            .prop_map(|(worker, limit, locked, rated)| Op::Take { worker, limit, locked, rated }),
        26 => (vec((any::<u8>(), end()), 1..4), any::<bool>(), any::<bool>())
            .prop_map(|(endings, take, heeds_cancel)| Op::Finish { endings, take, heeds_cancel }),
        4 => vec(any::<u8>(), 1..4).prop_map(Op::Extend),
        2 => worker().prop_map(Op::Crash),
        4 => (0_u32..3).prop_map(|max_stalled| Op::Recover { max_stalled }),
        5 => (job(), prop_oneof![
                any::<u8>().prop_map(Text::Progress),
                any::<u8>().prop_map(Text::Data),
                (any::<u8>(), log_cap()).prop_map(|(line, keep)| Text::Log(line, keep)),
                log_cap().prop_map(Text::ClearLogs),
            ]).prop_map(|(job, text)| Op::Note(job, text)),
        4 => (worker(), proptest::bool::weighted(0.9))
            .prop_map(|(worker, stays)| Op::Announce { worker, stays }),
        6 => job().prop_map(Op::Cancel),
        4 => job().prop_map(Op::Promote),
        2 => limit().prop_map(Op::PromoteAll),
        5 => (job(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(job, completed, made, started)| Op::Retry { job, completed, made, started }),
        2 => (any::<bool>(), ago(), limit())
            .prop_map(|(completed, ago, limit)| Op::RetryMany { completed, ago, limit }),
        4 => (job(), delay()).prop_map(|(job, delay)| Op::Delay(job, delay)),
        5 => (job(), 0_u32..4, any::<bool>())
            .prop_map(|(job, priority, lifo)| Op::Priority { job, priority, lifo }),
        10 => vec(flow(), 1..3).prop_map(Op::AddFlow),
        4 => (job(), scope()).prop_map(|(job, scope)| Op::Remove(job, scope)),
        2 => job().prop_map(Op::Detach),
        2 => (0_u8..ONCE_IDS, proptest::option::of(job())).prop_map(|(id, owner)| Op::Release(id, owner)),
        2 => Just(Op::Pause),
        4 => Just(Op::Resume),
        2 => proptest::option::of(1_u64..20).prop_map(Op::Limit),
        2 => proptest::option::weighted(0.7, 1_u32..4).prop_map(Op::Concurrency),
        2 => proptest::option::weighted(0.6, 1_u32..5).prop_map(Op::Rate),
        1 => any::<bool>().prop_map(|delayed| Op::Drain { delayed }),
        3 => (state(), ago(), limit()).prop_map(|(state, ago, limit)| Op::Clean { state, ago, limit }),
        1 => any::<bool>().prop_map(|force| Op::Obliterate { force }),
        2 => Just(Op::Sweep),
        2 => Just(Op::Publish),
        6 => (0_u8..3, turn(), proptest::option::weighted(0.2, 1_u64..4), 0_u32..3)
            .prop_map(|(schedule, rule, limit, priority)| Op::Put { schedule, rule, limit, priority }),
        8 => (job(), delay(), any::<bool>()).prop_map(|(job, after, alone)| Op::GoOn { job, after, alone }),
        1 => (0_u8..3).prop_map(Op::RemoveSchedule),
        10 => prop_oneof![1_u64..5, 1_u64..90].prop_map(Op::Advance),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let own_id = proptest::option::weighted(0.2, 0_u8..6);
    let priority = prop_oneof![2 => Just(0_u32), 1 => 1_u32..4];
    let delay = prop_oneof![2 => Just(0), 1 => delay()];
    let parent = proptest::option::weighted(0.15, (any::<bool>(), any::<u8>()));
    let once = proptest::option::weighted(0.35, once());
    let lifo = proptest::bool::weighted(0.2);
    (own_id, priority, lifo, delay, any::<u8>(), parent, on_failure(), once).prop_map(
        |(own_id, priority, lifo, delay, data, parent, on_failure, once)| Spec {
            own_id,
            priority,
            lifo,
            delay,
            data,
            // A job with a parent cannot be deduplicated.
            once: once.filter(|_| parent.is_none()),
            parent,
            on_failure,
        },
    )
}

/// How many deduplication ids there are.
const ONCE_IDS: u8 = 3;

fn once() -> impl Strategy<Value = Once> {
    let switch = || proptest::bool::weighted(0.3);
    let ttl = proptest::option::weighted(0.5, 1_u64..90);
    (0_u8..ONCE_IDS, ttl, switch(), switch(), switch(), switch()).prop_map(
        |(id, ttl, extend, replace, reschedule, keep_last)| Once {
            id,
            ttl,
            extend,
            replace,
            reschedule,
            keep_last,
        },
    )
}

fn on_failure() -> impl Strategy<Value = Option<ChildFailure>> {
    proptest::option::of(proptest::sample::select(&ChildFailure::ALL[..]))
}

/// Mostly small; the same own ids as everywhere, so that flows meet what is there.
fn flow() -> impl Strategy<Value = FlowSpec> {
    vec((any::<bool>(), any::<u8>(), spec()), 1..6).prop_map(|nodes| FlowSpec { nodes })
}

fn scope() -> impl Strategy<Value = RemoveScope> {
    prop_oneof![
        2 => Just(RemoveScope::JobOnly),
        1 => Just(RemoveScope::WithChildren),
        1 => Just(RemoveScope::PendingChildren),
    ]
}

/// Milliseconds; even, so that some are met exactly.
fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![(1_u64..6).prop_map(|n| n * 2), (1_u64..60).prop_map(|n| n * 1_000)]
}

fn turn() -> impl Strategy<Value = Turn> {
    let every = prop_oneof![Just(1_000_u64), Just(7_000), Just(60_000)];
    let start = || proptest::option::weighted(0.2, delay());
    prop_oneof![
        3 => (every, proptest::option::weighted(0.2, 1_u64..1_000), start())
            .prop_map(|(every, offset, start)| Turn::Every { every, offset, start }),
        2 => (0_u8..2, prop_oneof![1 => Just(0), 2 => delay()])
            .prop_map(|(pattern, after)| Turn::At { pattern, after }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => keep().prop_map(End::Completed),
        3 => keep().prop_map(End::Failed),
        2 => proptest::option::of(delay()).prop_map(End::Retry),
        1 => delay().prop_map(End::Postponed),
        2 => Just(End::Returned),
        3 => proptest::option::weighted(0.3, (any::<bool>(), any::<u8>())).prop_map(End::Await),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![
        4 => Just(Keep::All),
        1 => Just(Keep::None),
        1 => (1_u64..4).prop_map(Keep::Count),
        1 => (1_u64..60).prop_map(Keep::Seconds),
        1 => (1_u64..4, 1_u64..60).prop_map(|(count, seconds)| Keep::Both(count, seconds)),
    ]
}

fn state() -> impl Strategy<Value = JobState> {
    proptest::sample::select(&JobState::ALL[..])
}

fn number_of(variable: &str, default: u32) -> u32 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seed() -> RngSeed {
    match env::var("OXMQ_MODEL_SEED") {
        Ok(text) if text == "random" => RngSeed::Random,
        Ok(text) => RngSeed::Fixed(text.parse().expect("OXMQ_MODEL_SEED is a number, or `random`")),
        Err(_) => RngSeed::Fixed(6_700),
    }
}

/// Tries random sequences of operations, each on a bench that `fresh` makes.
pub fn check<F: Future<Output = Harness>>(fresh: impl Fn() -> F) {
    let mut runner = TestRunner::new(Config {
        cases: number_of("OXMQ_MODEL_CASES", 24),
        rng_seed: seed(),
        max_shrink_iters: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/model.txt"))),
        ..Config::default()
    });
    let most = usize::try_from(number_of("OXMQ_MODEL_OPS", 80)).unwrap().min(400);
    let result = runner.run(&steps(most), |steps| {
        block_on(async {
            let harness = fresh().await;
            let mut driver = Driver::new(&harness);
            for (number, (other_queue, op)) in steps.into_iter().enumerate() {
                driver.step(number, other_queue, op).await;
            }
        });
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => {
            let list: Vec<_> = steps
                .iter()
                .enumerate()
                .map(|(n, (other, op))| format!("{n:>3} {other:<5} {op:?}"))
                .collect();
            panic!(
                "the store and the model differ: {why}\nsteps (number, other queue, operation):\n{}",
                list.join("\n")
            );
        }
        Err(TestError::Abort(why)) => panic!("the model test gave up: {why}"),
    }
}
