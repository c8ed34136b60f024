//! `Store::put_schedule`, `advance_schedule`, `remove_schedule`, `schedule`, `schedules`: the scripts of these names.

use oxmq_core::schedule::Repeat;
use oxmq_core::schedule::step::{slot_id, template_options};
use oxmq_core::store::{
    Advance, AdvanceFate, AdvanceScheduleRequest, Advanced, GROUP_JOBS_MAX, NextRun, PutScheduleRequest,
    RemoveScheduleRequest, ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest,
};
use oxmq_core::{Error, ErrorKind, JobId, JobOptions, JsonText, Order, QueueAddress, Result, Timestamp};
use redis::{Cmd, Value};

use crate::scripts::{ADVANCE_SCHEDULE, PUT_SCHEDULE, REMOVE_SCHEDULE, SCHEDULE, SCHEDULES};
use crate::store::RedisStore;
use crate::wire::options::{to_wire, to_wire_as_given};
use crate::wire::reply::{self, Malformed, Read};
use crate::wire::schedule::{Fields, view};

pub(crate) async fn put(
    store: &RedisStore,
    queue: &QueueAddress,
    request: PutScheduleRequest,
) -> Result<Scheduled> {
    let PutScheduleRequest { id, mut repeat, at, template, now } = request;
    (repeat.count, repeat.immediately) = (None, false);
    let fields = Fields::of(&repeat);
    if fields.every.is_none() && at.is_none() {
        return Err(Error::invalid("put_schedule", "at", "none", "say when the pattern is due next"));
    }
    let options = template_options(&template.options);
    let opts = to_wire_as_given(&options);
    let mut call = store.script("put_schedule", queue, &PUT_SCHEDULE);
    let time = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
    call.arg(now.as_millis())
        .arg(&id)
        .arg(fields.every.map_or_else(String::new, |every| every.to_string()))
        .arg(time(at))
        .arg(repeat.offset.unwrap_or(0))
        .arg(time(repeat.start_date))
        .arg(fields.limit.map_or_else(String::new, |limit| limit.to_string()))
        .arg(fields.pattern)
        .arg(repeat.tz.as_deref().unwrap_or(""))
        .arg(time(repeat.end_date))
        .arg(fields.own.as_ref().map_or("", JsonText::as_str))
        .arg(if opts == "{}" { "" } else { &opts })
        .arg(template.name)
        .arg(template.data.as_str());
    write_job(&mut call.command, &id, &repeat, &options, &opts);
    let answer = call.once().await?;
    let read = || -> Read<(Option<Value>, Option<Value>)> {
        let mut values = reply::list(answer)?.into_iter();
        Ok((values.next(), values.next()))
    };
    let bad = |bad: Malformed| bad.into_error("put_schedule");
    match read().map_err(bad)? {
        (Some(Value::Int(_)), job) => {
            let job = reply::text(job.unwrap_or(Value::Nil)).map_err(bad)?;
            let message = "the job of this slot is there already: remove it, or begin at another time";
            Err(Error::new(ErrorKind::Refused, "put_schedule", message)
                .with("queue", queue)
                .with("schedule", id)
                .with("job", job))
        }
        (Some(job), Some(slot)) => Ok(Scheduled { next: Some(next_run(job, slot).map_err(bad)?) }),
        _ => Ok(Scheduled { next: None }),
    }
}

