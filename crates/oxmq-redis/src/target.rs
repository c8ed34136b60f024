//! The address of a store: which servers, as whom, which settings. Read from a URL; never shows a secret.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use oxmq_core::{Error, Result};
use percent_encoding::percent_decode_str;

const OPERATION: &str = "connect";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// A host and its port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Reads `host:port`, as servers write it: without brackets round an IPv6 address.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster tells addresses"))]
    pub(crate) fn from_server(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::Tcp(host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the server alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who we are to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// The ACL user; none is the user `default`.
    pub(crate) user: Option<String>,
    /// The password.
    pub(crate) password: Option<Secret>,
}

/// How the servers are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One server.
    Standalone(Address),
    /// A master that sentinels know.
    Sentinel {
        /// The sentinels, to be asked in this order.
        sentinels: Vec<Address>,
        /// The name they know the master by.
        master: String,
        /// Who we are to the sentinels.
        login: Login,
    },
    /// A cluster, of which some nodes are known.
    Cluster(Vec<Address>),
}

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The servers.
    pub(crate) layout: Layout,
    /// Who we are to them.
    pub(crate) login: Login,
    /// The database number.
    pub(crate) db: i64,
    /// Whether the connections are encrypted.
    pub(crate) tls: bool,
    /// Whose certificates are trusted, if not those the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Whether all markers are waited for on one connection.
    pub(crate) shared_wait: Option<bool>,
    /// How long a call may take.
    pub(crate) call_deadline: Option<Duration>,
}

impl Target {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("url", "without a scheme", "use redis://HOST:PORT"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (kind, tls) = kind_of(&scheme)?;
        // A password whose `/` or `?` was not escaped must not end up in an error about a port.
        if kind != Kind::Unix
            && (path.contains('@') || query.split('=').next().is_some_and(|text| text.contains('@')))
        {
            return Err(wrong("password", "***", "write / as %2F, ? as %3F and @ as %40 in it"));
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (read_login(login)?, hosts),
            None => (Login::default(), authority),
        };
        let mut options = Options::read(query, kind)?;
        let layout = match kind {
            Kind::Standalone => match addresses(hosts, PORT)?.as_slice() {
                [one] => Layout::Standalone(one.clone()),
                _ => {
                    return Err(wrong(
                        "host",
                        hosts,
                        "name one; for more there are redis-sentinel:// and redis-cluster://",
                    ));
                }
            },
            Kind::Unix => {
                if !hosts.is_empty() || path.len() < 2 {
                    return Err(wrong(
                        "path",
                        format!("{hosts}{path}"),
                        "use redis+unix:///path/to/redis.sock",
                    ));
                }
                Layout::Standalone(Address::Unix(PathBuf::from(decode("path", path)?)))
            }
            Kind::Sentinel => Layout::Sentinel {
                sentinels: addresses(hosts, SENTINEL_PORT)?,
                master: options.master.take().ok_or_else(|| {
                    wrong(
                        "master",
                        "missing",
                        "add ?master=NAME, the name that the sentinels know the master by",
                    )
                })?,
                login: Login {
                    user: options.sentinel_user.take(),
                    password: options.sentinel_password.take(),
                },
            },
            Kind::Cluster => Layout::Cluster(addresses(hosts, PORT)?),
        };
        let db = match (kind, path.trim_start_matches('/'), options.db) {
            (Kind::Unix, _, db) | (_, "", db) => db.unwrap_or(0),
            (_, text, None) => number("db", text)?,
            (_, text, Some(_)) => return Err(wrong("db", text, "give it once, in the path or as ?db=")),
        };
        if kind == Kind::Cluster && db != 0 {
            return Err(wrong("db", db, "a cluster has only database 0"));
        }
        if options.ca.is_some() && !tls {
            return Err(wrong("ca", "given without encryption", "use rediss:// with it"));
        }
        check_features(kind, tls)?;
        Ok(Self {
            layout,
            login,
            db,
            tls,
            ca: options.ca,
            shared_wait: options.shared_wait,
            call_deadline: options.call_deadline,
        })
    }
}

