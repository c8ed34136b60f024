//! The thread for what must go on while handlers block the user's runtime: leases, requests to cancel, upkeep.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::shared::Shared;
use super::{leases, upkeep, watchdog};
use crate::error::{Error, ErrorKind, Result};

/// Resolves when the thread has ended.
pub(crate) type Duties = oneshot::Receiver<()>;

/// Starts the thread. It ends soon after `shared.stop` is cancelled.
pub(crate) fn start(shared: Arc<Shared>) -> Result<Duties> {
    let fail = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "start", "the system gives no thread for the leases")
            .caused_by(error)
    };
    // All drivers that are compiled in, because a store's calls are made from here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    let (ended, duties) = oneshot::channel();
    std::thread::Builder::new()
        .name("oxmq-duties".into())
        .spawn(move || {
            runtime.block_on(work(&shared));
            drop(runtime);
            let _ = ended.send(());
        })
        .map_err(fail)?;
    Ok(duties)
}

async fn work(shared: &Shared) {
    let duties = async {
        tokio::join!(
            leases::renew(shared),
            leases::hear_cancellations(shared),
            upkeep::recover(shared),
            upkeep::sweep(shared),
            upkeep::announce(shared),
            watchdog::watch(shared),
        )
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        _ = duties => {}
    }
    if shared.says_goodbye() {
        upkeep::say_goodbye(shared).await;
    }
}
