//! Waits for markers. A popped marker goes to one who waits for its key; if nobody does any more, it is kept for the
//! next, and given back to the server when that takes too long: it may be what another process waits for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{Value, from_redis_value};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::blocking::{self, Asked, Desk, Shown, slice};
use super::home::{Home, Lane, RUNS_WITHIN};
use super::link::Link;
use super::shared::{Shared, locked};
use super::{Call, Marker, MarkerWait, calls};

/// So many waits have a connection of their own; the further ones share one.
pub(super) const WAITERS_MAX: usize = 4;
/// How long a marker is kept that nobody waits for.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// How long the number of a connection that was closed is known. A server that was started anew gives it again.
const GONE_FOR: Duration = Duration::from_secs(2);

/// All who wait, and what was popped for nobody.
#[derive(Default)]
pub(super) struct Markers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    next: u64,
    kept: HashMap<String, VecDeque<Marker>>,
    waiters: Vec<Waiter>,
    connections: HashMap<Channel, Kept>,
    /// Those of them that are open, on which an answer may be under way.
    links: HashMap<Channel, Weak<Link>>,
    /// The numbers of the named connections at their servers.
    ids: HashMap<Channel, i64>,
    /// Those that we have closed of late, and when: the server lists them until it hears of it.
    gone: Vec<(i64, Instant)>,
    /// Which connections are to be seen by others, until when; also those whose time is over, until they are closed.
    shown: HashMap<Channel, Instant>,
}

/// A connection that is kept for those who wait.
struct Kept {
    wake: Arc<Notify>,
    /// From where all do so who ever waited on it. One that was made to be seen is taken for one of the home's.
    lane: Lane,
}

struct Waiter {
    number: u64,
    key: String,
    on: Channel,
    until: Instant,
    answer: oneshot::Sender<Result<Option<Marker>>>,
}

/// Which connection waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Channel {
    Own { key: String, name: String },
    Shared(u16),
}

impl State {
    /// A named connection was closed, or is about to be.
    fn closed(&mut self, id: Option<i64>) {
        self.gone.retain(|(_, at)| at.elapsed() < GONE_FOR);
        self.gone.extend(id.map(|id| (id, Instant::now())));
    }
}

/// Somebody's wait; dropping it gives up, and gives back what came too late to be seen.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    number: u64,
    key: String,
    answer: oneshot::Receiver<Result<Option<Marker>>>,
}

impl Future for Waiting {
    type Output = Result<Option<Marker>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| match answer {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorKind::Closed, "wait", "the store was closed")),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Nothing can be sent once it is closed, so nothing is lost between the two lines.
        self.answer.close();
        if let Ok(Ok(Some(marker))) = self.answer.try_recv() {
            deliver(&self.shared, None, &self.key, marker);
        }
        let mut state = locked(&self.shared.markers.state);
        if let Some(at) = state.waiters.iter().position(|waiter| waiter.number == self.number) {
            let waiter = state.waiters.remove(at);
            state.wake(&waiter.on);
        }
    }
}

impl Markers {
    /// Begins a wait.
    pub(super) fn wait(shared: &Arc<Shared>, wait: MarkerWait) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let mut state = locked(&shared.markers.state);
        let number = state.next;
        state.next += 1;
        let waiting = Waiting { shared: shared.clone(), number, key: wait.key.clone(), answer };
        if let Some(marker) = state.kept.get_mut(&wait.key).and_then(VecDeque::pop_front) {
            let _ = sender.send(Ok(Some(marker)));
            return waiting;
        }
        if state.is_closed {
            return waiting;
        }
        let group = shared.routes.group(&wait.key);
        let on = state.channel(shared, &wait, group);
        let waiter = Waiter {
            number,
            key: wait.key.clone(),
            on: on.clone(),
            until: Instant::now() + wait.timeout,
            answer: sender,
        };
        state.waiters.push(waiter);
        let lane = shared.lane();
        if let Some(kept) = state.connections.get_mut(&on) {
            if lane == Lane::Away {
                kept.lane = lane;
            }
            kept.wake.notify_one();
        } else {
            state.connect(shared, on, wait.key, lane);
        }
        waiting
    }

    /// Has the connection of a worker be there until then, also while the worker is busy and waits for nothing: Node lists
    /// workers by it. With a time that has come, it goes when nobody waits on it.
    pub(super) fn show(shared: &Arc<Shared>, key: String, client_name: String, until: Instant) {
        let mut state = locked(&shared.markers.state);
        if state.is_closed {
            return;
        }
        let wait = MarkerWait { key, client_name, timeout: Duration::ZERO };
        let is_there = until > Instant::now();
        let on = state.channel(shared, &wait, 0);
        // On a connection that is shared nobody is seen.
        if let Channel::Shared(_) = on {
            return;
        }
        if state.connections.contains_key(&on) {
            state.wake(&on);
        } else if is_there {
            // Who has it shown is not who waits: a worker does this on a thread for its duties.
            state.connect(shared, on.clone(), wait.key, Lane::Home);
        } else {
            return;
        }
        state.shown.insert(on, until);
    }

    /// The numbers of the named connections at their servers.
    pub(super) fn ids(&self) -> HashSet<i64> {
        let state = locked(&self.state);
        let of_late = |(id, at): &(i64, Instant)| (at.elapsed() < GONE_FOR).then_some(*id);
        state.ids.values().copied().chain(state.gone.iter().filter_map(of_late)).collect()
    }

    /// Ends all waits: nobody serves them any more.
    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.is_closed = true;
        state.waiters.clear();
    }

    /// Gives back all that was popped for nobody.
    pub(super) async fn give_back(shared: &Arc<Shared>) {
        let links: Vec<Arc<Link>> =
            locked(&shared.markers.state).links.values().filter_map(Weak::upgrade).collect();
        for link in links.iter().filter(|link| link.is_home && link.is_open()) {
            // All are on one runtime.
            if timeout(RUNS_WITHIN, link.hear()).await.is_err() {
                break;
            }
        }
        let kept = std::mem::take(&mut locked(&shared.markers.state).kept);
        for (key, markers) in kept {
            for marker in markers {
                put(shared, &key, &marker).await;
            }
        }
    }
}

