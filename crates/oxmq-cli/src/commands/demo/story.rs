//! What the demo makes of the events: lines on the screen, and what has to be known in the end.

use anyhow::Result;
use oxmq::{EventKind, JsonText, Notice, Queue};

use super::plan::{Plan, REMINDER};
use super::{Screen, WORKERS};

/// What is to be done after an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    GoOn,
    /// Now is the time: this worker is in the middle of the job.
    Kill {
        worker: &'static str,
        job: String,
    },
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Story {
    screen: Screen,
    thumbnails_total: usize,
    mails_total: usize,
    thumbnails_done: usize,
    mails_done: usize,
    /// The thumbnail jobs in the order in which they were first started.
    pub(super) started: Vec<String>,
    /// Who was killed.
    pub(super) killed: Option<&'static str>,
}

impl Story {
    pub(super) fn new(plan: &Plan, screen: Screen) -> Self {
        Self {
            screen,
            thumbnails_total: plan.pictures().count(),
            mails_total: plan.mail_ids().len(),
            thumbnails_done: 0,
            mails_done: 0,
            started: Vec::new(),
            killed: None,
        }
    }

    pub(super) fn killed(&mut self, worker: &'static str) {
        self.killed = Some(worker);
    }

    /// An event of the thumbnails.
    pub(super) async fn thumbnail(&mut self, notice: &Notice, queue: &Queue) -> Result<Turn> {
        let Notice::Event(event) = notice else { return Ok(Turn::GoOn) };
        let Some(id) = event.event.job.as_ref().map(oxmq::JobId::as_str) else { return Ok(Turn::GoOn) };
        match &event.event.kind {
            EventKind::Active { .. } if !self.started.iter().any(|started| started == id) => {
                self.started.push(id.into());
            }
            EventKind::Active { .. } => {
                let worker = worker_of(queue, id).await?;
                self.screen.say(format_args!("    thumbnail {id} is started again, by {worker}"))?;
            }
            EventKind::Progress { data } if id == Plan::PANORAMA && self.killed.is_none() => {
                let worker = worker_of(queue, id).await?;
                self.screen.say(format_args!("thumbnail {id} is at {data} % on {worker}"))?;
                if let Some(worker) = WORKERS.into_iter().find(|name| *name == worker) {
                    return Ok(Turn::Kill { worker, job: id.into() });
                }
            }
            EventKind::Stalled => {
                self.screen
                    .say(format_args!("    thumbnail {id} is back in the queue: its lease ran out"))?;
            }
            EventKind::Completed { return_value, .. } => {
                self.thumbnails_done += 1;
                let worker = worker_of(queue, id).await?;
                self.screen.say(format_args!(
                    "thumbnail {id:<9} {:>2}/{} by {worker}: {}",
                    self.thumbnails_done,
                    self.thumbnails_total,
                    sizes(return_value),
                ))?;
            }
            EventKind::Failed { reason, .. } => {
                self.screen.say(format_args!("thumbnail {id} FAILED: {reason}"))?;
            }
            _ => {}
        }
        Ok(Turn::GoOn)
    }

    /// An event of the mails.
    pub(super) async fn mail(&mut self, notice: &Notice, queue: &Queue) -> Result<Turn> {
        let Notice::Event(event) = notice else { return Ok(Turn::GoOn) };
        let Some(id) = event.event.job.as_ref().map(oxmq::JobId::as_str) else { return Ok(Turn::GoOn) };
        match &event.event.kind {
            EventKind::Delayed { at } if id != REMINDER => {
                let view = queue.job(id).await?;
                let job = view.map(|view| view.job);
                let reason = job.as_ref().and_then(|job| job.failed_reason.clone()).unwrap_or_default();
                let tries = job.map_or(0, |job| job.attempts_made);
                self.screen.say(format_args!(
                    "mail {id} failed, try {tries}; again in {} ms: {}",
                    (*at - event.at).as_millis(),
                    reason.lines().next().unwrap_or_default(),
                ))?;
            }
            EventKind::Waiting { prev: Some(prev) } if prev == "delayed" => {
                self.screen.say(format_args!("mail {id} is due"))?;
            }
            EventKind::Completed { .. } => {
                self.mails_done += 1;
                let worker = worker_of(queue, id).await?;
                self.screen.say(format_args!(
                    "mail {id:<14} {:>2}/{} delivered by {worker}",
                    self.mails_done, self.mails_total
                ))?;
            }
            EventKind::Stalled => {
                self.screen.say(format_args!("    mail {id} is back in the queue: its lease ran out"))?;
            }
            EventKind::Failed { reason, .. } => {
                self.screen.say(format_args!("mail {id} FAILED: {reason}"))?;
            }
            _ => {}
        }
        Ok(Turn::GoOn)
    }
}

async fn worker_of(queue: &Queue, id: &str) -> Result<String> {
    let view = queue.job(id).await?;
    Ok(view.and_then(|view| view.job.processed_by).unwrap_or_else(|| "somebody".into()))
}

fn sizes(result: &JsonText) -> String {
    #[derive(serde::Deserialize)]
    struct Sizes {
        from: String,
        to: String,
    }
    result
        .read::<Sizes>()
        .map_or_else(|_| result.to_string(), |sizes| format!("{} -> {}", sizes.from, sizes.to))
}
