//! The behaviour suite, on a file and in memory.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::sync::Arc;

use oxmq_core::Store;
use oxmq_core::conformance::Bench;
use oxmq_sqlite::SqliteStore;
use tempfile::TempDir;

/// A store in a file that goes with it. In the end the file is looked at: the counts that are kept are those that
/// counting gives, and nothing is left of jobs that are gone.
struct InFile {
    store: Arc<SqliteStore>,
    folder: TempDir,
}

impl InFile {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::builder(folder.path().join("jobs.db")).open().await.unwrap();
        Self { store: Arc::new(store), folder }
    }
}

/// Each query finds what must not be there.
const FAULTS: [&str; 5] = [
    "SELECT q.name FROM oxmq_queues q LEFT JOIN oxmq_jobs j ON j.queue = q.no GROUP BY q.no HAVING
     q.waiting != count(*) FILTER (WHERE j.state = 1 AND j.rank = 0)
     OR q.prioritized != count(*) FILTER (WHERE j.state = 1 AND j.rank > 0)
     OR q.delayed != count(*) FILTER (WHERE j.state = 2) OR q.active != count(*) FILTER (WHERE j.state = 3)
     OR q.completed != count(*) FILTER (WHERE j.state = 4) OR q.failed != count(*) FILTER (WHERE j.state = 5)",
    "SELECT 'payload ' || seq FROM oxmq_payloads WHERE seq NOT IN (SELECT seq FROM oxmq_jobs)
     UNION ALL SELECT 'no payload ' || seq FROM oxmq_jobs WHERE seq NOT IN (SELECT seq FROM oxmq_payloads)",
    "SELECT 'result ' || r.seq FROM oxmq_results r LEFT JOIN oxmq_jobs j ON j.seq = r.seq AND j.flags & 4
     WHERE j.seq IS NULL",
    "SELECT 'log ' || l.seq FROM oxmq_logs l LEFT JOIN oxmq_jobs j ON j.seq = l.seq AND j.flags & 8
     WHERE j.seq IS NULL",
    "SELECT 'cancel ' || c.seq FROM oxmq_cancels c LEFT JOIN oxmq_jobs j ON j.seq = c.seq AND j.flags & 2
     WHERE j.seq IS NULL UNION ALL SELECT 'job of no queue ' || seq FROM oxmq_jobs
     WHERE queue NOT IN (SELECT no FROM oxmq_queues)",
];

impl Drop for InFile {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let db = rusqlite::Connection::open(self.folder.path().join("jobs.db")).unwrap();
        for query in FAULTS {
            let found: Result<String, _> = db.query_row(query, [], |row| row.get(0));
            assert_eq!(found, Err(rusqlite::Error::QueryReturnedNoRows));
        }
    }
}

impl Bench for InFile {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
}

oxmq_core::conformance!(file, InFile::new().await);
oxmq_core::conformance!(memory, Arc::new(SqliteStore::in_memory().await.unwrap()));
