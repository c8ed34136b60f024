//! One stream: requests in, answers out, and the order in which they take effect.
//!
//! Node programs rely on `Promise.all([add, add])` being first in, first out. So requests are begun in the order in which they
//! came; those that only read run side by side, and so do those that write if the store promises to keep their order
//! ([`Store::keeps_order`](oxmq::Store::keeps_order)), but never both. Those that wait for work or for events run beside all that, until their client
//! is done with them.

mod client;
mod input;
mod waits;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use oxmq::{Clock, EventCursor, JsonText};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{self, JoinError, JoinSet};

use self::client::Client;
use self::input::Arrival;
use super::Door;
use super::call::{Call, Outcome, Request};
use super::errors::Failure;
use super::line::{LINE_BYTES_MAX, Line};
use super::reply::{self, Replies, written};
use super::verbs::{self, Kind};
use super::{listen, produce};

/// The most requests of a stream that were read and have not begun. Beyond it nothing is read.
const WAITING_MAX: usize = 1_024;

/// The most requests of a stream that write, or read, at the same time.
const RUNNING_MAX: usize = 128;

/// The most `addJob` that are handed to the store as one call, and the most bytes of them.
const ADDS_JOINED_MAX: usize = 250;
const ADDS_JOINED_BYTES_MAX: usize = 4 << 20;

/// How long a stream that has ended may take to answer what was read of it.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(5);

/// Serves a stream until its end. What was read by then is done and answered; only what waits, and what would take a job for somebody who
/// has gone, is not.
///
/// # Errors
/// Those of reading and writing.
pub(crate) async fn serve(
    door: Arc<Door>,
    input: impl AsyncRead + Unpin + Send + 'static,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> io::Result<()> {
    let (lines, arriving) = mpsc::channel(WAITING_MAX);
    // Ends with this function.
    let mut tasks = JoinSet::new();
    tasks.spawn(input::read(input, lines));
    let (replies, outbox) = reply::channel();
    let session = Session {
        door,
        clients: HashMap::new(),
        waiting: VecDeque::new(),
        running: JoinSet::new(),
        counts: Counts::default(),
        begun: HashMap::new(),
        blocked: JoinSet::new(),
        replies,
    };
    let mut writing = pin!(outbox.write_to(output));
    // Whoever does not read any more ends the stream, too.
    tokio::select! {
        ended = session.run(arriving) => ended?,
        ended = &mut writing => return ended,
    }
    Clock::system().timeout(LAST_ANSWERS_WAIT, writing).await.unwrap_or(Ok(()))
}

/// A request that has not begun.
struct Waiting {
    id: Option<JsonText>,
    call: Call,
    what: What,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Of the life of a client.
    Life,
    /// A wait for work.
    Work,
    /// A wait for events.
    Events,
    Operation(Kind),
}

/// How many run of each kind.
#[derive(Debug, Default)]
struct Counts {
    reads: usize,
    writes: usize,
    alone: usize,
}

/// What came of something that ran.
enum Ended {
    Answers(Vec<(Option<JsonText>, Outcome)>),
    /// It is known now where events are to be read from.
    Positioned(Waiting, Result<EventCursor, Failure>),
}

/// Something that runs: what it counts as, and who is answered if it never ends rightly.
struct Begun {
    kind: Kind,
    ids: Vec<Option<JsonText>>,
}

struct Session {
    door: Arc<Door>,
    clients: HashMap<i64, Client>,
    waiting: VecDeque<Waiting>,
    running: JoinSet<Ended>,
    counts: Counts,
    begun: HashMap<task::Id, Begun>,
    blocked: JoinSet<()>,
    replies: Replies,
}

