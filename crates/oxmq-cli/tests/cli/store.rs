//! Which store is meant, what is said about it, and what happens when it is not there.

use crate::support::Bench;

#[test]
fn the_first_add_makes_the_store_and_says_where() {
    let bench = Bench::new();
    let path = bench.dir.path().canonicalize().unwrap().join("jobs.db");
    let first = bench.run(&["add", "q", "job"]);
    assert!(first.stderr.contains(&format!("store: sqlite:{} (created)", path.display())), "{first:?}");
    let second = bench.run(&["add", "q", "job"]);
    assert!(second.stderr.contains(&format!("store: sqlite:{}\n", path.display())), "{second:?}");
    assert_eq!(bench.run(&["add", "q", "job", "--quiet"]).stderr, "");
}

#[test]
fn no_other_verb_makes_a_store() {
    let bench = Bench::new();
    for verb in ["counts", "jobs", "pause", "resume", "drain", "watch", "workers"] {
        let stderr = bench.fails(3, &[verb, "q"]);
        assert!(stderr.contains("there is no such store") && stderr.contains("jobs.db"), "{verb}: {stderr}");
    }
    bench.fails(3, &["queues"]);
    bench.fails(3, &["work", "q", "--exec", "true", "--until-drained"]);
    assert!(!bench.path("jobs.db").exists());
    bench.ok(&["work", "q", "--exec", "true", "--until-drained", "--create"]);
    assert!(bench.path("jobs.db").exists());
}

#[test]
fn the_flag_wins_over_the_environment_and_may_stand_anywhere() {
    let bench = Bench::new();
    bench.ok(&["--store", "sqlite:other.db", "add", "q", "job"]);
    bench.ok(&["add", "q", "job", "--store", "sqlite:other.db"]);
    assert!(!bench.path("jobs.db").exists());
    assert_eq!(bench.json(&["counts", "q", "--store", "sqlite:other.db"])["waiting"], 2);
}

#[test]
fn redis_url_counts_when_there_is_no_oxmq_url_and_its_password_is_not_shown() {
    let bench = Bench::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = bench.command(&["counts", "q"]);
    command.env_remove("OXMQ_URL").env("REDIS_URL", format!("redis://me:secret@127.0.0.1:{port}"));
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("from=REDIS_URL") && stderr.contains(&port.to_string()), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[test]
fn without_any_url_the_store_is_oxmq_db_here() {
    let bench = Bench::new();
    let status = bench.command(&["add", "q", "job"]).env_remove("OXMQ_URL").output().unwrap().status;
    assert!(status.success());
    assert!(bench.path("oxmq.db").exists());
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    let text = "this is a letter, not a database\n".repeat(200);
    std::fs::write(bench.path("jobs.db"), &text).unwrap();
    bench.fails(7, &["add", "q", "job"]);
    assert_eq!(std::fs::read_to_string(bench.path("jobs.db")).unwrap(), text);
}

#[test]
fn a_url_that_is_not_understood_is_named() {
    let bench = Bench::new();
    let stderr = bench.fails(6, &["add", "q", "job", "--store", "postgres://x"]);
    assert!(stderr.contains("`url` is postgres:"), "{stderr}");
}

#[test]
fn a_wrong_queue_name_is_named_and_leaves_no_store_behind() {
    let bench = Bench::new();
    let stderr = bench.fails(6, &["add", "a:b", "job"]);
    assert!(stderr.contains("`queue` is a:b"), "{stderr}");
    assert!(!bench.path("jobs.db").exists());
}

#[test]
fn queues_of_another_prefix_are_apart() {
    let bench = Bench::with_jobs(&["a"]);
    bench.ok(&["add", "q", "job", "--prefix", "staging"]);
    bench.ok(&["--prefix", "staging", "add", "q", "job"]);
    assert_eq!(bench.json(&["counts", "q"])["waiting"], 1);
    assert_eq!(bench.json(&["counts", "q", "--prefix", "staging"])["waiting"], 2);
    assert_eq!(bench.lines(&["queues"]).len(), 1);
}
