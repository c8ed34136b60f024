//! One server.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::deadline::{happens_within, until};
use crate::options::{KIT_USER, Options, SOCKET, Tls};
use crate::resp::{Connection, Reply};
use crate::servers::Kind;
use crate::{ports, process};

/// How long a server may take to start, to stop, and to answer the kit.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server process in a temporary folder. Killed, and its folder removed, on drop; on Linux with `setpriv` also
/// killed when this process dies.
///
/// All methods take `&self`, so a server can be shared by tests and stopped while clients use it. The kit talks to
/// it by its Unix socket: neither TLS nor a proxy nor a full port is in its way.
pub struct Server {
    options: Options,
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Mutex<Option<Child>>,
    databases_given: AtomicU32,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({} on port {}, pid {:?})", self.options.kind, self.port, self.try_pid())
    }
}

impl Server {
    /// Starts a server and waits until it answers, at most 10 seconds. Panics if it is not installed or does not
    /// answer, with what it said.
    #[track_caller]
    pub fn start(options: Options) -> Self {
        let kind = options.kind;
        let program = kind.find();
        let program =
            program.unwrap_or_else(|| panic!("{kind} is not installed: run `cargo xtask servers --all`"));
        let mut server = Self {
            options,
            program,
            folder: process::folder().expect("a temporary folder can be made"),
            port: 0,
            child: Mutex::new(None),
            databases_given: AtomicU32::new(0),
        };
        // Between the look for a free port and the server's start, another process can take it.
        for _ in 0..10 {
            server.port = if server.options.cluster { ports::free_with_bus() } else { ports::free() };
            let file = server.options.file(server.folder(), server.port);
            std::fs::write(server.folder().join(FILE), file).expect("the temporary folder can be written");
            if server.launch() {
                return server;
            }
            let log = server.log();
            assert!(log.contains("ddress already in use"), "{kind} does not start: {log}");
        }
        panic!("there is no port for {kind}");
    }

