//! `oxmq schedules`: make, list, preview and remove schedules.

use anyhow::Result;
use oxmq::schedule::{Policy, Repeat, Rule};
use oxmq::store::{GROUP_JOBS_MAX, ScheduleInfo, SchedulesRequest};
use oxmq::{Error, ErrorKind, Order, Schedule};
use serde_json::json;

use super::add;
use crate::args::{ScheduleListArgs, ScheduleNextArgs, SchedulePutArgs, ScheduleRemoveArgs, ScheduleVerb};
use crate::context::{Context, Missing};
use crate::output::{note, say};
use crate::shape::ScheduleShape;
use crate::values::{show_duration, show_time};

pub(crate) async fn run(verb: ScheduleVerb, context: &Context) -> Result<()> {
    match verb {
        ScheduleVerb::List(args) => list(args, context).await,
        ScheduleVerb::Put(args) => put(*args, context).await,
        ScheduleVerb::Remove(args) => remove(args, context).await,
        ScheduleVerb::Next(args) => next(args, context).await,
    }
}

async fn list(args: ScheduleListArgs, context: &Context) -> Result<()> {
    let schedules = context.existing(&args.queue).await?.schedules();
    let mut rows = Vec::new();
    let (mut offset, mut left) = (args.offset, args.limit);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(GROUP_JOBS_MAX);
        let order = if args.desc { Order::Descending } else { Order::Ascending };
        let page = schedules.list(SchedulesRequest { offset, limit, order }).await?.schedules;
        for info in &page {
            if context.out.json {
                context.out.object(&ScheduleShape(info))?;
            } else {
                rows.push(row(info));
            }
        }
        (offset, left) = (offset + page.len() as u64, left - page.len() as u64);
        if page.len() < limit {
            break;
        }
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        note!(context.out, "no schedules");
        return Ok(());
    }
    context.out.table(&["id", "rule", "next", "made", "job", "data"], rows)
}

fn row(info: &ScheduleInfo) -> Vec<String> {
    vec![
        info.id.clone(),
        info.repeat.as_ref().map_or_else(|| "unknown".into(), rule),
        if info.ended { "ended".into() } else { show_time(info.next) },
        info.made.to_string(),
        info.name.clone(),
        info.data.to_string(),
    ]
}

/// `every 5 min`, `0 9 * * * (Europe/Stockholm), at most 3`.
fn rule(repeat: &Repeat) -> String {
    let mut text = match &repeat.rule {
        Rule::Every(every) => format!("every {}", show_duration(*every)),
        Rule::Pattern(pattern) => match &repeat.tz {
            Some(zone) => format!("{pattern} ({zone})"),
            None => pattern.clone(),
        },
        _ => "unknown".into(),
    };
    if let Some(limit) = repeat.limit {
        text = format!("{text}, at most {limit}");
    }
    if let Some(end) = repeat.end_date {
        text = format!("{text}, until {}", show_time(end));
    }
    if Policy::of(repeat) != Policy::default() {
        text.push_str(", own rules");
    }
    text
}

async fn put(args: SchedulePutArgs, context: &Context) -> Result<()> {
    let mut schedule = match (args.every, &args.cron) {
        (Some(every), _) => Schedule::every(every),
        (None, cron) => Schedule::cron(cron.as_deref().unwrap_or_default()),
    };
    schedule = schedule.missed(args.missed).overlap(args.overlap);
    if let Some(zone) = args.zone {
        schedule = schedule.zone(zone);
    }
    if let Some(limit) = args.limit {
        schedule = schedule.limit(limit);
    }
    if let Some(start) = args.start {
        schedule = schedule.start(start);
    }
    if let Some(end) = args.end {
        schedule = schedule.end(end);
    }
    if let Some(offset) = args.offset {
        schedule = schedule.offset(offset);
    }
    if args.immediately {
        schedule = schedule.immediately();
    }
    let data = add::data(args.data.as_deref().unwrap_or("{}"))?;
    let options = add::common_options(&args.options)?;
    let queue = context.queue(&args.queue, Missing::Create).await?;
    let put = queue.schedules().put_named(&args.id, schedule, args.name, &data).options(options);
    match put.await?.next {
        Some(next) => context.out.answer(
            &json!({ "key": args.id, "job": next.job.as_str(), "next": next.due.as_millis() }),
            format_args!("schedule {} is due next at {}", args.id, show_time(next.due)),
        ),
        None => context.out.answer(
            &json!({ "key": args.id, "job": null, "next": null }),
            format_args!("schedule {} has made all of its jobs; raise --limit for more", args.id),
        ),
    }
}

async fn remove(args: ScheduleRemoveArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let mut missing = None;
    for id in args.ids {
        let removed = queue.schedules().remove(&id).await?;
        let answer = if removed { "removed" } else { "not found" };
        context
            .out
            .answer(&json!({ "key": id, "answer": answer }), format_args!("schedule {id}: {answer}"))?;
        if !removed {
            missing = Some(id);
        }
    }
    match missing {
        None => Ok(()),
        Some(id) => Err(Error::new(ErrorKind::NotFound, "remove", "there is no such schedule")
            .with("queue", queue.address())
            .with("schedule", id)
            .into()),
    }
}

async fn next(args: ScheduleNextArgs, context: &Context) -> Result<()> {
    let runs = context.existing(&args.queue).await?.schedules().next(&args.id, args.count).await?;
    if context.out.json {
        let runs: Vec<i64> = runs.iter().map(|run| run.as_millis()).collect();
        return context.out.object(&json!({ "key": args.id, "next": runs }));
    }
    if runs.is_empty() {
        note!(context.out, "schedule {} has ended", args.id);
    }
    for run in runs {
        say!(context.out, "{}", show_time(run))?;
    }
    Ok(())
}
