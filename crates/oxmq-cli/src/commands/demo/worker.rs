//! One of the demo's worker processes: it makes thumbnails and sends mails.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use oxmq::{HandlerError, JobArgs, JobContext, Queue, Store, Worker, WorkerBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::mail::{self, Mail};
use super::pictures;
use super::{LEASE, MAILS, THUMBNAILS};
use crate::args::DemoWorkerArgs;
use crate::context::{Context, Missing};

/// A picture to be made small.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Thumbnail {
    /// The picture, within the demo's directory.
    pub(super) picture: String,
    /// How wide the small ones are, the last one being the thumbnail.
    pub(super) widths: Vec<u32>,
    /// Who gets a mail about it.
    pub(super) mail_to: String,
}

impl JobArgs for Thumbnail {
    const NAME: &'static str = "thumbnail";
}

impl Thumbnail {
    /// The thumbnail, within the demo's directory.
    pub(super) fn result(&self) -> String {
        self.sized(self.widths.last().copied().unwrap_or_default())
    }

    fn sized(&self, width: u32) -> String {
        format!("thumbnails/{}-{width}.jpg", self.stem())
    }

    fn stem(&self) -> Cow<'_, str> {
        Path::new(&self.picture).file_stem().unwrap_or_default().to_string_lossy()
    }

    /// The id of the mail about it. Made of the picture, so that a second run of the job adds no second mail.
    pub(super) fn mail_id(&self) -> String {
        format!("for-{}", self.stem())
    }
}

pub(crate) async fn run(args: DemoWorkerArgs, context: &Context) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let store = context.store(Missing::Refuse).await?;
    let mails = Queue::builder(&store, MAILS).prefix(context.prefix.as_str()).build()?;
    let dir = Arc::new(args.dir);

    let thumbnails = {
        let dir = dir.clone();
        builder(&store, context, THUMBNAILS, &args.name).handle(move |job: Thumbnail, context: JobContext| {
            make_thumbnail(job, context, dir.clone(), mails.clone())
        })
    };
    let letters =
        builder(&store, context, MAILS, &args.name).handle(move |job: Mail, context: JobContext| {
            let (dir, port) = (dir.clone(), args.smtp);
            async move {
                mail::send(&job, context.job().id.as_str(), port, Some(&dir)).await?;
                Ok::<_, HandlerError>(json!({ "sent_to": job.to }))
            }
        });
    let (thumbnails, letters) = (thumbnails.start()?, letters.start()?);
    terminate.recv().await;
    let (first, second) = tokio::join!(thumbnails.close(), letters.close());
    Ok(first.and(second)?)
}

fn builder(store: &Arc<dyn Store>, context: &Context, queue: &str, name: &str) -> WorkerBuilder {
    Worker::builder(store, queue)
        .prefix(context.prefix.as_str())
        .name(name)
        .concurrency(2)
        .lease(LEASE)
        .stall_check(LEASE / 4)
        .shutdown_timeout(Duration::from_secs(5))
}

async fn make_thumbnail(
    job: Thumbnail,
    context: JobContext,
    dir: Arc<PathBuf>,
    mails: Queue,
) -> Result<Value, HandlerError> {
    let mut sizes = Value::Null;
    for (index, width) in job.widths.iter().enumerate() {
        let (from, to) = (dir.join(&job.picture), dir.join(job.sized(*width)));
        let width = *width;
        // Pictures are heavy work, which must not hold up the runtime.
        let (was, is) = tokio::task::spawn_blocking(move || pictures::shrink(&from, &to, width)).await??;
        sizes = json!({ "from": format!("{}x{}", was.0, was.1), "to": format!("{}x{}", is.0, is.1) });
        context.progress(&((index + 1) * 100 / job.widths.len())).await?;
        if context.cancel_token().is_cancelled() {
            return Err("stopped half-way".into());
        }
    }
    let mail =
        Mail::new(&job.mail_to, "Your thumbnail is ready", &format!("It was made of {}.", job.picture));
    mails.add(mail.picture(&job.result())).id(job.mail_id()).await?;
    Ok(sizes)
}
