//! What we look at on every new server: what it lacks, and what it is set up to lose.

use std::time::Duration;

use oxmq_core::{Clock, Error, ErrorKind, Result};
use redis::{InfoDict, Value, from_redis_value};

use super::link::Link;
use super::shared::Shared;

/// What RPOP with a count needs.
const VERSION_MIN: (u32, u32) = (6, 2);
/// A skew of the clocks that makes delays and leases run visibly wrong.
const SKEW_MAX: Duration = Duration::from_secs(1);

/// Refuses a server that cannot work, and warns of one that will lose jobs. What may not be asked is not known.
pub(super) async fn look(shared: &Shared, link: &Link) -> Result<()> {
    let (info, time) = (redis::cmd("INFO"), redis::cmd("TIME"));
    let before = Clock::default().now();
    let (info, time) = tokio::join!(link.send(&info), link.send(&time));
    let after = Clock::default().now();
    if let Some(text) = text(info.good()) {
        let info = InfoDict::new(&text);
        if let Some(version) = info.get::<String>("redis_version") {
            check_version(&version).map_err(|error| error.with("server", &link.address))?;
        }
        if let Some(policy) = info.get::<String>("maxmemory_policy").filter(|policy| policy != "noeviction") {
            shared.find(format!(
                "{}: maxmemory-policy is {policy}, so the server may delete jobs; set it to noeviction",
                link.address
            ));
        }
        if info.get::<String>("aof_enabled").as_deref() == Some("0") && saves_nothing(link).await {
            shared.find(format!(
                "{}: neither AOF nor RDB is on, so a restart of the server loses all jobs; set appendonly to yes",
                link.address
            ));
        }
    }
    let time = time.good().map(from_redis_value::<(i64, i64)>);
    if let Some(Ok((seconds, micros))) = time {
        let there = oxmq_core::Timestamp::from_millis(seconds * 1000 + micros / 1000);
        if there - after > SKEW_MAX || before - there > SKEW_MAX {
            shared.find(format!(
                "{}: its clock and ours are more than {} s apart, so delays and leases run wrong; set both by NTP",
                link.address,
                SKEW_MAX.as_secs()
            ));
        }
    }
    Ok(())
}

fn check_version(version: &str) -> Result<()> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found >= VERSION_MIN {
        return Ok(());
    }
    let (major, minor) = VERSION_MIN;
    let message =
        format!("the server is of version {version}: use Redis {major}.{minor} or newer, or any Valkey");
    Err(Error::new(ErrorKind::Unsupported, "connect", message))
}

async fn saves_nothing(link: &Link) -> bool {
    let reply = link.send(redis::cmd("CONFIG").arg("GET").arg("save")).await.good();
    let Some(Ok(pairs)) = reply.map(from_redis_value::<Vec<(String, String)>>) else { return false };
    pairs.iter().any(|(name, value)| name == "save" && value.trim().is_empty())
}

fn text(value: Option<Value>) -> Option<String> {
    value.and_then(|value| from_redis_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_below_6_2_are_refused() {
        for good in ["6.2.0", "7.0.15", "255.255.255", "10.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["6.0.16", "5.0.14", "2.8"] {
            assert_eq!(check_version(bad).unwrap_err().kind(), ErrorKind::Unsupported, "{bad}");
        }
    }
}
