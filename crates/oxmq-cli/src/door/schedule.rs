//! Job schedulers.

use oxmq::schedule::{Repeat, Rule};
use oxmq::store::{
    Advance, AdvanceFate, AdvanceScheduleRequest, GROUP_JOBS_MAX, PutScheduleRequest, RemoveScheduleRequest,
    ScheduleInfo, SchedulesRequest,
};
use oxmq::{JobId, JobOptions, JsonText, NewJob, Order, Timestamp, millis};
use serde::Deserialize;

use super::call::{Call, Outcome, answer, whole};
use super::errors::Failure;
use super::job::read_options;
use super::look::Span;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Put {
    job_scheduler_id: String,
    next_millis: Option<f64>,
    #[serde(default = "no_data")]
    template_data: String,
    template_opts: Option<JsonText>,
    opts: JsonText,
    delayed_job_opts: Option<JsonText>,
}

fn no_data() -> String {
    "{}".to_owned()
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn at(next_millis: Option<f64>) -> Option<Timestamp> {
    next_millis.map(|ms| Timestamp::from_millis(whole(ms)))
}

/// The rule as the job carries it: it has members that the scheduler's own options lack.
fn repeat_of(call: &Call, job_opts: Option<&JobOptions>, opts: &JsonText) -> Result<Repeat, Failure> {
    let carried = job_opts.and_then(|options| options.other.get("repeat"));
    let mut repeat = Repeat::parse(carried.unwrap_or(opts).as_str())
        .map_err(|error| Failure::params(&call.method, error.message()))?;
    repeat.immediately = false;
    repeat.other.remove("name");
    Ok(repeat)
}

pub(super) async fn put(call: Call) -> Outcome {
    let put: Put = call.read()?;
    let Named { name } =
        put.opts.read().map_err(|error| Failure::params(&call.method, format!("`opts`: {error}")))?;
    let job_opts = put.delayed_job_opts.as_ref().map(read_options);
    let mut repeat = repeat_of(&call, job_opts.as_ref(), &put.opts)?;
    // The schedule counts for itself.
    repeat.count = None;
    let has_pattern = matches!(repeat.rule, Rule::Pattern(_));
    let options = put.template_opts.as_ref().map(read_options).unwrap_or_default();
    let request = PutScheduleRequest {
        id: put.job_scheduler_id,
        repeat,
        at: at(put.next_millis),
        template: NewJob { name, data: JsonText::stored(put.template_data), options },
        now: call.now,
    };
    let id = request.id.clone();
    let queue = call.address()?;
    let scheduled = call.store().put_schedule(&queue, request).await;
    let scheduled = scheduled.map_err(|error| Failure::of_schedule(&error, has_pattern))?;
    if let Some(next) = scheduled.next {
        return answer(&(next.job.as_str(), millis(next.due - call.now)));
    }
    // Its limit is reached, and no job was made: the last one stands for it.
    let info = call.store().schedule(&queue, &id).await.map_err(|error| Failure::of(&error))?;
    let slot = info.map_or(call.now, |info| info.next);
    answer(&(oxmq::schedule::step::slot_id(&id, slot).as_str(), 0))
}

pub(super) async fn advance(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_scheduler_id: String,
        next_millis: Option<f64>,
        delayed_job_opts: JsonText,
        producer_id: Option<String>,
    }
    let Params { job_scheduler_id, next_millis, delayed_job_opts, producer_id } = call.read()?;
    let Some(producer) = producer_id else { return answer(&None::<String>) };
    let options = read_options(&delayed_job_opts);
    let repeat = repeat_of(&call, Some(&options), &delayed_job_opts)?;
    let request = AdvanceScheduleRequest {
        id: job_scheduler_id,
        job: JobId::from(producer),
        next: Some(Advance { at: at(next_millis), left_out_before: call.now, repeat, options }),
        alone: false,
        now: call.now,
    };
    let advanced = call.store().advance_schedule(&call.address()?, request).await;
    let made = match advanced.map_err(|error| Failure::of(&error))?.fate {
        AdvanceFate::Made(next) => Some(next.job.as_str().to_owned()),
        _ => None,
    };
    answer(&made)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    #[serde(alias = "id", alias = "key")]
    job_scheduler_id: String,
}

