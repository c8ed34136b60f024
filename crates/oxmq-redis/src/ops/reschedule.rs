//! `Store::reschedule`: `lua/reschedule.lua`.

use oxmq_core::store::{Change, RescheduleRequest};
use oxmq_core::{Error, ErrorKind, QueueAddress, Result, millis};

use super::read_step;
use crate::scripts::RESCHEDULE;
use crate::store::RedisStore;

pub(crate) async fn reschedule(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RescheduleRequest,
) -> Result<()> {
    let mut call = store.script("reschedule", queue, &RESCHEDULE);
    call.arg(request.now.as_millis()).arg(request.job.as_str());
    match request.change {
        Change::Delay(delay) => call.arg("delay").arg(millis(delay)).arg(0),
        Change::Priority { priority, lifo } => call.arg("priority").arg(priority).arg(u8::from(lifo)),
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "reschedule",
                "this store does not know that change",
            ));
        }
    };
    let answer = call.once().await?;
    read_step("reschedule", queue, Some(&request.job), answer).map(drop)
}
