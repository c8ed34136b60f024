//! A job of a schedule has started: the schedule goes on before the handler runs. Decided in [`Step`], which is pure.

use std::time::Duration;

use super::context::CancelCause;
use super::events::WorkerEvent;
use super::run::Running;
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::schedule::step::{is_legacy_key, slot_of};
use crate::schedule::{CATCH_UP_MAX, Missed, Overlap, Policy, Repeat, Rule, Zone};
use crate::store::{Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, SLOTS_TRIED_MAX};

/// The duty that these calls are told under.
const DUTY: &str = "schedule";

/// Why a job of a schedule did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// It would have started after its next slot: [`Missed::None`].
    Missed,
    /// One of an earlier slot is active: [`Overlap::Skip`].
    Overlap,
}

impl SkipReason {
    /// As it stands in the job's result.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Overlap => "overlap",
        }
    }
}

/// What becomes of the job itself.
pub(super) enum Verdict {
    Run,
    /// Its result.
    Skip(JsonText),
    /// It was told to stop meanwhile.
    Stop(CancelCause),
}

/// What a job says of its schedule.
#[derive(Debug)]
struct Step {
    /// What comes next; `None`: the schedule ends.
    next: Option<Advance>,
    /// The job starts after its next slot, and is to be skipped then.
    missed: bool,
    /// It is to be skipped if it overlaps.
    alone: bool,
    /// The pattern names no further time, although nothing says that it ends.
    barren: bool,
}

impl Step {
    fn of(id: &str, job: &Job, options: &JobOptions, zone: &Zone, now: Timestamp) -> Result<Self> {
        let Some(json) = options.other.get("repeat") else {
            let message = "the job does not say how its schedule goes on (opts.repeat)";
            return Err(Error::new(ErrorKind::Corrupt, DUTY, message));
        };
        let mut repeat = Repeat::parse(json.as_str())?;
        repeat.immediately = false;
        let mut policy = Policy::of(&repeat);
        let own = options.other.get("prevMillis").and_then(|ms| ms.read().ok()).map(Timestamp::from_millis);
        let own = own.or_else(|| slot_of(job.id.as_str()).map(|(_, slot)| slot));
        let first_try = job.attempts_made == 0;

        // The slot right after this one, wherever now is.
        let after = match own {
            Some(own) => repeat.next_run(id, zone, own, Some(own))?.map(|slot| slot.at),
            None => None,
        };
        let late = after.is_some_and(|after| after <= now);
        let left_out_before = match policy.missed {
            Missed::All { within } if policy.behind < CATCH_UP_MAX => now.minus(within),
            _ => now,
        };
        policy.behind = match policy.missed {
            Missed::All { .. } if late && policy.behind < CATCH_UP_MAX => policy.behind + 1,
            _ => 0,
        };
        policy.write(&mut repeat);

        let ends = repeat.end_date.is_some_and(|end| end <= now) && left_out_before == now;
        let (mut next, mut barren) = (None, false);
        if let Some(number) = repeat.iteration().filter(|_| !ends) {
            let at = match &repeat.rule {
                Rule::Pattern(_) => {
                    let at = repeat.next_run(id, zone, left_out_before, own)?.map(|slot| slot.at);
                    barren = at.is_none() && repeat.end_date.is_none();
                    at
                }
                Rule::Every(_) => None,
            };
            if at.is_some() || matches!(repeat.rule, Rule::Every(_)) {
                repeat.count = Some(number);
                next = Some(Advance { at, left_out_before, repeat, options: options.clone() });
            }
        }
        Ok(Self {
            next,
            missed: policy.missed == Missed::None && late && first_try,
            alone: policy.overlap == Overlap::Skip && first_try,
            barren,
        })
    }
}

