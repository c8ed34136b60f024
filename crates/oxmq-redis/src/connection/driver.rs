//! What runs a connection, and the watch over it.
//!
//! They are two, as the first lives where the socket is, which may be the runtime of the store's user, and the second
//! always on the store's own thread. A runtime of a user's may stand still while an answer lies in the socket: before
//! the watch judges, it has the first show that it has heard all that has arrived.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oxmq_core::hear;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::dial::Tap;
use super::target::Address;
use super::traffic::{Others, Traffic};

/// Turns of its runtime after which a connection has heard what had arrived. In one of them the runtime looks at its
/// sockets.
pub(super) const HEAR_TURNS: usize = 3;
/// A runtime that stands still for longer than this with calls in flight has its connection given up.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
/// One that needs longer than this to hear has stood still: the silence is counted anew.
const HEAR_LATE: Duration = Duration::from_millis(250);
/// While the server is heard on another connection, one that idles is asked only each time that so many times the usual has passed:
/// then this one alone can be dead, as a box on the way forgets connections that say nothing for a minute or more.
const VOUCHED_FOR: u32 = 4;
/// The watch looks this often whether a call's time is over, or more often for those that have less than four times as
/// long.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// ..but never more often than this.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);

/// How long silence is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long a connection may idle before it is asked whether it lives.
    pub(super) ping_every: Duration,
    /// How long it may say nothing with calls in flight.
    pub(super) stalled_after: Duration,
    /// How long a call may take.
    pub(super) call_deadline: Duration,
}

/// What a connection is told by its watch and by its callers.
#[derive(Default)]
pub(super) struct Orders {
    bell: Notify,
    asked: AtomicU64,
    heard: watch::Sender<u64>,
    given_up: OnceLock<&'static str>,
}

impl Orders {
    /// Has the connection hear what has arrived. False if its runtime stands still.
    pub(super) async fn hear(&self) -> bool {
        let mut heard = self.heard.subscribe();
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.bell.notify_one();
        let answer = heard.wait_for(|answered| *answered >= number);
        matches!(timeout(STANDSTILL_MAX, answer).await, Ok(Ok(_)))
    }

    /// Whether it was asked to hear and has not answered.
    pub(super) fn is_kept_waiting(&self) -> bool {
        *self.heard.borrow() < self.asked.load(Ordering::Acquire)
    }

    fn give_up(&self, reason: &'static str) {
        let _ = self.given_up.set(reason);
        self.bell.notify_one();
    }
}

/// Runs a connection until it ends, is given up, or its runtime ends.
pub(super) async fn run(
    pipeline: impl Future<Output = ()>,
    orders: Arc<Orders>,
    end: Arc<watch::Sender<Option<&'static str>>>,
    tap: Option<Arc<Tap>>,
) {
    // Told last, when all that wait for answers have heard of it.
    let mut farewell = Farewell { end, tap, reason: "its runtime has ended" };
    let mut pipeline = pin!(pipeline);
    farewell.reason = 'open: loop {
        tokio::select! {
            biased; // After a pause of the whole process, what has arrived counts first.
            () = &mut pipeline => break "the server closed it",
            () = orders.bell.notified() => {}
        }
        if let Some(reason) = orders.given_up.get() {
            break reason;
        }
        let asked = orders.asked.load(Ordering::Acquire);
        for _ in 0..HEAR_TURNS {
            tokio::select! {
                biased;
                () = &mut pipeline => break 'open "the server closed it",
                () = hear() => {}
            }
        }
        orders.heard.send_replace(asked);
    };
}

struct Farewell {
    tap: Option<Arc<Tap>>,
    end: Arc<watch::Sender<Option<&'static str>>>,
    reason: &'static str,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some(tap) = &self.tap {
            tap.shut();
        }
        finish(&self.end, self.reason);
    }
}

/// Says why a connection is no more, unless that was said before.
pub(super) fn finish(end: &watch::Sender<Option<&'static str>>, reason: &'static str) {
    end.send_if_modified(|state| {
        let is_first = state.is_none();
        state.get_or_insert(reason);
        is_first
    });
}

