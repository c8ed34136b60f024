//! Deduplication: `add --dedup-id`, `dedup`.

use serde_json::json;

use crate::support::Bench;

#[test]
fn a_job_that_another_stands_for_is_not_added() {
    let bench = Bench::new();
    let add = ["add", "q", "job", "--dedup-id", "x"];
    assert_eq!(bench.json(&add)["fate"], "created");
    let again = json!({ "id": "1", "state": "waiting", "fate": "deduplicated", "existing": false });
    assert_eq!(bench.json(&add), again);
    assert!(bench.ok(&add).contains("not added: job 1 stands for it, and is waiting"));
    assert_eq!(bench.job("1")["deduplicationId"], "x");
    assert_eq!(bench.json(&["dedup", "q", "x"]), json!({ "id": "x", "job": "1", "state": "waiting" }));
    bench.work_off("true", &[]);
    assert!(bench.ok(&["dedup", "q", "x"]).contains("is free"));
    assert_eq!(bench.json(&["dedup", "q", "x"]), json!({ "id": "x", "job": null, "state": null }));
}

#[test]
fn an_id_is_taken_for_its_time_and_can_be_freed() {
    let bench = Bench::new();
    let add = ["add", "q", "job", "--dedup-id", "x", "--dedup-ttl", "1h", "--keep-completed", "none"];
    bench.ok(&add);
    bench.work_off("true", &[]);
    assert!(bench.ok(&add).contains("job 1 stands for it, which has finished and was removed"));
    assert_eq!(bench.json(&add)["state"], json!(null));
    assert!(bench.ok(&["dedup", "q", "x"]).contains("it has finished, and was removed"));
    assert_eq!(bench.json(&["dedup", "q", "x", "--release"]), json!({ "id": "x", "released": true }));
    assert_eq!(bench.json(&["dedup", "q", "x", "--release"]), json!({ "id": "x", "released": false }));
    assert_eq!(bench.json(&add)["fate"], "created");
}

#[test]
fn a_delayed_job_is_replaced() {
    let bench = Bench::new();
    let add = ["add", "q", "job", "--dedup-id", "x", "--dedup-replace", "--delay", "1h"];
    bench.ok(&add);
    let answer =
        json!({ "id": "2", "state": "delayed", "fate": "replaced", "removed": "1", "existing": false });
    assert_eq!(bench.json(&add), answer);
    assert!(bench.ok(&add).contains("job 3 is delayed, in place of job 2"));
}

#[test]
fn jobs_of_a_file_may_stand_for_each_other() {
    let bench = Bench::new();
    let line = r#"{"name":"a","opts":{"deduplication":{"id":"x"}}}"#;
    std::fs::write(bench.path("jobs.ndjson"), format!("{line}\n{line}\n")).unwrap();
    let added = bench.json(&["add", "q", "--bulk", "jobs.ndjson"]);
    assert_eq!(added, json!({ "added": 1, "existing": 0, "deduplicated": 1 }));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bench = Bench::new();
    bench.fails(2, &["add", "q", "job", "--dedup-ttl", "1h"]);
    bench.fails(2, &["add", "q", "job", "--dedup-id", "x", "--dedup-extend"]);
    let stderr = bench.fails(6, &["add", "q", "job", "--dedup-id", ""]);
    assert!(stderr.contains("deduplication.id"), "{stderr}");
    let stderr = bench.fails(6, &["add", "q", "job", "--opts", r#"{"debounce":{"id":"x"}}"#]);
    assert!(stderr.contains("use `deduplication`"), "{stderr}");
}
