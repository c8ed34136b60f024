//! `demo --store redis://..`, from end to end.

use crate::support::Bench;

#[test]
fn the_demo_runs_on_a_server_and_touches_nothing_else_there() {
    let bench = Bench::with_jobs(&["mine"]);
    let url = bench.url().to_owned();
    let ran = bench.run(&["demo", "--dir", "show", "--pictures", "5", "--store", &url]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for words in [">>> SIGKILL to", "Every job ended as it should", "--prefix oxmq-demo-"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert_eq!(bench.json(&["counts", "q"])["waiting"], 1);
    assert_eq!(bench.lines(&["queues"]).len(), 1, "its queues are under a prefix of their own");
}
