//! Job schedulers: B-S01 to B-S13.

use oxmq_core::schedule::{Repeat, Rule, Zone};
use oxmq_core::store::{
    Advance, AdvanceScheduleRequest, PutScheduleRequest, RemoveAnswer, RemoveRequest, RemoveScheduleRequest,
    RemoveScope, ScheduleInfo, SchedulesRequest,
};
use oxmq_core::{JobId, JobState, LeasedJob, NewJob, Order, Result, Store};
use serde_json::{Map, Value, json};

use crate::replay::{Replay, Told, new_job, one};

impl Replay {
    /// `queue.upsertJobScheduler(id, repeat, template)`: the id of the job, if one is made.
    fn upsert(&mut self, id: &str, repeat: &str, template: &str) -> Result<Option<JobId>> {
        let repeat = Repeat::parse(repeat)?;
        repeat.check(self.time())?;
        let at = repeat.next_run(id, &Zone::utc(), self.time(), None)?.map(|slot| slot.at);
        let template: Map<String, Value> = serde_json::from_str(template).unwrap();
        let name = template.get("name").and_then(Value::as_str).unwrap_or(id).to_owned();
        let part = |name: &str| template.get(name).map_or("{}".to_owned(), Value::to_string);
        let template: NewJob = new_job(&name, &part("data"), &part("opts"))?;
        let request = PutScheduleRequest { id: id.into(), repeat, at, template, now: self.time() };
        let scheduled = self.wait(self.store.put_schedule(&self.queue, request))?;
        Ok(scheduled.next.map(|next| next.job))
    }

    /// What a worker does when it has taken a job: its schedule goes on.
    fn goes_on(&mut self, job: &LeasedJob) {
        let Some(id) = job.job.scheduler_id.clone() else { return };
        let options = job.job.options();
        let mut repeat = Repeat::parse(options.other["repeat"].as_str()).unwrap();
        let number = repeat.iteration().filter(|_| repeat.end_date.is_none_or(|end| end > self.time()));
        let previous = options.other.get("prevMillis").and_then(|ms| ms.read().ok());
        let previous = previous.map(oxmq_core::Timestamp::from_millis);
        let slot = repeat.next_run(&id, &Zone::utc(), self.time(), previous).unwrap();
        let at = slot.map(|slot| slot.at).filter(|_| matches!(repeat.rule, Rule::Pattern(_)));
        let next = number.map(|number| {
            repeat.count = Some(number);
            Advance { at, left_out_before: self.time(), repeat, options }
        });
        let (job, now) = (job.job.id.clone(), self.time());
        let request = AdvanceScheduleRequest { id, job, next, alone: false, now };
        self.wait(self.store.advance_schedule(&self.queue, request)).unwrap();
    }

    /// `getNextJob`, and what a worker does at once.
    fn start_run(&mut self) -> Option<LeasedJob> {
        let taken = self.take("tok");
        if taken.jobs.is_empty() {
            return None;
        }
        let job = one(taken);
        self.goes_on(&job);
        Some(job)
    }

    /// `runOne` of the generator.
    fn run_due(&mut self) -> Value {
        let Some(job) = self.start_run() else { return json!("no job") };
        self.complete(&job, "null", false).unwrap();
        let id = job.job.id;
        let view = self.wait(self.store.job(&self.queue, &id)).unwrap();
        let state = view.map_or("unknown", |view| view.state.as_str());
        json!({ "processed": id.as_str(), "state": state })
    }

    fn remove_scheduler(&mut self, id: &str) -> Value {
        let request = RemoveScheduleRequest { id: id.into(), now: self.time() };
        json!(self.wait(self.store.remove_schedule(&self.queue, request)).unwrap())
    }

    /// `queue.remove` of the first job in a state.
    fn remove_first(&mut self, state: JobState) -> Result<RemoveAnswer> {
        let request = oxmq_core::store::JobsRequest {
            states: vec![state],
            offset: 0,
            limit: 1,
            order: Order::Descending,
        };
        let page = self.wait(self.store.jobs(&self.queue, request)).unwrap();
        let request = RemoveRequest {
            job: page.jobs[0].job.id.clone(),
            scope: RemoveScope::WithChildren,
            now: self.time(),
        };
        self.wait(self.store.remove(&self.queue, request))
    }

    /// `queue.getJobSchedulers()`
    fn schedulers(&mut self) -> Value {
        let request = SchedulesRequest { offset: 0, limit: 100, order: Order::Descending };
        let page = self.wait(self.store.schedules(&self.queue, request)).unwrap();
        page.schedules.iter().map(shown).collect()
    }

    /// `queue.getJobScheduler(id)`
    fn scheduler(&mut self, id: &str) -> Value {
        let found = self.wait(self.store.schedule(&self.queue, id)).unwrap();
        found.map_or(json!("undefined"), |info| shown(&info))
    }
}

