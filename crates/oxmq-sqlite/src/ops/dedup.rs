//! Deduplication: who owns an id, and what frees it.

use oxmq_core::store::{Added, Fate, OwnerRequest, ReleaseRequest};
use oxmq_core::{
    Event, EventKind, JobId, JobOptions, JobState, JsonText, NewJob, QueueAddress, Timestamp, millis,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::family::Parents;
use super::{add, family, look, place};
use crate::fault::Sql;
use crate::row::{JobRow, flag};
use crate::tx::{QueueTx, Tx};

/// How many claims whose time is over go when one is made that has a time.
const EXPIRED_PER_CLAIM: u32 = 4;

/// What becomes of a new job.
pub(super) enum Decision {
    /// It is created, and this came of it.
    Create(Fate),
    /// It is not.
    Not(Added),
}

/// Who owns an id.
struct Claim {
    owner: JobId,
    until: Option<i64>,
}

pub(crate) fn owner(db: &Connection, address: &QueueAddress, request: &OwnerRequest) -> Sql<Option<JobId>> {
    let Some(queue) = look::queue_no(db, address)? else { return Ok(None) };
    Ok(find(db, queue, &request.id, request.now)?.map(|claim| claim.owner))
}

pub(crate) fn release(tx: &mut Tx<'_>, address: &QueueAddress, request: &ReleaseRequest) -> Sql<bool> {
    let Some(queue) = tx.find_queue(address)? else { return Ok(false) };
    let claim = find(queue.db, queue.row.no, &request.id, request.now)?;
    let is_meant = |claim: &Claim| request.only_if_owner.as_ref().is_none_or(|owner| *owner == claim.owner);
    if claim.is_some_and(|claim| is_meant(&claim)) {
        free(queue, &request.id)?;
        return Ok(true);
    }
    Ok(false)
}

/// Decides about a new job that got this number.
pub(super) fn decide(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    number: i64,
    id: &JobId,
    job: &NewJob,
    now: Timestamp,
) -> Sql<Decision> {
    let Some(deduplication) = &job.options.deduplication else {
        return Ok(Decision::Create(Fate::Created));
    };
    let queue = tx.known(address)?;
    let key = deduplication.id.as_str();
    let keeps_last = deduplication.keep_last_if_active;
    let ttl = deduplication.ttl_ms().filter(|_| !keeps_last);
    let fresh = ttl.map(|ms| now.as_millis().saturating_add(ms));
    let Some(Claim { owner, until }) = find(queue.db, queue.row.no, key, now)? else {
        give(queue, key, id, fresh, now)?;
        return Ok(Decision::Create(Fate::Created));
    };
    let row = JobRow::find(queue.db, queue.row.no, &owner)?;
    let state = row.as_ref().map(JobRow::state);
    let told = |of: &JobId, other: &JobId| {
        let (deduplication_id, deduplicated_job) = (key.to_owned(), other.clone());
        Event::of(of, EventKind::Deduplicated { deduplication_id, deduplicated_job })
    };
    let delayed = row.as_ref().filter(|row| row.state() == JobState::Delayed);
    if deduplication.replace
        && let Some(row) = delayed
    {
        // Somebody may have made it a child since.
        let mut orphans = Vec::new();
        place::delete(queue, row, &mut orphans)?;
        family::removed(tx, address, orphans, Parents::Released, now)?;
        let queue = tx.known(address)?;
        let prev = JobState::Delayed.as_str().into();
        queue.emit(now, &Event::of(&owner, EventKind::Removed { prev }))?;
        queue.emit(now, &told(id, &owner))?;
        drop_successor(queue, key)?;
        let until = if ttl.is_some() && !deduplication.extend { until } else { fresh };
        give(queue, key, id, until, now)?;
        return Ok(Decision::Create(Fate::Replaced { removed: owner }));
    }
    if row.is_none() && until.is_none() {
        drop_successor(queue, key)?;
        give(queue, key, id, fresh, now)?;
        return Ok(Decision::Create(Fate::Created));
    }
    queue.emit(now, &told(&owner, id))?;
    if keeps_last && state == Some(JobState::Active) {
        queue
            .db
            .prepare_cached(
                "INSERT OR REPLACE INTO oxmq_successors (queue, id, number, name, data, opts, job) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                queue.row.no,
                key,
                number,
                job.name,
                job.data.as_str(),
                job.options.to_json().as_str(),
                id.as_str()
            ])?;
        give(queue, key, &owner, None, now)?;
        return Ok(Decision::Not(Added::new(owner, JobState::Active, Fate::KeptAsNext { next: id.clone() })));
    }
    if deduplication.extend && !deduplication.replace && deduplication.ttl_ms().is_some() {
        give(queue, key, &owner, fresh, now)?;
    }
    if deduplication.reschedule
        && !deduplication.replace
        && let Some(row) = delayed
    {
        let delay = job.options.delay.unwrap_or_default();
        let due = job.options.created_at(now) + delay;
        place::into_delayed(queue, row, millis(delay), due, now)?;
    }
    Ok(Decision::Not(Added::deduplicated(owner, state)))
}

