//! `oxmq jobs`: a page of the jobs in some states.

use anyhow::Result;
use oxmq::store::{GROUP_JOBS_MAX, JobsRequest};
use oxmq::{JobState, JobView, Order, QUARANTINED, Queue};

use crate::args::JobsArgs;
use crate::context::Context;
use crate::output::note;
use crate::shape::{JobShape, STATES};
use crate::values::show_time;

/// How much of a payload is shown in a table.
const DATA_SIGNS_MAX: usize = 60;
/// How much evidence is shown in a table.
const EVIDENCE_SIGNS_MAX: usize = 240;
/// The most failed jobs that are looked at for those in quarantine.
const SCAN_MAX: u64 = 100_000;

pub(crate) async fn run(args: JobsArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    if args.quarantined {
        return quarantined(&args, &queue, context).await;
    }
    let states = if args.state.is_empty() {
        STATES.into_iter().filter(|state| !state.is_final()).collect()
    } else {
        args.state
    };
    let mut rows = Vec::new();
    let (mut offset, mut left) = (args.offset, args.limit);
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(GROUP_JOBS_MAX);
        let order = if args.desc { Order::Descending } else { Order::Ascending };
        let page = queue.jobs(JobsRequest { states: states.clone(), offset, limit, order }).await?;
        let count = page.jobs.len();
        for view in &page.jobs {
            if context.out.json {
                context.out.object(&JobShape::from(view))?;
            } else {
                rows.push(row(view));
            }
        }
        (offset, left) = (offset + count as u64, left - count as u64);
        if count < limit {
            break;
        }
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        let names = states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
        note!(context.out, "no jobs ({names})");
        return Ok(());
    }
    context.out.table(&["id", "name", "state", "starts", "tries", "when", "data, result or reason"], rows)
}

/// The failed jobs with that reason. They have no list of their own, so all that failed are looked at, up to
/// [`SCAN_MAX`].
async fn quarantined(args: &JobsArgs, queue: &Queue, context: &Context) -> Result<()> {
    let order = if args.desc { Order::Descending } else { Order::Ascending };
    let (mut offset, mut skip, mut left) = (0, args.offset, args.limit);
    let mut rows = Vec::new();
    'pages: while left > 0 {
        if offset >= SCAN_MAX {
            note!(
                context.out,
                "only the first {SCAN_MAX} failed jobs were looked at; --desc looks from the other end"
            );
            break;
        }
        let request = JobsRequest { states: vec![JobState::Failed], offset, limit: GROUP_JOBS_MAX, order };
        let page = queue.jobs(request).await?;
        for view in &page.jobs {
            if !view.job.failed_reason.as_ref().is_some_and(|reason| reason.starts_with(QUARANTINED)) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if left == 0 {
                break 'pages;
            }
            left -= 1;
            if context.out.json {
                context.out.object(&JobShape::from(view))?;
            } else {
                let job = &view.job;
                let reason = job.failed_reason.as_deref().unwrap_or_default();
                let evidence = reason.strip_prefix(QUARANTINED).unwrap_or(reason);
                rows.push(vec![
                    job.id.to_string(),
                    job.name.clone(),
                    job.attempts_started.to_string(),
                    job.finished_on.map(show_time).unwrap_or_default(),
                    shortened(evidence, EVIDENCE_SIGNS_MAX),
                ]);
            }
        }
        offset += page.jobs.len() as u64;
        if page.jobs.len() < GROUP_JOBS_MAX {
            break;
        }
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        note!(context.out, "no quarantined jobs");
        return Ok(());
    }
    context.out.table(&["id", "name", "starts", "when", "evidence"], rows)
}

fn row(view: &JobView) -> Vec<String> {
    let job = &view.job;
    let (when, what) = match view.state {
        JobState::Completed => (job.finished_on, job.return_value.as_ref().unwrap_or(&job.data).to_string()),
        JobState::Failed => (job.finished_on, job.failed_reason.clone().unwrap_or_default()),
        JobState::Active => (job.processed_on, job.data.to_string()),
        JobState::Delayed => (view.due, job.data.to_string()),
        _ => (Some(job.timestamp), job.data.to_string()),
    };
    vec![
        job.id.to_string(),
        job.name.clone(),
        view.state.to_string(),
        job.attempts_started.to_string(),
        job.attempts_made.to_string(),
        when.map(show_time).unwrap_or_default(),
        shortened(&what, DATA_SIGNS_MAX),
    ]
}

fn shortened(text: &str, signs_max: usize) -> String {
    let mut signs = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign });
    let mut short: String = signs.by_ref().take(signs_max).collect();
    if signs.next().is_some() {
        short.push_str(" ..");
    }
    short
}
