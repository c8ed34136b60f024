//! How a server is started.

use std::fmt::Write as _;
use std::path::Path;

use crate::certificates::Certificates;
use crate::server::Server;
use crate::servers::Kind;

/// The user as which the kit talks to a server whose users are set.
pub(crate) const KIT_USER: &str = "oxmq-testkit";

/// How a server is started; see [`Server::start`]. By default: [`Kind::of_environment`], in memory only, without a
/// password, 512 databases, on a free port of 127.0.0.1.
#[must_use]
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent switches of a server")]
pub struct Options {
    pub(crate) kind: Kind,
    pub(crate) password: Option<String>,
    pub(crate) tls: Tls,
    pub(crate) unix_only: bool,
    pub(crate) cluster: bool,
    pub(crate) sentinel: bool,
    users: Vec<String>,
    aof: bool,
    databases: u32,
    lines: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    Off,
    On,
    Mutual,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            kind: Kind::of_environment(),
            password: None,
            tls: Tls::Off,
            unix_only: false,
            cluster: false,
            sentinel: false,
            users: Vec::new(),
            aof: false,
            databases: 512,
            lines: Vec::new(),
        }
    }

    /// Another server than the default one.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Writes every command to disk before it is answered (append-only file, `appendfsync always`): what was answered
    /// survives [`Server::kill`] and [`Server::restart`]. Default: nothing is written.
    pub fn aof(mut self) -> Self {
        self.aof = true;
        self
    }

    /// A password for the default user (`requirepass`). Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// A user with its rules, as `ACL SETUSER` takes them: `.acl_user("jobs", "on >secret ~bull:* &* +@all")`. `default` can
    /// be named too; the kit itself then goes by a user of its own. Default: only the default user.
    pub fn acl_user(mut self, name: &str, rules: &str) -> Self {
        self.users.push(format!("user {name} {rules}"));
        self
    }

    /// TLS only, with certificates that are made at the start: [`Server::certificates`]. Clients need none. Panics at
    /// the start unless the server [can](Kind::has_tls). Default: no TLS.
    pub fn tls(mut self) -> Self {
        self.tls = Tls::On;
        self
    }

    /// As [`Options::tls`], and clients must show a certificate of the same authority.
    pub fn mutual_tls(mut self) -> Self {
        self.tls = Tls::Mutual;
        self
    }

    /// No port at all, only a Unix socket: [`Server::socket`] (which every server has).
    pub fn unix_only(mut self) -> Self {
        self.unix_only = true;
        self
    }

    /// At most so many bytes, and what to do when they are full: `noeviction`, `allkeys-lru` .. (`maxmemory-policy`).
    /// A fresh server takes about 1 MB itself. Default: no limit.
    pub fn maxmemory(self, bytes: u64, policy: &str) -> Self {
        self.config("maxmemory", &bytes.to_string()).config("maxmemory-policy", policy)
    }

    /// How many databases. Default 512; a cluster node has 1.
    pub fn databases(mut self, databases: u32) -> Self {
        self.databases = databases;
        self
    }

    /// A cluster node that knows no other yet; see [`Cluster`](crate::Cluster) for whole clusters.
    pub fn cluster_enabled(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// A replica of another server of this kit (not one with TLS, and not of a cluster).
    pub fn replica_of(self, primary: &Server) -> Self {
        let replica = self.config("replicaof", &format!("127.0.0.1 {}", primary.port()));
        match primary.password() {
            Some(password) => replica.config("masterauth", &quoted(password)),
            None => replica,
        }
    }

    /// Any other line of the configuration file. `value` is written as it is: quote what has blanks.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// A Sentinel instead of a server.
    pub(crate) fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// Whether the kit has to go by its own user.
    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// The configuration file.
    pub(crate) fn file(&self, folder: &Path, port: u16) -> String {
        let quoted_path = |path: &Path| quoted(&path.to_string_lossy());
        let mut file = format!("bind 127.0.0.1\ndir {}\n", quoted_path(folder));
        let mut line = |text: &str| writeln!(file, "{text}").expect("a string can be written");
        line(&format!("unixsocket {}", quoted_path(&folder.join(SOCKET))));
        let plain_port = if self.unix_only || self.tls != Tls::Off { 0 } else { port };
        line(&format!("port {plain_port}"));
        if self.tls != Tls::Off {
            assert!(self.kind.has_tls(), "{} cannot speak TLS", self.kind);
            let certificates = Certificates::make(folder);
            line(&format!("tls-port {port}"));
            line(&format!("tls-ca-cert-file {}", quoted_path(&certificates.ca())));
            line(&format!("tls-cert-file {}", quoted_path(&certificates.server_certificate())));
            line(&format!("tls-key-file {}", quoted_path(&certificates.server_key())));
            line(if self.tls == Tls::Mutual { "tls-auth-clients yes" } else { "tls-auth-clients no" });
        }
        if let Some(password) = &self.password {
            line(&format!("requirepass {}", quoted(password)));
        }
        if !self.sentinel {
            line("save \"\"");
            line(if self.aof { "appendonly yes\nappendfsync always" } else { "appendonly no" });
            // A replica would wait five seconds for others to come.
            line("repl-diskless-sync-delay 0");
            if self.cluster {
                line("cluster-enabled yes\ncluster-config-file nodes.conf");
            } else {
                line(&format!("databases {}", self.databases));
            }
            if self.kind != Kind::Redis62 {
                line("enable-debug-command local");
            }
        }
        if self.has_users() {
            line(&format!("user {KIT_USER} on nopass ~* &* +@all"));
        }
        for text in self.users.iter().chain(&self.lines) {
            line(text);
        }
        file
    }
}

/// The file name of a server's Unix socket.
pub(crate) const SOCKET: &str = "s.sock";

/// A value of the configuration file in quotes.
pub(crate) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
