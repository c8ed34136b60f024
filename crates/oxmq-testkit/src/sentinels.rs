//! Two servers that three Sentinels watch.

use std::time::Duration;

use crate::deadline::{happens_within, until};
use crate::options::{Options, quoted};
use crate::resp::Reply;
use crate::server::Server;

/// Longer than the 30 seconds for which a sentinel does nothing after a busy machine held it up (its TILT mode).
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a Sentinel may take to answer before it counts as gone.
const GLANCE: Duration = Duration::from_millis(500);

/// A master and a replica, watched by three Sentinels under the name `oxmq`. A master that does not answer for 1.5
/// seconds is replaced, if two Sentinels see it so; the failover timeout is 2 seconds. (With half a second, a busy
/// machine makes Sentinels replace masters that are only slow.)
#[derive(Debug)]
pub struct Sentinels {
    servers: [Server; 2],
    sentinels: [Server; 3],
}

impl Sentinels {
    /// The name under which the Sentinels know the master.
    pub const MASTER: &str = "oxmq";

    /// Starts all five with [`Options::new`] and waits until the Sentinels know each other and the replica.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&Options::new())
    }

    /// As [`Sentinels::start`], the two servers with these options (a password, the append-only file; no TLS, no
    /// users), and the Sentinels of the same kind.
    #[track_caller]
    pub fn start_with(options: &Options) -> Self {
        let mut data = options.clone();
        let mut watch = Options::new().kind(options.kind).sentinel();
        if let Some(password) = &options.password {
            // The master becomes a replica one day.
            data = data.config("masterauth", &quoted(password));
        }
        let master = Server::start(data.clone());
        let replica = Server::start(data.config("replicaof", &format!("127.0.0.1 {}", master.port())));
        until(PATIENCE, || replica.is_replica_in_step());
        let monitored = format!("{} 127.0.0.1 {} 2", Self::MASTER, master.port());
        watch = watch
            .config("sentinel monitor", &monitored)
            .config("sentinel down-after-milliseconds", &format!("{} 1500", Self::MASTER))
            .config("sentinel failover-timeout", &format!("{} 2000", Self::MASTER));
        if let Some(password) = &options.password {
            watch = watch.config("sentinel auth-pass", &format!("{} {}", Self::MASTER, quoted(password)));
        }
        let sentinels = [(); 3].map(|()| {
            let sentinel = Server::start(watch.clone());
            // Otherwise they greet each other every two seconds and look at replicas every ten; before Redis 7 that
            // cannot be set. What they know of a replica is too old for a failover after three of the latter
            // periods, and during one they look every second only: hence no less than 500 ms.
            for (period, millis) in [("INFO-PERIOD", "500"), ("PUBLISH-PERIOD", "200")] {
                let _ = sentinel.command(&["SENTINEL", "DEBUG", period, millis]);
            }
            sentinel
        });
        let started = Self { servers: [master, replica], sentinels };
        started.until_whole();
        started
    }

    /// The Sentinels: `redis-sentinel://127.0.0.1:p1,127.0.0.1:p2,127.0.0.1:p3/0?master=oxmq`, with the servers' password if
    /// they have one.
    pub fn url(&self) -> String {
        let addrs = self.sentinels.each_ref().map(|sentinel| sentinel.addr().to_string()).join(",");
        let login = self.servers[0].login();
        format!("redis-sentinel://{login}{addrs}/0?master={}", Self::MASTER)
    }

    /// The three Sentinels; a server each, to be stopped and frozen as others.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The two servers. The first was the master at the start.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server that is the master, as the Sentinels that answer say. Waits while they do not agree.
    #[track_caller]
    pub fn master(&self) -> &Server {
        let mut found = None;
        until(PATIENCE, || {
            let answers = self.sentinels.iter().filter_map(|sentinel| {
                let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
                let answer = sentinel.try_command(GLANCE, &question).ok()?;
                answer.list().get(1)?.text().parse::<u16>().ok()
            });
            let ports: Vec<u16> = answers.collect();
            found = self.servers.iter().find(|server| ports.first() == Some(&server.port()));
            ports.windows(2).all(|pair| pair[0] == pair[1]) && found.is_some()
        });
        found.expect("it was found")
    }

    /// The server that is not the master.
    #[track_caller]
    pub fn replica(&self) -> &Server {
        let master = self.master().port();
        self.servers.iter().find(|server| server.port() != master).expect("one of two is not the master")
    }

    /// Waits, at most 90 seconds, until all is as at the start: the replica has the master's data, and every Sentinel knows
    /// and finds fit the master, the replica and the other Sentinels. What was killed must run again. (10 seconds after
    /// a restart with Redis 6.2, whose Sentinels do not look more often.)
    #[track_caller]
    pub fn until_whole(&self) {
        until(PATIENCE, || {
            self.sentinels.iter().all(sees_all)
                && self.servers.iter().filter(|server| server.is_replica_in_step()).count() == 1
        });
    }

    /// Kills the master; which server that was. Returns before the Sentinels have seen it: see
    /// [`Sentinels::until_replaced`]. For the next kill, [`Server::restart`] this one, which comes back as a replica, and wait
    /// with [`Sentinels::until_whole`].
    #[track_caller]
    pub fn kill_master(&self) -> &Server {
        let master = self.master();
        master.kill();
        master
    }

    /// Waits, at most 90 seconds, until another server than `old` is the master, says so itself and takes writes; which.
    #[track_caller]
    pub fn until_replaced(&self, old: &Server) -> &Server {
        until(PATIENCE, || {
            let master = self.master();
            master.port() != old.port() && master.try_info("role").as_deref() == Some("master")
        });
        self.master()
    }

    /// Makes the replica the master while both live, and waits until it is; which. The old one becomes its replica, and
    /// closes its clients' connections.
    #[track_caller]
    pub fn failover(&self) -> &Server {
        let old = self.master();
        let order = ["SENTINEL", "FAILOVER", Self::MASTER];
        self.until_whole();
        // Refused while a failover runs, or while the replica is not known to be fit; and it can be given up later.
        until(PATIENCE, || {
            self.sentinels[0].command(&order);
            happens_within(Duration::from_secs(5), || self.master().port() != old.port())
        });
        let new = self.until_replaced(old);
        self.until_whole();
        new
    }
}

/// Whether a Sentinel knows the master, the replica and the two other Sentinels, and finds them fit.
fn sees_all(sentinel: &Server) -> bool {
    let ask =
        |what| sentinel.try_command(GLANCE, &["SENTINEL", what, Sentinels::MASTER]).unwrap_or(Reply::Nil);
    let answer = ask("MASTER");
    let field = |name: &str| {
        let mut pairs = answer.list().chunks(2);
        pairs.find(|pair| pair[0].text() == name).map_or_else(String::new, |pair| pair[1].text())
    };
    let replicas = ask("REPLICAS");
    let fit = |replica: &Reply| {
        let words: Vec<String> = replica.list().iter().map(Reply::text).collect();
        words.chunks(2).any(|pair| pair == ["flags", "slave"])
            && words.chunks(2).any(|pair| pair == ["master-link-status", "ok"])
    };
    field("flags") == "master"
        && field("num-other-sentinels") == "2"
        && replicas.list().len() == 1
        && replicas.list().iter().all(fit)
}