/// Watches over a connection, and gives it up when the server is silent for too long. What it watches ends with it.
pub(super) async fn watch(
    traffic: Arc<Traffic>,
    orders: Arc<Orders>,
    end: Arc<watch::Sender<Option<&'static str>>>,
    connection: MultiplexedConnection,
    patience: Patience,
    others: Option<(Arc<Others>, Address)>,
) {
    let closing = Closing(orders.clone());
    let reason = silence(&traffic, &orders, connection, patience, others).await;
    orders.give_up(reason);
    drop(closing);
    // Whoever runs it tells the end, after those who wait have heard of it; unless nobody runs it any more.
    let mut ended = end.subscribe();
    if timeout(patience.stalled_after, ended.wait_for(Option::is_some)).await.is_err() {
        finish(&end, reason);
    }
}

struct Closing(Arc<Orders>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.give_up("the store was closed");
    }
}

/// Has those look at the time who may have waited for too long, and says since when some may have.
fn remind(traffic: &Traffic, call_deadline: Duration) -> Instant {
    let over_at = Instant::from_std(traffic.busy_since()) + call_deadline;
    if over_at <= Instant::now() {
        traffic.look.notify_waiters();
    }
    over_at
}

/// Returns when the server has been silent for too long.
async fn silence(
    traffic: &Traffic,
    orders: &Orders,
    mut connection: MultiplexedConnection,
    patience: Patience,
    others: Option<(Arc<Others>, Address)>,
) -> &'static str {
    let Patience { ping_every, stalled_after, call_deadline } = patience;
    let look_every = (call_deadline / 4).clamp(LOOK_EVERY_MIN, LOOK_EVERY);
    // Asked twice: it had written all there was before the second half of a silence.
    let mut suspected = None;
    loop {
        let quiet_since = Instant::from_std(traffic.quiet_since());
        if traffic.is_busy() {
            let now = Instant::now();
            let is_suspected = suspected == Some(quiet_since);
            let judged_at = quiet_since + if is_suspected { stalled_after } else { stalled_after / 2 };
            if judged_at <= now {
                let mut hearing = pin!(orders.hear());
                let has_heard = loop {
                    tokio::select! {
                        biased;
                        has_heard = &mut hearing => break has_heard,
                        () = sleep(look_every) => {
                            remind(traffic, call_deadline);
                        }
                    }
                };
                if !has_heard {
                    return "its runtime stands still";
                }
                if now.elapsed() > HEAR_LATE {
                    traffic.count_anew();
                } else if !is_suspected {
                    suspected = Some(quiet_since);
                } else if traffic.is_busy() && Instant::from_std(traffic.quiet_since()) == quiet_since {
                    return "the server does not answer";
                }
                continue;
            }
            let over_at = remind(traffic, call_deadline);
            sleep_until(judged_at.min(over_at.max(now + look_every))).await;
            continue;
        }
        let now = Instant::now();
        let heard_elsewhere = others.as_ref().and_then(|(others, server)| others.heard_at(server, traffic));
        let vouched_until = heard_elsewhere.map_or(quiet_since, Instant::from_std) + ping_every;
        let ping_at = vouched_until.clamp(quiet_since + ping_every, quiet_since + ping_every * VOUCHED_FOR);
        if now < ping_at {
            if now < quiet_since + look_every {
                // Calls come one after the other: waking this thread for each would cost more than looking.
                sleep_until(ping_at.min(now + look_every)).await;
                continue;
            }
            tokio::select! {
                () = traffic.until_busy() => continue,
                () = sleep_until(ping_at) => continue,
            }
        }
        let ping = async {
            let _ = connection.send_packed_command(&redis::cmd("PING")).await;
        };
        if timeout(stalled_after, ping).await.is_err() {
            tokio::select! {
                // A runtime that nobody drives for now is no trouble until somebody has a call on it.
                () = traffic.until_busy() => {}
                is_alive = orders.hear() => {
                    if is_alive && Instant::from_std(traffic.quiet_since()) == quiet_since {
                        return "the server does not answer PING";
                    }
                }
            }
        }
        // A server that answers with errors lives, too; and an answer that was heard has moved `quiet_since`.
    }
}