/// A schedule as Node shows it.
fn shown(info: &ScheduleInfo) -> Value {
    let mut fields: Map<String, Value> =
        info.repeat.as_ref().map_or_else(Map::new, |repeat| repeat.to_json().read().unwrap());
    fields.insert("key".into(), json!(info.id));
    fields.insert("next".into(), json!(info.next.as_millis()));
    if info.repeat.is_some() {
        fields.insert("name".into(), json!(info.name));
        fields.insert("iterationCount".into(), json!(info.made));
    }
    let mut template = Map::new();
    for (name, json) in [("data", &info.data), ("opts", &info.options)] {
        if json.as_str() != "{}" {
            template.insert(name.into(), json.read().unwrap());
        }
    }
    if !template.is_empty() {
        fields.insert("template".into(), Value::Object(template));
    }
    Value::Object(fields)
}

fn id(job: Result<Option<JobId>>) -> Value {
    json!(job.unwrap().unwrap().as_str())
}

pub(crate) fn s01(r: &mut Replay) {
    r.step("upsert every 60000 (now is 20 s into the minute)", |r| {
        let template = r#"{"name":"tickjob","data":{"a":1},"opts":{"attempts":2,"removeOnComplete":true}}"#;
        r.upsert("s", r#"{"every":60000}"#, template).unwrap();
        Told::NoTwin
    });
    r.step("take the first job: next iteration created", |r| {
        r.run_due();
        Told::NoTwin
    });
    r.advance(60_000);
    r.step("take the second job", |r| json!({ "id": r.run_due()["processed"] }));
    r.step("getters", |r| {
        json!({ "one": r.scheduler("s"), "all": r.schedulers(), "count": 1, "missing": r.scheduler("zz") })
    });
}

pub(crate) fn s02(r: &mut Replay) {
    let minute = r#"{"every":60000}"#;
    r.step("upsert every 60000", |r| id(r.upsert("s", minute, "{}")));
    r.advance(5_000);
    r.step("same every, before the first run (slot kept)", |r| {
        id(r.upsert("s", minute, r#"{"data":{"v":2}}"#))
    });
    r.step("run first", Replay::run_due);
    r.advance(5_000);
    r.step("same every, while the next is delayed", |r| id(r.upsert("s", minute, r#"{"data":{"v":3}}"#)));
    r.advance(5_000);
    r.step("every 30000: schedule restarts now", |r| {
        id(r.upsert("s", r#"{"every":30000}"#, r#"{"data":{"v":4}}"#))
    });
}

pub(crate) fn s03(r: &mut Replay) {
    r.step("upsert pattern", |r| {
        let repeat = r#"{"pattern":"0 15 3 * * *","tz":"Europe/Stockholm"}"#;
        r.upsert("cron", repeat, r#"{"name":"n","data":{"d":1}}"#).unwrap();
        Told::NoTwin
    });
    r.step("jump to the slot and take it", |r| {
        r.advance(14_500_000);
        r.run_due()["processed"].clone()
    });
}

pub(crate) fn s04(r: &mut Replay) {
    r.step("upsert every 1000 limit 2", |r| id(r.upsert("s", r#"{"every":1000,"limit":2}"#, "{}")));
    r.step("run 1", Replay::run_due);
    r.advance(1_000);
    r.step("run 2 (limit reached: no next job, scheduler stays)", Replay::run_due);
    r.advance(1_000);
    r.step("run 3", Replay::run_due);
}

pub(crate) fn s05(r: &mut Replay) {
    let now = r.now;
    let with = |rest: &str, ms: i64| format!("{{{rest}{}}}", now + ms);
    r.step("every with startDate in the future", |r| {
        id(r.upsert("a", &with(r#""every":10000,"startDate":"#, 25_000), "{}"))
    });
    r.step("pattern with startDate", |r| {
        id(r.upsert("b", &with(r#""pattern":"*/30 * * * * *","startDate":"#, 60_000), "{}"))
    });
    r.step("endDate in the past", |r| r.upsert("c", &with(r#""every":10000,"endDate":"#, -1), "{}"))
        .unwrap_err();
    r.step("every with endDate", |r| id(r.upsert("d", &with(r#""every":10000,"endDate":"#, 5_000), "{}")));
    r.advance(6_000);
    r.step("run d after its endDate: no next", Replay::run_due);
}

pub(crate) fn s06(r: &mut Replay) {
    r.step("every 60000 offset 5000", |r| id(r.upsert("o", r#"{"every":60000,"offset":5000}"#, "{}")));
    r.step("pattern immediately", |r| {
        id(r.upsert("i", r#"{"pattern":"0 0 * * * *","immediately":true}"#, "{}"))
    });
    r.step("run i", Replay::run_due);
    r.step("every 10000", |r| id(r.upsert("m", r#"{"every":10000}"#, "{}")));
    r.advance(95_000);
    r.step("run due jobs 95 s later", |r| (0..3).map(|_| r.run_due()).collect::<Value>());
}

pub(crate) fn s07(r: &mut Replay) {
    r.step("upsert pattern", |r| id(r.upsert("p", r#"{"pattern":"0 0 0 1 1 *"}"#, "{}")));
    r.step("queue.remove of the current job is refused (-8)", |r| {
        r.remove_first(JobState::Delayed).map(|_| Told::Done)
    })
    .err()
    .unwrap();
    r.step("removeJobScheduler", |r| r.remove_scheduler("p"));
    r.step("remove again", |r| r.remove_scheduler("p"));
    r.step("every (job in wait)", |r| id(r.upsert("e", r#"{"every":1000}"#, "{}")));
    r.step("removeJobScheduler: the waiting job stays", |r| r.remove_scheduler("e"));
    r.step("its job runs, no next iteration", Replay::run_due);
}

pub(crate) fn s08(r: &mut Replay) {
    let hourly = r#"{"pattern":"0 0 * * * *","immediately":true}"#;
    r.step("pattern slot job already completed", |r| {
        let job = id(r.upsert("p", hourly, "{}"));
        r.run_due();
        let now = r.now.to_string();
        let _: i64 = r.redis("ZADD", "repeat", &[&now, "p"]);
        job
    });
    r.step("upsert for the same millis", |r| r.upsert("p", hourly, "{}")).unwrap_err();
    r.step("every with 33 busy slots", |r| {
        for slot in 0..=33 {
            let _: i64 = r.redis("HSET", &format!("repeat:b:{}", r.now + slot * 1_000), &["name", "x"]);
        }
        r.upsert("b", r#"{"every":1000}"#, "{}")
    })
    .unwrap_err();
}

pub(crate) fn s09(r: &mut Replay) {
    r.step("upsert every 60000, pause", |r| {
        let job = id(r.upsert("s", r#"{"every":60000}"#, "{}"));
        r.pause();
        job
    });
    r.advance(1_000);
    r.step("upsert again while paused", |r| id(r.upsert("s", r#"{"every":60000}"#, "{}")));
}

pub(crate) fn s10(r: &mut Replay) {
    let now = r.now;
    let dated = format!(r#"{{"pattern":"* * * * *","immediately":true,"startDate":{now}}}"#);
    for (step, repeat) in [
        ("both", r#"{"every":1,"pattern":"* * * * *"}"#),
        ("none", "{}"),
        ("immediately + startDate", &dated),
        ("bad pattern", r#"{"pattern":"nope"}"#),
    ] {
        r.step(step, |r| r.upsert("x", repeat, "{}")).unwrap_err();
    }
    r.step("legacy entry in the repeat zset", |r| {
        let now = r.now.to_string();
        let _: i64 = r.redis("ZADD", "repeat", &[&now, "name::::* * * * *"]);
        r.schedulers()
    });
}

pub(crate) fn s11(r: &mut Replay) {
    r.step("upsert every 1000 priority 4", |r| {
        id(r.upsert("s", r#"{"every":1000}"#, r#"{"opts":{"priority":4}}"#))
    });
    r.step("run", Replay::run_due);
    r.advance(1_000);
    r.step("run", Replay::run_due);
}

pub(crate) fn s12(r: &mut Replay) {
    let half = r#"{"pattern":"*/30 * * * * *"}"#;
    r.step("upsert */30 s", |r| id(r.upsert("p", half, "{}")));
    r.advance(10_500);
    r.step("another job is taken: the due iteration is promoted to wait", |r| {
        r.put("other", r#"{"lifo":true}"#);
        r.take("tok");
    });
    r.step("upsert again", |r| id(r.upsert("p", half, "{}")));
}

pub(crate) fn s13(r: &mut Replay) {
    let twice = r#"{"every":1000,"limit":2}"#;
    r.step("upsert limit 2 and run once", |r| {
        r.upsert("s", twice, "{}").unwrap();
        r.run_due()
    });
    r.step("re-upsert, then run until nothing is due", |r| {
        r.upsert("s", twice, "{}").unwrap();
        let mut out = Vec::new();
        for _ in 0..4 {
            r.advance(1_000);
            out.push(r.run_due());
        }
        Value::Array(out)
    });
    r.step("remove the last (completed) job", |r| r.remove_first(JobState::Completed).map(|_| Told::Done))
        .unwrap();
    r.step("getJobSchedulers still lists it", Replay::schedulers);
    r.step("getJobSchedulers deletes an entry whose hash is gone", |r| {
        r.del("repeat:s");
        r.schedulers()
    });
}
