//! The file of an embedded store.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A SQLite file, with its log.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
}

impl StoreFile {
    pub(super) fn of(url: &str) -> Option<Self> {
        crate::context::file_of(url).map(|path| Self { path })
    }

    /// What is in use of it, and its log: pages that are free are left from what was in it before.
    pub(super) fn used_bytes(&self) -> Result<u64> {
        let mut header = [0; HEADER_BYTES];
        File::open(&self.path)?.read_exact(&mut header)?;
        let used = used_bytes(&header).context("this is no SQLite file")?;
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        Ok(used + fs::metadata(log).map_or(0, |found| found.len()))
    }
}

/// The part of the header that is looked at.
const HEADER_BYTES: usize = 40;

/// By SQLite's file format: the page size at 16, the number of pages at 28, of free ones at 36.
fn used_bytes(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let number = |at: usize| Some(u64::from(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?)));
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        // What does not fit into two bytes.
        1 => 1 << 16,
        page => page,
    };
    let pages = number(28)?.checked_sub(number(36)?)?;
    header.starts_with(b"SQLite format 3\0").then_some(pages * page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_pages_are_not_counted() {
        let mut header = [0; HEADER_BYTES];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        header[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        header[28..32].copy_from_slice(&10_u32.to_be_bytes());
        header[36..40].copy_from_slice(&4_u32.to_be_bytes());
        assert_eq!(used_bytes(&header), Some(6 * 4096));
        header[16..18].copy_from_slice(&1_u16.to_be_bytes());
        assert_eq!(used_bytes(&header), Some(6 << 16));
        assert_eq!(used_bytes(&[0; HEADER_BYTES]), None);
    }
}
