//! The server itself: ended, killed, frozen, busy with loading.

use oxmq::{Error, ErrorKind};
use oxmq_testkit::{Options, Server, until};

use crate::load::Load;
use crate::{blocking, is_long, kill, ms, rounds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_in_order() {
    let server = blocking(|| Server::start(Options::new().aof()));
    let mut load = Load::start("restart-term", &server.url()).await;
    for _ in 0..rounds(3, 30) {
        blocking(|| server.restart());
        load.recovers().await;
        load.until_busy().await;
    }
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed() {
    let server = blocking(|| Server::start(Options::new().aof()));
    let mut load = Load::start_with("restart-kill", &server.url(), 2).await;
    for _ in 0..rounds(3, 30) {
        blocking(|| kill(&server));
        tokio::time::sleep(ms(300)).await;
        blocking(|| server.restart());
        load.recovers().await;
        load.until_busy().await;
    }
    assert!(!server.log().contains("MULTI calls can not be nested"), "the server's file is damaged");
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_frozen() {
    let server = blocking(|| Server::start(Options::new()));
    let mut load = Load::start("frozen", &server.url()).await;
    for _ in 0..rounds(1, 3) {
        blocking(|| server.freeze());
        tokio::time::sleep(ms(if is_long() { 10_000 } else { 4_000 })).await;
        blocking(|| server.thaw());
        load.recovers().await;
        assert!(!load.take_errors().is_empty(), "the loss is told");
        load.until_busy().await;
    }
    load.finish().await;
}

/// Longer than any call waits: calls end with errors that tell, and the workers are there when the server is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_for_longer_than_a_call_may_take() {
    let server = blocking(|| Server::start(Options::new().aof()));
    let url = format!("{}?call_timeout=1000", server.url());
    let mut load = Load::start("away", &url).await;
    for _ in 0..rounds(1, 5) {
        blocking(|| kill(&server));
        tokio::time::sleep(ms(4_000)).await;
        assert!(load.refused(ErrorKind::Unavailable) > 0, "adds are told");
        assert!(load.slowest_add() <= ms(2_500), "{:?}", load.slowest_add());
        let errors = load.take_errors();
        let mut operations: Vec<_> = errors.iter().map(Error::operation).collect();
        operations.sort_unstable();
        operations.dedup();
        assert!(
            errors.iter().all(|error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Ambiguous)),
            "{errors:?}"
        );
        assert!(operations.len() >= 2, "each duty tells of it: {errors:?}");
        blocking(|| server.restart());
        load.recovers().await;
        load.until_busy().await;
    }
    load.finish().await;
}

/// Long enough that everything that tries again does so at its slowest pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_for_seconds() {
    let server = blocking(|| Server::start(Options::new().aof()));
    let patient = Load::start("gone-for-seconds", &server.url()).await;
    // Its calls end, so that its worker is between two tries as a rule.
    let url = format!("{}?call_timeout=200", server.url());
    let hasty = Load::start_on("gone-for-seconds-200ms-calls", &url, "hasty", 1).await;
    let mut loads = [patient, hasty];
    for _ in 0..rounds(1, 12) {
        blocking(|| kill(&server));
        tokio::time::sleep(ms(fastrand::u64(4_000..6_000))).await;
        blocking(|| server.restart());
        let [patient, hasty] = &mut loads;
        tokio::join!(patient.recovers(), hasty.recovers());
        patient.until_busy().await;
        hasty.until_busy().await;
    }
    for load in loads {
        load.finish().await;
    }
}

/// A server that loads its data answers `LOADING` to everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_its_data() {
    // Each key is loaded with a pause, in microseconds: a big file without the disk.
    let options = Options::new()
        .aof()
        .config("aof-use-rdb-preamble", "no")
        .config("loading-process-events-interval-bytes", "1024");
    let server = blocking(|| Server::start(options));
    let mut load = Load::start("loading", &server.url()).await;
    blocking(|| {
        let keys = if is_long() { "1000000" } else { "200000" };
        server.command(&["DEBUG", "POPULATE", keys, "other"]).ok();
        server.command(&["BGREWRITEAOF"]).ok();
        until(ms(20_000), || server.info("aof_rewrite_in_progress") == "0");
    });
    for _ in 0..rounds(2, 10) {
        let before = server.log().matches("DB loaded").count();
        // The kit waits until it answers, also with LOADING.
        blocking(|| server.restart());
        blocking(|| until(ms(20_000), || server.try_info("loading").as_deref() == Some("0")));
        load.recovers().await;
        assert!(server.log().matches("DB loaded").count() > before, "{}", server.log());
        load.until_busy().await;
    }
    load.finish().await;
}
