//! `Store::note`: `lua/note.lua`.

use oxmq_core::store::{Note, NoteRequest};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result};

use super::not_found;
use crate::scripts::NOTE;
use crate::store::RedisStore;
use crate::wire::reply;

pub(crate) async fn note(store: &RedisStore, queue: &QueueAddress, request: NoteRequest) -> Result<u64> {
    let mut call = store.script("note", queue, &NOTE);
    call.arg(request.job.as_str());
    let mut keeping = |what: &str, text: &str, keep: Option<u32>| {
        call.arg(what).arg(text);
        match keep {
            Some(keep) => call.arg(keep),
            None => call.arg(""),
        };
    };
    // A line that is logged twice is a lie; the others may be repeated.
    let repeatable = !matches!(request.note, Note::Log { .. } | Note::Progress(_));
    match &request.note {
        Note::Progress(progress) => keeping("progress", progress.as_str(), None),
        Note::Data(data) => keeping("data", data.as_str(), None),
        Note::Log { line, keep } => keeping("log", line, *keep),
        Note::ClearLogs { keep } => keeping("clear", "", Some(keep.unwrap_or(0))),
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "note",
                "this store does not know that kind of note",
            ));
        }
    }
    let answer = if repeatable { call.repeatable().await? } else { call.once().await? };
    let lines = reply::int(answer).map_err(|bad| bad.into_error("note"))?;
    u64::try_from(lines).map_err(|_| not_found("note", queue, &request.job))
}