/// A job has completed or failed for good: its id is free, unless it is taken for a time, and what was kept is added.
pub(super) fn finished(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    let Some(key) = id_of(queue.db, job)? else { return Ok(()) };
    if let Some(claim) = find(queue.db, queue.row.no, &key, now)? {
        if claim.owner != job.id() {
            // What is kept waits for that one.
            return Ok(());
        }
        if claim.until.is_none() {
            free(queue, &key)?;
        }
    }
    let Some((number, id, next)) = successor(queue, &key)? else { return Ok(()) };
    drop_successor(queue, &key)?;
    queue.next_id();
    if JobRow::find(queue.db, queue.row.no, &id)?.is_some() {
        queue.emit(now, &Event::of(&id, EventKind::Duplicated))?;
        return Ok(());
    }
    give(queue, &key, &id, None, now)?;
    let new = add::New {
        number,
        own_id: (id.as_str() != number.to_string()).then_some(&id),
        job: &next,
        options: &next.options,
        parent: None,
        has_children: false,
        timestamp: now,
        flags: 0,
    };
    add::create(queue, &new, now)?;
    Ok(())
}

/// A job is removed by hand: its id is free.
pub(super) fn removed(queue: &mut QueueTx<'_>, job: &JobRow, now: Timestamp) -> Sql<()> {
    let Some(key) = id_of(queue.db, job)? else { return Ok(()) };
    if find(queue.db, queue.row.no, &key, now)?.is_some_and(|claim| claim.owner == job.id()) {
        free(queue, &key)?;
        drop_successor(queue, &key)?;
    }
    Ok(())
}

/// The deduplication id of a job.
fn id_of(db: &Connection, job: &JobRow) -> Sql<Option<String>> {
    if !job.has(flag::DEDUPLICATION) {
        return Ok(None);
    }
    let opts: Option<String> = db
        .prepare_cached("SELECT opts FROM oxmq_payloads WHERE seq = ?1")?
        .query_row([job.seq], |row| row.get(0))
        .optional()?;
    let options = opts.map(|opts| JobOptions::stored(&JsonText::stored(opts)));
    Ok(options.and_then(|options| options.deduplication).map(|deduplication| deduplication.id))
}

fn find(db: &Connection, queue: i64, id: &str, now: Timestamp) -> Sql<Option<Claim>> {
    Ok(db
        .prepare_cached(
            "SELECT owner, until FROM oxmq_claims WHERE queue = ?1 AND id = ?2 AND ifnull(until > ?3, 1)",
        )?
        .query_row(params![queue, id, now.as_millis()], |row| {
            Ok(Claim { owner: JobId::stored(row.get::<_, String>(0)?), until: row.get(1)? })
        })
        .optional()?)
}

fn give(queue: &QueueTx<'_>, id: &str, owner: &JobId, until: Option<i64>, now: Timestamp) -> Sql<()> {
    if until.is_some() {
        queue
            .db
            .prepare_cached(
                "DELETE FROM oxmq_claims WHERE queue = ?1 AND id IN \
                 (SELECT id FROM oxmq_claims WHERE queue = ?1 AND until <= ?2 ORDER BY until LIMIT ?3)",
            )?
            .execute(params![queue.row.no, now.as_millis(), EXPIRED_PER_CLAIM])?;
    }
    queue
        .db
        .prepare_cached(
            "INSERT OR REPLACE INTO oxmq_claims (queue, id, owner, until) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![queue.row.no, id, owner.as_str(), until])?;
    Ok(())
}

fn free(queue: &QueueTx<'_>, id: &str) -> Sql<()> {
    queue
        .db
        .prepare_cached("DELETE FROM oxmq_claims WHERE queue = ?1 AND id = ?2")?
        .execute(params![queue.row.no, id])?;
    Ok(())
}

/// The job that is kept, with its number and its id.
fn successor(queue: &QueueTx<'_>, id: &str) -> Sql<Option<(i64, JobId, NewJob)>> {
    Ok(queue
        .db
        .prepare_cached(
            "SELECT number, name, data, opts, job FROM oxmq_successors WHERE queue = ?1 AND id = ?2",
        )?
        .query_row(params![queue.row.no, id], |row| {
            let data = JsonText::stored(row.get::<_, String>(2)?);
            let options = JobOptions::stored(&JsonText::stored(row.get::<_, String>(3)?));
            let job = JobId::stored(row.get::<_, String>(4)?);
            Ok((row.get(0)?, job, NewJob { name: row.get(1)?, data, options }))
        })
        .optional()?)
}

fn drop_successor(queue: &QueueTx<'_>, id: &str) -> Sql<()> {
    queue
        .db
        .prepare_cached("DELETE FROM oxmq_successors WHERE queue = ?1 AND id = ?2")?
        .execute(params![queue.row.no, id])?;
    Ok(())
}
