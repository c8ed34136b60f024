//! A backend that runs, and a line to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Where the clock of the callers begins. It stands still unless a test moves it, but it is ahead of that of every server.
pub(crate) const START: i64 = 1_700_000_000_000;

/// The command, on a store, in a directory.
pub(crate) fn command(dir: &Path, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq"));
    command.arg("backend").args(args).current_dir(dir).env("OXMQ_URL", url);
    command.env_remove("REDIS_URL").env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What has been answered, by the ids of the requests; what has none is under `null`.
#[derive(Default)]
struct Heard {
    answers: HashMap<String, Value>,
    has_ended: bool,
}

/// A stream to a backend.
pub(crate) struct Line {
    output: Mutex<Option<Box<dyn Write + Send>>>,
    heard: Arc<(Mutex<Heard>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    next: AtomicU64,
    now: AtomicI64,
}

/// A request that was sent.
pub(crate) struct Asked<'a> {
    line: &'a Line,
    id: String,
}

impl Line {
    pub(crate) fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let heard: Arc<(Mutex<Heard>, Condvar)> = Arc::default();
        let hearing = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(input).lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).expect(&line);
                assert_eq!(answer["jsonrpc"], "2.0", "{line}");
                hearing.0.lock().unwrap().answers.insert(answer["id"].to_string(), answer);
                hearing.1.notify_all();
            }
            hearing.0.lock().unwrap().has_ended = true;
            hearing.1.notify_all();
        });
        Self {
            output: Mutex::new(Some(Box::new(output))),
            heard,
            reader: Some(reader),
            next: AtomicU64::new(1),
            now: AtomicI64::new(START),
        }
    }

    /// Sends text as it is.
    pub(crate) fn write(&self, text: &str) {
        let mut output = self.output.lock().unwrap();
        output.as_mut().expect("the line is open").write_all(text.as_bytes()).unwrap();
    }

    /// Ends this side of the stream.
    pub(crate) fn hang_up(&self) {
        self.output.lock().unwrap().take();
    }

    /// Moves the clock of the callers.
    pub(crate) fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// A request as text; with the client 1, the queue `q` and the time, unless it says otherwise.
    pub(crate) fn text(&self, method: &str, params: &Value) -> (String, String) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let mut all = json!({ "client": 1, "queue": "q", "prefix": "bull", "now": self.now() });
        all.as_object_mut().unwrap().extend(params.as_object().expect("an object").clone());
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": all });
        (id.to_string(), format!("{request}\n"))
    }

    /// Sends a request.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Asked<'_> {
        let (id, text) = self.text(method, &params);
        self.write(&text);
        Asked { line: self, id }
    }

    /// Sends several requests in one write.
    pub(crate) fn ask_all<'a>(
        &'a self,
        requests: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Vec<Asked<'a>> {
        let (mut texts, mut asked) = (String::new(), Vec::new());
        for (method, params) in requests {
            let (id, text) = self.text(method, &params);
            texts.push_str(&text);
            asked.push(Asked { line: self, id });
        }
        self.write(&texts);
        asked
    }

    /// The result of a request.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).answer();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The error of a request: its text and its number.
    pub(crate) fn refusal(&self, method: &str, params: Value) -> (String, Value) {
        let error = self.ask(method, params).answer()["error"].take();
        (error["message"].as_str().expect(method).to_owned(), error["data"]["code"].clone())
    }

    /// Opens a client.
    pub(crate) fn open(&self, client: i64, role: &str) {
        self.call("open", json!({ "client": client, "role": role }));
    }

    /// Adds a job to `q`; its id.
    pub(crate) fn add(&self, opts: Value) -> String {
        self.call("addJob", self.job(opts)).as_str().unwrap().to_owned()
    }

    /// The parameters of an `addJob`.
    pub(crate) fn job(&self, opts: Value) -> Value {
        json!({ "job": { "name": "n", "data": "{\"a\": 1}", "opts": opts, "timestamp": self.now() }, "jobId": opts["jobId"] })
    }

    /// How many jobs are in these states.
    pub(crate) fn counts(&self, states: &[&str]) -> Vec<u64> {
        let counts = self.call("getCounts", json!({ "types": states }));
        counts.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
    }

    /// Takes a job of `q` that must be there.
    pub(crate) fn take(&self, token: &str) -> Value {
        let next = self.call("moveToActive", json!({ "token": token, "ctx": ctx() }));
        assert!(next[1].is_string(), "there is a job: {next}");
        next
    }

    /// The answer to a request of any id, once it is there.
    pub(crate) fn answer(&self, id: &str) -> Value {
        let (lock, told) = &*self.heard;
        let waiting = lock.lock().unwrap();
        let is_missing = |heard: &mut Heard| !heard.answers.contains_key(id) && !heard.has_ended;
        let (mut heard, timeout) = told.wait_timeout_while(waiting, DEADLINE, is_missing).unwrap();
        assert!(!timeout.timed_out(), "request {id} was not answered");
        heard.answers.remove(id).unwrap_or_else(|| panic!("the stream ended before {id} was answered"))
    }

    /// Waits until the other side has ended the stream.
    #[allow(dead_code, reason = "not all programs of tests need it")]
    pub(crate) fn wait_for_end(&self) {
        let (lock, told) = &*self.heard;
        let waiting = lock.lock().unwrap();
        let (heard, _) = told.wait_timeout_while(waiting, DEADLINE, |heard| !heard.has_ended).unwrap();
        assert!(heard.has_ended, "the stream goes on");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hang_up();
        if let Some(reader) = self.reader.take().filter(|_| !std::thread::panicking()) {
            let _ = reader.join();
        }
    }
}

