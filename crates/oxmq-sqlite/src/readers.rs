//! Reader threads: queries beside the writer, off the async runtime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::committer::unwinding;
use crate::fault::{Sql, SqlFault};
use crate::inbox::Inbox;
use crate::lock::{is_busy, retry_busy};
use crate::real_time::now;

/// How many threads. Two, so that a long list does not hold up a count.
pub(crate) const READER_THREADS: usize = 2;
/// The most queries that wait; more callers wait for room.
pub(crate) const WAITING_READS_MAX: usize = 1_024;

/// A query with its caller.
pub(crate) type ReadOp = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the reader threads.
pub(crate) struct Readers {
    inbox: Arc<Inbox<ReadOp>>,
}

impl Readers {
    pub(crate) fn new(inbox: Arc<Inbox<ReadOp>>) -> Self {
        Self { inbox }
    }

    /// Runs `work` on one snapshot of the file.
    pub(crate) async fn read<T, F>(&self, deadline: Duration, work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Sql<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let until = now() + deadline;
        let op: ReadOp = Box::new(move |connection| {
            if !answer.is_closed() {
                let _ = answer.send(snapshot(connection, until, work));
            }
        });
        let wait = async {
            let room = self.inbox.room().await?;
            self.inbox.push(op, room)?;
            answered.await.unwrap_or_else(|_| Err(SqlFault::Other("a reader thread has ended".to_owned())))
        };
        tokio::time::timeout(deadline, wait).await.unwrap_or(Err(SqlFault::TimedOut))
    }

    /// Refuses new queries; the threads end when they have done those that wait.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

/// A reader thread: runs until the inbox is closed and empty.
pub(crate) fn run(inbox: &Inbox<ReadOp>, connection: &Connection) {
    while let Some(ops) = inbox.take(1) {
        for op in ops {
            op(connection);
        }
    }
}

fn snapshot<T>(connection: &Connection, until: Instant, work: impl FnOnce(&Connection) -> Sql<T>) -> Sql<T> {
    // A read waits only where another process recovers the write-ahead log or closes the file as the last one.
    retry_busy(until, || {
        let begun = connection.prepare_cached("BEGIN")?.execute([]).and_then(|_| {
            // BEGIN alone takes no lock; this starts the snapshot, and is where BUSY is met.
            connection.prepare_cached("SELECT 1 FROM sqlite_schema LIMIT 1")?.exists([])
        });
        begun.map(drop).map_err(|error| {
            if is_busy(&error) {
                let _ = connection.execute_batch("ROLLBACK");
            }
            SqlFault::from(error)
        })
    })?;
    let outcome = unwinding(|| work(connection));
    // Ends the snapshot also after a fault, or the log could never be reset.
    let ended = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    if ended.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}