impl State {
    /// The connection for a wait: its own, as long as there are few.
    fn channel(&self, shared: &Shared, wait: &MarkerWait, group: u16) -> Channel {
        let own = Channel::Own { key: wait.key.clone(), name: wait.client_name.clone() };
        let count = self.connections.keys().filter(|on| matches!(on, Channel::Own { .. })).count();
        let has_own = self.connections.contains_key(&own) || count < WAITERS_MAX;
        if has_own && !shared.settings.shared_wait { own } else { Channel::Shared(group) }
    }

    /// Has a connection opened, and kept for as long as somebody waits on it or it is to be seen.
    fn connect(&mut self, shared: &Arc<Shared>, on: Channel, key: String, lane: Lane) {
        let wake = Arc::new(Notify::new());
        self.connections.insert(on.clone(), Kept { wake: wake.clone(), lane });
        let desk = Arc::new(MarkerDesk { shared: shared.clone(), on });
        shared.runtime.spawn(blocking::serve(shared.clone(), desk, wake, key));
    }

    /// Has a connection see that others wait on it than before.
    fn wake(&self, on: &Channel) {
        if let Some(kept) = self.connections.get(on) {
            kept.wake.notify_one();
        }
    }
}

/// Hands a marker to the first who waits for its key, or keeps it. Those come first who wait on the connection that has it:
/// others' runtimes may stand still.
fn deliver(shared: &Arc<Shared>, on: Option<&Channel>, key: &str, marker: Marker) {
    let mut state = locked(&shared.markers.state);
    let mut marker = marker;
    loop {
        let by_key = |waiter: &Waiter| waiter.key == key;
        let here = state.waiters.iter().position(|waiter| by_key(waiter) && Some(&waiter.on) == on);
        let Some(at) = here.or_else(|| state.waiters.iter().position(by_key)) else { break };
        let waiter = state.waiters.remove(at);
        match waiter.answer.send(Ok(Some(marker))) {
            Ok(()) => {
                // It may be another connection's waiter, which now blocks for nobody.
                state.wake(&waiter.on);
                return;
            }
            Err(Ok(Some(back))) => marker = back,
            Err(_) => return,
        }
    }
    state.kept.entry(key.to_owned()).or_default().push_back(marker);
    drop(state);
    let (shared, key) = (shared.clone(), key.to_owned());
    shared.runtime.clone().spawn(async move {
        sleep(KEPT_MAX).await;
        let kept = {
            let mut state = locked(&shared.markers.state);
            let kept = state.kept.get_mut(&key).and_then(VecDeque::pop_front);
            state.kept.retain(|_, kept| !kept.is_empty());
            kept
        };
        if let Some(marker) = kept {
            put(&shared, &key, &marker).await;
        }
    });
}