impl Asked<'_> {
    /// The whole answer.
    pub(crate) fn answer(self) -> Value {
        self.line.answer(&self.id)
    }

    pub(crate) fn result(self) -> Value {
        let answer = self.answer();
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }
}

/// The options of a worker.
pub(crate) fn ctx() -> Value {
    json!({ "lockDuration": 30_000, "maxStalledCount": 1, "stalledInterval": 30_000 })
}

/// A backend over stdio, with client 1 open.
pub(crate) struct Backend {
    pub(crate) line: Line,
    #[allow(dead_code, reason = "not all programs of tests end it by hand")]
    pub(crate) process: Process,
    pub(crate) dir: TempDir,
    pub(crate) url: String,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let url = crate::store_url();
        let dir = tempfile::tempdir().unwrap();
        let (line, process) = over_stdio(dir.path(), &url);
        line.open(1, "worker");
        Self { line, process, dir, url }
    }

    /// One more process on the same store.
    #[allow(dead_code, reason = "not all programs of tests need it")]
    pub(crate) fn another(&self) -> (Line, Process) {
        over_stdio(self.dir.path(), &self.url)
    }
}

impl std::ops::Deref for Backend {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

fn over_stdio(dir: &Path, url: &str) -> (Line, Process) {
    let mut child = command(dir, url, &["--stdio"]).spawn().unwrap();
    let line = Line::new(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    (line, Process(child))
}

/// A process; killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

#[allow(dead_code, reason = "not all programs of tests need all")]
impl Process {
    /// Waits until it has ended; its exit code, and what it said on stderr.
    pub(crate) fn end(&mut self) -> (i32, String) {
        let status = eventually("the process ends", || self.0.try_wait().unwrap());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code().unwrap_or(-1), said)
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until there is an answer; panics at the deadline.
#[allow(dead_code, reason = "not all programs of tests need it")]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = oxmq::Clock::system();
    let deadline = clock.now() + DEADLINE;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    while clock.now() < deadline {
        if let Some(answer) = look() {
            return answer;
        }
        runtime.block_on(clock.sleep(Duration::from_millis(20)));
    }
    panic!("not within {DEADLINE:?}: {what}");
}

/// The path of a file in a directory.
#[allow(dead_code, reason = "not all programs of tests need it")]
pub(crate) fn path_in(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}
