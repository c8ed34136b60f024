//! The way to the server: connections closed, half open, answers that get lost.

use oxmq::ErrorKind;
use oxmq_testkit::{Options, Proxy, Server, until};

use crate::load::Load;
use crate::{blocking, is_long, ms, rounds};

/// Every connection there is, one after the other: for commands, for waiting, for events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed() {
    let server = blocking(|| Server::start(Options::new()));
    let mut load = Load::start_with("client-kill", &server.url(), 2).await;
    let mut reader = load.queue.events(oxmq::EventCursor::Now).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut count = 0_u64;
        loop {
            match reader.next().await {
                Ok(_) => count += 1,
                Err(error) if error.kind() == ErrorKind::Closed => return count,
                Err(error) => assert!(error.kind().is_transient(), "{error:?}"),
            }
        }
    });
    let mut killed = std::collections::BTreeMap::new();
    for _ in 0..rounds(2, 20) {
        for (id, command) in clients(&server) {
            blocking(|| server.command(&["CLIENT", "KILL", "ID", &id]));
            *killed.entry(command).or_insert(0) += 1;
            load.recovers().await;
        }
        load.until_busy().await;
    }
    println!("client-kill: killed {killed:?} (by the last command)");
    assert!(
        killed.contains_key("bzpopmin") && killed.contains_key("xread") && killed.len() > 2,
        "{killed:?}"
    );
    let store = load.store.clone();
    load.finish().await;
    store.close().await.unwrap();
    assert!(reading.await.unwrap() > 100, "the reader of events has read on");
}

/// The connections but for the kit's own: id and last command.
fn clients(server: &Server) -> Vec<(String, String)> {
    let list = blocking(|| server.command(&["CLIENT", "LIST"])).text();
    let field = |line: &str, name: &str| {
        let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let ours = list.lines().filter(|line| field(line, "addr").starts_with("127."));
    ours.map(|line| (field(line, "id"), field(line, "cmd"))).collect()
}

/// Nothing arrives and nothing is closed, as with a broken cable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_half_open() {
    let server = blocking(|| Server::start(Options::new()));
    let proxy = Proxy::start(server.addr());
    let mut load = Load::start("half-open", &server.url_at(proxy.addr())).await;
    for _ in 0..rounds(1, 10) {
        blocking(|| proxy.blackhole());
        tokio::time::sleep(ms(if is_long() { 10_000 } else { 4_000 })).await;
        blocking(|| proxy.restore());
        load.recovers().await;
        assert!(!load.take_errors().is_empty(), "the loss is told");
        load.until_busy().await;
    }
    load.finish().await;
}

/// The server does it, and we do not hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_get_lost() {
    let server = blocking(|| Server::start(Options::new()));
    let proxy = Proxy::start(server.addr());
    let mut load = Load::start("answers-lost", &server.url_at(proxy.addr())).await;
    for round in 0..rounds(10, 100) {
        let (before, count) = (proxy.swallowed(), 1 + round as u64 % 4);
        blocking(|| proxy.drop_replies(count));
        // The last answer that is swallowed cuts, and it is over.
        blocking(|| until(ms(10_000), || proxy.swallowed() == before + count));
        load.recovers().await;
        load.until_busy().await;
    }
    assert!(load.refused(ErrorKind::Ambiguous) > 0, "an add was cut off");
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_and_refused() {
    let server = blocking(|| Server::start(Options::new()));
    let proxy = Proxy::start(server.addr());
    let mut load = Load::start("cut", &server.url_at(proxy.addr())).await;
    for _ in 0..rounds(5, 50) {
        blocking(|| proxy.refuse());
        blocking(|| proxy.cut());
        tokio::time::sleep(ms(200)).await;
        blocking(|| proxy.restore());
        load.recovers().await;
        load.until_busy().await;
    }
    load.finish().await;
}
