//! `add --bulk`

use serde_json::json;

use crate::support::{Bench, bulk_lines};

#[test]
fn every_line_becomes_a_job() {
    let bench = Bench::new();
    let lines = "{\"name\":\"a\",\"data\":{\"n\":1}}\n\n{\"name\":\"b\",\"opts\":{\"jobId\":\"own\",\"delay\":60000}}\n";
    std::fs::write(bench.path("jobs.ndjson"), lines).unwrap();
    let added = bench.json(&["add", "q", "--bulk", "jobs.ndjson"]);
    assert_eq!(added, json!({ "added": 2, "existing": 0, "deduplicated": 0 }));
    assert_eq!(bench.job("1")["data"], json!({ "n": 1 }));
    assert_eq!(bench.state("own"), "delayed");
    assert_eq!(bench.json(&["add", "q", "--bulk", "jobs.ndjson"])["existing"], 1);
}

#[test]
fn more_than_a_group_comes_from_stdin_in_order() {
    let bench = Bench::new();
    let ran = bench.run_with_input(&["add", "q", "--bulk"], &bulk_lines(2_500));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("2500 jobs added"), "{ran:?}");
    assert_eq!(bench.json(&["counts", "q"])["waiting"], 2_500);
    let jobs = bench.lines(&["jobs", "q", "--limit", "2500"]);
    assert!(jobs.iter().enumerate().all(|(index, job)| job["data"]["i"] == index));
}

#[test]
fn the_flags_are_defaults_for_all_lines() {
    let bench = Bench::new();
    let lines = "{\"name\":\"a\"}\n{\"name\":\"b\",\"opts\":{\"attempts\":9}}\n";
    bench.run_with_input(&["add", "q", "--bulk", "-", "--attempts", "4"], lines);
    assert_eq!(bench.job("1")["opts"]["attempts"], 4);
    assert_eq!(bench.job("2")["opts"]["attempts"], 9);
}

#[test]
fn a_bad_line_is_named_and_what_was_stored_is_told() {
    let bench = Bench::new();
    for (bad, word) in [
        ("{\"name\":\"x\"", "`line` is"),
        ("{\"nam\":\"x\"}", "unknown field `nam`"),
        ("{\"data\":1}", "missing field `name`"),
        ("{\"name\":\"x\",\"opts\":{\"priority\":-1}}", "`priority` is -1"),
        ("{\"name\":\"\"}", "`name` is empty"),
        ("{\"name\":\"x\",\"opts\":{\"jobId\":\"5\"}}", "`job_id` is 5"),
    ] {
        let input = format!("{}{bad}\n{{\"name\":\"last\"}}\n", bulk_lines(1_002));
        let ran = bench.run_with_input(&["add", "q", "--bulk", "--prefix", word], &input);
        assert_eq!(ran.code, 6, "{bad}: {ran:?}");
        assert!(ran.stderr.contains("line 1003; 1000 jobs stored before"), "{bad}: {ran:?}");
        assert!(ran.stderr.contains(word), "{bad}: {ran:?}");
        assert_eq!(bench.json(&["counts", "q", "--prefix", word])["waiting"], 1_000);
    }
}

#[test]
fn a_file_that_is_not_there_leaves_no_store_behind() {
    let bench = Bench::new();
    assert!(bench.fails(1, &["add", "q", "--bulk", "nowhere"]).contains("nowhere"));
    assert!(!bench.path("jobs.db").exists());
}
