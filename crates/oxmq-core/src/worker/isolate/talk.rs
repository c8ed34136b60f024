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
use super::wire::{Ask, ToChild, ToWorker, WireAnswer, WireChildren, WireJob, WireRefusal, distant, line};
use super::{CHILD_LOG_LINES_MAX, ChildOutput, Isolation};
use crate::address::JobKey;
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
/// The most that the child may have asked for and that waits for the store; while there is as much, nothing more is read
/// from the child.
const ASKED_MAX: usize = 64;
/// While more bytes than that wait to be read by the child, the store is not asked for anything more.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
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

/// Something to be done: for a request of the handler, which may be refused already, or a line of its output.
type Item = (Option<u64>, Result<Ask>);
type Doing = Pin<Box<dyn Future<Output = (Option<u64>, Result<WireAnswer>)> + Send>>;

pub(super) struct Talk<'a> {
    child: &'a mut Child,
    isolation: &'a Isolation,
    shared: &'a Arc<Shared>,
    running: &'a Arc<Running>,
    asked: VecDeque<Item>,
    doing: Option<Doing>,
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
    Done(Option<u64>, Result<WireAnswer>),
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
            asked: VecDeque::new(),
            doing: None,
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
        self.tell_idle_words();
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
                Step::Done(request, answer) => {
                    self.done(request, answer);
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
                self.hear_what_was_written();
            }
            self.do_the_rest().await;
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
        if self.doing.is_none()
            && self.child.outbox.len() <= OUTBOX_BYTES_MAX
            && let Some((request, ask)) = self.asked.pop_front()
        {
            let (shared, running) = (self.shared.clone(), self.running.clone());
            self.doing = Some(Box::pin(async move { (request, do_it(&shared, &running, ask).await) }));
        }
        let Self { child, shared, running, asked, doing, stop, .. } = self;
        let Child { reader, writer, outbox, stdout, stderr, .. } = &mut **child;
        let reads = asked.len() < ASKED_MAX;
        // Not in any order: a child that writes without an end must not keep us from hearing it.
        tokio::select! {
            () = running.cancel.cancelled(), if matches!(stop, Stop::Not) => Step::ToStop,
            () = shared.clock.sleep_until(wake_at) => Step::Look,
            said = reader.next(), if reads => Step::Said(said),
            sent = writer.write(outbox), if !outbox.is_empty() => Step::Sent(sent),
            (request, answer) = done(doing) => Step::Done(request, answer),
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
                self.ask(request, Ask::note_of(value, Note::Progress));
            }
            ToWorker::Update { request, value } => self.ask(request, Ask::note_of(value, Note::Data)),
            ToWorker::Log { request, line } => {
                let keep = self.running.options.keep_logs;
                self.ask(request, Ok(Ask::Note(Note::Log { line, keep })));
            }
            ToWorker::Children { request, which } => {
                self.ask(request, which.into_request(&self.running.job.id).map(Ask::Children));
            }
            ToWorker::AddChild { request, child } => {
                let parent = JobKey::new(self.shared.queue.clone(), &self.running.job.id);
                self.ask(request, child.into_ask(parent));
            }
            ToWorker::RemovePending { request } => self.ask(request, Ok(Ask::RemovePending)),
            ToWorker::Release { request } => self.ask(request, Ok(Ask::Release)),
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

    fn ask(&mut self, request: u64, ask: Result<Ask>) {
        self.asked.push_back((Some(request), ask));
    }

    fn done(&mut self, request: Option<u64>, answer: Result<WireAnswer>) {
        self.doing = None;
        match (request, answer) {
            (Some(request), answer) => self.answer(request, answer),
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                tracing::warn!(job = %self.running.job.id, %error, "what a child process wrote is lost");
                self.asked.retain(|(request, _)| request.is_some());
                self.lines = CHILD_LOG_LINES_MAX + 1;
            }
        }
    }

    /// Every request is answered, if only with the error that the answer is too long for a line.
    fn answer(&mut self, request: u64, answer: Result<WireAnswer>) {
        let refused = |error: &Error| WireAnswer::Refused(WireRefusal::from(error));
        let answer = answer.unwrap_or_else(|error| refused(&error));
        let answer = line(&ToChild::Answer { request, answer })
            .or_else(|error| line(&ToChild::Answer { request, answer: refused(&error) }));
        if let Ok(answer) = answer {
            self.child.outbox.extend(answer);
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
        let keep = self.running.options.keep_logs;
        self.asked.push_back((None, Ok(Ask::Note(Note::Log { line, keep }))));
    }

    /// What it wrote while it had no job.
    fn tell_idle_words(&mut self) {
        let id = self.child.id();
        for (stream, pipe) in [("stdout", &mut self.child.stdout), ("stderr", &mut self.child.stderr)] {
            for text in available(pipe) {
                trace(id, stream, &text);
            }
        }
    }

    /// What it wrote before it answered is here by now.
    fn hear_what_was_written(&mut self) {
        for text in available(&mut self.child.stdout) {
            self.wrote("stdout", Some(text));
        }
        for text in available(&mut self.child.stderr) {
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

    /// All that was asked for and changes something, before the job's ending does. Nobody hears the answers.
    async fn do_the_rest(&mut self) {
        if let Some(doing) = self.doing.take() {
            let (request, answer) = doing.await;
            self.done(request, answer);
        }
        while let Some((request, ask)) = self.asked.pop_front() {
            if matches!(ask, Err(_) | Ok(Ask::Children(_))) {
                continue;
            }
            let answer = do_it(self.shared, self.running, ask).await;
            self.done(request, answer);
        }
    }
}

async fn do_it(shared: &Shared, running: &Running, ask: Result<Ask>) -> Result<WireAnswer> {
    Ok(match ask? {
        Ask::Note(note) => WireAnswer::Noted(Desk::note(shared, running, note).await?),
        Ask::Children(which) => {
            WireAnswer::Children(WireChildren::of(Desk::children(shared, running, which).await?))
        }
        Ask::AddChild(queue, child) => {
            WireAnswer::Added(Desk::add_child(shared, running, queue, *child).await?.into())
        }
        Ask::RemovePending => {
            Desk::remove_pending_children(shared, running).await?;
            WireAnswer::Removed
        }
        Ask::Release => WireAnswer::Released(Desk::release_deduplication(shared, running).await?),
    })
}

/// The lines that are there without waiting, up to as many as a job may have; with the beginning of one that is not ended,
/// so that it is not taken for another job's.
fn available(pipe: &mut Option<Lines<Pipe>>) -> Vec<String> {
    pipe.as_mut().map(|lines| lines.available(CHILD_LOG_LINES_MAX + 1)).unwrap_or_default()
}

fn trace(pid: Option<u32>, stream: &'static str, line: &str) {
    tracing::info!(target: "oxmq::child", pid, stream, "{line}");
}

async fn done(doing: &mut Option<Doing>) -> (Option<u64>, Result<WireAnswer>) {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}
