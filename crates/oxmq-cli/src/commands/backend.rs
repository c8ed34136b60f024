//! `oxmq backend`: the door for BullMQ's Node classes, over stdio or a socket.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use oxmq::Clock;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::args::BackendArgs;
use crate::context::{Context, Missing};
use crate::door::{self, Door};
use crate::output::note;

/// What `oxmq backend --help` adds.
pub(crate) const HELP: &str = "\
One JSON object per line, as JSON-RPC 2.0: the operations of BullMQ's backend contract. stdout has nothing else; notes and warnings are
on stderr. With --stdio the program ends when stdin ends, and at no signal that can be caught: those to a whole process group
are for the program that started it, which may still want to end its jobs.

With --tcp the first line must be
  {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"auth\",\"params\":{\"token\":\"..\"}}";

/// The most streams that are served at the same time; further ones wait to be accepted.
const STREAMS_MAX: usize = 1_024;

/// How long a program may take to say its token.
const AUTH_WAIT: Duration = Duration::from_secs(10);

/// The longest line that may hold a token, in bytes.
const AUTH_BYTES_MAX: u64 = 64 << 10;

/// The shortest token, in bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// How long nothing is accepted after that failed: there are too many open files, for the moment.
const ACCEPT_REST: Duration = Duration::from_millis(200);

pub(crate) async fn run(args: BackendArgs, context: &Context) -> Result<()> {
    // From the first moment on: a signal that comes while the store is opened must not be lost.
    let mut signals = Signals::new()?;
    // What cannot be served must not leave a new store behind.
    let listener = match (args.socket, args.tcp) {
        (Some(path), _) => Some(Listener::Unix(Socket::bind(path).await?)),
        (None, Some(address)) => Some(Listener::tcp(address, args.token_env.as_deref()).await?),
        (None, None) => None,
    };
    let Some(listener) = listener else {
        // Signals to a whole process group are for the program that started this one: it may still want to end its jobs. When it
        // ends, so does stdin. Nothing is said as long as nothing is wrong: its stderr is that of this program, too.
        let door = Door::open(context.open(Missing::Create).await?);
        return Ok(door::serve(door, tokio::io::stdin(), tokio::io::stdout()).await?);
    };
    let door = Door::open(context.store(Missing::Create).await?);
    note!(context.out, "listening on {}", listener.describe());
    tokio::select! {
        never = serve_all(door, listener) => match never {},
        () = signals.wait() => Ok(()),
    }
}
/// The requests to end this program. As long as this lives they do not end it by themselves.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// The two ways of a stream.
type Stream = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// Where streams come from.
enum Listener {
    Unix(Socket),
    Tcp { listener: TcpListener, address: SocketAddr, token: Arc<str> },
}

/// What was accepted, before it may ask for anything.
enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream, Arc<str>),
}

impl Listener {
    /// Listens on a port of this machine, for programs that know the token.
    async fn tcp(address: SocketAddr, token_env: Option<&str>) -> Result<Self> {
        if !address.ip().is_loopback() {
            bail!("{address} is reachable from other machines: listen on 127.0.0.1 or ::1, or use --socket");
        }
        let Some(name) = token_env else {
            bail!(
                "every user of this machine can connect to {address}: say by --token-env which variable has the token"
            );
        };
        let token =
            env::var(name).with_context(|| format!("the variable {name} of --token-env has no token"))?;
        if token.len() < TOKEN_BYTES_MIN {
            bail!(
                "the token in {name} is too short: use at least {TOKEN_BYTES_MIN} bytes, from a random source"
            );
        }
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self::Tcp { listener, address, token: token.into() })
    }

    fn describe(&self) -> String {
        match self {
            Self::Unix(socket) => socket.path.display().to_string(),
            Self::Tcp { address, .. } => address.to_string(),
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(socket) => Ok(Accepted::Unix(socket.listener.accept().await?.0)),
            Self::Tcp { listener, token, .. } => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, Arc::clone(token)))
            }
        }
    }
}

