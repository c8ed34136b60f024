//! Workers that are killed: the other side finds their jobs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::Arc;

use oxmq_core::{EventCursor, JobState, Notice};
use oxmq_interop::agent::spawn;
use oxmq_interop::rig::millis;
use oxmq_interop::{Agent, Rig, Running, Side, Work, ms, server, until};
use serde_json::{Value, json};

const TOO_OFTEN: &str = "job stalled more than allowable limit";

fn short() -> Work {
    Work { lock: ms(300), stall_check: ms(150), max_stalled: 1, ..Work::default() }
}

/// A worker in a process of its own.
enum Victim {
    Node(Arc<Agent>),
    Rust(Child),
}

impl Victim {
    /// Starts it, and waits until it holds a job.
    async fn with(side: Side, rig: &Rig, work: Work, id: &str) -> Self {
        match side {
            Side::Node => {
                let agent = Arc::new(Agent::start());
                let worker = rig.node_worker(&agent, work).await;
                rig.holds(Side::Node, &worker, id).await;
                Self::Node(agent)
            }
            Side::Rust => {
                let settings = json!({
                    "queue": rig.name, "concurrency": work.concurrency, "lock": millis(work.lock),
                    "stallCheck": millis(work.stall_check), "maxStalled": work.max_stalled, "tells": true,
                });
                let mut command = Command::new(env!("CARGO_BIN_EXE_soak_worker"));
                command.arg(settings.to_string()).env("OXMQ_INTEROP_URL", server::url());
                let mut child = spawn(command);
                let lines = BufReader::new(child.stdout.take().unwrap()).lines();
                let id = id.to_owned();
                let runs = move |line: std::io::Result<String>| {
                    let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                    line["event"] == "run" && line["jobId"] == id.as_str()
                };
                let has_it = tokio::task::spawn_blocking(move || lines.into_iter().any(runs));
                assert!(has_it.await.unwrap(), "it ended before it had the job");
                Self::Rust(child)
            }
        }
    }

