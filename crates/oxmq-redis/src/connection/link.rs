//! One connection: redis-rs's pipeline over a socket of ours, and a watch over both.
//!
//! The socket is ours so that two things are known that redis-rs does not tell: whether a call was written at all
//! before the connection broke, and when the server last said anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{Dialer, Noted};
use super::target::{Address, Login, Secret};
use super::{dial, fault};

/// The longest to open one connection.
pub(super) const DIAL_DEADLINE: Duration = Duration::from_secs(3);
/// A connection with calls in flight that says nothing for so long is given up.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(3);
/// An idle connection is asked whether it lives each time this has passed.
pub(super) const PING_EVERY: Duration = Duration::from_secs(15);
/// Calls that may wait to be written before further ones wait outside.
const QUEUE: usize = 1024;

/// What went through a socket.
pub(super) struct Traffic {
    born: Instant,
    written: AtomicU64,
    heard_ms: AtomicU64,
    in_flight: AtomicUsize,
    since_ms: AtomicU64,
    busy: Notify,
}

impl Traffic {
    fn new() -> Self {
        Self {
            born: Instant::now(),
            written: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            since_ms: AtomicU64::new(0),
            busy: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn heard(&self) {
        self.heard_ms.store(self.now(), Ordering::Release);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Counts a call until the guard is dropped.
    fn enter(&self) -> Flight<'_> {
        if self.in_flight.load(Ordering::Acquire) == 0 {
            self.since_ms.store(self.now(), Ordering::Release);
            self.busy.notify_one();
        }
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Flight(self)
    }

    /// When the present silence began.
    fn quiet_since(&self) -> Instant {
        let heard = self.heard_ms.load(Ordering::Acquire);
        let since = self.since_ms.load(Ordering::Acquire);
        self.born + Duration::from_millis(heard.max(since))
    }
}

struct Flight<'a>(&'a Traffic);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How a connection is opened.
#[derive(Default)]
pub(super) struct Opening<'a> {
    /// Who we are.
    pub(super) login: Option<&'a Login>,
    /// The database.
    pub(super) db: i64,
    /// The name that others see it by.
    pub(super) name: Option<&'a str>,
    /// Where messages of channels go.
    pub(super) pushes: Option<Arc<dyn Fn(PushInfo) + Send + Sync>>,
    /// How long it may idle before it is asked whether it lives. None where blocking commands make it silent.
    pub(super) ping_every: Option<Duration>,
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
    traffic: Arc<Traffic>,
    ended: watch::Receiver<Option<&'static str>>,
    end: Arc<watch::Sender<Option<&'static str>>>,
    driver: AbortHandle,
    informer: std::sync::OnceLock<AbortHandle>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
        if let Some(informer) = self.informer.get() {
            informer.abort();
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
        let socket = dialer.dial(address).await.map_err(|error| dial::understand(error, address))?;
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
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, noted, config)
            .await
            .map_err(|error| greeting(&error))?;
        let (end, ended) = watch::channel(None);
        let end = Arc::new(end);
        let task = tokio::spawn({
            let (end, traffic) = (end.clone(), traffic.clone());
            let (ping_every, connection) = (opening.ping_every, connection.clone());
            async move {
                let reason = {
                    // Dropped before the end is told: all that wait for answers hear of it then.
                    tokio::pin!(driver);
                    tokio::select! {
                        biased; // After a pause of the whole process, what has arrived counts first.
                        () = &mut driver => "the server closed it",
                        reason = silence(&traffic, connection, ping_every) => reason,
                    }
                };
                finish(&end, reason);
            }
        });
        let mut link = Self {
            connection,
            address: address.clone(),
            has_pushes,
            id: None,
            traffic,
            ended,
            end,
            driver: task.abort_handle(),
            informer: std::sync::OnceLock::new(),
        };
        link.introduce(opening).await?;
        Ok(link)
    }

    /// Logs in, selects the database and tells the name; a server that does not allow names is fine.
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
        let mut hello = redis::pipe();
        hello.cmd("CLIENT").arg("ID");
        if let Some(name) = opening.name {
            hello.cmd("CLIENT").arg("SETNAME").arg(name);
        }
        let count = hello.len();
        let replies = self
            .connection
            .clone()
            .send_packed_commands(&hello, 0, count)
            .await
            .map_err(|error| greeting(&error))?;
        self.id = match replies.first() {
            Some(Value::Int(id)) => Some(*id),
            Some(Value::ServerError(error)) if !is_lacking(error) => {
                return Err(fault::understand(error).error("connect"));
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

fn finish(end: &watch::Sender<Option<&'static str>>, reason: &'static str) {
    end.send_if_modified(|state| {
        let is_first = state.is_none();
        state.get_or_insert(reason);
        is_first
    });
}

/// Whether the server lacks a command, or does not let us use it.
fn is_lacking(error: &redis::ServerError) -> bool {
    error.code() == "NOPERM" || error.details().is_some_and(|details| details.contains("nknown"))
}

/// Returns when the server has been silent for too long.
async fn silence(
    traffic: &Traffic,
    mut connection: MultiplexedConnection,
    ping_every: Option<Duration>,
) -> &'static str {
    let Some(ping_every) = ping_every else { return std::future::pending().await };
    loop {
        if traffic.in_flight.load(Ordering::Acquire) > 0 {
            let until = traffic.quiet_since() + STALLED_AFTER;
            if until <= Instant::now() {
                return "the server does not answer";
            }
            sleep_until(until).await;
            continue;
        }
        let until = traffic.quiet_since() + ping_every;
        tokio::select! {
            () = traffic.busy.notified() => continue,
            () = sleep_until(until) => {}
        }
        let ping = async {
            let _ = connection.send_packed_command(&redis::cmd("PING")).await;
        };
        if timeout(STALLED_AFTER, ping).await.is_err() {
            return "the server does not answer PING";
        }
        // A server that answers with errors lives, too; and an answer that was heard has moved `quiet_since`.
    }
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