/// Lets the schedule `id` go on, of which this job has started. A store that cannot be reached is asked again for as long as the
/// job is ours; whatever else goes wrong is told, and the job runs all the same.
pub(super) async fn advance(shared: &Shared, running: &Running, id: &str) -> Verdict {
    let job = &running.job;
    // As with BullMQ, a pattern without a zone is read in that of this process.
    let zone = Zone::local().unwrap_or_default();
    let step = match Step::of(id, job, &running.options, &zone, shared.clock.now()) {
        Ok(step) => step,
        Err(error) => {
            tell(shared, running, id, error);
            return Verdict::Run;
        }
    };
    let Step { mut next, missed, alone, barren } = step;
    if barren {
        let message = "the pattern names no further time: the schedule has ended";
        tell(shared, running, id, Error::new(ErrorKind::Refused, DUTY, message));
    }
    let mut overlaps = None;
    for tries_left in (0..=SLOTS_TRIED_MAX).rev() {
        let Advanced { fate, overlaps: found } = match ask(shared, running, id, next.as_ref(), alone).await {
            Ok(Some(advanced)) => advanced,
            Ok(None) => return Verdict::Stop(running.cause().unwrap_or(CancelCause::Closing)),
            Err(error) => {
                tell(shared, running, id, error);
                break;
            }
        };
        overlaps = found;
        match fate {
            AdvanceFate::Taken(taken) => {
                // A pattern goes on to its next time; of "every" the store has tried as many.
                let later = next.as_ref().filter(|next| next.at.is_some() && tries_left > 0);
                let after = slot_of(taken.as_str()).map(|(_, slot)| slot);
                let at = match (later, after) {
                    (Some(next), Some(after)) => {
                        next.repeat.next_run(id, &zone, after, Some(after)).ok().flatten()
                    }
                    _ => None,
                };
                if let (Some(slot), Some(next)) = (at, next.as_mut()) {
                    next.at = Some(slot.at);
                    continue;
                }
                let message = "the next slots have jobs already, so the schedule has ended: remove those jobs, and put it again";
                tell(shared, running, id, Error::new(ErrorKind::Refused, DUTY, message).with("taken", taken));
            }
            AdvanceFate::Made(next) => {
                tracing::debug!(queue = %shared.queue, schedule = id, job = %next.job, "the schedule goes on");
            }
            _ if is_legacy_key(id) => tell_legacy(shared, running, id).await,
            _ => {}
        }
        break;
    }
    let why = if missed {
        SkipReason::Missed
    } else if overlaps.is_some() {
        SkipReason::Overlap
    } else {
        return Verdict::Run;
    };
    tracing::info!(queue = %shared.queue, schedule = id, job = %job.id, why = why.as_str(), "a run was skipped");
    shared.listeners.tell(|| WorkerEvent::Skipped { job: job.clone(), reason: why });
    Verdict::Skip(JsonText::stored(format!("{{\"skipped\":\"{}\"}}", why.as_str())))
}

/// Asks the store, until it answers; `None` when the job is not to be run any more.
async fn ask(
    shared: &Shared,
    running: &Running,
    id: &str,
    next: Option<&Advance>,
    alone: bool,
) -> Result<Option<Advanced>> {
    let mut failures = 0;
    loop {
        let request = AdvanceScheduleRequest {
            id: id.to_owned(),
            job: running.job.id.clone(),
            next: next.cloned(),
            alone,
            now: shared.clock.now(),
        };
        let error = match shared.store.advance_schedule(&shared.queue, request).await {
            Ok(advanced) => {
                shared.answered(DUTY);
                return Ok(Some(advanced));
            }
            Err(error) => error,
        };
        shared.trouble(DUTY, &error);
        if !error.kind().is_transient() {
            return Err(error);
        }
        failures += 1;
        if has_lost_it(running) || !rest(shared, running, shared.retry_delay(failures)).await {
            return Ok(None);
        }
    }
}

/// Waits, but not longer than the job is ours; whether it still is.
async fn rest(shared: &Shared, running: &Running, delay: Duration) -> bool {
    if running.cancel.is_cancelled() {
        // It is to be cancelled, which is no reason for its schedule to end.
        return tokio::select! {
            () = running.abandon.cancelled() => false,
            () = shared.clock.sleep(delay) => true,
        };
    }
    tokio::select! {
        () = running.abandon.cancelled() => return false,
        () = running.cancel.cancelled() => {}
        () = shared.clock.sleep(delay) => {}
    }
    !has_lost_it(running)
}

/// Whether somebody else will start the job again, and make the next one then.
fn has_lost_it(running: &Running) -> bool {
    matches!(running.cause(), Some(CancelCause::LeaseLost | CancelCause::Closing))
}

async fn tell_legacy(shared: &Shared, running: &Running, id: &str) {
    let known = match shared.store.schedule(&shared.queue, id).await {
        Ok(found) => found.is_some_and(|schedule| schedule.repeat.is_some()),
        Err(error) => {
            shared.trouble(DUTY, &error);
            return;
        }
    };
    if !known {
        let message = "the job belongs to a repeatable job of BullMQ before version 6, which does not go on: put a schedule in its place";
        tell(shared, running, id, Error::new(ErrorKind::Unsupported, DUTY, message));
    }
}

fn tell(shared: &Shared, running: &Running, id: &str, error: Error) {
    let error = error.with("queue", &shared.queue).with("schedule", id).with("job", &running.job.id);
    tracing::error!(%error, "a schedule may have ended; its job runs all the same");
    shared.listeners.tell(|| WorkerEvent::ScheduleTrouble { job: running.job.clone(), error: error.clone() });
}
