//! A call from beginning to end: found a server, sent, answered, and what happens when one of these fails.
//!
//! [`at_home`] is the short way: sent by the caller's own task, once. All that is no good answer goes on in [`run`], on the
//! store's own thread: there alone is known what to do in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result, hear};
use redis::{Cmd, Value};
use tokio::time::{Instant, timeout_at};

use super::Call;
use super::backoff::Backoff;
use super::fault::{self, Remedy};
use super::home::Lane;
use super::link::{Link, Outcome};
use super::routes::Next;
use super::server::Server;
use super::shared::Shared;
use super::traffic::real_now;
use crate::scripts::Script;

/// After so many redirections in a row there is a pause before the next: the nodes do not agree.
const REDIRECTS_AT_ONCE: u32 = 3;

/// What came of a call on the short way.
pub(super) struct Begun {
    /// When it was begun.
    at: std::time::Instant,
    link: Arc<Link>,
    server: Arc<Server>,
    outcome: Outcome,
}

impl Begun {
    /// Whether the server may have applied it.
    pub(super) fn may_be_applied(&self) -> bool {
        matches!(self.outcome, Outcome::Cut { unsent: false })
    }
}

/// Sends a call once, by a connection that lives on the caller's runtime. `Err` if that is not the end of it.
pub(super) async fn at_home(
    (server, link): (Arc<Server>, Arc<Link>),
    call: &Call,
    sent: &AtomicBool,
    patience: Duration,
) -> std::result::Result<Result<Value>, Begun> {
    let at = real_now();
    // As in `run`, but a turn of the runtime is a tenth of a lone call: it is taken only if there is something to hear.
    if !link.is_quiet() {
        hear().await;
    }
    sent.store(true, Ordering::Release);
    let mut outcome = link.untimed(link.send(&call.command), patience).await;
    if let Some(Outcome::Reply(Value::ServerError(error))) = &outcome
        && fault::understand(error).remedy == Remedy::LoadScript
    {
        // A second try will do as a rule. If it does not, the server does not take the script, or has forgotten it.
        let script = link.not_given(call.script);
        let companion = link.not_given(call.script.and_then(Script::companion));
        let sending =
            async { tokio::join!(load(&link, script), link.send(&call.command), load(&link, companion)).1 };
        outcome = link.untimed(sending, patience.saturating_sub(real_now() - at)).await;
    }
    match outcome {
        Some(Outcome::Reply(value)) if !matches!(value, Value::ServerError(_)) => Ok(Ok(value)),
        Some(outcome) => Err(Begun { at, link, server, outcome }),
        None => Ok(Err(unanswered(call, &link))),
    }
}

/// Sends a call and answers once. `sent` tells whether it may have been applied without an answer; `begun`, what came of
/// it so far.
pub(super) async fn run(
    shared: Arc<Shared>,
    call: Call,
    sent: Arc<AtomicBool>,
    lane: Lane,
    mut begun: Option<Begun>,
) -> Result<Value> {
    let start = begun.as_ref().map_or_else(Instant::now, |begun| Instant::from_std(begun.at));
    let deadline = start + shared.settings.call_deadline;
    let mut backoff = Backoff::new();
    let mut next = Next::Owner;
    let mut redirects = 0;
    let mut cut = false;
    let mut refusal = None;
    // What the server lacks, and why it did not take it.
    let mut lacking: Option<&'static Script> = None;
    let mut unloadable = None;
    loop {
        let (server, link, outcome) = if let Some(Begun { server, link, outcome, .. }) = begun.take() {
            (server, link, outcome)
        } else {
            let (server, link) = match find(&shared, &call, &next, lane, deadline).await {
                Ok(found) => found,
                // What a server said before it was lost tells more than that it was lost.
                Err(error) => return Err(refusal.unwrap_or_else(|| not_sent(call.operation, &error, cut))),
            };
            // Lets the thread hear first what has arrived: nothing is written to a connection that was closed before.
            hear().await;
            sent.store(true, Ordering::Release);
            // One behind the other, without waiting for the answers.
            let companion = link.not_given(lacking.and_then(Script::companion));
            let script = lacking.take();
            let sending = async {
                tokio::join!(load(&link, script), send(&link, &call.command, &next), load(&link, companion))
            };
            let Some((loaded, outcome, _)) = link.patiently(deadline, sending).await else {
                return Err(unanswered(&call, &link));
            };
            unloadable = loaded.and_then(|loaded| loaded.error(call.operation));
            (server, link, outcome)
        };
        next = Next::Owner;
        let fault = match outcome {
            Outcome::Reply(Value::ServerError(error)) => fault::understand(&error),
            Outcome::Reply(value) => return Ok(value),
            Outcome::Cut { unsent } if unsent || call.repeatable => {
                sent.store(!unsent, Ordering::Release);
                cut |= !unsent;
                refusal = None;
                link.retire("it is broken");
                if backoff.wait(deadline).await {
                    continue;
                }
                let message = "the connection broke and there was no time left for another";
                let error = Error::new(ErrorKind::Unavailable, call.operation, message);
                return Err(error.with("server", &link.address));
            }
            Outcome::Cut { .. } => {
                let message = "the connection broke after the call was sent: it may have been applied";
                let error = Error::new(ErrorKind::Ambiguous, call.operation, message);
                return Err(error.with("server", &link.address));
            }
        };
        // All that is sent again below was not applied.
        sent.store(false, Ordering::Release);
        let retry = match fault.remedy {
            Remedy::Tell => false,
            Remedy::Wait => backoff.wait(deadline).await,
            Remedy::Rediscover => {
                link.retire("it leads to a replica");
                backoff.wait(deadline).await
            }
            Remedy::LoadScript => {
                lacking = call.script;
                match unloadable.take() {
                    Some(error) if error.kind() != ErrorKind::Unavailable => {
                        return Err(error.with("server", &link.address));
                    }
                    Some(_) => backoff.wait(deadline).await,
                    None => lacking.is_some() && Instant::now() < deadline,
                }
            }
            Remedy::Moved | Remedy::Ask => {
                redirects += 1;
                match shared.routes.redirect(&shared, &server, &fault) {
                    Some(redirected) => {
                        next = redirected;
                        redirects <= REDIRECTS_AT_ONCE || backoff.wait(deadline).await
                    }
                    None => false,
                }
            }
        };
        let error = fault.error(call.operation).with("server", &link.address);
        if !retry {
            return Err(error);
        }
        refusal = matches!(fault.remedy, Remedy::Wait | Remedy::Rediscover).then_some(error);
    }
}

