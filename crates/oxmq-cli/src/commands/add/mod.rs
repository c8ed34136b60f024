//! `oxmq add`: one job, or many from a file.

mod bulk;

use std::io::Read;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result};
use oxmq::store::{Added, Fate};
use oxmq::{Deduplication, Error, JobId, JobOptions, JsonText, Queue};
use serde_json::json;

use crate::args::{AddArgs, CommonOptionArgs, OptionArgs};
use crate::context::{Context, Missing};
use crate::output::{note, say};

pub(crate) async fn run(args: AddArgs, context: &Context) -> Result<()> {
    let options = options(&args.options)?;
    if let Some(source) = &args.bulk {
        return bulk::run(&args.queue, source, &options, context).await;
    }
    let data = data(args.data.as_deref().unwrap_or("{}"))?;
    let queue = context.queue(&args.queue, Missing::Create).await?;
    let mut job = queue.add_named(args.name.unwrap_or_default(), &data).options(options);
    if let Some(at) = args.options.at {
        job = job.at(at);
    }
    let added = job.await?;
    tell(&added, context)?;
    note_if_nobody_listens(&queue, context).await;
    Ok(())
}

/// Says what became of the job.
fn tell(added: &Added, context: &Context) -> Result<()> {
    let Added { id, state, fate, .. } = added;
    if context.out.json {
        let (name, other) = match fate {
            Fate::Created => ("created", None),
            Fate::Existing => ("existing", None),
            Fate::Deduplicated { .. } => ("deduplicated", None),
            Fate::KeptAsNext { next } => ("kept-as-next", Some(("next", next))),
            Fate::Replaced { removed } => ("replaced", Some(("removed", removed))),
            _ => ("other", None),
        };
        let mut answer = json!({ "id": id.as_str(), "state": state.as_str(), "fate": name });
        answer["existing"] = (*fate == Fate::Existing).into();
        if let Some((field, id)) = other {
            answer[field] = id.as_str().into();
        }
        if *fate == (Fate::Deduplicated { owner_exists: false }) {
            answer["state"] = serde_json::Value::Null;
        }
        return context.out.object(&answer);
    }
    match fate {
        Fate::Existing => say!(context.out, "job {id} was there already, and is {state}"),
        Fate::Deduplicated { owner_exists: true } => {
            say!(context.out, "not added: job {id} stands for it, and is {state}")
        }
        Fate::Deduplicated { .. } => {
            say!(context.out, "not added: job {id} stands for it, which has finished and was removed")
        }
        Fate::KeptAsNext { next } => {
            say!(context.out, "job {next} is kept, and added when job {id} has finished, which is active")
        }
        Fate::Replaced { removed } => say!(context.out, "job {id} is {state}, in place of job {removed}"),
        _ => say!(context.out, "job {id} is {state}"),
    }
}

/// The job is stored; a look that fails must not make it look as if it were not.
async fn note_if_nobody_listens(queue: &Queue, context: &Context) {
    if queue.workers().await.is_ok_and(|workers| workers.is_empty()) {
        let name = queue.name();
        note!(context.out, "no worker listens to {name}: `oxmq work {name} --exec COMMAND` starts one");
    }
}

/// The payload: JSON, the contents of a file, or stdin.
pub(super) fn data(text: &str) -> Result<JsonText> {
    let (from, text) = match text.strip_prefix('@') {
        Some(path) => (path, fs::read_to_string(path).with_context(|| format!("--data @{path}"))?),
        None if text == "-" => ("stdin", io::read_to_string(io::stdin().lock()).context("--data -")?),
        None => ("--data", text.to_owned()),
    };
    let text = text.trim_end();
    JsonText::parse(text).map_err(|error| {
        let remedy = format!("it must be JSON ({from}: {error}); a text is written \"..\"");
        Error::invalid("add", "data", text, remedy).into()
    })
}

/// The options: what `--opts` says, and the flags over it.
fn options(args: &OptionArgs) -> Result<JobOptions> {
    let mut options = common_options(&args.common)?;
    if let Some(id) = &args.id {
        options.job_id = Some(JobId::chosen(id.as_str())?);
    }
    options.delay = args.delay.or(options.delay);
    options.check()?;
    Ok(options)
}

/// The same of those that the jobs of a schedule can have, too.
pub(super) fn common_options(args: &CommonOptionArgs) -> Result<JobOptions> {
    let mut options = args.opts.as_deref().map_or(Ok(JobOptions::default()), JobOptions::parse)?;
    options.priority = args.priority.or(options.priority);
    options.lifo = args.lifo.then_some(true).or(options.lifo);
    options.attempts = args.attempts.or(options.attempts);
    if let Some(backoff) = args.backoff.clone() {
        options.backoff = Some(backoff.jitter(args.jitter.unwrap_or(0.0)));
    }
    options.remove_on_complete = args.keep_completed.or(options.remove_on_complete);
    options.remove_on_fail = args.keep_failed.or(options.remove_on_fail);
    options.keep_logs = args.keep_logs.or(options.keep_logs);
    options.stack_trace_limit = args.stack_limit.or(options.stack_trace_limit);
    options.size_limit = args.size_limit.or(options.size_limit);
    options.timeout = args.timeout.or(options.timeout).filter(|timeout| *timeout > Duration::ZERO);
    options.ttl = args.ttl.or(options.ttl);
    if let Some(id) = &args.dedup_id {
        let mut deduplication = Deduplication::by(id.as_str());
        deduplication.ttl = args.dedup_ttl;
        deduplication.extend = args.dedup_extend;
        deduplication.replace = args.dedup_replace;
        deduplication.reschedule = args.dedup_reschedule;
        deduplication.keep_last_if_active = args.dedup_keep_last;
        options.deduplication = Some(deduplication);
    }
    options.check()?;
    Ok(options)
}

/// A file, or stdin, to be read line by line.
fn open(source: &str) -> Result<Box<dyn Read>> {
    if source == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(fs::File::open(source).with_context(|| format!("--bulk {source}"))?))
}
