//! A Node process that does what it is told: the other end of `node/agent.mjs`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::rig::until;
use crate::server;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What JavaScript has and JSON has not.
pub fn undefined() -> Value {
    json!({ "$undefined": true })
}

/// An error that Node answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeError {
    pub name: String,
    pub message: String,
    /// BullMQ's number for it, if it has one.
    pub code: Value,
}

#[derive(Default)]
struct Heard {
    /// Who waits for which answer.
    pending: HashMap<u64, oneshot::Sender<Value>>,
    /// What it told unasked.
    told: Vec<Value>,
    ended: bool,
}

/// A Node process. It ends when this is dropped, and with this program.
pub struct Agent {
    child: Mutex<Child>,
    stdin: Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    next: AtomicU64,
}

/// Where `package.json` is.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A command that runs a script of `node/`, with the server's URL.
pub fn node(script: &str) -> Command {
    assert!(
        folder().join("node_modules/bullmq/package.json").is_file(),
        "interop/node_modules is missing: `cargo xtask test` installs it"
    );
    let mut command = Command::new("node");
    command.arg(folder().join("node").join(script)).env("OXMQ_INTEROP_URL", server::url());
    command
}

/// Starts it, with its stdin and stdout as pipes.
pub fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let shown = Path::new(command.get_program()).display().to_string();
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot start {shown} ({error}): Node 20 or later must be installed, and `cargo xtask test` installs the rest")
    })
}

impl Agent {
    /// Starts one of its own.
    pub fn start() -> Self {
        let mut child = spawn(node("agent.mjs"));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listener = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else {
                    panic!("the agent wrote a line that is no JSON: {line}")
                };
                let mut heard = listener.lock().unwrap();
                match line["id"].as_u64().filter(|_| line.get("of").is_none()) {
                    Some(id) => drop(heard.pending.remove(&id).map(|waits| waits.send(line))),
                    None => heard.told.push(line),
                }
            }
            let mut heard = listener.lock().unwrap();
            heard.ended = true;
            heard.pending.clear();
        });
        Self { child: Mutex::new(child), stdin: Mutex::new(stdin), heard, next: AtomicU64::new(0) }
    }

    /// The one that all tests of a program share, unless they kill theirs.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Agent>> = LazyLock::new(|| Arc::new(Agent::start()));
        SHARED.clone()
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&self, mut request: Value) -> Result<Value, NodeError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = id.into();
        let (sender, answer) = oneshot::channel();
        self.heard.lock().unwrap().pending.insert(id, sender);
        writeln!(self.stdin.lock().unwrap(), "{request}").expect("the agent listens");
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?} to {request}"));
        let mut answer = answer.unwrap_or_else(|_| panic!("the agent ended during {request}"));
        match answer.get("error") {
            None => Ok(answer["ok"].take()),
            Some(error) => Err(NodeError {
                name: error["name"].as_str().unwrap_or_default().to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                code: error["code"].clone(),
            }),
        }
    }

    /// Makes an object: a `Queue`, `Worker`, `QueueEvents` or `FlowProducer`.
    pub async fn make(&self, kind: &str, name: &str, queue: &str, options: Value, version: u32) {
        let request = json!({ "do": "new", "as": name, "kind": kind, "queue": queue, "options": options, "version": version });
        self.ask(request).await.unwrap_or_else(|error| panic!("{kind} of {queue}: {error:?}"));
    }

    /// Calls a method of an object.
    pub async fn call(&self, on: &str, method: &str, args: Value) -> Result<Value, NodeError> {
        self.ask(json!({ "do": "call", "on": on, "method": method, "args": args })).await
    }

    /// Calls a method of a job that the queue `on` has.
    pub async fn job(&self, on: &str, job: &str, method: &str, args: Value) -> Result<Value, NodeError> {
        self.ask(json!({ "do": "job", "on": on, "job": job, "method": method, "args": args })).await
    }

    /// Closes an object.
    pub async fn close(&self, on: &str, args: Value) {
        self.ask(json!({ "do": "close", "on": on, "args": args })).await.unwrap();
    }

    /// What an object told unasked, in order.
    pub fn told(&self, of: &str) -> Vec<Value> {
        self.heard.lock().unwrap().told.iter().filter(|line| line["of"] == of).cloned().collect()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        self.child.lock().unwrap().kill().unwrap();
        self.child.lock().unwrap().wait().unwrap();
        until("the agent's pipe ends", || async { self.heard.lock().unwrap().ended }).await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // An error says that it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
