//! Taking jobs, and keeping them.

use oxmq::store::{ExtendRequest, Extended, RecoverRequest};
use oxmq::{JobId, Lease, Token};
use serde::Deserialize;

use super::call::{Call, Outcome, answer};
use super::ctx::{Ctx, LEASE_DEFAULT_MS, ms, small};
use super::errors::Failure;
use super::next::Next;

pub(super) async fn move_to_active(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        token: String,
        name: Option<String>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let Params { token, name, ctx } = call.read()?;
    let taken = call.store().take(&call.address()?, ctx.demand(&token, name, call.now)).await;
    answer(&Next::of(taken.map_err(|error| Failure::of(&error))?, call.now))
}

pub(super) async fn move_stalled(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let Params { ctx } = call.read()?;
    let request = RecoverRequest {
        max_stalled: small(ctx.max_stalled_count.unwrap_or(1.0)),
        interval: ms(ctx.stalled_interval.unwrap_or(LEASE_DEFAULT_MS)),
        now: call.now,
    };
    let found = call.store().recover(&call.address()?, request).await.map_err(|error| Failure::of(&error))?;
    answer(&found.stalled.iter().map(JobId::as_str).collect::<Vec<_>>())
}

/// Keeps leases of one duration; those that are lost.
async fn extend(
    call: &Call,
    jobs: &[String],
    tokens: &[String],
    duration: f64,
) -> Result<Vec<String>, Failure> {
    if jobs.len() != tokens.len() {
        return Err(Failure::params(&call.method, "there must be as many tokens as jobs"));
    }
    let leases = jobs.iter().zip(tokens);
    let leases = leases
        .map(|(job, token)| Lease { job: JobId::from(job.as_str()), token: Token::new(token.as_str()) })
        .collect();
    let request = ExtendRequest { leases, lease_for: ms(duration), now: call.now };
    let kept = call.store().extend(&call.address()?, request).await.map_err(|error| Failure::of(&error))?;
    let lost = jobs.iter().zip(kept).filter(|(_, kept)| *kept == Extended::Lost);
    Ok(lost.map(|(job, _)| job.clone()).collect())
}

pub(super) async fn extend_lock(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        token: String,
        duration: f64,
    }
    let Params { job_id, token, duration } = call.read()?;
    answer(&u8::from(extend(&call, &[job_id], &[token], duration).await?.is_empty()))
}

pub(super) async fn extend_locks(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_ids: Vec<String>,
        tokens: Vec<String>,
        duration: f64,
    }
    let Params { job_ids, tokens, duration } = call.read()?;
    answer(&extend(&call, &job_ids, &tokens, duration).await?)
}
