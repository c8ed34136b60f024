//! `flow add`, `flow show`, and what the other verbs tell of parents and children.

use serde_json::{Value, json};

use crate::support::Bench;

/// A report of two chapters in the queue `q`, itself in `reports`.
fn report() -> Value {
    json!({
        "name": "bind", "queueName": "reports", "data": { "year": 2026 }, "opts": { "jobId": "report" },
        "children": [
            { "name": "write", "queueName": "q", "data": { "title": "Sales" }, "opts": { "jobId": "sales" } },
            { "name": "write", "queueName": "q", "data": { "title": "Costs" },
              "opts": { "jobId": "costs", "ignoreDependencyOnFailure": true, "priority": 3 } },
        ],
    })
}

fn with_report() -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.path("report.json"), report().to_string()).unwrap();
    bench.ok(&["flow", "add", "report.json"]);
    bench
}

/// The program of a worker: fails for the chapter on costs.
const WRITES: &str = "if grep -q Costs; then echo too dear >&2; exit 65; fi; echo '{\"pages\": 7}'";

#[test]
fn a_flow_is_added_from_a_file_or_stdin_and_its_ids_are_told() {
    let bench = Bench::new();
    let ran = bench.run_with_input(&["flow", "add", "-", "--json"], &report().to_string());
    assert_eq!(ran.code, 0, "{ran:?}");
    let added: Value = serde_json::from_str(&ran.stdout).unwrap();
    let node = |id: &str, queue: &str, state: &str| json!({ "id": id, "queueName": queue, "prefix": "bull", "state": state, "existing": false });
    let mut expected = node("report", "reports", "waiting-children");
    expected["children"] = json!([node("sales", "q", "waiting"), node("costs", "q", "prioritized")]);
    assert_eq!(added, expected);

    std::fs::write(bench.path("report.json"), report().to_string()).unwrap();
    let text = bench.ok(&["flow", "add", "report.json"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "reports: job report is waiting-children (was there already)",
            "  q: job sales is waiting (was there already)",
            "  q: job costs is prioritized (was there already)",
        ]
    );
    let plain = r#"{"name":"n","queueName":"q","prefix":"other"}"#;
    let ran = bench.run_with_input(&["flow", "add", "-", "--prefix", "mine"], plain);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bench.json(&["counts", "q", "--prefix", "other"])["waiting"], 1);
}

