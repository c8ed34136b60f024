//! The connection that lives on the runtime on which the store was connected.

use std::sync::mpsc;
use std::thread;

use super::guard::Raw;
use super::*;

/// A runtime of a user's.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Does something on a thread and runtime of its own.
fn elsewhere<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(|| {
        let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
        bare.block_on(work)
    })
}

/// A call from elsewhere.
async fn number_elsewhere(hub: &Arc<Hub>, line: &'static str) -> i64 {
    let hub = hub.clone();
    elsewhere(async move { number(&hub, line).await }).await.unwrap()
}

/// Ours, without the one that asks.
fn ours(raw: &mut Raw) -> usize {
    raw.clients(&[]).len() - 1
}

fn stalls_after(ms: u64) -> Settings {
    Settings { stalled_after: Duration::from_millis(ms), ..Settings::default() }
}

#[tokio::test]
async fn a_store_has_the_connections_that_it_needs() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut raw = server.raw();
    // Who only adds has one, and a script that the server does not know needs no other one.
    let script = &crate::scripts::ADD;
    let _ = hub.call(Call { script: Some(script), ..call(&format!("EVALSHA {} 0", script.sha())) }).await;
    assert_eq!(raw.ask::<Vec<bool>>(&format!("SCRIPT EXISTS {}", script.sha())), [true]);
    assert_eq!(number(&hub, "INCR a").await, 1);
    hub.every_node(command("DBSIZE")).await.unwrap();
    assert_eq!(ours(&mut raw), 1);
    // A worker's duties have a thread of their own, and it waits for a marker.
    assert_eq!(number_elsewhere(&hub, "INCR a").await, 2);
    assert_eq!(ours(&mut raw), 2);
    hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap();
    assert_eq!(number_elsewhere(&hub, "INCR a").await, 3);
    assert_eq!(number(&hub, "INCR a").await, 4);
    assert_eq!(ours(&mut raw), 3);
    assert_eq!(hub.generation(), 0);
    // Both are made anew when that is asked for, the second when it is needed.
    hub.renew();
    assert_eq!(number_elsewhere(&hub, "INCR a").await, 5);
    assert_eq!(number(&hub, "INCR a").await, 6);
    eventually("both are new", || std::future::ready(hub.generation() == 2 && ours(&mut raw) == 3)).await;
    hub.close().await;
    assert_eq!(hub.call(call("PING")).await.unwrap_err().kind(), ErrorKind::Closed);
    eventually("all are closed", || std::future::ready(ours(&mut raw) == 0)).await;
}

#[test]
fn a_runtime_that_is_blocked_loses_no_answer() {
    let home = runtime();
    home.block_on(async {
        let server = Server::start(&[]).await;
        let settings = Settings { ping_every: Duration::from_millis(100), ..stalls_after(200) };
        let hub = Arc::new(Hub::open_with(&server.url(), settings).await.unwrap());
        assert_eq!(number(&hub, "INCR a").await, 1);
        let mut raw = server.raw();
        let (_say, never) = mpsc::channel::<()>();
        for round in 2..=4 {
            let mut under_way = Box::pin(hub.call(call("INCR a")));
            if round < 4 {
                // It is sent, if it is polled; and then nobody hears the answer.
                let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(under_way.as_mut().poll(cx)));
                assert!(polled.await.is_pending());
                if round == 3 {
                    tokio::task::yield_now().await;
                    let polled =
                        std::future::poll_fn(|cx| std::task::Poll::Ready(under_way.as_mut().poll(cx)));
                    assert!(polled.await.is_pending());
                    tokio::task::yield_now().await;
                }
            }
            // No call and no ping is answered meanwhile; and others are not held up.
            let other = thread::spawn({
                let hub = hub.clone();
                move || runtime().block_on(async move { number(&hub, "INCR b").await })
            });
            // Five times as long as a silence is borne.
            assert!(never.recv_timeout(Duration::from_secs(1)).is_err());
            assert_eq!(other.join().unwrap(), round - 1);
            assert_eq!(under_way.await.unwrap(), Value::Int(round));
        }
        assert_eq!(raw.ask::<i64>("GET a"), 4);
        assert_eq!(hub.generation(), 0, "no connection was given up");
    });
}