impl Session {
    async fn run(mut self, mut arriving: mpsc::Receiver<Arrival>) -> io::Result<()> {
        loop {
            self.begin_all().await;
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next_with_id() => self.settle(ended).await,
                Some(_) = self.blocked.join_next() => {}
                arrival = arriving.recv(), if self.waiting.len() < WAITING_MAX => match arrival {
                    Some(Ok((line, permit))) => self.accept(line, permit).await,
                    Some(Err(error)) => return Err(error),
                    None => break,
                },
            }
            // What has arrived already may be joined to one call.
            while self.waiting.len() < WAITING_MAX {
                match arriving.try_recv() {
                    Ok(Ok((line, permit))) => self.accept(line, permit).await,
                    Ok(Err(error)) => return Err(error),
                    Err(_) => break,
                }
            }
        }
        self.blocked.abort_all();
        Clock::system().timeout(LAST_ANSWERS_WAIT, self.finish()).await;
        Ok(())
    }

    /// Does what was read, except for what only somebody can use who is still there.
    async fn finish(&mut self) {
        let is_useful = |waiting: &Waiting| {
            matches!(waiting.what, What::Life | What::Operation(_)) && waiting.call.method != "moveToActive"
        };
        self.waiting.retain(is_useful);
        loop {
            self.begin_all().await;
            match self.running.join_next_with_id().await {
                Some(ended) => self.settle(ended).await,
                None => return,
            }
        }
    }

    async fn reply(&self, id: Option<&JsonText>, outcome: &Outcome) {
        if let Some(id) = id {
            self.replies.send(written(id, outcome)).await;
        }
    }

    /// Reads a line, and puts it behind those that have not begun.
    async fn accept(&mut self, line: Line, permit: OwnedSemaphorePermit) {
        let null = JsonText::null();
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong => {
                let failure = Failure::request(format!("a line may have {LINE_BYTES_MAX} bytes"));
                return self.reply(Some(&null), &Err(failure)).await;
            }
        };
        let request: Request = match serde_json::from_slice(&text) {
            Ok(request) => request,
            Err(error) => {
                let failure = if error.is_data() { Failure::request(error) } else { Failure::parse(error) };
                return self.reply(Some(&null), &Err(failure)).await;
            }
        };
        drop(text);
        let Request { id, method, params } = request;
        let call = match Call::new(Arc::clone(&self.door), method, params) {
            Ok(call) => call,
            Err(failure) => return self.reply(id.as_ref(), &Err(failure)).await,
        };
        let what = match &*call.method {
            "open" | "setName" | "disconnectBlocking" | "reconnectBlocking" | "disconnect" | "close" => {
                What::Life
            }
            "waitForJob" => What::Work,
            "readEvents" => What::Events,
            "addJob" => What::Operation(Kind::Write),
            _ => match verbs::find(&call) {
                Some((kind, _)) => What::Operation(kind),
                None => return self.reply(id.as_ref(), &Err(Failure::method(&call.method))).await,
            },
        };
        self.place(Waiting { id, call, what, permit }).await;
    }

    /// Does at once what stands in no order with operations, so that a store that is slow holds no wait and no end of one; everything
    /// else is put behind what has not begun.
    async fn place(&mut self, next: Waiting) {
        let Some(client) = self.clients.get(&next.call.client) else {
            // Its `open` may wait behind the `close` of one with the same number, and this behind it.
            if next.call.method == "open" {
                let outcome = self.open(&next.call);
                return self.reply(next.id.as_ref(), &outcome).await;
            }
            return self.waiting.push_back(next);
        };
        match (next.what, &*next.call.method) {
            (What::Life, "close") => {
                // Its waits end now, and the client itself behind what it has asked for.
                client.waits.cancel();
                client.reads.cancel();
                self.waiting.push_back(next);
            }
            (What::Life, "open") | (What::Operation(_), _) => self.waiting.push_back(next),
            (What::Life, _) => {
                let outcome = self.live(&next.call);
                self.reply(next.id.as_ref(), &outcome).await;
            }
            (What::Work, _) => self.wait_for_work(next).await,
            (What::Events, _) if listen::is_from_now(&next.call) => self.waiting.push_back(next),
            (What::Events, _) => {
                let after = listen::from_where(&next.call).await;
                self.wait_for_events(next, after).await;
            }
        }
    }

    /// Whether something of this kind may begin now.
    fn may_begin(&self, kind: Kind) -> bool {
        let Counts { reads, writes, alone } = self.counts;
        match kind {
            Kind::Read => writes + alone == 0 && reads < RUNNING_MAX,
            Kind::Write => reads + alone == 0 && writes < if self.door.keeps_order { RUNNING_MAX } else { 1 },
            Kind::Alone => reads + writes + alone == 0,
        }
    }

    /// Begins what is at its turn.
    async fn begin_all(&mut self) {
        while let Some(first) = self.waiting.front() {
            let needs = match first.what {
                What::Life | What::Work => None,
                What::Events => listen::is_from_now(&first.call).then_some(Kind::Read),
                What::Operation(kind) => Some(kind),
            };
            if needs.is_some_and(|kind| !self.may_begin(kind)) {
                return;
            }
            let Some(next) = self.waiting.pop_front() else { return };
            if next.call.method != "open" {
                let Some(client) = self.clients.get_mut(&next.call.client) else {
                    // It is closed, or was never opened.
                    self.reply(next.id.as_ref(), &Err(Failure::closed())).await;
                    continue;
                };
                if !client.is_placed
                    && let Ok(queue) = next.call.address()
                {
                    client.listing.place(queue);
                    client.is_placed = true;
                }
            }
            match (next.what, needs) {
                (What::Life, _) => {
                    let outcome = self.live(&next.call);
                    self.reply(next.id.as_ref(), &outcome).await;
                }
                (What::Work, _) => self.wait_for_work(next).await,
                (What::Events, None) => {
                    let after = listen::from_where(&next.call).await;
                    self.wait_for_events(next, after).await;
                }
                (What::Events, Some(_)) => self.begin_events(next).await,
                (What::Operation(kind), _) => self.begin(next, kind).await,
            }
        }
    }

    async fn begin(&mut self, next: Waiting, kind: Kind) {
        if next.call.method == "addJob" {
            return self.begin_adds(next).await;
        }
        let Waiting { id, call, permit, .. } = next;
        let Some((_, act)) = verbs::find(&call) else { return };
        let mut work = act(call);
        let ids = vec![id.clone()];
        // The first step is taken here, one after the other: it is what the store puts in order.
        let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if let Poll::Ready(outcome) = first {
            return self.reply(id.as_ref(), &outcome).await;
        }
        self.spawn(kind, ids, async move {
            let outcome = work.await;
            drop(permit);
            Ended::Answers(vec![(id, outcome)])
        });
    }

    /// Begins an `addJob` together with those behind it that are of the same queue and time.
    async fn begin_adds(&mut self, first: Waiting) {
        let mut bytes = first.call.size();
        let mut joined = vec![first];
        while let Some(next) = self.waiting.front() {
            let leader = &joined[0].call;
            bytes += next.call.size();
            let fits = joined.len() < ADDS_JOINED_MAX && bytes <= ADDS_JOINED_BYTES_MAX;
            let is_like = next.call.method == "addJob"
                && next.call.queue == leader.queue
                && next.call.prefix == leader.prefix
                && next.call.now == leader.now
                && self.clients.contains_key(&next.call.client);
            if !(fits && is_like) {
                break;
            }
            joined.extend(self.waiting.pop_front());
        }
        let (mut ids, mut calls, mut permits) = (Vec::new(), Vec::new(), Vec::new());
        for Waiting { id, call, permit, .. } in joined {
            ids.push(id);
            calls.push(call);
            permits.push(permit);
        }
        let known = ids.clone();
        let mut work = Box::pin(produce::add_each(calls));
        let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if let Poll::Ready(outcomes) = first {
            for (id, outcome) in ids.iter().zip(&outcomes) {
                self.reply(id.as_ref(), outcome).await;
            }
            return;
        }
        self.spawn(Kind::Write, known, async move {
            let outcomes = work.await;
            drop(permits);
            Ended::Answers(ids.into_iter().zip(outcomes).collect())
        });
    }

    fn spawn(
        &mut self,
        kind: Kind,
        ids: Vec<Option<JsonText>>,
        work: impl Future<Output = Ended> + Send + 'static,
    ) {
        let handle = self.running.spawn(work);
        *self.counts.of(kind) += 1;
        self.begun.insert(handle.id(), Begun { kind, ids });
    }

    /// Answers what has ended.
    async fn settle(&mut self, ended: Result<(task::Id, Ended), JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Ok(ended)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(begun) = self.begun.remove(&task) else { return };
        let count = self.counts.of(begun.kind);
        *count = count.saturating_sub(1);
        match ended {
            Ok(Ended::Answers(answers)) => {
                for (id, outcome) in answers {
                    self.reply(id.as_ref(), &outcome).await;
                }
            }
            Ok(Ended::Positioned(waiting, after)) => self.wait_for_events(waiting, after).await,
            Err(error) => {
                tracing::error!(%error, "an operation did not end rightly");
                for id in begun.ids {
                    self.reply(id.as_ref(), &Err(Failure::internal(&error))).await;
                }
            }
        }
    }
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
            Kind::Alone => &mut self.alone,
        }
    }
}
