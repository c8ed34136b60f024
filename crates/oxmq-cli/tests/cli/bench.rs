//! `bench`, with few jobs: that it measures what it says, not how fast.

use crate::support::Bench;

#[test]
fn every_workload_gives_one_line() {
    let bench = Bench::new();
    let lines = bench.lines(&["bench", "--n", "40"]);
    let names: Vec<_> = lines.iter().map(|line| line["workload"].as_str().unwrap()).collect();
    assert_eq!(names, ["W1", "W2c", "W2b", "W3c1", "W3c10", "W3c100", "W4"]);
    for line in &lines {
        assert_eq!(line["n"], 40, "{line}");
        for field in ["seconds", "peak_rss_mib"] {
            assert!(line[field].as_f64().unwrap() > 0.0, "{field}: {line}");
        }
        assert!(line["cpu_s_per_1000"].as_f64().unwrap() >= 0.0, "{line}");
    }
    assert!(lines[..6].iter().all(|line| line["jobs_per_s"].as_f64().unwrap() > 0.0), "{lines:?}");
    for index in [0, 6] {
        let (p50, p99) = (lines[index]["p50_us"].as_u64().unwrap(), lines[index]["p99_us"].as_u64().unwrap());
        assert!(0 < p50 && p50 <= p99, "{}", lines[index]);
    }
    assert!(bench.lines(&["queues"]).is_empty(), "its queues are removed");
}

#[test]
fn an_unknown_workload_is_named() {
    let stderr = Bench::new().fails(6, &["bench", "--workload", "W9"]);
    assert!(stderr.contains("`workload` is W9") && stderr.contains("W3c100"), "{stderr}");
}
