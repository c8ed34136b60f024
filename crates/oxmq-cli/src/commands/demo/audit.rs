//! The end of the demo: every job accounted for, and every claim checked against what is there.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::Result;
use oxmq::store::{GROUP_JOBS_MAX, JobsRequest};
use oxmq::{Job, JobState, JobView, Order, Queue};

use super::plan::{GREY, Plan, REMINDER, REMINDER_DELAY};
use super::sink::{GREYLISTED_TIMES, Mails};
use super::story::Story;
use super::{MAILS, Screen, THUMBNAILS};
use crate::output::say;

/// What was found, claim by claim.
#[derive(Debug, Default)]
struct Claims {
    rows: Vec<Vec<String>>,
    broken: Vec<String>,
}

impl Claims {
    fn hold(&mut self, claim: &str, expected: &dyn Display, found: &dyn Display) {
        let (expected, found) = (expected.to_string(), found.to_string());
        let is_good = expected == found;
        if !is_good {
            self.broken.push(format!("{claim}: expected {expected}, found {found}"));
        }
        let verdict = if is_good { "ok" } else { "WRONG" };
        self.rows.push(vec![claim.to_owned(), expected, found, verdict.to_owned()]);
    }
}

/// Says what became of everything. Whether all of it is as it should be.
pub(super) async fn report(
    plan: &Plan,
    story: &Story,
    mails: &Mails,
    dir: &Path,
    (thumbnails, letters): (&Queue, &Queue),
    screen: &Screen,
) -> Result<bool> {
    let (pictures, sent) = (jobs(thumbnails).await?, jobs(letters).await?);
    let mut claims = Claims::default();
    let pictures_planned = plan.pictures().count();
    let mails_planned = plan.mail_ids().len();

    claims.hold("thumbnail jobs added", &pictures_planned, &pictures.len());
    claims.hold("  of them completed", &pictures_planned, &completed(&pictures));
    let on_disk = plan.pictures().filter(|picture| dir.join(picture.args.result()).is_file()).count();
    claims.hold("thumbnails on disk", &pictures_planned, &on_disk);
    claims.hold("mail jobs added (each once, by its own id)", &mails_planned, &sent.len());
    claims.hold("  of them completed", &mails_planned, &completed(&sent));
    let delivered = mails.delivered();
    let arrived = plan.mail_ids().iter().filter(|id| delivered.contains_key(*id)).count();
    claims.hold("different mails in outbox/", &mails_planned, &arrived);
    claims.hold("  files there", &mails_planned, &fs::read_dir(dir.join("outbox"))?.count());

    let urgent = plan.urgent();
    let first: Vec<&str> = story.started.iter().take(urgent.len()).map(String::as_str).collect();
    claims.hold("the first to start were the urgent ones", &urgent.join(" "), &sorted(first).join(" "));
    let panorama = pictures.get(Plan::PANORAMA);
    claims.hold("starts of the panorama (its worker was killed)", &2, &starts(panorama));
    claims.hold("  other thumbnails left by the dead worker", &"all done", &others_done(&pictures));
    claims.hold(
        "starts of the greylisted mail",
        &(GREYLISTED_TIMES + 1),
        &starts_without_kill(sent.get(GREY)),
    );
    let waited = sent.get(REMINDER).and_then(|view| Some(view.job.processed_on? - view.job.timestamp));
    let is_punctual = waited.is_some_and(|waited| waited >= REMINDER_DELAY);
    claims.hold("the reminder waited for its time", &true, &is_punctual);

    let all = || pictures.values().chain(sent.values()).map(|view| &view.job);
    claims.hold("starts that nothing explains", &0, &all().filter(|job| unexplained(job) != 0).count());
    let twice = |id: &String| sent.get(id).is_none_or(|view| view.job.stalled_count == 0);
    let strange = delivered.iter().filter(|(id, times)| **times > 1 && twice(id)).count();
    claims.hold("mails delivered twice without a killed worker", &0, &strange);

    say!(screen.out, "")?;
    screen.out.table(&["claim", "expected", "found", ""], claims.rows)?;
    say!(screen.out, "Every job that was started more than once, and why:")?;
    for (queue, views) in [(THUMBNAILS, &pictures), (MAILS, &sent)] {
        for view in views.values().filter(|view| view.job.attempts_started > 1) {
            say!(screen.out, "  {queue} {}: {}", view.job.id, why(&view.job, story, &delivered))?;
        }
    }
    if claims.broken.is_empty() {
        say!(screen.out, "Every job ended as it should. To look further:")?;
    } else {
        say!(screen.out, "NOT as it should be:\n  {}\nTo look further:", claims.broken.join("\n  "))?;
        for view in pictures.values().chain(sent.values()).filter(|view| view.state != JobState::Completed) {
            let reason = view.job.failed_reason.as_deref().unwrap_or_default();
            say!(screen.out, "  job {} is {} {reason}", view.job.id, view.state)?;
        }
    }
    // As it was built, because a newcomer has not installed it.
    let program = super::super::this_program()?;
    let program = std::env::current_dir()
        .ok()
        .and_then(|here| program.strip_prefix(here).map(|short| short.display().to_string()).ok())
        .unwrap_or_else(|| program.display().to_string());
    let mut shown = format!("--store {}", thumbnails.store().describe());
    if thumbnails.address().prefix() != oxmq::DEFAULT_PREFIX {
        shown = format!("{shown} --prefix {}", thumbnails.address().prefix());
    }
    for command in [
        format!("{program} jobs {THUMBNAILS} --state completed {shown}"),
        format!("{program} job {THUMBNAILS} {} {shown}", Plan::PANORAMA),
        format!("{program} job {MAILS} {GREY} {shown}"),
        format!("{program} watch {MAILS} --from start {shown}"),
    ] {
        say!(screen.out, "  {command}")?;
    }
    Ok(claims.broken.is_empty())
}

