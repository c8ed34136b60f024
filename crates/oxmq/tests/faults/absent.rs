//! No server at all.

use oxmq::{ErrorKind, HandlerError, Queue, Worker};
use oxmq_testkit::{Options, Proxy, Server, eventually};
use tokio::time::Instant;

use crate::{blocking, ms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_to_nobody_is_an_error_in_time() {
    let server = blocking(|| Server::start(Options::new()));
    let proxy = Proxy::start(server.addr());
    blocking(|| server.kill());
    let begin = Instant::now();
    let error = oxmq::connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(begin.elapsed() < ms(1_000), "a refusal is told at once, not after {:?}", begin.elapsed());
    assert!(error.to_string().contains(&server.port().to_string()), "{error}");
    blocking(|| proxy.blackhole());
    let begin = Instant::now();
    let error = oxmq::connect(&server.url_at(proxy.addr())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(begin.elapsed() < ms(6_000), "{:?}", begin.elapsed());
}

/// However many there are at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adds_without_a_server_end_in_time() {
    let server = blocking(|| Server::start(Options::new()));
    let store = oxmq::connect(&format!("{}?call_timeout=1000", server.url())).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    blocking(|| server.kill());
    for _ in 0..2 {
        let begin = Instant::now();
        let adds: Vec<_> = (0..1_000_u32)
            .map(|n| {
                let add = queue.add_named("x", &n);
                tokio::spawn(async move { (add.await.unwrap_err(), begin.elapsed()) })
            })
            .collect();
        for add in adds {
            let (error, took) = add.await.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(took < ms(2_500), "an add with a deadline of 1 s took {took:?}");
        }
    }
    blocking(|| server.restart());
    // The deadline of a call may be over before the next try to connect.
    eventually(ms(10_000), || async { queue.add_named("x", &1).await.is_ok() }).await;
    assert_eq!(queue.counts().await.unwrap().waiting, 1, "what was said not to be added is not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_starts_without_a_server_works_when_there_is_one() {
    let server = blocking(|| Server::start(Options::new().aof()));
    let store = oxmq::connect(&format!("{}?call_timeout=500", server.url())).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    let added = queue.add_named("x", &1).await.unwrap();
    blocking(|| server.kill());
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::builder(&store, "q")
        .handle_any(|n: u32| async move { Ok::<u32, HandlerError>(n) })
        .on(move |event| drop(told.send(format!("{event:?}"))))
        .start()
        .unwrap();
    let first = tells.recv().await.unwrap();
    assert!(first.contains("Error") && first.contains("unavailable"), "{first}");
    blocking(|| server.restart());
    let begin = Instant::now();
    let ended = || async {
        let view = queue.job(added.id.clone()).await;
        view.is_ok_and(|view| view.unwrap().job.finished_on.is_some())
    };
    eventually(ms(10_000), ended).await;
    println!("fault=absent-at-start rounds=1 recovery_ms max={}", begin.elapsed().as_millis());
    worker.close().await.unwrap();
}
