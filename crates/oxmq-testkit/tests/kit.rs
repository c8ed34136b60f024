//! Each piece of the kit, started once, with the servers that are there; with `OXMQ_ALL=1`, Sentinel and Cluster on
//! each of them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use oxmq_testkit::servers::Kind;
use oxmq_testkit::{
    Cluster, Connection, Options, Proxy, Reply, Sentinels, Server, eventually, happens_within, until,
};

const PATIENCE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(100);

fn dial(addr: SocketAddr) -> Connection {
    Connection::tcp(addr, PATIENCE).unwrap()
}

fn status(text: &str) -> Reply {
    Reply::Status(text.into())
}

/// The largest round trip is of real time here: another process answers.
#[allow(clippy::disallowed_methods)]
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn every_installed_server_starts_and_says_its_version() {
    let installed = Kind::installed();
    assert!(installed.contains(&Kind::Redis70), "the distribution's server is there");
    for kind in installed {
        let server = Server::start(Options::new().kind(kind));
        let field = if kind.program() == "valkey-server" { "valkey_version" } else { "redis_version" };
        let line = kind.name().split_once('-').unwrap().1;
        let version = server.info(field);
        assert!(kind == Kind::Redis70 || version.starts_with(line), "{kind} is {version}");
        let mut connection = dial(server.addr());
        assert_eq!(connection.command(&["SELECT", "511"]).unwrap(), status("OK"));
        let script = "return {cjson.encode({1}), cmsgpack.unpack(cmsgpack.pack(7)), bit.band(6, 3)}";
        let answer = connection.command(&["EVAL", script, "0"]).unwrap();
        assert_eq!(answer.list(), [Reply::Bulk(b"[1]".into()), Reply::Integer(7), Reply::Integer(2)]);
    }
}

#[test]
fn a_restart_keeps_the_port_and_what_the_append_only_file_has() {
    let server = Server::start(Options::new().aof());
    let (url, pid) = (server.url(), server.pid());
    assert_eq!(server.command(&["SET", "kept", "yes"]), status("OK"));
    server.kill();
    assert!(!server.is_running());
    assert!(Connection::tcp(server.addr(), PATIENCE).is_err(), "nobody listens");
    server.restart();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    assert_eq!(dial(server.addr()).command(&["GET", "kept"]).unwrap().text(), "yes");
    server.stop();
    server.restart();
    assert_eq!(server.command(&["GET", "kept"]).text(), "yes");
}

#[test]
fn without_a_file_a_restart_forgets() {
    let server = Server::start(Options::new());
    server.command(&["SET", "gone", "yes"]).ok();
    server.restart();
    assert_eq!(server.command(&["GET", "gone"]), Reply::Nil);
}

