//! The servers that tests can have, and where their programs are.

use std::fmt;
use std::path::{Path, PathBuf};

/// A server to test with. The versions are of the pinned packages; the first is what the distribution has, and can be
/// a later one than its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `redis-server` of the distribution: Redis 7.0 in Debian 12. The only one with TLS. The default.
    Redis70,
    /// Valkey 9.1, the newest line.
    Valkey91,
    /// Redis 8.2.
    Redis82,
    /// Valkey 8.1.
    Valkey81,
    /// Redis 6.2, the oldest line that oxmq serves.
    Redis62,
}

impl Kind {
    /// Every server, the distribution's first.
    pub const ALL: [Self; 5] = [Self::Redis70, Self::Valkey91, Self::Redis82, Self::Valkey81, Self::Redis62];

    /// Its name, which is also that of its folder: `redis-7.0`, `valkey-9.1` ..
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis70 => "redis-7.0",
            Self::Valkey91 => "valkey-9.1",
            Self::Redis82 => "redis-8.2",
            Self::Valkey81 => "valkey-8.1",
            Self::Redis62 => "redis-6.2",
        }
    }

    /// The file name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Redis70 | Self::Redis82 | Self::Redis62 => "redis-server",
            Self::Valkey91 | Self::Valkey81 => "valkey-server",
        }
    }

    /// Whether it can speak TLS.
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Redis70)
    }

    /// The server that tests use if they do not ask for one: `OXMQ_SERVER` (a [`Kind::name`]), else
    /// [`Kind::Redis70`]. Panics if the variable names none.
    pub fn of_environment() -> Self {
        let Ok(name) = std::env::var("OXMQ_SERVER") else { return Self::Redis70 };
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.unwrap_or_else(|| panic!("OXMQ_SERVER={name}: one of {:?}", Self::ALL.map(Self::name)))
    }

    /// Its program: in `$OXMQ_SERVERS/<name>/`, else in `target/servers/<name>/`, else, for [`Kind::Redis70`] only,
    /// on the path. Nothing if it is not installed: `cargo xtask servers --all` does that.
    pub fn find(self) -> Option<PathBuf> {
        let of_environment = std::env::var_os("OXMQ_SERVERS").map(PathBuf::from);
        let folders = of_environment.into_iter().chain([folder()]);
        let mut programs = folders.map(|folder| folder.join(self.name()).join(self.program()));
        programs.find(|program| program.is_file()).or_else(|| {
            let path = std::env::var_os("PATH").filter(|_| self == Self::Redis70)?;
            std::env::split_paths(&path)
                .map(|folder| folder.join(self.program()))
                .find(|program| program.is_file())
        })
    }

    /// The servers that are installed here.
    pub fn installed() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kind| kind.find().is_some()).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where `cargo xtask servers --all` puts the programs, a folder for each [`Kind::name`]: `servers` in the build folder
/// (`CARGO_TARGET_DIR`, else the workspace's `target`).
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let target = target.unwrap_or_else(|| workspace.join("target"));
    target.join("servers")
}
