//! `work --exec`: what a program gets, and how its end becomes the job's.

use serde_json::{Value, json};

use crate::support::{Bench, eventually};

#[test]
fn a_program_gets_the_job_on_stdin_and_in_its_environment() {
    let bench = Bench::new();
    bench.ok(&["add", "q", "greet", "--id", "a", "--data", r#"{"who":"it's \"me\""}"#, "--attempts", "3"]);
    let program = r#"cat > stdin.json; printf '%s|%s|%s|%s|%s|%s|%s' "$OXMQ_QUEUE" "$OXMQ_JOB_ID" "$OXMQ_JOB_NAME" "$OXMQ_JOB_DATA" "$OXMQ_ATTEMPT" "$OXMQ_ATTEMPTS" "$OXMQ_START""#;
    bench.work_off(program, &[]);
    let job = bench.job("a");
    assert_eq!(job["returnvalue"], r#"q|a|greet|{"who":"it's \"me\""}|1|3|1"#);
    let stdin: Value =
        serde_json::from_str(&std::fs::read_to_string(bench.path("stdin.json")).unwrap()).unwrap();
    assert_eq!((&stdin["id"], &stdin["data"]), (&json!("a"), &json!({ "who": "it's \"me\"" })));
    assert_eq!(stdin["attemptsStarted"], 1);
}

#[test]
fn stdout_is_the_result_as_json_or_as_text() {
    for (program, result) in [
        ("true", json!(null)),
        ("echo 5", json!(5)),
        ("echo '{\"a\":[1]}'", json!({ "a": [1] })),
        ("echo hello there", json!("hello there")),
        ("printf 'two\\nlines\\n'", json!("two\nlines")),
    ] {
        let bench = Bench::with_jobs(&["a"]);
        bench.work_off(program, &[]);
        let job = bench.job("a");
        assert_eq!((&job["state"], &job["returnvalue"]), (&json!("completed"), &result), "{program}");
    }
}

#[test]
fn too_much_stdout_is_a_failure_and_a_big_payload_is_not() {
    let bench = Bench::with_jobs(&["a"]);
    bench.work_off("head -c 2000000 /dev/zero | tr '\\0' x", &[]);
    assert!(bench.job("a")["failedReason"].as_str().unwrap().contains("more than 1048576 bytes"));

    let big = format!("\"{}\"", "y".repeat(500_000));
    std::fs::write(bench.path("big.json"), &big).unwrap();
    bench.ok(&["add", "q", "job", "--id", "big", "--data", "@big.json"]);
    bench.ok(&["add", "q", "job", "--id", "unread", "--data", "@big.json"]);
    bench.work_off("[ $OXMQ_JOB_ID = unread ] || wc -c; echo \"${OXMQ_JOB_DATA-unset}\" >&2", &[]);
    assert!(bench.job("big")["returnvalue"].as_u64().unwrap() > 500_000);
    assert_eq!(bench.ok(&["logs", "q", "big"]), "unset\n");
    assert_eq!(bench.state("unread"), "completed");
}

#[test]
fn exit_75_is_tried_again_and_other_codes_are_not() {
    let bench = Bench::new();
    for id in ["again", "never", "killed"] {
        bench.ok(&["add", "q", "job", "--id", id, "--attempts", "3", "--backoff", "fixed:10ms"]);
    }
    let program = "[ $OXMQ_ATTEMPT = 3 ] && [ $OXMQ_JOB_ID = again ] && exit 0
        case $OXMQ_JOB_ID in
            again) echo busy >&2; exit 75;;
            never) echo broken >&2; exit 9;;
            killed) kill -KILL $$;;
        esac";
    bench.work_off(program, &[]);
    let end = |id: &str| {
        let job = bench.job(id);
        let reason = job["failedReason"].as_str().unwrap_or_default().to_owned();
        (job["state"].as_str().unwrap().to_owned(), job["attemptsMade"].as_u64().unwrap(), reason)
    };
    let (state, tries, _) = end("again");
    assert_eq!((state.as_str(), tries), ("completed", 3));
    assert_eq!(end("never"), ("failed".into(), 1, "exit 9: broken".into()));
    // Twice is once too often.
    let evidence = "signal 9 (SIGKILL)";
    let reason =
        format!("quarantined: the handler's process died 2 times: {evidence}; before that: {evidence}");
    assert_eq!(end("killed"), ("failed".into(), 2, reason));
}

#[test]
fn with_retry_any_every_failure_is_tried_again() {
    let bench = Bench::new();
    bench.ok(&["add", "q", "job", "--id", "a", "--attempts", "2"]);
    bench.work_off("exit 9", &["--retry-any"]);
    assert_eq!((bench.state("a").as_str(), &bench.job("a")["attemptsMade"]), ("failed", &json!(2)));
}

