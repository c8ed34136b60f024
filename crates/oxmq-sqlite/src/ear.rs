//! Hearing other processes' nudges on the runtime of those who wait: no change of thread between a commit there and a worker here.
//!
//! One of the waits on the runtime listens, for all of them; when it ends, another takes its turn. What a nudge does not say is left to the
//! watcher's thread, as all is that waits elsewhere: on another runtime, or where a thread blocks on a future.

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{Ear, Ears};
#[cfg(not(target_os = "linux"))]
pub(crate) use self::none::{Ear, Ears};

#[cfg(target_os = "linux")]
mod linux {
    use std::convert::Infallible;
    use std::fs::File;
    use std::future::pending;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::{Handle, Id, RuntimeFlavor};

    use crate::lock::hint;
    use crate::wake::Bells;
    use crate::watch::LOOK_GAP;

    /// The ear on the runtime of most waits.
    #[derive(Default)]
    pub(crate) struct Ears(Mutex<Option<(Id, Option<Arc<Ear>>)>>);

    /// A watch on the side file, by a runtime.
    pub(crate) struct Ear {
        watch: AsyncFd<OwnedFd>,
        side: File,
        /// Whose turn it is to listen, and whether something was heard since the watcher's last look. Until that nothing more is heard: a
        /// process that commits in a loop nudges thousands of times a second.
        turn: tokio::sync::Mutex<bool>,
    }

    impl Ears {
        /// The ear where we are, if it is the runtime of the others that wait, or nobody else does.
        pub(crate) fn here(&self, side: impl FnOnce() -> PathBuf, bells: &Bells) -> Option<Arc<Ear>> {
            let here = Handle::try_current().ok().filter(is_run_by)?;
            let mut ears = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*ears {
                Some((runtime, ear)) if *runtime == here.id() => return ear.clone(),
                // Somebody listens elsewhere.
                Some((_, Some(ear))) if Arc::strong_count(ear) > 1 => return None,
                _ => {}
            }
            let ear = Ear::open(&side()).map(Arc::new);
            *ears = Some((here.id(), ear.clone()));
            // For what was committed before the watch stood.
            bells.signal().call_for_look(Duration::ZERO);
            ear
        }
    }

    /// Whether we are in what the runtime runs. A future that a thread blocks on beside a runtime of several threads is not: it would hear
    /// nothing while handlers block all of these.
    fn is_run_by(runtime: &Handle) -> bool {
        runtime.runtime_flavor() == RuntimeFlavor::CurrentThread || tokio::task::try_id().is_some()
    }

    impl Ear {
        fn open(side: &Path) -> Option<Self> {
            // Tokio tells that a runtime has no I/O by a panic only.
            if cfg!(panic = "abort") {
                return None;
            }
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            inotify::add_watch(&watch, side, WatchFlags::MODIFY).ok()?;
            let side = File::open(side).ok()?;
            #[allow(
                deprecated,
                reason = "what replaces it, for descriptors that are not owned, came long after 1.45"
            )]
            let registered = catch_unwind(|| AsyncFd::with_interest(watch, Interest::READABLE));
            Some(Self { watch: registered.ok()?.ok()?, side, turn: tokio::sync::Mutex::default() })
        }

        /// Listens when it is its turn, and rings the queues that nudges are about; for as long as it is polled.
        pub(crate) async fn listen(&self, bells: &Bells) -> Infallible {
            loop {
                let mut heard = self.turn.lock().await;
                if *heard && bells.is_watched() {
                    bells.looked().await;
                }
                *heard = false;
                // When the runtime's driver has gone, nothing of it is polled any more.
                let Ok(mut ready) = self.watch.readable().await else { return pending().await };
                let mut buffer = [MaybeUninit::uninit(); 512];
                let mut reader = Reader::new(self.watch.get_ref(), &mut buffer);
                while reader.next().is_ok() {
                    *heard = true;
                }
                ready.clear_ready();
                if *heard {
                    let is_news = hint(&self.side).is_some_and(|mark| bells.hint(mark));
                    // Several nudges may have become one, and there is more to hear of than work. Whoever was woken by this one is at the
                    // file now; a look beside it would be in its way.
                    bells.signal().call_for_look(if is_news { LOOK_GAP } else { Duration::ZERO });
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::convert::Infallible;
    use std::path::PathBuf;
    use std::sync::Arc;

    use crate::wake::Bells;

    /// There are none here.
    #[derive(Default)]
    pub(crate) struct Ears;

    /// There is none here.
    pub(crate) enum Ear {}

    impl Ears {
        pub(crate) fn here(&self, _side: impl FnOnce() -> PathBuf, _bells: &Bells) -> Option<Arc<Ear>> {
            None
        }
    }

    impl Ear {
        pub(crate) async fn listen(&self, _bells: &Bells) -> Infallible {
            match *self {}
        }
    }
}
