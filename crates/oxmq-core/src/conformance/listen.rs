//! Cases of `Store::events` and `Store::publish`.

use std::time::Duration;

use super::harness::{Harness, MOMENT, On, PATIENCE, draft, spell};
use crate::events::{Event, EventCursor, EventKind};
use crate::store::{EventsPage, EventsRequest, TrimEventsRequest};

async fn read(q: &On<'_>, after: EventCursor, limit: usize, timeout: Duration) -> EventsPage {
    q.store().events(&q.address, EventsRequest { after, limit, timeout }).await.unwrap()
}

fn custom(name: &str, fields: &[(&str, &str)]) -> Event {
    let fields = fields.iter().map(|(field, value)| ((*field).into(), (*value).into())).collect();
    Event::queue(EventKind::Custom { name: name.into(), fields })
}

async fn publish(q: &On<'_>, name: &str) {
    q.store().publish(&q.address, custom(name, &[]), q.now()).await.unwrap();
}

pub async fn an_event_of_the_users_own_is_read_as_it_was_written(bench: &Harness) {
    let q = bench.queue();
    let event = custom("hello", &[("b", "2"), ("a", "it's\n\u{0}ü"), ("b", "again"), ("event", "x")]);
    let of_a_job = Event {
        job: Some("7".into()),
        kind: EventKind::Custom { name: "moved".into(), fields: vec![("to".into(), "there".into())] },
    };
    let first = q.store().publish(&q.address, event.clone(), q.now()).await.unwrap();
    q.store().publish(&q.address, of_a_job.clone(), q.now()).await.unwrap();
    let page = read(&q, EventCursor::Oldest, 10, Duration::ZERO).await;
    assert_eq!(page.events.iter().map(|stored| &stored.event).collect::<Vec<_>>(), [&event, &of_a_job]);
    assert_eq!(page.events[0].id, first);
}

pub async fn events_are_read_from_the_oldest_on_page_by_page(bench: &Harness) {
    let q = bench.queue();
    for name in ["a", "b", "c", "d", "e"] {
        publish(&q, name).await;
    }
    let mut after = EventCursor::Oldest;
    for expected in ["a b", "c d", "e"] {
        let page = read(&q, after, 2, Duration::ZERO).await;
        let names: Vec<_> = page.events.iter().map(|stored| stored.event.name()).collect();
        assert_eq!((names.join(" ").as_str(), page.trimmed), (expected, false));
        assert_eq!(page.cursor, EventCursor::After(page.events.last().unwrap().id.clone()));
        after = page.cursor;
    }
    let page = read(&q, after.clone(), 2, Duration::ZERO).await;
    assert_eq!((page.events.len(), page.cursor, page.trimmed), (0, after, false));
}

pub async fn a_reader_goes_on_after_any_event(bench: &Harness) {
    let q = bench.queue();
    for name in ["a", "b", "c"] {
        publish(&q, name).await;
    }
    let all = read(&q, EventCursor::Oldest, 10, Duration::ZERO).await.events;
    // A cursor is text between two runs of a program.
    let after = EventCursor::After(crate::EventId::stored(all[0].id.as_str()));
    let rest = read(&q, after, 10, Duration::ZERO).await.events;
    assert_eq!(rest, all[1..]);
}

pub async fn now_is_the_end_of_the_stream(bench: &Harness) {
    let q = bench.queue();
    publish(&q, "before").await;
    let page = read(&q, EventCursor::Now, 10, PATIENCE).await;
    assert!(page.events.is_empty() && !page.trimmed);
    publish(&q, "after").await;
    assert_eq!(q.events_since(&page.cursor).await, ["after"]);
}

pub async fn now_in_an_empty_queue_loses_nothing(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.add(draft().name("first")).await;
    assert_eq!(q.events_since(&here).await, ["added 1 name=first", "waiting 1"]);
}

pub async fn a_read_without_patience_is_answered_at_once(bench: &Harness) {
    let q = bench.queue();
    let page = read(&q, EventCursor::Oldest, 10, Duration::ZERO).await;
    assert!(page.events.is_empty() && !page.trimmed);
    publish(&q, "a").await;
    assert_eq!(q.events_since(&page.cursor).await, ["a"]);
}

pub async fn a_reader_that_waits_is_woken(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    let later = async {
        tokio::task::yield_now().await;
        q.add(draft()).await;
    };
    let (page, ()) = tokio::join!(read(&q, here, 10, PATIENCE), later);
    assert_eq!(spell(&page.events[0].event), "added 1 name=work");
}

