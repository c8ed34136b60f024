//! One run of the program: started in a process group of its own, fed, listened to, and ended if need be.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use oxmq::{Clock, HandlerError, JobContext, JsonText};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::Sender;
use tokio::process::{Child, Command};

use super::channel::{Channel, Channels, listen};
use super::memory::{MEMORY_CHECK, resident_bytes};
use crate::shape::JobShape;
use crate::values::show_duration;

/// The exit code that asks for another try: `EX_TEMPFAIL` of sysexits.h.
const EXIT_TRY_AGAIN: i32 = 75;
/// The most that a program may return.
const RETURN_BYTES_MAX: usize = 1 << 20;
/// The longest line of a log; a longer one is cut into several.
const LOG_LINE_BYTES_MAX: u64 = 16 << 10;
/// The most data that goes into the environment; the kernel's limit for one variable is 128 KiB.
const ENV_DATA_BYTES_MAX: usize = 100_000;
/// How long the pipes of a program that has ended may stay open, held by something it left behind.
const PIPES_WAIT: Duration = Duration::from_secs(1);

/// How the program is run.
#[derive(Debug)]
pub(super) struct Program {
    /// None if there is no place for them.
    pub(super) channels: Option<Channels>,
    pub(super) command: String,
    pub(super) queue: String,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) retry_any: bool,
}

/// What came out of a run.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    /// The last line of stderr, to go with a failure.
    last_line: String,
    /// What memory it was last seen with, in bytes.
    memory: Option<u64>,
}

impl Program {
    /// Runs it for one job.
    pub(super) async fn run(&self, context: JobContext) -> Result<JsonText, HandlerError> {
        let job = context.job();
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .env("OXMQ_QUEUE", &self.queue)
            .env("OXMQ_JOB_ID", job.id.as_str())
            .env("OXMQ_JOB_NAME", &job.name)
            .env("OXMQ_ATTEMPT", (job.attempts_made + 1).to_string())
            .env("OXMQ_ATTEMPTS", job.options().attempts.unwrap_or(1).max(1).to_string())
            .env("OXMQ_START", job.attempts_started.to_string());
        if job.data.as_str().len() <= ENV_DATA_BYTES_MAX {
            command.env("OXMQ_JOB_DATA", job.data.as_str());
        }
        let mut channel = self.channel();
        let (receiver, mut holder) = match &mut channel {
            Some(channel) => {
                command.env("OXMQ_CHANNEL", channel.path());
                channel.take()
            }
            None => (None, None),
        };
        let input = serde_json::to_vec(&JobShape::from(job))?;
        let started = command.spawn();
        let mut group =
            Group::new(started.map_err(|error| format!("the program cannot be started: {error}"))?);
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take())
        else {
            return Err("the program has no pipes".into());
        };