/// All jobs of a queue, by id.
async fn jobs(queue: &Queue) -> Result<BTreeMap<String, JobView>> {
    let request = JobsRequest {
        states: JobState::ALL.to_vec(),
        offset: 0,
        limit: GROUP_JOBS_MAX,
        order: Order::Ascending,
    };
    let page = queue.jobs(request).await?;
    Ok(page.jobs.into_iter().map(|view| (view.job.id.to_string(), view)).collect())
}

fn completed(jobs: &BTreeMap<String, JobView>) -> usize {
    jobs.values().filter(|view| view.state == JobState::Completed).count()
}

fn starts(view: Option<&JobView>) -> u32 {
    view.map_or(0, |view| view.job.attempts_started)
}

/// The worker that was killed may have held this job too; that start is not one of the job's own making.
fn starts_without_kill(view: Option<&JobView>) -> u32 {
    view.map_or(0, |view| view.job.attempts_started - view.job.stalled_count)
}

fn others_done(jobs: &BTreeMap<String, JobView>) -> &'static str {
    let left = |view: &&JobView| view.job.stalled_count > 0 && view.state != JobState::Completed;
    if jobs.values().any(|view| left(&view)) { "some are not" } else { "all done" }
}

fn sorted(mut ids: Vec<&str>) -> Vec<&str> {
    ids.sort_unstable();
    ids
}

fn why(job: &Job, story: &Story, delivered: &BTreeMap<String, u32>) -> String {
    let mut reasons = Vec::new();
    if job.stalled_count > 0 {
        let worker = story.killed.unwrap_or("its worker");
        reasons.push(format!("{worker} was killed while working on it (x{})", job.stalled_count));
    }
    if job.attempts_made > 1 {
        reasons
            .push(format!("it failed {} times and was tried again after its backoff", job.attempts_made - 1));
    }
    if unexplained(job) != 0 {
        reasons.push(format!("{} starts are NOT explained", unexplained(job)));
    }
    if let Some(times) = delivered.get(job.id.as_str()).filter(|times| **times > 1) {
        reasons.push(format!("so it was delivered {times} times, with one Message-ID"));
    }
    format!("{} starts: {}", job.attempts_started, reasons.join("; "))
}

/// The starts of a job that were neither a try that ended nor cut short with their worker.
fn unexplained(job: &Job) -> i64 {
    i64::from(job.attempts_started) - i64::from(job.stalled_count) - i64::from(job.attempts_made)
}
