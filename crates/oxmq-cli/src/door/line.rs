//! Lines: one JSON object each, of bounded length.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is read, in bytes: a flow of the most data that one call may have, escaped at its worst case by half.
pub(super) const LINE_BYTES_MAX: usize = 128 << 20;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// What was read.
#[derive(Debug)]
pub(super) enum Line {
    /// A line without its end.
    Text(Vec<u8>),
    /// It was too long, and is passed over.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: BufReader<R>,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, longest: usize) -> Self {
        Self { input: BufReader::with_capacity(READ_BYTES, input), longest }
    }

    /// The next line that is not empty; `None` at the end. What comes after the last line's end is no line.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if line.len() + part.len() > self.longest {
                is_too_long = true;
                line = Vec::new();
            }
            if !is_too_long {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_none() {
                continue;
            }
            if is_too_long {
                return Ok(Some(Line::TooLong));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Line::Text(line)));
            }
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_long_ones_passed_over() {
        let input: &[u8] = b"{1}\n\n  \nthis is too long a line\n{2}\r\nunfinished";
        let mut lines = Lines::new(input, 8);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(match line {
                Line::Text(text) => String::from_utf8(text).unwrap(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(seen, ["{1}", "too long", "{2}\r"]);
    }
}