#[test]
fn a_flow_that_makes_no_sense_is_refused_with_the_way_to_it() {
    let bench = Bench::new();
    let under = |node: &str| {
        format!(
            r#"{{"name":"n","queueName":"q","children":[{{"name":"n","queueName":"q"}},{{"name":"n","queueName":"q","children":[{node}]}}]}}"#
        )
    };
    for (node, word) in [
        ("{", "key must be a string"),
        ("7", "invalid type"),
        (r#"{"name":"n"}"#, "missing field `queueName`"),
        (r#"{"name":"n","queueName":"q","child":[]}"#, "unknown field `child`"),
        (r#"{"name":"n","queueName":"q","children":{}}"#, "invalid type"),
        (r#"{"name":"n","queueName":"q","opts":{"priority":-1}}"#, "`priority` is -1"),
        (
            r#"{"name":"n","queueName":"q","opts":{"failParentOnFailure":true,"ignoreDependencyOnFailure":true}}"#,
            "exclude each other",
        ),
    ] {
        let ran = bench.run_with_input(&["flow", "add", "-"], &under(node));
        assert_eq!(ran.code, 6, "{node}: {ran:?}");
        assert!(ran.stderr.contains(word), "{node}: {ran:?}");
        let path = if node == "{" { "node=root)" } else { "node=root.children[1].children[0]" };
        assert!(ran.stderr.contains(path), "{node}: {ran:?}");
        assert!(!bench.path("jobs.db").exists(), "{node}: nothing is left behind");
    }
    for (node, word) in [
        (r#"{"name":"","queueName":"q"}"#, "`name` is empty"),
        (r#"{"name":"n","queueName":"a:b"}"#, "`queue` is a:b"),
        (
            r#"{"name":"n","queueName":"q","opts":{"parent":{"id":"x","queue":"bull:q"}}}"#,
            "`parent` is bull:q:x",
        ),
        (r#"{"name":"n","queueName":"q","opts":{"deduplication":{"id":"d"}}}"#, "`deduplication` is d"),
    ] {
        let ran = bench.run_with_input(&["flow", "add", "-"], &under(node));
        assert_eq!(ran.code, 6, "{node}: {ran:?}");
        assert!(ran.stderr.contains(word) && ran.stderr.contains("root.children[1].children[0]"), "{ran:?}");
        assert_eq!(bench.json(&["counts", "q"])["waiting"], 0);
    }
    assert!(bench.fails(1, &["flow", "add", "nowhere.json"]).contains("nowhere.json"));
}

#[test]
fn a_very_deep_flow_is_added_and_shown_and_a_deeper_one_refused() {
    let bench = Bench::new();
    let tower = |levels: usize| {
        let mut text = r#"{"name":"n","queueName":"q","children":["#.repeat(levels - 1);
        text.push_str(r#"{"name":"n","queueName":"q","opts":{"jobId":"leaf"}}"#);
        text.push_str(&"]}".repeat(levels - 1));
        text
    };
    let ran = bench.run_with_input(&["flow", "add", "-"], &tower(3_000));
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(ran.stderr.contains("at most 1000 levels"), "{}", ran.stderr);
    let ran = bench.run_with_input(&["flow", "add", "-", "--json"], &tower(1_000));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("\"id\"").count(), 1_000);
    let root = ran.stdout.rsplit("\"id\":\"").next().unwrap().split('"').next().unwrap();
    let shown = bench.ok(&["flow", "show", "q", root, "--depth", "1000", "--json"]);
    assert_eq!(shown.matches("\"id\"").count(), 1_000);
    assert!(shown.contains("\"id\":\"leaf\""));
}

#[test]
fn a_flow_is_shown_as_a_tree_with_what_became_of_its_jobs() {
    let bench = with_report();
    let shown = bench.json(&["flow", "show", "reports", "report"]);
    assert_eq!((&shown["state"], &shown["counts"]["unprocessed"]), (&json!("waiting-children"), &json!(2)));
    bench.work_off(WRITES, &[]);
    let shown = bench.json(&["flow", "show", "reports", "report"]);
    assert_eq!((&shown["name"], &shown["state"]), (&json!("bind"), &json!("waiting")));
    assert_eq!(shown["counts"], json!({ "processed": 1, "unprocessed": 0, "ignored": 1, "failed": 0 }));
    let [sales, costs] = [0, 1].map(|index| &shown["children"][index]);
    assert_eq!((&sales["id"], &sales["outcome"]), (&json!("sales"), &json!("processed")));
    assert_eq!(sales["value"], json!({ "pages": 7 }));
    assert_eq!((&costs["state"], &costs["outcome"]), (&json!("failed"), &json!("ignored")));
    assert!(costs["failedReason"].as_str().unwrap().contains("65"), "{costs}");

    let text = bench.ok(&["flow", "show", "reports", "report"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "reports: bind report is waiting [1 completed, 1 ignored]");
    assert!(lines[1].starts_with("  q: write sales is completed -> {\"pages\": 7}"), "{text}");
    assert!(lines[2].starts_with("  q: write costs is failed, ignored: "), "{text}");
    let text = bench.ok(&["flow", "show", "reports", "report", "--depth", "1"]);
    assert!(text.ends_with("(2 jobs more: --depth, --max-children)\n"), "{text}");
    let text = bench.ok(&["flow", "show", "reports", "report", "--max-children", "0"]);
    assert_eq!(text.lines().count(), 2, "{text}");

    bench.ok(&["clean", "q", "--state", "failed", "--older-than", "0"]);
    let shown = bench.json(&["flow", "show", "reports", "report"]);
    assert_eq!(
        (&shown["children"][1]["state"], &shown["children"][1]["outcome"]),
        (&json!("gone"), &json!("ignored"))
    );
    assert!(bench.fails(3, &["flow", "show", "reports", "nobody"]).contains("no such job"));
    assert!(bench.fails(6, &["flow", "show", "reports", "report", "--depth", "0"]).contains("`depth` is 0"));
}

#[test]
fn a_job_tells_its_parent_and_its_children() {
    let bench = with_report();
    assert_eq!(bench.job("costs")["parentKey"], "bull:reports:report");
    let report = bench.json(&["job", "reports", "report"]);
    assert_eq!(report["children"], json!({ "processed": 0, "unprocessed": 2, "ignored": 0, "failed": 0 }));
    assert_eq!(report.get("parentKey"), None);
    let text = bench.ok(&["job", "q", "costs"]);
    assert!(text.contains("parent      bull:reports:report (ignoreDependencyOnFailure)"), "{text}");
    assert!(bench.ok(&["job", "reports", "report"]).contains("children    2 pending"));
    assert_eq!(bench.lines(&["jobs", "q"])[0]["parentKey"], "bull:reports:report");

    let opts = r#"{"parent":{"id":"report","queue":"bull:reports"},"failParentOnFailure":true}"#;
    bench.ok(&["add", "q", "write", "--id", "late", "--opts", opts]);
    assert_eq!(bench.json(&["job", "reports", "report"])["children"]["unprocessed"], 3);
    let stderr = bench.fails(3, &["add", "q", "write", "--opts", &opts.replace("\"report\"", "\"nobody\"")]);
    assert!(stderr.contains("bull:reports:nobody"), "{stderr}");
}

#[test]
fn jobs_are_removed_with_their_children_alone_or_only_the_pending_children() {
    let bench = with_report();
    bench.fails(2, &["remove", "reports", "report", "--alone", "--pending-children"]);
    let answer = bench.json(&["remove", "reports", "report", "--pending-children"]);
    assert_eq!(answer, json!({ "id": "report", "answer": "pending children removed" }));
    bench.fails(3, &["job", "q", "sales"]);
    assert_eq!(bench.json(&["job", "reports", "report"])["state"], "waiting");

    let bench = with_report();
    bench.ok(&["remove", "reports", "report", "--alone"]);
    bench.fails(3, &["job", "reports", "report"]);
    assert_eq!(bench.state("sales"), "waiting");

    let bench = with_report();
    bench.ok(&["remove", "reports", "report"]);
    bench.fails(3, &["job", "reports", "report"]);
    bench.fails(3, &["job", "q", "sales"]);
}
