//! Who is measured, and what one measurement needs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use oxmq_testkit::{Options, Server};
use serde_json::{Map, Value};

/// A job queue on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// BullMQ for Node.js on Redis
    Bullmq,
    /// oxmq on Redis
    OxmqRedis,
    /// oxmq on its embedded store
    OxmqSqlite,
    /// The same, with every commit on the disk
    OxmqPower,
    /// BullMQ's classes on our embedded store
    DoorSqlite,
}

/// Where things are.
#[derive(Debug)]
pub(crate) struct Places {
    oxmq: PathBuf,
    door: Option<PathBuf>,
    files: PathBuf,
    workspace: PathBuf,
    aof: bool,
}

impl Places {
    pub(crate) fn find(
        oxmq: Option<PathBuf>,
        door: Option<PathBuf>,
        files: Option<PathBuf>,
        aof: bool,
    ) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let workspace = workspace.context("this program was built outside its workspace")?.to_path_buf();
        let target = workspace.join("target");
        let oxmq = oxmq.unwrap_or_else(|| target.join("release/oxmq"));
        ensure!(oxmq.is_file(), "there is no {}: run `cargo build --release -p oxmq-cli`", oxmq.display());
        let oxmq = oxmq.canonicalize()?;
        let door =
            door.map(|door| door.canonicalize()).transpose().context("the npm package is not there")?;
        Ok(Self { oxmq, door, files: files.unwrap_or(target), workspace, aof })
    }

    fn script(&self) -> PathBuf {
        self.workspace.join("benches/peers/bullmq.mjs")
    }

    fn library(&self) -> PathBuf {
        self.workspace.join("interop/node_modules/bullmq")
    }
}

impl Contender {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bullmq, Self::OxmqRedis, Self::OxmqSqlite, Self::OxmqPower, Self::DoorSqlite];

    /// Its name on the command line and in the tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bullmq => "bullmq",
            Self::OxmqRedis => "oxmq-redis",
            Self::OxmqSqlite => "oxmq-sqlite",
            Self::OxmqPower => "oxmq-power",
            Self::DoorSqlite => "door-sqlite",
        }
    }

    /// What is to be done before it can be measured; nothing if it can.
    pub(crate) fn lacks(self, places: &Places) -> Option<&'static str> {
        let in_node = matches!(self, Self::Bullmq | Self::DoorSqlite);
        if in_node && !places.library().is_dir() {
            return Some("run `npm install --no-save --ignore-scripts` in interop/");
        }
        (self == Self::DoorSqlite && places.door.is_none())
            .then_some("build our npm package, and name it by --door")
    }

    /// One measurement, on a store of its own.
    pub(crate) fn measure(self, workload: &str, scale: f64, places: &Places) -> Result<Map<String, Value>> {
        let mut command = Command::new(&places.oxmq);
        command.args(["bench", "--json", "--quiet", "--keep", "--workload", workload]);
        command.arg("--scale").arg(scale.to_string());
        if matches!(self, Self::Bullmq | Self::DoorSqlite) {
            command.arg("--program").arg(format!("node {}", places.script().display()));
        }
        command.env_remove("BENCH_DOOR").env("OXMQ_BINARY", &places.oxmq);
        if let (Self::DoorSqlite, Some(door)) = (self, &places.door) {
            command.env("BENCH_DOOR", door);
        }
        // Both are removed when they are dropped.
        let (_server, _folder);
        match self {
            Self::Bullmq | Self::OxmqRedis => {
                let options = Options::new().databases(16);
                let aof = [("appendonly", "yes"), ("appendfsync", "everysec")];
                let lines = if places.aof { &aof[..] } else { &[] };
                let options =
                    lines.iter().fold(options, |options, (name, value)| options.config(name, value));
                let server = Server::start(options);
                command.arg("--store").arg(server.url());
                _server = server;
            }
            Self::OxmqSqlite | Self::OxmqPower | Self::DoorSqlite => {
                let folder = tempfile::Builder::new().prefix("peers-").tempdir_in(&places.files)?;
                let durability = if self == Self::OxmqPower { "power" } else { "process" };
                let file = folder.path().join("jobs.db");
                command.arg("--store").arg(format!("sqlite:{}?durability={durability}", file.display()));
                _folder = folder;
            }
        }
        let answer = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let answer = answer.with_context(|| format!("cannot start {}", places.oxmq.display()))?;
        ensure!(answer.status.success(), "`oxmq bench` ended with {}", answer.status);
        let text = String::from_utf8(answer.stdout)?;
        let mut lines = text.lines();
        let line = lines.next().context("`oxmq bench` gave no figures")?;
        ensure!(lines.next().is_none(), "{workload} names more than one workload");
        serde_json::from_str(line).with_context(|| format!("`oxmq bench` said {line}"))
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
