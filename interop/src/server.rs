//! The server that all tests of a program share.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The server's port. It ends with the program.
static PORT: LazyLock<u16> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    // The server is told to end when the thread that started it does, so that one waits for ever.
    std::thread::spawn(move || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server and setpriv are installed");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        while client.get_connection().is_err() {
            std::thread::yield_now();
        }
        sender.send(port).unwrap();
        server.wait().unwrap();
    });
    receiver.recv().unwrap()
});

/// Its URL.
pub fn url() -> String {
    format!("redis://127.0.0.1:{}/0", *PORT)
}

/// A plain connection to it.
pub fn connection() -> redis::Connection {
    redis::Client::open(url()).unwrap().get_connection().unwrap()
}
