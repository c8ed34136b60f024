//! A server that is there and says no: busy, full, forgetful.

use oxmq::ErrorKind;
use oxmq_testkit::{Options, Server, eventually, until};

use crate::load::Load;
use crate::{blocking, ms, rounds};

/// A script of somebody else's holds everything up, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_busy_with_a_script() {
    let server = blocking(|| Server::start(Options::new().config("lua-time-limit", "100")));
    let mut load = Load::start("busy", &server.url()).await;
    for _ in 0..rounds(2, 10) {
        let mut other = server.connect(ms(10_000)).unwrap();
        other.send(&["EVAL", "while true do end", "0"]).unwrap();
        let is_busy = || server.command(&["PING"]).is_error();
        blocking(|| until(ms(5_000), is_busy));
        tokio::time::sleep(ms(1_000)).await;
        blocking(|| server.command(&["SCRIPT", "KILL"]).ok());
        load.recovers().await;
        load.until_busy().await;
    }
    assert_eq!(load.refused(ErrorKind::Ambiguous), 0, "nothing was cut");
    load.finish().await;
}

/// Nothing can be added, but what is there is done; then all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full() {
    let server = blocking(|| Server::start(Options::new().config("maxmemory-policy", "noeviction")));
    let mut load = Load::start("full", &server.url()).await;
    for _ in 0..rounds(2, 10) {
        let before = load.refused(ErrorKind::Full);
        blocking(|| server.command(&["CONFIG", "SET", "maxmemory", "1"]).ok());
        eventually(ms(10_000), || async { load.refused(ErrorKind::Full) > before + 5 }).await;
        let drained = || async { load.queue.counts().await.unwrap().unfinished() == 0 };
        eventually(ms(10_000), drained).await;
        blocking(|| server.command(&["CONFIG", "SET", "maxmemory", "0"]).ok());
        load.recovers().await;
        load.until_busy().await;
    }
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_our_scripts() {
    let server = blocking(|| Server::start(Options::new()));
    let mut load = Load::start("script-flush", &server.url()).await;
    for _ in 0..rounds(200, 5_000) {
        blocking(|| server.command(&["SCRIPT", "FLUSH"]).ok());
        load.recovers().await;
        tokio::time::sleep(ms(3)).await;
    }
    assert_eq!(load.refused(ErrorKind::Unavailable) + load.refused(ErrorKind::Ambiguous), 0);
    load.finish().await;
}

/// The wake-up gets lost: there is the poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_that_get_lost() {
    let server = blocking(|| Server::start(Options::new()));
    let mut load = Load::start_with("marker-lost", &server.url(), 2).await;
    for _ in 0..rounds(3, 20) {
        for _ in 0..200 {
            blocking(|| server.command(&["DEL", "bull:q:marker"]));
            tokio::time::sleep(ms(1)).await;
        }
        load.recovers().await;
        // One job alone, whose marker is taken away.
        load.pause_adds().await;
        eventually(ms(10_000), || async { load.queue.counts().await.unwrap().unfinished() == 0 }).await;
        blocking(|| server.command(&["DEL", "bull:q:marker"]));
        let starts = load.starts();
        load.add_one().await;
        blocking(|| server.command(&["DEL", "bull:q:marker"]));
        eventually(ms(3_000), || async { load.starts() > starts }).await;
        load.resume_adds();
        load.until_busy().await;
    }
    load.finish().await;
}
