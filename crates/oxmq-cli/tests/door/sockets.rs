//! Sockets: who may connect, and what is left behind.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::json;

use crate::support::{Line, Process, command, eventually, path_in};

const TOKEN: &str = "0123456789abcdef";

fn unix_line(path: &Path) -> Line {
    let stream = eventually("somebody listens", || UnixStream::connect(path).ok());
    Line::new(stream.try_clone().unwrap(), UntilDropped(stream))
}

/// The way out of a socket; its end is that of the way in, too.
struct UntilDropped<S: AsFd>(S);

impl<S: Write + AsFd> Write for UntilDropped<S> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: AsFd> Drop for UntilDropped<S> {
    fn drop(&mut self) {
        // The other side may have ended it.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

#[test]
fn several_streams_share_a_socket_that_only_its_owner_can_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(&dir, "oxmq.sock");
    let mut process =
        Process(command(dir.path(), "sqlite::memory:", &["--socket", "oxmq.sock"]).spawn().unwrap());
    let (one, other) = (unix_line(&path), unix_line(&path));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    one.open(1, "producer");
    // The numbers of clients are each stream's own.
    assert_eq!(other.refusal("getState", json!({ "jobId": "1" })).0, "Connection is closed.");
    other.open(1, "worker");
    let waiting = other.ask("waitForJob", json!({ "blockTimeout": 30 }));
    one.add(json!({}));
    assert_eq!(waiting.result()["member"], "0");
    drop(one);
    assert_eq!(other.counts(&["wait"]), [1]);
    process.signal("TERM");
    other.wait_for_end();
    assert_eq!(process.end().0, 0);
    assert!(!path.exists(), "its file is gone");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(&dir, "oxmq.sock");
    let refusal = || {
        let output = command(dir.path(), "sqlite::memory:", &["--socket", "oxmq.sock"]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    std::fs::write(&path, "dear").unwrap();
    assert!(refusal().contains("no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear");
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    assert!(refusal().contains("already"));
    drop(listener);
    let _process =
        Process(command(dir.path(), "sqlite::memory:", &["--socket", "oxmq.sock"]).spawn().unwrap());
    let line = unix_line(&path);
    line.open(1, "producer");
    assert_eq!(line.counts(&["wait"]), [0]);
}

#[test]
fn tcp_is_for_this_machine_and_for_who_knows_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |args: &[&str], token: Option<&str>| {
        let mut command = command(dir.path(), "sqlite::memory:", args);
        if let Some(token) = token {
            command.env("TOKEN", token);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let tcp = |address| ["--tcp", address, "--token-env", "TOKEN"];
    assert!(refusal(&tcp("0.0.0.0:0"), Some(TOKEN)).contains("other machines"));
    assert!(refusal(&tcp("127.0.0.1:0"), None).contains("TOKEN"));
    assert!(refusal(&tcp("127.0.0.1:0"), Some("short")).contains("short"));
    assert!(refusal(&["--tcp", "127.0.0.1:0"], None).contains("--token-env"));

    let mut command = command(dir.path(), "sqlite::memory:", &tcp("127.0.0.1:0"));
    let mut process = Process(command.env("TOKEN", TOKEN).spawn().unwrap());
    let mut said = BufReader::new(process.0.stderr.take().unwrap()).lines();
    let address =
        said.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned())).unwrap();
    let auth = |token: &str| {
        json!({ "jsonrpc": "2.0", "id": 0, "method": "auth", "params": { "token": token } }).to_string()
            + "\n"
    };
    for first in [auth("0123456789abcdeF"), "{}\n".to_owned(), "x".repeat(70_000)] {
        let mut stream = TcpStream::connect(&address).unwrap();
        // It may be cut before all is written.
        let _ = stream.write_all(first.as_bytes());
        let mut answer = String::new();
        // What was not read makes the end of it an error.
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("auth"), "{answer}");
    }
    let stream = TcpStream::connect(&address).unwrap();
    let line = Line::new(stream.try_clone().unwrap(), UntilDropped(stream));
    line.write(&auth(TOKEN));
    assert!(line.answer("0")["error"].is_null());
    line.open(1, "producer");
    assert_eq!(line.counts(&["wait"]), [0]);
}