/// Puts a marker back, unless the queue has been obliterated meanwhile. What cannot be put back was lost with the server that had it.
async fn put(shared: &Arc<Shared>, key: &str, marker: &Marker) {
    let ask = |command| {
        let call =
            Call { operation: "wait", slot_key: key.to_owned(), command, script: None, repeatable: true };
        calls::run(shared.clone(), call, Arc::new(AtomicBool::new(false)), Lane::Away, None)
    };
    let mut settings = redis::cmd("EXISTS");
    settings.arg(format!("{}meta", key.strip_suffix("marker").unwrap_or(key)));
    if matches!(ask(settings).await, Ok(Value::Int(0))) {
        return;
    }
    let mut command = redis::cmd("ZADD");
    command.arg(key).arg("NX").arg(marker.score).arg(&marker.member);
    if let Err(error) = ask(command).await {
        tracing::debug!(%error, key, "a marker could not be put back");
    }
}

struct MarkerDesk {
    shared: Arc<Shared>,
    on: Channel,
}

impl Desk for MarkerDesk {
    fn client_name(&self) -> Option<&str> {
        match &self.on {
            Channel::Own { name, .. } => Some(name),
            Channel::Shared(_) => None,
        }
    }

    fn home(&self) -> Option<&Home> {
        // On one that is shared others may wait at any time.
        let Channel::Own { .. } = self.on else { return None };
        let lane = locked(&self.shared.markers.state).connections.get(&self.on)?.lane;
        self.shared.home.as_ref().filter(|_| lane == Lane::Home)
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = locked(&self.shared.markers.state);
        for waiter in state.waiters.extract_if(.., |waiter| waiter.on == self.on && waiter.until <= now) {
            let _ = waiter.answer.send(Ok(None));
        }
        state.waiters.iter().filter(|waiter| waiter.on == self.on).map(|waiter| waiter.until).min()
    }

    fn ask(&self, longest: Duration) -> Option<Asked> {
        let mut keys: Vec<String> = Vec::new();
        let state = locked(&self.shared.markers.state);
        let mut until = None;
        for waiter in state.waiters.iter().filter(|waiter| waiter.on == self.on) {
            until = until.max(Some(waiter.until));
            if !keys.contains(&waiter.key) {
                keys.push(waiter.key.clone());
            }
        }
        drop(state);
        // The server serves the first key that has a marker: each must come first now and then.
        if keys.len() > 1 {
            let first = fastrand::usize(..keys.len());
            keys.rotate_left(first);
        }
        let wait = slice(until?, longest);
        let mut command = redis::cmd("BZPOPMIN");
        command.arg(&keys).arg(format!("{:.3}", wait.as_secs_f64()));
        Some(Asked { command, keys, wait })
    }

    fn covers(&self, asked: &Asked) -> bool {
        let state = locked(&self.shared.markers.state);
        state.waiters.iter().all(|waiter| waiter.on != self.on || asked.keys.contains(&waiter.key))
    }

    fn answer(&self, reply: Value) {
        match from_redis_value::<Option<(String, String, f64)>>(reply) {
            Ok(None) => {}
            Ok(Some((key, member, score))) => {
                deliver(&self.shared, Some(&self.on), &key, Marker { member, score });
            }
            Err(error) => {
                self.refuse(
                    &Error::new(ErrorKind::Corrupt, "wait", "the marker cannot be read").caused_by(error),
                );
            }
        }
    }

    fn refuse(&self, error: &Error) {
        let mut state = locked(&self.shared.markers.state);
        for waiter in state.waiters.extract_if(.., |waiter| waiter.on == self.on) {
            let _ = waiter.answer.send(Err(error.clone()));
        }
    }

    fn look(&self) {
        let mut state = locked(&self.shared.markers.state);
        for waiter in state.waiters.extract_if(.., |waiter| waiter.on == self.on) {
            let _ = waiter.answer.send(Ok(Some(Marker { member: "0".to_owned(), score: 0.0 })));
        }
    }

    fn opened(&self, link: &Arc<Link>) {
        let mut state = locked(&self.shared.markers.state);
        state.links.insert(self.on.clone(), Arc::downgrade(link));
        if let Some(id) = link.id {
            let before = state.ids.insert(self.on.clone(), id);
            state.closed(before);
        }
    }

    fn shown(&self, now: Instant) -> Shown {
        match locked(&self.shared.markers.state).shown.get(&self.on) {
            None => Shown::Idle,
            Some(until) if *until > now => Shown::There,
            Some(_) => Shown::Gone,
        }
    }

    fn retire(&self) -> bool {
        let mut state = locked(&self.shared.markers.state);
        let is_idle = state.waiters.iter().all(|waiter| waiter.on != self.on);
        if is_idle {
            state.shown.remove(&self.on);
            state.links.remove(&self.on);
            let id = state.ids.remove(&self.on);
            state.closed(id);
            state.connections.remove(&self.on);
        }
        is_idle
    }
}