#[test]
fn a_runtime_that_has_ended_leaves_the_store_at_work() {
    let home = runtime();
    let (server, hub, unfinished) = home.block_on(async {
        let server = Server::start(&[]).await;
        let proxy = Proxy::start(server.port).await;
        let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
        assert_eq!(number(&hub, "INCR a").await, 1);
        // One that ends with a call in flight, of which nobody hears any more.
        let lost = Arc::new(Hub::open(&proxy.url()).await.unwrap());
        proxy.set(Mood::NoAnswers);
        let unfinished = Box::pin({
            let lost = lost.clone();
            async move { lost.call(call("INCR lost")).await }
        });
        let unfinished = {
            let mut unfinished = unfinished;
            under_way(&mut unfinished).await;
            unfinished
        };
        (server, hub, unfinished)
    });
    drop(home);
    let other = runtime();
    other.block_on(async {
        assert_eq!(unfinished.await.unwrap_err().kind(), ErrorKind::Ambiguous);
        let mut raw = server.raw();
        assert_eq!(number(&hub, "INCR a").await, 2);
        assert_eq!(number_elsewhere(&hub, "INCR a").await, 3);
        eventually("there is a connection again", || std::future::ready(hub.generation() == 1)).await;
        assert_eq!(number(&hub, "INCR a").await, 4);
        hub.wait_marker(marker_wait("m", "n", Duration::from_millis(10))).await.unwrap();
        let _: i64 = raw.ask("CLIENT KILL TYPE normal");
        assert_eq!(number(&hub, "INCR a").await, 5);
        hub.close().await;
    });
}

#[test]
fn a_runtime_that_nobody_drives_costs_one_call() {
    let outer = runtime();
    let home = runtime();
    let server = outer.block_on(Server::start(&[]));
    let url = format!("{}?call_timeout=2000", server.url());
    let hub = Arc::new(home.block_on(Hub::open_with(&url, stalls_after(200))).unwrap());
    let handle = home.handle().clone();
    // Blocking on a handle lets nobody look at the sockets of a runtime of one thread.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        handle.block_on(async {
            let _ = hub.call(call("INCR a")).await;
            for _ in 0..3 {
                tell.send(hub.call(call("INCR b")).await.map(|_| ())).unwrap();
            }
        });
    });
    for _ in 0..3 {
        told.recv_timeout(LONG).expect("it ends").expect("it is applied");
    }
    assert_eq!(server.raw().ask::<i64>("GET b"), 3);
}

#[test]
fn handlers_that_block_all_threads_hold_up_no_other_call() {
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (server, hub) = home.block_on(async {
        let server = Server::start(&[]).await;
        let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
        // From a task it goes by a connection on that runtime.
        let task = tokio::spawn({
            let hub = hub.clone();
            async move { number(&hub, "INCR a").await }
        });
        assert_eq!(task.await.unwrap(), 1);
        (server, hub)
    });
    let blocked = home.spawn(async move { released.recv() });
    home.block_on(async {
        assert_eq!(number(&hub, "INCR a").await, 2);
    });
    drop(release);
    let _ = home.block_on(blocked);
    drop(server);
}

#[test]
fn a_marker_that_comes_while_its_waiter_is_blocked_is_not_lost() {
    runtime().block_on(async {
        let server = Server::start(&[]).await;
        let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
        let mut raw = server.raw();
        let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(300))));
        under_way(&mut wait).await;
        let before = blocks(&mut raw, "n").await;
        let _: () = raw.ask("ZADD m 0 0");
        // Until the answer to the block is overdue. Others have what is theirs.
        let other = thread::spawn({
            let (hub, mut raw) = (hub.clone(), server.raw());
            move || {
                runtime().block_on(async move {
                    let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "other", LONG)));
                    under_way(&mut wait).await;
                    blocks(&mut raw, "other").await;
                    let _: () = raw.ask("ZADD m 7 1");
                    wait.await.unwrap()
                })
            }
        });
        let (_say, never) = mpsc::channel::<()>();
        assert!(never.recv_timeout(Duration::from_millis(1500)).is_err());
        assert_eq!(other.join().unwrap(), Some(Marker { member: "1".to_owned(), score: 7.0 }));
        let mut marker = wait.await.unwrap();
        if marker.is_none() {
            marker = hub.wait_marker(marker_wait("m", "n", LONG)).await.unwrap();
        }
        assert_eq!(marker, Some(Marker { member: "0".to_owned(), score: 0.0 }));
        let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", LONG)));
        under_way(&mut wait).await;
        assert_eq!(blocks(&mut raw, "n").await, before, "the connection was not given up");
    });
}

