//! Answers on their way out.

use std::io;
use std::sync::Arc;

use oxmq::JsonText;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

use super::call::Outcome;
use super::errors::Failure;

/// The most answers that wait to be written. Who does not read is not answered, and then not heard.
const WAITING_MAX: usize = 1_024;

/// The most bytes that are gathered for one write, unless one answer alone has more.
const WRITE_BYTES: usize = 256 << 10;

/// The answers of one stream.
#[derive(Debug, Clone)]
pub(super) struct Replies {
    sender: mpsc::Sender<Vec<u8>>,
    receiver: Arc<Mutex<mpsc::Receiver<Vec<u8>>>>,
}

impl Replies {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self { sender, receiver: Arc::new(Mutex::new(receiver)) }
    }

    /// Hands over a line.
    pub(super) async fn send(&self, line: Vec<u8>) {
        // It fails when the stream has ended, and then nobody wants it.
        let _ = self.sender.send(line).await;
    }

    /// Writes all lines, several at once. Ends only with an error.
    pub(super) async fn write_to(&self, mut output: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut receiver = self.receiver.lock().await;
        while let Some(mut lines) = receiver.recv().await {
            while lines.len() < WRITE_BYTES {
                let Ok(line) = receiver.try_recv() else { break };
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
