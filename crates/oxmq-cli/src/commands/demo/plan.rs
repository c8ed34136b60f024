//! Which jobs the demo has.

use std::time::Duration;

use anyhow::Result;
use oxmq::{Backoff, Queue};

use super::Screen;
use super::mail::Mail;
use super::pictures::{PANORAMA, PHOTO};
use super::sink::GREYLISTED_TIMES;
use super::worker::Thumbnail;

/// The priority of most pictures; those with a lower number go before them.
const USUAL: u32 = 10;
/// The priority of the ones in a hurry, which are added last.
pub(super) const URGENT: u32 = 1;
/// How many are in a hurry.
const URGENT_COUNT: u32 = 3;
/// How late the reminder is.
pub(super) const REMINDER_DELAY: Duration = Duration::from_secs(12);
/// How long the greylisted mail waits before it is tried again; then twice that.
const GREY_BACKOFF: Duration = Duration::from_millis(1_500);
/// The own ids of the two mails that are not about a thumbnail.
pub(super) const REMINDER: &str = "reminder";
pub(super) const GREY: &str = "greylisted";

/// A picture, and the job for it.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) id: String,
    pub(super) args: Thumbnail,
    pub(super) size: (u32, u32),
    pub(super) priority: u32,
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Plan {
    pictures: Vec<Picture>,
}

impl Plan {
    /// So many pictures, the last ones in a hurry, and a big one.
    pub(super) fn new(count: u32) -> Self {
        let photo = |number: u32| {
            let priority = if number + URGENT_COUNT >= count { URGENT } else { USUAL };
            let name = if priority == URGENT { "urgent" } else { "photo" };
            Picture {
                id: format!("{name}-{number:02}"),
                args: Thumbnail {
                    picture: format!("pictures/{name}-{number:02}.jpg"),
                    widths: vec![320],
                    mail_to: format!("reader-{number:02}@example.com"),
                },
                size: PHOTO,
                priority,
            }
        };
        let panorama = Picture {
            id: Self::PANORAMA.into(),
            args: Thumbnail {
                picture: format!("pictures/{}.jpg", Self::PANORAMA),
                widths: vec![2_400, 2_000, 1_600, 1_280, 1_024, 800, 640, 320],
                mail_to: "panorama@example.com".into(),
            },
            size: PANORAMA,
            priority: USUAL,
        };
        Self { pictures: std::iter::once(panorama).chain((0..count).map(photo)).collect() }
    }

    /// The id of the job whose worker is killed.
    pub(super) const PANORAMA: &'static str = "panorama";

    pub(super) fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.pictures.iter()
    }

    /// The ids of the jobs in a hurry.
    pub(super) fn urgent(&self) -> Vec<&str> {
        let urgent = self.pictures.iter().filter(|picture| picture.priority == URGENT);
        urgent.map(|picture| picture.id.as_str()).collect()
    }

    /// The ids of all mails: one for each picture, and two more.
    pub(super) fn mail_ids(&self) -> Vec<String> {
        let about = self.pictures.iter().map(|picture| picture.args.mail_id());
        about.chain([REMINDER.to_owned(), GREY.to_owned()]).collect()
    }

    /// Adds what the producer adds; the mails about thumbnails are added by the workers.
    pub(super) async fn add(&self, thumbnails: &Queue, mails: &Queue, screen: &Screen) -> Result<()> {
        for picture in &self.pictures {
            let job = thumbnails.add(Thumbnail {
                picture: picture.args.picture.clone(),
                widths: picture.args.widths.clone(),
                mail_to: picture.args.mail_to.clone(),
            });
            job.id(picture.id.as_str()).priority(picture.priority).await?;
        }
        screen.say(format_args!(
            "added {} jobs to {}; the {URGENT_COUNT} added last are urgent, and are to jump the queue",
            self.pictures.len(),
            thumbnails.name(),
        ))?;
        mails
            .add(Mail::new("reader-00@example.com", "Do not forget your pictures", "They are ready."))
            .id(REMINDER)
            .delay(REMINDER_DELAY)
            .await?;
        screen.say(format_args!("added a mail that is not to be sent before {REMINDER_DELAY:?} are over"))?;
        mails
            .add(Mail::new("grey@example.com", "Hello, greylister", "Third time lucky."))
            .id(GREY)
            .attempts(GREYLISTED_TIMES + 2)
            .backoff(Backoff::exponential(GREY_BACKOFF))
            .await?;
        screen.say(format_args!(
            "added a mail to a server that says \"later\" {GREYLISTED_TIMES} times: tried again after \
             {GREY_BACKOFF:?}, then twice that"
        ))
    }

    /// Whether every job has ended, one way or the other.
    pub(super) async fn is_done(&self, thumbnails: &Queue, mails: &Queue) -> Result<bool> {
        let (pictures, letters) = (thumbnails.counts().await?, mails.counts().await?);
        let ended = pictures.completed + pictures.failed + letters.completed + letters.failed;
        let expected = self.pictures.len() + self.mail_ids().len();
        Ok(ended >= expected as u64 && pictures.unfinished() + letters.unfinished() == 0)
    }
}