#[test]
fn log_lines_are_there_while_the_job_runs() {
    let bench = Bench::with_jobs(&["a"]);
    let _worker = bench.worker("echo first >&2; sleep 60", &[]);
    eventually("the line is there", || (bench.ok(&["logs", "q", "a"]) == "first\n").then_some(()));
    assert_eq!(bench.state("a"), "active");
}

#[test]
fn a_program_over_its_time_is_ended_with_all_it_has_started() {
    let bench = Bench::with_jobs(&["a"]);
    // The child ignores SIGTERM, so that only the SIGKILL to the group ends it.
    let program = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.1; done' & wait";
    bench.work_off(program, &["--timeout", "300ms", "--grace", "200ms"]);
    assert_eq!(bench.job("a")["failedReason"], "timed out after 300 ms");
    let child = std::fs::read_to_string(bench.path("child")).unwrap();
    let status = format!("/proc/{}/status", child.trim());
    eventually("the child is gone", || {
        let status = std::fs::read_to_string(&status);
        status.map_or(true, |status| status.contains("State:\tZ")).then_some(())
    });
}

#[test]
fn the_jobs_own_time_limit_counts_as_well() {
    let bench = Bench::new();
    bench.ok(&["add", "q", "job", "--id", "a", "--timeout", "200ms"]);
    bench.work_off("exec sleep 60", &[]);
    let reason = bench.job("a")["failedReason"].as_str().unwrap().to_owned();
    assert!(reason.contains("timed out after 200 ms"), "{reason}");
}

#[test]
fn something_left_behind_does_not_hold_up_the_job() {
    let bench = Bench::with_jobs(&["a"]);
    bench.work_off("sleep 20 & echo done", &[]);
    assert_eq!(bench.job("a")["returnvalue"], "done");
}

#[test]
fn as_many_run_at_once_as_asked() {
    let bench = Bench::with_jobs(&["a", "b", "c"]);
    // Each waits until it sees all three.
    let program = "touch here-$OXMQ_JOB_ID; until [ $(ls here-* | wc -l) = 3 ]; do sleep 0.05; done";
    bench.work_off(program, &["--concurrency", "3", "--timeout", "20s"]);
    assert_eq!(bench.json(&["counts", "q"])["completed"], 3);
}

#[test]
fn with_json_each_end_is_a_line() {
    let bench = Bench::with_jobs(&["a", "b"]);
    let ran = bench.work_off("[ $OXMQ_JOB_ID = a ]", &["--json"]);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "id": "a", "name": "job", "ended": "completed", "reason": "" }));
    assert_eq!(lines[1], json!({ "id": "b", "name": "job", "ended": "failed", "reason": "exit 1" }));
}

