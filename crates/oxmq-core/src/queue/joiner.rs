//! Joins single adds that are made at the same time into one call to the store, without a timer.
//!
//! The first add goes out at once. Those that come while it is under way gather, and go out together when it has
//! returned; so a lone add waits for nobody, and under load the calls fill by themselves.
//!
//! When many gather, they are halved into two calls: while the store works at one, the callers of the other have their answers and
//! come again, so neither waits for the other. A few go together all the same: what a call costs besides its jobs
//! would cost more than waiting.
//!
//! If both are answered at once, the next call of one is made before the callers of the other hear of their answers: else both would be made, and answered, at
//! once again.
//!
//! A call that found the store out of reach for as long as a call may take ends those that gathered meanwhile, too:
//! one outage after the other, each would wait for all before it.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::address::QueueAddress;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{AddGroup, AddRequest, Added, Store};
use crate::turn::turn;

/// The most groups in one call; the rest goes with the next.
const GROUPS_PER_CALL_MAX: usize = 200;

/// The most calls under way.
const CALLS_MAX: usize = 2;

/// From so many groups on a second call is made while one is under way, and fewer are not halved.
const GROUPS_OF_SECOND_CALL_MIN: usize = 16;

/// The most adds that wait for their turn; one more is refused as [`ErrorKind::Unavailable`].
const WAITING_MAX: usize = 100_000;

/// In so many turns of the runtime those who were answered add again, their call is made, and a connection writes it.
const TURNS_TO_LEAVE: usize = 3;

type Reply = Result<Vec<Added>>;

struct Waiting {
    group: AddGroup,
    now: Timestamp,
    reply: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct State {
    /// How many calls are under way, or about to be made.
    calls: usize,
    /// How many groups are in them.
    under_way: usize,
    waiting: VecDeque<Waiting>,
    /// How many calls were answered just now, and the next that follow them are not made yet.
    answered: usize,
}

impl State {
    /// The groups of the next call of those that are counted; if there is none to be made now, it is not counted any more.
    fn next_call(&mut self) -> Option<Vec<Waiting>> {
        let least = if self.calls > 1 { GROUPS_OF_SECOND_CALL_MIN } else { 1 };
        if self.waiting.len() < least {
            self.calls -= 1;
            return None;
        }
        let half = (self.under_way + self.waiting.len()).div_ceil(2);
        let most = half.clamp(GROUPS_OF_SECOND_CALL_MIN, GROUPS_PER_CALL_MAX).min(self.waiting.len());
        self.under_way += most;
        Some(self.waiting.drain(..most).collect())
    }
}

/// What an add is to do.
enum Part<'a> {
    /// It makes its own call.
    Begins(Option<tokio::sync::MutexGuard<'a, ()>>),
    /// Another call carries it.
    Waits(oneshot::Receiver<Reply>),
}

/// One per queue and store.
pub(super) struct AddJoiner {
    store: Arc<dyn Store>,
    queue: QueueAddress,
    state: Mutex<State>,
    /// Held while a call is begun: they take effect in the order in which they begin, and that is to be the one in which the adds came.
    beginning: tokio::sync::Mutex<()>,
}

impl AddJoiner {
    pub(super) fn new(store: Arc<dyn Store>, queue: QueueAddress) -> Self {
        Self { store, queue, state: Mutex::default(), beginning: tokio::sync::Mutex::default() }
    }

    /// Adds one group.
    pub(super) async fn add(self: &Arc<Self>, mut group: AddGroup, now: Timestamp) -> Reply {
        let beginning = match self.gather(&mut group, now)? {
            Part::Waits(answer) => return answer.await.unwrap_or_else(|_| Err(lost())),
            Part::Begins(beginning) => beginning,
        };
        // This caller's own call is the one under way; whoever gathers meanwhile is sent when it ends, also if
        // this future is dropped before.
        let _next = SendNext { joiner: self.clone(), runtime: Handle::current() };
        let mut answers = begin(self.call(vec![group], now), beginning).await?;
        answers.pop().unwrap_or_else(|| Err(lost()))
    }

    /// One call to the store.
    async fn call(&self, groups: Vec<AddGroup>, now: Timestamp) -> Result<Vec<Reply>> {
        let result = self.store.add(&self.queue, AddRequest { groups, now }).await;
        if let Err(error) = &result
            && error.kind() == ErrorKind::Unavailable
        {
            for waiting in std::mem::take(&mut self.lock().waiting) {
                let message = "not sent: the add before it did not reach the store in all its time";
                let unsent = Error::new(ErrorKind::Unavailable, "add", message).with("queue", &self.queue);
                let _ = waiting.reply.send(Err(unsent.caused_by(error.clone())));
            }
        }
        result
    }

    /// Puts the group with those that gather, if a call is under way; else that call is now the caller's to make.
    fn gather(self: &Arc<Self>, group: &mut AddGroup, now: Timestamp) -> Result<Part<'_>> {
        let mut state = self.lock();
        if state.calls == 0 {
            state.calls = 1;
            state.under_way += 1;
            // Nobody has it but one who has nothing to begin.
            return Ok(Part::Begins(self.beginning.try_lock().ok()));
        }
        if state.waiting.len() >= WAITING_MAX {
            let message = format!("{WAITING_MAX} adds are waiting for the store already; add more slowly");
            return Err(Error::new(ErrorKind::Unavailable, "add", message).with("queue", &self.queue));
        }
        let (reply, answer) = oneshot::channel();
        let group = AddGroup { jobs: std::mem::take(&mut group.jobs) };
        state.waiting.push_back(Waiting { group, now, reply });
        if state.calls < CALLS_MAX && state.waiting.len() >= GROUPS_OF_SECOND_CALL_MIN {
            state.calls += 1;
            drop(state);
            self.spawn(&Handle::current());
        }
        Ok(Part::Waits(answer))
    }

