//! Where the store differs from the recordings: exactly these differences must be found. A difference that stays is
//! told at the step where it appears.

/// Which scenario, which step, which differences (recorded `->` found), and why.
pub(crate) type Exception = (&'static str, &'static str, &'static [&'static str], &'static str);

const NO_DEDUPLICATION: &str = "deduplication is not there yet";
const SAME_MEANING: &str = "another spelling of the same option";

pub(crate) const EXCEPTIONS: &[Exception] = &[
    ("A-08", "deduplication", &[r#"6.deid: "dd" -> -"#, r#"de:dd: "6" -> -"#], NO_DEDUPLICATION),
    (
        "A-19",
        "complete 7 with -1",
        &[r#"7.opts: {"attempts":0,"removeOnComplete":-1} -> {"attempts":0,"removeOnComplete":false}"#],
        SAME_MEANING,
    ),
    (
        "A-32",
        "worker without limiter is not held back",
        &[
            r#"taken: "1" -> limited"#,
            "events: [active jobId=1 prev=waiting] -> []",
            r#"1.ats: "2" -> "1""#,
            r#"1:lock: "tok-3" -> -"#,
            r#"active: ["1"] -> -"#,
            r#"wait: ["2"] -> ["2","1"]"#,
        ],
        "a limit that was set by hand holds all our workers, also those without a limiter of their own",
    ),
    (
        "A-36",
        "promoteJobs",
        &[
            r#"3.delay: "2000" -> "0""#,
            r#"4.delay: "3000" -> "0""#,
            r#"pc: "1" -> "2""#,
            "prioritized.4: - -> 21474836482",
            r#"wait: ["4","3","1"] -> ["3","1"]"#,
        ],
        "a bulk keeps the priorities, and forgets the delays, as a promotion one by one does",
    ),
    (
        "A-40",
        "retryJobs({count:2})",
        &[
            r#"pc: "1" -> "2""#,
            r#"prioritized: - -> {"2":17179869186}"#,
            r#"wait: ["3","2","1"] -> ["3","1"]"#,
        ],
        "a bulk keeps the priorities, as a retry one by one does",
    ),
    (
        "A-40",
        "retryJobs completed before a timestamp",
        &[r#"pc: "1" -> "2""#, r#"prioritized: - -> {"2":17179869186}"#, r#"wait: ["2","1"] -> ["1"]"#],
        "a bulk keeps the priorities, as a retry one by one does",
    ),
    (
        "A-43",
        "clean wait limit 2",
        &[r#"answer: ["6","5"] -> ["5","6"]"#],
        "which jobs were cleaned is told in the order in which they would have run",
    ),
    (
        "A-47",
        "complete, lock missing",
        &[
            "answer: not_locked -> done",
            "events: [] -> [completed jobId=1 returnvalue=1 prev=active, drained]",
        ],
        "a lease that ran out is good until somebody recovers the job: our own note knows the holder",
    ),
    (
        "A-47",
        "complete, not active: lock and fields are already gone",
        &[r#"1:lock: - -> "tok-1""#],
        "an ending that is refused changes nothing",
    ),
    (
        "A-48",
        "reserved name is treated as an existing job",
        &["answer: done -> refused", "events: [duplicated jobId=meta] -> []"],
        "an id that names a key of the queue would never run: it is refused",
    ),
    (
        "A-48",
        "priority negative",
        &["answer: done -> refused", "events: [added jobId=6 name=a, waiting jobId=6] -> []"],
        "priorities begin at 0",
    ),
    (
        "A-48",
        "fractional delay",
        &["events: [delayed jobId=8 delay=1700000000100.5] -> [delayed jobId=8 delay=1700000000100]"],
        "times are whole milliseconds",
    ),
    (
        "A-48",
        "debounce",
        &["answer: refused -> done", "events: [] -> [added jobId=9 name=a, waiting jobId=9]"],
        "options that are not known are kept and have no effect; this one was never known here",
    ),
    (
        "A-48",
        "after",
        &[
            r#"3.opts: {"attempts":0,"jobId":""} -> {"attempts":0}"#,
            r#"6: {"data":{},"delay":"0","name":"a","opts":{"attempts":0,"priority":-3},"priority":"-3","timestamp":"1700000000000"} -> -"#,
            r#"7.delay: "-500" -> "0""#,
            r#"7.opts: {"attempts":0,"delay":-500} -> {"attempts":0,"delay":0}"#,
            r#"8.delay: "100.5" -> "100""#,
            r#"8.opts: {"attempts":0,"delay":100.5} -> {"attempts":0,"delay":100}"#,
            "delayed.8: 6963200000411648 -> 6963200000409600",
            "marker.1: 1700000000100.5 -> 1700000000100",
            "prioritized.6: -12884901886 -> -",
        ],
        "an empty id is none; priorities and delays are not negative; times are whole milliseconds",
    ),
    (
        "A-58",
        "names and their last command",
        &[
            r#"answer: ["bull:dmVj bzpopmin","bull:dmVj:qe xread","bull:dmVj:w:alpha bzpopmin"] -> ["bull:dmVj bzpopmin","bull:dmVj:w:alpha bzpopmin"]"#,
        ],
        "one connection may read the events of many queues, so it bears the name of none",
    ),
];

/// The same for the recordings of flows.
pub(crate) const FAMILY_EXCEPTIONS: &[Exception] = &[
    (
        "B-F11",
        "Queue.remove(C2): last dependency gone, parent released (to wait, priority ignored)",
        &[
            r#"bull:pq:pc: - -> "1""#,
            r#"bull:pq:prioritized: - -> [["P","38654705665"]]"#,
            r#"bull:pq:wait: ["P"] -> -"#,
        ],
        RELEASED,
    ),
    (
        "B-F11",
        "Queue.remove(P) removes the processed child too",
        &["bull:pq:events events: [removed jobId=P prev=wait] -> [removed jobId=P prev=prioritized]"],
        RELEASED,
    ),
    (
        "B-F18",
        "child.retry(): goes back to dependencies",
        &[r#"bull:pq:P.defa: "child bull:cq:C1 failed" -> -"#],
        TAKEN_BACK,
    ),
    (
        "B-F18",
        "parent runs: the stale defa still fails it",
        &[
            r#"answer: {"processed":"P","state":"failed"} -> {"processed":"P","state":"completed"}"#,
            "bull:pq:events events: [failed jobId=P failedReason=child bull:cq:C1 failed prev=active, retries-exhausted jobId=P attemptsMade=1] -> [completed jobId=P returnvalue=null prev=active]",
            r#"bull:pq:P.failedReason: "child bull:cq:C1 failed" -> -"#,
            r#"bull:pq:P.returnvalue: - -> "null""#,
            r#"bull:pq:P.stacktrace: "<json array of 1 stack(s)>" -> -"#,
            r#"bull:pq:completed: - -> [["P","<T0+20>"]]"#,
            r#"bull:pq:failed: [["P","<T0+20>"]] -> -"#,
        ],
        TAKEN_BACK,
    ),
    (
        "B-F22",
        "Queue.remove(P)",
        &[
            "bull:cq:a:b:events events: [removed jobId=c prev=unknown] -> []",
            "bull:cq:events events: [] -> [removed jobId=a:b:c prev=wait]",
            "bull:pq:events events: [waiting jobId=P prev=waiting-children, removed jobId=P prev=wait] -> [removed jobId=P prev=waiting-children]",
            r#"bull:cq:a:b:meta: {"opts.maxLenEvents":"10000"} -> -"#,
            r#"bull:cq:wait: ["a:b:c"] -> -"#,
            r#"bull:pq:marker: [["0","0"]] -> -"#,
        ],
        "an id with colons is found again, and a parent that goes is not let run first",
    ),
    (
        "B-F23",
        "addBulk",
        &[
            r#"answer: [{"id":"A"},{"id":"B"}] -> [{"code":-5,"error":"Missing key for parent job bull:pq:nope. addJob"},{"id":"B"}]"#,
        ],
        "what was not added is told",
    ),
    (
        "B-F24",
        "pages of 2",
        &[
            r#"answer: [{"failed":["bull:cq:C1","bull:cq:C2"],"nextFailedCursor":2},{"failed":[],"nextFailedCursor":4}] -> ["bull:cq:C1","bull:cq:C2","bull:cq:C3"]"#,
        ],
        "pages have no gaps, and an end",
    ),
    (
        "B-F25",
        "pq.obliterate()",
        &[
            r#"bull:pq:Q: {"data":"{}","delay":"0","name":"p","opts":{"$json":{"attempts":0,"jobId":"Q"}},"priority":"0","timestamp":"<T0>"} -> -"#,
            r#"bull:pq:Q:dependencies: ["bull:cq:Q-c"] -> -"#,
            r#"bull:pq:waiting-children: [["Q","<T0>"]] -> -"#,
        ],
        "nothing of an obliterated queue is left, jobs that wait for children included",
    ),
    (
        "B-F26",
        "parent and child in queue cq, another parent in pq, then cq.drain()",
        &[
            "bull:cq:events events: [] -> [removed jobId=SP prev=waiting-children]",
            "bull:pq:events events: [] -> [waiting jobId=P2 prev=waiting-children]",
        ],
        "what becomes of parents is told",
    ),
];

const RELEASED: &str = "a parent goes where its delay and priority say, whatever released it";
const TAKEN_BACK: &str = "a child that is retried fails its parent no more";
