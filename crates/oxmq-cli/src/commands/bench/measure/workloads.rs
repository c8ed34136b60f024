//! How each workload goes.

use std::time::Duration;

use anyhow::Result;
use oxmq::Clock;
use serde_json::Value;

use super::figures::Figures;
use super::part::{Done, Keys, Part};
use super::plan::{Beside, Kind, Plan};
use super::probe::probing;
use super::server::Sample;
use super::{Bench, Expected};

/// Adds before the clock of W1 starts.
const WARM_UP: u64 = 200;
/// How long the worker of W4 is up before the producer starts.
const WORKER_SETTLED: Duration = Duration::from_millis(1_500);
/// Between two adds of W4.
const GAP_MS: u64 = 10;
/// How long idle workers settle, and for how long they are watched then, in full and in short.
const IDLE_FULL: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));
const IDLE_SHORT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// Of a backlog, so many are worked on.
const STREAM: u64 = 20_000;
/// From how many waiting jobs on a backlog is measured so often from one fill.
const MANY: (u64, usize) = (70_000, 3);
/// The delay of those that do not become due.
const HOUR_MS: u64 = 3_600_000;
/// Jobs of 1 MiB in a chunk, and how long each is worked on.
const LARGE_CHUNK: u64 = 10;
const LARGE_WORK_MS: u64 = 20;

/// CPU at one time.
struct Before {
    cpu: Option<f64>,
    server: Option<Sample>,
}

