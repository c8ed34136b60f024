//! One connection: redis-rs's pipeline over a socket of ours, and a watch over both.
//!
//! The socket is ours so that two things are known that redis-rs does not tell: whether a call was written at all
//! before the connection broke, and when the server last said anything.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oxmq_core::{Error, ErrorKind, Result, hear};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use super::dial::{Dialer, Noted, Tap};
use super::driver::{self, HEAR_TURNS, Orders, Patience, finish};
use super::home::Home;
use super::shared::locked;
use super::target::{Address, Login, Secret};
use super::traffic::{Others, Traffic, real_now};
use super::{dial, fault};
use crate::scripts::Script;

/// The longest to open one connection.
pub(super) const DIAL_DEADLINE: Duration = Duration::from_secs(3);
/// A connection with calls in flight that says nothing for so long is given up, unless the store was built otherwise.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(3);
/// An idle connection is asked whether it lives each time this has passed; less often while the server is heard on another one.
pub(super) const PING_EVERY: Duration = Duration::from_secs(15);
/// Calls that may wait to be written before further ones wait outside.
const QUEUE: usize = 1024;

/// How a connection is opened.
#[derive(Default)]
pub(super) struct Opening<'a> {
    /// Who we are.
    pub(super) login: Option<&'a Login>,
    /// The database.
    pub(super) db: i64,
    /// Where messages of channels go.
    pub(super) pushes: Option<Arc<dyn Fn(PushInfo) + Send + Sync>>,
    /// How long silence is borne. None where blocking commands make it silent.
    pub(super) patience: Option<Patience>,
    /// Those that lead to the same server may vouch for it.
    pub(super) others: Option<&'a Arc<Others>>,
    /// The runtime on which it lives, if not on the store's own.
    pub(super) home: Option<&'a Home>,
}

/// What became of a command.
pub(super) enum Outcome {
    /// The server answered, maybe with an error.
    Reply(Value),
    /// The connection broke. `unsent` if the command certainly did not leave.
    Cut {
        /// Nothing at all was written after the command was given.
        unsent: bool,
    },
}

/// A connection.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// The server it leads to.
    pub(super) address: Address,
    /// Whether messages of channels arrive on it.
    pub(super) has_pushes: bool,
    /// The server's number for it, if it tells.
    pub(super) id: Option<i64>,
    /// Whether it lives on the runtime of the store's user.
    pub(super) is_home: bool,
    born: Instant,
    tap: Option<Arc<Tap>>,
    traffic: Arc<Traffic>,
    orders: Arc<Orders>,
    ended: watch::Receiver<Option<&'static str>>,
    end: Arc<watch::Sender<Option<&'static str>>>,
    driver: AbortHandle,
    watcher: Option<AbortHandle>,
    informer: std::sync::OnceLock<AbortHandle>,
    /// The names of the scripts that were given to the server by it.
    given: Mutex<Vec<&'static str>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
        for task in self.watcher.iter().chain(self.informer.get()) {
            task.abort();
        }
    }
}

impl Link {
    /// Opens a connection.
    pub(super) async fn open(dialer: &Dialer, address: &Address, opening: Opening<'_>) -> Result<Self> {
        match timeout(DIAL_DEADLINE, Self::open_patiently(dialer, address, opening)).await {
            Ok(result) => result.map_err(|error| error.with("server", address)),
            Err(_) => Err(unavailable("the server does not answer").with("server", address)),
        }
    }