/// The URL again, without user, password and settings.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        let list = |nodes: &[Address]| nodes.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
        match &self.layout {
            Layout::Standalone(Address::Unix(path)) => {
                write!(f, "redis+unix://{}?db={}", path.display(), self.db)
            }
            Layout::Standalone(address) => write!(f, "redis{s}://{address}/{}", self.db),
            Layout::Sentinel { sentinels, master, .. } => {
                write!(f, "redis{s}-sentinel://{}/{}?master={master}", list(sentinels), self.db)
            }
            Layout::Cluster(nodes) => write!(f, "redis{s}-cluster://{}", list(nodes)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standalone,
    Unix,
    Sentinel,
    Cluster,
}

fn kind_of(scheme: &str) -> Result<(Kind, bool)> {
    let plain = scheme.replacen("valkey", "redis", 1);
    Ok(match plain.as_str() {
        "redis" => (Kind::Standalone, false),
        "rediss" => (Kind::Standalone, true),
        "redis+unix" | "unix" => (Kind::Unix, false),
        "redis-sentinel" => (Kind::Sentinel, false),
        "rediss-sentinel" => (Kind::Sentinel, true),
        "redis-cluster" => (Kind::Cluster, false),
        "rediss-cluster" => (Kind::Cluster, true),
        _ => {
            let remedy = "use redis, rediss, redis+unix, redis-sentinel or redis-cluster (or valkey..)";
            return Err(wrong("scheme", scheme, remedy));
        }
    })
}

fn check_features(kind: Kind, tls: bool) -> Result<()> {
    let lacking = if tls && !cfg!(feature = "tls") {
        "tls"
    } else if kind == Kind::Cluster && !cfg!(feature = "cluster") {
        "cluster"
    } else {
        return Ok(());
    };
    let message = format!("this build has no `{lacking}`: enable the feature `{lacking}` of oxmq");
    Err(Error::new(oxmq_core::ErrorKind::Unsupported, OPERATION, message))
}

#[derive(Default)]
struct Options {
    db: Option<i64>,
    ca: Option<PathBuf>,
    master: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<Secret>,
    shared_wait: Option<bool>,
    call_deadline: Option<Duration>,
}

impl Options {
    fn read(query: &str, kind: Kind) -> Result<Self> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (name, kind) {
                ("db", _) => options.db = Some(number("db", value)?),
                ("ca", _) => options.ca = Some(PathBuf::from(decode("ca", value)?)),
                ("master", Kind::Sentinel) if !value.is_empty() => {
                    options.master = Some(decode("master", value)?);
                }
                ("sentinel_user", Kind::Sentinel) => {
                    options.sentinel_user = Some(decode("sentinel_user", value)?);
                }
                ("sentinel_password", Kind::Sentinel) => {
                    options.sentinel_password = Some(Secret(decode("sentinel_password", value)?));
                }
                ("shared_wait", _) => {
                    let yes = value.parse().map_err(|_| wrong("shared_wait", value, "use true or false"))?;
                    options.shared_wait = Some(yes);
                }
                ("call_timeout", _) => {
                    let millis = value.parse().ok().filter(|millis| *millis > 0);
                    let millis = millis
                        .ok_or_else(|| wrong("call_timeout", value, "use whole milliseconds above 0"))?;
                    options.call_deadline = Some(Duration::from_millis(millis));
                }
                // Only the name: the value may be a secret under a name that was mistyped.
                _ => {
                    let remedy = match kind {
                        Kind::Sentinel => {
                            "known are db, ca, master, sentinel_user, sentinel_password, shared_wait and call_timeout"
                        }
                        _ => "known are db, ca, shared_wait and call_timeout",
                    };
                    return Err(wrong("option", name, remedy));
                }
            }
        }
        Ok(options)
    }
}

fn read_login(text: &str) -> Result<Login> {
    let secret = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| wrong("password", "***", "it is not UTF-8 once its %XX are decoded"))
    };
    let (user, password) =
        text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let user = decode("user", user)?;
    Ok(Login {
        user: Some(user).filter(|user| !user.is_empty()),
        password: password.filter(|text| !text.is_empty()).map(secret).transpose()?.map(Secret),
    })
}

fn addresses(text: &str, port: u16) -> Result<Vec<Address>> {
    text.split(',').map(|one| address(one, port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| wrong("host", text, "close the bracket of the IPv6 address"))?;
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => return Err(wrong("host", text, "use [IPV6]:PORT")),
            port => (host, port),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(wrong("host", text, "use [IPV6]:PORT")),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(wrong("host", "empty", "name a host: redis://HOST:PORT"));
    }
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("port", port, "use a number from 1 to 65535"))?,
    };
    Ok(Address::Tcp(decode("host", host)?, port))
}

