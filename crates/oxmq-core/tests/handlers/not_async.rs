use std::sync::Arc;

use oxmq_core::{HandlerError, Store, Worker};

fn blocks(_: serde_json::Value) -> Result<(), HandlerError> {
    Ok(())
}

fn build(store: &Arc<dyn Store>) {
    let _ = Worker::builder(store, "q").handle_any(blocks);
}

fn main() {}
