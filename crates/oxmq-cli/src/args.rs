//! The whole command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use oxmq::schedule::{Missed, Overlap};
use oxmq::{Backoff, JobState, Retention, Timestamp};

use crate::values::{
    BenchOutcome, Filling, LimitKind, backoff, duration, jitter, missed, overlap, rate, retention, timestamp,
};

/// Background jobs from the shell: add, work, look and steer.
///
/// Jobs live in a store: one SQLite file, which is made when the first job is added. Nothing else runs.
#[derive(Debug, Parser)]
#[command(name = "oxmq", version, after_help = crate::exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes, before or after it.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The store: `sqlite:PATH`, with `?durability=power` for every commit to reach the disk [default: `$OXMQ_URL`,
    /// else `$REDIS_URL`, else `sqlite:oxmq.db`]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(crate) store: Option<String>,
    /// Answer in JSON: one object, or one line per thing; errors too, on stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// The prefix that the queues are under
    #[arg(long, global = true, value_name = "PREFIX", default_value = oxmq::DEFAULT_PREFIX, help_heading = "Everywhere")]
    pub(crate) prefix: String,
    /// Say only what was asked for: no notes on stderr, no progress
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a job, or many
    Add(Box<AddArgs>),
    /// Trees of jobs, in which a parent runs when its children have ended
    #[command(subcommand)]
    Flow(FlowVerb),
    /// Run a program for each job of a queue
    #[command(after_long_help = crate::commands::WORK_HELP)]
    Work(WorkArgs),
    /// List the jobs in some states
    Jobs(JobsArgs),
    /// Show one job
    Job(OneJob),
    /// Show the log of a job
    Logs(LogsArgs),
    /// Make, list and remove schedules: jobs that are made again and again
    #[command(subcommand)]
    Schedules(ScheduleVerb),
    /// Run finished jobs again
    Retry(RetryArgs),
    /// Let delayed jobs run now
    Promote(PromoteArgs),
    /// Remove jobs, with their children and all that belongs to them
    Remove(RemoveArgs),
    /// Cancel a job: one that waits fails at once, one that runs is told to stop
    Cancel(CancelArgs),
    /// Show or set what bounds a queue, over all its workers: jobs at a time, jobs in a time
    Limit(LimitArgs),
    /// How many jobs completed and failed, minute by minute
    Metrics(MetricsArgs),
    /// Show which job stands for all with a deduplication id, or free the id
    Dedup(DedupArgs),
    /// Give out no more jobs until the queue is resumed; running jobs go on
    Pause(OneQueue),
    /// End the pause
    Resume(OneQueue),
    /// Remove the jobs that wait
    Drain(DrainArgs),
    /// Remove old jobs in one state
    Clean(CleanArgs),
    /// Remove a queue and everything in it
    Obliterate(ObliterateArgs),
    /// How many jobs are in each state
    Counts(OneQueue),
    /// List the queues
    Queues,
    /// Follow what happens in a queue
    Watch(WatchArgs),
    /// List the workers that listen to a queue
    Workers(OneQueue),
    /// Serve the store to BullMQ's Node classes, which an npm package of ours brings here
    #[command(after_long_help = crate::commands::BACKEND_HELP)]
    Backend(BackendArgs),
    /// Measure the store on this machine
    #[command(after_long_help = crate::commands::BENCH_HELP)]
    Bench(Box<BenchArgs>),
    /// See it all at work: thumbnails, mail, retries, and a worker that is killed
    Demo(DemoArgs),
    /// Print the completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// One of the demo's workers
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
    /// A producer that prints each id once it is acknowledged; for the crash campaign
    #[command(hide = true)]
    CrashProducer(CrashProducerArgs),
    /// A worker that prints the id and the number of each start; for the crash campaign
    #[command(hide = true)]
    CrashWorker(CrashWorkerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OneQueue {
    /// The queue
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
pub(crate) struct OneJob {
    /// The queue
    pub(crate) queue: String,
    /// The id of the job
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The queue
    pub(crate) queue: String,
    /// The name of the job: what kind of work it is
    #[arg(required_unless_present = "bulk")]
    pub(crate) name: Option<String>,
    /// The payload: JSON, @FILE, or - for stdin [default: {}]
    #[arg(long, short, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// Add a job for each line of a file (- or nothing for stdin): {"name": .., "data": .., "opts"?: {..}}
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", conflicts_with_all = ["name", "data", "id", "at"])]
    pub(crate) bulk: Option<String>,
    #[command(flatten)]
    pub(crate) options: OptionArgs,
}

/// A flag for each option of a job.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(next_help_heading = "Options of the job")]
pub(crate) struct OptionArgs {
    /// An id of your choosing; a second add with it finds the first
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// How long to wait before it may run: 500ms, 10s, 5m, 2h, 1d; a bare number is milliseconds
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) delay: Option<Duration>,
    /// When it may run: 2026-01-31T12:00:00Z, or milliseconds since 1970
    #[arg(long, value_parser = timestamp, value_name = "WHEN", conflicts_with = "delay")]
    pub(crate) at: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) common: CommonOptionArgs,
}

