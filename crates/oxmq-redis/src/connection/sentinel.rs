//! The master that sentinels know: asked for anew at every connection, and asked itself whether it is one.
//!
//! The sentinel that led to it is listened to. A master that was replaced on purpose takes writes until a sentinel
//! tells it that it is a replica, by default eight seconds later, and then forgets them: whoever writes there loses
//! jobs that were acknowledged.

use std::sync::Arc;
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{PushInfo, PushKind, Value, from_redis_value};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::home::Home;
use super::link::{Link, Opening};
use super::server;
use super::shared::Shared;
use super::target::{Address, Login};

/// Opens a command connection to the master.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    sentinels: &[Address],
    master: &str,
    login: &Login,
    home: Option<&Home>,
) -> Result<Link> {
    let mut failures = Vec::new();
    let mut refusal = None;
    for sentinel in sentinels {
        match try_one(shared, sentinel, master, login, home).await {
            Ok(link) => return Ok(link),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::ReadOnly) => {
                failures.push(format!("{sentinel}: {}", error.message()));
            }
            // Waiting does not help here, so this is what must be told if no other sentinel leads further.
            Err(error) => refusal = Some(error),
        }
    }
    let message = format!("no sentinel leads to the master {master}: {}", failures.join("; "));
    Err(refusal.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "connect", message)))
}

/// How long one sentinel may take before the next is asked.
const SENTINEL_PATIENCE: Duration = Duration::from_secs(1);

async fn try_one(
    shared: &Arc<Shared>,
    sentinel: &Address,
    master: &str,
    login: &Login,
    home: Option<&Home>,
) -> Result<Link> {
    let replaced = Arc::new(Notify::new());
    let asked = async {
        let opening = Opening {
            login: Some(login),
            pushes: Some(on_switch(master.to_owned(), replaced.clone())),
            patience: Some(shared.settings.patience()),
            ..Opening::default()
        };
        let link = Link::open(&shared.dialer, sentinel, opening).await?;
        if link.has_pushes {
            // Before it is asked, so that nothing is missed. One that does not allow it is asked only.
            let _ = link.send(redis::cmd("SUBSCRIBE").arg(SWITCH)).await;
        }
        let reply = link.ask(redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master)).await?;
        Ok((reply, link))
    };
    let (reply, informant) = timeout(SENTINEL_PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "connect", "it does not answer")))?;
    let Ok(Some((host, port))) = from_redis_value::<Option<(String, u16)>>(reply) else {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "connect",
            "it knows no master of that name; see ?master=",
        ));
    };
    let link = server::open(shared, &Address::Tcp(host, port), home).await?;
    let role = link.ask(&redis::cmd("ROLE")).await?;
    let is_master = match role.as_sequence().and_then(<[_]>::first) {
        Some(redis::Value::BulkString(role)) => role == b"master",
        Some(redis::Value::SimpleString(role)) => role == "master",
        _ => false,
    };
    if is_master {
        link.heed(informant, replaced);
        Ok(link)
    } else {
        Err(Error::new(ErrorKind::ReadOnly, "connect", format!("{} is not a master yet", link.address)))
    }
}

/// Where sentinels say that a master is another now: its name, then the old and the new address.
const SWITCH: &str = "+switch-master";

fn on_switch(master: String, replaced: Arc<Notify>) -> Arc<dyn Fn(PushInfo) + Send + Sync> {
    Arc::new(move |info| {
        let PushInfo { kind: PushKind::Message, data } = info else { return };
        let Some(Value::BulkString(text)) = data.last() else { return };
        if text.split(|byte| *byte == b' ').next() == Some(master.as_bytes()) {
            replaced.notify_one();
        }
    })
}
