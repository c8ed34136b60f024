//! A TCP proxy whose network can be broken.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ports;

/// A proxy before a server, on a port of its own. It forwards everything until told otherwise, and whatever it was
/// told holds for open and for new connections until [`Proxy::restore`].
///
/// It runs on a thread of its own. Its switches can be used at any time from anywhere, do not need a runtime, and have
/// taken effect when they return. It ends, with its connections, on drop.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    counters: Arc<Counters>,
    orders: mpsc::UnboundedSender<(Order, std_mpsc::Sender<()>)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    from_server: AtomicU64,
    swallowed: AtomicU64,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Cut,
    Refuse,
    Faults(Faults),
    Restore,
}

/// What happens to the bytes of the open connections.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    blackhole: bool,
    delay: Duration,
    /// How many answers are still swallowed before the connections are cut; 0 if answers are let through.
    swallow: u64,
}

impl Proxy {
    /// As [`Proxy::start`].
    #[allow(clippy::unused_async, reason = "reads as the rest of an asynchronous test does")]
    pub async fn before(server: SocketAddr) -> Self {
        Self::start(server)
    }

    /// Starts a proxy before the server at this address. The server need not be there yet: connections are made when
    /// clients come, and closed again if it does not answer.
    pub fn start(server: SocketAddr) -> Self {
        let counters = Arc::new(Counters::default());
        let (orders, taken) = mpsc::unbounded_channel();
        let (sender, ready) = std_mpsc::channel();
        let of_thread = Arc::clone(&counters);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(async move {
                let listener = bind_anywhere().await;
                let addr = listener.local_addr().expect("a listener has an address");
                sender.send(addr).expect("the proxy is waited for");
                serve(listener, addr, server, of_thread, taken).await;
            });
        };
        let thread = std::thread::Builder::new().name("oxmq-testkit-proxy".into()).spawn(work);
        let thread = thread.expect("a thread can be started");
        let addr = ready.recv().expect("the proxy starts");
        Self { addr, counters, orders, thread: Some(thread) }
    }

    /// Its address, the same for its whole life.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A URL by it for a plain server: `redis://127.0.0.1:12345/0`. For one with a password or TLS, see
    /// [`Server::url_at`](crate::Server::url_at).
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    // ---------------------------------------------------------------- switches

    /// Closes all connections now, in both directions, whatever was on its way. New ones are accepted: to keep them
    /// away, call [`Proxy::refuse`] before.
    pub fn cut(&self) {
        self.tell(Order::Cut);
    }

    /// Lets requests through and swallows what the server answers: it does the work and the client does not learn of
    /// it. After `answers` of them, on all connections together, cuts all connections and forwards again.
    ///
    /// An answer is what is read from the server at once: one answer to a single request; the answers of a pipeline count as
    /// one if they come together, and a big answer (above 64 KB) as several. `u64::MAX` swallows until
    /// [`Proxy::restore`], which closes the connections that lost answers: they are out of step. Panics for 0.
    pub fn drop_replies(&self, answers: u64) {
        assert!(answers > 0, "at least one answer is swallowed");
        self.tell(Order::Faults(Faults { swallow: answers, ..Faults::default() }));
    }

    /// Forwards nothing in either direction, without closing anything: connecting works, nothing is answered. What was
    /// sent meanwhile goes on after [`Proxy::restore`], as after a broken cable.
    pub fn blackhole(&self) {
        self.tell(Order::Faults(Faults { blackhole: true, ..Faults::default() }));
    }

    /// Refuses new connections (nobody listens). The open ones go on: call [`Proxy::cut`] after it for a server that
    /// is gone.
    pub fn refuse(&self) {
        self.tell(Order::Refuse);
    }

    /// Delivers everything later by `delay`, in each direction: a round trip takes twice as long.
    pub fn delay(&self, delay: Duration) {
        self.tell(Order::Faults(Faults { delay, ..Faults::default() }));
    }

    /// Forwards everything and accepts connections again. Open connections stay open, but those that lost answers to
    /// [`Proxy::drop_replies`].
    pub fn restore(&self) {
        self.tell(Order::Restore);
    }

    // ---------------------------------------------------------------- counters

    /// How many connections came, over its whole life.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> u64 {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// How many bytes came from clients.
    pub fn bytes_to_server(&self) -> u64 {
        self.counters.to_server.load(Ordering::SeqCst)
    }

    /// How many bytes came from the server, the swallowed ones among them.
    pub fn bytes_from_server(&self) -> u64 {
        self.counters.from_server.load(Ordering::SeqCst)
    }

    /// How many answers were swallowed; see [`Proxy::drop_replies`].
    pub fn swallowed(&self) -> u64 {
        self.counters.swallowed.load(Ordering::SeqCst)
    }

    fn tell(&self, order: Order) {
        let (sender, done) = std_mpsc::channel();
        self.orders.send((order, sender)).expect("the proxy runs");
        done.recv().expect("the proxy obeys");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread ends when nobody can send it orders any more.
        self.orders = mpsc::unbounded_channel().0;
        if let Some(thread) = self.thread.take() {
            // It panicked if it could not go on; that was seen when it was told something.
            let _ = thread.join();
        }
    }
}

