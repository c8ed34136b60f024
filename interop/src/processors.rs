//! What our workers do, chosen by the job's name: the twin of `node/processors.mjs`.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use oxmq_core::{Clock, HandlerError, JobContext, JobId, JobOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The gates that are open; they stay so.
static OPEN: LazyLock<watch::Sender<BTreeSet<String>>> =
    LazyLock::new(|| watch::Sender::new(BTreeSet::new()));

/// Lets go the jobs that hold at a gate.
pub fn open(gate: &str) {
    OPEN.send_modify(|open| {
        open.insert(gate.to_owned());
    });
}

/// What our workers did.
#[derive(Debug, Default)]
pub struct Diary {
    /// Jobs that were run, once per start.
    pub runs: Mutex<Vec<String>>,
    /// Jobs that hold at a gate.
    pub holding: Mutex<Vec<String>>,
}

/// Runs a job.
pub async fn work(diary: Arc<Diary>, data: Value, context: JobContext) -> Result<Value, HandlerError> {
    let job = context.job().clone();
    diary.runs.lock().unwrap().push(job.id.to_string());
    let message = || data["message"].as_str().unwrap_or_default().to_owned();
    let wait = Duration::from_millis(data["ms"].as_u64().unwrap_or(0));
    let first = job.attempts_started == 1;
    let counts = json!({ "started": job.attempts_started, "made": job.attempts_made });
    match job.name.as_str() {
        "value" => Ok(data["value"].clone()),
        "fail" => Err(HandlerError::fail(message())),
        "throws" if u64::from(job.attempts_made) < data["fails"].as_u64().unwrap_or(0) => {
            if data.get("gate").is_some() {
                hold(&diary, &job.id, &data).await?;
            }
            Err(HandlerError::fail(format!("try {} in rust", job.attempts_made + 1)))
        }
        "throws" => Ok(json!({ "side": "rust", "made": job.attempts_made, "started": job.attempts_started })),
        "unrecoverable" => Err(HandlerError::give_up(message())),
        "note" => {
            context.progress(&data["progress"]).await?;
            for line in data["lines"].as_array().into_iter().flatten() {
                context.log(line.as_str().unwrap_or_default()).await?;
            }
            Ok("noted".into())
        }
        "hold" => {
            hold(&diary, &job.id, &data).await?;
            Ok("released".into())
        }
        "slow" => {
            Clock::system().sleep(wait).await;
            Ok("slow".into())
        }
        "family" => {
            if data["leaves"] == true {
                context.remove_pending_children().await?;
            }
            family(&context).await
        }
        "spawn" => {
            if first {
                let queue = data["queue"].as_str().unwrap_or_default();
                for child in data["children"].as_array().into_iter().flatten() {
                    let options = child.get("opts").map_or_else(|| json!({}), Value::clone).to_string();
                    let name = child["name"].as_str().unwrap_or_default();
                    let add = context.add_child_named(queue, name, &child["data"]);
                    add.options(JobOptions::parse(&options)?).await?;
                }
            }
            if context.child_counts().await?.pending > 0 {
                return Err(HandlerError::wait_for_children());
            }
            family(&context).await
        }
        "later" if first => Err(HandlerError::again_after(wait)),
        "limit" if first => Err(HandlerError::rate_limited(wait)),
        "later" | "limit" => Ok(counts),
        _ => Ok(data),
    }
}

/// Tells what became of its children.
async fn family(context: &JobContext) -> Result<Value, HandlerError> {
    let mut values: Vec<Value> = context.children_values().await?.into_values().collect();
    values.sort_by_key(Value::to_string);
    let mut ignored: Vec<String> = context.ignored_failures().await?.into_values().collect();
    ignored.sort();
    let (started, made) = (context.start_number(), context.failed_tries());
    Ok(json!({ "values": values, "ignored": ignored, "started": started, "made": made }))
}

/// Waits until the gate that the data names is open.
async fn hold(diary: &Diary, id: &JobId, data: &Value) -> Result<(), HandlerError> {
    diary.holding.lock().unwrap().push(id.to_string());
    let gate = data["gate"].as_str().unwrap_or_default();
    OPEN.subscribe().wait_for(|open| open.contains(gate)).await?;
    Ok(())
}
