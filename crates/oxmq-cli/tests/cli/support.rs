//! A store in a directory of its own, and the binary to run on it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use oxmq::Clock;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A directory, a store in it, and the binary.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    url: String,
}

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url: crate::store_url() }
    }

    /// A store with jobs `a`, `b`, .. waiting in the queue `q`.
    pub(crate) fn with_jobs(ids: &[&str]) -> Self {
        let bench = Self::new();
        for id in ids {
            bench.ok(&["add", "q", "job", "--id", id]);
        }
        bench
    }

    /// The URL of the store.
    #[allow(dead_code, reason = "not all programs of tests need it")]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with these arguments, on the store of this directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq"));
        command.args(args).current_dir(self.dir.path()).env("OXMQ_URL", &self.url);
        // What a worker that is killed leaves there goes with the directory.
        command.env("TMPDIR", self.dir.path());
        command.env_remove("REDIS_URL").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// With something on stdin.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        ran(child.wait_with_output().unwrap())
    }

    /// The stdout of a run that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// The lines of JSON of a run that must succeed.
    pub(crate) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let mut all = args.to_vec();
        all.push("--json");
        self.ok(&all).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The one line of JSON of a run that must succeed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut lines = self.lines(args);
        assert_eq!(lines.len(), 1, "{args:?}: {lines:?}");
        lines.remove(0)
    }

    /// The stderr of a run that must end with this code.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran.stderr
    }

    /// A job of the queue `q`.
    pub(crate) fn job(&self, id: &str) -> Value {
        self.json(&["job", "q", id])
    }

    pub(crate) fn state(&self, id: &str) -> String {
        self.job(id)["state"].as_str().unwrap().to_owned()
    }

    /// A worker on the queue `q`, in the background, with a lease of a second.
    pub(crate) fn worker(&self, program: &str, args: &[&str]) -> Running {
        let mut all = vec!["work", "q", "--exec", program, "--lease", "1s"];
        all.extend(args);
        let number = std::fs::read_dir(self.dir.path()).unwrap().count();
        let stderr = self.path(&format!("worker-{number}.err"));
        let mut command = self.command(&all);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&stderr).unwrap());
        Running { child: command.spawn().unwrap(), stderr: Some(stderr) }
    }

    /// Runs a program for every job of `q` until there is none left.
    pub(crate) fn work_off(&self, program: &str, args: &[&str]) -> Ran {
        let mut all = vec!["work", "q", "--exec", program, "--until-drained"];
        all.extend(args);
        let ran = self.run(&all);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }
}

/// A process in the background; killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// Where its stderr goes, if that is a file.
    stderr: Option<PathBuf>,
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self { child, stderr: None }
    }
}

impl Running {
    /// Waits until it has said this on stderr.
    pub(crate) fn wait_for(&self, words: &str) {
        let said = || std::fs::read_to_string(self.stderr.as_ref().unwrap()).unwrap();
        eventually(words, || said().contains(words).then_some(()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits until it has ended, and gives its exit code.
    pub(crate) fn code(&mut self) -> i32 {
        eventually("the process has ended", || {
            self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Looks until there is an answer; panics at the deadline.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look)
}

/// Looks until there is an answer; panics after so long.
pub(crate) fn eventually_within<T>(wait: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let deadline = clock.now() + wait;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    while clock.now() < deadline {
        if let Some(answer) = look() {
            return answer;
        }
        runtime.block_on(clock.sleep(Duration::from_millis(20)));
    }
    panic!("not within {wait:?}: {what}");
}

/// Lines for `add --bulk`.
pub(crate) fn bulk_lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, index| {
        writeln!(lines, "{{\"name\":\"n\",\"data\":{{\"i\":{index}}}}}").unwrap();
        lines
    })
}
