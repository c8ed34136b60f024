//! The threads of an open store, and the two ways to its tables: [`Engine::write`] and [`Engine::read`].

use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::committer::{Committer, Complaints};
use crate::connection::{Durability, FileId, Options, Role, beside, open};
use crate::disk::Disk;
use crate::ear::Ears;
use crate::fault::{Sql, SqlFault};
use crate::inbox::Inbox;
use crate::lock::{SideFile, retry_busy};
use crate::migrate::{SCHEMA_VERSION, check, migrate};
use crate::readers::{self, READER_THREADS, ReadOp, Readers, WAITING_READS_MAX};
use crate::real_time::now;
use crate::sync::Upkeep;
use crate::tx::{Numbers, Tx};
use crate::wake::{Bells, Hearing, Waiting};
use crate::writer::{Syncing, Writer};

/// The suffix of our own file beside the database: the turnstile of lock.rs, and what watch.rs watches.
const SIDE_SUFFIX: &str = "-oxmq";

/// An open store. When it is dropped, its threads finish what waits and end.
pub(crate) struct Engine {
    options: Options,
    writer: Writer,
    /// `None` in memory, where everything goes through the one connection there is.
    readers: Option<Readers>,
    bells: Arc<Bells>,
    ears: Ears,
    watcher_started: AtomicBool,
    /// Each thread that has the file open holds a receiver.
    threads: watch::Sender<()>,
}

impl Engine {
    /// Opens the file, or makes it, and brings its tables up to date.
    pub(crate) async fn open(options: Options) -> Sql<Self> {
        let deadline = now() + options.call_deadline;
        let upkeep = Arc::new(Upkeep::new(&options));
        let bells = Arc::new(Bells::new());
        let threads = watch::Sender::new(());
        // Dropped, and so closed, if anything below fails: the threads that run already end then.
        let mut engine = Self {
            writer: Writer::new(),
            readers: None,
            bells: Arc::clone(&bells),
            ears: Ears::default(),
            watcher_started: AtomicBool::new(false),
            threads,
            options,
        };

        let options = engine.options.clone();
        let writer_upkeep = Arc::clone(&upkeep);
        let shared = engine.writer.shared();
        let waits_for_disk =
            options.durability == Durability::Power && options.path().is_some() && !options.read_only;
        let disk = waits_for_disk.then(|| Arc::new(Disk::default()));
        let writer_disk = disk.clone();
        engine
            .spawn("oxmq-writer", move || {
                let (connection, side, file) = open_writer(&options, deadline)?;
                let complaints = Complaints::default();
                let (upkeep, disk) = (writer_upkeep, writer_disk);
                let numbers = Numbers::default();
                let committer =
                    Committer { connection, side, file, bells, upkeep, disk, complaints, numbers };
                Ok(move || shared.run(committer))
            })
            .await?;
        if let (Some(disk), Some(path)) = (disk, engine.options.path()) {
            let log = beside(path, "-wal");
            engine
                .spawn("oxmq-disk", move || {
                    // It is there: the writer has the file open.
                    let log = OpenOptions::new().read(true).write(true).open(&log);
                    let log = log.map_err(|error| SqlFault::Io(format!("cannot open the log: {error}")))?;
                    Ok(move || disk.run(&log))
                })
                .await?;
        }
        if engine.options.path().is_none() {
            return Ok(engine);
        }

        let inbox: Arc<Inbox<ReadOp>> = Arc::new(Inbox::new(WAITING_READS_MAX));
        engine.readers = Some(Readers::new(Arc::clone(&inbox)));
        for _ in 0..READER_THREADS {
            let (options, inbox) = (engine.options.clone(), Arc::clone(&inbox));
            engine
                .spawn("oxmq-reader", move || {
                    let connection = open(&options, Role::Reader, deadline)?;
                    Ok(move || readers::run(&inbox, &connection))
                })
                .await?;
        }
        if !engine.options.read_only {
            let options = engine.options.clone();
            engine
                .spawn("oxmq-upkeep", move || {
                    let connection = open(&options, Role::Upkeep, deadline)?;
                    Ok(move || upkeep.run(&connection))
                })
                .await?;
        }
        Ok(engine)
    }

    /// Runs `work` in a transaction, shared with other callers', and answers once it is committed. It may be run
    /// more than once; see writer.rs.
    pub(crate) async fn write<T, F>(&self, work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        self.write_jobs(usize::MAX, work).await
    }

    /// The same for an operation of which it is known that it moves no more than so many jobs.
    pub(crate) async fn write_jobs<T, F>(&self, jobs: usize, work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        self.check_writable()?;
        self.writer.write(self.options.call_deadline, jobs, work).await
    }

