//! A child: a process in a group of its own, the line to it, its output, and what it takes to end it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child as Process, Command};

use super::wire::{PROTOCOL, ToChild, ToWorker, line};
use super::{CHILD_LINE_BYTES_MAX, CHILD_LOG_LINE_BYTES_MAX, CHILD_VARIABLE, ChildOutput, Isolation};
use crate::address::QueueAddress;
use crate::clock::{Clock, Timestamp};

/// How long a child may take to end after its line has ended, before it is killed. Real time, as all waits for
/// processes here that no setting names.
const EXIT_WAIT: Duration = Duration::from_secs(1);
/// How long a recycled child may take to end after it was asked to, before it is killed.
const RETIRE_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for a process that was killed: it ends at once, but for a broken disk or the like.
const KILLED_WAIT: Duration = Duration::from_secs(5);
/// How much is read at once.
const READ_BYTES: usize = 16 << 10;
/// This program, even if its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Killed, with its whole group, when it is dropped.
pub(super) struct Child {
    process: Process,
    group: Option<Pid>,
    pub(super) reader: Lines<OwnedReadHalf>,
    pub(super) writer: OwnedWriteHalf,
    /// What is to be sent to it. Kept from job to job, as a message may have been sent in part.
    pub(super) outbox: Vec<u8>,
    pub(super) stdout: Option<Lines<Pipe>>,
    pub(super) stderr: Option<Lines<Pipe>>,
    pub(super) born: Timestamp,
    pub(super) idle_since: Timestamp,
    pub(super) jobs: u32,
    /// Its resident memory when it was last seen, in bytes.
    pub(super) memory: Option<u64>,
    over: bool,
}

/// What a child's output comes through. Never blocks.
pub(super) type Pipe = Box<dyn Output>;

/// See [`Pipe`].
pub(super) trait Output: AsyncRead + AsFd + Send + Sync + Unpin {}

impl<T: AsyncRead + AsFd + Send + Sync + Unpin> Output for T {}

impl Child {
    /// Starts a child. Returns when it is ready for jobs; says why if it does not get so.
    pub(super) async fn start(
        isolation: &Isolation,
        queue: &QueueAddress,
        clock: &Clock,
    ) -> Result<Self, String> {
        let key = uuid::Uuid::new_v4().to_string();
        let mut child = Self::spawn(isolation, queue, &key, clock.now())
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let init = ToChild::Init {
            protocol: PROTOCOL,
            key,
            prefix: queue.prefix().to_owned(),
            queue: queue.name().to_owned(),
        };
        let init = line(&init).map_err(|error| error.to_string())?;
        match clock.timeout(isolation.start_timeout, child.become_ready(&init)).await {
            Some(Ok(())) => Ok(child),
            Some(Err(reason)) => Err(reason),
            None => {
                child.signal(Signal::KILL);
                Err(format!("it was not ready within {} ms", isolation.start_timeout.as_millis()))
            }
        }
    }

    fn spawn(isolation: &Isolation, queue: &QueueAddress, key: &str, now: Timestamp) -> io::Result<Self> {
        let (ours, theirs) = Pair::pair()?;
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        let mut command = std::process::Command::new(match &isolation.program {
            Some(path) => path.clone(),
            None => this_program()?,
        });
        match &isolation.args {
            Some(args) => command.args(args),
            None => command.args(std::env::args_os().skip(1)),
        };
        if isolation.program.is_none()
            && let Some(name) = std::env::args_os().next()
        {
            command.arg0(name);
        }
        command.envs(isolation.variables.iter().map(|(name, value)| (name, value)));
        command.env(CHILD_VARIABLE, format!("{key}:{queue}"));
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        if isolation.output != ChildOutput::Inherit {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        // So that all it starts ends with it, and ^C at a terminal is for the worker alone.
        command.process_group(0);
        let mut command = Command::from(command);
        let mut process = command.kill_on_drop(true).spawn()?;
        // With it goes our copy of their end of the line.
        drop(command);
        let output = |pipe: Pipe| Lines::new(pipe, CHILD_LOG_LINE_BYTES_MAX, Long::Cut);
        Ok(Self {
            group: process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw),
            stdout: process.stdout.take().map(|pipe| output(Box::new(pipe))),
            stderr: process.stderr.take().map(|pipe| output(Box::new(pipe))),
            process,
            reader: Lines::new(reader, CHILD_LINE_BYTES_MAX, Long::Refuse),
            writer,
            outbox: Vec::new(),
            born: now,
            idle_since: now,
            jobs: 0,
            memory: None,
            over: false,
        })
    }

