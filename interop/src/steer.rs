//! Steering a queue from either side.

use std::time::Duration;

use oxmq_core::JobState;
use oxmq_core::store::RemoveAnswer;
use serde_json::{Value, json};

use crate::rig::{Rig, Side, millis};

impl Rig {
    pub async fn pause(&self, side: Side) {
        match side {
            Side::Node => drop(self.node("pause", json!([])).await),
            Side::Rust => self.queue.pause().await.unwrap(),
        }
    }

    pub async fn resume(&self, side: Side) {
        match side {
            Side::Node => drop(self.node("resume", json!([])).await),
            Side::Rust => self.queue.resume().await.unwrap(),
        }
    }

    pub async fn is_paused(&self, side: Side) -> bool {
        match side {
            Side::Node => self.node("isPaused", json!([])).await == true,
            Side::Rust => self.queue.is_paused().await.unwrap(),
        }
    }

    pub async fn promote(&self, side: Side, id: &str) {
        match side {
            Side::Node => drop(self.node_job(id, "promote", json!([])).await),
            Side::Rust => self.queue.promote(id).await.unwrap(),
        }
    }

    pub async fn promote_all(&self, side: Side) {
        match side {
            Side::Node => drop(self.node("promoteJobs", json!([])).await),
            Side::Rust => drop(self.queue.promote_all(|_| {}).await.unwrap()),
        }
    }

    pub async fn retry(&self, side: Side, id: &str, state: JobState) {
        match side {
            Side::Node => drop(self.node_job(id, "retry", json!([state.as_str()])).await),
            Side::Rust => self.queue.retry(id, state).await.unwrap(),
        }
    }

    pub async fn retry_all(&self, side: Side, state: JobState) {
        match side {
            Side::Node => drop(self.node("retryJobs", json!([{ "state": state.as_str() }])).await),
            Side::Rust => drop(self.queue.retry_all(state, |_| {}).await.unwrap()),
        }
    }

    /// Whether it is gone.
    pub async fn remove(&self, side: Side, id: &str) -> bool {
        match side {
            Side::Node => self.node("remove", json!([id])).await == 1,
            Side::Rust => self.queue.remove(id).await.unwrap() != RemoveAnswer::Locked,
        }
    }

    /// Removes all jobs in a state; their ids, sorted.
    pub async fn clean(&self, side: Side, state: JobState) -> Vec<String> {
        let mut ids: Vec<String> = match side {
            Side::Node => {
                let name = if state == JobState::Waiting { "wait" } else { state.as_str() };
                serde_json::from_value(self.node("clean", json!([0, 0, name])).await).unwrap()
            }
            Side::Rust => {
                let ids = self.queue.clean(state, Duration::ZERO, 0, |_| {}).await.unwrap();
                ids.iter().map(ToString::to_string).collect()
            }
        };
        ids.sort();
        ids
    }

    pub async fn drain(&self, side: Side, delayed: bool) {
        match side {
            Side::Node => drop(self.node("drain", json!([delayed])).await),
            Side::Rust => drop(self.queue.drain(delayed, |_| {}).await.unwrap()),
        }
    }

    /// Whether it was done.
    pub async fn obliterate(&self, side: Side, force: bool) -> bool {
        match side {
            Side::Node => {
                self.agent.call(&self.name, "obliterate", json!([{ "force": force }])).await.is_ok()
            }
            Side::Rust => self.queue.obliterate(force, |_| {}).await.is_ok(),
        }
    }

    pub async fn change_delay(&self, side: Side, id: &str, delay: Duration) {
        match side {
            Side::Node => drop(self.node_job(id, "changeDelay", json!([millis(delay)])).await),
            Side::Rust => self.queue.change_delay(id, delay).await.unwrap(),
        }
    }

    pub async fn change_priority(&self, side: Side, id: &str, priority: u32, lifo: bool) {
        match side {
            Side::Node => {
                drop(
                    self.node_job(id, "changePriority", json!([{ "priority": priority, "lifo": lifo }]))
                        .await,
                );
            }
            Side::Rust => self.queue.change_priority(id, priority, lifo).await.unwrap(),
        }
    }

    pub async fn rate_limit(&self, side: Side, wait: Duration) {
        match side {
            Side::Node => drop(self.node("rateLimit", json!([millis(wait)])).await),
            Side::Rust => self.queue.rate_limit(wait).await.unwrap(),
        }
    }

    pub async fn remove_rate_limit(&self, side: Side) {
        match side {
            Side::Node => drop(self.node("removeRateLimitKey", json!([])).await),
            Side::Rust => self.queue.remove_rate_limit().await.unwrap(),
        }
    }

    pub async fn update_progress(&self, side: Side, id: &str, progress: Value) {
        match side {
            Side::Node => drop(self.node_job(id, "updateProgress", json!([progress])).await),
            Side::Rust => self.queue.update_progress(id, &progress).await.unwrap(),
        }
    }

    pub async fn update_data(&self, side: Side, id: &str, data: Value) {
        match side {
            Side::Node => drop(self.node_job(id, "updateData", json!([data])).await),
            Side::Rust => self.queue.update_data(id, &data).await.unwrap(),
        }
    }

    /// How many lines there are.
    pub async fn add_log(&self, side: Side, id: &str, line: &str, keep: u32) -> u64 {
        match side {
            Side::Node => self.node("addJobLog", json!([id, line, keep])).await.as_u64().unwrap(),
            Side::Rust => self.queue.add_log(id, line, Some(keep)).await.unwrap(),
        }
    }
}
