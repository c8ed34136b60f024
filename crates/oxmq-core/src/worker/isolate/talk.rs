//! One job and one child: from the start of the job to its answer, or to the child's end.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;

use super::process::{Child, Lines, Pipe, keep_last, next_line};
use super::wire::{ToChild, ToWorker, WireJob, WireRefusal, distant, line};
use super::{CHILD_LOG_LINES_MAX, ChildOutput, Isolation};
use crate::clock::{Clock, Timestamp, millis};
use crate::error::{Error, Result};
use crate::json::JsonText;
use crate::store::Note;
use crate::worker::context::{CancelCause, Desk};
use crate::worker::errors::HandlerError;
use crate::worker::quarantine::{failure, how_it_ended, mebibytes};
use crate::worker::run::Running;
use crate::worker::shared::Shared;

/// How often the memory of a child that runs a job is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(500);
/// The most notes that wait for the store; while there are as many, nothing more is read from the child.
const NOTES_MAX: usize = 64;
/// How long the pipes of a child that has ended may stay open, held by something it left behind; real time.
const PIPES_WAIT: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug)]
pub(super) enum Ended {
    /// The handler has ended; the child can take another job.
    Answered(Result<JsonText, HandlerError>),
    /// The child is dead, or no use any more.
    Broken(HandlerError),
    /// The child has not taken the job, for this reason, and is no use any more. The job has nothing to do with it.
    NotBegun(String),
}

/// How far the child is on its way to its end.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Not,
    /// The handler knows that it should stop, and may take until then.
    Told(Timestamp),
    /// The child got SIGTERM, and may take until then.
    Terminated(Timestamp),
    Killed,
}

/// Something to be written down: for a request of the handler, or a line of its output.
type Item = (Option<u64>, Note);
type Writing = Pin<Box<dyn Future<Output = (Option<u64>, Result<u64>)> + Send>>;

pub(super) struct Talk<'a> {
    child: &'a mut Child,
    isolation: &'a Isolation,
    shared: &'a Arc<Shared>,
    running: &'a Arc<Running>,
    notes: VecDeque<Item>,
    writing: Option<Writing>,
    /// Until when the child has to take the job; `None` once it has.
    begin_by: Option<Timestamp>,
    stop: Stop,
    measure_at: Timestamp,
    /// It was killed for its memory.
    too_big: bool,
    lines: usize,
    last_words: String,
}

/// What the talk waited for.
enum Step {
    Said(io::Result<Option<Vec<u8>>>),
    Sent(io::Result<usize>),
    Noted(Option<u64>, Result<u64>),
    /// A line of its output; nothing at the end.
    Stdout(Option<String>),
    Stderr(Option<String>),
    ToStop,
    /// Some time has come.
    Look,
}

impl<'a> Talk<'a> {
    pub(super) fn new(
        child: &'a mut Child,
        isolation: &'a Isolation,
        shared: &'a Arc<Shared>,
        running: &'a Arc<Running>,
    ) -> Self {
        let now = shared.clock.now();
        Self {
            child,
            isolation,
            shared,
            running,
            notes: VecDeque::new(),
            writing: None,
            begin_by: Some(now + isolation.start_timeout),
            stop: Stop::Not,
            measure_at: now + MEMORY_CHECK,
            too_big: false,
            lines: 0,
            last_words: String::new(),
        }
    }

    pub(super) async fn hold(mut self) -> Ended {
        let remaining = self.running.deadline().map(|deadline| millis(deadline - self.shared.clock.now()));
        let start = ToChild::Start {
            job: Box::new(WireJob::of(&self.running.job)),
            token: self.running.lease.token.as_str().to_owned(),
            remaining,
        };
        match line(&start) {
            Ok(start) => self.child.outbox.extend(start),
            Err(error) => return Ended::Answered(Err(HandlerError::give_up(error))),
        }
        self.tell_idle_words().await;
        loop {
            let ended = match self.step().await {
                Step::Said(Ok(Some(said))) => self.heard(&said),
                Step::Said(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    Some(self.broken(&format!("sent {error}")))
                }
                Step::Said(Ok(None) | Err(_)) => Some(self.died().await),
                Step::Sent(Ok(count)) => {
                    self.child.outbox.drain(..count);
                    None
                }
                // It does not listen any more; how it ended is read from its side of the line.
                Step::Sent(Err(_)) => {
                    self.child.outbox.clear();
                    None
                }
                Step::Noted(request, answer) => {
                    self.noted(request, answer);
                    None
                }
                Step::Stdout(text) => {
                    self.wrote("stdout", text);
                    None
                }
                Step::Stderr(text) => {
                    self.wrote_stderr(text);
                    None
                }
                Step::ToStop => {
                    self.tell_to_stop();
                    None
                }
                Step::Look => self.look(),
            };
            let Some(ended) = ended else { continue };
            if matches!(ended, Ended::Answered(_)) {
                self.hear_what_was_written().await;
            }
            self.write_the_rest().await;
            return ended;
        }
    }