#[test]
fn a_program_reports_through_its_channel() {
    let bench = Bench::new();
    bench.ok(&["add", "q", "job", "--id", "a", "--attempts", "2", "--data", r#"{"page":1}"#]);
    let program = r#"
        [ $OXMQ_ATTEMPT = 2 ] && { printf %s "$OXMQ_JOB_DATA"; exit 0; }
        echo 'progress {"done":1}' > "$OXMQ_CHANNEL"
        exec 9> "$OXMQ_CHANNEL"
        printf 'log from the channel\nprogress half way\ndata {"page": 2}\n' >&9
        printf 'data {oops\nshout\nprogress\n\nlog last' >&9
        exit 75"#;
    bench.work_off(program, &[]);
    let job = bench.job("a");
    assert_eq!((&job["state"], &job["returnvalue"]), (&json!("completed"), &json!({ "page": 2 })));
    assert_eq!(job["progress"], "half way");
    let log = bench.ok(&["logs", "q", "a"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "from the channel");
    assert!(lines[1].starts_with("oxmq: not done: the data is not JSON: "), "{log}");
    assert_eq!(lines[2], "oxmq: not done: `shout`: use progress VALUE, data JSON or log TEXT");
    assert_eq!(&lines[3..], ["oxmq: not done: progress without a value", "last"]);
}

#[test]
fn a_progress_is_there_while_the_job_runs_and_the_channel_is_gone_afterwards() {
    let bench = Bench::with_jobs(&["a"]);
    let mut worker =
        bench.worker("echo progress 50 > $OXMQ_CHANNEL; echo $OXMQ_CHANNEL > channel; exec sleep 60", &[]);
    eventually("the progress is there", || (bench.job("a")["progress"] == 50).then_some(()));
    assert_eq!(bench.state("a"), "active");
    let path = eventually("the path is there", || {
        std::fs::read_to_string(bench.path("channel")).ok().filter(|path| !path.is_empty())
    });
    let path = std::path::Path::new(path.trim());
    assert!(path.exists());
    worker.signal("TERM");
    worker.wait_for("stopping");
    worker.signal("TERM");
    worker.code();
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[test]
fn a_line_that_is_too_long_for_the_channel_is_passed_over() {
    let bench = Bench::with_jobs(&["a"]);
    let program = r#"
        { printf 'log '; head -c 3000000 /dev/zero | tr '\0' x; printf '\nlog after\n'; } > "$OXMQ_CHANNEL"
        { printf 'data "'; head -c 1048000 /dev/zero | tr '\0' y; printf '"\n'; } > "$OXMQ_CHANNEL""#;
    bench.work_off(program, &[]);
    assert_eq!(bench.state("a"), "completed");
    assert_eq!(bench.ok(&["logs", "q", "a"]), "oxmq: not done: a line of more than 1 MiB\nafter\n");
    assert_eq!(bench.job("a")["data"].as_str().unwrap().len(), 1_048_000);
}

#[test]
fn a_program_that_is_stopped_can_still_report() {
    let bench = Bench::with_jobs(&["a"]);
    let program = "trap 'echo progress 99 > \"$OXMQ_CHANNEL\"; exit 1' TERM; sleep 60 & wait";
    bench.work_off(program, &["--timeout", "300ms", "--grace", "20s"]);
    let job = bench.job("a");
    assert_eq!((&job["progress"], &job["failedReason"]), (&json!(99), &json!("timed out after 300 ms")));
}

#[test]
fn programs_that_crash_twice_are_quarantined_with_the_evidence() {
    let bench = Bench::new();
    for (id, program) in [("segv", "SEGV"), ("term", "TERM"), ("fine", "0"), ("broken", "0")] {
        let data = format!("\"{program}\"");
        bench.ok(&["add", "q", "job", "--id", id, "--attempts", "4", "--stack-limit", "0", "--data", &data]);
    }
    let program = r#"
        case $OXMQ_JOB_ID in fine) exit 0;; broken) exit 2;; esac
        echo "about to crash" >&2; kill -s $(echo $OXMQ_JOB_DATA | tr -d '"') $$"#;
    bench.work_off(program, &[]);
    let listed = bench.lines(&["jobs", "q", "--quarantined"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["id"], &listed[0]["attemptsMade"]), (&json!("segv"), &json!(2)));
    let evidence = "signal 11 (SIGSEGV): about to crash";
    let reason =
        format!("quarantined: the handler's process died 2 times: {evidence}; before that: {evidence}");
    assert_eq!(listed[0]["failedReason"], reason);
    let term = bench.job("term");
    assert_eq!(term["attemptsMade"], 4);
    let reason = "the handler's process was ended: signal 15 (SIGTERM): about to crash";
    assert_eq!(term["failedReason"], reason);

    let table = bench.ok(&["jobs", "q", "--quarantined"]);
    assert!(table.contains("segv") && table.contains("SIGSEGV") && !table.contains("broken"), "{table}");
    assert!(bench.lines(&["jobs", "q", "--quarantined", "--offset", "1"]).is_empty());
    assert!(bench.lines(&["jobs", "q", "--quarantined", "--limit", "0"]).is_empty());
    bench.fails(2, &["jobs", "q", "--quarantined", "--state", "failed"]);
}

#[test]
fn the_quarantined_are_found_among_many_failed() {
    let bench = Bench::new();
    let mut lines = String::new();
    for number in 0..1_500 {
        use std::fmt::Write as _;
        let crashes = number % 500 == 499;
        writeln!(lines, r#"{{"name":"job","data":{crashes},"opts":{{"attempts":2}}}}"#).unwrap();
    }
    std::fs::write(bench.path("jobs.ndjson"), lines).unwrap();
    bench.ok(&["add", "q", "--bulk", "jobs.ndjson"]);
    bench.work_off("[ $OXMQ_JOB_DATA = true ] && kill -KILL $$; exit 1", &["--concurrency", "8"]);
    assert_eq!(bench.json(&["counts", "q"])["failed"], 1_500);
    assert_eq!(bench.lines(&["jobs", "q", "--quarantined"]).len(), 3);
    assert_eq!(bench.lines(&["jobs", "q", "--quarantined", "--limit", "2", "--desc"]).len(), 2);
    assert_eq!(bench.lines(&["jobs", "q", "--quarantined", "--offset", "2"]).len(), 1);
    assert!(bench.ok(&["jobs", "q", "--quarantined"]).contains("SIGKILL"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_evidence_has_the_memory_of_all_that_the_program_has_started() {
    let bench = Bench::with_jobs(&["a"]);
    // Not the shell itself, but one that it starts, holds 60 MB.
    let hog = r#"sh -c 'x=$(head -c 60000000 /dev/zero | tr "\\0" x); touch full; sleep 3' & "#;
    let program = format!("{hog} until [ -e full ]; do sleep 0.1; done; sleep 1; kill -KILL $$");
    bench.work_off(&program, &[]);
    let reason = bench.job("a")["failedReason"].as_str().unwrap().to_owned();
    let figure =
        reason.split("signal 9 (SIGKILL), last memory ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(figure.is_some_and(|figure| figure.parse::<u64>().unwrap() >= 57), "{reason}");
}