    /// Makes calls, of which one is counted already, in a task: when it runs, others that are about to add have gathered.
    /// It ends when nothing is left to send; those who wait for its answers are its owners.
    fn spawn(self: &Arc<Self>, runtime: &Handle) {
        runtime.spawn(Turn { joiner: self.clone(), is_counted: true }.send_gathered());
    }

    async fn send(&self, batch: Vec<Waiting>) {
        let now = batch.iter().map(|waiting| waiting.now).max().unwrap_or_default();
        let mut groups = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for mut waiting in batch {
            // One call has one `now`: a job keeps the time at which its own add was made.
            if waiting.now != now {
                for job in &mut waiting.group.jobs {
                    job.options.made_at.get_or_insert(waiting.now);
                }
            }
            groups.push(waiting.group);
            replies.push(waiting.reply);
        }
        let result = self.call(groups, now).await;
        if self.lock().answered > 0 {
            // Two were answered at once. The call that follows the other one leaves first: a store that gets both at once answers both at once
            // again, and has nothing to do until both come again.
            for _ in 0..TURNS_TO_LEAVE {
                turn().await;
            }
        }
        match result {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for reply in replies {
                    // A caller that is gone wants no answer.
                    let _ = reply.send(answers.next().unwrap_or_else(|| Err(lost())));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AddJoiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddJoiner").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Makes the calls that follow a caller's own one when that ends, however it ends.
struct SendNext {
    joiner: Arc<AddJoiner>,
    runtime: Handle,
}

impl Drop for SendNext {
    fn drop(&mut self) {
        let mut state = self.joiner.lock();
        state.under_way -= 1;
        if state.waiting.is_empty() {
            state.calls -= 1;
        } else {
            drop(state);
            self.joiner.spawn(&self.runtime);
        }
    }
}

/// A call that was answered just now, of which the next is not made yet.
struct Answered<'a>(&'a AddJoiner);

impl<'a> Answered<'a> {
    fn new(joiner: &'a AddJoiner) -> Self {
        joiner.lock().answered += 1;
        Self(joiner)
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.lock().answered -= 1;
    }
}

/// The right to make one call after the other, which is counted in [`State::calls`].
struct Turn {
    joiner: Arc<AddJoiner>,
    is_counted: bool,
}

impl Turn {
    async fn send_gathered(mut self) {
        loop {
            let beginning = self.joiner.beginning.lock().await;
            let Some(batch) = self.joiner.lock().next_call() else {
                self.is_counted = false;
                return;
            };
            let under_way = UnderWay { joiner: &self.joiner, groups: batch.len() };
            begin(self.joiner.send(batch), beginning).await;
            // Lets those who were answered add again, into the next call. They count as under way until then: else the other call, if it was
            // answered at the same time, took half of its own callers only.
            let answered = Answered::new(&self.joiner);
            turn().await;
            drop((answered, under_way));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_counted {
            // Cut off, with its runtime. Without another call nobody would send those who wait: they get no answer.
            let mut state = self.joiner.lock();
            state.calls -= 1;
            if state.calls == 0 {
                state.waiting.clear();
            }
        }
    }
}

/// Counts the groups of a call for as long as it is under way.
struct UnderWay<'a> {
    joiner: &'a AddJoiner,
    groups: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.joiner.lock().under_way -= self.groups;
    }
}

/// Runs a call to its end, and lets go of the right to begin when it has begun.
async fn begin<T, G>(call: impl Future<Output = T>, beginning: G) -> T {
    let mut call = pin!(call);
    let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    drop(beginning);
    match begun {
        Poll::Ready(answer) => answer,
        Poll::Pending => call.await,
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Ambiguous, "add", "the call was given up before the store answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many calls and groups are under way, and so many groups wait.
    fn state(calls: usize, under_way: usize, waiting: usize) -> State {
        let waiting = (0..waiting)
            .map(|_| Waiting {
                group: AddGroup { jobs: Vec::new() },
                now: Timestamp::default(),
                reply: oneshot::channel().0,
            })
            .collect();
        State { calls, under_way, waiting, answered: 0 }
    }

    /// How many groups the next call has.
    fn next(state: &mut State) -> Option<usize> {
        state.next_call().map(|groups| groups.len())
    }

    #[test]
    fn many_are_halved() {
        let mut state = state(1, 0, 99);
        assert_eq!(next(&mut state), Some(50));
        state.calls = 2;
        assert_eq!(next(&mut state), Some(49), "as many as wait");
        assert_eq!((state.under_way, state.waiting.len()), (99, 0));
    }

    #[test]
    fn a_few_go_together_and_do_not_go_beside_others() {
        assert_eq!(next(&mut state(1, 0, 16)), Some(16));
        let mut few = state(2, 50, 15);
        assert_eq!(next(&mut few), None);
        assert_eq!(few.calls, 1, "the other call takes them when it ends");
        assert_eq!(next(&mut few), Some(15));
        assert_eq!(next(&mut few), None);
        assert_eq!(few.calls, 0);
    }

    #[test]
    fn a_call_is_bounded() {
        assert_eq!(next(&mut state(1, 0, 5_000)), Some(GROUPS_PER_CALL_MAX));
    }
}
