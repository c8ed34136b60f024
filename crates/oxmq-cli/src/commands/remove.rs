//! `oxmq remove`: each job by itself; the worst answer gives the exit code.

use anyhow::{Result, bail};
use oxmq::store::RemoveAnswer;
use oxmq::{Error, ErrorKind};
use serde_json::json;

use super::no_such_job;
use crate::args::RemoveArgs;
use crate::context::Context;

pub(crate) async fn run(args: RemoveArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let mut refused = None;
    for id in &args.ids {
        let id_text = id.as_str();
        let answer = match (args.alone, args.pending_children) {
            (true, _) => queue.remove_alone(id_text).await?,
            (_, true) => queue.remove_pending_children(id_text).await?,
            (false, false) => queue.remove(id_text).await?,
        };
        let (word, error) = match answer {
            RemoveAnswer::Removed if args.pending_children => ("pending children removed", None),
            RemoveAnswer::Removed => ("removed", None),
            RemoveAnswer::NotFound => ("not found", Some(no_such_job("remove", &queue, id))),
            RemoveAnswer::Locked => {
                let message =
                    "somebody works on it, or on a child of it; cancel that, or wait until it has ended";
                let error = Error::new(ErrorKind::Refused, "remove", message);
                ("locked", Some(error.with("queue", queue.address()).with("job", id)))
            }
            answer => bail!("an answer that is not known here: {answer:?}"),
        };
        refused = refused.or(error);
        context.out.answer(&json!({ "id": id, "answer": word }), format_args!("job {id}: {word}"))?;
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}