pub async fn a_reader_that_waits_in_vain_keeps_its_place(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    bench.on("other").add(draft()).await;
    let page = read(&q, here.clone(), 10, MOMENT).await;
    assert_eq!((page.events.len(), page.trimmed), (0, false));
    publish(&q, "a").await;
    assert_eq!(q.events_since(&page.cursor).await, ["a"]);
}

pub async fn several_readers_see_the_same(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    let later = async {
        tokio::task::yield_now().await;
        publish(&q, "a").await;
    };
    let (one, two, ()) =
        tokio::join!(read(&q, here.clone(), 10, PATIENCE), read(&q, here.clone(), 10, PATIENCE), later);
    assert_eq!((one.events.len(), &one), (1, &two));
}

pub async fn the_newest_ten_thousand_events_are_kept_and_a_gap_is_told(bench: &Harness) {
    let q = bench.queue();
    publish(&q, "first").await;
    let early = read(&q, EventCursor::Oldest, 1, Duration::ZERO).await.cursor;
    publish(&q, "second").await;
    const JOBS: usize = 12_000;
    let group = || std::iter::repeat_n(draft(), 1_000).collect::<Vec<_>>();
    let added = q.add_groups((0..JOBS / 1_000).map(|_| group())).await;
    assert!(added.iter().all(Result::is_ok));
    assert_eq!(q.counts().await.waiting, JOBS as u64);

    let page = read(&q, early, 1_000, Duration::ZERO).await;
    let is_next = page.events[0].event.name() == "second";
    assert_eq!(page.trimmed, !is_next, "a gap is told, and only a gap");
    let (mut kept, mut last, mut after) = (page.events.len(), page.events.last().cloned(), page.cursor);
    loop {
        let page = read(&q, after, 1_000, Duration::ZERO).await;
        assert!(!page.trimmed);
        if page.events.is_empty() {
            break;
        }
        kept += page.events.len();
        last = page.events.last().cloned();
        after = page.cursor;
    }
    assert!((10_000..=2 * JOBS + 1).contains(&kept), "{kept} events are kept");
    assert_eq!(spell(&last.unwrap().event), format!("waiting {JOBS}"));
}

pub async fn events_tell_when_they_were_written(bench: &Harness) {
    let q = bench.queue();
    publish(&q, "a").await;
    let page = read(&q, EventCursor::Oldest, 1, Duration::ZERO).await;
    assert!(page.events[0].at.as_millis() >= 1_500_000_000_000);
}

async fn trim(q: &On<'_>, keep: u64, from_now_on: bool) -> u64 {
    let request = TrimEventsRequest { keep, from_now_on, now: q.now() };
    q.store().trim_events(&q.address, request).await.unwrap()
}

pub async fn old_events_go_when_asked_and_the_newest_stay(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(trim(&q, 10, false).await, 0, "nothing is there");
    for number in 0..450 {
        publish(&q, &format!("e{number}")).await;
    }
    let early = read(&q, EventCursor::Oldest, 1, Duration::ZERO).await.cursor;
    assert_eq!(trim(&q, 1_000, false).await, 0, "there are fewer");
    let gone = trim(&q, 100, false).await;
    let kept = read(&q, EventCursor::Oldest, 1_000, Duration::ZERO).await;
    assert_eq!(gone + kept.events.len() as u64, 450);
    assert!((100..=250).contains(&kept.events.len()), "{} are kept", kept.events.len());
    assert_eq!(spell(&kept.events.last().unwrap().event), "e449");
    assert!(read(&q, early, 10, Duration::ZERO).await.trimmed, "the gap is told");
    publish(&q, "later").await;
    assert_eq!(q.events_since(&kept.cursor).await, ["later"]);
}

pub async fn a_queue_keeps_as_many_events_as_it_is_told(bench: &Harness) {
    let q = bench.queue();
    trim(&q, 200, true).await;
    let jobs = || std::iter::repeat_n(draft(), 500).collect::<Vec<_>>();
    q.add_groups((0..6).map(|_| jobs())).await;
    for _ in 0..6 {
        publish(&q, "x").await;
    }
    q.add_groups((0..2).map(|_| jobs())).await;
    let kept = read(&q, EventCursor::Oldest, 10_000, Duration::ZERO).await.events.len();
    assert!((200..=6_000).contains(&kept), "{kept} of about 8,000 events are kept");
}