    /// The same, but answers before the disk has it, and says what to wait for.
    pub(crate) async fn write_early<T: Send + 'static>(
        &self,
        jobs: usize,
        work: impl FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    ) -> Sql<(T, Option<Syncing>)> {
        self.check_writable()?;
        self.writer.write_early(self.options.call_deadline, jobs, work).await
    }

    fn check_writable(&self) -> Sql<()> {
        if self.options.read_only {
            return Err(SqlFault::ReadOnly("it was opened for reading only".to_owned()));
        }
        Ok(())
    }

    /// Runs `work` on one snapshot of what is committed.
    pub(crate) async fn read<T, F>(&self, mut work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Sql<T> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(self.options.call_deadline, work).await,
            None => {
                self.writer.write(self.options.call_deadline, usize::MAX, move |tx| work(tx.settled()?)).await
            }
        }
    }

    /// Who waits for what.
    pub(crate) fn bells(&self) -> &Arc<Bells> {
        &self.bells
    }

    /// Begins a wait: until the answer is dropped, other processes' commits are watched.
    pub(crate) fn wait(&self) -> Waiting {
        let ear = self.options.path().and_then(|path| {
            let ear = self.ears.here(|| beside(path, SIDE_SUFFIX), &self.bells);
            self.watch();
            ear
        });
        self.bells.wait(ear.map_or(Hearing::Watcher, Hearing::Ear))
    }

    /// The same for one that needs no ear of its own.
    pub(crate) fn wait_beside(&self) -> Waiting {
        if self.options.path().is_some() {
            self.watch();
        }
        self.bells.wait(Hearing::Anybody)
    }

    fn watch(&self) {
        if !self.watcher_started.swap(true, Ordering::AcqRel) {
            self.start_watcher();
        }
    }

    fn start_watcher(&self) {
        let (options, bells, running) =
            (self.options.clone(), Arc::clone(&self.bells), self.threads.subscribe());
        let started = std::thread::Builder::new().name("oxmq-watch".to_owned()).spawn(move || {
            let _running = running;
            let side = options.path().map(|path| beside(path, SIDE_SUFFIX));
            match open(&options, Role::Watcher, now() + options.call_deadline) {
                Ok(connection) => crate::watch::run(&bells, &connection, side.as_deref()),
                Err(fault) => tracing::warn!(?fault, "cannot watch for other processes' writes"),
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "cannot watch for other processes' writes");
        }
    }

    /// What the store is called in errors and logs.
    pub(crate) fn name(&self) -> String {
        self.options.describe()
    }

    /// Finishes what waits, and closes the file.
    pub(crate) async fn close(&self) {
        self.shut();
        self.threads.closed().await;
        if self.options.path().is_none() || self.options.read_only {
            return;
        }
        // The last connection to be closed brings the log back into the file. Those of the threads were closed at the
        // same time, each in the way of the others, so one more has to be the last. If it cannot be opened, the log
        // stays, which is as good.
        let (options, deadline) = (self.options.clone(), now() + self.options.call_deadline);
        let last = self.spawn("oxmq-close", move || {
            let connection = open(&options, Role::Upkeep, deadline)?;
            Ok(move || {
                // A connection knows that there is a log once it has read.
                if let Err(error) =
                    connection.prepare("SELECT 1 FROM sqlite_schema").and_then(|mut read| read.exists([]))
                {
                    tracing::debug!(%error, "the last look at the file failed");
                }
            })
        });
        if let Err(fault) = last.await {
            tracing::debug!(?fault, "the write-ahead log is left for the next who opens the file");
        }
        self.threads.closed().await;
    }

    fn shut(&self) {
        self.writer.close();
        if let Some(readers) = &self.readers {
            readers.close();
        }
        self.bells.close();
    }

    /// Starts a thread that first sets itself up, and waits for that.
    async fn spawn<F, R>(&self, name: &str, set_up: F) -> Sql<()>
    where
        F: FnOnce() -> Sql<R> + Send + 'static,
        R: FnOnce(),
    {
        let running = self.threads.subscribe();
        let (ready, is_ready) = oneshot::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _running = running;
                match set_up() {
                    Ok(run) => {
                        let _ = ready.send(Ok(()));
                        run();
                    }
                    Err(fault) => {
                        let _ = ready.send(Err(fault));
                    }
                }
            })
            .map_err(|error| SqlFault::Io(format!("cannot start a thread: {error}")))?;
        is_ready.await.unwrap_or_else(|_| Err(SqlFault::Other(format!("the thread {name} ended early"))))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shut();
    }
}

pub(crate) type OpenWriter = (Connection, Option<Arc<SideFile>>, Option<FileId>);

pub(crate) fn open_writer(options: &Options, deadline: Instant) -> Sql<OpenWriter> {
    let connection = open(options, Role::Writer, deadline)?;
    let side = match options.path() {
        Some(path) if !options.read_only => SideFile::open(&beside(path, SIDE_SUFFIX)).map(Arc::new),
        _ => None,
    };
    if options.read_only {
        if retry_busy(deadline, || check(&connection))? != SCHEMA_VERSION {
            return Err(SqlFault::ReadOnly("its tables are missing or of an older version".to_owned()));
        }
    } else {
        migrate(&connection, side.as_deref(), deadline)?;
    }
    let file = options.path().map(FileId::of).transpose()?;
    Ok((connection, side, file))
}

#[cfg(test)]
mod ear_tests;
#[cfg(test)]
mod lone_tests;
#[cfg(test)]
mod tests;
