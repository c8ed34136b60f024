//! A way for programs to say more than their output does: a named pipe for each run, that takes lines.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oxmq::{JobContext, JsonText};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};

/// The longest line; room for as much data as a job has by default.
const LINE_BYTES_MAX: usize = (1 << 20) + 64;

/// A directory of this worker's own, for the pipes of its runs.
#[derive(Debug)]
pub(super) struct Channels {
    dir: PathBuf,
    next: AtomicU64,
}

impl Channels {
    pub(super) fn new() -> io::Result<Self> {
        // The start of the process and its id are not for secrecy, which the mode is for, but for a name that is free.
        let started = oxmq::Clock::system().now().as_millis();
        let dir = std::env::temp_dir().join(format!("oxmq-work-{}-{started}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self { dir, next: AtomicU64::new(0) })
    }

    /// Removes the directory, with all that is in it.
    pub(super) fn remove(&self) {
        // What is left in the directory for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.dir);
    }

    /// A pipe for one run.
    pub(super) fn open(&self) -> io::Result<Channel> {
        let path = self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        make_pipe(&path)?;
        let mut channel = Channel { path, receiver: None, holder: None };
        channel.receiver = Some(OpenOptions::new().open_receiver(&channel.path)?);
        channel.holder = Some(OpenOptions::new().open_sender(&channel.path)?);
        Ok(channel)
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(not(target_vendor = "apple"))]
fn make_pipe(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

#[cfg(target_vendor = "apple")]
fn make_pipe(path: &Path) -> io::Result<()> {
    let done = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("mkfifo failed")) }
}

/// The pipe of one run. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Channel {
    path: PathBuf,
    receiver: Option<Receiver>,
    /// As long as it is there, the pipe does not end when a program closes it.
    holder: Option<Sender>,
}

impl Channel {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The two ends that we hold. When the holder is dropped, the pipe ends with the last program that has it open.
    pub(super) fn take(&mut self) -> (Option<Receiver>, Option<Sender>) {
        (self.receiver.take(), self.holder.take())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Heeds each line, until the pipe ends.
pub(super) async fn listen(receiver: Option<Receiver>, context: &JobContext) {
    let Some(receiver) = receiver else { return };
    let mut reader = BufReader::new(receiver);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!("cannot read what the program reports: {error}"),
        }
        let is_whole = line.last() == Some(&b'\n') || line.len() < LINE_BYTES_MAX;
        let done = if is_whole {
            heed(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']), context).await
        } else {
            let skipped = skip_line(&mut reader).await;
            skipped.map_err(|error| error.to_string()).and(Err("a line of more than 1 MiB".into()))
        };
        // To whoever looks at the job; it goes on.
        if let Err(refusal) = done
            && let Err(error) = context.log(format!("oxmq: not done: {refusal}")).await
        {
            tracing::warn!(job = %context.job().id, "not done: {refusal}; and the log is lost: {error}");
        }
    }
}

/// Reads on to the end of a line.
async fn skip_line(reader: &mut BufReader<Receiver>) -> io::Result<()> {
    let mut rest = Vec::new();
    loop {
        rest.clear();
        let count = (&mut *reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut rest).await?;
        if count == 0 || rest.last() == Some(&b'\n') {
            return Ok(());
        }
    }
}

/// Does what a line says.
async fn heed(line: &str, context: &JobContext) -> Result<(), String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let done = match verb {
        "" => return Ok(()),
        "progress" if rest.is_empty() => return Err("progress without a value".into()),
        // JSON if it is that, else text, as with what a job returns.
        "progress" => match serde_json::from_str::<Value>(rest) {
            Ok(_) => context.progress(&JsonText::stored(rest)).await,
            Err(_) => context.progress(rest).await,
        },
        "data" => match JsonText::parse(rest) {
            Ok(data) => context.update_data(&data).await,
            Err(error) => return Err(format!("the data is not JSON: {error}")),
        },
        "log" => context.log(rest).await.map(|_| ()),
        _ => {
            let start: String = line.chars().take(60).collect();
            return Err(format!("`{start}`: use progress VALUE, data JSON or log TEXT"));
        }
    };
    done.map_err(|error| error.to_string())
}
