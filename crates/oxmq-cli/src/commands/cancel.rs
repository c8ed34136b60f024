//! `oxmq cancel`

use anyhow::{Result, bail};
use oxmq::store::CancelAnswer;
use oxmq::{Error, ErrorKind};
use serde_json::json;

use crate::args::CancelArgs;
use crate::context::Context;

pub(crate) async fn run(args: CancelArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.job.queue).await?;
    let id = args.job.id.as_str();
    let refuse = |message: String| -> Result<()> {
        Err(Error::new(ErrorKind::Refused, "cancel", message)
            .with("queue", queue.address())
            .with("job", id)
            .into())
    };
    match queue.cancel(id, args.reason).await? {
        CancelAnswer::Cancelled => context
            .out
            .answer(&json!({ "id": id, "answer": "cancelled" }), format_args!("job {id} is cancelled")),
        CancelAnswer::Requested { worker } => context.out.answer(
            &json!({ "id": id, "answer": "requested", "worker": worker }),
            format_args!("job {id} runs on {worker}, which is told to stop it"),
        ),
        CancelAnswer::Unreachable { worker } => {
            let worker = worker.map_or("a worker".into(), |worker| format!("the worker {worker}"));
            refuse(format!("it runs on {worker} that cannot be reached, and goes on"))
        }
        CancelAnswer::Finished(state) => refuse(format!("it has ended already: {state}")),
        answer => bail!("an answer that is not known here: {answer:?}"),
    }
}
