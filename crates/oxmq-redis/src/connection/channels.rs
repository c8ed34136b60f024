//! Channels: somebody published something, look again.
//!
//! They have a connection of their own, opened with the first of them. On the command connection they would make it a
//! Pub/Sub client to the server, which closes those whose replies reach 32 MB (`client-output-buffer-limit pubsub`).
//! Messages are not read, they only wake; so does a reconnect, as messages may have been missed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::Backoff;
use super::home::Lane;
use super::link::{DIAL_DEADLINE, Link, Opening};
use super::server::Server;
use super::shared::{Shared, locked};

/// Where the server cannot tell us, callers are told to look this often.
const SLICE: Duration = Duration::from_millis(250);

/// The channels that are listened to.
#[derive(Default)]
pub(super) struct Channels {
    state: Mutex<State>,
    /// Numbers all news of all channels, so that no number ever means something else.
    clock: AtomicU64,
}

#[derive(Default)]
struct State {
    open: HashMap<String, Channel>,
    /// Wakes the listener, if there is one.
    listener: Option<Arc<Notify>>,
    /// The server has no RESP3.
    is_deaf: bool,
}

struct Channel {
    /// The number of the newest news; 0 before it is listened to for the first time.
    news: watch::Sender<u64>,
    used: Instant,
    is_subscribed: bool,
    refused: Option<Error>,
}

/// What a wait finds.
enum Entry {
    News(u64),
    Deaf,
    Wait(watch::Receiver<u64>),
}

impl Channels {
    /// Waits until the news of a channel are others than `seen`, and gives their number.
    pub(super) async fn wait(shared: Arc<Shared>, name: String, seen: u64, limit: Duration) -> Result<u64> {
        let deadline = Instant::now() + limit;
        let channels = &shared.channels;
        let mut news = match channels.enter(&shared, &name, seen)? {
            Entry::News(newest) => return Ok(newest),
            Entry::Deaf => {
                sleep(limit.min(SLICE)).await;
                return Ok(channels.tick());
            }
            Entry::Wait(news) => news,
        };
        let _ = timeout_at(deadline, news.changed()).await;
        let newest = *news.borrow_and_update();
        let mut state = locked(&channels.state);
        if let Some(error) = state.open.get_mut(&name).and_then(|channel| channel.refused.take()) {
            state.open.remove(&name);
            return Err(error);
        }
        Ok(newest)
    }

    /// Has the channel listened to, and says what there is to wait for.
    fn enter(&self, shared: &Arc<Shared>, name: &str, seen: u64) -> Result<Entry> {
        let mut state = locked(&self.state);
        if state.is_deaf {
            return Ok(Entry::Deaf);
        }
        let wake = state.listener.get_or_insert_with(|| {
            let wake = Arc::new(Notify::new());
            shared.runtime.spawn(listen(shared.clone(), wake.clone()));
            wake
        });
        let wake = wake.clone();
        let channel = state.open.entry(name.to_owned()).or_insert_with(|| {
            wake.notify_one();
            let (news, _) = watch::channel(0);
            Channel { news, used: Instant::now(), is_subscribed: false, refused: None }
        });
        channel.used = Instant::now();
        if let Some(error) = channel.refused.take() {
            state.open.remove(name);
            return Err(error);
        }
        let newest = *channel.news.borrow();
        if newest != 0 && newest != seen {
            return Ok(Entry::News(newest));
        }
        Ok(Entry::Wait(channel.news.subscribe()))
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A message, on any channel.
    fn heard(&self, info: &PushInfo) {
        let PushInfo { kind: PushKind::Message, data } = info else { return };
        let Some(Value::BulkString(name)) = data.first() else { return };
        let state = locked(&self.state);
        if let Some(channel) = std::str::from_utf8(name).ok().and_then(|name| state.open.get(name)) {
            channel.news.send_replace(self.tick());
        }
    }

    /// Subscribes to what is not yet, and no more to what nobody waited for in `idle_max`. False if there is nothing.
    async fn catch_up(&self, link: &Link, idle_max: Duration) -> Result<bool> {
        let (new, idle): (Vec<String>, Vec<String>) = {
            let mut state = locked(&self.state);
            let is_idle =
                |channel: &Channel| channel.used.elapsed() > idle_max && channel.news.receiver_count() == 0;
            let idle = state.open.extract_if(|_, channel| is_idle(channel)).map(|(name, _)| name).collect();
            let new =
                state.open.iter().filter(|(_, channel)| !channel.is_subscribed).map(|(name, _)| name.clone());
            (new.collect(), idle)
        };
        for name in idle {
            link.ask(redis::cmd("UNSUBSCRIBE").arg(name)).await?;
        }
        for name in new {
            let refused = match link.ask(redis::cmd("SUBSCRIBE").arg(&name)).await {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) => Some(error),
            };
            if let Some(channel) = locked(&self.state).open.get_mut(&name) {
                channel.is_subscribed = true;
                channel.refused = refused;
                channel.news.send_replace(self.tick());
            }
        }
        Ok(!locked(&self.state).open.is_empty())
    }

    /// Begins anew on another connection, or not at all.
    fn forget(&self, is_deaf: bool) {
        let mut state = locked(&self.state);
        state.is_deaf = is_deaf;
        for channel in state.open.values_mut() {
            channel.is_subscribed = false;
            if is_deaf {
                channel.news.send_replace(self.tick());
            }
        }
    }
}

/// Keeps the connection up on which messages arrive, for as long as there are channels.
async fn listen(shared: Arc<Shared>, wake: Arc<Notify>) {
    let mut backoff = Backoff::new();
    loop {
        match connect(&shared).await {
            Ok((link, _)) if !link.has_pushes => return shared.channels.forget(true),
            Ok((link, server)) => {
                shared.channels.forget(false);
                backoff = Backoff::new();
                if hear(&shared, &wake, &link, &server).await {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "channels cannot be listened to"),
        }
        sleep(backoff.pause()).await;
    }
}

/// Listens until the connection is lost; true if there is nothing left to listen to.
async fn hear(shared: &Shared, wake: &Notify, link: &Link, server: &Server) -> bool {
    let idle_max = shared.settings.idle_max;
    let mut current = server.watch();
    loop {
        match shared.channels.catch_up(link, idle_max).await {
            Ok(true) => {}
            Ok(false) => {
                let mut state = locked(&shared.channels.state);
                // Whoever comes after this finds no listener and begins one.
                if state.open.is_empty() {
                    state.listener = None;
                    return true;
                }
            }
            Err(_) => return false,
        }
        tokio::select! {
            () = wake.notified() => {}
            () = sleep(idle_max) => {}
            _ = link.ended() => return false,
            _ = current.changed() => {
                if server.link_now().is_some_and(|command| command.address != link.address) {
                    return false;
                }
            }
        }
    }
}

/// Any server of a cluster will do: they tell each other what is published.
async fn connect(shared: &Arc<Shared>) -> Result<(Link, Arc<Server>)> {
    let (server, command) =
        shared.routes.link(shared, "", Lane::Home, Instant::now() + DIAL_DEADLINE).await?;
    let weak = Arc::downgrade(shared);
    let opening = Opening {
        login: Some(&shared.target.login),
        pushes: Some(Arc::new(move |info| {
            if let Some(shared) = weak.upgrade() {
                shared.channels.heard(&info);
            }
        })),
        patience: Some(shared.settings.patience()),
        ..Opening::default()
    };
    Ok((Link::open(&shared.dialer, &command.address, opening).await?, server))
}