#[test]
fn a_frozen_server_does_not_answer_until_it_is_thawed() {
    let server = Server::start(Options::new());
    let mut connection = Connection::tcp(server.addr(), MOMENT).unwrap();
    server.freeze();
    let error = connection.command(&["PING"]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    assert!(server.is_running() && !server.answers(MOMENT));
    server.thaw();
    assert!(server.answers(PATIENCE));
    server.freeze();
    drop(server);
}

#[test]
fn a_server_and_its_folder_go_on_drop() {
    let server = Server::start(Options::new());
    let (addr, folder) = (server.addr(), server.folder().to_path_buf());
    drop(server);
    assert!(Connection::tcp(addr, PATIENCE).is_err());
    assert!(!folder.exists());
}

#[test]
fn passwords_and_users_are_in_the_url() {
    let server = Server::start(Options::new().password("a b\"/@"));
    assert_eq!(server.url(), format!("redis://:a%20b%22%2F%40@{}/0", server.addr()));
    assert!(dial(server.addr()).command(&["PING"]).unwrap().text().starts_with("NOAUTH"));
    assert_eq!(dial(server.addr()).command(&["AUTH", "a b\"/@"]).unwrap(), status("OK"));
    assert_eq!(server.command(&["PING"]), status("PONG"));
    let replica = Server::start(Options::new().replica_of(&server));
    until(PATIENCE, || replica.is_replica_in_step());

    let options = Options::new().acl_user("default", "off").acl_user("jobs", "on >secret ~bull:* &* +@all");
    let server = Server::start(options);
    assert_eq!(server.url_as("jobs", "secret"), format!("redis://jobs:secret@{}/0", server.addr()));
    let mut connection = dial(server.addr());
    assert!(connection.command(&["PING"]).unwrap().is_error());
    assert_eq!(connection.command(&["AUTH", "jobs", "secret"]).unwrap(), status("OK"));
    assert!(connection.command(&["GET", "other"]).unwrap().text().starts_with("NOPERM"));
    assert_eq!(server.command(&["GET", "other"]), Reply::Nil);
}

#[test]
fn a_full_server_refuses_and_a_unix_server_has_no_port() {
    let server = Server::start(Options::new().maxmemory(1, "noeviction"));
    assert!(server.command(&["SET", "a", "b"]).text().starts_with("OOM"));
    let server = Server::start(Options::new().unix_only());
    assert_eq!(server.url(), format!("redis+unix://{}?db=0", server.socket().display()));
    assert!(Connection::tcp(server.addr(), PATIENCE).is_err());
    assert_eq!(
        Connection::unix(&server.socket(), PATIENCE).unwrap().command(&["PING"]).unwrap(),
        status("PONG")
    );
}

#[test]
fn tls_is_spoken_with_certificates_that_openssl_trusts() {
    for mutual in [false, true] {
        let options = Options::new().kind(Kind::Redis70);
        let server = Server::start(if mutual { options.mutual_tls() } else { options.tls() });
        assert_eq!(server.url(), format!("rediss://{}/0", server.addr()));
        let certificates = server.certificates();
        let mut client = std::process::Command::new("openssl");
        client.args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect"]);
        client.arg(server.addr().to_string()).arg("-CAfile").arg(certificates.ca());
        if mutual {
            client.arg("-cert").arg(certificates.client_certificate());
            client.arg("-key").arg(certificates.client_key());
        }
        client.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut client = client.stderr(std::process::Stdio::null()).spawn().unwrap();
        io::Write::write_all(&mut client.stdin.take().unwrap(), b"PING\r\nQUIT\r\n").unwrap();
        let answer = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
        assert!(answer.starts_with("+PONG"), "{answer}");
    }
}

/// The server of the environment, or all with `OXMQ_ALL=1`.
fn campaign() -> Vec<Kind> {
    if std::env::var("OXMQ_ALL").is_ok_and(|all| all == "1") {
        Kind::installed()
    } else {
        vec![Kind::of_environment()]
    }
}

#[test]
fn sentinels_fail_over_to_a_new_master() {
    for kind in campaign() {
        let sentinels = Sentinels::start_with(&Options::new().kind(kind).password("secret"));
        let ports = sentinels.url();
        assert!(
            ports.starts_with("redis-sentinel://:secret@127.0.0.1:") && ports.ends_with("/0?master=oxmq")
        );
        let first = sentinels.master();
        assert_eq!(first.info("role"), "master");
        first.command(&["SET", "kept", "yes"]).ok();
        until(PATIENCE, || sentinels.replica().command(&["GET", "kept"]).text() == "yes");
        let killed = sentinels.kill_master();
        assert_eq!(killed.port(), first.port());
        let second = sentinels.until_replaced(killed);
        assert_ne!(second.port(), first.port());
        assert_eq!(second.command(&["GET", "kept"]).text(), "yes");
        assert_eq!(second.command(&["SET", "more", "yes"]), status("OK"));
        killed.restart();
        sentinels.until_whole();
        let old = sentinels.master();
        let new = sentinels.failover();
        assert_ne!(new.port(), old.port(), "{kind}");
        assert_eq!(new.command(&["GET", "more"]).text(), "yes");
    }
}

#[test]
fn a_cluster_redirects_moves_slots_and_replaces_a_primary() {
    for kind in campaign() {
        let cluster = Cluster::start_with(&Options::new().kind(kind), 3, 1);
        assert_eq!(cluster.nodes().len(), 6);
        assert!(cluster.url().starts_with("redis-cluster://127.0.0.1:"));
        assert_eq!(cluster.slot_of("{oxmq}:a"), cluster.slot_of("oxmq"));
        let (slot, old) = (cluster.slot_of("oxmq"), cluster.primary_of("oxmq"));
        for index in 0..25 {
            let key = format!("{{oxmq}}:{index}");
            assert_eq!(dial(old.addr()).command(&["SET", &key, "yes"]).unwrap(), status("OK"));
        }
        let other = cluster.nodes()[..3].iter().find(|node| node.port() != old.port()).unwrap();
        let moved = format!("MOVED {slot} {}", old.addr());
        assert_eq!(dial(other.addr()).command(&["GET", "{oxmq}:1"]).unwrap().text(), moved);

        let migration = cluster.begin_move("oxmq");
        assert_eq!(migration.move_keys(10), 10);
        let asked = format!("ASK {slot} {}", migration.to().addr());
        assert_eq!(old.command(&["GET", "{oxmq}:none"]).text(), asked);
        let new = migration.finish();
        assert_eq!(cluster.primary_of("oxmq").port(), new.port());
        assert_eq!(new.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).int(), 25);
        assert_eq!(old.command(&["GET", "{oxmq}:1"]).text(), format!("MOVED {slot} {}", new.addr()));
        let third = cluster.move_slot("oxmq");
        assert_eq!(third.command(&["GET", "{oxmq}:1"]).text(), "yes");

        let replica = cluster.replica_of("oxmq").unwrap();
        until(PATIENCE, || replica.command(&["DBSIZE"]).int() == 25);
        let killed = cluster.kill_primary_of("oxmq");
        let heir = cluster.until_replaced("oxmq", killed);
        assert_eq!(heir.port(), replica.port());
        assert_eq!(heir.command(&["SET", "{oxmq}:1", "again"]), status("OK"));
        killed.restart();
        until(PATIENCE, || killed.is_replica_in_step());
        until(PATIENCE, || cluster.replica_of("oxmq").is_some());
        assert_eq!(cluster.failover("oxmq").port(), killed.port(), "{kind}");
        assert_eq!(killed.command(&["GET", "{oxmq}:1"]).text(), "again");
    }
}

