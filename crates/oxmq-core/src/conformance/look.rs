//! Cases of `Store::job`, `jobs`, `counts`, `queues`.

use super::harness::{Harness, On, completed, draft, failed, ms, words};
use crate::address::QueueAddress;
use crate::options::PRIORITY_MAX;
use crate::state::JobState::{self, Active, Completed, Delayed, Failed, Prioritized, Waiting};
use crate::store::{JobCounts, Order, QueueInfo, Tally};

pub async fn an_unknown_queue_is_empty(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(q.counts().await, JobCounts::default());
    assert!(q.page(&JobState::ALL, 0, 10, Order::Ascending).await.is_empty());
    assert!(q.find(&"1".into()).await.is_none());
    assert!(q.events_since(&crate::EventCursor::Oldest).await.is_empty());
}

/// Two jobs in each state; the ids in ascending order are those of the expectations below.
async fn fill(q: &On<'_>) {
    q.add_many(6).await;
    q.run_one(completed()).await;
    q.advance(ms(5)).await;
    q.run_one(failed("x")).await;
    q.advance(ms(5)).await;
    q.run_one(failed("x")).await;
    q.advance(ms(5)).await;
    q.run_one(completed()).await;
    q.advance(ms(5)).await;
    q.take(1).await;
    q.advance(ms(5)).await;
    q.take(1).await;
    q.add_all([draft(), draft().lifo(), draft().priority(9), draft().priority(3)]).await;
    q.add_all([draft().delay(ms(900)), draft().delay(ms(300))]).await;
}

pub async fn jobs_are_counted_in_each_state(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    let counts = q.counts().await;
    for state in [Waiting, Prioritized, Delayed, Active, Completed, Failed] {
        assert_eq!(counts.of(state), 2, "{state}");
    }
    assert_eq!((counts.waiting_children, counts.total()), (0, 12));
    assert_eq!((counts.paused, counts.limited_until), (false, None));
}

pub async fn each_state_has_its_order_in_both_directions(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    for (state, ascending, descending) in [
        (Waiting, "8 7", "7 8"),
        (Prioritized, "10 9", "9 10"),
        (Delayed, "12 11", "11 12"),
        (Active, "5 6", "6 5"),
        (Completed, "1 4", "4 1"),
        (Failed, "2 3", "3 2"),
        (JobState::WaitingChildren, "", ""),
    ] {
        for (order, expected) in [(Order::Ascending, ascending), (Order::Descending, descending)] {
            let page = q.page(&[state], 0, 10, order).await;
            assert_eq!(words(page.iter().map(|view| view.job.id.as_str())), expected, "{state}");
            for view in page {
                assert_eq!(view.state, state);
                assert_eq!(view, q.job(&view.job.id).await, "a page tells the same as the job itself");
                assert_eq!((view.due.is_some(), view.token.is_some()), (state == Delayed, state == Active));
            }
        }
    }
}

pub async fn states_are_one_sequence_that_is_cut_into_pages(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    let states = [Failed, Waiting, Active];
    for (offset, limit, order, expected) in [
        (0, 9, Order::Ascending, "2 3 8 7 5 6"),
        (0, 3, Order::Ascending, "2 3 8"),
        (3, 3, Order::Ascending, "7 5 6"),
        (5, 3, Order::Ascending, "6"),
        (6, 3, Order::Ascending, ""),
        (100, 3, Order::Ascending, ""),
        (1, 4, Order::Descending, "2 7 8 6"),
        (0, 0, Order::Ascending, ""),
    ] {
        let page = q.page(&states, offset, limit, order).await;
        assert_eq!(words(page.iter().map(|view| view.job.id.as_str())), expected);
    }
    assert!(q.page(&[], 0, 9, Order::Ascending).await.is_empty());
}

pub async fn a_long_list_is_read_page_by_page(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_many(250).await;
    let mut seen = Vec::new();
    for page in 0..3 {
        seen.extend(q.page(&[Waiting], page * 100, 100, Order::Ascending).await);
    }
    assert!(seen.iter().map(|view| &view.job.id).eq(&added));
}

pub async fn queues_are_listed_by_name_with_their_pause(bench: &Harness) {
    for name in ["mid", "zeta", "alpha"] {
        bench.on(name).add(draft()).await;
    }
    bench.on("mid").pause().await;
    let mut other = bench.on("beta");
    other.address = QueueAddress::with_prefix("some:where", "beta").unwrap();
    other.add(draft()).await;
    let queues = async |prefix: Option<&str>| bench.store().queues(prefix.map(Into::into)).await.unwrap();
    let info = |name: &str, paused| QueueInfo { queue: QueueAddress::new(name).unwrap(), paused };
    assert_eq!(queues(Some("bull")).await, [info("alpha", false), info("mid", true), info("zeta", false)]);
    assert_eq!(queues(Some("some:where")).await, [QueueInfo { queue: other.address, paused: false }]);
    assert!(queues(Some("some")).await.is_empty());
    assert!(queues(Some("bul_")).await.is_empty() && queues(Some("%")).await.is_empty());
    assert_eq!(queues(None).await.len(), 4);
}

pub async fn a_drained_queue_is_still_listed(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    q.remove(&id).await;
    assert_eq!(bench.store().queues(None).await.unwrap().len(), 1);
}

pub async fn waiting_jobs_are_counted_by_priority(bench: &Harness) {
    let q = bench.queue();
    let tally = |priorities: &[u32]| q.store().tally(&q.address, Tally::Priorities(priorities.to_vec()));
    assert_eq!(tally(&[0, 7]).await.unwrap(), [0, 0], "of a queue that is not there");
    q.add_all([draft(), draft().lifo(), draft().priority(1), draft().priority(7), draft().priority(7)]).await;
    q.add_all([draft().priority(PRIORITY_MAX), draft().delay(ms(50)).priority(7)]).await;
    assert_eq!(tally(&[7, 0, 2, 1, PRIORITY_MAX, 7]).await.unwrap(), [2, 2, 0, 1, 1, 2]);
    assert_eq!(tally(&[]).await.unwrap(), [0; 0]);
    q.take(3).await;
    assert_eq!(tally(&[0, 1, 7]).await.unwrap(), [0, 0, 2], "those that were taken do not wait");
}

pub async fn delayed_jobs_are_counted_by_when_they_are_due(bench: &Harness) {
    let q = bench.queue();
    let q = &q;
    let due_before = |time| async move {
        let counts = q.store().tally(&q.address, Tally::DueBefore(time)).await.unwrap();
        assert_eq!(counts.len(), 1);
        counts[0]
    };
    let start = q.now();
    assert_eq!(due_before(start + ms(100)).await, 0);
    q.add_all([draft().delay(ms(10)), draft().delay(ms(20)), draft().delay(ms(20)), draft()]).await;
    for (after, expected) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 3), (1_000, 3)] {
        assert_eq!(due_before(start + ms(after)).await, expected, "{after} ms");
    }
}
