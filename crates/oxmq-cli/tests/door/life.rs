//! Streams and clients: how they begin and end, what goes wrong, and in which order things happen.

use serde_json::{Value, json};

use crate::support::{Backend, command};

#[test]
fn a_client_must_be_open() {
    let backend = Backend::start();
    let closed = ("Connection is closed.".to_owned(), Value::Null);
    assert_eq!(backend.refusal("getQueueMeta", json!({ "client": 2 })), closed);
    backend.open(2, "producer");
    assert_eq!(backend.call("getQueueMeta", json!({ "client": 2 })), json!({}));
    assert_eq!(backend.call("close", json!({ "client": 2, "force": false })), Value::Null);
    let answer = backend.ask("getQueueMeta", json!({ "client": 2 })).answer();
    assert_eq!(answer["error"]["data"]["name"], "ConnectionClosedError");
    assert_eq!(answer["error"]["code"], -32_000);
    assert!(backend.refusal("open", json!({ "role": "producer" })).0.contains("open already"));
}

#[test]
fn requests_may_come_before_open_was_answered() {
    let backend = Backend::start();
    let answers = backend.ask_all([
        ("open", json!({ "client": 7, "role": "producer" })),
        ("getCounts", json!({ "client": 7, "types": ["wait"] })),
    ]);
    let results: Vec<_> = answers.into_iter().map(super::support::Asked::result).collect();
    assert_eq!(results, [json!({ "minimumBlockTimeout": 0.001 }), json!([0])]);
}

#[test]
fn what_is_no_request_is_refused_and_the_stream_goes_on() {
    let backend = Backend::start();
    for (line, code, words) in [
        ("{oops\n", -32_700, "Parse error"),
        ("\u{1}\n", -32_700, "Parse error"),
        ("[1]\n", -32_600, "Invalid request"),
        ("{\"id\":null}\n", -32_600, "method"),
        ("{\"id\":\"x\",\"method\":\"getState\"}\n", -32_602, "client"),
        ("{\"id\":\"x\",\"method\":\"fly\",\"params\":{\"client\":1}}\n", -32_601, "fly"),
        (
            "{\"id\":\"x\",\"method\":\"getState\",\"params\":{\"client\":1,\"queue\":\"q\"}}\n",
            -32_602,
            "jobId",
        ),
        (
            "{\"id\":\"x\",\"method\":\"getState\",\"params\":{\"client\":1,\"jobId\":\"1\"}}\n",
            -32_602,
            "name",
        ),
        (
            "{\"id\":\"x\",\"method\":\"getState\",\"params\":{\"client\":1,\"jobId\":\"1\",\"queue\":\"a:b\"}}\n",
            -32_602,
            ":",
        ),
    ] {
        backend.write(line);
        let id = if line.contains("\"x\"") { "\"x\"" } else { "null" };
        let error = backend.answer(id)["error"].take();
        assert_eq!(error["code"], code, "{line}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{line}: {error}");
    }
    // One without an id is done, and not answered.
    backend.write("{\"method\":\"pause\",\"params\":{\"client\":1,\"queue\":\"q\",\"pause\":true}}\n\n   \n");
    assert_eq!(backend.call("getQueueMetaField", json!({ "field": "paused" })), "1");
}

#[test]
fn parameters_that_are_not_known_are_passed_over() {
    let backend = Backend::start();
    assert_eq!(backend.call("getState", json!({ "jobId": "1", "later": [1] })), "unknown");
}

#[test]
fn operations_take_effect_in_the_order_in_which_they_came() {
    let backend = Backend::start();
    backend.open(2, "producer");
    let mut requests = Vec::new();
    for turn in 0..300 {
        let opts = json!({ "jobId": format!("job-{turn}") });
        let mut add = backend.job(opts);
        add["client"] = json!(1 + turn % 2);
        requests.push(("addJob", add));
        match turn % 50 {
            20 => requests.push(("getCounts", json!({ "types": ["wait"] }))),
            40 => requests.push(("drain", json!({}))),
            _ => {}
        }
    }
    let mut seen = Vec::new();
    for answer in backend.ask_all(requests) {
        let result = answer.result();
        if let Some(count) = result[0].as_u64() {
            seen.push(count);
        }
    }
    // Each look sees what was added since the last drain before it, and nothing that came after it.
    assert_eq!(seen, [21, 30, 30, 30, 30, 30]);
    let left = backend.call("getRanges", json!({ "types": ["wait"], "start": 0, "end": -1, "asc": true }));
    let expected: Vec<_> = (291..300).rev().map(|turn| format!("job-{turn}")).collect();
    assert_eq!(left, json!([expected]));
}

