//! What a Redis server knows of itself. One connection, which is left out of what is counted.

use std::time::Duration;

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;

use crate::output::{Output, note};

/// How long an answer may take: a server that is busy for long is what some workloads are about.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A server to be watched.
#[derive(Clone)]
pub(super) struct Server {
    connection: MultiplexedConnection,
}

/// Its state at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// User and system time so far.
    pub(super) cpu_seconds: f64,
    /// Bytes that its data take.
    pub(super) used_memory: f64,
    /// Commands so far, of all clients.
    pub(super) commands: f64,
    /// Clients now, without us.
    pub(super) clients: f64,
}

impl Server {
    /// The server at a URL of ours; nothing for the embedded store. Where it cannot be asked in this simple way (Sentinel, a cluster, TLS),
    /// its columns stay empty.
    pub(super) async fn of(url: &str, out: Output) -> Option<Self> {
        if url.starts_with("sqlite:") {
            return None;
        }
        match Self::connect(url).await {
            Ok(server) => Some(server),
            Err(error) => {
                note!(out, "without figures of the server: {error:#}");
                None
            }
        }
    }

    async fn connect(url: &str) -> Result<Self> {
        // The options are for our store, but for the database of a Unix socket.
        let bare =
            if url.contains("+unix:") { url } else { url.split_once('?').map_or(url, |(bare, _)| bare) };
        let url = bare.replacen("valkey", "redis", 1);
        let client = redis::Client::open(url)?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WAIT));
        Ok(Self { connection: client.get_multiplexed_async_connection_with_config(&config).await? })
    }

    pub(super) async fn sample(&mut self) -> Result<Sample> {
        let info: String = redis::cmd("INFO").query_async(&mut self.connection).await?;
        Sample::read(&info).context("INFO is not as expected")
    }

    /// A command as another program might send it.
    pub(super) async fn probe(&mut self) -> Result<()> {
        let _: Option<String> =
            redis::cmd("GET").arg("oxmq:bench:probe").query_async(&mut self.connection).await?;
        Ok(())
    }
}

impl Sample {
    fn read(info: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().parse::<f64>().ok()
        };
        Some(Self {
            cpu_seconds: field("used_cpu_sys")? + field("used_cpu_user")?,
            used_memory: field("used_memory")?,
            commands: field("total_commands_processed")?,
            clients: (field("connected_clients")? - 1.0).max(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_read_from_the_fields_of_those_very_names() {
        let info = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_cpu_sys_children:9\r\nused_memory:1024\r\n\
                    used_memory_rss:9\r\ntotal_commands_processed:7\r\nconnected_clients:3\r\n";
        let sample = Sample { cpu_seconds: 3.75, used_memory: 1024.0, commands: 7.0, clients: 2.0 };
        assert_eq!(Sample::read(info), Some(sample));
        assert_eq!(Sample::read("used_memory:1\r\n"), None);
    }
}
