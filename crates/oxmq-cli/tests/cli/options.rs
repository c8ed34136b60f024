//! `add`: every option of a job, the payload, and what is refused.

use oxmq::Clock;
use serde_json::json;

use crate::support::Bench;

#[test]
fn an_added_job_is_told_and_found() {
    let bench = Bench::new();
    let added = bench.json(&["add", "q", "welcome", "--data", r#"{"user":12345678901234567890}"#]);
    assert_eq!(added, json!({ "id": "1", "state": "waiting", "fate": "created", "existing": false }));
    let text = bench.ok(&["job", "q", "1", "--json"]);
    assert!(text.contains(r#""data":{"user":12345678901234567890}"#), "{text}");
    let job = bench.job("1");
    assert_eq!((&job["name"], &job["attemptsMade"]), (&json!("welcome"), &json!(0)));
    assert!(bench.ok(&["add", "q", "welcome"]).contains("job 2 is waiting"));
}

#[test]
fn every_flag_becomes_an_option_by_bullmqs_name() {
    let bench = Bench::new();
    bench.ok(&[
        "add",
        "q",
        "job",
        "--id",
        "own",
        "--delay",
        "1h",
        "--priority",
        "7",
        "--attempts",
        "5",
        "--backoff",
        "exponential:2s",
        "--jitter",
        "0.5",
        "--keep-completed",
        "10,age=1h",
        "--keep-failed",
        "none",
        "--keep-logs",
        "3",
        "--stack-limit",
        "2",
        "--size-limit",
        "1000",
        "--timeout",
        "30s",
        "--ttl",
        "5m",
    ]);
    let job = bench.job("own");
    let expected = json!({
        "attempts": 5, "backoff": { "type": "exponential", "delay": 2000, "jitter": 0.5 }, "delay": 3_600_000,
        "jobId": "own", "keepLogs": 3, "oxmq": { "timeout": 30000, "ttl": 300_000 }, "priority": 7,
        "removeOnComplete": { "count": 10, "age": 3600 }, "removeOnFail": true, "sizeLimit": 1000,
        "stackTraceLimit": 2,
    });
    assert_eq!(job["opts"], expected);
    assert_eq!(job["state"], "delayed");
}

#[test]
fn opts_take_bullmqs_names_and_the_flags_win() {
    let bench = Bench::new();
    bench.ok(&[
        "add",
        "q",
        "job",
        "--id",
        "a",
        "--opts",
        r#"{"attempts":3,"priority":9,"mine":[1]}"#,
        "--priority",
        "2",
    ]);
    let opts = &bench.job("a")["opts"];
    assert_eq!((&opts["attempts"], &opts["priority"], &opts["mine"]), (&json!(3), &json!(2), &json!([1])));
}

#[test]
fn a_lifo_job_runs_next() {
    let bench = Bench::with_jobs(&["a", "b"]);
    bench.ok(&["add", "q", "job", "--id", "c", "--lifo"]);
    let ids: Vec<_> = bench.lines(&["jobs", "q"]).iter().map(|job| job["id"].clone()).collect();
    assert_eq!(ids, ["c", "a", "b"]);
}

#[test]
fn a_time_can_be_given_by_date() {
    let bench = Bench::new();
    bench.ok(&["add", "q", "job", "--id", "later", "--at", "2040-01-01T00:00:00Z"]);
    bench.ok(&["add", "q", "job", "--id", "past", "--at", "2001-01-01T00:00:00Z"]);
    let due = bench.job("later")["due"].as_i64().unwrap();
    assert!((due - 2_208_988_800_000).abs() <= 1, "{due}");
    assert!(due > Clock::system().now().as_millis());
    assert_eq!(bench.state("past"), "waiting");
}

#[test]
fn a_second_add_with_an_id_finds_the_first() {
    let bench = Bench::with_jobs(&["a"]);
    let again = bench.json(&["add", "q", "job", "--id", "a", "--data", "2"]);
    assert_eq!(again, json!({ "id": "a", "state": "waiting", "fate": "existing", "existing": true }));
    assert_eq!(bench.job("a")["data"], json!({}));
}

#[test]
fn the_payload_comes_from_a_file_or_stdin() {
    let bench = Bench::new();
    std::fs::write(bench.path("data.json"), "{\"from\": \"file\"}\n").unwrap();
    bench.ok(&["add", "q", "job", "--id", "f", "--data", "@data.json"]);
    assert_eq!(bench.job("f")["data"], json!({ "from": "file" }));
    let ran = bench.run_with_input(&["add", "q", "job", "--id", "s", "--data", "-"], "[1,2]");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bench.job("s")["data"], json!([1, 2]));
    assert!(bench.fails(1, &["add", "q", "job", "--data", "@nowhere.json"]).contains("nowhere.json"));
}

#[test]
fn wrong_input_names_the_field_the_value_and_the_remedy() {
    let bench = Bench::new();
    for (args, words) in [
        (vec!["--data", "{oops"], ["`data` is {oops", "must be JSON"]),
        (vec!["--id", "17"], ["`job_id` is 17", "add a letter"]),
        (vec!["--priority", "2097152"], ["`priority` is 2097152", "2097151"]),
        (vec!["--opts", r#"{"attempts":"3"}"#], ["`attempts` is \"3\"", "whole number"]),
        (vec!["--data", "[1,2,3]", "--size-limit", "3"], ["`data` is 7 bytes", "limit is 3"]),
    ] {
        let mut all = vec!["add", "q", "job"];
        all.extend(&args);
        let stderr = bench.fails(6, &all);
        assert!(words.iter().all(|word| stderr.contains(word)), "{args:?}: {stderr}");
    }
    for args in
        [vec!["--delay", "soon"], vec!["--backoff", "fixed"], vec!["--jitter", "0.5"], vec!["--at", "never"]]
    {
        let mut all = vec!["add", "q", "job"];
        all.extend(&args);
        let stderr = bench.fails(2, &all);
        assert!(stderr.contains(args[0]), "{args:?}: {stderr}");
    }
    let stderr = bench.fails(6, &["add", "q", ""]);
    assert!(stderr.contains("`name` is empty"), "{stderr}");
}

#[test]
fn with_json_an_error_is_an_object() {
    let bench = Bench::new();
    let stderr = bench.fails(6, &["add", "q", "job", "--id", "17", "--json", "--quiet"]);
    let error: serde_json::Value = serde_json::from_str(&stderr).expect(&stderr);
    assert_eq!(error["error"]["kind"], "invalid");
    assert!(error["error"]["message"].as_str().unwrap().contains("job_id"));
}

#[test]
fn add_says_when_nobody_listens() {
    let bench = Bench::new();
    let ran = bench.run(&["add", "q", "job"]);
    assert!(ran.stderr.contains("no worker listens to q"), "{ran:?}");
}
