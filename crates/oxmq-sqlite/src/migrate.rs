//! The schema and its versions: numbered files in `sql/`, each applied in one transaction.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension};

use crate::fault::{Sql, SqlFault};
use crate::lock::{SideFile, begin, retry_busy};

/// Every step, in order; number `n` brings the schema from `n - 1` to `n`. Never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../sql/0001_init.sql"),
    include_str!("../sql/0002_flows.sql"),
    include_str!("../sql/0003_limits.sql"),
    include_str!("../sql/0004_schedules.sql"),
    include_str!("../sql/0005_fields.sql"),
];

/// The schema that this version writes.
#[allow(clippy::cast_possible_wrap, reason = "a handful")]
pub(crate) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the tables to [`SCHEMA_VERSION`]. Several processes may do so at once: each step looks again under the
/// write lock.
pub(crate) fn migrate(connection: &Connection, side: Option<&SideFile>, deadline: Instant) -> Sql<()> {
    // Without the lock first: nearly every open finds nothing to do and should not wait for writers.
    // (Somebody who closes the file as the last one, or repairs it as the first, may be in the way for a moment.)
    while retry_busy(deadline, || check(connection))? < SCHEMA_VERSION {
        begin(connection, side, deadline)?;
        let done = step(connection);
        connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(SqlFault::from)?;
        done?;
    }
    Ok(())
}

/// The version that is there; 0 without any. A newer one than is known here is refused.
pub(crate) fn check(connection: &Connection) -> Sql<i64> {
    let table: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'oxmq_meta'", [], |row| {
            row.get(0)
        })
        .optional()?;
    if table.is_none() {
        return Ok(0);
    }
    let found: i64 = connection
        .query_row("SELECT value FROM oxmq_meta WHERE key = 'schema'", [], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if found > SCHEMA_VERSION {
        return Err(SqlFault::NewerSchema { found, supported: SCHEMA_VERSION });
    }
    Ok(found)
}

fn step(connection: &Connection) -> Sql<()> {
    let found = check(connection)?;
    let Some(sql) = usize::try_from(found).ok().and_then(|index| MIGRATIONS.get(index)) else {
        // Another process was faster.
        return Ok(());
    };
    connection.execute_batch(sql)?;
    connection.execute("INSERT OR REPLACE INTO oxmq_meta (key, value) VALUES ('schema', ?1)", [found + 1])?;
    Ok(())
}