fn number(field: &'static str, text: &str) -> Result<i64> {
    text.parse()
        .ok()
        .filter(|number| *number >= 0)
        .ok_or_else(|| wrong(field, text, "use a number, 0 or above"))
}

fn decode(field: &'static str, text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(wrong(field, "not UTF-8", "write its bytes as %XX of UTF-8")),
    }
}

fn wrong(field: &'static str, value: impl fmt::Display, remedy: &str) -> Error {
    Error::invalid(OPERATION, field, value, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxmq_core::ErrorKind;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let target =
            Target::parse("redis://al%40ice:p%2Fw%3a1@db.example:6380/3?call_timeout=250&shared_wait=true");
        let target = target.unwrap();
        assert_eq!(target.layout, Layout::Standalone(tcp("db.example", 6380)));
        assert_eq!(target.login.user.as_deref(), Some("al@ice"));
        assert_eq!(target.login.password.as_ref().map(Secret::reveal), Some("p/w:1"));
        assert_eq!((target.db, target.shared_wait), (3, Some(true)));
        assert_eq!(target.call_deadline, Some(Duration::from_millis(250)));
        assert_eq!(target.to_string(), "redis://db.example:6380/3");
        assert!(!format!("{target:?}").contains("p/w"));

        assert_eq!(Target::parse("valkey://h").unwrap().layout, Layout::Standalone(tcp("h", 6379)));
        assert_eq!(Target::parse("redis://[::1]:7").unwrap().layout, Layout::Standalone(tcp("::1", 7)));
        let login = Target::parse("redis://:pw@h").unwrap().login;
        assert_eq!((login.user, login.password.unwrap().reveal()), (None, "pw"));
        let unix = Target::parse("redis+unix:///tmp/a%20b.sock?db=2").unwrap();
        assert_eq!((unix.layout, unix.db), (Layout::Standalone(Address::Unix("/tmp/a b.sock".into())), 2));
    }

    #[test]
    fn sentinels_and_clusters_are_lists() {
        let target = Target::parse("redis-sentinel://u:pw@a,b:7/1?master=m&sentinel_password=sp").unwrap();
        let Layout::Sentinel { sentinels, master, login } = &target.layout else { panic!("{target:?}") };
        assert_eq!((sentinels.as_slice(), master.as_str()), ([tcp("a", 26379), tcp("b", 7)].as_slice(), "m"));
        assert_eq!(login.password.as_ref().map(Secret::reveal), Some("sp"));
        assert!(!format!("{target:?} {target}").contains("sp\""));
        let cluster = Target::parse("redis-cluster://a:1,b");
        if cfg!(feature = "cluster") {
            assert_eq!(cluster.unwrap().layout, Layout::Cluster(vec![tcp("a", 1), tcp("b", 6379)]));
        } else {
            assert_eq!(cluster.unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_told() {
        for (url, field) in [
            ("localhost:6379", "url"),
            ("http://h", "scheme"),
            ("redis://:6379", "host"),
            ("redis://:hush@", "host"),
            ("redis://a,b", "host"),
            ("redis://::1:6379", "host"),
            ("redis://:hush@h:70000", "port"),
            ("redis://:hush@h:x", "port"),
            ("redis://:hush@h/x", "db"),
            ("redis://h/-1", "db"),
            ("redis://h/1?db=2", "db"),
            ("redis://h?pasword=hush", "option"),
            ("redis://h?master=m", "option"),
            ("redis://h?shared_wait=maybe", "shared_wait"),
            ("redis://h?call_timeout=0", "call_timeout"),
            ("redis://h?ca=/x.pem", "ca"),
            ("redis-sentinel://h", "master"),
            ("redis-cluster://h/1", "db"),
            ("redis+unix://h", "path"),
            ("redis://:%ffhush@h", "password"),
            ("redis://u:hush/x@h", "password"),
            ("redis://u:hush?x@h", "password"),
        ] {
            let error = Target::parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.message().starts_with(&format!("`{field}` is ")), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hush"), "{error}");
        }
    }
}
