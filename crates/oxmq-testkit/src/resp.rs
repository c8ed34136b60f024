//! Talking to a server: the Redis protocol (version 2), by hand, so that the kit tests clients without one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: the null bulk string or the null array.
    Nil,
    /// A word such as `OK`.
    Status(String),
    /// An error with its code: `WRONGTYPE Operation against ..`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// A list.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a status, an error, a number or a bulk string; empty for the others.
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) | Self::Error(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Nil | Self::Array(_) => String::new(),
        }
    }

    /// The number; panics if it is none.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => other.text().parse().unwrap_or_else(|_| panic!("{other:?} is no number")),
        }
    }

    /// The members of a list; none if it is not a list.
    pub fn list(&self) -> &[Reply] {
        if let Self::Array(members) = self { members } else { &[] }
    }

    /// Whether it is an error.
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The reply itself; panics if it is an error.
    #[track_caller]
    #[allow(clippy::return_self_not_must_use, reason = "also used only to check")]
    pub fn ok(self) -> Self {
        assert!(!self.is_error(), "the server refused: {}", self.text());
        self
    }
}

/// A blocking connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<Stream>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects to a port. `timeout` holds for connecting and for each read and write of later commands.
    ///
    /// # Errors
    /// What the system says if nobody answers there in time.
    pub fn tcp(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream: BufReader::new(Stream::Tcp(stream)) })
    }

    /// Connects to a Unix socket. `timeout` holds for each read and write of later commands.
    ///
    /// # Errors
    /// What the system says if there is no such socket or nobody listens on it.
    pub fn unix(path: &Path, timeout: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream: BufReader::new(Stream::Unix(stream)) })
    }

    /// Sends a command and waits for its answer. An error answer is a [`Reply::Error`].
    ///
    /// # Errors
    /// What the system says if the connection ends or the timeout is over (`WouldBlock` or `TimedOut`); the
    /// connection is of no use afterwards.
    pub fn command<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Reply> {
        self.send(words)?;
        self.read()
    }

    /// Sends a command without waiting for its answer.
    ///
    /// # Errors
    /// As [`Connection::command`].
    pub fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Waits for the next answer or message.
    ///
    /// # Errors
    /// As [`Connection::command`].
    pub fn read(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n").filter(|line| !line.is_empty()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let rest = String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(format!("no number: {rest}")));
        Ok(match line[0] {
            b'+' => Reply::Status(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(number()?),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(bytes)
                }
            },
            b'*' => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array((0..length).map(|_| self.read()).collect::<io::Result<_>>()?),
            },
            other => return Err(io::Error::other(format!("not the Redis protocol: {other}"))),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