#[test]
fn the_shared_server_gives_each_test_a_database() {
    let first = Server::shared().fresh_url();
    assert_ne!(first, Server::shared().fresh_url());
    assert_eq!(Server::shared().pid(), std::thread::spawn(|| Server::shared().pid()).join().unwrap());
}

#[test]
fn a_proxy_forwards_and_counts() {
    let server = Server::start(Options::new());
    let proxy = Proxy::start(server.addr());
    assert_eq!(proxy.url(), server.url_at(proxy.addr()));
    let mut connection = dial(proxy.addr());
    assert_eq!(connection.command(&["PING"]).unwrap(), status("PONG"));
    assert_eq!((proxy.connections(), proxy.open_connections()), (1, 1));
    assert_eq!((proxy.bytes_to_server(), proxy.bytes_from_server()), (14, 7));
    let big = vec![b'x'; 3_000_000];
    assert_eq!(connection.command(&[&b"ECHO"[..], &big]).unwrap(), Reply::Bulk(big));
    drop(connection);
    until(PATIENCE, || proxy.open_connections() == 0);
    // A server that goes takes the connection with it.
    let mut connection = dial(proxy.addr());
    connection.command(&["PING"]).unwrap();
    server.kill();
    assert!(connection.read().is_err());
    let mut connection = dial(proxy.addr());
    assert!(connection.command(&["PING"]).is_err());
    server.restart();
    assert_eq!(dial(proxy.addr()).command(&["PING"]).unwrap(), status("PONG"));
}