/// Serves all that connect; for ever.
async fn serve_all(door: Arc<Door>, listener: Listener) -> std::convert::Infallible {
    let clock = Clock::system();
    let mut streams: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = streams.join_next() => {}
            accepted = listener.accept(), if streams.len() < STREAMS_MAX => match accepted {
                Ok(accepted) => {
                    let door = Arc::clone(&door);
                    streams.spawn(async move {
                        let ended = match admit(accepted).await {
                            Ok(Some((input, output))) => door::serve(door, input, output).await,
                            Ok(None) => Ok(()),
                            Err(error) => Err(error),
                        };
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a stream was cut");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream could not be accepted");
                    clock.sleep(ACCEPT_REST).await;
                }
            },
        }
    }
}

/// The stream, if whoever is at its other end may use it.
async fn admit(accepted: Accepted) -> io::Result<Option<Stream>> {
    let (stream, token) = match accepted {
        // Its file is for its owner only.
        Accepted::Unix(stream) => {
            let (input, output) = stream.into_split();
            return Ok(Some((Box::new(input), Box::new(output))));
        }
        Accepted::Tcp(stream, token) => (stream, token),
    };
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    let first = async { (&mut input).take(AUTH_BYTES_MAX).read_until(b'\n', &mut line).await };
    match Clock::system().timeout(AUTH_WAIT, first).await {
        Some(read) => read?,
        None => return Ok(None),
    };
    if !knows(&line, &token) {
        let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the first line must be the method `auth` with the right `token`"}}"#;
        output.write_all(format!("{refusal}\n").as_bytes()).await?;
        return Ok(None);
    }
    output.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":null}\n").await?;
    Ok(Some((Box::new(input), Box::new(output))))
}

/// Whether a first line has the token.
fn knows(line: &[u8], token: &str) -> bool {
    #[derive(Deserialize)]
    struct Params {
        token: String,
    }
    #[derive(Deserialize)]
    struct Auth {
        method: String,
        params: Params,
    }
    let Ok(Auth { method, params }) = serde_json::from_slice::<Auth>(line) else { return false };
    method == "auth" && is_same(params.token.as_bytes(), token.as_bytes())
}

/// Compares in a time that tells nothing but the lengths.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

/// A socket in the file system, for its owner only. Its file goes when this is dropped.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Listens at `path`. A file that somebody left behind is replaced, if it is a socket at which nobody listens.
    async fn bind(path: PathBuf) -> Result<Self> {
        let cannot = || format!("cannot listen on {}", path.display());
        let listener = match bind_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                use std::os::unix::fs::FileTypeExt as _;
                if !std::fs::symlink_metadata(&path).with_context(cannot)?.file_type().is_socket() {
                    bail!("{} is a file, and no socket", path.display());
                }
                if UnixStream::connect(&path).await.is_ok() {
                    bail!("somebody listens on {} already", path.display());
                }
                std::fs::remove_file(&path).with_context(cannot)?;
                bind_private(&path).with_context(cannot)?
            }
            bound => bound.with_context(cannot)?,
        };
        Ok(Self { path, listener })
    }
}

/// Binds a socket that only its owner can connect to, from its first moment on.
fn bind_private(path: &std::path::Path) -> io::Result<UnixListener> {
    use rustix::fs::Mode;
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody can do anything about it if that fails.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_opens() {
        let line = |token: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":0,"method":"auth","params":{{"token":"{token}"}}}}"#)
        };
        assert!(knows(line("secret").as_bytes(), "secret"));
        for wrong in ["secre", "secret1", "Secret", ""] {
            assert!(!knows(line(wrong).as_bytes(), "secret"), "{wrong}");
        }
        assert!(!knows(b"{}", "secret"));
        assert!(!knows(br#"{"method":"open","params":{"token":"secret"}}"#, "secret"));
    }
}