    async fn open_patiently(dialer: &Dialer, address: &Address, opening: Opening<'_>) -> Result<Self> {
        // RESP2 has one shape for every reply, and is all that is needed where there are no messages of channels.
        if opening.pushes.is_none() {
            return Self::open_as(dialer, address, &opening, ProtocolVersion::RESP2).await;
        }
        match Self::open_as(dialer, address, &opening, ProtocolVersion::RESP3).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Self::open_as(dialer, address, &opening, ProtocolVersion::RESP2).await
            }
            other => other,
        }
    }

    async fn open_as(
        dialer: &Dialer,
        address: &Address,
        opening: &Opening<'_>,
        protocol: ProtocolVersion,
    ) -> Result<Self> {
        let opened = match opening.home {
            Some(home) => home.dial(dialer, address).await.map(|(socket, tap)| (socket, Some(Arc::new(tap)))),
            None => dialer.dial(address).await.map(|socket| (socket, None)),
        };
        let (socket, tap) = opened.map_err(|error| dial::understand(error, address))?;
        let traffic = Arc::new(Traffic::new());
        let mut info = RedisConnectionInfo::default().set_protocol(protocol).set_skip_set_lib_name();
        let has_pushes = protocol == ProtocolVersion::RESP3;
        let login = opening.login.filter(|login| login.user.is_some() || login.password.is_some());
        if let Some(login) = login.filter(|_| has_pushes) {
            if let Some(user) = &login.user {
                info = info.set_username(user);
            }
            info = info.set_password(login.password.as_ref().map_or("", Secret::reveal));
        }
        let mut config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(QUEUE);
        if let Some(pushes) = opening.pushes.clone().filter(|_| has_pushes) {
            config = config.set_push_sender(move |info: PushInfo| {
                pushes(info);
                Ok::<(), ()>(())
            });
        }
        let noted = Noted { socket, traffic: traffic.clone(), is_full: false };
        let (connection, pipeline) = MultiplexedConnection::new_with_config(&info, noted, config)
            .await
            .map_err(|error| greeting(&error))?;
        let (end, ended) = watch::channel(None);
        let (end, orders) = (Arc::new(end), Arc::new(Orders::default()));
        let running = driver::run(pipeline, orders.clone(), end.clone(), tap.clone());
        let driver = match opening.home {
            Some(home) => home.spawn(running),
            None => tokio::spawn(running).abort_handle(),
        };
        let watcher = opening.patience.map(|patience| {
            let (traffic, orders, end) = (traffic.clone(), orders.clone(), end.clone());
            let others = opening.others.map(|others| {
                others.join(address, &traffic);
                (others.clone(), address.clone())
            });
            tokio::spawn(driver::watch(traffic, orders, end, connection.clone(), patience, others))
                .abort_handle()
        });
        let mut link = Self {
            connection,
            address: address.clone(),
            has_pushes,
            id: None,
            is_home: opening.home.is_some(),
            born: real_now(),
            tap,
            traffic,
            orders,
            ended,
            end,
            driver,
            watcher,
            informer: std::sync::OnceLock::new(),
            given: Mutex::default(),
        };
        link.introduce(opening).await?;
        Ok(link)
    }

    /// Logs in, selects the database and asks for the connection's number.
    async fn introduce(&mut self, opening: &Opening<'_>) -> Result<()> {
        let login = opening.login.filter(|login| login.user.is_some() || login.password.is_some());
        if let Some(login) = login.filter(|_| !self.has_pushes) {
            let password = login.password.as_ref().map_or("", Secret::reveal);
            let auth = self.send(redis::cmd("AUTH").arg(&login.user).arg(password)).await;
            if let Some(error) = auth.error("connect") {
                return Err(error);
            }
        }
        if opening.db != 0 {
            let select = self.send(redis::cmd("SELECT").arg(opening.db)).await;
            if let Some(error) = select.error("connect") {
                if error.kind() != ErrorKind::Internal {
                    return Err(error);
                }
                let remedy =
                    format!("the server refuses it ({}); see its setting `databases`", error.message());
                return Err(Error::invalid("connect", "db", opening.db, remedy));
            }
        }
        let reply = self.connection.clone().send_packed_command(redis::cmd("CLIENT").arg("ID")).await;
        self.id = match reply.map_err(|error| greeting(&error))? {
            Value::Int(id) => Some(id),
            Value::ServerError(error) if !is_lacking(&error) => {
                return Err(fault::understand(&error).error("connect"));
            }
            _ => None,
        };
        Ok(())
    }

    /// Sends a command. Dropping the future does not recall what was sent.
    pub(super) async fn send(&self, command: &Cmd) -> Outcome {
        let before = self.traffic.written();
        let _flight = self.traffic.enter();
        match self.connection.clone().send_packed_command(command).await {
            Ok(reply) => Outcome::Reply(reply),
            Err(_) => Outcome::Cut { unsent: self.traffic.written() == before },
        }
    }

    /// A script, unless it was given to the server by this connection: many find at once that the server lacks it.
    pub(super) fn not_given(&self, script: Option<&'static Script>) -> Option<&'static Script> {
        let script = script?;
        let mut given = locked(&self.given);
        if given.contains(&script.name) {
            return None;
        }
        given.push(script.name);
        Some(script)
    }

    /// Waits for what was sent without a timer, as none may be used on the runtimes of users. None if `patience` is over,
    /// which the watch over the connection has looked at now and then.
    pub(super) async fn untimed<T>(&self, sending: impl Future<Output = T>, patience: Duration) -> Option<T> {
        let began = real_now();
        let mut sending = pin!(sending);
        loop {
            tokio::select! {
                biased;
                outcome = &mut sending => return Some(outcome),
                () = self.traffic.look.notified() => {}
            }
            if real_now() - began < patience {
                continue;
            }
            // The runtime may have stood still: what has arrived counts first.
            for _ in 0..HEAR_TURNS {
                tokio::select! {
                    biased;
                    outcome = &mut sending => return Some(outcome),
                    () = hear() => {}
                }
            }
            // We run, and the connection on the same runtime does not: nobody drives what it waits for.
            if self.orders.is_kept_waiting() {
                self.retire("its runtime stands still");
            }
            return None;
        }
    }

    /// Waits for what was sent until `deadline`. What has arrived by then counts, though its runtime stood still.
    pub(super) async fn patiently<T>(
        &self,
        deadline: tokio::time::Instant,
        sending: impl Future<Output = T>,
    ) -> Option<T> {
        let mut sending = pin!(sending);
        if let Ok(outcome) = timeout_at(deadline, &mut sending).await {
            return Some(outcome);
        }
        self.orders.hear().await;
        tokio::select! {
            biased;
            outcome = &mut sending => Some(outcome),
            () = std::future::ready(()) => None,
        }
    }

    /// Sends two commands with nothing between them, and answers with the reply to the second.
    #[cfg(feature = "cluster")]
    pub(super) async fn send_after(&self, first: Cmd, command: &Cmd) -> Outcome {
        let before = self.traffic.written();
        let _flight = self.traffic.enter();
        let mut both = redis::pipe();
        both.add_command(first).add_command(command.clone());
        match self.connection.clone().send_packed_commands(&both, 0, 2).await {
            Ok(mut replies) => Outcome::Reply(replies.pop().unwrap_or_default()),
            Err(_) => Outcome::Cut { unsent: self.traffic.written() == before },
        }
    }

    /// Sends a command of ours and wants a good reply, soon.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value> {
        match timeout(DIAL_DEADLINE, self.send(command)).await {
            Ok(outcome) => match (outcome.error("connect"), outcome) {
                (None, Outcome::Reply(value)) => Ok(value),
                (Some(error), _) => Err(error.with("server", &self.address)),
                (None, Outcome::Cut { .. }) => Err(unavailable("the server closed the connection")),
            },
            Err(_) => Err(unavailable("the server does not answer").with("server", &self.address)),
        }
    }

    /// Waits until it is no more, and says why.
    pub(super) async fn ended(&self) -> &'static str {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or("it was closed"),
            Err(_) => "it was closed",
        }
    }

    /// Has it replaced. Calls that are on it already go on and get their answers.
    pub(super) fn retire(&self, reason: &'static str) {
        finish(&self.end, reason);
    }

    /// Has it replaced when the one who listens on `informant` says so.
    pub(super) fn heed(&self, informant: Self, replaced: Arc<Notify>) {
        let end = self.end.clone();
        let task = tokio::spawn(async move {
            replaced.notified().await;
            finish(&end, "the sentinels name another master");
            drop(informant);
        });
        let _ = self.informer.set(task.abort_handle());
    }

    /// Has it hear all that has arrived, if its runtime runs.
    pub(super) async fn hear(&self) -> bool {
        self.orders.hear().await
    }

    /// Closes it now where its runtime may stand still; elsewhere it is closed when it is dropped.
    pub(super) fn shut(&self) {
        if let Some(tap) = &self.tap {
            tap.shut();
        }
    }

    /// Whether it has heard all that has arrived, as far as that can be seen.
    pub(super) fn is_quiet(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.is_quiet())
    }

    /// For how long there has been this connection.
    pub(super) fn age(&self) -> Duration {
        real_now() - self.born
    }

    /// Whether it may be used, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.ended.borrow().is_none()
    }
}