    async fn kill(self) {
        match self {
            Self::Node(agent) => agent.kill().await,
            Self::Rust(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
}

async fn events_of(rig: &Rig, id: &str) -> Vec<String> {
    let mut stream = rig.queue.events(EventCursor::Oldest).await.unwrap();
    let mut names = Vec::new();
    while let Some(notice) = stream.try_next().await.unwrap() {
        if let Notice::Event(stored) = notice
            && stored.event.job.as_ref().is_some_and(|job| job.as_str() == id)
        {
            names.push(stored.event.name().to_owned());
        }
    }
    names
}

#[tokio::test]
async fn the_jobs_of_a_killed_worker_are_done_by_the_other_side() {
    for victim in Side::BOTH {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let id =
            rig.add(victim, "hold", json!({ "gate": gate }), json!({ "attempts": 3, "priority": 2 })).await;
        let killed = Victim::with(victim, &rig, short(), &id).await;
        let worker = rig.work(victim.other(), short()).await;
        killed.kill().await;
        rig.open(&gate).await;
        assert_eq!(rig.outcome(victim, &id).await, Ok(json!("released")));
        let shown = rig.shown(Side::Node, &id).await;
        assert_eq!(shown, rig.shown(Side::Rust, &id).await);
        let numbers =
            ["stalledCounter", "attemptsStarted", "attemptsMade"].map(|name| shown[name].as_u64().unwrap());
        assert_eq!(numbers, [1, 2, 1], "a stall is no try: {shown}");
        let expected = ["added", "waiting", "active", "waiting", "stalled", "active", "completed"];
        assert_eq!(events_of(&rig, &id).await, expected, "{victim:?} killed");
        worker.close().await;
    }
}

#[tokio::test]
async fn a_job_whose_workers_die_too_often_fails() {
    for victim in Side::BOTH {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let id = rig.add(victim, "hold", json!({ "gate": gate }), json!({ "attempts": 5 })).await;
        // A victim of each side, one after the other; what the first leaves is found by the second.
        for side in [victim, victim.other()] {
            let killed = Victim::with(side, &rig, short(), &id).await;
            killed.kill().await;
        }
        let worker = rig.work(victim, short()).await;
        rig.reaches(&id, JobState::Failed).await;
        for side in Side::BOTH {
            assert_eq!(rig.outcome(side, &id).await, Err(TOO_OFTEN.into()));
        }
        let shown = rig.shown(Side::Node, &id).await;
        assert_eq!(shown, rig.shown(Side::Rust, &id).await);
        assert_eq!(shown["stalledCounter"], 2);
        assert_eq!(shown.get("deferredFailure"), None);
        assert_eq!((&shown["attemptsMade"], &shown["attemptsStarted"]), (&json!(1), &json!(3)));
        assert!(rig.diary.holding.lock().unwrap().is_empty(), "it was not run again");
        worker.close().await;
    }
}

#[tokio::test]
async fn the_job_of_a_scheduler_never_stalls_too_often() {
    for recovers in Side::BOTH {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let every = json!(["tick", { "every": 3_600_000 }, { "name": "hold", "data": { "gate": gate } }]);
        let id = rig.node("upsertJobScheduler", every).await["id"].as_str().unwrap().to_owned();
        let killed = Victim::with(Side::Node, &rig, short(), &id).await;
        killed.kill().await;
        rig.open(&gate).await;
        let worker = rig.work(recovers, Work { max_stalled: 0, ..short() }).await;
        rig.reaches(&id, JobState::Completed).await;
        assert_eq!(rig.shown(Side::Node, &id).await["stalledCounter"], 1, "{recovers:?}");
        worker.close().await;
    }
}

#[tokio::test]
async fn a_deferred_failure_is_written_without_running_the_job() {
    let mut pattern: Option<Value> = None;
    for works in Side::BOTH {
        let rig = Rig::new().await;
        rig.pause(works).await;
        let opts = json!({ "attempts": 3, "backoff": 10 });
        let id = rig.add(works.other(), "echo", json!(1), opts).await;
        let () = redis::cmd("HSET")
            .arg(format!("bull:{}:{id}", rig.name))
            .arg("defa")
            .arg("someone said so: ü")
            .query(&mut server::connection())
            .unwrap();
        for side in Side::BOTH {
            assert_eq!(rig.shown(side, &id).await["deferredFailure"], "someone said so: ü");
        }
        rig.resume(works).await;
        let worker = rig.work(works, Work::default()).await;
        assert_eq!(rig.outcome(works.other(), &id).await, Err("someone said so: ü".into()));
        assert!(rig.diary.runs.lock().unwrap().is_empty());
        if let Running::Node { .. } = worker {
            assert!(worker.told("run").is_empty());
        }
        let mut shown = crate::getters::masked(rig.shown(Side::Node, &id).await);
        // Node writes the stack of the error that it made of it; ours has none.
        shown.as_object_mut().unwrap().remove("stacktrace");
        assert_eq!(&shown, pattern.get_or_insert_with(|| shown.clone()));
        worker.close().await;
    }
}

#[tokio::test]
async fn a_late_result_is_refused_when_the_other_side_has_the_job() {
    // Our worker's lock is taken away while it runs, as after a pause of its machine.
    for late in Side::BOTH {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let id = rig.add(late, "hold", json!({ "gate": gate }), json!({})).await;
        let first = rig.work(late, Work { lock: ms(60_000), stall_check: ms(60_000), ..short() }).await;
        rig.holds(late, &first, &id).await;
        let lock = format!("bull:{}:{id}:lock", rig.name);
        let () = redis::cmd("SET").arg(&lock).arg("somebody else").query(&mut server::connection()).unwrap();
        rig.open(&gate).await;
        let next = rig.add(late, "echo", json!("next"), json!({})).await;
        assert_eq!(rig.outcome(late.other(), &next).await, Ok(json!("next")), "it goes on with other jobs");
        until("the late one has been refused", || async {
            match &first {
                Running::Node { .. } => !first.told("error").is_empty(),
                Running::Rust(worker) => worker.handle().stats().late_results_refused == 1,
            }
        })
        .await;
        assert_eq!(rig.view(&id).await.unwrap().state, JobState::Active, "{late:?}");
        first.close().await;
    }
}
