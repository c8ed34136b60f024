//! Cases of `Store::detach`.

use super::harness::{Harness, completed, draft, ms, refused, tree};
use crate::error::ErrorKind;
use crate::state::JobState;

pub async fn a_detached_child_has_no_parent(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    bench.add_flow(tree(&above, "p").over([tree(&below, "a"), tree(&below, "b")])).await;
    let (here, there) = (above.here().await, below.here().await);
    assert!(below.detach("a").await.unwrap());
    assert_eq!(above.children("p").await, "unprocessed below:b");
    let job = below.job("a").await;
    assert_eq!((job.job.parent, job.state), (None, JobState::Waiting));
    assert!(!below.detach("a").await.unwrap());
    above.expect_events(&here, &[]).await;
    below.expect_events(&there, &[]).await;
    below.end("a", completed()).await;
    assert_eq!(above.children("p").await, "unprocessed below:b");
}

pub async fn the_last_one_that_is_detached_releases_the_parent(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let parent = tree(&above, "p").with(|draft| draft.delay(ms(50)));
    bench.add_flow(parent.over([tree(&below, "c")])).await;
    assert!(below.detach("c").await.unwrap());
    assert_eq!(above.state("p").await, JobState::Delayed);
}

pub async fn a_child_that_has_ended_is_not_detached(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    q.end("c", completed()).await;
    assert!(!q.detach("c").await.unwrap());
    assert_eq!(q.job("c").await.job.parent.unwrap().key, q.key("p"));
    assert_eq!(q.children("p").await, "processed tasks:c=null");
}

pub async fn both_must_be_there(bench: &Harness) {
    let q = bench.queue();
    refused(q.detach("nobody").await, ErrorKind::NotFound);
    q.add(draft().id("alone")).await;
    assert!(!q.detach("alone").await.unwrap());
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    q.remove(&"p".into()).await;
    let error = q.detach("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("bull:tasks:p"), "{error}");
}

pub async fn a_detached_child_may_have_another_parent(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "c")])).await;
    assert!(q.detach("c").await.unwrap());
    bench.add_flow(tree(&q, "p2").over([tree(&q, "c")])).await;
    assert_eq!(q.children("p2").await, "unprocessed tasks:c");
}
