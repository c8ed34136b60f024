//! One process of a workload.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::proc::{cpu_seconds, peak_rss_mib};
use crate::commands::this_program;
use crate::context::{Context, file_of};

/// How long a part may take from its start to its line `START`, to its line `DONE`, and to its end.
const PART_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// Keys and values for a part.
pub(super) type Keys<'a> = &'a [(&'a str, String)];

/// What is measured: ours, or another program with the same command line.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
    shown: String,
}

impl Program {
    pub(super) fn new(command: Option<&str>, context: &Context) -> Result<Self> {
        let Some(command) = command else {
            let own = this_program()?;
            let own = own.to_str().with_context(|| format!("{} is no text", own.display()))?.to_owned();
            let fixed = ["--store", context.url(), "--prefix", &context.prefix, "--quiet", "bench"];
            let words = std::iter::once(own).chain(fixed.map(str::to_owned)).collect();
            return Ok(Self { words, variables: Vec::new(), shown: "oxmq".into() });
        };
        ensure!(context.prefix == oxmq::DEFAULT_PREFIX, "another program cannot be told a prefix");
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        ensure!(!words.is_empty(), "`--program` is empty");
        let variable = match file_of(context.url()) {
            Some(_) => ("BENCH_SQLITE", context.url().trim_start_matches("sqlite:").to_owned()),
            None => ("BENCH_REDIS", context.url().to_owned()),
        };
        Ok(Self { words, variables: vec![variable], shown: command.to_owned() })
    }

    /// How it is named in the answer.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Starts a part and waits until its clock has started.
    pub(super) async fn start(&self, verb: &str, queue: &str, keys: Keys<'_>) -> Result<Part> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg(verb).arg("--queue").arg(queue);
        for (key, value) in keys {
            command.arg(format!("--{key}")).arg(value);
        }
        for variable in ["BENCH_REDIS", "BENCH_SQLITE"] {
            command.env_remove(variable);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.words[0]))?;
        let stdout = child.stdout.take().context("the part has no stdout")?;
        let pid = child.id().context("the part has ended at once")?;
        let mut part = Part { verb: verb.to_owned(), pid, child, lines: BufReader::new(stdout).lines() };
        part.line("START").await?;
        Ok(part)
    }

    /// Runs a part that is not measured.
    pub(super) async fn run(&self, verb: &str, queue: &str, keys: Keys<'_>) -> Result<Done> {
        let mut part = self.start(verb, queue, keys).await?;
        let done = part.done().await?;
        part.end().await?;
        Ok(done)
    }
}

/// What a part says in the end.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) seconds: f64,
    pub(super) fields: Map<String, Value>,
}

/// A process whose clock has started.
#[derive(Debug)]
pub(super) struct Part {
    verb: String,
    pid: u32,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    /// Waits until its clock has ended.
    pub(super) async fn done(&mut self) -> Result<Done> {
        let text = self.line("DONE").await?;
        let fields: Map<String, Value> =
            serde_json::from_str(&text).with_context(|| format!("{} said DONE {text}", self.verb))?;
        let seconds = fields.get("seconds").and_then(Value::as_f64);
        let seconds = seconds.with_context(|| format!("{} said no seconds: {text}", self.verb))?;
        Ok(Done { seconds, fields })
    }

    /// Its CPU time so far.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(self.pid)
    }

    /// The most memory it had so far.
    pub(super) fn peak_rss_mib(&self) -> Option<f64> {
        peak_rss_mib(self.pid)
    }

    /// Ends its stdin, and waits until it has ended well.
    pub(super) async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = timeout(PART_TIME_MAX, self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", self.verb))??;
        ensure!(status.success(), "{} ended with {status}", self.verb);
        Ok(())
    }

    /// The rest of the next line that begins with this word; other lines are the program's own business.
    async fn line(&mut self, word: &str) -> Result<String> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(rest) = line.strip_prefix(word) {
                    return Ok(rest.trim().to_owned());
                }
            }
            bail!("{} ended without the line {word}", self.verb)
        };
        let found = timeout(PART_TIME_MAX, found).await;
        found.with_context(|| format!("{} did not say {word} in {PART_TIME_MAX:?}", self.verb))?
    }
}