/// A flag for each option that the jobs of a schedule can have, too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the job")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct CommonOptionArgs {
    /// 0 runs first, then 1, .. 2097151
    #[arg(long, short)]
    pub(crate) priority: Option<u32>,
    /// Last in, first out: run it next
    #[arg(long)]
    pub(crate) lifo: bool,
    /// How often it is tried in all
    #[arg(long)]
    pub(crate) attempts: Option<u32>,
    /// How long to wait before another try: fixed:1s, exponential:1s, or NAME:1s
    #[arg(long, value_parser = backoff, value_name = "CURVE:TIME")]
    pub(crate) backoff: Option<Backoff>,
    /// How much of the backoff is left to chance, 0 to 1
    #[arg(long, value_parser = jitter, value_name = "0..1", requires = "backoff")]
    pub(crate) jitter: Option<f64>,
    /// What is kept when it completes: all, none, COUNT, age=7d, or COUNT,age=7d
    #[arg(long, value_parser = retention, value_name = "KEEP")]
    pub(crate) keep_completed: Option<Retention>,
    /// What is kept when it fails for good: as --keep-completed
    #[arg(long, value_parser = retention, value_name = "KEEP")]
    pub(crate) keep_failed: Option<Retention>,
    /// How many log lines are kept, the newest
    #[arg(long, value_name = "LINES")]
    pub(crate) keep_logs: Option<u32>,
    /// How many stack traces are kept, the newest
    #[arg(long, value_name = "COUNT")]
    pub(crate) stack_limit: Option<u32>,
    /// The most bytes that its data may have
    #[arg(long, value_name = "BYTES")]
    pub(crate) size_limit: Option<usize>,
    /// How long one run may take
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// How late its first start may be, from when it is due
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) ttl: Option<Duration>,
    /// Add it only if no other job stands for it: what jobs have in common that stand for each other
    #[arg(long, value_name = "ID")]
    pub(crate) dedup_id: Option<String>,
    /// How long the first job stands for others, whatever becomes of it [default: until it has finished]
    #[arg(long, value_parser = duration, value_name = "TIME", requires = "dedup_id")]
    pub(crate) dedup_ttl: Option<Duration>,
    /// Begin that time anew with this add
    #[arg(long, requires = "dedup_ttl")]
    pub(crate) dedup_extend: bool,
    /// Take the place of the first job, if that is still delayed
    #[arg(long, requires = "dedup_id")]
    pub(crate) dedup_replace: bool,
    /// Give this --delay to the first job, if that is still delayed
    #[arg(long, requires = "dedup_id")]
    pub(crate) dedup_reschedule: bool,
    /// If the first job runs now, run this one after it; of several, the last
    #[arg(long, requires = "dedup_id")]
    pub(crate) dedup_keep_last: bool,
    /// Options by BullMQ's names, as JSON; the flags win over it
    #[arg(long, value_name = "JSON")]
    pub(crate) opts: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleVerb {
    /// List the schedules of a queue, by when they are due next
    List(ScheduleListArgs),
    /// Make a schedule, or give the one with this id another rule or template
    Put(Box<SchedulePutArgs>),
    /// Remove schedules; a job that is due already still runs
    Remove(ScheduleRemoveArgs),
    /// Show the next runs of a schedule
    Next(ScheduleNextArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleListArgs {
    /// The queue
    pub(crate) queue: String,
    /// The most to list
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: u64,
    /// How many to pass over
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) offset: u64,
    /// First the one that is due last
    #[arg(long)]
    pub(crate) desc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchedulePutArgs {
    /// The queue
    pub(crate) queue: String,
    /// What the schedule is called
    pub(crate) id: String,
    /// The name of its jobs: what kind of work they are
    pub(crate) name: String,
    /// A job every so often: 30s, 5m, 2h, 1d
    #[arg(long, value_parser = duration, value_name = "TIME", required_unless_present = "cron", conflicts_with = "cron")]
    pub(crate) every: Option<Duration>,
    /// A job at the times that a cron expression names: "0 9 * * MON-FRI"
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cron: Option<String>,
    /// The time zone of the cron expression [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub(crate) zone: Option<String>,
    /// How many jobs it makes in all
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// When it begins: 2026-01-31T12:00:00Z, or milliseconds since 1970
    #[arg(long, value_parser = timestamp, value_name = "WHEN")]
    pub(crate) start: Option<Timestamp>,
    /// When it ends: as --start
    #[arg(long, value_parser = timestamp, value_name = "WHEN")]
    pub(crate) end: Option<Timestamp>,
    /// How far the times of --every are from its multiples
    #[arg(long, value_parser = duration, value_name = "TIME", requires = "every")]
    pub(crate) offset: Option<Duration>,
    /// The first job of --cron is made at once
    #[arg(long, requires = "cron")]
    pub(crate) immediately: bool,
    /// What becomes of times that pass while no worker works: last, none, or all=TIME for each that is no older
    #[arg(long, value_parser = missed, value_name = "RULE", default_value = "last")]
    pub(crate) missed: Missed,
    /// What becomes of a job that would start while the one before runs: allow, or skip
    #[arg(long, value_parser = overlap, value_name = "RULE", default_value = "allow")]
    pub(crate) overlap: Overlap,
    /// The payload: JSON, @FILE, or - for stdin [default: {}]
    #[arg(long, short, value_name = "JSON")]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) options: CommonOptionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleRemoveArgs {
    /// The queue
    pub(crate) queue: String,
    /// The schedules
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleNextArgs {
    /// The queue
    pub(crate) queue: String,
    /// The schedule
    pub(crate) id: String,
    /// How many runs
    #[arg(long, short = 'n', default_value_t = 5, value_name = "N")]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct WorkArgs {
    /// The queue
    pub(crate) queue: String,
    /// The program, for `sh -c`
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: String,
    /// How many jobs run at once
    #[arg(long, short, default_value_t = 1, value_name = "N", value_parser = concurrency)]
    pub(crate) concurrency: usize,
    /// How long one run may take; a job's own limit counts as well
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// How long a program may take to end after SIGTERM
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "5s")]
    pub(crate) grace: Duration,
    /// How soon a job is given to another worker when this one is killed
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "10s")]
    pub(crate) lease: Duration,
    /// How many dead workers one job is allowed
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) max_stalled: u32,
    /// What this worker is called [default: its process id]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How long running jobs may go on when the worker is stopped
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "30s")]
    pub(crate) shutdown_timeout: Duration,
    /// How long it may take nothing, while jobs are due and a slot is free, before it counts as stuck
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "30s")]
    pub(crate) stuck_after: Duration,
    /// End, with exit code 1, when it is found stuck three times in a row
    #[arg(long)]
    pub(crate) end_when_stuck: bool,
    /// Count what completes and fails, minute by minute, and keep so many minutes of it
    #[arg(long, value_name = "MINUTES")]
    pub(crate) metrics: Option<u32>,
    /// Treat every failure like exit 75
    #[arg(long)]
    pub(crate) retry_any: bool,
    /// Stop when no job is left: none waiting, delayed or active
    #[arg(long)]
    pub(crate) until_drained: bool,
    /// Make the store if it is not there
    #[arg(long)]
    pub(crate) create: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// The queue
    pub(crate) queue: String,
    /// Which states, with commas between them [default: all that is not finished]
    #[arg(long, short, value_delimiter = ',', value_name = "STATE", value_parser = state)]
    pub(crate) state: Vec<JobState>,
    /// Those that killed the process that ran them, twice: failed for good, with the evidence as the reason
    #[arg(long, conflicts_with = "state")]
    pub(crate) quarantined: bool,
    /// The most to list
    #[arg(long, short, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u64,
    /// How many to pass over
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) offset: u64,
    /// The last first
    #[arg(long)]
    pub(crate) desc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) job: OneJob,
    /// The most lines to show
    #[arg(long, short, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// How many to pass over
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) offset: u64,
    /// The last first
    #[arg(long)]
    pub(crate) desc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The queue
    pub(crate) queue: String,
    /// The id of the job
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) id: Option<String>,
    /// Every job in the state
    #[arg(long)]
    pub(crate) all: bool,
    /// completed or failed
    #[arg(long, short, default_value = "failed", value_parser = state)]
    pub(crate) state: JobState,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The queue
    pub(crate) queue: String,
    /// The id of the job
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) id: Option<String>,
    /// Every delayed job
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The queue
    pub(crate) queue: String,
    /// The ids of the jobs
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Leave their children, which run then without a parent
    #[arg(long, conflicts_with = "pending_children")]
    pub(crate) alone: bool,
    /// Only the children they wait for that nobody works on, and not the jobs, which can run then
    #[arg(long)]
    pub(crate) pending_children: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlowVerb {
    /// Add a flow: all of it, or nothing
    #[command(after_help = crate::commands::FLOW_HELP)]
    Add {
        /// The flow as JSON: a file, or - for stdin
        #[arg(value_name = "FILE|-")]
        source: String,
    },
    /// Show a job with all that is below it
    Show {
        #[command(flatten)]
        job: OneJob,
        /// How many levels
        #[arg(long, value_name = "N", default_value_t = oxmq::TREE_DEPTH_DEFAULT)]
        depth: usize,
        /// How many children of each kind (completed, pending, ignored, failed) of each job
        #[arg(long, value_name = "N", default_value_t = oxmq::TREE_CHILDREN_DEFAULT)]
        max_children: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) job: OneJob,
    /// Why
    #[arg(long, default_value = "by hand")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// The queue
    pub(crate) queue: String,
    /// At most so many jobs at a time
    #[arg(long, short, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// At most so many jobs in each stretch of time: 100/1s
    #[arg(long, value_parser = rate, value_name = "N/TIME")]
    pub(crate) rate: Option<(u32, Duration)>,
    /// Give nothing for so long
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) pause: Option<Duration>,
    /// Give nothing until then: 2026-01-31T12:00:00Z, or milliseconds since 1970
    #[arg(long, value_parser = timestamp, value_name = "WHEN", conflicts_with = "pause")]
    pub(crate) until: Option<Timestamp>,
    /// Lift these limits, with commas between them
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_missing_value = "concurrency,rate,until")]
    pub(crate) off: Vec<LimitKind>,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// The queue
    pub(crate) queue: String,
    /// How many minutes, from now back
    #[arg(long, short, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_800))]
    pub(crate) minutes: u32,
    /// The queue's figures as Prometheus text instead, with BullMQ's names and our own
    #[arg(long, conflicts_with_all = ["minutes", "json"])]
    pub(crate) prometheus: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DedupArgs {
    /// The queue
    pub(crate) queue: String,
    /// The deduplication id
    pub(crate) id: String,
    /// Free it: the next job with it is added
    #[arg(long)]
    pub(crate) release: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The queue
    pub(crate) queue: String,
    /// The delayed jobs too
    #[arg(long)]
    pub(crate) delayed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// The queue
    pub(crate) queue: String,
    /// Which state
    #[arg(long, short, value_parser = state)]
    pub(crate) state: JobState,
    /// How long ago they finished (else were taken, else were added), at least; 0 for all
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) older_than: Duration,
    /// The most to remove; 0 for all
    #[arg(long, short, default_value_t = 0, value_name = "N")]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ObliterateArgs {
    /// The queue
    pub(crate) queue: String,
    /// Yes, everything
    #[arg(long, required = true)]
    pub(crate) yes: bool,
    /// Even if jobs are active
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The queue
    pub(crate) queue: String,
    /// Where to begin: start, now, or after the event of this id
    #[arg(long, default_value = "now", value_name = "start|now|ID")]
    pub(crate) from: String,
    /// Stop after so many events
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("way").required(true).args(["stdio", "socket", "tcp"]))]
pub(crate) struct BackendArgs {
    /// Over stdin and stdout; ends when stdin does
    #[arg(long)]
    pub(crate) stdio: bool,
    /// Over a unix socket at this path, which only its owner can use
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Over TCP on loopback, for programs that know the token: 127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS", requires = "token_env")]
    pub(crate) tcp: Option<SocketAddr>,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME", requires = "tcp")]
    pub(crate) token_env: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    /// One part, as a process of its own
    #[command(subcommand)]
    pub(crate) part: Option<BenchPart>,
    #[command(flatten)]
    pub(crate) measure: BenchMeasureArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchMeasureArgs {
    /// Which workloads, with commas between them: names, beginnings of names (W3), or all
    #[arg(long, short, value_delimiter = ',', default_value = "W1,W2,W3,W4", value_name = "NAMES")]
    pub(crate) workload: Vec<String>,
    /// The definitions' own numbers of jobs: minutes for each workload, not seconds
    #[arg(long, conflicts_with_all = ["scale", "n"])]
    pub(crate) full: bool,
    /// The part of the definitions' numbers of jobs that is used
    #[arg(long, default_value_t = 0.1, value_parser = scale, value_name = "0..10")]
    pub(crate) scale: f64,
    /// How many jobs, instead of the workload's own number; what else a workload has grows or shrinks with it
    #[arg(long, short, value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with = "scale")]
    pub(crate) n: Option<u64>,
    /// How often each is measured
    #[arg(long, default_value_t = 1, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) repeat: u32,
    /// Measure another program, which has the command line of `oxmq bench PART`: its words, with spaces between them. It finds the
    /// store in `$BENCH_REDIS` or `$BENCH_SQLITE`
    #[arg(long, value_name = "COMMAND")]
    pub(crate) program: Option<String>,
    /// Leave the queues as they are in the end
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The parts of a workload. Each prints `START` when its clock starts and `DONE {json}` when it ends, then waits for the end
/// of stdin. The store: `--store`, else `$BENCH_REDIS` (a URL), else `$BENCH_SQLITE` (a file).
#[derive(Debug, Subcommand)]
pub(crate) enum BenchPart {
    /// Adds one job after the other
    AddSingle(BenchPartArgs),
    /// Adds jobs in loops that run at the same time
    AddConcurrent(BenchPartArgs),
    /// Adds jobs in chunks
    AddBulk(BenchPartArgs),
    /// Works until n jobs have ended
    Process(BenchPartArgs),
    /// Works until n jobs have ended, and tells how long each was on its way
    LatencyWorker(BenchPartArgs),
    /// Adds a job every so often
    LatencyProducer(BenchPartArgs),
    /// Waits for work on queues that have none, until stdin ends
    Idle(BenchPartArgs),
    /// Holds n jobs active until stdin ends; starts its clock when it has all of them
    Hold(BenchPartArgs),
    /// Removes all completed jobs
    Clean(BenchPartArgs),
    /// Runs all failed jobs again
    Retry(BenchPartArgs),
    /// Removes the queue
    Obliterate(BenchPartArgs),
}

impl BenchPart {
    /// How many threads its loops and handlers run on; `None` for as many as there are cores.
    pub(crate) fn threads(&self) -> Option<u16> {
        match self {
            Self::Process(args) if args.work_ms > 0 => args.threads,
            Self::AddSingle(args)
            | Self::AddConcurrent(args)
            | Self::AddBulk(args)
            | Self::Process(args)
            | Self::LatencyWorker(args)
            | Self::LatencyProducer(args)
            | Self::Idle(args)
            | Self::Hold(args)
            | Self::Clean(args)
            | Self::Retry(args)
            | Self::Obliterate(args) => Some(args.threads.unwrap_or(1)),
        }
    }
}

/// What the parts of a workload are told. Any part takes all of it, and uses what concerns it.
#[derive(Debug, Args)]
pub(crate) struct BenchPartArgs {
    /// The queue
    #[arg(long, default_value = "bench")]
    pub(crate) queue: String,
    /// How many jobs
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) n: u64,
    /// Jobs that add-single adds before its clock starts
    #[arg(long, default_value_t = 200, value_name = "JOBS")]
    pub(crate) warmup: u64,
    /// Loops of add-concurrent
    #[arg(long, default_value_t = 100, value_name = "LOOPS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) parallel: u64,
    /// Jobs in a chunk of add-bulk
    #[arg(long, default_value_t = 1_000, value_name = "JOBS", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) chunk: u64,
    /// How long jobs are delayed that add-bulk adds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) delay_ms: u64,
    /// Chunks of add-bulk cycle through the priorities 1 to this; 0 for none
    #[arg(long, default_value_t = 0, value_name = "PRIORITY")]
    pub(crate) priority: u32,
    /// Characters of padding in each payload
    #[arg(long, default_value_t = 62, value_name = "CHARACTERS", value_parser = clap::value_parser!(u64).range(..=16 << 20))]
    pub(crate) pad: u64,
    /// Jobs that a worker runs at once
    #[arg(long, default_value_t = 1, value_parser = concurrency)]
    pub(crate) concurrency: usize,
    /// How long the processor of process takes
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) work_ms: u64,
    /// What becomes of the jobs of process
    #[arg(long, value_enum, default_value_t = BenchOutcome::Complete)]
    pub(crate) outcome: BenchOutcome,
    /// Time between two adds of latency-producer
    #[arg(long, default_value_t = 10, value_name = "MS")]
    pub(crate) gap_ms: u64,
    /// Queues that idle waits for, with a worker each: above 1 they are NAME-0, NAME-1, .. On Redis they share a connection then
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) queues: u64,
    /// Threads that loops and handlers run on [default: 1; as many as there are cores for process with --work-ms]
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where its files go [default: demo/run-1, or the next number that is free]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How many pictures and mails
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=200))]
    pub(crate) pictures: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DemoWorkerArgs {
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) smtp: u16,
    #[arg(long)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct CrashProducerArgs {
    pub(crate) queue: String,
    /// What the ids begin with
    #[arg(long)]
    pub(crate) tag: String,
    #[arg(long)]
    pub(crate) n: u64,
    #[arg(long, value_enum, default_value_t = Filling::Single)]
    pub(crate) by: Filling,
}

#[derive(Debug, Args)]
pub(crate) struct CrashWorkerArgs {
    pub(crate) queue: String,
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, value_parser = concurrency)]
    pub(crate) concurrency: usize,
    #[arg(long, value_parser = duration)]
    pub(crate) lease: Duration,
}

fn state(text: &str) -> Result<JobState, String> {
    text.parse().map_err(|error: oxmq::Error| error.message().to_owned())
}

fn scale(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| *number > 0.0 && *number <= 10.0);
    number.ok_or_else(|| "use a number above 0, to 10".into())
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| "use 1 to 10000".into())
}