    async fn step(&mut self) -> Step {
        let wake_at = [
            self.begin_by,
            Some(self.measure_at),
            match self.stop {
                Stop::Told(until) | Stop::Terminated(until) => Some(until),
                Stop::Not | Stop::Killed => None,
            },
        ];
        let wake_at = wake_at.into_iter().flatten().min().unwrap_or(self.measure_at);
        if self.writing.is_none()
            && let Some((request, note)) = self.notes.pop_front()
        {
            let (shared, running) = (self.shared.clone(), self.running.clone());
            self.writing =
                Some(Box::pin(async move { (request, Desk::note(&*shared, &running, note).await) }));
        }
        let Self { child, shared, running, notes, writing, stop, .. } = self;
        let Child { reader, writer, outbox, stdout, stderr, .. } = &mut **child;
        let reads = notes.len() < NOTES_MAX;
        // Not in any order: a child that writes without an end must not keep us from hearing it.
        tokio::select! {
            () = running.cancel.cancelled(), if matches!(stop, Stop::Not) => Step::ToStop,
            () = shared.clock.sleep_until(wake_at) => Step::Look,
            said = reader.next(), if reads => Step::Said(said),
            sent = writer.write(outbox), if !outbox.is_empty() => Step::Sent(sent),
            (request, answer) = written(writing) => Step::Noted(request, answer),
            text = next_line(stdout), if reads => Step::Stdout(text),
            text = next_line(stderr), if reads => Step::Stderr(text),
        }
    }

    // ---------------------------------------------------------------- what the child says

    fn heard(&mut self, said: &[u8]) -> Option<Ended> {
        let message = match serde_json::from_slice(said) {
            Ok(message) => message,
            Err(error) => return Some(self.broken(&format!("sent what is not understood: {error}"))),
        };
        if matches!(message, ToWorker::Started) && self.begin_by.take().is_some() {
            self.child.measure();
            return None;
        }
        if self.begin_by.is_some() {
            return Some(self.broken("answered before it had the job"));
        }
        match message {
            ToWorker::Progress { request, value } => {
                self.ask(request, JsonText::parse(value).map(Note::Progress));
            }
            ToWorker::Update { request, value } => self.ask(request, JsonText::parse(value).map(Note::Data)),
            ToWorker::Log { request, line } => {
                self.notes
                    .push_back((Some(request), Note::Log { line, keep: self.running.options.keep_logs }));
            }
            ToWorker::Completed { value } => match JsonText::parse(value) {
                Ok(value) => return Some(Ended::Answered(Ok(value))),
                Err(error) => return Some(self.broken(&format!("sent a result that is not JSON: {error}"))),
            },
            ToWorker::Failed { messages, wish } => {
                return Some(Ended::Answered(Err(distant(messages, wish))));
            }
            ToWorker::Ready { .. } | ToWorker::Unready { .. } | ToWorker::Started => {
                return Some(self.broken("is out of step"));
            }
        }
        None
    }

    fn ask(&mut self, request: u64, note: Result<Note, serde_json::Error>) {
        match note {
            Ok(note) => self.notes.push_back((Some(request), note)),
            Err(error) => {
                self.answer(request, Err(Error::invalid("note", "value", "not JSON", error)));
            }
        }
    }

