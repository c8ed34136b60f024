//! Cases of `Store::announce` and `Store::workers`.

use super::harness::{Harness, On, ms, worker};
use crate::store::WorkerInfo;

async fn workers(q: &On<'_>) -> Vec<WorkerInfo> {
    let mut workers = q.store().workers(&q.address, q.now()).await.unwrap();
    workers.sort_by(|a, b| a.id.cmp(&b.id));
    workers
}

pub async fn a_worker_is_listed_with_all_it_says(bench: &Harness) {
    let q = bench.queue();
    assert!(workers(&q).await.is_empty());
    let busy = WorkerInfo { active: 3, concurrency: 5, last_take_at: Some(17), ..worker("a", Some("anna")) };
    q.announce(busy.clone(), ms(30_000)).await;
    q.announce(worker("b", None), ms(30_000)).await;
    assert_eq!(workers(&q).await, [busy, worker("b", None)]);
}

pub async fn a_worker_is_gone_when_its_time_is_over(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("a", None), ms(1_000)).await;
    q.announce(worker("b", None), ms(3_000)).await;
    q.advance(ms(2_000)).await;
    assert_eq!(workers(&q).await, [worker("b", None)]);
}

pub async fn a_worker_may_announce_itself_anew(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("a", None), ms(1_000)).await;
    q.advance(ms(900)).await;
    q.announce(WorkerInfo { active: 1, ..worker("a", None) }, ms(1_000)).await;
    q.advance(ms(900)).await;
    assert_eq!(workers(&q).await, [WorkerInfo { active: 1, ..worker("a", None) }]);
}

pub async fn a_worker_that_says_it_announced_itself_before_is_listed_whatever_is_true(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("a", None), ms(1_000)).await;
    q.advance(ms(900)).await;
    q.renew(WorkerInfo { active: 1, ..worker("a", None) }, ms(1_000)).await;
    q.renew(worker("b", None), ms(3_000)).await;
    q.advance(ms(900)).await;
    assert_eq!(workers(&q).await, [WorkerInfo { active: 1, ..worker("a", None) }, worker("b", None)]);
    q.advance(ms(900)).await;
    assert_eq!(workers(&q).await, [worker("b", None)]);
    q.renew(worker("b", None), ms(0)).await;
    assert!(workers(&q).await.is_empty());
}

pub async fn a_worker_may_say_good_bye(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("a", None), ms(1_000)).await;
    q.announce(worker("a", None), ms(0)).await;
    assert!(workers(&q).await.is_empty());
    q.announce(worker("never seen", None), ms(0)).await;
    assert!(workers(&q).await.is_empty());
}

pub async fn workers_belong_to_one_queue(bench: &Harness) {
    bench.queue().announce(worker("a", None), ms(1_000)).await;
    assert!(workers(&bench.on("other")).await.is_empty());
}

pub async fn an_announcement_tells_no_event(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.announce(worker("a", None), ms(1_000)).await;
    q.expect_events(&here, &[]).await;
}