/// 0: it was removed; 1: there was none.
pub(super) async fn remove(call: Call) -> Outcome {
    let Which { job_scheduler_id } = call.read()?;
    let request = RemoveScheduleRequest { id: job_scheduler_id, now: call.now };
    let removed = call.store().remove_schedule(&call.address()?, request).await;
    answer(&u8::from(!removed.map_err(|error| Failure::of(&error))?))
}

async fn find(call: &Call) -> Result<Option<ScheduleInfo>, Failure> {
    let Which { job_scheduler_id } = call.read()?;
    call.store().schedule(&call.address()?, &job_scheduler_id).await.map_err(|error| Failure::of(&error))
}

pub(super) async fn get(call: Call) -> Outcome {
    match find(&call).await? {
        None => answer(&[(); 0]),
        Some(info) => {
            let flat: Vec<String> =
                fields(&info).into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
            answer(&((!flat.is_empty()).then_some(flat), info.next.as_millis().to_string()))
        }
    }
}

pub(super) async fn get_data(call: Call) -> Outcome {
    let found = find(&call).await?;
    let members = found.iter().flat_map(fields).map(|(name, value)| (name.to_owned(), value.into()));
    answer(&members.collect::<serde_json::Map<String, serde_json::Value>>())
}

pub(super) async fn is_there(call: Call) -> Outcome {
    answer(&find(&call).await?.is_some())
}

/// What BullMQ keeps of a schedule, as texts, in its order. Nothing of a rule that is not known.
fn fields(info: &ScheduleInfo) -> Vec<(&'static str, String)> {
    let Some(repeat) = &info.repeat else { return Vec::new() };
    let date = |time: Option<Timestamp>| time.map(|time| time.as_millis().to_string());
    let (every, pattern) = match &repeat.rule {
        Rule::Every(every) => (Some(millis(*every).to_string()), None),
        Rule::Pattern(pattern) => (None, Some(pattern.clone())),
        // A kind of rule that the store has and this does not know yet.
        _ => (None, None),
    };
    let unless_empty = |json: &JsonText| (json.as_str() != "{}").then(|| json.as_str().to_owned());
    let all = [
        ("name", Some(info.name.clone())),
        ("tz", repeat.tz.clone()),
        ("limit", repeat.limit.map(|limit| limit.to_string())),
        ("pattern", pattern),
        ("startDate", date(repeat.start_date)),
        ("endDate", date(repeat.end_date)),
        ("every", every),
        ("offset", Some(repeat.offset.unwrap_or(0).to_string())),
        ("opts", unless_empty(&info.options)),
        ("data", unless_empty(&info.data)),
        ("ic", Some(info.made.to_string())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

pub(super) async fn range(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        start: Option<f64>,
        end: Option<f64>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        asc: bool,
    }
    let Params { start, end, asc } = call.read()?;
    let slots = slots(&call, start, end, asc).await?;
    answer(&slots.into_iter().flat_map(|(id, slot)| [id, slot.as_millis().to_string()]).collect::<Vec<_>>())
}

/// The schedules in a part of the list by their slots.
pub(super) async fn slots(
    call: &Call,
    start: Option<f64>,
    end: Option<f64>,
    asc: bool,
) -> Result<Vec<(String, Timestamp)>, Failure> {
    let order = if asc { Order::Ascending } else { Order::Descending };
    let queue = call.address()?;
    let mut slots = Vec::new();
    let total = count_of(call).await?;
    let Some(span) = Span::of(start, end, total) else { return Ok(slots) };
    // Each page moves on by as many as it gives, so this ends with the schedules.
    let mut offset = span.start;
    while offset < span.end {
        let limit = usize::try_from(span.end - offset).unwrap_or(GROUP_JOBS_MAX).min(GROUP_JOBS_MAX);
        let request = SchedulesRequest { offset, limit, order };
        let page = call.store().schedules(&queue, request).await.map_err(|error| Failure::of(&error))?;
        if page.schedules.is_empty() {
            break;
        }
        offset += page.schedules.len() as u64;
        slots.extend(page.schedules.into_iter().map(|info| (info.id, info.next)));
    }
    Ok(slots)
}

pub(super) async fn count_of(call: &Call) -> Result<u64, Failure> {
    let request = SchedulesRequest { offset: 0, limit: 0, order: Order::Ascending };
    let page =
        call.store().schedules(&call.address()?, request).await.map_err(|error| Failure::of(&error))?;
    Ok(page.total)
}

pub(super) async fn count(call: Call) -> Outcome {
    answer(&count_of(&call).await?)
}
