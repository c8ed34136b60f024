//! Letting others go on.

use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Lets all other tasks go on that are ready.
///
/// This is tokio's `yield_now` on a runtime of one thread. On others that one goes on by the thread on which it was called, and whoever
/// blocks that thread meanwhile, say a handler, stops it for as long: there this goes behind the tasks that are ready, and on by any thread.
pub async fn turn() {
    if has_one_thread() {
        return tokio::task::yield_now().await;
    }
    go_behind().await;
}

fn has_one_thread() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

async fn go_behind() {
    let mut is_over = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// After so many turns a thread of a runtime with tokio's settings has looked for what has arrived; it looks each 61st.
const HEARD_AFTER: usize = 64;

/// Lets the runtime hear what has arrived. If somebody blocks the thread meanwhile, this goes on by another without.
pub async fn hear() {
    if has_one_thread() {
        return tokio::task::yield_now().await;
    }
    let turns = async {
        for _ in 0..HEARD_AFTER {
            go_behind().await;
        }
    };
    tokio::select! {
        biased;
        () = tokio::task::yield_now() => {}
        () = turns => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    /// On two threads, of which one is blocked by a task that gets its turn.
    fn is_over<F: Future<Output = ()> + Send + 'static>(waits: fn() -> F) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (go, gone) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move {
            tokio::spawn(async move {
                let _ = gone.recv();
            });
            waits().await;
            let _ = tell.send(());
        });
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(go);
    }

    #[test]
    fn a_turn_is_over_though_somebody_blocks_the_thread() {
        is_over(super::turn);
        is_over(super::hear);
    }
}