impl Outcome {
    /// The error in it, if it is one.
    pub(super) fn error(&self, operation: &'static str) -> Option<Error> {
        match self {
            Self::Reply(Value::ServerError(error)) => Some(fault::understand(error).error(operation)),
            Self::Reply(_) => None,
            Self::Cut { .. } => {
                Some(Error::new(ErrorKind::Unavailable, operation, "the server closed the connection"))
            }
        }
    }

    /// The reply, if it is good.
    pub(super) fn good(self) -> Option<Value> {
        match self {
            Self::Reply(Value::ServerError(_)) | Self::Cut { .. } => None,
            Self::Reply(value) => Some(value),
        }
    }
}

/// Whether the server lacks a command, or does not let us use it.
fn is_lacking(error: &redis::ServerError) -> bool {
    error.code() == "NOPERM" || error.details().is_some_and(|details| details.contains("nknown"))
}

/// What a failed greeting means.
fn greeting(error: &RedisError) -> Error {
    if let Some(server) = error.clone().into_server_errors().and_then(|errors| errors.first().cloned()) {
        let fault = fault::understand(&server.1);
        let unknown = ["unknown command", "NOPROTO", "unsupported protocol"];
        if unknown.iter().any(|text| error.to_string().contains(text)) {
            return Error::new(ErrorKind::Unsupported, "connect", "the server has no RESP3");
        }
        return fault.error("connect");
    }
    match error.kind() {
        redis::ErrorKind::RESP3NotSupported => {
            Error::new(ErrorKind::Unsupported, "connect", "the server has no RESP3")
        }
        redis::ErrorKind::AuthenticationFailed => {
            let message = format!("the user or the password is wrong; see the URL ({error})");
            Error::new(ErrorKind::Refused, "connect", message)
        }
        redis::ErrorKind::Parse => unavailable("this is no Redis server: its answer cannot be read"),
        _ => unavailable(&format!("the server closed the connection: {error}")),
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "connect", message)
}
