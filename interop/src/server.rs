//! The server that all tests of a program share.

use oxmq_testkit::Server;

/// Its URL.
pub fn url() -> String {
    Server::shared().url()
}

/// A plain connection to it.
pub fn connection() -> redis::Connection {
    redis::Client::open(url()).unwrap().get_connection().unwrap()
}
