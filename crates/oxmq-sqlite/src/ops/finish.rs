//! `finish`: many endings, each answered by itself, then the next demand.

use oxmq_core::store::{ChildKind, Finish, FinishRequest, Finished, Idle, Taken};
use oxmq_core::{
    Ending, Error, ErrorKind, Event, EventKind, Failure, JobKey, JobState, JsonText, Lease, QueueAddress,
    Result, Retention, Timestamp, millis,
};
use rusqlite::params;

use super::family::{Orphan, Parents};
use super::{dedup, family, metrics, not_found, place, refused, take, unknown_request};
use crate::fault::Sql;
use crate::row::{JobRow, flag, ords_of, stored};
use crate::tx::{QueueTx, Tx};

/// The most jobs that one finish removes for their age, unless its retention says otherwise.
const AGED_PER_FINISH: u32 = 1_000;

/// The most jobs that one finish removes because there are too many; the next one goes on.
const SURPLUS_PER_FINISH: u64 = 1_000;

pub(crate) fn finish(tx: &mut Tx<'_>, address: &QueueAddress, request: &FinishRequest) -> Sql<Finished> {
    let mut answers = Vec::with_capacity(request.finished.len());
    let mut last_is_final = false;
    let was_full = tx.find_queue(address)?.is_some_and(|queue| queue.row.is_full());
    let mut ended: Vec<JobState> = Vec::new();
    let mut call = Call { now: request.now, next_ord: [None; 2] };
    for finish in &request.finished {
        let Some(queue) = tx.find_queue(address)? else {
            answers.push(Err(not_found("finish", address, &finish.lease.job)));
            continue;
        };
        queue.note_answer();
        if call.complete_plainly(queue, finish)? {
            last_is_final = true;
            ended.push(JobState::Completed);
            answers.push(Ok(Some(JobState::Completed)));
            continue;
        }
        answers.push(match check(queue, address, finish)? {
            Ok(job) => {
                let state = match finish.ending {
                    Ending::Completed { .. } => Some(JobState::Completed),
                    Ending::Failed { .. } => Some(JobState::Failed),
                    _ => None,
                };
                last_is_final = state.is_some();
                ended.extend(state);
                Ok(call.end(tx, address, job, &finish.ending)?)
            }
            Err(error) => Err(error),
        });
    }
    for state in [JobState::Completed, JobState::Failed] {
        let many = ended.iter().filter(|it| **it == state).count();
        if let Some(keep) = request.metrics.filter(|_| many > 0) {
            let many = i64::try_from(many).unwrap_or(i64::MAX);
            metrics::count(tx.known(address)?, state, many, keep, request.now)?;
        }
    }
    let taken = match &request.take {
        Some(demand) => Some(take::take(tx, address, demand)?),
        None => None,
    };
    if was_full && let Some(queue) = tx.find_queue(address)? {
        queue.ring_place(was_full);
    }
    if last_is_final
        && found_nothing(taken.as_ref())
        && let Some(queue) = tx.find_queue(address)?
        && is_drained(queue)
    {
        queue.emit(request.now, &Event::queue(EventKind::Drained))?;
    }
    Ok(Finished { answers, taken })
}

/// Whether a take, if there was one, found neither a job nor a reason to wait for one.
fn found_nothing(taken: Option<&Taken>) -> bool {
    taken.is_none_or(|taken| {
        taken.jobs.is_empty() && matches!(taken.idle, None | Some(Idle::Empty { next_due: None }))
    })
}

fn is_drained(queue: &QueueTx<'_>) -> bool {
    let counts = &queue.row.counts;
    counts.waiting + counts.prioritized + counts.active == 0
}

/// The job, if the lease is good for this ending.
fn check(queue: &QueueTx<'_>, address: &QueueAddress, finish: &Finish) -> Sql<Result<JobRow>> {
    let Lease { job: id, token } = &finish.lease;
    let Some(job) = JobRow::find(queue.db, queue.row.no, id)? else {
        return Ok(Err(not_found("finish", address, id)));
    };
    let refuse = |kind, message: &str| Ok(Err(refused(kind, "finish", message, address, id)));
    if !token.is_none() {
        match &job.token {
            None => {
                return refuse(ErrorKind::NotLocked, "nobody holds the job: it was recovered, or has ended");
            }
            Some(holder) if holder != token.as_str() => {
                return refuse(ErrorKind::LockedByAnother, "another worker holds the job");
            }
            Some(_) => {}
        }
    }
    if job.has(flag::CANCEL) && !finish.heeds_cancel {
        let reason: String = queue
            .db
            .prepare_cached("SELECT reason FROM oxmq_cancels WHERE seq = ?1")?
            .query_row([job.seq], |row| row.get(0))?;
        let error = Error::new(ErrorKind::CancelRequested, "finish", reason);
        return Ok(Err(error.with("queue", address).with("job", id)));
    }
    let completes = matches!(finish.ending, Ending::Completed { .. });
    if completes && family::has_pending(queue.db, &job)? {
        let message = format!("Job {id} has pending dependencies. moveToFinished");
        return refuse(ErrorKind::PendingChildren, &message);
    }
    let awaits = matches!(finish.ending, Ending::AwaitChildren { .. });
    if (completes || awaits) && family::has_any(queue.db, &job, ChildKind::Failed)? {
        let verb = if awaits { "moveToWaitingChildren" } else { "moveToFinished" };
        let message = format!("Cannot complete job {id} because it has at least one failed child. {verb}");
        return refuse(ErrorKind::FailedChildren, &message);
    }
    // As in BullMQ, what the children say comes before the state. Whoever holds a lease holds an active job.
    if token.is_none() && job.state != stored::ACTIVE {
        return refuse(ErrorKind::WrongState, &format!("the job is {}, not active", job.state()));
    }
    Ok(Ok(job))
}