#[test]
fn a_proxy_cuts_and_refuses() {
    let server = Server::start(Options::new());
    let proxy = Proxy::start(server.addr());
    let mut connection = dial(proxy.addr());
    connection.command(&["PING"]).unwrap();
    proxy.cut();
    assert_eq!(proxy.open_connections(), 0);
    assert!(connection.command(&["PING"]).is_err());
    let mut connection = dial(proxy.addr());
    assert_eq!(connection.command(&["PING"]).unwrap(), status("PONG"));
    proxy.refuse();
    let refused = Connection::tcp(proxy.addr(), PATIENCE).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(connection.command(&["PING"]).unwrap(), status("PONG"), "the open one goes on");
    proxy.cut();
    assert!(connection.command(&["PING"]).is_err());
    proxy.restore();
    assert_eq!(dial(proxy.addr()).command(&["PING"]).unwrap(), status("PONG"));
    let addr = proxy.addr();
    let mut connection = dial(addr);
    connection.command(&["PING"]).unwrap();
    drop(proxy);
    assert!(connection.command(&["PING"]).is_err());
    assert!(Connection::tcp(addr, PATIENCE).is_err());
}

#[test]
fn a_proxy_swallows_answers_and_then_cuts() {
    let server = Server::start(Options::new());
    let proxy = Proxy::start(server.addr());
    let mut connection = dial(proxy.addr());
    let mut bystander = dial(proxy.addr());
    bystander.command(&["PING"]).unwrap();
    proxy.drop_replies(1);
    assert!(connection.command(&["INCR", "n"]).is_err());
    assert!(bystander.read().is_err(), "all connections are cut");
    assert_eq!(server.command(&["GET", "n"]).text(), "1", "the work was done");
    assert_eq!(proxy.swallowed(), 1);
    let mut connection = dial(proxy.addr());
    assert_eq!(connection.command(&["INCR", "n"]).unwrap().int(), 2, "and it forwards again");
    // Never cut; restoring closes what is out of step, and only that.
    let mut bystander = dial(proxy.addr());
    bystander.command(&["PING"]).unwrap();
    proxy.drop_replies(u64::MAX);
    connection.send(&["INCR", "n"]).unwrap();
    until(PATIENCE, || proxy.swallowed() == 2);
    connection.send(&["INCR", "n"]).unwrap();
    until(PATIENCE, || server.command(&["GET", "n"]).text() == "4");
    proxy.restore();
    assert!(connection.read().is_err());
    assert_eq!(bystander.command(&["PING"]).unwrap(), status("PONG"));
}

#[test]
fn a_black_hole_keeps_connections_and_what_was_sent() {
    let server = Server::start(Options::new());
    let proxy = Proxy::start(server.addr());
    let mut connection = dial(proxy.addr());
    connection.command(&["PING"]).unwrap();
    proxy.blackhole();
    let mut fresh = Connection::tcp(proxy.addr(), MOMENT).unwrap();
    assert!(fresh.command(&["PING"]).is_err());
    connection.send(&["INCR", "n"]).unwrap();
    assert!(!happens_within(MOMENT, || server.command(&["GET", "n"]) != Reply::Nil));
    assert_eq!(proxy.open_connections(), 2);
    proxy.restore();
    assert_eq!(connection.read().unwrap().int(), 1);
}

#[tokio::test]
async fn a_delay_holds_for_each_direction_and_does_not_slow_the_stream() {
    let server = Server::start(Options::new());
    let proxy = Proxy::before(server.addr()).await;
    let mut connection = dial(proxy.addr());
    connection.command(&["PING"]).unwrap();
    proxy.delay(MOMENT);
    let alone = time(|| drop(connection.command(&["PING"]).unwrap()));
    assert!(alone >= 2 * MOMENT, "{alone:?}");
    let many = time(|| {
        for _ in 0..20 {
            connection.send(&["PING"]).unwrap();
        }
        for _ in 0..20 {
            assert_eq!(connection.read().unwrap(), status("PONG"));
        }
    });
    assert!(many >= 2 * MOMENT && many < 20 * MOMENT, "{many:?}");
    proxy.restore();
    eventually(PATIENCE, || async { proxy.open_connections() == 1 }).await;
    assert!(time(|| drop(connection.command(&["PING"]).unwrap())) < 2 * MOMENT);
}
