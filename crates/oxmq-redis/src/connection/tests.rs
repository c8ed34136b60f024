//! Against real servers, each test with its own.

mod guard;
mod home;
mod topology;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use guard::{Mood, Proxy, Server, eventually};
use oxmq_core::ErrorKind;
use redis::from_redis_value;
use tokio::time::{Instant, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(2);

fn command(line: &str) -> Cmd {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command
}

fn call(line: &str) -> Call {
    let slot_key = line.split(' ').nth(1).unwrap_or_default().to_owned();
    Call { operation: "test", slot_key, command: command(line), script: None, repeatable: false }
}

fn repeatable(line: &str) -> Call {
    Call { repeatable: true, ..call(line) }
}

async fn number(hub: &Hub, line: &str) -> i64 {
    from_redis_value(hub.call(call(line)).await.unwrap()).unwrap()
}

fn marker_wait(key: &str, name: &str, timeout: Duration) -> MarkerWait {
    MarkerWait { key: key.to_owned(), client_name: name.to_owned(), timeout }
}

fn read(key: &str, after: &str, timeout: Duration) -> StreamRead {
    StreamRead { key: key.to_owned(), after: after.to_owned(), limit: 10, timeout }
}

/// Begins something that is not done at once.
async fn under_way(work: &mut (impl Future + Unpin)) {
    assert!(timeout(Duration::from_millis(30), work).await.is_err(), "it is done already");
}

/// The values of the field `n` in a reply of XREAD.
fn entries(reply: Value) -> Vec<String> {
    type Entry = (String, Vec<String>);
    let streams: Vec<(String, Vec<Entry>)> = from_redis_value(reply).unwrap();
    streams.into_iter().flat_map(|stream| stream.1).map(|entry| entry.1[1].clone()).collect()
}

#[tokio::test]
async fn calls_are_answered_many_at_once() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&format!("{}/3", server.url())).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2000 {
        let hub = hub.clone();
        tasks.spawn(async move { number(&hub, "INCR count").await });
    }
    let mut seen: Vec<i64> = tasks.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=2000).collect::<Vec<_>>());
    let mut raw = server.raw();
    let _: () = raw.ask("SELECT 3");
    assert_eq!(raw.ask::<i64>("GET count"), 2000);
    // All on one connection, beside ours.
    assert_eq!(raw.clients(&[]).len(), 2);
    // Replies have the shapes of RESP2.
    hub.call(call("HSET h a 1")).await.unwrap();
    let text = |text: &str| Value::BulkString(text.into());
    assert_eq!(hub.call(call("HGETALL h")).await.unwrap(), Value::Array(vec![text("a"), text("1")]));
    assert_eq!(hub.call(call("GET none")).await.unwrap(), Value::Nil);
    assert_eq!(hub.describe(), format!("redis://127.0.0.1:{}/3", server.port));
    let nodes = hub.every_node(command("DBSIZE")).await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(hub.on_node(&nodes[0].0, command("DBSIZE")).await.unwrap(), Value::Int(2));
}

#[test]
fn any_runtime_will_do_and_none_needs_timers() {
    let outer = tokio::runtime::Runtime::new().unwrap();
    let (server, hub) = outer.block_on(async {
        let server = Server::start(&[]).await;
        let hub = Hub::open(&server.url()).await.unwrap();
        (server, hub)
    });
    drop(outer);
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        assert_eq!(number(&hub, "INCR a").await, 1);
        assert_eq!(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(30))).await.unwrap(), None);
        assert!(hub.wait_news("c", 0, SOON).await.unwrap() > 0);
        assert_eq!(hub.read_stream(read("e", "0", Duration::from_millis(30))).await.unwrap(), Value::Nil);
        hub.close().await;
    });
    drop(server);
}

