//! `Store::meta`: BullMQ's hash `meta`; `Store::set_meta`: `lua/set_meta.lua`.

use std::collections::BTreeMap;

use oxmq_core::store::{MetaChanged, SetMetaRequest};
use oxmq_core::{QueueAddress, Result};
use redis::{Value, cmd};

use crate::scripts::SET_META;
use crate::store::RedisStore;
use crate::wire::reply::{self, Malformed, Read};

pub(crate) async fn meta(store: &RedisStore, queue: &QueueAddress) -> Result<BTreeMap<String, String>> {
    let mut command = cmd("HGETALL");
    command.arg(store.keys(queue).key("meta"));
    let answer = store.read("meta", queue, command).await?;
    let read = || -> Read<BTreeMap<String, String>> {
        let pairs = match answer {
            Value::Map(pairs) => pairs,
            other => {
                let mut flat = reply::list(other)?.into_iter();
                let mut pairs = Vec::new();
                while let Some(name) = flat.next() {
                    pairs.push((name, flat.next().ok_or_else(|| Malformed::new("a value", &Value::Nil))?));
                }
                pairs
            }
        };
        pairs.into_iter().map(|(name, value)| Ok((reply::text(name)?, reply::text(value)?))).collect()
    };
    read().map_err(|bad| bad.into_error("meta"))
}

pub(crate) async fn set_meta(
    store: &RedisStore,
    queue: &QueueAddress,
    request: SetMetaRequest,
) -> Result<MetaChanged> {
    let mut call = store.script("set_meta", queue, &SET_META);
    call.arg(request.set.len());
    for (name, value) in &request.set {
        call.arg(name.as_str()).arg(value.as_str());
    }
    for name in &request.remove {
        call.arg(name.as_str());
    }
    let answer = call.once().await?;
    let read = || -> Read<MetaChanged> {
        let [added, removed] = reply::tuple::<2>(answer)?;
        Ok(MetaChanged::new(reply::count(added)?, reply::count(removed)?))
    };
    read().map_err(|bad| bad.into_error("set_meta"))
}
