//! What every worker does for its queue besides work: bring back the jobs of dead workers, sweep by age, show itself.

use std::sync::OnceLock;
use std::time::Duration;

use super::events::WorkerEvent;
use super::leases;
use super::resolve;
use super::run::LAST_CALL;
use super::shared::Shared;
use crate::clock::millis;
use crate::store::{
    ANNOUNCE_FOR, ANNOUNCE_WHOLE, AnnounceRequest, RecoverRequest, Recovered, SweepRequest, WorkerInfo,
};
use crate::telemetry::{SpanKind, SpanParent, Trace, attribute};

/// How often finished jobs are swept by age.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The most steps of one sweep; what is left waits for the next.
const SWEEP_STEPS_MAX: usize = 20;
/// The most jobs that one step of a sweep removes.
const SWEEP_JOBS_MAX: usize = 500;
/// How often a worker shows that it is there.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);

/// Brings back the jobs of dead workers, first at once, then again and again.
///
/// Its own leases are renewed before: when the machine slept, they all look run out.
///
/// An empty queue is looked at less often, as there is no worker to die on a job. One that takes a job right after such a look
/// and dies at once leaves a lease that lasts until the next look at least, or ends less than a check's time before it. That look
/// finds the job, and from then on there is one at each interval. So the job is brought back within its lease and an interval, as
/// always: with the defaults it is looked at after 0 s (empty), 10 s (the lease holds), and 15 s.
pub(crate) async fn recover(shared: &Shared) {
    loop {
        leases::renew_once(shared).await;
        resolve::look_again(shared).await;
        if shared.settings.skip_stall_check {
            shared.clock.sleep(shared.settings.stall_check).await;
            continue;
        }
        let request = RecoverRequest {
            max_stalled: shared.settings.max_stalled,
            interval: shared.settings.stall_check,
            now: shared.clock.now(),
        };
        let trace = shared.trace("moveStalledJobsToWait", SpanKind::Internal, SpanParent::Root);
        let tell = |trace: &Trace, found: &Recovered| {
            trace.set(attribute::WORKER_STALLED_JOBS, || {
                found.stalled.iter().map(ToString::to_string).collect::<Vec<_>>().into()
            });
            for id in &found.stalled {
                trace.event("job stalled", attribute::JOB_ID, || id.as_str().into());
            }
        };
        let asked_at = request.now;
        let is_empty = match trace.call(shared.store.recover(&shared.queue, request), tell).await {
            Ok(found) => {
                shared.answered("recover");
                for id in found.stalled {
                    shared.counters.stalled.add_one();
                    tracing::warn!(queue = %shared.queue, job = %id, "the worker of this job died; it runs again");
                    shared.listeners.tell(|| WorkerEvent::Stalled { id });
                }
                shared.saw(found.empty, asked_at);
                found.empty
            }
            Err(error) => {
                shared.trouble("recover", &error);
                shared.saw(false, asked_at);
                false
            }
        };
        let interval = shared.settings.stall_check;
        if is_empty {
            // A take without an answer may be run late, in a queue that was empty: its jobs are ours, and soon lost.
            let next = shared.clock.now() + shared.settings.empty_check();
            tokio::select! {
                () = shared.clock.sleep_until(next) => {}
                () = shared.until_doubtful() => {
                    shared.clock.sleep_until(next.min(shared.clock.now() + interval)).await;
                }
            }
        } else {
            shared.clock.sleep(interval).await;
        }
    }
}

/// Removes finished jobs whose time is over, again and again, a bounded number each time.
pub(crate) async fn sweep(shared: &Shared) {
    loop {
        shared.clock.sleep(SWEEP_EVERY).await;
        for _ in 0..SWEEP_STEPS_MAX {
            let request = SweepRequest { limit: SWEEP_JOBS_MAX, now: shared.clock.now() };
            match shared.store.sweep(&shared.queue, request).await {
                Ok(step) => {
                    shared.answered("sweep");
                    if !step.more {
                        break;
                    }
                }
                Err(error) => {
                    shared.trouble("sweep", &error);
                    break;
                }
            }
        }
    }
}

/// Shows that the worker is there, first at once, then again and again.
pub(crate) async fn announce(shared: &Shared) {
    let mut renewals_left = 0;
    loop {
        let renews = renewals_left > 0;
        match announce_once(shared, ANNOUNCE_FOR, renews).await {
            Ok(()) => {
                shared.answered("announce");
                renewals_left = if renews { renewals_left - 1 } else { ANNOUNCE_WHOLE - 1 };
            }
            Err(error) => {
                shared.trouble("announce", &error);
                renewals_left = 0;
            }
        }
        shared.announced.cancel();
        shared.clock.sleep(ANNOUNCE_EVERY).await;
    }
}

/// Shows that the worker is gone, if the store answers soon.
pub(crate) async fn say_goodbye(shared: &Shared) {
    if let Some(Err(error)) =
        shared.clock.timeout(LAST_CALL, announce_once(shared, Duration::ZERO, false)).await
    {
        tracing::debug!(queue = %shared.queue, worker = %shared.id, %error, "could not say good-bye");
    }
}

async fn announce_once(shared: &Shared, ttl: Duration, renews: bool) -> crate::Result<()> {
    let control = *shared.control.borrow();
    let worker = WorkerInfo {
        id: shared.id.clone(),
        name: shared.settings.name.clone(),
        host: host().to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        concurrency: u32::try_from(control.concurrency).unwrap_or(u32::MAX),
        active: u32::try_from(shared.running().len()).unwrap_or(u32::MAX),
        started_at: shared.started_at.as_millis(),
        last_take_at: shared.last_take_at(),
    };
    debug_assert!(millis(ANNOUNCE_EVERY) < millis(ANNOUNCE_FOR), "a worker that is there must not vanish");
    let request = AnnounceRequest { worker, ttl, renews, now: shared.clock.now() };
    shared.store.announce(&shared.queue, request).await
}

/// The name of this machine.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let kernels = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name =
            kernels.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
        name.map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unknown".into())
    })
}
