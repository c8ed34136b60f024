//! Cases of `Store::note` and `Store::logs`.

use super::harness::{Harness, On, completed, draft, ms, refused};
use crate::address::JobId;
use crate::error::ErrorKind;
use crate::json::JsonText;
use crate::store::{LogsPage, LogsRequest, Note, Order};

async fn logs(q: &On<'_>, id: &JobId, offset: u64, limit: usize, order: Order) -> LogsPage {
    q.store().logs(&q.address, LogsRequest { job: id.clone(), offset, limit, order }).await.unwrap()
}

pub async fn progress_is_kept_and_told(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    let here = q.here().await;
    let progress = JsonText::stored(r#"{"b":[1.50],"a":99999999999999999999}"#);
    assert_eq!(q.note(&id, Note::Progress(progress.clone())).await.unwrap(), 0);
    assert_eq!(q.job(&id).await.job.progress, Some(progress.clone()));
    q.expect_events(&here, &[&format!("progress 1 data={progress}")]).await;
    q.note(&id, Note::Progress(JsonText::stored("7"))).await.unwrap();
    assert_eq!(q.job(&id).await.job.progress.unwrap().as_str(), "7");
}

pub async fn new_data_takes_the_place_of_the_old_silently(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().data("1")).await;
    let here = q.here().await;
    assert_eq!(q.note(&id, Note::Data(JsonText::stored(r#"{ "a" : 2 }"#))).await.unwrap(), 0);
    assert_eq!(q.take_one().await.job.data.as_str(), r#"{ "a" : 2 }"#);
    q.expect_events(&here, &["active 1 prev=waiting"]).await;
}

pub async fn notes_are_written_in_any_state(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().delay(ms(10))).await;
    let note = async |data: &str| q.note(&id, Note::Data(JsonText::stored(data))).await.unwrap();
    note("1").await;
    q.promote(&id).await.unwrap();
    note("2").await;
    let job = q.take_one().await;
    note("3").await;
    q.log(&id, "active", None).await;
    q.finish(&job, completed()).await.unwrap();
    note("4").await;
    assert_eq!(q.log(&id, "completed", None).await, 2);
    q.note(&id, Note::Progress(JsonText::stored("100"))).await.unwrap();
    let job = q.job(&id).await.job;
    assert_eq!((job.data.as_str(), job.progress.unwrap().as_str()), ("4", "100"));
}

pub async fn notes_about_a_job_that_is_not_there_are_refused(bench: &Harness) {
    let q = bench.queue();
    let nobody = JobId::from("nobody");
    let notes = [
        Note::Progress(JsonText::null()),
        Note::Data(JsonText::null()),
        Note::Log { line: "x".into(), keep: None },
        Note::ClearLogs { keep: None },
    ];
    let here = q.here().await;
    for note in notes {
        refused(q.note(&nobody, note).await, ErrorKind::NotFound);
    }
    q.expect_events(&here, &[]).await;
    assert!(q.find(&nobody).await.is_none());
    assert_eq!(logs(&q, &nobody, 0, 10, Order::Ascending).await, LogsPage::default());
}

pub async fn log_lines_are_counted_and_kept_in_order(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    let here = q.here().await;
    for (count, line) in ["one", "two", "", "vier\nü"].into_iter().enumerate() {
        assert_eq!(q.log(&id, line, None).await, count as u64 + 1);
    }
    let page = logs(&q, &id, 0, 10, Order::Ascending).await;
    assert_eq!(
        (page.lines, page.total),
        (vec!["one".into(), "two".into(), String::new(), "vier\nü".into()], 4)
    );
    q.expect_events(&here, &[]).await;
}

pub async fn logs_are_read_page_by_page_in_both_directions(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    for line in ["a", "b", "c", "d", "e"] {
        q.log(&id, line, None).await;
    }
    for (offset, limit, order, expected) in [
        (0, 2, Order::Ascending, "ab"),
        (2, 2, Order::Ascending, "cd"),
        (4, 2, Order::Ascending, "e"),
        (5, 2, Order::Ascending, ""),
        (0, 2, Order::Descending, "ed"),
        (3, 9, Order::Descending, "ba"),
    ] {
        let page = logs(&q, &id, offset, limit, order).await;
        assert_eq!((page.lines.concat().as_str(), page.total), (expected, 5));
    }
}

pub async fn only_the_newest_lines_are_kept_if_asked(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    for line in ["a", "b", "c", "d"] {
        q.log(&id, line, None).await;
    }
    assert_eq!(q.log(&id, "e", Some(3)).await, 3);
    assert_eq!(q.log(&id, "f", Some(3)).await, 3);
    assert_eq!(logs(&q, &id, 0, 9, Order::Ascending).await.lines.concat(), "def");
    assert_eq!(q.log(&id, "g", None).await, 4);
}

pub async fn logs_are_cleared_but_for_the_newest(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    for line in ["a", "b", "c"] {
        q.log(&id, line, None).await;
    }
    assert_eq!(q.note(&id, Note::ClearLogs { keep: Some(5) }).await.unwrap(), 3);
    assert_eq!(q.note(&id, Note::ClearLogs { keep: Some(2) }).await.unwrap(), 2);
    assert_eq!(logs(&q, &id, 0, 9, Order::Ascending).await.lines.concat(), "bc");
    assert_eq!(q.note(&id, Note::ClearLogs { keep: None }).await.unwrap(), 0);
    assert_eq!(logs(&q, &id, 0, 9, Order::Ascending).await, LogsPage::default());
}

pub async fn logs_of_jobs_are_separate(bench: &Harness) {
    let q = bench.queue();
    let jobs = q.add_many(2).await;
    q.log(&jobs[0], "a", None).await;
    assert_eq!(q.log(&jobs[1], "b", None).await, 1);
    assert_eq!(logs(&q, &jobs[0], 0, 9, Order::Ascending).await.lines, ["a"]);
}