/// What the endings of one call share.
struct Call {
    now: Timestamp,
    /// The next place among the jobs completed, and failed, in this millisecond.
    next_ord: [Option<i64>; 2],
}

/// What a job may have on it and still be [completed plainly](Call::complete_plainly).
const PLAIN_FLAGS: i64 = flag::LIFO | flag::LOGS;

const INSERT_RESULT: &str = "INSERT INTO oxmq_results (seq, returnvalue) VALUES (?1, ?2) \
     ON CONFLICT (seq) DO UPDATE SET returnvalue = excluded.returnvalue";

impl Call {
    /// Completes a job with which nothing else has to do, without reading it; false, and nothing is done, if it is not such
    /// a one, or the lease is not good.
    fn complete_plainly(&mut self, queue: &mut QueueTx<'_>, finish: &Finish) -> Sql<bool> {
        let Lease { job: id, token } = &finish.lease;
        let Ending::Completed { return_value, keep } = &finish.ending else { return Ok(false) };
        let Some(seq) = JobRow::seq_of_automatic(queue.row.no, id) else { return Ok(false) };
        if token.is_none() || keep.count.is_some() || keep.age.is_some() {
            return Ok(false);
        }
        let ord = self.finished_ord(queue, JobState::Completed)?;
        let moved = queue.held.complete.execute(
            queue.db,
            "UPDATE oxmq_jobs SET state = 4, rank = 0, ord = ?3, finished_on = ?4, token = NULL, atm = atm + 1, \
             flags = flags | ?5 WHERE seq = ?1 AND custom_id IS NULL AND token = ?2 AND flags & ~?6 = 0",
            params![seq, token.as_str(), ord, self.now.as_millis(), flag::RESULT, PLAIN_FLAGS],
        )?;
        if moved == 0 {
            return Ok(false);
        }
        let result = params![seq, return_value.as_str()];
        queue.held.insert_result.execute(queue.db, INSERT_RESULT, result)?;
        queue.count(Some(JobState::Active), Some(JobState::Completed));
        let kind = EventKind::Completed { return_value: return_value.clone(), prev: "active".into() };
        queue.emit(self.now, &Event::of(id, kind))?;
        Ok(true)
    }

    fn end(
        &mut self,
        tx: &mut Tx<'_>,
        address: &QueueAddress,
        mut job: JobRow,
        ending: &Ending,
    ) -> Sql<Option<JobState>> {
        let now = self.now;
        if matches!(ending, Ending::Completed { .. } | Ending::Failed { .. }) {
            dedup::finished(tx.known(address)?, &job, now)?;
        }
        if job.has(flag::PARENT) {
            tell_parent(tx, address, &job, ending, now)?;
        }
        let queue = tx.known(address)?;
        match ending {
            Ending::Completed { return_value, keep } => {
                if keep.count != Some(0) {
                    let result = params![job.seq, return_value.as_str()];
                    queue.held.insert_result.execute(queue.db, INSERT_RESULT, result)?;
                    job.flags |= flag::RESULT;
                }
                let kept = self.leave(tx, address, &job, JobState::Completed, keep)?;
                let queue = tx.known(address)?;
                let kind = EventKind::Completed { return_value: return_value.clone(), prev: "active".into() };
                queue.emit(now, &Event::of(&job.id(), kind))?;
                Ok(kept)
            }
            Ending::Failed { failure, attempts, keep } => {
                if keep.count != Some(0) {
                    store_failure(queue, &mut job, failure)?;
                    place::clear_deferred_failure(queue.db, &job)?;
                }
                let kept = self.leave(tx, address, &job, JobState::Failed, keep)?;
                let queue = tx.known(address)?;
                let id = job.id();
                let kind = EventKind::Failed { reason: failure.reason.clone(), prev: "active".into() };
                queue.emit(now, &Event::of(&id, kind))?;
                if job.atm + 1 >= *attempts {
                    let kind = EventKind::RetriesExhausted { attempts_made: job.atm + 1 };
                    queue.emit(now, &Event::of(&id, kind))?;
                }
                Ok(kept)
            }
            Ending::Retry { failure, at } => {
                store_failure(queue, &mut job, failure)?;
                queue
                    .db
                    .prepare_cached("UPDATE oxmq_jobs SET atm = atm + 1 WHERE seq = ?1")?
                    .execute([job.seq])?;
                if let Some(due) = at {
                    return self.postpone(queue, &job, *due);
                }
                let front = job.has(flag::LIFO) && job.priority == 0;
                place::into_line(queue, &job, job.priority, front, "active", now)?;
                Ok(Some(place::line_state(job.priority)))
            }
            Ending::Postponed { at } => self.postpone(queue, &job, *at),
            Ending::AwaitChildren { child } if awaits(queue, &job, child.as_ref())? => {
                family::into_waiting_children(queue, &job, now, Some(JobState::Active), now)?;
                Ok(Some(JobState::WaitingChildren))
            }
            Ending::Returned | Ending::AwaitChildren { .. } => {
                place::into_line(queue, &job, job.priority, true, "active", now)?;
                Ok(Some(place::line_state(job.priority)))
            }
            _ => Err(unknown_request()),
        }
    }