#[test]
fn what_waits_holds_up_nothing() {
    let backend = Backend::start();
    backend.open(2, "events");
    let work = backend.ask("waitForJob", json!({ "blockTimeout": 30 }));
    let events = backend
        .ask("readEvents", json!({ "client": 2, "queue": "other", "id": "0", "blockTimeout": 30_000 }));
    assert_eq!(backend.counts(&["wait"]), [0]);
    backend.call("close", json!({ "client": 2 }));
    assert_eq!(events.answer()["error"]["message"], "Connection is closed.");
    backend.add(json!({}));
    assert_eq!(work.result(), json!({ "member": "0", "score": 0 }));
}

#[test]
fn a_wait_for_work_ends_when_the_client_wants_it() {
    let backend = Backend::start();
    let waits = |seconds: u32| backend.ask("waitForJob", json!({ "blockTimeout": seconds }));
    let first = waits(30);
    backend.call("disconnectBlocking", json!({ "wait": true }));
    assert_eq!(first.result(), Value::Null);
    assert_eq!(waits(30).result(), Value::Null, "until it is connected again");
    backend.call("reconnectBlocking", json!({}));
    let second = waits(30);
    let other = backend.ask("waitForJob", json!({ "queue": "other", "blockTimeout": 0.01 }));
    assert_eq!(other.result(), Value::Null, "its time was up");
    backend.call("disconnect", json!({}));
    assert_eq!(second.result(), Value::Null);
}

#[test]
fn at_the_end_of_stdin_what_was_read_is_answered_and_the_program_ends() {
    let mut backend = Backend::start();
    let answers = {
        let mut requests = vec![("waitForJob", json!({ "queue": "other", "blockTimeout": 30 }))];
        requests.extend((0..50).map(|_| ("addJob", backend.job(json!({})))));
        let mut texts = String::new();
        let mut ids = Vec::new();
        for (method, params) in requests {
            let (id, text) = backend.line.text(method, &params);
            texts.push_str(&text);
            ids.push(id);
        }
        backend.write(&texts);
        ids
    };
    backend.hang_up();
    for (turn, id) in answers.iter().skip(1).enumerate() {
        assert_eq!(backend.answer(id)["result"], (turn + 1).to_string());
    }
    assert_eq!(backend.process.end(), (0, String::new()), "nothing was wrong, and nothing is said");
    let (line, _process) = backend.another();
    line.open(1, "producer");
    assert_eq!(line.counts(&["wait"]), [50]);
}

#[test]
fn signals_to_the_process_group_are_for_the_program_that_started_it() {
    let mut backend = Backend::start();
    for signal in ["INT", "TERM", "HUP"] {
        backend.process.signal(signal);
        assert_eq!(backend.counts(&["wait"]), [0], "{signal}");
    }
    backend.hang_up();
    assert_eq!(backend.process.end().0, 0);
}

#[test]
fn a_store_that_cannot_be_opened_is_told_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path(), "sqlite:missing/jobs.db", &["--stdio"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.lines().count() == 1 && said.contains("missing/jobs.db"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn clients_are_listed_as_bullmq_names_them() {
    let backend = Backend::start();
    backend.call("open", json!({ "client": 2, "role": "worker", "workerName": "ada" }));
    backend.open(3, "events");
    backend.call("setName", json!({ "client": 3, "name": "bull:cQ==:qe" }));
    backend.open(4, "producer");
    let names = |line: &crate::support::Line| -> Vec<String> {
        let list = line.call("getClientList", json!({}));
        let lines = list[0].as_str().unwrap().lines();
        let name =
            |line: &str| line.split(' ').find_map(|part| part.strip_prefix("name=")).unwrap().to_owned();
        lines.map(name).collect()
    };
    assert_eq!(names(&backend), ["bull:cQ==", "bull:cQ==:w:ada", "bull:cQ==:qe", ""]);
    backend.call("close", json!({ "client": 2 }));
    assert_eq!(names(&backend), ["bull:cQ==", "bull:cQ==:qe", ""]);
    // Another process sees the workers of this one, once they were announced.
    let (other, _process) = backend.another();
    other.advance(oxmq::Clock::system().now().as_millis() - other.now());
    other.open(1, "producer");
    let seen = super::support::eventually("the worker is known to others", || {
        let names = names(&other);
        (names.len() == 2).then_some(names)
    });
    assert_eq!(seen, ["", "bull:cQ=="]);
}
