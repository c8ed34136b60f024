//! Keep the leases of running jobs, and hear who wants one cancelled.

use std::sync::Arc;
use std::time::Duration;

use super::context::CancelCause;
use super::events::WorkerEvent;
use super::run::Running;
use super::shared::Shared;
use crate::job::Lease;
use crate::store::{CancellationsRequest, ExtendRequest, Extended, GROUP_JOBS_MAX};
use crate::telemetry::{SpanKind, SpanParent, attribute};

/// How long one wait for requests to cancel lasts.
const CANCELLATIONS_WAIT: Duration = Duration::from_secs(5);

/// Renews all leases, again and again.
///
/// While nothing runs it sleeps. After a failure it tries sooner: the lease is three intervals long, so there is time for a few tries.
pub(crate) async fn renew(shared: &Shared) {
    let mut failures = 0;
    loop {
        let wait = if failures == 0 {
            shared.until_busy().await;
            shared.settings.renew_every
        } else {
            shared.retry_delay(failures).min(shared.settings.renew_every)
        };
        shared.clock.sleep(wait).await;
        failures = if renew_once(shared).await { 0 } else { failures + 1 };
    }
}

/// Renews all leases, in one call unless they are very many. Returns whether the store answered.
pub(crate) async fn renew_once(shared: &Shared) -> bool {
    let held: Vec<Arc<Running>> =
        shared.running().values().filter(|running| !running.is_lost()).cloned().collect();
    for held in held.chunks(GROUP_JOBS_MAX) {
        let request = ExtendRequest {
            leases: held.iter().map(|running| running.lease.clone()).collect(),
            lease_for: shared.settings.lease,
            now: shared.clock.now(),
        };
        let trace = shared.trace("extendLocks", SpanKind::Internal, SpanParent::Root);
        trace.set(attribute::WORKER_JOBS_TO_EXTEND, || {
            held.iter().map(|running| running.job.id.to_string()).collect::<Vec<_>>().into()
        });
        match trace.call(shared.store.extend(&shared.queue, request), |_, _| {}).await {
            Ok(answers) => {
                shared.answered("extend");
                let mut renewed = Vec::with_capacity(held.len());
                for (running, answer) in held.iter().zip(answers) {
                    if answer != Extended::Lost {
                        renewed.push(running.job.id.clone());
                    }
                    match answer {
                        Extended::Kept => {}
                        Extended::Lost => lost(shared, running),
                        Extended::CancelRequested { reason } => {
                            running.stop(CancelCause::Requested(reason));
                        }
                    }
                }
                shared.listeners.tell(|| WorkerEvent::LeasesRenewed { jobs: renewed });
            }
            Err(error) => {
                shared.trouble("extend", &error);
                return false;
            }
        }
    }
    true
}

/// Tells the handler to stop: its job is not ours any more.
fn lost(shared: &Shared, running: &Running) {
    // The job may have ended while the call was under way; then its lease is gone because it was finished.
    let held = shared.running().contains_key(&running.lease);
    if !held || !running.lose() {
        return;
    }
    // Before the handler hears of it: what it does then comes after this.
    shared.counters.leases_lost.add_one();
    tracing::warn!(
        queue = %shared.queue, job = %running.job.id, worker = %shared.id,
        "the lease was lost; the handler is told to stop"
    );
    shared.listeners.tell(|| WorkerEvent::LeaseLost { job: running.job.clone() });
    running.stop(CancelCause::LeaseLost);
}

/// Waits for requests to cancel, while there are jobs that could be meant. (The last wait goes on for its time when
/// they have ended.)
pub(crate) async fn hear_cancellations(shared: &Shared) {
    let mut failures = 0;
    // Requests for jobs that are not here any more, which a store may repeat.
    let mut ignored: Vec<Lease> = Vec::new();
    loop {
        shared.until_busy().await;
        let request = CancellationsRequest {
            worker_id: shared.id.clone(),
            known: known(shared).chain(ignored.iter().cloned()).collect(),
            timeout: CANCELLATIONS_WAIT,
        };
        match shared.store.cancellations(&shared.queue, request).await {
            Ok(requests) => {
                failures = 0;
                shared.answered("cancellations");
                if ignored.len() > GROUP_JOBS_MAX {
                    ignored.clear();
                }
                for request in requests {
                    let running = shared.running().get(&request.lease).cloned();
                    match running {
                        Some(running) => {
                            running.stop(CancelCause::Requested(request.reason));
                        }
                        None => ignored.push(request.lease),
                    }
                }
                // A store that answers at once must not keep the other duties out.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                failures += 1;
                shared.trouble("cancellations", &error);
                shared.clock.sleep(shared.retry_delay(failures)).await;
            }
        }
    }
}

/// Leases of jobs that were told to stop: for them there is nothing new to hear.
fn known(shared: &Shared) -> impl Iterator<Item = Lease> {
    let told = |running: &&Arc<Running>| running.cause().is_some();
    shared
        .running()
        .values()
        .filter(told)
        .map(|running| running.lease.clone())
        .collect::<Vec<_>>()
        .into_iter()
}
