//! `oxmq demo`: a producer and two worker processes on a new store, with real work, real failures, and one worker
//! that is killed in the middle of a job. In the end every job is accounted for.
//!
//! `plan.rs` says which jobs there are, `worker.rs` is what the workers do, `story.rs` follows the events, and
//! `audit.rs` checks the outcome. `pictures.rs`, `mail.rs` and `sink.rs` are the work itself.

mod audit;
mod mail;
mod pictures;
mod plan;
mod sink;
mod story;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use oxmq::{Clock, EventCursor, Queue, Timestamp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use self::plan::Plan;
use self::story::{Story, Turn};
pub(crate) use self::worker::run as work;
use super::this_program;
use crate::args::DemoArgs;
use crate::context::Context;
use crate::output::{Output, say};

/// The queues.
const THUMBNAILS: &str = "thumbnails";
const MAILS: &str = "mails";
/// How long a job is safe from being given to others when its worker dies. 10 s would be usual; the demo has no
/// time to lose.
const LEASE: Duration = Duration::from_secs(2);
/// The demo must be over by then.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a worker may take to end.
const END_WAIT: Duration = Duration::from_secs(10);
/// The workers' names.
const WORKERS: [&str; 2] = ["ada", "bob"];

/// What is said, with the time since the start.
#[derive(Debug, Clone)]
struct Screen {
    out: Output,
    clock: Clock,
    start: Timestamp,
}

impl Screen {
    fn say(&self, text: impl std::fmt::Display) -> Result<()> {
        let seconds = (self.clock.now() - self.start).as_secs_f64();
        say!(self.out, "{seconds:5.1} s  {text}")
    }
}

/// Where the demo's queues are.
#[derive(Debug)]
struct Place {
    url: String,
    prefix: String,
    is_file: bool,
}

impl Place {
    /// A file in the demo's directory; or, if `--store` names a server, queues there that nobody else has.
    fn of(context: &Context, dir: &Path, now: Timestamp) -> Self {
        match context.url_of_flag().filter(|url| !url.starts_with("sqlite:")) {
            Some(url) => {
                Self { url: url.to_owned(), prefix: format!("oxmq-demo-{}", now.as_millis()), is_file: false }
            }
            None => Self {
                url: format!("sqlite:{}", dir.join("jobs.db").display()),
                prefix: oxmq::DEFAULT_PREFIX.to_owned(),
                is_file: true,
            },
        }
    }

