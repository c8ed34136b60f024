//! What bounds a queue, and what is counted: `limit`, `metrics`.

use serde_json::json;

use crate::support::Bench;

#[test]
fn limits_are_set_shown_and_lifted() {
    let bench = Bench::new();
    bench.fails(3, &["limit", "q"]);
    let none = json!({ "concurrency": null, "rate": null, "limitedUntil": null, "full": false });
    let set = bench.json(&["limit", "q", "--concurrency", "3", "--rate", "100/1s"]);
    let both = json!({
        "concurrency": 3, "rate": { "max": 100, "duration": 1000 }, "limitedUntil": null, "full": false,
    });
    assert_eq!(set, both);
    assert_eq!(bench.json(&["limit", "q"]), both);
    let shown = bench.ok(&["limit", "q"]);
    assert!(shown.contains("100 in 1.0 s") && shown.contains("gives jobs"), "{shown}");
    assert_eq!(bench.json(&["limit", "q", "--off", "rate"])["rate"], json!(null));
    assert!(bench.json(&["limit", "q", "--for", "1h"])["limitedUntil"].is_i64());
    assert!(bench.ok(&["limit", "q"]).contains("not before"));
    let until = bench.json(&["limit", "q", "--until", "2100-01-01T00:00:00Z"])["limitedUntil"].as_i64();
    assert!((until.unwrap() - 4_102_444_800_000).abs() < 1_000, "{until:?}");
    assert_eq!(bench.json(&["limit", "q", "--off"]), none);
    assert_eq!(bench.json(&["limit", "q"]), none);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let bench = Bench::with_jobs(&["a"]);
    let stderr = bench.fails(6, &["limit", "q", "--concurrency", "0"]);
    assert!(stderr.contains("use 1 or more") && stderr.contains("pause"), "{stderr}");
    bench.fails(6, &["limit", "q", "--rate", "0/1s"]);
    bench.fails(6, &["limit", "q", "--rate", "5/0s"]);
    bench.fails(2, &["limit", "q", "--rate", "5"]);
    bench.fails(2, &["limit", "q", "--off", "all"]);
    bench.fails(2, &["limit", "q", "--for", "1s", "--until", "2100-01-01T00:00:00Z"]);
}

#[test]
fn what_ended_is_counted_if_the_worker_counts() {
    let bench = Bench::with_jobs(&["a", "b"]);
    bench.work_off("true", &[]);
    let none = bench.run(&["metrics", "q"]);
    assert!(none.stderr.contains("--metrics MINUTES"), "{none:?}");
    for id in ["c", "d", "e"] {
        bench.ok(&["add", "q", "job", "--id", id]);
    }
    bench.work_off("test $OXMQ_JOB_ID != d", &["--metrics", "60"]);
    let counted = bench.json(&["metrics", "q"]);
    assert_eq!((&counted["completed"]["total"], &counted["failed"]["total"]), (&json!(2), &json!(1)));
    // The minute may have changed meanwhile.
    let minutes = counted["completed"]["minutes"].as_array().unwrap();
    assert_eq!(minutes.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), 2);
    let shown = bench.ok(&["metrics", "q", "--minutes", "5"]);
    assert!(shown.contains("last 5 min") && shown.contains('█'), "{shown}");
    let text = bench.ok(&["metrics", "q", "--prometheus"]);
    for line in [
        "bullmq_job_count{queue=\"q\", state=\"completed\"} 4",
        "bullmq_job_completed_total{queue=\"q\"} 2",
        "bullmq_job_failed_total{queue=\"q\"} 1",
        "oxmq_waiting_jobs{queue=\"q\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
    bench.fails(2, &["metrics", "q", "--prometheus", "--json"]);
    bench.fails(2, &["metrics", "q", "--prometheus", "--minutes", "5"]);
    bench.fails(6, &["work", "q", "--exec", "true", "--metrics", "0", "--until-drained"]);
}