pub(crate) async fn advance(
    store: &RedisStore,
    queue: &QueueAddress,
    request: AdvanceScheduleRequest,
) -> Result<Advanced> {
    let AdvanceScheduleRequest { id, job, next, alone, now } = request;
    let mut call = store.script("advance_schedule", queue, &ADVANCE_SCHEDULE);
    call.arg(now.as_millis()).arg(&id).arg(job.as_str()).arg(u8::from(alone)).arg(u8::from(next.is_some()));
    if let Some(Advance { at, left_out_before, mut repeat, options }) = next {
        let number = repeat.count.take().unwrap_or(1);
        repeat.immediately = false;
        let options = template_options(&options);
        let every = Fields::of(&repeat).every;
        call.arg(at.map_or_else(String::new, |at| at.to_string()))
            .arg(left_out_before.as_millis())
            .arg(every.map_or_else(String::new, |every| every.to_string()))
            .arg(repeat.end_date.map_or_else(String::new, |end| end.to_string()))
            .arg(number);
        write_job(&mut call.command, &id, &repeat, &options, &to_wire(&options));
    }
    let answer = call.once().await?;
    let read = || -> Read<Advanced> {
        let [fate, job, slot, overlaps] = reply::tuple::<4>(answer)?;
        let overlaps = Some(reply::text(overlaps)?).filter(|job| !job.is_empty()).map(JobId::from);
        let fate = match reply::text(fate)?.as_str() {
            "made" => AdvanceFate::Made(next_run(job, slot)?),
            "passed" => AdvanceFate::Passed,
            "gone" => AdvanceFate::Gone,
            "ended" => AdvanceFate::Ended,
            "taken" => AdvanceFate::Taken(reply::text(job)?.into()),
            other => return Err(Malformed::new("a fate", &Value::SimpleString(other.into()))),
        };
        Ok(Advanced { fate, overlaps })
    };
    read().map_err(|bad| bad.into_error("advance_schedule"))
}

pub(crate) async fn remove(
    store: &RedisStore,
    queue: &QueueAddress,
    request: RemoveScheduleRequest,
) -> Result<bool> {
    let mut call = store.script("remove_schedule", queue, &REMOVE_SCHEDULE);
    call.arg(request.id).arg(request.now.as_millis());
    let answer = call.once().await?;
    Ok(reply::int(answer).map_err(|bad| bad.into_error("remove_schedule"))? == 1)
}

pub(crate) async fn one(store: &RedisStore, queue: &QueueAddress, id: &str) -> Result<Option<ScheduleInfo>> {
    let mut call = store.script("schedule", queue, &SCHEDULE);
    call.arg(id);
    match call.repeatable().await? {
        Value::Nil | Value::Boolean(false) => Ok(None),
        found => view(found).map(Some).map_err(|bad| bad.into_error("schedule")),
    }
}

pub(crate) async fn page(
    store: &RedisStore,
    queue: &QueueAddress,
    request: SchedulesRequest,
) -> Result<SchedulesPage> {
    let mut call = store.script("schedules", queue, &SCHEDULES);
    let order = match request.order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    };
    // An index of the server's is a signed number.
    let offset = request.offset.min(1 << 53);
    call.arg(offset).arg(request.limit.min(GROUP_JOBS_MAX)).arg(order);
    let answer = call.repeatable().await?;
    let read = || -> Read<SchedulesPage> {
        let mut values = reply::list(answer)?.into_iter();
        let total = values.next().map_or(Ok(0), reply::count)?;
        Ok(SchedulesPage { schedules: values.map(view).collect::<Read<_>>()?, total })
    };
    read().map_err(|bad| bad.into_error("schedules"))
}

/// Writes the parts of a job's options, which the script puts together round the slot, and where the job goes.
fn write_job(command: &mut Cmd, id: &str, repeat: &Repeat, options: &JobOptions, opts: &str) {
    let key = JsonText::of(id).unwrap_or_else(|_| JsonText::null());
    // `"repeat:<id>:0"` without the slot and the quotation mark behind it.
    let first = JsonText::of(slot_id(id, Timestamp::EPOCH).as_str()).unwrap_or_else(|_| JsonText::null());
    let head = first.as_str().trim_end_matches("0\"");
    let more = opts.strip_prefix('{').filter(|rest| *rest != "}");
    let rest = match more {
        Some(rest) => format!(",\"repeatJobKey\":{key},{rest}"),
        None => format!(",\"repeatJobKey\":{key}}}"),
    };
    command
        .arg(format!("{{\"jobId\":{head}"))
        .arg(repeat.to_json().as_str())
        .arg(rest)
        .arg(options.priority.unwrap_or(0))
        .arg(u8::from(options.lifo == Some(true)));
}

fn next_run(job: Value, slot: Value) -> Read<NextRun> {
    let due = Timestamp::from_millis(reply::int(slot)?);
    Ok(NextRun { job: reply::text(job)?.into(), due })
}
