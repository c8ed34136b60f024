//! One owner for all connections of a store: a thread of its own with a small runtime, so that leases are kept and
//! connections recover whatever the user's runtime does.

use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::sync::{Mutex, oneshot};

use crate::scripts::Script;

/// How long a call may take in all, unless the store was built otherwise.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// One call to the server.
#[derive(Debug)]
pub(crate) struct Call {
    /// The verb of the public API, for errors.
    pub(crate) operation: &'static str,
    /// A key that says which slot is meant.
    pub(crate) slot_key: String,
    /// What is sent: `EVALSHA ..` of `script`, or any other command.
    pub(crate) command: Cmd,
    /// The script that `command` runs, if it does: made known to a server that does not know it.
    pub(crate) script: Option<&'static Script>,
    /// Whether sending it twice does no harm. If not, it is sent once: a cut leaves the error `Ambiguous`.
    pub(crate) repeatable: bool,
}

/// A wait for the marker of a queue.
#[derive(Debug)]
pub(crate) struct MarkerWait {
    /// The marker's key.
    pub(crate) key: String,
    /// The name by which Node knows the connection.
    pub(crate) client_name: String,
    /// The longest to wait.
    pub(crate) timeout: Duration,
}

/// A member of a marker that was popped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marker {
    /// `0`: there may be something to take; `1`: something is due later.
    pub(crate) member: String,
    /// When, in ms since 1970.
    pub(crate) score: f64,
}

/// A read of a stream of events.
#[derive(Debug)]
pub(crate) struct StreamRead {
    /// The stream's key.
    pub(crate) key: String,
    /// After this id.
    pub(crate) after: String,
    /// The most entries.
    pub(crate) limit: usize,
    /// The longest to wait for the first; zero does not wait.
    pub(crate) timeout: Duration,
}

/// The owner of the connections.
#[derive(Debug)]
pub(crate) struct Hub {
    client: redis::Client,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    commands: Mutex<Option<MultiplexedConnection>>,
}

impl Hub {
    /// Connects to the server at `url`.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let client = redis::Client::open(url).map_err(|error| {
            Error::invalid("connect", "url", url, "use redis://HOST:PORT").caused_by(error)
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new()
            .name("oxmq-redis".into())
            .spawn(move || runtime.block_on(async { drop(stopped.await) }))
            .map_err(internal)?;
        Ok(Self { client, runtime: handle, stop: Some(stop), commands: Mutex::new(None) })
    }

    async fn fresh(&self, name: Option<String>) -> redis::RedisResult<MultiplexedConnection> {
        let client = self.client.clone();
        let task = self.runtime.spawn(async move {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            if let Some(name) = name {
                redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut connection).await?;
            }
            Ok(connection)
        });
        task.await
            .map_err(|_| redis::RedisError::from(std::io::Error::other("the connection thread ended")))?
    }

    async fn commands(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut commands = self.commands.lock().await;
        if commands.is_none() {
            *commands = Some(self.fresh(None).await?);
        }
        commands.clone().ok_or_else(|| std::io::Error::other("no connection").into())
    }

    /// Sends a call.
    pub(crate) async fn call(&self, call: Call) -> Result<Value> {
        let work = async {
            let mut connection = self.commands().await?;
            match connection.send_packed_command(&call.command).await.and_then(Value::extract_error) {
                Err(error)
                    if error.kind() == redis::ServerErrorKind::NoScript.into() && call.script.is_some() =>
                {
                    if let Some(script) = call.script {
                        redis::cmd("SCRIPT")
                            .arg("LOAD")
                            .arg(script.source())
                            .exec_async(&mut connection)
                            .await?;
                    }
                    connection.send_packed_command(&call.command).await.and_then(Value::extract_error)
                }
                other => other,
            }
        };
        match tokio::time::timeout(CALL_DEADLINE, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.is_io_error() {
                    *self.commands.lock().await = None;
                }
                Err(Error::new(ErrorKind::Unavailable, call.operation, error.to_string()).caused_by(error))
            }
            Err(_) => {
                Err(Error::new(ErrorKind::Ambiguous, call.operation, "the server did not answer in time"))
            }
        }
    }

    /// Waits for a marker.
    pub(crate) async fn wait_marker(&self, wait: MarkerWait) -> Result<Option<Marker>> {
        let unavailable =
            |error: redis::RedisError| Error::new(ErrorKind::Unavailable, "wait", error.to_string());
        let mut connection = self.fresh(Some(wait.client_name)).await.map_err(unavailable)?;
        let popped: Option<(String, String, f64)> = redis::cmd("BZPOPMIN")
            .arg(wait.key)
            .arg(wait.timeout.as_secs_f64().max(0.001))
            .query_async(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(popped.map(|(_, member, score)| Marker { member, score }))
    }

    /// Reads a stream.
    pub(crate) async fn read_stream(&self, read: StreamRead) -> Result<Value> {
        let unavailable =
            |error: redis::RedisError| Error::new(ErrorKind::Unavailable, "events", error.to_string());
        let mut connection = self.fresh(None).await.map_err(unavailable)?;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(read.limit);
        if !read.timeout.is_zero() {
            command.arg("BLOCK").arg(u64::try_from(read.timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        command.arg("STREAMS").arg(read.key).arg(read.after);
        connection.send_packed_command(&command).await.map_err(unavailable)
    }

    /// Waits until something may have been published on a channel, at most `timeout`.
    pub(crate) async fn wait_channel(&self, _channel: &str, timeout: Duration) -> Result<()> {
        tokio::time::sleep(timeout.min(Duration::from_millis(20))).await;
        Ok(())
    }

    /// Whether the keys are spread over several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        false
    }

    /// What the server is, without secrets.
    pub(crate) fn describe(&self) -> String {
        format!("redis://{}", self.client.get_connection_info().addr())
    }

    /// A key on each server, to send a command to all of them.
    pub(crate) async fn nodes(&self) -> Result<Vec<String>> {
        Ok(vec![String::new()])
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        *self.commands.lock().await = None;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn internal(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "connect", "the connection thread could not be started").caused_by(error)
}
