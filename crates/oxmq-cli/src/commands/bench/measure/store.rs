//! The file of an embedded store.

use std::path::PathBuf;

/// A SQLite file, with its log.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
}

impl StoreFile {
    pub(super) fn of(url: &str) -> Option<Self> {
        crate::context::file_of(url).map(|path| Self { path })
    }

    /// Its size, with that of the log that belongs to it.
    pub(super) fn bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
        size(self.path.clone()) + size(log.into())
    }
}
