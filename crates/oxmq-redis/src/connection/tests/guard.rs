//! Servers of the tests' own, which end with the test, and a proxy that can go silent.

use std::net::TcpListener as StdListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// A server that is killed with the guard.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    pub(super) dir: Arc<TempDir>,
    args: Vec<String>,
}

/// What a server of the tests says, in its folder.
const LOG: &str = "server.log";

/// A port that nobody listens on now. Below those that the system gives to outgoing connections, of which any could
/// take it before the server does.
pub(super) fn free_port() -> u16 {
    let mut found = (0..1_000).map(|_| fastrand::u16(12_000..32_000));
    found.find(|port| StdListener::bind(("127.0.0.1", *port)).is_ok()).expect("there is a free port")
}

impl Server {
    pub(super) async fn start(args: &[&str]) -> Self {
        // Between the look for a free port and the server's start, another test can take it.
        for _ in 0..10 {
            let server = Self::spawn_in(Arc::new(TempDir::new().unwrap()), free_port(), args);
            if server.is_ready().await {
                return server;
            }
            assert!(server.log().contains("ddress already in use"), "it does not start: {}", server.log());
        }
        panic!("there is no port");
    }

    pub(super) async fn start_in(dir: Arc<TempDir>, port: u16, args: &[&str]) -> Self {
        let server = Self::spawn_in(dir, port, args);
        assert!(server.is_ready().await, "it does not start: {}", server.log());
        server
    }

    fn spawn_in(dir: Arc<TempDir>, port: u16, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(dir.path(), port, &args);
        Self { child, port, dir, args }
    }

    /// Waits until it listens, on all that it listens on, or has given up; which it is. It is asked by its log: on its
    /// port another server may answer, and its Unix socket comes after its port.
    async fn is_ready(&self) -> bool {
        const READY: [&str; 2] = ["Ready to accept connections", "Sentinel ID is"];
        const OVER: [&str; 3] = ["Failed listening", "FATAL", "Exiting"];
        let has = |texts: &[&str]| {
            let log = self.log();
            texts.iter().any(|text| log.contains(text))
        };
        eventually("the server listens", || std::future::ready(has(&READY) || has(&OVER))).await;
        has(&READY)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it without its connections noticing.
    #[cfg(unix)]
    pub(super) fn freeze(&self) {
        let status = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(super) async fn restart(&mut self) {
        self.child = spawn(self.dir.path(), self.port, &self.args);
        // It may have data to load before it is ready.
        eventually("the server listens again", || async {
            TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
        })
        .await;
    }

    /// A connection that is none of ours.
    pub(super) fn raw(&self) -> Raw {
        Raw(redis::Client::open(self.url()).unwrap().get_connection().unwrap())
    }

    pub(super) fn raw_with(&self, password: &str) -> Raw {
        let url = format!("redis://:{password}@127.0.0.1:{}", self.port);
        Raw(redis::Client::open(url).unwrap().get_connection().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, port: u16, args: &[String]) -> Child {
    // Of an earlier start.
    let _ = std::fs::remove_file(dir.join(LOG));
    let mut command = Command::new("redis-server");
    if args.iter().any(|arg| arg == "--sentinel") {
        command.args(args);
    } else {
        command.args(["--save", "", "--appendonly", "no"]).args(args);
    }
    if !args.iter().any(|arg| arg == "--port") {
        command.args(["--port", &port.to_string()]);
    }
    command.args(["--logfile", LOG]);
    command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Asks a server from outside.
pub(super) struct Raw(redis::Connection);

impl Raw {
    pub(super) fn ask<T: redis::FromRedisValue>(&mut self, line: &str) -> T {
        self.try_ask(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub(super) fn try_ask<T: redis::FromRedisValue>(&mut self, line: &str) -> redis::RedisResult<T> {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.0)
    }

    /// The lines of CLIENT LIST that have all of these texts.
    pub(super) fn clients(&mut self, texts: &[&str]) -> Vec<String> {
        let list: String = self.ask("CLIENT LIST");
        list.lines().filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect()
    }
}

/// Waits until something is so.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a proxy does with the connections that it has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mood {
    Pass,
    /// Requests arrive, answers do not.
    NoAnswers,
    /// Requests trickle.
    Slow,
    /// Nothing passes.
    Silent,
    /// Closes them all.
    Cut,
}

/// A proxy. Ends with the guard.
pub(super) struct Proxy {
    pub(super) port: u16,
    mood: watch::Sender<(u64, Mood)>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, moods) = watch::channel((0, Mood::Pass));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let moods = moods.clone();
                pairs.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    // A mood is for those that are there when it comes.
                    let born = moods.borrow().0;
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    let there = pass(client_read, server_write, moods.clone(), born, &[Mood::Silent]);
                    let back = pass(server_read, client_write, moods, born, &[Mood::Silent, Mood::NoAnswers]);
                    tokio::select! { () = there => {}, () = back => {} }
                });
            }
        });
        Self { port, mood, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn set(&self, mood: Mood) {
        self.mood.send_modify(|now| *now = (now.0 + 1, mood));
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut moods: watch::Receiver<(u64, Mood)>,
    born: u64,
    held: &[Mood],
) {
    let mut buffer = vec![0; 65536];
    loop {
        let (number, mood) = *moods.borrow_and_update();
        let mood = if number == born { Mood::Pass } else { mood };
        if mood == Mood::Cut {
            return;
        }
        tokio::select! {
            changed = moods.changed() => if changed.is_err() { return },
            read = from.read(&mut buffer), if !held.contains(&mood) => match read {
                Ok(count) if count > 0 => {
                    if mood == Mood::Slow {
                        sleep(Duration::from_millis(10)).await;
                    }
                    if to.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
