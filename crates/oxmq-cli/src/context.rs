//! Which store and which queue are meant.

use std::env;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use oxmq::{Error, ErrorKind, Queue, Store};

use crate::args::Common;
use crate::output::{Output, note};

/// What every verb needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) prefix: String,
    url: String,
    /// Where the URL comes from, for messages.
    url_from: &'static str,
    /// What was opened, to be closed before the program ends.
    opened: Mutex<Vec<Arc<dyn Store>>>,
}

/// How long the program waits at its end for a store to be closed.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Whether a verb may make the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Create,
    /// It must be there: looking at a store that is not there is a slip of the pen.
    Refuse,
}

impl Context {
    pub(crate) fn new(common: Common) -> Self {
        let from =
            |name: &'static str| env::var(name).ok().filter(|url| !url.is_empty()).map(|url| (url, name));
        let (url, url_from) = common
            .store
            .map(|url| (url, "--store"))
            .or_else(|| from("OXMQ_URL"))
            .or_else(|| from("REDIS_URL"))
            .unwrap_or_else(|| ("sqlite:oxmq.db".into(), "the default"));
        let out = Output { json: common.json, quiet: common.quiet };
        Self { out, prefix: common.prefix, url, url_from, opened: Mutex::default() }
    }

    /// The same, but with another store: it has its own list of what was opened.
    pub(crate) fn at(&self, url: String, url_from: &'static str) -> Self {
        Self { out: self.out, prefix: self.prefix.clone(), url, url_from, opened: Mutex::default() }
    }

    /// The same, with its own list of what was opened.
    pub(crate) fn at_the_same(&self) -> Self {
        self.at(self.url.clone(), self.url_from)
    }

    /// The same, with its own list of what was opened, and without notes.
    pub(crate) fn quietly(&self) -> Self {
        let mut own = self.at_the_same();
        own.out.quiet = true;
        own
    }

    /// The URL that was asked for on the command line itself, if it was.
    pub(crate) fn url_of_flag(&self) -> Option<&str> {
        (self.url_from == "--store").then_some(&*self.url)
    }

    /// The URL of the store, as other processes of ours are to be given it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Closes what was opened: what it acknowledged is brought to the disk before the program ends.
    pub(crate) async fn close(&self) {
        let opened = std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        for store in opened {
            if !matches!(tokio::time::timeout(CLOSE_WAIT, store.close()).await, Ok(Ok(()))) {
                tracing::warn!(store = store.describe(), "the store could not be closed in time");
            }
        }
    }

    /// Opens the store, and says on stderr which one it is.
    ///
    /// # Errors
    /// `NotFound`: it is not there, and may not be made; those of opening it.
    pub(crate) async fn store(&self, missing: Missing) -> Result<Arc<dyn Store>> {
        let file = file_of(&self.url);
        let is_new = file.as_deref().is_some_and(|file| !file.exists());
        let store = self.open(missing).await?;
        match &file {
            Some(file) => {
                note!(self.out, "store: sqlite:{}{}", shown(file), if is_new { " (created)" } else { "" });
            }
            None => note!(self.out, "store: {}", store.describe()),
        }
        Ok(store)
    }

    /// Opens the store, and says nothing.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub(crate) async fn open(&self, missing: Missing) -> Result<Arc<dyn Store>> {
        let file = file_of(&self.url);
        let is_new = file.as_deref().is_some_and(|file| !file.exists());
        if is_new && missing == Missing::Refuse {
            let path = file.as_deref().map(shown).unwrap_or_default();
            let message = "there is no such store; `oxmq add` makes one, or give another with --store";
            return Err(Error::new(ErrorKind::NotFound, "connect", message)
                .with("path", path)
                .with("from", self.url_from)
                .into());
        }
        // It may vanish between that look and this call.
        let must_be_there = missing == Missing::Refuse && file.is_some() && !self.url.contains("mode=");
        let url = match (must_be_there, self.url.contains('?')) {
            (false, _) => self.url.clone(),
            (true, false) => format!("{}?mode=rw", self.url),
            (true, true) => format!("{}&mode=rw", self.url),
        };
        let store = oxmq::connect(&url).await.map_err(|error| error.with("from", self.url_from))?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
        Ok(store)
    }

    /// Opens the store, and names a queue of it.
    pub(crate) async fn queue(&self, name: &str, missing: Missing) -> Result<Queue> {
        // A wrong name must not leave a new file behind.
        oxmq::QueueAddress::with_prefix(self.prefix.as_str(), name)?;
        let store = self.store(missing).await?;
        Ok(Queue::builder(&store, name).prefix(self.prefix.as_str()).build()?)
    }

    /// A queue to look at or to steer, of a store that is there.
    pub(crate) async fn existing(&self, name: &str) -> Result<Queue> {
        self.queue(name, Missing::Refuse).await
    }
}

/// The file of a store, if it is one.
pub(crate) fn file_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    let path = path.strip_prefix("//").unwrap_or(path);
    (path != ":memory:" && !path.is_empty()).then(|| PathBuf::from(path))
}

fn shown(path: &Path) -> String {
    absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_url_is_found() {
        for (url, file) in [
            ("sqlite:jobs.db", Some("jobs.db")),
            ("sqlite:///var/jobs.db?durability=power", Some("/var/jobs.db")),
            ("sqlite:/var/jobs.db", Some("/var/jobs.db")),
            ("sqlite::memory:", None),
            ("postgres://x", None),
        ] {
            assert_eq!(file_of(url).as_deref(), file.map(Path::new), "{url}");
        }
    }
}