async fn find(
    shared: &Arc<Shared>,
    call: &Call,
    next: &Next,
    lane: Lane,
    deadline: Instant,
) -> Result<(Arc<Server>, Arc<Link>)> {
    match next {
        #[cfg(feature = "cluster")]
        Next::Asked(server) => server.link(deadline).await.map(|link| (server.clone(), link)),
        Next::Owner => shared.routes.link(shared, &call.slot_key, lane, deadline).await,
    }
}

/// Gives a script to the server.
async fn load(link: &Link, script: Option<&Script>) -> Option<Outcome> {
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(script?.source());
    Some(link.send(&load).await)
}

async fn send(link: &Link, command: &Cmd, next: &Next) -> Outcome {
    match next {
        #[cfg(feature = "cluster")]
        Next::Asked(_) => link.send_after(redis::cmd("ASKING"), command).await,
        Next::Owner => link.send(command).await,
    }
}

/// There was no connection to the end. `cut` if one broke with the call on it, which then was repeatable.
fn not_sent(operation: &'static str, error: &Error, cut: bool) -> Error {
    let fate = if cut { "no answer" } else { "not applied" };
    let message = format!("{fate}: {}", error.message());
    let kind = match error.kind() {
        kind @ (ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::Closed) => kind,
        _ => ErrorKind::Unavailable,
    };
    error.context().fold(Error::new(kind, operation, message), |told, (key, value)| told.with(key, value))
}

fn unanswered(call: &Call, link: &Link) -> Error {
    let (kind, message) = if call.repeatable {
        (ErrorKind::Unavailable, "the server did not answer in time")
    } else {
        (ErrorKind::Ambiguous, "the server did not answer in time: it may have been applied")
    };
    Error::new(kind, call.operation, message).with("server", &link.address)
}

/// Sends a command that is repeatable to a server of choice.
pub(super) async fn on(server: &Server, command: &Cmd, deadline: Instant) -> Result<Value> {
    let mut backoff = Backoff::new();
    loop {
        let link = server.link(deadline).await.map_err(|error| not_sent("every_node", &error, false))?;
        let error = match timeout_at(deadline, link.send(command)).await {
            Ok(Outcome::Reply(Value::ServerError(error))) => {
                let fault = fault::understand(&error);
                let error = fault.error("every_node").with("server", &link.address);
                match fault.remedy {
                    Remedy::Tell => return Err(error),
                    Remedy::Rediscover => link.retire("it leads to a replica"),
                    _ => {}
                }
                error
            }
            Ok(Outcome::Reply(value)) => return Ok(value),
            _ => Error::new(ErrorKind::Unavailable, "every_node", "the server did not answer")
                .with("server", &link.address),
        };
        if !backoff.wait(deadline).await {
            return Err(error);
        }
    }
}