#[test]
fn who_waits_elsewhere_by_the_same_name_does_not_depend_on_a_runtime_that_is_blocked() {
    runtime().block_on(async {
        let server = Server::start(&[]).await;
        let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
        let mut raw = server.raw();
        let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", LONG)));
        under_way(&mut wait).await;
        let before = blocks(&mut raw, "n").await;
        let other = thread::spawn({
            let (hub, mut raw) = (hub.clone(), server.raw());
            move || {
                runtime().block_on(async move {
                    // What its connection may have popped is not known, so all look.
                    let looks = hub.wait_marker(marker_wait("m", "n", LONG)).await.unwrap();
                    assert_eq!(looks, Some(Marker { member: "0".to_owned(), score: 0.0 }));
                    let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", LONG)));
                    under_way(&mut wait).await;
                    assert_ne!(blocks(&mut raw, "n").await, before);
                    let _: () = raw.ask("ZADD m 7 1");
                    assert_eq!(wait.await.unwrap(), Some(Marker { member: "1".to_owned(), score: 7.0 }));
                });
            }
        });
        other.join().unwrap();
        assert_eq!(wait.await.unwrap(), Some(Marker { member: "0".to_owned(), score: 0.0 }));
        // From now on it is no longer a matter of this runtime, and one connection is there for both.
        let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", LONG)));
        under_way(&mut wait).await;
        blocks(&mut raw, "n").await;
        let _: () = raw.ask("ZADD m 8 1");
        assert_eq!(wait.await.unwrap(), Some(Marker { member: "1".to_owned(), score: 8.0 }));
        assert_eq!(raw.clients(&["name=n "]).len(), 1);
    });
}

#[tokio::test]
async fn a_connection_to_be_seen_is_the_one_that_is_waited_on() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut raw = server.raw();
    let shows = hub.clone();
    elsewhere(async move { shows.show("m".to_owned(), "n".to_owned(), LONG) }).await.unwrap();
    eventually("it is seen", || std::future::ready(raw.clients(&["name=n "]).len() == 1)).await;
    let mut wait = Box::pin(hub.wait_marker(marker_wait("m", "n", LONG)));
    under_way(&mut wait).await;
    blocks(&mut raw, "n").await;
    let _: () = raw.ask("ZADD m 7 1");
    assert_eq!(wait.await.unwrap(), Some(Marker { member: "1".to_owned(), score: 7.0 }));
    assert_eq!(raw.clients(&["name=n "]).len(), 1);
}

/// Waits until the only connection of this name blocks, and gives the server's number for it.
async fn blocks(raw: &mut Raw, name: &str) -> String {
    let name = format!("name={name} ");
    let mut found = Vec::new();
    eventually("it blocks", || {
        found = raw.clients(&[&name, "flags=b"]);
        std::future::ready(found.len() == 1)
    })
    .await;
    found[0].split(' ').next().unwrap().to_owned()
}

#[test]
fn a_runtime_without_sockets_will_do() {
    let outer = runtime();
    let server = outer.block_on(Server::start(&[]));
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        let hub = Hub::open(&server.url()).await.unwrap();
        assert_eq!(number(&hub, "INCR a").await, 1);
        hub.close().await;
    });
}