    fn remark(&self) -> String {
        if self.is_file {
            ": one file, nothing else to run".into()
        } else {
            format!(", prefix {}: nothing else there is touched", self.prefix)
        }
    }
}

/// A worker process. Killed when it is dropped.
#[derive(Debug)]
struct WorkerProcess {
    name: &'static str,
    child: Child,
    pid: u32,
}

pub(crate) async fn run(args: DemoArgs, context: &Context) -> Result<ExitCode> {
    let clock = Clock::system();
    let screen = Screen { out: context.out, start: clock.now(), clock: clock.clone() };
    let mut terminate = signal(SignalKind::terminate())?;
    // Whatever ends this function drops the worker processes, and so kills them.
    tokio::select! {
        done = clock.timeout(DEADLINE * 2, tell(args, context, &screen)) => done.context("the demo hangs")?,
        _ = tokio::signal::ctrl_c() => bail!("stopped by ^C"),
        _ = terminate.recv() => bail!("stopped by SIGTERM"),
    }
}

async fn tell(args: DemoArgs, context: &Context, screen: &Screen) -> Result<ExitCode> {
    let dir = make_dir(args.dir)?;
    let plan = Plan::new(args.pictures);
    screen.say(format_args!("everything of this demo goes to {}", dir.display()))?;
    screen.say(format_args!("drawing {} pictures to work on ..", plan.pictures().count()))?;
    draw(&plan, &dir).await?;

    let (port, mails) = sink::start(dir.join("outbox")).await?;
    screen.say(format_args!("a mail server listens on port {port}; it keeps what it gets in outbox/"))?;

    let place = Place::of(context, &dir, screen.start);
    let store = oxmq::connect(&place.url).await?;
    let queue = |name: &str| Queue::builder(&store, name).prefix(place.prefix.as_str()).build();
    let (thumbnails, letters) = (queue(THUMBNAILS)?, queue(MAILS)?);
    let mut events = (thumbnails.events(EventCursor::Now).await?, letters.events(EventCursor::Now).await?);
    screen.say(format_args!("the store is {}{}", store.describe(), place.remark()))?;
    plan.add(&thumbnails, &letters, screen).await?;

    let mut workers = Vec::new();
    for name in WORKERS {
        workers.push(start_worker(name, &dir, &place, port)?);
    }
    for worker in &workers {
        screen.say(format_args!("worker {} is process {}", worker.name, worker.pid))?;
    }
    screen.say(format_args!("their leases are {LEASE:?} here, for the demo's sake; usual are 10 s"))?;

    let mut tale = Story::new(&plan, screen.clone());
    let deadline = screen.start + DEADLINE;
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        let turn = tokio::select! {
            notice = events.0.next() => tale.thumbnail(&notice?, &thumbnails).await?,
            notice = events.1.next() => tale.mail(&notice?, &letters).await?,
            _ = look.tick() => Turn::GoOn,
            () = screen.clock.sleep_until(deadline) => {
                screen.say(format_args!("the time of {DEADLINE:?} is up"))?;
                break;
            }
        };
        match turn {
            Turn::GoOn => {}
            Turn::Kill { worker, job } => {
                let Some(index) = workers.iter().position(|process| process.name == worker) else { continue };
                let mut victim = workers.remove(index);
                victim.child.kill().await?;
                screen.say(format_args!(
                    ">>> SIGKILL to {worker} (process {}), in the middle of thumbnail job {job}",
                    victim.pid
                ))?;
                screen.say(format_args!(
                    "    its lease runs out within {LEASE:?}; then another worker gets the job"
                ))?;
                tale.killed(worker);
            }
        }
        for worker in &mut workers {
            if let Some(status) = worker.child.try_wait()? {
                bail!("worker {} ended before its time: {status}", worker.name);
            }
        }
        if plan.is_done(&thumbnails, &letters).await? {
            break;
        }
    }
    for worker in workers {
        stop_worker(worker, screen).await?;
    }
    let is_good = audit::report(&plan, &tale, &mails, &dir, (&thumbnails, &letters), screen).await?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A new directory: nothing of an earlier run may be counted.
fn make_dir(asked: Option<PathBuf>) -> Result<PathBuf> {
    let dir = match asked {
        Some(dir) => {
            let is_empty = fs::read_dir(&dir).map_or(true, |mut entries| entries.next().is_none());
            ensure!(is_empty, "`dir` is {}: it must be new, or empty", dir.display());
            dir
        }
        None => (1..=10_000)
            .map(|number| PathBuf::from(format!("demo/run-{number}")))
            .find(|dir| !dir.exists())
            .context("demo/ is full; remove some of it")?,
    };
    for part in ["pictures", "thumbnails", "outbox"] {
        fs::create_dir_all(dir.join(part)).with_context(|| dir.display().to_string())?;
    }
    Ok(std::path::absolute(dir)?)
}

/// Draws all pictures, two at a time.
async fn draw(plan: &Plan, dir: &Path) -> Result<()> {
    let mut drawing = tokio::task::JoinSet::new();
    for (number, picture) in plan.pictures().enumerate() {
        let (path, size) = (dir.join(&picture.args.picture), picture.size);
        let number = u32::try_from(number)?;
        drawing.spawn_blocking(move || pictures::draw(&path, number, size));
        if number % 2 == 1 {
            while let Some(done) = drawing.join_next().await {
                done??;
            }
        }
    }
    while let Some(done) = drawing.join_next().await {
        done??;
    }
    Ok(())
}

fn start_worker(name: &'static str, dir: &Path, place: &Place, port: u16) -> Result<WorkerProcess> {
    let mut command = Command::new(this_program()?);
    command.args(["--quiet", "--prefix", &place.prefix, "demo-worker", "--name", name]);
    // Not as an argument, which everybody on the machine can read: it may hold a password.
    command.env("OXMQ_URL", &place.url);
    command.arg("--dir").arg(dir).arg("--smtp").arg(port.to_string());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let pid = child.id().context("the worker has ended already")?;
    Ok(WorkerProcess { name, child, pid })
}

/// Asks a worker to end, and waits until it has.
async fn stop_worker(mut worker: WorkerProcess, screen: &Screen) -> Result<()> {
    if let Some(pid) = i32::try_from(worker.pid).ok().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    }
    let status = screen.clock.timeout(END_WAIT, worker.child.wait()).await;
    let status = status.with_context(|| format!("worker {} does not end", worker.name))??;
    screen.say(format_args!("worker {} was asked to end, and did: {status}", worker.name))
}