impl Bench<'_> {
    pub(super) async fn measure(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let n = plan.n();
        let jobs = ("n", n.to_string());
        match plan.workload.kind {
            Kind::AddSingle => {
                self.adding("add-single", &[jobs, ("warmup", WARM_UP.to_string())], n, n + WARM_UP, figures)
                    .await
            }
            Kind::AddConcurrent => {
                self.adding("add-concurrent", &[jobs, ("parallel", "100".into())], n, n, figures).await
            }
            Kind::AddBulk => self.adding("add-bulk", &[jobs, ("chunk", "1000".into())], n, n, figures).await,
            Kind::Process { concurrency } => {
                self.fill(n).await?;
                self.stream(n, concurrency, 0, figures).await?;
                self.check(Expected { total: n, completed: n, failed: 0 }).await
            }
            Kind::Slow { work_ms } => self.slow(n, work_ms, figures).await,
            Kind::Latency => self.latency(n, figures).await,
            Kind::Memory => self.memory(n, figures).await,
            Kind::Idle { queues } => self.idle(queues, plan, figures).await,
            Kind::Backlog { beside } => self.backlog(beside, plan, figures).await,
            Kind::Held { jobs } => self.held(n, plan.sized(jobs), figures).await,
            Kind::Steer => self.steer(n, figures).await,
            Kind::Large { pad } => self.large(n, pad, figures).await,
        }
    }

    /// One producer.
    async fn adding(
        &mut self,
        verb: &str,
        keys: Keys<'_>,
        n: u64,
        total: u64,
        figures: &mut Figures,
    ) -> Result<()> {
        self.part(verb, keys, n, figures).await?;
        self.check(Expected { total, ..Expected::default() }).await
    }

    /// Jobs that wait.
    async fn fill(&self, n: u64) -> Result<()> {
        self.program.run("add-bulk", &self.queue, &[("n", n.to_string())]).await.map(|_| ())
    }

    /// One worker, until `n` jobs have completed.
    async fn stream(
        &mut self,
        n: u64,
        concurrency: usize,
        work_ms: u64,
        figures: &mut Figures,
    ) -> Result<Done> {
        let keys = [
            ("n", n.to_string()),
            ("concurrency", concurrency.to_string()),
            ("work-ms", work_ms.to_string()),
        ];
        // A program that knows only the definitions is not asked for more.
        let keys = if work_ms == 0 { &keys[..2] } else { &keys };
        self.part("process", keys, n, figures).await
    }

    /// A part that is measured from its first line to its last.
    async fn part(&mut self, verb: &str, keys: Keys<'_>, n: u64, figures: &mut Figures) -> Result<Done> {
        let mut part = self.program.start(verb, &self.queue, keys).await?;
        let before = self.look(&part).await?;
        let done = part.done().await?;
        self.costs(&before, &part, n, figures).await?;
        part.end().await?;
        figures.set("seconds", done.seconds);
        figures.set("jobs_per_s", per_second(n, done.seconds));
        figures.copy(&["p50_us", "p90_us", "p99_us"], &done.fields);
        Ok(done)
    }

    async fn look(&mut self, part: &Part) -> Result<Before> {
        let cpu = part.cpu_seconds();
        let server = match &mut self.server {
            Some(server) => Some(server.sample().await?),
            None => None,
        };
        Ok(Before { cpu, server })
    }

    /// CPU and memory of a part, and CPU of the server meanwhile.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    async fn costs(&mut self, before: &Before, part: &Part, n: u64, figures: &mut Figures) -> Result<()> {
        let after = self.look(part).await?;
        let ms_per_1000 = |seconds: f64| seconds * 1e6 / n as f64;
        let cpu = before.cpu.zip(after.cpu).map(|(before, after)| ms_per_1000(after - before));
        figures.set("cpu_ms_per_1000", cpu);
        let server = before.server.zip(after.server);
        figures.set(
            "server_cpu_ms_per_1000",
            server.map(|(before, after)| ms_per_1000(after.cpu_seconds - before.cpu_seconds)),
        );
        figures.set("peak_rss_mib", part.peak_rss_mib());
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    async fn slow(&mut self, n: u64, work_ms: u64, figures: &mut Figures) -> Result<()> {
        const CONCURRENCY: usize = 100;
        self.fill(n).await?;
        let done = self.stream(n, CONCURRENCY, work_ms, figures).await?;
        let ideal = CONCURRENCY as f64 * 1_000.0 / work_ms as f64;
        figures.set("percent_of_ideal", per_second(n, done.seconds) * 100.0 / ideal);
        self.check(Expected { total: n, completed: n, failed: 0 }).await
    }

    async fn latency(&mut self, n: u64, figures: &mut Figures) -> Result<()> {
        let keys = [("n", n.to_string()), ("concurrency", "1".into())];
        let mut worker = self.program.start("latency-worker", &self.queue, &keys).await?;
        Clock::system().sleep(WORKER_SETTLED).await;
        let before = self.look(&worker).await?;
        let keys = [("n", n.to_string()), ("gap-ms", GAP_MS.to_string())];
        let mut producer = self.program.start("latency-producer", &self.queue, &keys).await?;
        let done = worker.done().await?;
        self.costs(&before, &worker, n, figures).await?;
        producer.done().await?;
        producer.end().await?;
        worker.end().await?;
        // The producer sets the pace, so jobs per second say nothing here.
        figures.copy(&["p50_us", "p90_us", "p99_us"], &done.fields);
        self.check(Expected { total: n, completed: n, failed: 0 }).await
    }

    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    async fn memory(&mut self, n: u64, figures: &mut Figures) -> Result<()> {
        let empty = self.bytes().await?;
        self.fill(n).await?;
        let waiting = self.bytes().await?;
        let keys = [("n", n.to_string()), ("concurrency", "100".into())];
        self.program.run("process", &self.queue, &keys).await?;
        let completed = self.bytes().await?;
        figures.set("bytes_per_waiting", (waiting - empty) / n as f64);
        figures.set("bytes_per_completed", (completed - empty) / n as f64);
        self.check(Expected { total: n, completed: n, failed: 0 }).await
    }

    /// What the data take: the server's memory, or the file.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    async fn bytes(&mut self) -> Result<f64> {
        match (&self.file, &mut self.server) {
            (Some(file), _) => Ok(file.used_bytes()? as f64),
            (None, Some(server)) => Ok(server.sample().await?.used_memory),
            (None, None) => anyhow::bail!("this server cannot be asked for its memory"),
        }
    }

    async fn idle(&mut self, queues: u64, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let (settled, watched) = if plan.is_full() { IDLE_FULL } else { IDLE_SHORT };
        let part = self.program.start("idle", &self.queue, &[("queues", queues.to_string())]).await?;
        let clock = Clock::system();
        clock.sleep(settled).await;
        let before = self.look(&part).await?;
        clock.sleep(watched).await;
        let after = self.look(&part).await?;
        let seconds = watched.as_secs_f64();
        let cpu = before.cpu.zip(after.cpu);
        figures.set("cpu_ms_per_s", cpu.map(|(before, after)| (after - before) * 1e3 / seconds));
        if let Some((before, after)) = before.server.zip(after.server) {
            figures.set("server_cpu_ms_per_s", (after.cpu_seconds - before.cpu_seconds) * 1e3 / seconds);
            // One of them was the second look.
            figures.set("commands_per_s", (after.commands - before.commands - 1.0).max(0.0) / seconds);
            figures.set("connections", after.clients);
        }
        figures.set("peak_rss_mib", part.peak_rss_mib());
        part.end().await
    }

    async fn backlog(&mut self, beside: Beside, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let waiting = plan.n();
        let n = plan.sized(STREAM).min(waiting);
        let mut delayed = 0;
        let mut keys = vec![("n", waiting.to_string())];
        match beside {
            Beside::Nothing => {}
            Beside::Priorities(most) => {
                // At least a chunk of each priority.
                let chunk = (waiting / u64::from(most)).clamp(1, 1_000);
                keys.extend([("priority", most.to_string()), ("chunk", chunk.to_string())]);
            }
            Beside::Delayed(jobs) => {
                delayed = plan.sized(jobs);
                let keys = [("n", delayed.to_string()), ("delay-ms", HOUR_MS.to_string())];
                self.program.run("add-bulk", &self.queue, &keys).await?;
            }
        }
        self.program.run("add-bulk", &self.queue, &keys).await?;
        let rounds = if waiting >= plan.sized(MANY.0) && waiting >= n * MANY.1 as u64 { MANY.1 } else { 1 };
        let mut speeds = Vec::with_capacity(rounds);
        for round in 0..rounds as u64 {
            let done = self.stream(n, 100, 0, figures).await?;
            speeds.push(per_second(n, done.seconds));
            let expected = Expected { total: waiting + delayed, completed: n * (round + 1), failed: 0 };
            let left = self.checked(expected).await?;
            // A worker that closes completes what runs: with few jobs that may be all there are.
            if left.waiting + left.prioritized < n {
                break;
            }
        }
        speeds.sort_by(f64::total_cmp);
        figures.set("jobs_per_s", speeds[speeds.len() / 2]);
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        figures.set("measured_jobs", n as f64);
        Ok(())
    }

    async fn held(&mut self, n: u64, held: u64, figures: &mut Figures) -> Result<()> {
        self.fill(n).await?;
        let without = self.stream(n, 100, 0, figures).await?;
        self.fill(held).await?;
        let holder = self.program.start("hold", &self.queue, &[("n", held.to_string())]).await?;
        self.fill(n).await?;
        let with = self.stream(n, 100, 0, figures).await?;
        holder.end().await?;
        figures.set("jobs_per_s_without", per_second(n, without.seconds));
        figures.set("percent_of_without", without.seconds * 100.0 / with.seconds);
        self.check(Expected { total: n + n + held, completed: n + n + held, failed: 0 }).await
    }

    async fn steer(&mut self, n: u64, figures: &mut Figures) -> Result<()> {
        let works = |outcome: &str| {
            [("n", n.to_string()), ("concurrency", "100".to_owned()), ("outcome", outcome.to_owned())]
        };
        self.fill(n).await?;
        self.program.run("process", &self.queue, &works("fail")).await?;
        self.check(Expected { total: n, completed: 0, failed: n }).await?;
        self.steered("retry", n, figures).await?;
        self.check(Expected { total: n, ..Expected::default() }).await?;
        self.program.run("process", &self.queue, &works("complete")[..2]).await?;
        self.check(Expected { total: n, completed: n, failed: 0 }).await?;
        self.steered("clean", n, figures).await?;
        self.check(Expected::default()).await?;
        self.fill(n).await?;
        self.steered("obliterate", n, figures).await?;
        self.check(Expected::default()).await
    }

    /// One operation on all jobs, with probes of another client meanwhile, if there is a server.
    async fn steered(&mut self, verb: &str, n: u64, figures: &mut Figures) -> Result<()> {
        let mut part = self.program.start(verb, &self.queue, &[]).await?;
        let done = match &mut self.server {
            Some(server) => {
                let (done, delays) = probing(server, part.done()).await?;
                figures.set(&format!("{verb}_p99_ms"), delays.p99_ms);
                figures.set(&format!("{verb}_worst_ms"), delays.worst_ms);
                done
            }
            None => part.done().await?,
        };
        part.end().await?;
        figures.set(&format!("{verb}_jobs_per_s"), per_second(n, done.seconds));
        Ok(())
    }

    /// A worker's memory with few and with three times as many large jobs: it must not grow with their number.
    async fn large(&mut self, n: u64, pad: u64, figures: &mut Figures) -> Result<()> {
        const CONCURRENCY: usize = 100;
        let few = (n / 4).max(1);
        // Fewer than run at a time would need less in any case, so in short there are fewer of these, too.
        let concurrency = usize::try_from(few * 2 / 3)?.clamp(1, CONCURRENCY);
        let rest = (n - few).max(1);
        let mut peaks = [None, None];
        for (peak, jobs) in peaks.iter_mut().zip([few, rest]) {
            let keys =
                [("n", jobs.to_string()), ("chunk", LARGE_CHUNK.to_string()), ("pad", pad.to_string())];
            self.program.run("add-bulk", &self.queue, &keys).await?;
            self.stream(jobs, concurrency, LARGE_WORK_MS, figures).await?;
            *peak = figures.fields().get("peak_rss_mib").and_then(Value::as_f64);
        }
        figures.set("peak_rss_mib_few", peaks[0]);
        self.check(Expected { total: few + rest, completed: few + rest, failed: 0 }).await
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_second(n: u64, seconds: f64) -> f64 {
    n as f64 / seconds.max(1e-6)
}
