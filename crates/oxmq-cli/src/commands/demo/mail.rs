//! The demo's mails: rendered, and delivered over SMTP.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use oxmq::JobArgs;
use serde::{Deserialize, Serialize};

/// The longest wait for the mail server.
const SMTP_WAIT_MAX: Duration = Duration::from_secs(10);

/// A mail to be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mail {
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) text: String,
    /// A picture to go with it, within the demo's directory.
    pub(super) picture: Option<String>,
}

impl JobArgs for Mail {
    const NAME: &'static str = "mail";
}

impl Mail {
    pub(super) fn new(to: &str, subject: &str, text: &str) -> Self {
        Self { to: to.into(), subject: subject.into(), text: text.into(), picture: None }
    }

    pub(super) fn picture(mut self, picture: &str) -> Self {
        self.picture = Some(picture.into());
        self
    }
}

/// Sends a mail. Its Message-ID is made of `id`, so that one that is sent twice can be told.
pub(super) async fn send(mail: &Mail, id: &str, port: u16, dir: Option<&Path>) -> Result<()> {
    let message = Message::builder()
        .from("The demo <demo@oxmq.example>".parse()?)
        .to(mail.to.parse()?)
        .subject(mail.subject.as_str())
        .message_id(Some(format!("<{id}@oxmq.example>")));
    let message = match (&mail.picture, dir) {
        (Some(picture), Some(dir)) => {
            let bytes = tokio::fs::read(dir.join(picture)).await?;
            let image =
                Attachment::new_inline("picture".into()).body(bytes, ContentType::parse("image/jpeg")?);
            let html = format!("<p>{}</p><img src=\"cid:picture\">", escaped(&mail.text));
            let page = MultiPart::related().singlepart(SinglePart::html(html)).singlepart(image);
            let plain = SinglePart::plain(mail.text.clone());
            message.multipart(MultiPart::alternative().singlepart(plain).multipart(page))?
        }
        _ => message.header(ContentType::TEXT_PLAIN).body(mail.text.clone())?,
    };
    let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(port)
        .timeout(Some(SMTP_WAIT_MAX))
        .build();
    server.send(message).await?;
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
