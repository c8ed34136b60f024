//! `meta` and `set_meta`: the named fields of a queue. Those that mean something here are columns of its row.

use std::collections::BTreeMap;

use oxmq_core::QueueAddress;
use oxmq_core::store::{EVENTS_KEPT_DEFAULT, MetaChanged, MetaField, SetMetaRequest};
use rusqlite::{Connection, params};

use super::unknown_request;
use crate::fault::Sql;
use crate::tx::{QueueRow, QueueTx, Tx};

pub(crate) fn meta(db: &Connection, address: &QueueAddress) -> Sql<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let Some(row) = QueueRow::find(db, address)? else { return Ok(fields) };
    let mut statement = db.prepare_cached("SELECT name, value FROM oxmq_fields WHERE queue = ?1")?;
    let mut rows = statement.query([row.no])?;
    while let Some(field) = rows.next()? {
        fields.insert(field.get(0)?, field.get(1)?);
    }
    for field in MetaField::ALL {
        fields.extend(known(&row, field).map(|value| (field.as_str().to_owned(), value)));
    }
    Ok(fields)
}

/// A field that is a column; `None` if it is not set.
fn known(row: &QueueRow, field: MetaField) -> Option<String> {
    let set = |number: i64| (number > 0).then(|| number.to_string());
    match field {
        MetaField::Paused => row.counts.paused.then(|| "1".to_owned()),
        MetaField::Concurrency => set(i64::from(row.concurrency)),
        MetaField::RateMax => set(i64::from(row.rate_max)),
        MetaField::RateWindow => set(row.rate_ms),
        // As on Redis, where the first job brings it.
        MetaField::EventsKept => {
            let is_there = row.last_id > 0 || row.event_cap != EVENTS_KEPT_DEFAULT;
            is_there.then(|| row.event_cap.to_string())
        }
        _ => None,
    }
}

pub(crate) fn set_meta(
    tx: &mut Tx<'_>,
    address: &QueueAddress,
    request: &SetMetaRequest,
) -> Sql<MetaChanged> {
    let queue = tx.queue(address, request.now)?;
    let (mut added, mut removed) = (0, 0);
    for (name, value) in &request.set {
        added += u64::from(match MetaField::named(name) {
            Some(field) => {
                let mut is_new = known(&queue.row, field).is_none();
                if field == MetaField::EventsKept {
                    // It is seen from then on, also if it is the number that every queue begins with.
                    is_new &= set(queue, name, value)?;
                }
                set_known(queue, field, value.parse().ok())?;
                is_new
            }
            None => set(queue, name, value)?,
        });
    }
    for name in &request.remove {
        removed += u64::from(match MetaField::named(name) {
            Some(field) => {
                let was_there = known(&queue.row, field).is_some();
                set_known(queue, field, None)?;
                unset(queue, name)? || was_there
            }
            None => unset(queue, name)?,
        });
    }
    // A limit may be wider now, or the pause over.
    queue.ring_work();
    Ok(MetaChanged::new(added, removed))
}

/// Whether there was such a field.
fn unset(queue: &QueueTx<'_>, name: &str) -> Sql<bool> {
    let mut delete = queue.db.prepare_cached("DELETE FROM oxmq_fields WHERE queue = ?1 AND name = ?2")?;
    Ok(delete.execute(params![queue.row.no, name])? > 0)
}

/// Whether the field is new.
fn set(queue: &QueueTx<'_>, name: &str, value: &str) -> Sql<bool> {
    let mut update =
        queue.db.prepare_cached("UPDATE oxmq_fields SET value = ?3 WHERE queue = ?1 AND name = ?2")?;
    if update.execute(params![queue.row.no, name, value])? > 0 {
        return Ok(false);
    }
    queue
        .db
        .prepare_cached("INSERT INTO oxmq_fields (queue, name, value) VALUES (?1, ?2, ?3)")?
        .execute(params![queue.row.no, name, value])?;
    Ok(true)
}

fn set_known(queue: &mut QueueTx<'_>, field: MetaField, value: Option<u64>) -> Sql<()> {
    let small = value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    match field {
        MetaField::Paused => queue.row.counts.paused = value.is_some(),
        MetaField::Concurrency => queue.row.concurrency = small,
        MetaField::RateMax => queue.row.rate_max = small,
        MetaField::RateWindow => queue.row.rate_ms = i64::from(small),
        MetaField::EventsKept => queue.keep_events(value.unwrap_or(EVENTS_KEPT_DEFAULT))?,
        _ => return Err(unknown_request()),
    }
    Ok(())
}
