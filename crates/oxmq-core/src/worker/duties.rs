//! The thread for what must go on while handlers block the user's runtime: leases, requests to cancel, upkeep.
//!
//! Workers of one process that share a store share the thread: what they do at the same time wakes it once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::shared::Shared;
use super::{leases, upkeep, watchdog};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// So many workers share a thread; the next one has another.
const WORKERS_MAX: usize = 64;

/// The threads that there are. Each lives as long as a worker that has it.
static THREADS: Mutex<Vec<Weak<Thread>>> = Mutex::new(Vec::new());

/// Resolves when the duties of a worker have ended.
pub(crate) type Duties = oneshot::Receiver<()>;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread, as each of its workers holds it.
struct Thread {
    store: Arc<dyn Store>,
    /// No more than [`WORKERS_MAX`] at a time.
    workers: mpsc::UnboundedSender<Work>,
}

/// Starts a worker's duties. They end soon after `shared.stop` is cancelled.
pub(crate) fn start(shared: Arc<Shared>) -> Result<Duties> {
    let (ended, duties) = oneshot::channel();
    let thread = Thread::of(&shared.store)?;
    let held = thread.clone();
    let work = async move {
        work(&shared).await;
        drop((shared, held));
        let _ = ended.send(());
    };
    match thread.workers.send(Box::pin(work)) {
        Ok(()) => Ok(duties),
        Err(_) => Err(Error::new(ErrorKind::Internal, "start", "the thread for the leases has ended")),
    }
}

impl Thread {
    /// The thread for one more worker of this store.
    fn of(store: &Arc<dyn Store>) -> Result<Arc<Self>> {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| thread.strong_count() > 0);
        let has_room = |thread: &Arc<Self>| {
            // Beside the worker's there is this one.
            let is_its = std::ptr::addr_eq(Arc::as_ptr(&thread.store), Arc::as_ptr(store));
            is_its && Arc::strong_count(thread) <= WORKERS_MAX
        };
        if let Some(thread) = threads.iter().filter_map(Weak::upgrade).find(has_room) {
            return Ok(thread);
        }
        let thread = Self::start(store)?;
        threads.push(Arc::downgrade(&thread));
        Ok(thread)
    }

    fn start(store: &Arc<dyn Store>) -> Result<Arc<Self>> {
        let fail = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, "start", "the system gives no thread for the leases")
                .caused_by(error)
        };
        // All drivers that are compiled in, because a store's calls are made from here.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let (workers, mut incoming) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("oxmq-duties".into())
            .spawn(move || {
                runtime.block_on(async {
                    let mut all = JoinSet::new();
                    while let Some(work) = incoming.recv().await {
                        all.spawn(work);
                        while all.try_join_next().is_some() {}
                    }
                    // Each that goes on holds the way in, so these are about to end.
                    while all.join_next().await.is_some() {}
                });
            })
            .map_err(fail)?;
        Ok(Arc::new(Self { store: store.clone(), workers }))
    }
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

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use super::*;
    use crate::conformance::ModelStore;

    #[test]
    fn workers_of_a_store_share_a_thread_and_it_ends_with_the_last() {
        let stores: [Arc<dyn Store>; 2] = [Arc::new(ModelStore::new()), Arc::new(ModelStore::new())];
        let of = |index: usize| Thread::of(&stores[index]).unwrap();
        let first = of(0);
        let others: Vec<_> = (1..WORKERS_MAX).map(|_| of(0)).collect();
        assert!(others.iter().all(|thread| Arc::ptr_eq(thread, &first)));
        assert!(!Arc::ptr_eq(&of(0), &first), "it is full");
        assert!(!Arc::ptr_eq(&of(1), &first), "it is another store's");
        drop(others);
        assert!(Arc::ptr_eq(&of(0), &first), "there is room again");
        // What is under way when nobody else has it goes on to its end.
        let (tell, told) = oneshot::channel();
        let (let_end, may_end) = oneshot::channel::<()>();
        let held = first.clone();
        let work = async move {
            let _ = may_end.await;
            drop(held);
            let _ = tell.send(std::thread::current().name().map(str::to_owned));
        };
        first.workers.send(Box::pin(work)).unwrap_or_else(|_| unreachable!());
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_some());
        let_end.send(()).unwrap();
        assert_eq!(told.blocking_recv().unwrap().as_deref(), Some("oxmq-duties"));
        assert!(gone.upgrade().is_none());
    }
}
