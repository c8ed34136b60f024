//! Schedules: put, list, next, remove.

use serde_json::json;

use crate::support::{Bench, eventually};

/// 2040-01-01T00:00:00Z.
const FAR: i64 = 2_208_988_800_000;

#[test]
fn a_schedule_is_put_listed_previewed_and_removed() {
    let bench = Bench::new();
    let start = FAR.to_string();
    let put = bench.json(&[
        "schedules",
        "put",
        "q",
        "daily",
        "report",
        "--cron",
        "0 9 * * *",
        "--zone",
        "Europe/Stockholm",
        "--start",
        &start,
        "--limit",
        "9",
        "--data",
        r#"{"team":"sales"}"#,
        "--attempts",
        "3",
        "--overlap",
        "skip",
        "--missed",
        "all=1d",
    ]);
    let first = FAR + 8 * 3_600_000;
    assert_eq!(put, json!({ "key": "daily", "job": format!("repeat:daily:{first}"), "next": first }));
    bench.ok(&[
        "schedules",
        "put",
        "q",
        "beat",
        "beat",
        "--every",
        "30s",
        "--start",
        &start,
        "--end",
        "2040-01-02T00:00:00Z",
    ]);

    let listed = bench.lines(&["schedules", "list", "q"]);
    let names: Vec<_> = listed.iter().map(|schedule| schedule["key"].as_str().unwrap()).collect();
    assert_eq!(names, ["beat", "daily"]);
    let daily = &listed[1];
    assert_eq!((&daily["pattern"], &daily["tz"]), (&json!("0 9 * * *"), &json!("Europe/Stockholm")));
    assert_eq!(
        (&daily["next"], &daily["iterationCount"], &daily["ended"]),
        (&json!(first), &json!(1), &json!(false))
    );
    assert_eq!(daily["template"], json!({ "data": { "team": "sales" }, "opts": { "attempts": 3 } }));
    assert_eq!(daily["oxmq"], json!({ "missed": { "all": 86_400_000 }, "overlap": "skip" }));
    let table = bench.ok(&["schedules", "list", "q", "--desc", "--limit", "1"]);
    assert!(table.contains("0 9 * * * (Europe/Stockholm), at most 9, own rules"), "{table}");
    assert!(!table.contains("beat"), "{table}");

    let next = bench.json(&["schedules", "next", "q", "daily", "-n", "2"]);
    assert_eq!(next["next"], json!([first, first + 86_400_000]));
    assert!(bench.ok(&["schedules", "next", "q", "beat", "-n", "1"]).starts_with("2040-01-01 00:00:00"));
    assert_eq!(bench.job(&format!("repeat:daily:{first}"))["repeatJobKey"], "daily");
    bench.fails(4, &["remove", "q", &format!("repeat:daily:{first}")]);

    assert_eq!(bench.json(&["schedules", "remove", "q", "daily"])["answer"], "removed");
    bench.fails(3, &["schedules", "remove", "q", "daily"]);
    bench.fails(3, &["schedules", "next", "q", "daily"]);
    assert_eq!(bench.lines(&["schedules", "list", "q"]).len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_remedy() {
    let bench = Bench::new();
    let stderr = bench.fails(6, &["schedules", "put", "q", "x", "job", "--cron", "0 25 * * *"]);
    assert!(stderr.contains("`hour` is 25"), "{stderr}");
    let stderr =
        bench.fails(6, &["schedules", "put", "q", "x", "job", "--cron", "0 9 * * *", "--zone", "Mars"]);
    assert!(stderr.contains("`tz` is Mars"), "{stderr}");
    let stderr = bench.fails(6, &["schedules", "put", "q", "x:17", "job", "--every", "1s"]);
    assert!(stderr.contains("must not end with"), "{stderr}");
    let stderr =
        bench.fails(6, &["schedules", "put", "q", "x", "job", "--every", "1s", "--opts", r#"{"delay":5}"#]);
    assert!(stderr.contains("use `start` or `offset`"), "{stderr}");
    bench.fails(2, &["schedules", "put", "q", "x", "job"]);
    bench.fails(2, &["schedules", "put", "q", "x", "job", "--every", "1s", "--cron", "* * * * *"]);
    bench.fails(2, &["schedules", "put", "q", "x", "job", "--every", "1s", "--missed", "some"]);
}

#[test]
fn a_worker_keeps_a_schedule_going() {
    let bench = Bench::new();
    bench.ok(&["schedules", "put", "q", "tick", "job", "--every", "100ms", "--limit", "4"]);
    let _worker = bench.worker("true", &[]);
    eventually("all four are done", || (bench.json(&["counts", "q"])["completed"] == 4).then_some(()));
    let listed = bench.json(&["schedules", "list", "q"]);
    assert_eq!((&listed["ended"], &listed["iterationCount"]), (&json!(true), &json!(4)));
    assert!(bench.ok(&["schedules", "list", "q"]).contains("ended"));
    assert_eq!(bench.json(&["schedules", "next", "q", "tick"])["next"], json!([]));
    let again = bench.json(&["schedules", "put", "q", "tick", "job", "--every", "100ms", "--limit", "4"]);
    assert_eq!(again["next"], json!(null));
}
