//! What bounds a whole queue, over all workers: jobs at a time, and jobs in a time. And how many ended.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxmq::{Clock, HandlerError, JobState, MetricsTime, Queue, Worker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "calls")?;
    // The service that is called allows two calls at a time, and five in a quarter of a second.
    queue.set_global_concurrency(2).await?;
    queue.set_global_rate_limit(5, Duration::from_millis(250)).await?;
    println!("{:?}", queue.limits().await?);

    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let call = move |number: u32| {
        let (running, seen) = (running.clone(), seen.clone());
        async move {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            println!("call {number}");
            Ok::<(), HandlerError>(())
        }
    };
    let start = Clock::system().now();
    let mut last = None;
    for number in 0..12_u32 {
        last = Some(queue.add_named("call", &number).await?.id);
    }
    // Two workers, which could run 16 at a time.
    let worker = || Worker::builder(&store, "calls").concurrency(8).metrics(MetricsTime::ONE_HOUR);
    let (one, other) = (worker().handle_any(call.clone()).start()?, worker().handle_any(call).start()?);
    if let Some(last) = last {
        queue.wait_for(last, None).await?;
    }
    one.close().await?;
    other.close().await?;

    let took = Clock::system().now() - start;
    println!("12 calls in {took:?}, {} at a time", most.load(Ordering::SeqCst));
    anyhow::ensure!(most.load(Ordering::SeqCst) <= 2 && took >= Duration::from_millis(450), "{took:?}");
    let completed = queue.metrics(JobState::Completed, MetricsTime::FIVE_MINUTES).await?;
    println!("completed in the last minutes: {:?}", completed.minutes);
    anyhow::ensure!(completed.total == 12);
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