#[tokio::test]
async fn a_hub_ends_with_all_it_has() {
    let server = Server::start(&[]).await;
    let mut raw = server.raw();
    for closed in [true, false] {
        let hub = Hub::open(&server.url()).await.unwrap();
        hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap();
        assert_eq!(raw.clients(&[]).len(), 3);
        if closed {
            hub.close().await;
            assert_eq!(hub.call(call("PING")).await.unwrap_err().kind(), ErrorKind::Closed);
            let wait = hub.wait_marker(marker_wait("m", "n", LONG)).await;
            assert_eq!(wait.unwrap_err().kind(), ErrorKind::Closed);
        }
        drop(hub);
        eventually("the connections are closed", || std::future::ready(raw.clients(&[]).len() == 1)).await;
    }
}

#[tokio::test]
async fn a_first_connection_that_fails_is_an_error() {
    let port = guard::free_port();
    let error = Hub::open(&format!("redis://u:hush@127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains(&port.to_string()) && !format!("{error:?}").contains("hush"),
        "{error:?}"
    );
    let error = Hub::open("redis://no-such-host.invalid").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let server = Server::start(&["--requirepass", "pw"]).await;
    let at = format!("127.0.0.1:{}", server.port);
    for (url, says) in [(format!("redis://{at}"), "password"), (format!("redis://:hush@{at}"), "password")] {
        let error = Hub::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(error.to_string().contains(says) && !format!("{error:?}").contains("hush"), "{error:?}");
    }
    let hub = Hub::open(&format!("redis://:pw@{at}")).await.unwrap();
    assert_eq!(number(&hub, "INCR a").await, 1);
    let error = Hub::open(&format!("redis://:pw@{at}/99")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
}

#[tokio::test]
async fn an_acl_user_may_lack_what_is_not_needed() {
    let server = Server::start(&[]).await;
    let mut raw = server.raw();
    let _: () = raw.ask("ACL SETUSER al on >p@w ~own:* &* +@all -@dangerous -@admin -client");
    let hub = Hub::open(&format!("redis://al:p%40w@127.0.0.1:{}", server.port)).await.unwrap();
    assert_eq!(number(&hub, "INCR own:a").await, 1);
    let error = hub.call(call("INCR other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("ACL SETUSER"), "{error}");
    // Without CLIENT there are neither names nor ends of blocks: short blocks do.
    let wait = hub.wait_marker(marker_wait("own:m", "n", LONG));
    let (marker, ()) = tokio::join!(wait, async {
        number(&hub, "ZADD own:m 0 0").await;
    });
    assert_eq!(marker.unwrap().unwrap().member, "0");
    let wait = hub.wait_marker(marker_wait("other", "n", LONG)).await;
    assert_eq!(wait.unwrap_err().kind(), ErrorKind::Refused);
    let _: () = raw.ask("ACL SETUSER al resetchannels &mine");
    let hub = Hub::open(&format!("redis://al:p%40w@127.0.0.1:{}", server.port)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(hub.wait_news("theirs", 0, LONG).await.unwrap_err().kind(), ErrorKind::Refused);
    }
    hub.wait_news("mine", 0, LONG).await.unwrap();
}

#[tokio::test]
async fn a_server_may_allow_few_connections_or_lack_commands() {
    let server = Server::start(&["--maxclients", "3", "--rename-command", "HELLO", ""]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let ear = Ear::new(&hub, "c");
    // Without HELLO there is no RESP3 and no message: callers are told to look.
    for _ in 0..3 {
        ear.hear(LONG).await.unwrap();
    }
    let mut raw = server.raw();
    assert_eq!(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap(), None);
    assert_eq!(raw.clients(&[]).len(), 3);
    // One more is refused, and waited for.
    assert_eq!(hub.read_stream(read("e", "0", Duration::from_millis(100))).await.unwrap(), Value::Nil);
    let error = Hub::open(&server.url()).await.unwrap_err();
    // The server's reason may be lost, as it closes the connection right after it.
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let began = Instant::now();
    let raise = async {
        let _: () = raw.ask("CONFIG SET maxclients 10");
        let _: () = raw.ask("XADD e * n 1");
    };
    let (events, ()) = tokio::join!(hub.read_stream(read("e", "0", LONG)), raise);
    assert_eq!(entries(events.unwrap()), ["1"]);
    assert!(began.elapsed() < LONG);
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = Server::start(&["--unixsocket", "redis.sock"]).await;
    let path = server.dir.path().join("redis.sock");
    let hub = Hub::open(&format!("redis+unix://{}?db=2", path.display())).await.unwrap();
    assert_eq!(number(&hub, "INCR a").await, 1);
    let mut raw = server.raw();
    let _: () = raw.ask("SELECT 2");
    assert_eq!(raw.ask::<i64>("GET a"), 1);
}

#[tokio::test]
async fn what_nobody_waits_for_is_closed_and_comes_back() {
    let server = Server::start(&[]).await;
    let settings = Settings { idle_max: Duration::from_millis(50), ..Settings::default() };
    let hub = Hub::open_with(&server.url(), settings).await.unwrap();
    let ear = Ear::new(&hub, "c");
    let mut raw = server.raw();
    for _ in 0..3 {
        ear.hear(LONG).await.unwrap();
        assert_eq!(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap(), None);
        hub.read_stream(read("e", "$", Duration::from_millis(10))).await.unwrap();
        assert!(raw.clients(&[]).len() > 2);
        eventually("they are closed", || std::future::ready(raw.clients(&[]).len() == 2)).await;
    }
}

#[tokio::test]
async fn what_a_server_lacks_is_told_once() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let warnings = hub.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("noeviction") && warnings[1].contains("appendonly"), "{warnings:?}");
    let mut raw = server.raw();
    let generation = hub.generation();
    let _: i64 = raw.ask("CLIENT KILL TYPE normal");
    eventually("it is connected again", || std::future::ready(hub.generation() > generation)).await;
    assert_eq!(hub.warnings(), warnings);
}

#[tokio::test]
async fn calls_survive_a_restart_of_the_server() {
    let mut server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let short = Hub::open(&format!("{}?call_timeout=300", server.url())).await.unwrap();
    number(&hub, "INCR a").await;
    server.stop();
    let began = Instant::now();
    let error = short.call(call("INCR a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("not applied"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(1));
    // One that waits for a connection is sent once there is one.
    let (value, ()) = tokio::join!(number(&hub, "INCR a"), server.restart());
    assert_eq!(value, 1);
    assert_eq!(hub.generation(), 1);
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    let slow = ["--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024"];
    let mut server = Server::start(&[&slow[..], &["--enable-debug-command", "local"]].concat()).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let mut raw = server.raw();
    let _: () = raw.ask("DEBUG POPULATE 2000");
    let _: () = raw.ask("SAVE");
    server.stop();
    server.restart().await;
    let mut raw = server.raw();
    assert_eq!(raw.try_ask::<i64>("INCR a").unwrap_err().code(), Some("LOADING"));
    assert_eq!(number(&hub, "INCR a").await, 1);
}

#[tokio::test]
async fn a_cut_is_ambiguous_unless_the_call_is_repeatable() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open(&proxy.url()).await.unwrap();
    let mut raw = server.raw();

    proxy.set(Mood::NoAnswers);
    let once = hub.call(call("INCR once"));
    let twice = hub.call(repeatable("INCR twice"));
    let cut = async {
        eventually("both were applied", || std::future::ready(raw.ask::<i64>("DBSIZE") == 2)).await;
        proxy.set(Mood::Cut);
    };
    let (once, twice, ()) = tokio::join!(once, twice, cut);
    assert_eq!(once.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(twice.unwrap(), Value::Int(2));
    assert_eq!(raw.ask::<i64>("GET once"), 1);

    // What finds the connection dead before it is written was certainly not sent.
    let hub = Hub::open(&server.url()).await.unwrap();
    for _ in 0..20 {
        let _: i64 = raw.ask("CLIENT KILL TYPE normal SKIPME yes");
        number(&hub, "INCR never-ambiguous").await;
    }
    assert_eq!(raw.ask::<i64>("GET never-ambiguous"), 20);
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open(&proxy.url()).await.unwrap();
    number(&hub, "INCR a").await;
    proxy.set(Mood::Silent);
    let began = Instant::now();
    let (first, second) = tokio::join!(hub.call(call("INCR a")), hub.call(repeatable("INCR b")));
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(second.unwrap(), Value::Int(1));
    assert!(began.elapsed() >= link::STALLED_AFTER && began.elapsed() < 2 * link::STALLED_AFTER);

    let short = Hub::open(&format!("{}?call_timeout=200", proxy.url())).await.unwrap();
    proxy.set(Mood::Silent);
    assert_eq!(short.call(call("INCR a")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(short.call(repeatable("INCR a")).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_idle_connection_is_asked_whether_it_lives() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let settings = Settings { ping_every: Duration::from_millis(100), ..Settings::default() };
    let hub = Hub::open_with(&proxy.url(), settings).await.unwrap();
    let mut raw = server.raw();
    eventually("it is asked", || std::future::ready(raw.clients(&["cmd=ping"]).len() == 1)).await;
    proxy.set(Mood::Silent);
    eventually("it is replaced", || std::future::ready(hub.generation() == 1)).await;
    assert_eq!(number(&hub, "INCR a").await, 1);
}

#[tokio::test]
async fn a_large_call_on_a_slow_line_is_no_silence() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open(&proxy.url()).await.unwrap();
    proxy.set(Mood::Slow);
    let began = Instant::now();
    let mut set = redis::cmd("SET");
    set.arg("large").arg(vec![b'x'; 24 << 20]);
    hub.call(Call { command: set, ..call("SET large") }).await.unwrap();
    assert!(began.elapsed() > link::STALLED_AFTER, "{:?}", began.elapsed());
}

#[tokio::test]
async fn waits_end_when_the_hub_is_closed() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let ear = Ear::new(&hub, "c");
    ear.hear(LONG).await.unwrap();
    let began = Instant::now();
    let (marker, events, channel, ()) = tokio::join!(
        hub.wait_marker(marker_wait("m", "n", LONG)),
        hub.read_stream(read("e", "$", LONG)),
        ear.hear(LONG),
        hub.close(),
    );
    assert_eq!(marker.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(events.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(channel.unwrap_err().kind(), ErrorKind::Closed);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_given_up_before_it_was_sent_is_never_sent() {
    let mut server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    server.stop();
    let given_up = timeout(Duration::from_millis(100), hub.call(call("INCR a"))).await;
    assert!(given_up.is_err());
    server.restart().await;
    assert_eq!(number(&hub, "INCR a").await, 1);
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_loaded() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let script = &crate::scripts::ADD;
    let run = || Call { script: Some(script), ..call(&format!("EVALSHA {} 0", script.sha())) };
    let mut raw = server.raw();
    for _ in 0..2 {
        let _: () = raw.ask("SCRIPT FLUSH");
        // It misses its arguments; that it says so shows that it ran.
        if let Err(error) = hub.call(run()).await {
            assert!(!error.to_string().contains("NOSCRIPT"), "{error}");
        }
        assert_eq!(raw.ask::<Vec<bool>>(&format!("SCRIPT EXISTS {}", script.sha())), [true]);
    }
}

#[tokio::test]
async fn errors_of_the_server_have_kinds_and_remedies() {
    let server = Server::start(&["--lua-time-limit", "20"]).await;
    let hub = Hub::open(&format!("{}?call_timeout=1500", server.url())).await.unwrap();
    let mut raw = server.raw();
    number(&hub, "INCR text").await;
    let error = hub.call(call("LPUSH text a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(hub.call(call("NONSENSE")).await.unwrap_err().kind(), ErrorKind::Internal);

    let _: () = raw.ask("CONFIG SET maxmemory 1");
    let error = hub.call(call("SET a b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("maxmemory"), "{error}");
    let mut script = redis::cmd("EVAL");
    script.arg("return redis.call('SET', KEYS[1], 1)").arg(1).arg("a");
    let error = hub.call(Call { command: script, ..call("EVAL a") }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    let _: () = raw.ask("CONFIG SET maxmemory 0");

    // Busy: nothing is applied meanwhile, and then it is.
    let busy = tokio::task::spawn_blocking(move || {
        let mut script = redis::cmd("EVAL");
        script
            .arg(
                "local n = redis.call('TIME')[1] + 0 repeat local t = redis.call('TIME') until t[1] - n >= 1",
            )
            .arg(0);
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        script.exec(&mut connection).unwrap();
        (server, raw)
    });
    let mut tries = 0;
    while !busy.is_finished() {
        number(&hub, "INCR b").await;
        tries += 1;
    }
    let (_server, mut raw) = busy.await.unwrap();
    assert_eq!(raw.ask::<i64>("GET b"), tries);

    // A replica: read only, until it is none. None of many calls at once is in doubt.
    let _: () = raw.ask("REPLICAOF 127.0.0.1 1");
    let error = hub.call(call("INCR c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    let mut many = tokio::task::JoinSet::new();
    let hub = Arc::new(hub);
    for _ in 0..200 {
        let hub = hub.clone();
        many.spawn(async move { hub.call(call("INCR c")).await.unwrap_err().kind() });
    }
    assert!(many.join_all().await.into_iter().all(|kind| kind == ErrorKind::ReadOnly));
    let mut value = Box::pin(number(&hub, "INCR c"));
    under_way(&mut value).await;
    let _: () = raw.ask("REPLICAOF NO ONE");
    assert_eq!(value.await, 1);
}

#[tokio::test]
async fn a_marker_wakes_one_who_waits_and_the_name_stays() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let mut raw = server.raw();
    let began = Instant::now();
    assert_eq!(
        hub.wait_marker(marker_wait("m", "bull:cQ==", Duration::from_millis(60))).await.unwrap(),
        None
    );
    assert!(began.elapsed() >= Duration::from_millis(60) && began.elapsed() < Duration::from_secs(1));
    assert_eq!(raw.clients(&["name=bull:cQ== "]).len(), 1);
    let put = async {
        eventually("it blocks", || std::future::ready(raw.clients(&["cmd=bzpopmin"]).len() == 1)).await;
        let _: () = raw.ask("ZADD m 17.5 1");
    };
    let (marker, ()) = tokio::join!(hub.wait_marker(marker_wait("m", "bull:cQ==", LONG)), put);
    assert_eq!(marker.unwrap(), Some(Marker { member: "1".to_owned(), score: 17.5 }));
    assert_eq!(raw.clients(&["name=bull:cQ== "]).len(), 1);
}

#[tokio::test]
async fn a_marker_popped_for_nobody_is_kept_and_then_given_back() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let mut raw = server.raw();
    let _: () = raw.ask("HSET q:meta opts.maxLenEvents 1");
    for again in [true, false] {
        let mut wait = Box::pin(hub.wait_marker(marker_wait("q:marker", "n", LONG)));
        assert!(timeout(Duration::from_millis(1), &mut wait).await.is_err());
        eventually("it blocks", || std::future::ready(raw.clients(&["cmd=bzpopmin", "flags=b"]).len() == 1))
            .await;
        let _: () = raw.ask("ZADD q:marker 0 0");
        eventually("it is popped", || std::future::ready(raw.ask::<i64>("ZCARD q:marker") == 0)).await;
        drop(wait);
        if again {
            let began = Instant::now();
            let marker = hub.wait_marker(marker_wait("q:marker", "other", LONG)).await.unwrap();
            assert_eq!(marker, Some(Marker { member: "0".to_owned(), score: 0.0 }));
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        } else {
            eventually("it is given back", || std::future::ready(raw.ask::<i64>("ZCARD q:marker") == 1))
                .await;
        }
    }
    // A block for nobody does not go on, so that the marker is there for others.
    let _: () = raw.ask("DEL q:marker");
    assert!(
        timeout(Duration::from_millis(20), hub.wait_marker(marker_wait("q:marker", "n", LONG)))
            .await
            .is_err()
    );
    eventually("it no longer blocks", || std::future::ready(raw.clients(&["flags=b"]).is_empty())).await;
    // Closing gives back at once.
    let mut wait = Box::pin(hub.wait_marker(marker_wait("q:marker", "n", LONG)));
    assert!(timeout(Duration::from_millis(1), &mut wait).await.is_err());
    eventually("it blocks", || std::future::ready(raw.clients(&["flags=b"]).len() == 1)).await;
    let _: () = raw.ask("ZADD q:marker 0 0");
    eventually("it is popped", || std::future::ready(raw.ask::<i64>("ZCARD q:marker") == 0)).await;
    drop(wait);
    hub.close().await;
    assert_eq!(raw.ask::<i64>("ZCARD q:marker"), 1);
    // Nothing is given back to a queue that has been obliterated.
    let _: () = raw.ask("DEL q:marker");
    let hub = Hub::open(&server.url()).await.unwrap();
    let mut wait = Box::pin(hub.wait_marker(marker_wait("q:marker", "n", LONG)));
    assert!(timeout(Duration::from_millis(1), &mut wait).await.is_err());
    eventually("it blocks", || std::future::ready(raw.clients(&["flags=b"]).len() == 1)).await;
    let _: () = raw.ask("ZADD q:marker 0 0");
    eventually("it is popped", || std::future::ready(raw.ask::<i64>("ZCARD q:marker") == 0)).await;
    drop(wait);
    let _: () = raw.ask("DEL q:meta");
    hub.close().await;
    assert_eq!(raw.ask::<i64>("ZCARD q:marker"), 0);
}

#[tokio::test]
async fn many_waits_share_a_connection() {
    let server = Server::start(&[]).await;
    let mut raw = server.raw();
    for (url, connections) in [(server.url(), 5), (format!("{}?shared_wait=true", server.url()), 1)] {
        let hub = Arc::new(Hub::open(&url).await.unwrap());
        let mut waits = tokio::task::JoinSet::new();
        for index in 0..8 {
            let hub = hub.clone();
            waits.spawn(async move {
                hub.wait_marker(marker_wait(&format!("m{index}"), &format!("n{index}"), LONG))
                    .await
                    .unwrap()
                    .unwrap()
            });
        }
        let began = Instant::now();
        eventually("all block", || std::future::ready(raw.clients(&["cmd=bzpopmin"]).len() == connections))
            .await;
        for index in (0..8).rev() {
            let _: () = raw.ask(&format!("ZADD m{index} {index} 1"));
        }
        let mut scores: Vec<f64> = waits.join_all().await.into_iter().map(|marker| marker.score).collect();
        scores.sort_unstable_by(f64::total_cmp);
        assert_eq!(scores, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(raw.clients(&["name=n"]).len(), connections - 1);
        hub.close().await;
    }
}

#[tokio::test]
async fn readers_of_events_share_a_connection_each_at_its_position() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut raw = server.raw();
    for id in 1..=3 {
        let _: () = raw.ask(&format!("XADD a 0-{id} n {id}"));
    }
    assert_eq!(entries(hub.read_stream(read("a", "0-1", Duration::ZERO)).await.unwrap()), ["2", "3"]);
    assert_eq!(hub.read_stream(read("a", "0-3", Duration::ZERO)).await.unwrap(), Value::Nil);
    assert_eq!(hub.read_stream(read("none", "$", Duration::from_millis(30))).await.unwrap(), Value::Nil);

    let reader = |key: &str, after: &str| {
        let (hub, read) = (hub.clone(), read(key, after, LONG));
        tokio::spawn(async move { entries(hub.read_stream(read).await.unwrap()) })
    };
    let waiting = [reader("a", "$"), reader("a", "0-3"), reader("b", "$")];
    eventually("they block", || std::future::ready(raw.clients(&["cmd=xread"]).len() == 1)).await;
    // One that comes later and has something to read does not wait for the others.
    let began = Instant::now();
    assert_eq!(reader("a", "0-2").await.unwrap(), ["3"]);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(raw.clients(&["cmd=xread"]).len(), 1);
    assert_eq!(raw.clients(&[]).len(), 3);
    let _: () = raw.ask("XADD b * n b");
    let _: () = raw.ask("XADD a 0-4 n 4");
    let [first, second, third] = waiting;
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap(), third.await.unwrap()),
        (vec!["4".to_owned()], vec!["4".to_owned()], vec!["b".to_owned()])
    );
}

#[tokio::test]
async fn a_channel_wakes_and_misses_nothing() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let ear = Ear::new(&hub, "c");
    let mut raw = server.raw();
    let began = Instant::now();
    ear.hear(LONG).await.unwrap();
    assert!(began.elapsed() < SOON, "the first wait ends at once");
    // Between two waits.
    assert_eq!(raw.ask::<i64>("PUBLISH c x"), 1);
    ear.hear(LONG).await.unwrap();
    // During one.
    let mut wait = Box::pin(ear.hear(LONG));
    under_way(&mut wait).await;
    let _: i64 = raw.ask("PUBLISH c x");
    wait.await.unwrap();
    // A reconnect wakes, too, and the subscription is there again.
    let mut wait = Box::pin(ear.hear(LONG));
    under_way(&mut wait).await;
    let _: i64 = raw.ask("CLIENT KILL TYPE pubsub");
    wait.await.unwrap();
    assert_eq!(hub.generation(), 0);
    assert_eq!(raw.ask::<i64>("PUBLISH c x"), 1);
    ear.hear(LONG).await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Nothing, to the end.
    let began = Instant::now();
    ear.hear(Duration::from_millis(50)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(50));
    // Several callers miss nothing either.
    let (one, two) = tokio::join!(hub.wait_news("c", 0, LONG), hub.wait_news("d", 0, LONG));
    let (one, two) = (one.unwrap(), two.unwrap());
    let _: i64 = raw.ask("PUBLISH c x");
    let newest = hub.wait_news("c", one, LONG).await.unwrap();
    assert!(newest > one);
    assert_eq!(hub.wait_news("c", one, LONG).await.unwrap(), newest);
    assert_eq!(hub.wait_news("d", two, Duration::from_millis(20)).await.unwrap(), two);
    assert_eq!(raw.clients(&["sub=2"]).len(), 1);
}

#[tokio::test]
async fn every_kind_of_connection_comes_back() {
    let mut server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let ear = Ear::new(&hub, "c");
    for restart in [false, true] {
        let mut raw = server.raw();
        ear.hear(LONG).await.unwrap();
        let marker = tokio::spawn({
            let hub = hub.clone();
            async move { hub.wait_marker(marker_wait("m", "n", LONG)).await }
        });
        let event = tokio::spawn({
            let hub = hub.clone();
            async move { hub.read_stream(read("e", "0", LONG)).await }
        });
        eventually("they block", || std::future::ready(raw.clients(&["flags=b"]).len() == 2)).await;
        let generation = hub.generation();
        if restart {
            drop(raw);
            server.stop();
            server.restart().await;
            raw = server.raw();
        } else {
            let _: i64 = raw.ask("CLIENT KILL TYPE normal");
            let _: i64 = raw.ask("CLIENT KILL TYPE pubsub");
        }
        eventually("all are back", || {
            std::future::ready(hub.generation() > generation && raw.clients(&["flags=b"]).len() == 2)
        })
        .await;
        assert_eq!(raw.clients(&["name=n "]).len(), 1);
        let _: () = raw.ask("ZADD m 0 0");
        let _: () = raw.ask("XADD e * n 1");
        assert!(marker.await.unwrap().unwrap().is_some());
        assert_eq!(entries(event.await.unwrap().unwrap()), ["1"]);
        let _: () = raw.ask("DEL e");
    }
}

#[tokio::test]
async fn a_block_that_is_not_answered_is_begun_anew() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open(&proxy.url()).await.unwrap();
    let mut raw = server.raw();
    hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap();
    proxy.set(Mood::Silent);
    let began = Instant::now();
    assert_eq!(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(300))).await.unwrap(), None);
    assert!(began.elapsed() < Duration::from_secs(1), "the client's own deadline holds");
    let put = async {
        // The old one's block still is at the server and would eat the marker.
        eventually("it blocks anew", || std::future::ready(raw.clients(&["name=n ", "flags=b"]).len() == 1))
            .await;
        let _: () = raw.ask("ZADD m 0 0");
    };
    let (marker, ()) = tokio::join!(hub.wait_marker(marker_wait("m", "n", LONG)), put);
    assert!(marker.unwrap().is_some());
}

#[tokio::test]
async fn a_large_reply_arrives_though_channels_are_listened_to() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let ear = Ear::new(&hub, "c");
    ear.hear(LONG).await.unwrap();
    let mut set = redis::cmd("SETRANGE");
    set.arg("large").arg(40 << 20).arg("x");
    hub.call(Call { command: set, ..call("SETRANGE large") }).await.unwrap();
    let Value::BulkString(large) = hub.call(repeatable("GET large")).await.unwrap() else {
        panic!("no text")
    };
    assert_eq!(large.len(), (40 << 20) + 1);
    assert_eq!(hub.generation(), 0);
}

#[tokio::test]
async fn under_constant_cuts_every_call_is_answered_once() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let hub = hub.clone();
        callers.spawn(async move {
            let (mut done, mut in_doubt) = (0, 0);
            for _ in 0..100 {
                hub.call(repeatable("INCR repeated")).await.unwrap();
                match hub.call(call("INCR once")).await {
                    Ok(_) => done += 1,
                    Err(error) if error.kind() == ErrorKind::Ambiguous => in_doubt += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            (done, in_doubt)
        });
    }
    let mut raw = server.raw();
    let (mut kills, mut rounds) = (0, 0_u64);
    let counts = async {
        let mut sums = (0, 0);
        while let Some(counts) = callers.join_next().await {
            let (done, in_doubt) = counts.unwrap();
            sums = (sums.0 + done, sums.1 + in_doubt);
        }
        sums
    };
    let mut counts = std::pin::pin!(counts);
    let (done, in_doubt) = loop {
        // Longer each time, so that a machine that is slow now has a connection opened between two cuts in the end.
        match timeout(Duration::from_micros(3_000 + 100 * rounds), &mut counts).await {
            Ok(counts) => break counts,
            Err(_) => kills += raw.ask::<i64>("CLIENT KILL TYPE normal"),
        }
        rounds += 1;
    };
    let once: i64 = raw.ask("GET once");
    assert_eq!(done + in_doubt, 800);
    assert!((done..=done + in_doubt).contains(&once), "{done} done, {in_doubt} in doubt, {once} applied");
    assert!(raw.ask::<i64>("GET repeated") >= 800);
    assert!(kills > 0);
}

#[tokio::test]
async fn no_marker_is_lost_on_those_who_give_up() {
    let server = Server::start(&[]).await;
    let hub = Hub::open(&server.url()).await.unwrap();
    let mut raw = server.raw();
    for score in 1..=200 {
        let _: () = raw.ask(&format!("ZADD m {score} 1"));
        let deadline = Instant::now() + LONG;
        let marker = loop {
            assert!(Instant::now() < deadline, "marker {score} is lost");
            let name = format!("n{}", fastrand::u8(..3));
            let patience = Duration::from_micros(fastrand::u64(..2000));
            if let Ok(Ok(Some(marker))) =
                timeout(patience, hub.wait_marker(marker_wait("m", &name, LONG))).await
            {
                break marker;
            }
        };
        assert_eq!(marker, Marker { member: "1".to_owned(), score: f64::from(score) });
    }
}

/// One who listens to a channel.
struct Ear<'a> {
    hub: &'a Hub,
    channel: &'static str,
    seen: AtomicU64,
}

impl<'a> Ear<'a> {
    fn new(hub: &'a Hub, channel: &'static str) -> Self {
        Self { hub, channel, seen: AtomicU64::new(0) }
    }

    async fn hear(&self, timeout: Duration) -> Result<()> {
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(self.hub.wait_news(self.channel, seen, timeout).await?, Ordering::Relaxed);
        Ok(())
    }
}
