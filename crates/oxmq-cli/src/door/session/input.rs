//! Lines on their way in, as far as there is room for them.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::door::line::{LINE_BYTES_MAX, Line, Lines};

/// The most KiB of requests of a stream that are held, those that run included. More than one line of the longest.
const HELD_KIB_MAX: usize = 256 << 10;

/// A line with its claim to memory.
pub(super) type Arrival = io::Result<(Line, OwnedSemaphorePermit)>;

/// Reads lines, as far as there is room for them.
pub(super) async fn read(input: impl AsyncRead + Unpin, lines: mpsc::Sender<Arrival>) {
    let room = Arc::new(Semaphore::new(HELD_KIB_MAX));
    let mut input = Lines::new(input, LINE_BYTES_MAX);
    loop {
        let line = match input.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => {
                // Whoever received them has gone otherwise.
                let _ = lines.send(Err(error)).await;
                return;
            }
        };
        let kib = match &line {
            Line::Text(text) => u32::try_from(text.len() >> 10).unwrap_or(u32::MAX).saturating_add(1),
            Line::TooLong => 1,
        };
        let Ok(permit) = Arc::clone(&room).acquire_many_owned(kib).await else { return };
        if lines.send(Ok((line, permit))).await.is_err() {
            return;
        }
    }
}
