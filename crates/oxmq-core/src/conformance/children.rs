//! Cases of `Store::children`.

use super::harness::{Harness, On, completed, draft, failed, finish, ms, tree};
use crate::address::JobKey;
use crate::family::ChildFailure;
use crate::store::{ChildCounts, ChildKind, ChildOutcome, ChildrenPage, ChildrenRequest};

async fn page(q: &On<'_>, id: &str, kinds: &[ChildKind], limit: usize) -> ChildrenPage {
    let request = ChildrenRequest { job: id.into(), kinds: kinds.to_vec(), cursor: None, limit };
    q.store().children(&q.address, request).await.unwrap()
}

/// All children of these kinds, page by page.
async fn walk(q: &On<'_>, kinds: &[ChildKind], limit: usize) -> Vec<(ChildKind, JobKey)> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let request = ChildrenRequest { job: "p".into(), kinds: kinds.to_vec(), cursor, limit };
        let page = q.store().children(&q.address, request).await.unwrap();
        assert!(page.children.len() <= limit, "{} of {limit}", page.children.len());
        found.extend(page.children.into_iter().map(|child| (child.outcome.kind(), child.key)));
        assert!(found.len() < 2_000, "it has an end");
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// A parent with children of every kind.
async fn fill(bench: &Harness) -> (On<'_>, On<'_>) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    let mut children = vec![tree(&below, "done"), tree(&below, "done2"), tree(&below, "lost")];
    children.push(tree(&below, "ignored").on_failure(ChildFailure::Ignore));
    children.extend((1..=5).map(|n| tree(&below, &format!("bad{n}")).on_failure(ChildFailure::FailParent)));
    children.push(tree(&below, "later").with(|draft| draft.delay(ms(60_000))));
    bench.add_flow(tree(&above, "p").over(children)).await;
    bench.advance(ms(7)).await;
    below.end("done", completed()).await;
    below.end("done2", completed()).await;
    below.end("lost", failed("nobody says what this does")).await;
    below.end("ignored", failed("why")).await;
    for n in 1..=5 {
        below.end(&format!("bad{n}"), failed("x")).await;
    }
    (above, below)
}

pub async fn each_kind_tells_what_became_of_the_child(bench: &Harness) {
    let (above, below) = fill(bench).await;
    let expected = "processed below:done2=null below:done=null | unprocessed below:later below:lost | \
                    ignored below:ignored=why | failed below:bad1@7 below:bad2@7 below:bad3@7 below:bad4@7 below:bad5@7";
    assert_eq!(above.children("p").await, expected);
    let page = page(&above, "p", &ChildKind::ALL, 100).await;
    assert_eq!(page.next, None);
    let ignored: Vec<_> =
        page.children.into_iter().filter(|child| child.outcome.kind() == ChildKind::Ignored).collect();
    assert_eq!(ignored.len(), 1);
    assert_eq!(ignored[0].key, below.key("ignored"));
    assert_eq!(ignored[0].outcome, ChildOutcome::Ignored("why".into()));
}

pub async fn the_counts_are_of_all_kinds(bench: &Harness) {
    let (above, _) = fill(bench).await;
    for kinds in [&[][..], &[ChildKind::Pending], &ChildKind::ALL] {
        let counts = page(&above, "p", kinds, 0).await.counts;
        let expected = [
            (ChildKind::Processed, 2),
            (ChildKind::Pending, 2),
            (ChildKind::Ignored, 1),
            (ChildKind::Failed, 5),
        ];
        for (kind, count) in expected {
            assert_eq!(counts.of(kind), count, "{kind:?}");
        }
        assert_eq!(counts.total(), 10);
    }
}

pub async fn kinds_come_in_the_order_asked_for(bench: &Harness) {
    let (above, _) = fill(bench).await;
    let asked = [ChildKind::Failed, ChildKind::Processed];
    let kinds: Vec<_> = walk(&above, &asked, 100).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [[ChildKind::Failed; 5].as_slice(), &[ChildKind::Processed; 2]].concat());
}

pub async fn pages_have_no_gap_no_double_and_an_end(bench: &Harness) {
    let (above, _) = fill(bench).await;
    let whole = walk(&above, &ChildKind::ALL, 1_000).await;
    assert_eq!(whole.len(), 10);
    for limit in [1, 2, 3, 5, 10] {
        assert_eq!(walk(&above, &ChildKind::ALL, limit).await, whole, "in pages of {limit}");
    }
    assert_eq!(walk(&above, &[ChildKind::Failed], 2).await.len(), 5);
}

pub async fn many_children_are_given_page_by_page(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    bench.add_flow(tree(&above, "p").over((0..1_200).map(|n| tree(&below, &format!("c{n}"))))).await;
    let whole = walk(&above, &[ChildKind::Pending], 1_000).await;
    let distinct: std::collections::BTreeSet<_> = whole.iter().cloned().collect();
    assert_eq!((whole.len(), distinct.len()), (1_200, 1_200));
    assert_eq!(walk(&above, &[ChildKind::Pending], 170).await, whole);
}

pub async fn children_that_end_between_pages_hide_no_others(bench: &Harness) {
    let (above, below) = (bench.on("above"), bench.on("below"));
    bench.add_flow(tree(&above, "p").over((0..40).map(|n| tree(&below, &format!("c{n}"))))).await;
    let kinds = vec![ChildKind::Pending];
    let request = ChildrenRequest { job: "p".into(), kinds: kinds.clone(), cursor: None, limit: 15 };
    let first = above.store().children(&above.address, request).await.unwrap();
    // Those of the first page, and half of the rest, end.
    let jobs = below.take(40).await.jobs;
    let on_first = |id: &str| first.children.iter().any(|child| child.key.id.as_str() == id);
    let (told, untold): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| on_first(job.job.id.as_str()));
    for job in told.iter().chain(&untold[..10]) {
        below.finish(job, completed()).await.unwrap();
    }
    let request = ChildrenRequest { job: "p".into(), kinds, cursor: first.next, limit: 100 };
    let rest = above.store().children(&above.address, request).await.unwrap();
    let mut found: Vec<_> = rest.children.iter().map(|child| child.key.id.clone()).collect();
    let mut expected: Vec<_> = untold[10..].iter().map(|job| job.job.id.clone()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(rest.next, None);
}

pub async fn a_job_without_children_has_none(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    for id in ["1", "nobody"] {
        let page = page(&q, id, &ChildKind::ALL, 10).await;
        assert_eq!((page.children.len(), page.next, page.counts), (0, None, ChildCounts::default()));
    }
}

pub async fn what_a_parent_knows_goes_with_it(bench: &Harness) {
    let q = bench.queue();
    bench.add_flow(tree(&q, "p").over([tree(&q, "a"), tree(&q, "b")])).await;
    let jobs = q.take(2).await.jobs;
    q.finish_by(vec![finish(&jobs[0], completed())], None).await;
    q.remove(&"p".into()).await;
    assert_eq!(q.children("p").await, "");
    q.add(draft().id("p")).await;
    assert_eq!(q.children("p").await, "");
    q.finish(&jobs[1], completed()).await.unwrap();
    assert_eq!(q.children("p").await, "", "it is another parent");
}
