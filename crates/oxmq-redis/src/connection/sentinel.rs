//! The master that sentinels know: asked for anew at every connection, and asked itself whether it is one.

use std::sync::Arc;
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::from_redis_value;
use tokio::time::timeout;

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
) -> Result<Link> {
    let mut failures = Vec::new();
    let mut refusal = None;
    for sentinel in sentinels {
        match try_one(shared, sentinel, master, login).await {
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

async fn try_one(shared: &Arc<Shared>, sentinel: &Address, master: &str, login: &Login) -> Result<Link> {
    let asked = async {
        let opening = Opening { login: Some(login), ..Opening::default() };
        let link = Link::open(&shared.dialer, sentinel, opening).await?;
        link.ask(redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master)).await
    };
    let reply = timeout(SENTINEL_PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "connect", "it does not answer")))?;
    let Ok(Some((host, port))) = from_redis_value::<Option<(String, u16)>>(reply) else {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "connect",
            "it knows no master of that name; see ?master=",
        ));
    };
    let link = server::open(shared, &Address::Tcp(host, port)).await?;
    let role = link.ask(&redis::cmd("ROLE")).await?;
    let is_master = match role.as_sequence().and_then(<[_]>::first) {
        Some(redis::Value::BulkString(role)) => role == b"master",
        Some(redis::Value::SimpleString(role)) => role == "master",
        _ => false,
    };
    if is_master {
        Ok(link)
    } else {
        Err(Error::new(ErrorKind::ReadOnly, "connect", format!("{} is not a master yet", link.address)))
    }
}