    fn noted(&mut self, request: Option<u64>, answer: Result<u64>) {
        self.writing = None;
        match (request, answer) {
            (Some(request), answer) => self.answer(request, answer),
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                tracing::warn!(job = %self.running.job.id, %error, "what a child process wrote is lost");
                self.notes.retain(|(request, _)| request.is_some());
                self.lines = CHILD_LOG_LINES_MAX + 1;
            }
        }
    }

    fn answer(&mut self, request: u64, answer: Result<u64>) {
        let refusal = answer.as_ref().err().map(WireRefusal::from);
        let lines = answer.unwrap_or(0);
        if let Ok(noted) = line(&ToChild::Noted { request, lines, refusal }) {
            self.child.outbox.extend(noted);
        }
    }

    fn broken(&self, what: &str) -> Ended {
        self.child.signal(Signal::KILL);
        if self.begin_by.is_some() {
            return Ended::NotBegun(format!("it {what}"));
        }
        Ended::Broken(HandlerError::fail(format!("the handler's process {what}")))
    }

    // ---------------------------------------------------------------- its end

    fn tell_to_stop(&mut self) {
        let cause = self.running.cause().unwrap_or(CancelCause::Closing);
        if let Ok(cancel) = line(&ToChild::Cancel { cause: cause.into() }) {
            self.child.outbox.extend(cancel);
        }
        self.stop = Stop::Told(self.shared.clock.now() + self.shared.settings.cancel_grace);
    }

    /// Does what is due.
    fn look(&mut self) -> Option<Ended> {
        let now = self.shared.clock.now();
        match self.stop {
            Stop::Told(until) if until <= now => {
                tracing::warn!(
                    pid = self.child.id(),
                    "the handler did not stop when it was told to; SIGTERM"
                );
                self.child.signal(Signal::TERM);
                self.stop = Stop::Terminated(now + self.isolation.kill_after);
            }
            Stop::Terminated(until) if until <= now => {
                tracing::warn!(pid = self.child.id(), "its process did not end either; SIGKILL");
                self.child.signal(Signal::KILL);
                self.stop = Stop::Killed;
            }
            _ => {}
        }
        if self.begin_by.is_some_and(|by| by <= now) {
            return Some(self.broken("did not take a job in time"));
        }
        if self.measure_at <= now {
            self.measure_at = now + MEMORY_CHECK;
            self.child.measure();
            let limit = self.isolation.kill_above.unwrap_or(u64::MAX);
            if !self.too_big && self.child.memory.is_some_and(|bytes| bytes > limit) {
                self.too_big = true;
                self.child.signal(Signal::KILL);
            }
        }
        None
    }

    /// The line has ended: with the process, or it is about to.
    async fn died(&mut self) -> Ended {
        let status = self.child.end().await;
        let mut how = status.map_or_else(|| "it cannot be ended".into(), how_it_ended);
        let clock = Clock::system();
        let _ = clock.timeout(PIPES_WAIT, self.hear_to_the_end()).await;
        if self.begin_by.is_some() {
            return Ended::NotBegun(format!("it ended: {how}"));
        }
        if self.too_big {
            let limit = mebibytes(self.isolation.kill_above.unwrap_or_default());
            how = format!("{how} by its worker, as it may have {limit}");
        }
        Ended::Broken(failure(status, &how, self.child.memory, &self.last_words))
    }

    // ---------------------------------------------------------------- its output

    fn wrote_stderr(&mut self, text: Option<String>) {
        keep_last(&mut self.last_words, text.as_deref().unwrap_or_default());
        self.wrote("stderr", text);
    }

    fn wrote(&mut self, stream: &'static str, text: Option<String>) {
        let Some(text) = text else { return };
        if self.isolation.output == ChildOutput::Tracing {
            return trace(self.child.id(), stream, &text);
        }
        self.lines += 1;
        let line = match self.lines.cmp(&(CHILD_LOG_LINES_MAX + 1)) {
            std::cmp::Ordering::Less => text,
            std::cmp::Ordering::Equal => {
                format!("oxmq: more than {CHILD_LOG_LINES_MAX} lines of output; the rest is dropped")
            }
            std::cmp::Ordering::Greater => return,
        };
        self.notes.push_back((None, Note::Log { line, keep: self.running.options.keep_logs }));
    }

    /// What it wrote while it had no job.
    async fn tell_idle_words(&mut self) {
        let id = self.child.id();
        for (stream, pipe) in [("stdout", &mut self.child.stdout), ("stderr", &mut self.child.stderr)] {
            for text in available(pipe).await {
                trace(id, stream, &text);
            }
        }
    }

    /// What it wrote before it answered is here by now.
    async fn hear_what_was_written(&mut self) {
        for text in available(&mut self.child.stdout).await {
            self.wrote("stdout", Some(text));
        }
        for text in available(&mut self.child.stderr).await {
            self.wrote_stderr(Some(text));
        }
    }

    async fn hear_to_the_end(&mut self) {
        while self.child.stdout.is_some() || self.child.stderr.is_some() {
            let Child { stdout, stderr, .. } = &mut *self.child;
            let step = tokio::select! {
                text = next_line(stdout) => Step::Stdout(text),
                text = next_line(stderr) => Step::Stderr(text),
            };
            match step {
                Step::Stderr(text) => self.wrote_stderr(text),
                Step::Stdout(text) => self.wrote("stdout", text),
                _ => {}
            }
        }
    }

    /// All that is to be written down, before the job's ending is.
    async fn write_the_rest(&mut self) {
        if let Some(writing) = self.writing.take() {
            let (request, answer) = writing.await;
            self.noted(request, answer);
        }
        while let Some((request, note)) = self.notes.pop_front() {
            let answer = Desk::note(&**self.shared, self.running, note).await;
            self.noted(request, answer);
        }
    }
}

/// The lines that are there without waiting, up to as many as a job may have; with the beginning of one that is not ended,
/// so that it is not taken for another job's.
async fn available(pipe: &mut Option<Lines<Pipe>>) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() <= CHILD_LOG_LINES_MAX {
        let text = tokio::select! {
            biased;
            text = next_line(pipe) => text,
            () = std::future::ready(()) => None,
        };
        let Some(text) = text else {
            let begun = pipe.as_mut().and_then(Lines::begun);
            texts.extend(begun.map(|text| String::from_utf8_lossy(&text).into_owned()));
            break;
        };
        texts.push(text);
    }
    texts
}

fn trace(pid: Option<u32>, stream: &'static str, line: &str) {
    tracing::info!(target: "oxmq::child", pid, stream, "{line}");
}

async fn written(writing: &mut Option<Writing>) -> (Option<u64>, Result<u64>) {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
