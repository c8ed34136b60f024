//! Opening a store: by URL, or with a builder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oxmq_core::{Error, Result};

use crate::connection::{Durability, Options, Place};
use crate::engine::Engine;
use crate::store::SqliteStore;

/// How long a call may take unless the store was built otherwise.
pub const CALL_DEADLINE_DEFAULT: Duration = Duration::from_secs(10);

impl SqliteStore {
    /// Opens the store at a URL: `sqlite:PATH` or `sqlite::memory:`, with options behind a `?`.
    ///
    /// | option | values | default |
    /// | --- | --- | --- |
    /// | `durability` | `process`, `power` ([`Durability`]) | `process` |
    /// | `mode` | `rwc` (a missing file is made), `rw`, `ro` | `rwc` |
    ///
    /// `sqlite://PATH` is the same as `sqlite:PATH`. A relative path counts from the current folder.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](oxmq_core::ErrorKind::Invalid): the URL has no path, or an option that is unknown. Those of
    /// [`SqliteStoreBuilder::open`].
    pub async fn open(url: &str) -> Result<Self> {
        parse(url)?.open().await
    }

    /// A store in a file, with settings.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(Some(path.into()))
    }

    /// A store in memory, which is gone when it is dropped: the double for tests. The same code, but that reads go
    /// through the writer too.
    ///
    /// # Errors
    /// Those of [`SqliteStoreBuilder::open`].
    pub async fn in_memory() -> Result<Self> {
        SqliteStoreBuilder::new(None).open().await
    }
}

/// Settings of a [`SqliteStore`].
#[derive(Debug, Clone)]
#[must_use = "nothing is opened until `open`"]
pub struct SqliteStoreBuilder {
    path: Option<PathBuf>,
    durability: Durability,
    create: bool,
    read_only: bool,
    call_deadline: Duration,
}

impl SqliteStoreBuilder {
    fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            durability: Durability::Process,
            create: true,
            read_only: false,
            call_deadline: CALL_DEADLINE_DEFAULT,
        }
    }

    /// What an acknowledged write survives; default [`Durability::Process`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether a missing file is made; default yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens it for looking only; what would write answers [`ErrorKind::ReadOnly`](oxmq_core::ErrorKind::ReadOnly).
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How long a call may take, for example because other processes hold the lock; default 10 s.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// Opens it, and makes or updates its tables. They are named `oxmq_*`, so it may be an application's own file.
    ///
    /// # Errors
    /// [`Unavailable`](oxmq_core::ErrorKind::Unavailable): the file cannot be opened, or others hold its lock; [`Corrupt`](oxmq_core::ErrorKind::Corrupt): it is not a
    /// database, or damaged; [`Newer`](oxmq_core::ErrorKind::Newer): a newer version made the tables; [`Full`](oxmq_core::ErrorKind::Full), [`ReadOnly`](oxmq_core::ErrorKind::ReadOnly).
    pub async fn open(self) -> Result<SqliteStore> {
        let place = match &self.path {
            None => Place::Memory,
            Some(path) => Place::File(std::path::absolute(path).map_err(|error| {
                Error::invalid("connect", "path", path.display(), "give a path to a file").caused_by(error)
            })?),
        };
        let options = Options {
            place,
            durability: self.durability,
            create: self.create,
            read_only: self.read_only,
            call_deadline: self.call_deadline,
        };
        let name = options.describe();
        let engine = Engine::open(options).await.map_err(|fault| fault.into_error("connect", &name))?;
        Ok(SqliteStore { engine: Arc::new(engine) })
    }
}

fn parse(url: &str) -> Result<SqliteStoreBuilder> {
    let refuse = |remedy: &str| Error::invalid("connect", "url", url, remedy);
    let rest = url.strip_prefix("sqlite:").ok_or_else(|| refuse("it must begin with `sqlite:`"))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(refuse("name a file, as in `sqlite:jobs.db`, or use `sqlite::memory:`"));
    }
    let path = (path != ":memory:").then(|| Path::new(path).to_path_buf());
    let mut builder = SqliteStoreBuilder::new(path);
    for option in query.split('&').filter(|option| !option.is_empty()) {
        builder = match option.split_once('=').unwrap_or((option, "")) {
            ("durability", "process") => builder.durability(Durability::Process),
            ("durability", "power") => builder.durability(Durability::Power),
            ("mode", "rwc") => builder,
            ("mode", "rw") => builder.create(false),
            ("mode", "ro") => builder.create(false).read_only(true),
            ("durability", _) => return Err(refuse("`durability` is `process` or `power`")),
            ("mode", _) => return Err(refuse("`mode` is `rwc`, `rw` or `ro`")),
            _ => return Err(refuse("its options are `durability` and `mode`")),
        };
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_bad_ones_are_explained() {
        let builder = parse("sqlite:///var/jobs.db?durability=power&mode=rw").unwrap();
        assert_eq!(builder.path.as_deref(), Some(Path::new("/var/jobs.db")));
        assert_eq!((builder.durability, builder.create), (Durability::Power, false));
        assert_eq!(parse("sqlite::memory:").unwrap().path, None);
        assert_eq!(parse("sqlite:jobs.db").unwrap().path.as_deref(), Some(Path::new("jobs.db")));
        for (url, word) in [
            ("sqlite:", "name a file"),
            ("mysql:x", "sqlite:"),
            ("sqlite:x?durability=much", "durability"),
            ("sqlite:x?mode=w", "mode"),
            ("sqlite:x?cache=1", "options"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