#[tokio::test]
async fn a_clock_that_stands_still_ends_no_call_and_holds_none_up() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open_with(&proxy.url(), stalls_after(300)).await.unwrap();
    tokio::time::pause();
    for count in 1..=100 {
        assert_eq!(number(&hub, "INCR a").await, count);
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(hub.generation(), 0);
    proxy.set(Mood::Silent);
    assert_eq!(hub.call(call("INCR a")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(number(&hub, "INCR a").await, 101);
}

#[tokio::test]
async fn a_cut_means_the_same_from_elsewhere() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Arc::new(Hub::open(&proxy.url()).await.unwrap());
    let mut raw = server.raw();
    number_elsewhere(&hub, "INCR a").await;
    proxy.set(Mood::NoAnswers);
    let mut calls = Vec::new();
    for wanted in [call("INCR once"), repeatable("INCR twice")] {
        let hub = hub.clone();
        calls.push(elsewhere(async move { hub.call(wanted).await }));
    }
    eventually("both were applied", || std::future::ready(raw.ask::<i64>("DBSIZE") == 3)).await;
    proxy.set(Mood::Cut);
    let [once, twice] = calls.try_into().unwrap();
    assert_eq!(once.await.unwrap().unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(twice.await.unwrap().unwrap(), Value::Int(2));

    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    for count in 1..=20 {
        let _: i64 = raw.ask("CLIENT KILL TYPE normal SKIPME yes");
        assert_eq!(number_elsewhere(&hub, "INCR never-ambiguous").await, count);
    }
}

#[tokio::test]
async fn a_call_in_flight_when_the_hub_is_closed_may_have_been_applied() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let hub = Hub::open(&proxy.url()).await.unwrap();
    proxy.set(Mood::NoAnswers);
    let began = Instant::now();
    let (lost, ()) = tokio::join!(hub.call(call("INCR a")), hub.close());
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert!(began.elapsed() < CLOSE_PATIENCE + SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_from_everywhere_are_each_answered_once() {
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let hub = hub.clone();
        callers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..50 {
                seen.push(number(&hub, "INCR a").await);
            }
            seen
        });
    }
    let away = {
        let hub = hub.clone();
        elsewhere(async move {
            let mut seen = Vec::new();
            for _ in 0..50 {
                seen.push(number(&hub, "INCR a").await);
            }
            seen
        })
    };
    let mut all: Vec<i64> = callers.join_all().await.into_iter().flatten().collect();
    all.extend(away.await.unwrap());
    all.sort_unstable();
    assert_eq!(all, (1..=1050).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_that_idles_is_left_alone_while_another_hears_the_server() {
    let server = Server::start(&[]).await;
    let every = Duration::from_millis(300);
    let hub = Arc::new(
        Hub::open_with(&server.url(), Settings { ping_every: every, ..Settings::default() }).await.unwrap(),
    );
    let mut raw = server.raw();
    let mut pings = || raw.clients(&["cmd=ping"]).len();
    assert_eq!(number(&hub, "INCR a").await, 1);
    let began = Instant::now();
    let mut first = None;
    while began.elapsed() < every * 6 {
        number_elsewhere(&hub, "INCR b").await;
        first = first.or_else(|| (pings() > 0).then(|| began.elapsed()));
    }
    assert!(first.is_some_and(|first| first > every * 3), "{first:?}: it is asked at last");
    // Nobody vouches for it any more.
    eventually("both are asked", || std::future::ready(pings() == 2)).await;
    assert_eq!(hub.generation(), 0);
}

#[tokio::test]
async fn who_takes_first_brings_the_script_of_the_next_call_along() {
    use crate::scripts::{FINISH, TAKE};
    let server = Server::start(&[]).await;
    let hub = Arc::new(Hub::open(&server.url()).await.unwrap());
    let mut raw = server.raw();
    let take = || Call { script: Some(&TAKE), ..call(&format!("EVALSHA {} 0", TAKE.sha())) };
    let known = format!("SCRIPT EXISTS {} {}", TAKE.sha(), FINISH.sha());
    // It misses its arguments.
    assert!(hub.call(take()).await.is_err());
    assert_eq!(raw.ask::<Vec<bool>>(&known), [true, true]);
    let _: () = raw.ask("SCRIPT FLUSH");
    let other = hub.clone();
    assert!(elsewhere(async move { other.call(take()).await }).await.unwrap().is_err());
    assert_eq!(raw.ask::<Vec<bool>>(&known), [true, true]);
}