    async fn become_ready(&mut self, init: &[u8]) -> Result<(), String> {
        // A child that reads nothing is seen to end, below.
        let _ = self.writer.write_all(init).await;
        let mut last_words = String::new();
        let reason = loop {
            tokio::select! {
                said = self.reader.next() => match said {
                    Ok(Some(said)) => match serde_json::from_slice(&said) {
                        Ok(ToWorker::Ready { protocol: PROTOCOL }) => return Ok(()),
                        Ok(ToWorker::Ready { protocol }) => {
                            return Err(format!("it speaks version {protocol} of the protocol, not {PROTOCOL}"));
                        }
                        Ok(ToWorker::Unready { reason }) => return Err(reason),
                        Ok(_) | Err(_) => return Err("its first message is not understood".into()),
                    },
                    Ok(None) | Err(_) => break "it ended before it was ready",
                },
                text = next_line(&mut self.stderr) => keep_last(&mut last_words, &text.unwrap_or_default()),
                _ = next_line(&mut self.stdout) => {}
            }
        };
        let status = self.end().await;
        let how = status.map_or_else(|| "it cannot be ended".into(), crate::worker::quarantine::how_it_ended);
        let rest = async {
            while let Some(text) = next_line(&mut self.stderr).await {
                keep_last(&mut last_words, &text);
            }
        };
        let _ = Clock::system().timeout(EXIT_WAIT, rest).await;
        let colon = if last_words.is_empty() { "" } else { ": " };
        Err(format!("{reason}: {how}{colon}{last_words}; does it call `serve_if_child`?"))
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it lives, as far as one can see without waiting.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// To it and all it has started.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The only failure is that nobody is left.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Looks how much memory it has.
    pub(super) fn measure(&mut self) {
        if let Some(bytes) = self.process.id().and_then(resident_bytes) {
            self.memory = Some(bytes);
        }
    }

    /// Waits until it has ended, for a moment; then kills it. `None` if even that does not end it.
    pub(super) async fn end(&mut self) -> Option<ExitStatus> {
        self.end_within(EXIT_WAIT).await
    }

    async fn end_within(&mut self, wait: Duration) -> Option<ExitStatus> {
        let clock = Clock::system();
        let ended = clock.timeout(wait, self.process.wait()).await;
        // In either case: nothing that it has started is left behind.
        self.signal(Signal::KILL);
        let ended = match ended {
            Some(ended) => Some(ended),
            None => clock.timeout(KILLED_WAIT, self.process.wait()).await,
        };
        self.over = matches!(ended, Some(Ok(_)));
        ended.and_then(Result::ok)
    }

    /// Asks it to end, and sees to it that it does.
    pub(super) async fn retire(mut self) {
        if let Ok(stop) = line(&ToChild::Stop) {
            self.outbox.extend(stop);
            // If it does not listen, it is killed below.
            let _ = Clock::system().timeout(EXIT_WAIT, self.writer.write_all(&self.outbox)).await;
        }
        if self.end_within(RETIRE_WAIT).await.is_none() {
            tracing::warn!(pid = self.id(), "a child process cannot be ended");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::KILL);
        }
    }
}

fn this_program() -> io::Result<PathBuf> {
    let this = Path::new(THIS_PROGRAM);
    if this.exists() { Ok(this.to_owned()) } else { std::env::current_exe() }
}

/// The resident memory of a process in bytes; `None` where that cannot be known.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The last line that says something.
pub(super) fn keep_last(last: &mut String, line: &str) {
    let line = line.trim();
    if !line.is_empty() {
        *last = line.chars().take(crate::worker::quarantine::LAST_WORDS_MAX).collect();
    }
}

/// The next line of a child's output. `None` when it has ended: the pipe is forgotten then, and from then on this waits for
/// ever.
pub(super) async fn next_line(pipe: &mut Option<Lines<Pipe>>) -> Option<String> {
    let Some(lines) = pipe else { return std::future::pending().await };
    let Ok(Some(line)) = lines.next().await else {
        *pipe = None;
        return None;
    };
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// What to do with a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Long {
    Cut,
    Refuse,
}

