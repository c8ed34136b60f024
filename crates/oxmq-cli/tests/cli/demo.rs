//! `demo`, from end to end.

use crate::support::Bench;

#[test]
fn the_demo_accounts_for_every_job() {
    let bench = Bench::new();
    let ran = bench.run(&["demo", "--dir", "show", "--pictures", "5"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for words in [
        ">>> SIGKILL to",
        "is started again",
        "Every job ended as it should",
        "oxmq jobs thumbnails --state completed",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("WRONG"), "{}", ran.stdout);
    let mails = std::fs::read_dir(bench.path("show/outbox")).unwrap().count();
    assert_eq!(mails, 8, "one for each picture and the panorama, and two more");
    let store = "sqlite:show/jobs.db";
    assert_eq!(bench.json(&["counts", "thumbnails", "--store", store])["completed"], 6);
    let panorama = bench.json(&["job", "thumbnails", "panorama", "--store", store]);
    assert_eq!((&panorama["attemptsStarted"], &panorama["stalledCounter"]), (&2.into(), &1.into()));
    bench.fails(1, &["demo", "--dir", "show"]);
}