        let mut output = Output::default();
        let ended = {
            let Output { stdout: collected, last_line, memory } = &mut output;
            let talk = async {
                tokio::join!(
                    feed(stdin, &input),
                    collect(stdout, collected),
                    log(stderr, last_line, &context),
                    listen(receiver, &context)
                );
            };
            tokio::pin!(talk);
            let stop = self.wait_to_stop(&context);
            tokio::pin!(stop);
            let mut talking = true;
            let clock = Clock::system();
            let stopped = loop {
                tokio::select! {
                    status = group.child.wait() => break Ok(status?),
                    reason = &mut stop => break Err(reason),
                    () = &mut talk, if talking => talking = false,
                    () = clock.sleep(MEMORY_CHECK) => {
                        *memory = group.child.id().and_then(resident_bytes).or(*memory);
                    }
                }
            };
            // A program that was told to stop still has its last words.
            let talk = async {
                if talking {
                    talk.await;
                }
            };
            match stopped {
                Ok(status) => {
                    drop(holder);
                    let _ = clock.timeout(PIPES_WAIT, talk).await;
                    Ok(status)
                }
                Err(reason) => {
                    group.end(self.grace, &mut holder, talk).await;
                    Err(reason)
                }
            }
        };
        group.is_over = true;
        match ended {
            Ok(status) => self.judge(status, &output),
            Err(reason) => Err(reason.into()),
        }
    }

    /// A pipe for what it has to say; without one it has to do.
    fn channel(&self) -> Option<Channel> {
        let opened = self.channels.as_ref()?.open();
        opened.inspect_err(|error| tracing::warn!("the program gets no OXMQ_CHANNEL: {error}")).ok()
    }

    /// Waits until the program has to stop, and says why.
    async fn wait_to_stop(&self, context: &JobContext) -> String {
        let late = async {
            match self.timeout {
                Some(timeout) => Clock::system().sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            cause = context.cancelled() => cause.to_string(),
            () = late => format!("timed out after {}", show_duration(self.timeout.unwrap_or_default())),
        }
    }

    fn judge(&self, status: ExitStatus, output: &Output) -> Result<JsonText, HandlerError> {
        let colon = if output.last_line.is_empty() { "" } else { ": " };
        let because = |what: String| format!("{what}{colon}{}", output.last_line);
        match status.code() {
            Some(0) => returned(&output.stdout),
            Some(EXIT_TRY_AGAIN) => Err(because("exit 75, to be tried again".into()).into()),
            Some(code) if self.retry_any => Err(because(format!("exit {code}")).into()),
            Some(code) => Err(HandlerError::give_up(because(format!("exit {code}")))),
            None => Err(HandlerError::process_died(status, output.memory, &output.last_line)),
        }
    }
}

/// What was written to stdout, as the job's result.
fn returned(stdout: &[u8]) -> Result<JsonText, HandlerError> {
    if stdout.len() > RETURN_BYTES_MAX {
        let message =
            format!("stdout has more than {RETURN_BYTES_MAX} bytes, the most that a job can return");
        return Err(HandlerError::give_up(message));
    }
    let text = String::from_utf8_lossy(stdout);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Ok(JsonText::null());
    }
    Ok(JsonText::parse(text).or_else(|_| JsonText::of(text))?)
}

/// The job, to stdin. A program that does not read it is none the worse for it.
async fn feed(mut stdin: impl AsyncWrite + Unpin, input: &[u8]) {
    if let Err(error) = stdin.write_all(input).await {
        tracing::debug!("the program did not read its stdin: {error}");
    }
}

/// Keeps one byte more than allowed, so that too much can be told; reads on, so that the program can end.
async fn collect(mut stdout: impl AsyncRead + Unpin, collected: &mut Vec<u8>) {
    let mut kept = (&mut stdout).take(RETURN_BYTES_MAX as u64 + 1);
    let done = match kept.read_to_end(collected).await {
        Ok(_) => tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::warn!("cannot read what the program returns: {error}");
    }
}

/// Each line of stderr into the job's log, as it comes.
async fn log(stderr: impl AsyncRead + Unpin, last_line: &mut String, context: &JobContext) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LOG_LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!("cannot read what the program logs: {error}"),
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.trim().is_empty() {
            *last_line = text.trim().chars().take(500).collect();
        }
        if let Err(error) = context.log(text).await {
            tracing::warn!(job = %context.job().id, "a line of the log is lost: {error}");
        }
    }
}

/// A program and all it has started. Killed when it is dropped before its time.
struct Group {
    child: Child,
    pid: Option<Pid>,
    is_over: bool,
}

impl Group {
    fn new(child: Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Self { child, pid, is_over: false }
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // The only failure is that nobody is left, which is what we want.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Asks it to end, waits as long as it may take, then kills what is left.
    /// `holder` is what keeps its channel open, and goes with it.
    async fn end(
        &mut self,
        grace: Duration,
        holder: &mut Option<Sender>,
        last_words: impl Future<Output = ()>,
    ) {
        self.send(Signal::TERM);
        let gone = async {
            let ended = self.child.wait().await;
            *holder = None;
            ended
        };
        let gone = async { tokio::join!(gone, last_words) };
        let in_time = Clock::system().timeout(grace, gone).await.is_some();
        self.send(Signal::KILL);
        if !in_time && let Err(error) = self.child.wait().await {
            tracing::warn!("cannot wait for the program to end: {error}");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_over {
            self.send(Signal::KILL);
        }
    }
}
