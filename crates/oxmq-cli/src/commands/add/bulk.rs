//! `oxmq add --bulk`: a job for each line, in groups that are stored whole or not at all.

use std::io::{BufRead, BufReader};

use anyhow::{Context as _, Result};
use oxmq::store::{Fate, GROUP_JOBS_MAX};
use oxmq::{Error, JobOptions, JsonText, NewJob, Queue};
use serde::Deserialize;
use serde_json::json;

use super::{note_if_nobody_listens, open};
use crate::commands::jobs_text;
use crate::context::{Context, Missing};

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    #[serde(default)]
    data: Option<JsonText>,
    #[serde(default)]
    opts: Option<JsonText>,
}

/// What was done so far.
#[derive(Default)]
struct Done {
    lines: u64,
    added: u64,
    existing: u64,
    deduplicated: u64,
}

/// Adds the jobs of `source`; `defaults` are the flags, over which a line's own options go.
pub(super) async fn run(name: &str, source: &str, defaults: &JobOptions, context: &Context) -> Result<()> {
    // A file that cannot be read must not leave a new store behind.
    let lines = BufReader::new(open(source)?).lines();
    let queue = context.queue(name, Missing::Create).await?;
    let bar = context.out.progress(None, "adding");
    let mut done = Done::default();
    let mut group = Vec::with_capacity(GROUP_JOBS_MAX);
    for (index, line) in lines.enumerate() {
        let number = index + 1;
        let line = line.with_context(|| format!("line {number}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed = job(&line, defaults);
        group.push((number, parsed.map_err(|error| located(error, number, &done, group.len()))?));
        if group.len() == GROUP_JOBS_MAX {
            store(&queue, &mut group, &mut done).await?;
            bar.set_position(done.lines);
        }
    }
    store(&queue, &mut group, &mut done).await?;
    bar.finish_and_clear();
    let Done { added, existing, deduplicated, .. } = done;
    let stood_for = match deduplicated {
        0 => String::new(),
        count => format!(", others stand for {count}"),
    };
    context.out.answer(
        &json!({ "added": added, "existing": existing, "deduplicated": deduplicated }),
        format_args!("{} added, {existing} were there already{stood_for}", jobs_text(added)),
    )?;
    note_if_nobody_listens(&queue, context).await;
    Ok(())
}

fn job(line: &str, defaults: &JobOptions) -> oxmq::Result<NewJob> {
    let line: Line = serde_json::from_str(line).map_err(|error| {
        let remedy = format!("it must be {{\"name\": .., \"data\"?: .., \"opts\"?: {{..}}}}: {error}");
        Error::invalid("add", "line", line, remedy)
    })?;
    let own = line.opts.map_or(Ok(JobOptions::default()), |opts| JobOptions::parse(opts.as_str()))?;
    let options = own.or(defaults);
    Ok(NewJob { name: line.name, data: line.data.unwrap_or_else(JsonText::empty_object), options })
}

async fn store(queue: &Queue, group: &mut Vec<(usize, NewJob)>, done: &mut Done) -> Result<()> {
    let (numbers, jobs): (Vec<usize>, Vec<NewJob>) = group.drain(..).unzip();
    let count = jobs.len() as u64;
    let added = queue.add_bulk(jobs).await.map_err(|error| {
        let index =
            error.context().find(|(key, _)| *key == "job_index").and_then(|(_, index)| index.parse().ok());
        let line = index.and_then(|index: usize| numbers.get(index)).or(numbers.first()).copied();
        located(error, line.unwrap_or_default(), done, numbers.len())
    })?;
    done.lines += count;
    for added in added {
        match added.fate {
            Fate::Existing => done.existing += 1,
            fate if fate.is_new() => done.added += 1,
            _ => done.deduplicated += 1,
        }
    }
    Ok(())
}

/// Where it went wrong, and what that means for the rest: what was stored stays, this group is not stored.
fn located(error: Error, line: usize, done: &Done, group: usize) -> anyhow::Error {
    let stored =
        format!("line {line}; {} stored before, none of the {group} read since", jobs_text(done.lines));
    anyhow::Error::new(error).context(stored)
}
