use std::sync::Arc;

use oxmq_core::{Store, Worker};

async fn forgets_to_answer(_: serde_json::Value) {}

fn build(store: &Arc<dyn Store>) {
    let _ = Worker::builder(store, "q").handle_any(forgets_to_answer);
}

fn main() {}