    fn postpone(&self, queue: &mut QueueTx<'_>, job: &JobRow, due: Timestamp) -> Sql<Option<JobState>> {
        place::into_delayed(queue, job, millis(due - self.now), due.max(self.now), self.now)?;
        Ok(Some(JobState::Delayed))
    }

    /// Moves a job to a final state, or removes it at once if that is its retention; answers where it is.
    fn leave(
        &mut self,
        tx: &mut Tx<'_>,
        address: &QueueAddress,
        job: &JobRow,
        state: JobState,
        keep: &Retention,
    ) -> Sql<Option<JobState>> {
        let queue = tx.known(address)?;
        let mut orphans = Vec::new();
        if keep.count == Some(0) {
            place::delete(queue, job, &mut orphans)?;
            family::removed(tx, address, orphans, Parents::Released, self.now)?;
            return Ok(None);
        }
        let ord = self.finished_ord(queue, state)?;
        let expire_at = keep.age.map(|age| (self.now + age).as_millis());
        place::into_finished(queue, job, state, ord, job.atm + 1, expire_at, self.now)?;
        self.apply_retention(queue, state, keep, &mut orphans)?;
        family::removed(tx, address, orphans, Parents::Released, self.now)?;
        // An age of nothing removes the very job that brings it.
        Ok((keep.age != Some(std::time::Duration::ZERO)).then_some(state))
    }

    fn finished_ord(&mut self, queue: &QueueTx<'_>, state: JobState) -> Sql<i64> {
        let (index, stored) =
            if state == JobState::Completed { (0, stored::COMPLETED) } else { (1, stored::FAILED) };
        let ord = match self.next_ord[index] {
            Some(ord) => ord,
            None => place::timed_ord(queue, stored, self.now)?,
        };
        self.next_ord[index] = Some((ord + 1).min(ords_of(self.now).1));
        Ok(ord)
    }

    fn apply_retention(
        &self,
        queue: &mut QueueTx<'_>,
        state: JobState,
        keep: &Retention,
        orphans: &mut Vec<Orphan>,
    ) -> Sql<()> {
        let stored = if state == JobState::Completed { stored::COMPLETED } else { stored::FAILED };
        let no = queue.row.no;
        if let Some(age) = keep.age {
            let limit = keep.limit.unwrap_or(AGED_PER_FINISH);
            let until = ords_of(self.now.minus(age)).1;
            place::delete_all(
                queue,
                place::select_jobs!(
                    "WHERE queue = ?1 AND state = ?2 AND rank = 0 AND ord <= ?3 ORDER BY ord DESC LIMIT ?4"
                ),
                params![no, stored, until, limit],
                orphans,
            )?;
        }
        let there = queue.row.counts.of(state);
        if let Some(over) = keep.count.and_then(|count| there.checked_sub(count)).filter(|over| *over > 0) {
            place::delete_all(
                queue,
                place::select_jobs!("WHERE queue = ?1 AND state = ?2 AND rank = 0 ORDER BY ord LIMIT ?3"),
                params![no, stored, over.min(SURPLUS_PER_FINISH).cast_signed()],
                orphans,
            )?;
        }
        Ok(())
    }
}

/// What the end of a child does to its parent; written before what is told of the child.
fn tell_parent(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    job: &JobRow,
    ending: &Ending,
    now: Timestamp,
) -> Sql<()> {
    let Some(parent) = family::tie(tx.known(address)?.db, job)? else { return Ok(()) };
    let child = JobKey::new(address.clone(), job.id());
    match ending {
        Ending::Completed { return_value, .. } => {
            family::child_completed(tx, &child, &parent, return_value.as_str(), now)
        }
        Ending::Failed { failure, .. } => family::child_failed(tx, &child, &parent, &failure.reason, now),
        _ => Ok(()),
    }
}

/// Whether there is something to wait for.
fn awaits(queue: &QueueTx<'_>, job: &JobRow, child: Option<&JobKey>) -> Sql<bool> {
    match child {
        Some(child) => family::knows(queue.db, job, ChildKind::Pending, child),
        None => family::has_pending(queue.db, job),
    }
}

fn store_failure(queue: &QueueTx<'_>, job: &mut JobRow, failure: &Failure) -> Sql<()> {
    let stacktrace = failure.stacktrace.as_ref().map(JsonText::as_str);
    place::store_failure(queue.db, job, &failure.reason, stacktrace)
}
