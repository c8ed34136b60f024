//! Answers on their way out.

use std::io;

use oxmq::JsonText;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::call::Outcome;
use super::errors::Failure;

/// The most answers that wait to be written. Who does not read is not answered, and then not heard.
const WAITING_MAX: usize = 1_024;

/// The most bytes that are gathered for one write, unless one answer alone has more.
const WRITE_BYTES: usize = 256 << 10;

/// The way out of one stream.
#[derive(Debug, Clone)]
pub(super) struct Replies(mpsc::Sender<Vec<u8>>);

/// Its other end.
#[derive(Debug)]
pub(super) struct Outbox(mpsc::Receiver<Vec<u8>>);

pub(super) fn channel() -> (Replies, Outbox) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Replies(sender), Outbox(receiver))
}

impl Replies {
    /// Hands over a line.
    pub(super) async fn send(&self, line: Vec<u8>) {
        // It fails when the stream has ended, and then nobody wants it.
        let _ = self.0.send(line).await;
    }
}

impl Outbox {
    /// Writes all lines, several at once; ends when nobody has more to say.
    pub(super) async fn write_to(mut self, mut output: impl AsyncWrite + Unpin) -> io::Result<()> {
        while let Some(mut lines) = self.0.recv().await {
            while lines.len() < WRITE_BYTES {
                let Ok(line) = self.0.try_recv() else { break };
                lines.extend_from_slice(&line);
            }
            output.write_all(&lines).await?;
            output.flush().await?;
        }
        Ok(())
    }
}

/// An answer as a line.
pub(super) fn written(id: &JsonText, outcome: &Outcome) -> Vec<u8> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        jsonrpc: &'static str,
        id: &'a JsonText,
        error: &'a Failure,
    }
    match outcome {
        // The result is JSON already.
        Ok(result) => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n").into_bytes(),
        Err(error) => {
            let refusal = Refusal { jsonrpc: "2.0", id, error };
            // Cannot fail: all of it has a JSON form.
            let mut line = serde_json::to_vec(&refusal).unwrap_or_default();
            line.push(b'\n');
            line
        }
    }
}
