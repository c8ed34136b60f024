//! Cases of `Store::close` and `Store::describe`.

use super::harness::{Harness, draft, refused};
use crate::error::ErrorKind;

pub async fn a_store_says_what_it_is(bench: &Harness) {
    assert!(!bench.store().describe().is_empty());
}

pub async fn a_closed_store_answers_that_it_is_closed(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    bench.store().close().await.unwrap();
    refused(q.store().take(&q.address, q.demand(1)).await, ErrorKind::Closed);
    refused(q.store().counts(&q.address, q.now()).await, ErrorKind::Closed);
    refused(q.store().job(&q.address, &"1".into()).await, ErrorKind::Closed);
}
