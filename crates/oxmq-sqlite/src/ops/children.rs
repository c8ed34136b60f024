//! `children`: what a job knows of its children.

use oxmq_core::store::{
    Child, ChildKind, ChildOutcome, ChildrenCursor, ChildrenPage, ChildrenRequest, GROUP_JOBS_MAX,
};
use oxmq_core::{JobId, JobKey, JsonText, QueueAddress, Timestamp};
use rusqlite::{Connection, params};

use super::family::kind_no;
use super::look;
use crate::fault::{Sql, SqlFault};
use crate::row::{JobRow, flag};

pub(crate) fn children(
    conn: &Connection,
    address: &QueueAddress,
    request: &ChildrenRequest,
) -> Sql<ChildrenPage> {
    let mut page = ChildrenPage::default();
    let Some(queue) = look::queue_no(conn, address)? else { return Ok(page) };
    let Some(job) = JobRow::find(conn, queue, &request.job)?.filter(|job| job.has(flag::CHILDREN)) else {
        return Ok(page);
    };
    for kind in ChildKind::ALL {
        let count: i64 = conn
            .prepare_cached("SELECT count(*) FROM oxmq_children WHERE parent = ?1 AND kind = ?2")?
            .query_row([job.seq, kind_no(kind)], |row| row.get(0))?;
        *page.counts.of_mut(kind) = count.unsigned_abs();
    }
    let limit = request.limit.min(GROUP_JOBS_MAX);
    if limit == 0 {
        return Ok(page);
    }
    let cursor = request.cursor.as_ref();
    let first = cursor.and_then(|last| request.kinds.iter().position(|kind| *kind == last.kind)).unwrap_or(0);
    for (place, kind) in request.kinds.iter().enumerate().skip(first) {
        let after = cursor.filter(|_| place == first).map(|last| &last.after);
        // One more than asked for, to know whether there is more.
        let open = limit + 1 - page.children.len();
        page.children.extend(of_kind(conn, job.seq, *kind, after, open)?);
        if page.children.len() > limit {
            page.children.truncate(limit);
            let last = page.children.last();
            page.next =
                last.map(|last| ChildrenCursor { kind: last.outcome.kind(), after: last.key.clone() });
            break;
        }
    }
    Ok(page)
}

/// Children of a kind in the order of their keys, behind one.
fn of_kind(
    conn: &Connection,
    parent: i64,
    kind: ChildKind,
    after: Option<&JobKey>,
    limit: usize,
) -> Sql<Vec<Child>> {
    // No name is empty, so this is before them all.
    let (prefix, name, id) =
        after.map_or(("", "", ""), |key| (key.queue.prefix(), key.queue.name(), key.id.as_str()));
    let mut statement = conn.prepare_cached(
        "SELECT prefix, name, id, value, at_ms FROM oxmq_children WHERE parent = ?1 AND kind = ?2 \
         AND (prefix, name, id) > (?3, ?4, ?5) ORDER BY prefix, name, id LIMIT ?6",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![parent, kind_no(kind), prefix, name, id, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (prefix, name, id): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let queue = QueueAddress::with_prefix(prefix, name)
            .map_err(|error| SqlFault::Corrupt(format!("a child's queue: {error}")))?;
        let value = |value: Option<String>| value.unwrap_or_default();
        let outcome = match kind {
            ChildKind::Processed => ChildOutcome::Processed(JsonText::stored(value(row.get(3)?))),
            ChildKind::Ignored => ChildOutcome::Ignored(value(row.get(3)?)),
            ChildKind::Failed => {
                let at: Option<i64> = row.get(4)?;
                ChildOutcome::Failed(Timestamp::from_millis(at.unwrap_or(0)))
            }
            // Pending; there are no others.
            _ => ChildOutcome::Pending,
        };
        found.push(Child { key: JobKey::new(queue, JobId::stored(id)), outcome });
    }
    Ok(found)
}
