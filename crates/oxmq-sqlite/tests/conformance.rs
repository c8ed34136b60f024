//! The behaviour suite, on a file and in memory.

use std::sync::Arc;

use oxmq_core::Store;
use oxmq_core::conformance::Bench;
use oxmq_sqlite::SqliteStore;

/// A store in a file of its own, which goes with it.
struct OnFile {
    store: Arc<SqliteStore>,
    _folder: tempfile::TempDir,
}

impl Bench for OnFile {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
}

async fn on_file() -> OnFile {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::builder(folder.path().join("jobs.db")).open().await.unwrap();
    OnFile { store: Arc::new(store), _folder: folder }
}

async fn in_memory() -> Arc<SqliteStore> {
    Arc::new(SqliteStore::in_memory().await.unwrap())
}

oxmq_core::conformance!(file, on_file().await);
oxmq_core::conformance!(memory, in_memory().await);