    /// A server with the default options that all tests of this process share; started at the first call. Use
    /// [`Server::fresh_url`] for data of one's own, and do not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::new()))
    }

    // ---------------------------------------------------------------- where

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.options.kind
    }

    /// Its port on 127.0.0.1, the same over restarts. With [`Options::unix_only`] nobody listens on it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its URL, with the password if there is one: `redis://127.0.0.1:12345/0`, `rediss://..` with TLS, `redis+unix:///..`
    /// without a port.
    pub fn url(&self) -> String {
        self.url_of(None, self.addr(), 0)
    }

    /// Its URL with a proxy's address in place of its own.
    pub fn url_at(&self, proxy: SocketAddr) -> String {
        self.url_of(None, proxy, 0)
    }

    /// Its URL for another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_of(Some((user, password)), self.addr(), 0)
    }

    /// Its URL with a database that was not given out before. Panics when all are given out.
    pub fn fresh_url(&self) -> String {
        let database = self.databases_given.fetch_add(1, Ordering::Relaxed) + 1;
        self.url_of(None, self.addr(), database)
    }

    fn url_of(&self, login: Option<(&str, &str)>, addr: SocketAddr, database: u32) -> String {
        let (user, password) = login.unwrap_or(("", self.password().unwrap_or_default()));
        let (user, password) = (percent_encoded(user), percent_encoded(password));
        let scheme = if self.options.tls == Tls::Off { "redis" } else { "rediss" };
        let login = if password.is_empty() { String::new() } else { format!("{user}:{password}@") };
        if self.options.unix_only {
            return format!("redis+unix://{login}{}?db={database}", self.socket().display());
        }
        format!("{scheme}://{login}{addr}/{database}")
    }

    /// The part of a URL that logs in as the default user: `:password@`, or nothing.
    pub(crate) fn login(&self) -> String {
        self.password().map_or_else(String::new, |password| format!(":{}@", percent_encoded(password)))
    }

    /// Its Unix socket. Every server has one.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Its folder, with its configuration, data and log; the same over restarts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The password of its default user.
    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// Its certificates. Panics without [`Options::tls`].
    pub fn certificates(&self) -> Certificates {
        assert!(self.options.tls != Tls::Off, "a server without TLS has no certificates");
        Certificates::at(self.folder.path())
    }

    /// What it has written to its log, over all restarts.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    // ---------------------------------------------------------------- talk

    /// Runs a command as a user who may do all; waits at most 10 seconds for its answer. An error answer is a
    /// [`Reply::Error`]. Panics if there is no answer.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Reply {
        self.try_command(PATIENCE, words).unwrap_or_else(|error| panic!("{self:?}: {error}\n{}", self.log()))
    }

    /// As [`Server::command`], for servers that may be gone.
    ///
    /// # Errors
    /// If nobody listens, the connection ends, or there is no answer within `timeout`.
    pub fn try_command<A: AsRef<[u8]>>(&self, timeout: Duration, words: &[A]) -> io::Result<Reply> {
        self.connect(timeout)?.command(words)
    }

    /// A connection by the Unix socket, logged in. `timeout` holds for every read and write.
    ///
    /// # Errors
    /// As [`Server::try_command`].
    pub fn connect(&self, timeout: Duration) -> io::Result<Connection> {
        let mut connection = Connection::unix(&self.socket(), timeout)?;
        let login = match self.password() {
            _ if self.options.has_users() => vec!["AUTH", KIT_USER, "any"],
            Some(password) => vec!["AUTH", password],
            None => return Ok(connection),
        };
        match connection.command(&login)? {
            Reply::Error(error) => Err(io::Error::other(error)),
            _ => Ok(connection),
        }
    }

    /// Whether it answers within `timeout`.
    pub fn answers(&self, timeout: Duration) -> bool {
        matches!(self.try_command(timeout, &["PING"]), Ok(Reply::Status(_)))
    }

    /// A field of `INFO`: `server.info("role")`. Panics if there is none.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        self.try_info(field).unwrap_or_else(|| panic!("{self:?} has no {field} in its INFO:\n{}", self.log()))
    }

    /// As [`Server::info`]; nothing if there is no such field, or no answer within a second, as of a server that is
    /// down, frozen, or changes its role at this moment.
    pub fn try_info(&self, field: &str) -> Option<String> {
        let info = self.try_command(Duration::from_secs(1), &["INFO", "everything"]).ok()?.text();
        let mut values = info.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        values.next().map(str::to_owned)
    }

    /// Whether it is a replica that has all of its primary's data, as of a moment ago.
    pub fn is_replica_in_step(&self) -> bool {
        self.try_info("role").as_deref() == Some("slave")
            && self.try_info("master_link_status").as_deref() == Some("up")
    }

    // ---------------------------------------------------------------- faults

    /// Its process id. Panics if it does not run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.try_pid().expect("the server runs")
    }

    /// Whether its process is there (a frozen one is).
    pub fn is_running(&self) -> bool {
        self.child().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends it in order (SIGTERM) and waits until it is gone, at most 10 seconds. Does nothing if it does not run.
    pub fn stop(&self) {
        let mut child = self.child();
        if let Some(running) = child.as_mut() {
            process::signal(running, Signal::CONT);
            process::signal(running, Signal::TERM);
            until(PATIENCE, || matches!(running.try_wait(), Ok(Some(_))));
        }
        *child = None;
    }

    /// Kills it (SIGKILL) and waits until it is gone. Does nothing if it does not run.
    pub fn kill(&self) {
        if let Some(mut running) = self.child().take() {
            // An error says that it has ended by itself.
            let _ = running.kill();
            running.wait().expect("a child can be waited for");
        }
    }

    /// Starts it again on the same port and folder, and waits until it answers, at most 10 seconds; before that,
    /// stops it if it runs.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        // The port may be busy for a moment with what the old process has left.
        until(PATIENCE, || self.launch());
    }

    /// Stops its process where it is (SIGSTOP): connections stay open, connecting works, nothing is answered.
    pub fn freeze(&self) {
        process::signal(self.child().as_ref().expect("the server runs"), Signal::STOP);
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        process::signal(self.child().as_ref().expect("the server runs"), Signal::CONT);
    }

    // ---------------------------------------------------------------- within

    /// Starts the process and waits until it answers; false if it ends instead.
    #[track_caller]
    fn launch(&self) -> bool {
        let mut command = process::mortal(&self.program);
        command.arg(self.folder.path().join(FILE)).current_dir(self.folder.path());
        if self.options.sentinel {
            command.arg("--sentinel");
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(LOG));
        let log = log.expect("the log can be written");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log can be shared")).stderr(log);
        // The old process's socket must not stand for the new one's.
        let _ = std::fs::remove_file(self.socket());
        let child = process::spawn(command);
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        *self.child() = Some(child);
        let started = happens_within(PATIENCE, || !self.is_running() || self.answers(PATIENCE));
        assert!(started, "{self:?} does not answer: {}", self.log());
        let running = self.is_running();
        if !running {
            self.kill();
        }
        running
    }

    fn try_pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The file name of the configuration.
const FILE: &str = "server.conf";
/// The file name of the log.
const LOG: &str = "server.log";

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
