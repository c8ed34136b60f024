//! Everything that only reads.

use std::collections::{BTreeMap, BTreeSet};

use oxmq_core::store::{
    GROUP_JOBS_MAX, JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, QueueInfo, Tally,
};
use oxmq_core::{Error, ErrorKind, JobId, JobState, JobView, Order, QueueAddress, Result, Timestamp};
use redis::{Value, cmd};

use crate::scripts::{COUNTS, JOB, JOBS, TALLY};
use crate::store::RedisStore;
use crate::wire::job::{state_key, view};
use crate::wire::reply::{self, Read};

/// How many queues are listed at most.
const QUEUES_MAX: usize = 100_000;

/// How many keys the server looks at in one step of a scan.
const SCAN_COUNT: usize = 1_000;

pub(crate) async fn job(store: &RedisStore, queue: &QueueAddress, id: &JobId) -> Result<Option<JobView>> {
    let mut call = store.script("job", queue, &JOB);
    call.arg(id.as_str());
    let mut found = view(call.repeatable().await?).map_err(|bad| bad.into_error("job"))?;
    if let Some(view) = &mut found {
        store.name_parent(&mut view.job);
    }
    Ok(found)
}

pub(crate) async fn jobs(store: &RedisStore, queue: &QueueAddress, request: JobsRequest) -> Result<JobsPage> {
    let mut call = store.script("jobs", queue, &JOBS);
    let order = match request.order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    };
    call.arg(request.offset).arg(request.limit.min(GROUP_JOBS_MAX)).arg(order);
    for state in &request.states {
        call.arg(state_key(*state));
        if *state == JobState::Waiting {
            // What BullMQ 5 left there waits, too.
            call.arg("paused");
        }
    }
    let answer = call.repeatable().await?;
    let read = || -> Read<Vec<JobView>> {
        reply::list(answer)?.into_iter().filter_map(|found| view(found).transpose()).collect()
    };
    let mut jobs = read().map_err(|bad| bad.into_error("jobs"))?;
    for view in &mut jobs {
        store.name_parent(&mut view.job);
    }
    Ok(JobsPage { jobs })
}

pub(crate) async fn counts(store: &RedisStore, queue: &QueueAddress, now: Timestamp) -> Result<JobCounts> {
    let mut call = store.script("counts", queue, &COUNTS);
    call.arg(now.as_millis());
    let answer = call.repeatable().await?;
    let read = || -> Read<JobCounts> {
        let mut values = reply::list(answer)?.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        let mut counts = JobCounts::default();
        for state in JobState::ALL {
            *counts.of_mut(state) = reply::count(next())?;
        }
        counts.paused = reply::int(next())? == 1;
        counts.limited_until =
            reply::maybe_text(next())?.and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        Ok(counts)
    };
    read().map_err(|bad| bad.into_error("counts"))
}

pub(crate) async fn tally(store: &RedisStore, queue: &QueueAddress, tally: Tally) -> Result<Vec<u64>> {
    let mut call = store.script("tally", queue, &TALLY);
    match tally {
        Tally::Priorities(priorities) => call.arg("priorities").arg(priorities),
        Tally::DueBefore(time) => call.arg("delayed").arg(time.as_millis()),
        _ => return Err(Error::new(ErrorKind::Unsupported, "tally", "this store is older than the request")),
    };
    let answer = call.repeatable().await?;
    let read = || -> Read<Vec<u64>> { reply::list(answer)?.into_iter().map(reply::count).collect() };
    read().map_err(|bad| bad.into_error("tally"))
}

pub(crate) async fn logs(store: &RedisStore, queue: &QueueAddress, request: LogsRequest) -> Result<LogsPage> {
    let key = store.keys(queue).key(request.job.as_str()) + ":logs";
    let limit = i64::try_from(request.limit.min(GROUP_JOBS_MAX)).unwrap_or(i64::MAX);
    let skip = i64::try_from(request.offset).unwrap_or(i64::MAX);
    let mut length = cmd("LLEN");
    length.arg(&key);
    let total = store.read("logs", queue, length).await?;
    let total = reply::count(total).map_err(|bad| bad.into_error("logs"))?;
    if limit == 0 || request.offset >= total {
        return Ok(LogsPage { lines: Vec::new(), total });
    }
    let mut range = cmd("LRANGE");
    range.arg(&key);
    match request.order {
        Order::Ascending => range.arg(skip).arg(skip.saturating_add(limit - 1)),
        Order::Descending => range.arg((-skip).saturating_sub(limit)).arg(-skip - 1),
    };
    let answer = store.read("logs", queue, range).await?;
    let read = || -> Read<Vec<String>> { reply::list(answer)?.into_iter().map(reply::text).collect() };
    let mut lines = read().map_err(|bad| bad.into_error("logs"))?;
    if request.order == Order::Descending {
        lines.reverse();
    }
    Ok(LogsPage { lines, total })
}

pub(crate) async fn queues(store: &RedisStore, prefix: Option<&str>) -> Result<Vec<QueueInfo>> {
    let pattern = match prefix {
        Some(prefix) => format!("{}:*:meta", escaped(&store.prefix_in_keys(prefix))),
        None => "*:meta".to_owned(),
    };
    let mut found: BTreeSet<QueueAddress> = BTreeSet::new();
    let scan = |cursor: &str| {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg("hash");
        scan
    };
    for (node, mut answer) in store.hub().every_node(scan("0")).await? {
        loop {
            let read = || -> Read<(String, Vec<String>)> {
                let [next, keys] = reply::tuple::<2>(answer)?;
                Ok((
                    reply::text(next)?,
                    reply::list(keys)?.into_iter().map(reply::text).collect::<Read<_>>()?,
                ))
            };
            let (next, keys) = read().map_err(|bad| bad.into_error("queues"))?;
            found.extend(keys.iter().filter_map(|key| address_of(store, key, prefix)));
            if next == "0" || found.len() >= QUEUES_MAX {
                break;
            }
            answer = store.hub().on_node(&node, scan(&next)).await?;
        }
    }
    let mut queues = BTreeMap::new();
    for address in found {
        let mut paused = cmd("HEXISTS");
        paused.arg(store.keys(&address).key("meta")).arg("paused");
        let answer = store.read("queues", &address, paused).await?;
        let paused = reply::int(answer).map_err(|bad| bad.into_error("queues"))? == 1;
        queues.insert(address, paused);
    }
    Ok(queues.into_iter().map(|(queue, paused)| QueueInfo { queue, paused }).collect())
}

/// The queue that a key `P:Q:meta` belongs to.
fn address_of(store: &RedisStore, key: &str, wanted: Option<&str>) -> Option<QueueAddress> {
    let (prefix, name) = key.strip_suffix(":meta")?.rsplit_once(':')?;
    let prefix = store.prefix_of_keys(prefix);
    if wanted.is_some_and(|wanted| wanted != prefix) {
        return None;
    }
    QueueAddress::with_prefix(prefix, name.to_owned()).ok()
}

/// A text that a pattern of the server's takes literally.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
