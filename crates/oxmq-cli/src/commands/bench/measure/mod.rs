//! Runs workloads, and shows what was measured.
//!
//! [`plan`] says which workloads there are, [`workloads`] how each goes; [`part`] is one process of it, [`proc`] what the
//! system knows of that process, [`server`] what a Redis server knows of itself, [`probe`] is another client of that server.

mod figures;
mod part;
mod plan;
mod probe;
mod proc;
mod server;
mod store;
mod workloads;

use anyhow::{Result, ensure};
use oxmq::{Error, JobCounts, Queue};

use self::figures::Figures;
use self::part::Program;
use self::plan::{Plan, WORKLOADS};
use self::server::Server;
use self::store::StoreFile;
use crate::args::BenchMeasureArgs;
use crate::context::{Context, Missing};
use crate::output::note;

pub(super) async fn run(args: BenchMeasureArgs, context: &Context) -> Result<()> {
    let plans = chosen(&args)?;
    ensure!(!context.url().contains(":memory:"), "a store in memory cannot be shared between processes");
    let program = Program::new(args.program.as_deref(), context)?;
    // It must be there before the first worker looks at it.
    let described = context.store(Missing::Create).await?.describe();
    context.close().await;
    let mut all = Vec::new();
    for round in 0..args.repeat {
        for plan in &plans {
            let name = plan.workload.name;
            note!(context.out, "{name}: {} ..", super::super::jobs_text(plan.n()));
            let mut bench = Bench {
                queue: format!("bench-{name}-{}-{round}", std::process::id()),
                program: &program,
                server: Server::of(context.url(), context.out).await,
                file: StoreFile::of(context.url()),
                context,
            };
            let mut figures = Figures::of(name, program.shown(), &described, plan.n());
            bench
                .measure(plan, &mut figures)
                .await
                .map_err(|error| error.context(format!("{name} failed")))?;
            if !args.keep {
                bench.remove(plan).await?;
            }
            if context.out.json {
                context.out.object(figures.fields())?;
            }
            all.push(figures);
        }
    }
    if context.out.json {
        Ok(())
    } else {
        context.out.table(&figures::HEADER, all.iter().map(Figures::row).collect())
    }
}

/// The workloads that the names mean, with their sizes.
fn chosen(args: &BenchMeasureArgs) -> Result<Vec<Plan>> {
    for name in &args.workload {
        let known = |workload: &plan::Workload| workload.is_meant_by(name);
        if !WORKLOADS.iter().any(known) {
            let names = WORKLOADS.map(|workload| workload.name).join(", ");
            return Err(
                Error::invalid("bench", "workload", name, format!("use all, or some of {names}")).into()
            );
        }
    }
    let meant = |workload: &&plan::Workload| args.workload.iter().any(|name| workload.is_meant_by(name));
    let scale = if args.full { 1.0 } else { args.scale };
    Ok(WORKLOADS.iter().filter(meant).map(|workload| Plan::new(workload, args.n, scale)).collect())
}

/// One measurement.
struct Bench<'a> {
    queue: String,
    program: &'a Program,
    server: Option<Server>,
    file: Option<StoreFile>,
    context: &'a Context,
}

impl Bench<'_> {
    /// Opens the store for as long as `act` needs it: while a part runs, nobody else is to be connected.
    async fn with_queue<T>(&self, name: &str, act: impl AsyncFnOnce(Queue) -> Result<T>) -> Result<T> {
        let context = self.context.quietly();
        let store = context.store(Missing::Refuse).await?;
        let queue = Queue::builder(&store, name).prefix(context.prefix.as_str()).build()?;
        drop(store);
        let result = act(queue).await;
        context.close().await;
        result
    }

    /// As [`checked`](Self::checked), for those that need not know more.
    async fn check(&self, expected: Expected) -> Result<()> {
        self.checked(expected).await.map(|_| ())
    }

    /// Numbers of a run that did not do what it should do are worth nothing. Gives what there is.
    async fn checked(&self, expected: Expected) -> Result<JobCounts> {
        let counts = self.with_queue(&self.queue, async |queue| Ok(queue.counts().await?)).await?;
        let is_right = counts.total() == expected.total
            && counts.completed >= expected.completed
            && counts.failed == expected.failed
            && (expected.completed + expected.failed < expected.total || counts.waiting + counts.active == 0);
        ensure!(is_right, "the queue should have {expected:?}, but has {counts:?}");
        Ok(counts)
    }

    /// Removes the queues of the measurement.
    async fn remove(&self, plan: &Plan) -> Result<()> {
        for name in plan.queues(&self.queue) {
            self.with_queue(&name, async |queue| Ok(queue.obliterate(true, |_| ()).await.map(|_| ())?))
                .await?;
        }
        Ok(())
    }
}

/// What a queue should have in it; of the completed ones at least so many.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    total: u64,
    completed: u64,
    failed: u64,
}