async fn bind_anywhere() -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", ports::free())).await {
            return listener;
        }
    }
}

/// The thread's loop: accepts, obeys, and forgets connections that have ended.
async fn serve(
    listener: TcpListener,
    addr: SocketAddr,
    server: SocketAddr,
    counters: Arc<Counters>,
    mut orders: mpsc::UnboundedReceiver<(Order, std_mpsc::Sender<()>)>,
) {
    let mut listener = Some(listener);
    let faults = watch::Sender::new(Faults::default());
    let (spent, mut spents) = mpsc::unbounded_channel();
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Cut => connections.shutdown().await,
                    Order::Refuse => listener = None,
                    Order::Faults(new) => { faults.send_replace(new); }
                    Order::Restore => {
                        faults.send_replace(Faults::default());
                        if listener.is_none() {
                            let bound = TcpListener::bind(addr).await;
                            listener = Some(bound.expect("nobody has taken the proxy's port"));
                        }
                    }
                }
                // Whoever gave the order may be gone.
                let _ = done.send(());
            }
            Some(()) = spents.recv() => connections.shutdown().await,
            Some(_) = connections.join_next() => {}
            accepted = accepted => {
                let Ok((client, _)) = accepted else { continue };
                let line = Line {
                    faults: faults.clone(),
                    counters: Arc::clone(&counters),
                    spent: spent.clone(),
                };
                counters.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(line.run(client, server, Open::new(&counters)));
            }
        }
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection.
#[derive(Clone)]
struct Line {
    faults: watch::Sender<Faults>,
    counters: Arc<Counters>,
    /// Says that the last answer was swallowed and all connections are to be cut.
    spent: mpsc::UnboundedSender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    FromServer,
}

impl Line {
    async fn run(self, client: TcpStream, server: SocketAddr, _open: Open) {
        self.passable().await;
        let Ok(upstream) = TcpStream::connect(server).await else { return };
        let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = upstream.into_split();
        // An error on either side ends both: the other side must learn of it.
        let _ = tokio::try_join!(
            self.pump(Direction::ToServer, from_client, to_server),
            self.pump(Direction::FromServer, from_server, to_client),
        );
    }

    /// Waits while nothing is forwarded.
    async fn passable(&self) {
        let mut faults = self.faults.subscribe();
        // It holds the sending side itself.
        let _ = faults.wait_for(|faults| !faults.blackhole).await;
    }

    async fn pump(&self, to: Direction, from: OwnedReadHalf, into: OwnedWriteHalf) -> io::Result<()> {
        // Between the two, what is delayed waits: bounded, so that a slow reader slows its writer down.
        let (sender, pieces) = mpsc::channel(64);
        tokio::try_join!(self.read(to, from, sender), self.write(pieces, into)).map(|_| ())
    }

    async fn read(
        &self,
        to: Direction,
        mut from: OwnedReadHalf,
        pieces: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut spoiled = false;
        loop {
            self.passable().await;
            let mut piece = Vec::with_capacity(64 * 1024);
            let length = tokio::select! {
                biased;
                () = self.heard(), if spoiled => return Err(io::ErrorKind::ConnectionReset.into()),
                length = from.read_buf(&mut piece) => length?,
            };
            if length == 0 {
                // The other side may still be sending: only this direction ends.
                return Ok(());
            }
            let counter = match to {
                Direction::ToServer => &self.counters.to_server,
                Direction::FromServer => &self.counters.from_server,
            };
            counter.fetch_add(length as u64, Ordering::SeqCst);
            if to == Direction::FromServer && self.swallows() {
                spoiled = true;
                continue;
            }
            let due = Instant::now() + self.faults.borrow().delay;
            if pieces.send((due, piece)).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    async fn write(
        &self,
        mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut into: OwnedWriteHalf,
    ) -> io::Result<()> {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            self.passable().await;
            into.write_all(&piece).await?;
        }
        self.passable().await;
        into.shutdown().await
    }

    /// Waits until answers are let through. A connection that lost one then has to end: the next answer would be taken for
    /// the lost one.
    async fn heard(&self) {
        let _ = self.faults.subscribe().wait_for(|faults| faults.swallow == 0).await;
    }

    /// Whether the answer that has just come is swallowed; the last one switches this off and cuts.
    fn swallows(&self) -> bool {
        let mut swallowed = false;
        self.faults.send_if_modified(|faults| {
            swallowed = faults.swallow > 0;
            if swallowed && faults.swallow != u64::MAX {
                faults.swallow -= 1;
            }
            if swallowed {
                self.counters.swallowed.fetch_add(1, Ordering::SeqCst);
                if faults.swallow == 0 {
                    // The loop lives as long as its connections.
                    let _ = self.spent.send(());
                }
            }
            swallowed && faults.swallow == 0
        });
        swallowed
    }
}
