//! A small mail server: it takes every mail and keeps it as a file. To one address it says "try again later" at
//! first, as servers do that greylist.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest mail.
const MAIL_BYTES_MAX: u64 = 8 << 20;
/// The longest line of the conversation.
const LINE_BYTES_MAX: u64 = 4096;
/// How often mail to a greylisted address is put off.
pub(super) const GREYLISTED_TIMES: u32 = 2;
/// What a greylisted address begins with.
const GREYLISTED: &str = "grey";

/// What the sink has: for each mail, by its Message-ID, how often it was delivered.
#[derive(Debug, Clone, Default)]
pub(super) struct Mails {
    delivered: Arc<Mutex<BTreeMap<String, u32>>>,
    put_off: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Mails {
    /// The mails that arrived, and how often each did.
    pub(super) fn delivered(&self) -> BTreeMap<String, u32> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, id: &str) {
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner).entry(id.into()).or_default() += 1;
    }

    /// Whether mail to this address is to come again later.
    fn puts_off(&self, address: &str) -> bool {
        if !address.starts_with(GREYLISTED) {
            return false;
        }
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        let times = put_off.entry(address.into()).or_default();
        *times += 1;
        *times <= GREYLISTED_TIMES
    }
}

/// Starts a sink that keeps its mails in `dir`; returns its port.
pub(super) async fn start(dir: PathBuf) -> Result<(u16, Mails)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the mail sink")?;
    let port = listener.local_addr()?.port();
    let mails = Mails::default();
    let all = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (dir, mails) = (dir.clone(), all.clone());
            tokio::spawn(async move {
                if let Err(error) = converse(stream, dir, mails).await {
                    // A worker that is killed in the middle of a mail ends here.
                    tracing::debug!("a mail broke off: {error:#}");
                }
            });
        }
    });
    Ok((port, mails))
}

async fn converse(mut stream: TcpStream, dir: PathBuf, mails: Mails) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    writer.write_all(b"220 oxmq-demo ESMTP\r\n").await?;
    let mut recipients: Vec<String> = Vec::new();
    loop {
        let mut line = Vec::new();
        if (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-oxmq-demo\r\n250 8BITMIME\r\n",
            "HELO" | "NOOP" => "250 OK\r\n",
            "MAIL" | "RSET" => {
                recipients.clear();
                "250 OK\r\n"
            }
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                if mails.puts_off(address) {
                    "451 4.7.1 greylisted, please try again later\r\n"
                } else {
                    recipients.push(address.into());
                    "250 OK\r\n"
                }
            }
            "DATA" if recipients.is_empty() => "503 5.5.1 first RCPT\r\n",
            "DATA" => {
                writer.write_all(b"354 go ahead, end with a dot\r\n").await?;
                let mail = read_mail(&mut reader).await?;
                let id = message_id(&mail);
                tokio::fs::write(dir.join(format!("{id}.eml")), &mail).await?;
                mails.count(&id);
                recipients.clear();
                "250 2.0.0 taken\r\n"
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "500 5.5.2 that is not known here\r\n",
        };
        writer.write_all(answer.as_bytes()).await?;
    }
}

/// The mail up to the line with only a dot; lines that begin with a dot have one more on the way.
async fn read_mail(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Vec<u8>> {
    let mut reader = reader.take(MAIL_BYTES_MAX);
    let mut mail = Vec::new();
    loop {
        let start = mail.len();
        anyhow::ensure!(reader.read_until(b'\n', &mut mail).await? > 0, "the mail has no end, or is too big");
        match &mail[start..] {
            b".\r\n" | b".\n" => {
                mail.truncate(start);
                return Ok(mail);
            }
            [b'.', ..] => {
                mail.remove(start);
            }
            _ => {}
        }
    }
}

/// The part before the `@` of the Message-ID, with nothing in it that a file name could stumble over.
fn message_id(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let header = text.lines().take_while(|line| !line.is_empty());
    let id = header
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("message-id"));
    let id = id.map_or("", |(_, id)| id.trim().trim_matches(['<', '>']));
    let id = id.split('@').next().unwrap_or_default();
    let id: String = id.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '-').collect();
    if id.is_empty() { "without-id".into() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn mail_is_kept_and_greylisted_mail_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        let (port, mails) = start(dir.path().into()).await.unwrap();
        for (to, id, tries) in [("ann@example.com", "a-1", 1), ("grey@example.com", "g-1", 3)] {
            for attempt in 1..=tries {
                let mail = super::super::mail::Mail::new(to, "hello", ".a line with a dot\n..\n\nend");
                let sent = super::super::mail::send(&mail, id, port, None).await;
                assert_eq!(sent.is_ok(), attempt == tries, "{to} {attempt}: {sent:?}");
            }
        }
        assert_eq!(mails.delivered(), BTreeMap::from([("a-1".into(), 1), ("g-1".into(), 1)]));
        let text = std::fs::read_to_string(dir.path().join("a-1.eml")).unwrap();
        assert!(text.contains("\r\n.a line with a dot\r\n..\r\n"), "{text}");
        assert!(text.contains("Subject: hello"), "{text}");
    }
}
