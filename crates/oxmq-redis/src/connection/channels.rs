//! Channels: somebody published something, look again.
//!
//! Messages arrive on the command connection (RESP3), are not read, and only wake those who wait. A message that came
//! between two waits on a channel ends the second at once; so does a reconnect, as messages may have been missed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::{ErrorKind, Result};
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::backoff::Backoff;
use super::link::Link;
use super::server::Server;
use super::shared::{Shared, locked};

/// A channel that nobody waited on for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Where there are no pushes, callers are told to look this often.
const SLICE: Duration = Duration::from_millis(250);

/// The channels that are listened to.
#[derive(Default)]
pub(super) struct Channels {
    open: Mutex<HashMap<String, Channel>>,
}

struct Channel {
    /// Counts messages.
    news: watch::Sender<u64>,
    /// What the last wait that ended knew of.
    seen: u64,
    server: Arc<Server>,
    used: Instant,
}

impl Channels {
    /// A message, on any channel.
    pub(super) fn heard(&self, info: &PushInfo) {
        let PushInfo { kind: PushKind::Message, data } = info else { return };
        let Some(Value::BulkString(name)) = data.first() else { return };
        let open = locked(&self.open);
        if let Some(channel) = std::str::from_utf8(name).ok().and_then(|name| open.get(name)) {
            channel.news.send_modify(|count| *count += 1);
        }
    }

    /// Subscribes on a new connection to what was listened to on the old one, and wakes everybody.
    pub(super) async fn resubscribe(&self, server: &Arc<Server>, link: &Link) {
        let names: Vec<String> = locked(&self.open)
            .iter()
            .filter(|(_, channel)| Arc::ptr_eq(&channel.server, server))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            if link.ask(&subscribe(&name)).await.is_err() {
                return; // It is lost again, and the next connection will do it.
            }
            if let Some(channel) = locked(&self.open).get(&name) {
                channel.news.send_modify(|count| *count += 1);
            }
        }
    }

    /// Waits for a message. The first wait on a channel ends as soon as it is listened to.
    pub(super) async fn wait(shared: Arc<Shared>, name: String, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let (server, link) = match shared.routes.link(&shared, &name, deadline).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Ok(()),
            Err(error) => return Err(error),
        };
        if !link.has_pushes {
            sleep(limit.min(SLICE)).await;
            return Ok(());
        }
        let (mut news, is_new) = {
            let mut open = locked(&shared.channels.open);
            match open.get_mut(&name).filter(|channel| Arc::ptr_eq(&channel.server, &server)) {
                Some(channel) => {
                    channel.used = Instant::now();
                    let count = *channel.news.borrow();
                    if count != channel.seen {
                        channel.seen = count;
                        return Ok(());
                    }
                    (channel.news.subscribe(), false)
                }
                None => {
                    let (sender, news) = watch::channel(0);
                    let used = Instant::now();
                    open.insert(name.clone(), Channel { news: sender, seen: 0, server, used });
                    (news, true)
                }
            }
        };
        if is_new {
            return Self::listen(&shared, &name, &link, deadline).await;
        }
        if let Ok(Ok(())) = timeout(deadline - Instant::now(), news.changed()).await {
            let count = *news.borrow_and_update();
            if let Some(channel) = locked(&shared.channels.open).get_mut(&name) {
                channel.seen = channel.seen.max(count);
            }
        }
        Ok(())
    }

    /// Listens to a channel that was entered as open just now, and no more to those that nobody asks for.
    async fn listen(shared: &Arc<Shared>, name: &str, link: &Link, deadline: Instant) -> Result<()> {
        let mut entered = Entered { shared, name, is_kept: false };
        let idle: Vec<String> = locked(&shared.channels.open)
            .extract_if(|_, channel| channel.used.elapsed() > IDLE_MAX && channel.news.receiver_count() == 0)
            .map(|(name, _)| name)
            .collect();
        for name in &idle {
            let _ = timeout_at(deadline, link.ask(redis::cmd("UNSUBSCRIBE").arg(name))).await;
        }
        let command = subscribe(name);
        match timeout_at(deadline, link.ask(&command)).await {
            Ok(Ok(_)) => {
                entered.is_kept = true;
                // Whoever came in the meantime did not have the promise yet that nothing is missed.
                if let Some(channel) = locked(&shared.channels.open).get_mut(name) {
                    channel.news.send_modify(|count| *count += 1);
                    channel.seen = *channel.news.borrow();
                }
                Ok(())
            }
            Ok(Err(error)) if error.kind() != ErrorKind::Unavailable => Err(error),
            Ok(Err(_)) => {
                Backoff::new().wait(deadline).await;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

/// Takes back the entry of a channel if its subscription fails or is given up half-way.
struct Entered<'a> {
    shared: &'a Shared,
    name: &'a str,
    is_kept: bool,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            locked(&self.shared.channels.open).remove(self.name);
        }
    }
}

fn subscribe(name: &str) -> Cmd {
    redis::cmd("SUBSCRIBE").arg(name).to_owned()
}