/// Reads line by line.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// How far the buffer holds no end of a line.
    seen: usize,
    bytes_max: usize,
    long: Long,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, bytes_max: usize, long: Long) -> Self {
        Self { reader, buffer: Vec::new(), seen: 0, bytes_max, long }
    }

    /// The next line without its end; `None` at the end. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Those of reading; [`io::ErrorKind::InvalidData`] for a line that is too long.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.whole()? {
                return Ok(Some(line));
            }
            self.buffer.reserve(READ_BYTES);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                let rest = self.take(self.buffer.len());
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// A line that is here with its end.
    fn whole(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n');
        let end = end.map(|place| self.seen + place);
        if end.unwrap_or(self.buffer.len()) > self.bytes_max {
            if self.long == Long::Refuse {
                let message = format!("a line of more than {} bytes", self.bytes_max);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            return Ok(Some(self.take(self.bytes_max)));
        }
        if let Some(end) = end {
            let mut line = self.take(end + 1);
            line.pop();
            return Ok(Some(line));
        }
        self.seen = self.buffer.len();
        Ok(None)
    }

    /// What has come of a line that is not ended.
    fn begun(&mut self) -> Option<Vec<u8>> {
        (!self.buffer.is_empty()).then(|| self.take(self.buffer.len()))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.seen = 0;
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

impl Lines<Pipe> {
    /// The lines that lie in the pipe, up to so many; with the beginning of one that is not ended. The system is asked, not
    /// the runtime, which may have heard of what the child said on its line but not yet of what it had written before.
    pub(super) fn available(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            // Lines of output are cut, not refused.
            let mut line = self.whole().unwrap_or_default();
            let more = line.is_none() && self.read_now();
            if line.is_none() && !more {
                line = self.begun();
            }
            match line {
                Some(line) => texts.push(String::from_utf8_lossy(&line).into_owned()),
                None if more => {}
                None => break,
            }
        }
        texts
    }

    /// Reads what is there; whether anything was. The end, and what goes wrong, are for [`next`](Self::next) to find.
    fn read_now(&mut self) -> bool {
        let mut bytes = [0; 4 << 10];
        let read = loop {
            match rustix::io::read(self.reader.as_fd(), &mut bytes) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or(0),
            }
        };
        self.buffer.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_there_before_the_runtime_has_heard_of_it() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read go; echo one; echo two; printf three"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = tokio::process::ChildStdout::from_std(child.stdout.take().unwrap()).unwrap();
        let mut lines = Lines::new(Box::new(pipe) as Pipe, 100, Long::Cut);
        assert_eq!(lines.available(10), [""; 0]);
        // Nothing is awaited from here on, so the runtime does not look at the pipe.
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(lines.available(1), ["one"]);
        assert_eq!(lines.available(10), ["two", "three"]);
        assert_eq!(lines.available(10), [""; 0]);
        assert_eq!(lines.next().await.unwrap(), None);
    }

    async fn read(text: &str, bytes_max: usize, long: Long) -> Vec<Result<String, io::ErrorKind>> {
        let mut lines = Lines::new(text.as_bytes(), bytes_max, long);
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => read.push(Ok(String::from_utf8(line).unwrap())),
                Ok(None) => return read,
                Err(error) => {
                    read.push(Err(error.kind()));
                    return read;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_are_told_apart_and_long_ones_cut_or_refused() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read("a\n\nbc\nd", 10, Long::Cut).await, [ok("a"), ok(""), ok("bc"), ok("d")]);
        assert_eq!(read("abcdefg\nh\n", 3, Long::Cut).await, [ok("abc"), ok("def"), ok("g"), ok("h")]);
        let long = "x".repeat(40_000);
        assert_eq!(read(&long, 100, Long::Refuse).await, [Err(io::ErrorKind::InvalidData)]);
        assert_eq!(read(&format!("{long}\n"), 50_000, Long::Refuse).await, [ok(&long)]);
        assert_eq!(read("", 3, Long::Refuse).await, []);
    }

    #[test]
    fn the_memory_of_this_process_is_seen() {
        if Path::new(THIS_PROGRAM).exists() {
            assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
        }
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
