//! `Store::children`: `lua/children.lua`.

use oxmq_core::store::{
    Child, ChildKind, ChildOutcome, ChildrenCursor, ChildrenPage, ChildrenRequest, GROUP_JOBS_MAX,
};
use oxmq_core::{JsonText, QueueAddress, Result, Timestamp};
use redis::Value;

use super::flow::key_of;
use crate::scripts::CHILDREN;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

pub(crate) async fn children(
    store: &RedisStore,
    queue: &QueueAddress,
    request: ChildrenRequest,
) -> Result<ChildrenPage> {
    let mut call = store.script("children", queue, &CHILDREN);
    call.arg(request.job.as_str()).arg(request.limit.min(GROUP_JOBS_MAX));
    match &request.cursor {
        Some(ChildrenCursor { kind, after }) => call.arg(kind.as_str()).arg(store.job_key(after)),
        None => call.arg("").arg(""),
    };
    for kind in &request.kinds {
        call.arg(kind.as_str());
    }
    let answer = call.repeatable().await?;
    read(store, answer).map_err(|bad| bad.into_error("children"))
}

fn read(store: &RedisStore, answer: Value) -> Read<ChildrenPage> {
    let mut values = reply::list(answer)?.into_iter();
    let mut page = ChildrenPage::default();
    for kind in ChildKind::ALL {
        *page.counts.of_mut(kind) = reply::count(values.next().unwrap_or(Value::Nil))?;
    }
    let more = reply::int(values.next().unwrap_or(Value::Int(0)))? == 1;
    let mut last = None;
    while let Some(kind) = values.next() {
        let kind = reply::text(kind)?;
        let mut next = || values.next().unwrap_or(Value::Nil);
        let (base, id, value) = (reply::text(next())?, reply::text(next())?, reply::maybe_text(next())?);
        let value = value.unwrap_or_default();
        let outcome = match kind.as_str() {
            "processed" => ChildOutcome::Processed(JsonText::stored(value)),
            "ignored" => ChildOutcome::Ignored(value),
            "failed" => ChildOutcome::Failed(Timestamp::from_millis(value.parse().unwrap_or(0))),
            _ => ChildOutcome::Pending,
        };
        let Some(key) = key_of(store, &base, id) else { continue };
        last = Some(ChildrenCursor { kind: outcome.kind(), after: key.clone() });
        page.children.push(Child { key, outcome });
    }
    page.next = last.filter(|_| more);
    Ok(page)
}
