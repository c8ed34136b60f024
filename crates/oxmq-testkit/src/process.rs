//! Server processes: started so that they end with the test, and signalled.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Once, OnceLock};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Starts a program that is killed when this process ends, however it ends, if `setpriv` is there (Linux).
///
/// The kernel sends that signal when the *thread* that started the child ends. Tests are threads, and a server may be
/// shared by several of them, so one thread that lives as long as the process starts all.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        let work = move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new()
            .name("oxmq-testkit-spawn".into())
            .spawn(work)
            .expect("a thread can be started");
        sender
    });
    let (sender, answer) = mpsc::channel();
    spawner.send((command, sender)).expect("the spawning thread lives");
    answer.recv().expect("the spawning thread answers")
}

/// A command that runs `program` under the parent's-death signal where that can be had.
pub(crate) fn mortal(program: &std::path::Path) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let has_setpriv = SETPRIV.get_or_init(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// A new temporary folder, whose name says which process made it. The first call removes those of processes that are
/// gone: a process that is killed does not clean up, nor does one that shares a server to its end.
pub(crate) fn folder() -> io::Result<TempDir> {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let maker =
                name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split_once('-')?.0.parse().ok());
            let is_gone = |pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
            if maker.and_then(Pid::from_raw).is_some_and(is_gone) {
                // Another process may be sweeping as well.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    tempfile::Builder::new().prefix(&format!("{FOLDER}{}-", std::process::id())).tempdir()
}

/// How the names of temporary folders begin; the process's id follows.
const FOLDER: &str = "oxmq-kit-";

/// Sends a signal to a child that was not waited for yet, so its id is still its own.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
}
