//! Where the store differs from the recordings: exactly these differences must be found. A difference that stays is
//! told at the step where it appears.

/// Which scenario, which step, which differences (recorded `->` found), and why.
pub(crate) type Exception = (&'static str, &'static str, &'static [&'static str], &'static str);

const COUNT_GOES_ON: &str =
    "the limit, and so the count, is of all jobs that the schedule made, over all puts";
const NO_CHECK: &str = r#"stalled-check: "1700000000000" -> -"#;
const NOTHING_LOST: &str =
    "an empty queue has no jobs of dead workers, so a look is enough, and nobody else is kept from a check";
const SAME_MEANING: &str = "another spelling of the same option";

pub(crate) const EXCEPTIONS: &[Exception] = &[
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
    ("A-53", "run", &[NO_CHECK], NOTHING_LOST),
    (
        "A-58",
        "names and their last command",
        &[
            r#"answer: ["bull:dmVj bzpopmin","bull:dmVj:qe xread","bull:dmVj:w:alpha bzpopmin"] -> ["bull:dmVj bzpopmin","bull:dmVj:w:alpha bzpopmin"]"#,
        ],
        "one connection may read the events of many queues, so it bears the name of none",
    ),
    ("A-59", "run", &[NO_CHECK], NOTHING_LOST),
    ("A-61", "run", &[NO_CHECK], NOTHING_LOST),
    ("A-62", "run", &[NO_CHECK], NOTHING_LOST),
    (
        "B-D05",
        "add again with replace",
        &["events: [] -> [deduplicated jobId=1 deduplicationId=X deduplicatedJobId=2]"],
        "a job that is dropped is told, whatever its owner does",
    ),
    (
        "B-M03",
        "publishEvent",
        &[r#"meta: - -> {"opts.maxLenEvents":"10000"}"#],
        "how many events are kept is stored with the first event, as every add does",
    ),
    (
        "B-M04",
        "removeOrphanedJobs()",
        &[r#"metrics:failed: - -> {"count":"1","prevCount":"0","prevTS":"1700000000000"}"#],
        "nothing of ours leaves orphans behind, so there is no such call; Node's takes the metrics for one",
    ),
    (
        "B-S02",
        "every 30000: schedule restarts now",
        &[
            r#"repeat:s.offset: "20000" -> "5000""#,
            r#"repeat:s:1700000015000.opts: {"delay":0,"jobId":"repeat:s:1700000015000","repeat":{"count":1,"every":30000},"repeatJobKey":"s","timestamp":1700000015000} -> {"delay":0,"jobId":"repeat:s:1700000015000","repeat":{"count":2,"every":30000},"repeatJobKey":"s","timestamp":1700000015000}"#,
        ],
        "a new `every` comes with a phase of its own; and the count goes on over puts",
    ),
    (
        "B-S02",
        "same every, while the next is delayed",
        &[
            r#"repeat:s:1700000060000.opts: {"delay":50000,"jobId":"repeat:s:1700000060000","repeat":{"count":1,"every":60000},"repeatJobKey":"s","timestamp":1700000010000} -> {"delay":50000,"jobId":"repeat:s:1700000060000","repeat":{"count":2,"every":60000},"repeatJobKey":"s","timestamp":1700000010000}"#,
        ],
        COUNT_GOES_ON,
    ),
    (
        "B-S09",
        "upsert again while paused",
        &[
            r#"answer: "repeat:s:1700000060000" -> "repeat:s:1700000000000""#,
            "events: [added jobId=repeat:s:1700000060000 name=s, delayed jobId=repeat:s:1700000060000 delay=1700000060000] -> [added jobId=repeat:s:1700000000000 name=s, waiting jobId=repeat:s:1700000000000]",
            r#"delayed: {"repeat:s:1700000060000":6963200245760000} -> -"#,
            r#"marker: {"1":1700000060000} -> -"#,
            "repeat.s: 1700000060000 -> 1700000000000",
            r#"repeat:s:1700000000000.opts: {"delay":0,"jobId":"repeat:s:1700000000000","repeat":{"count":1,"every":60000},"repeatJobKey":"s","timestamp":1700000000000} -> {"delay":0,"jobId":"repeat:s:1700000000000","repeat":{"count":1,"every":60000},"repeatJobKey":"s","timestamp":1700000001000}"#,
            r#"repeat:s:1700000000000.timestamp: "1700000000000" -> "1700000001000""#,
            r#"repeat:s:1700000060000: {"data":{},"delay":"59000","name":"s","opts":{"delay":59000,"jobId":"repeat:s:1700000060000","repeat":{"count":1,"every":60000},"repeatJobKey":"s","timestamp":1700000001000},"priority":"0","rjk":"s","timestamp":"1700000001000"} -> -"#,
        ],
        "the job that waits in a paused queue is found, and replaced in its slot: no slot is left out, none is doubled",
    ),
    (
        "B-S10",
        "legacy entry in the repeat zset",
        &[r#"answer: null -> [{"key":"name::::* * * * *","next":1700000000000}]"#],
        "an entry of an old version does not keep the others from being listed",
    ),
    (
        "B-S12",
        "upsert again",
        &[
            r#"answer: "repeat:p:1700000040000" -> "repeat:p:1700000010000""#,
            "events: [added jobId=repeat:p:1700000040000 name=p, delayed jobId=repeat:p:1700000040000 delay=1700000040000] -> [added jobId=repeat:p:1700000010000 name=p, waiting jobId=repeat:p:1700000010000]",
            r#"delayed: {"repeat:p:1700000040000":6963200163840000} -> -"#,
            "marker.1: 1700000040000 -> 1700000010000",
            "repeat.p: 1700000040000 -> 1700000010000",
            r#"repeat:p:1700000010000: - -> {"data":{},"delay":"0","name":"p","opts":{"delay":0,"jobId":"repeat:p:1700000010000","prevMillis":1700000010000,"repeat":{"count":1,"pattern":"*/30 * * * * *"},"repeatJobKey":"p","timestamp":1700000010500},"priority":"0","rjk":"p","timestamp":"1700000010500"}"#,
            r#"repeat:p:1700000040000: {"data":{},"delay":"29500","name":"p","opts":{"delay":29500,"jobId":"repeat:p:1700000040000","prevMillis":1700000040000,"repeat":{"count":1,"pattern":"*/30 * * * * *"},"repeatJobKey":"p","timestamp":1700000010500},"priority":"0","rjk":"p","timestamp":"1700000010500"} -> -"#,
            r#"wait: - -> ["repeat:p:1700000010000"]"#,
        ],
        "a run that is due is not lost by a put of the same pattern: it keeps its slot",
    ),
    (
        "B-S13",
        "getJobSchedulers deletes an entry whose hash is gone",
        &[r#"answer: [] -> [{"key":"s","next":1700000001000}]"#, r#"repeat: - -> {"s":1700000001000}"#],
        "reading writes nothing",
    ),
    (
        "B-S13",
        "getJobSchedulers still lists it",
        &[
            r#"answer: [{"every":1000,"iterationCount":3,"key":"s","limit":2,"name":"s","next":1700000002000,"offset":0}] -> [{"every":1000,"iterationCount":2,"key":"s","limit":2,"name":"s","next":1700000001000,"offset":0}]"#,
        ],
        COUNT_GOES_ON,
    ),
    (
        "B-S13",
        "re-upsert, then run until nothing is due",
        &[
            r#"answer: [{"processed":"repeat:s:1700000001000","state":"completed"},{"processed":"repeat:s:1700000002000","state":"completed"},"no job","no job"] -> [{"processed":"repeat:s:1700000001000","state":"completed"},"no job","no job","no job"]"#,
            "events: [added jobId=repeat:s:1700000002000 name=s, delayed jobId=repeat:s:1700000002000 delay=1700000002000, completed jobId=repeat:s:1700000001000 returnvalue=null prev=active, drained, waiting jobId=repeat:s:1700000002000 prev=delayed, active jobId=repeat:s:1700000002000 prev=waiting, completed jobId=repeat:s:1700000002000 returnvalue=null prev=active] -> [completed jobId=repeat:s:1700000001000 returnvalue=null prev=active]",
            "completed.repeat:s:1700000002000: 1700000002000 -> -",
            r#"id: "4" -> "3""#,
            "marker.1: 1700000002000 -> 1700000001000",
            "repeat.s: 1700000002000 -> 1700000001000",
            r#"repeat:s.ic: "3" -> "2""#,
            r#"repeat:s:1700000001000.opts: {"delay":1000,"jobId":"repeat:s:1700000001000","repeat":{"count":1,"every":1000,"limit":2},"repeatJobKey":"s","timestamp":1700000000000} -> {"delay":1000,"jobId":"repeat:s:1700000001000","repeat":{"count":2,"every":1000,"limit":2},"repeatJobKey":"s","timestamp":1700000000000}"#,
            r#"repeat:s:1700000002000: {"atm":"1","ats":"1","data":{},"delay":"0","finishedOn":"1700000002000","name":"s","opts":{"attempts":0,"delay":1000,"jobId":"repeat:s:1700000002000","repeat":{"count":2,"every":1000,"limit":2},"repeatJobKey":"s","timestamp":1700000001000},"priority":"0","processedOn":"1700000002000","returnvalue":null,"rjk":"s","timestamp":"1700000001000"} -> -"#,
        ],
        COUNT_GOES_ON,
    ),
    (
        "B-S13",
        "remove the last (completed) job",
        &[
            "answer: refused -> done",
            "events: [] -> [removed jobId=repeat:s:1700000001000 prev=completed]",
            "completed.repeat:s:1700000001000: 1700000001000 -> -",
            r#"repeat:s:1700000001000: {"atm":"1","ats":"1","data":{},"delay":"0","finishedOn":"1700000001000","name":"s","opts":{"delay":1000,"jobId":"repeat:s:1700000001000","repeat":{"count":1,"every":1000,"limit":2},"repeatJobKey":"s","timestamp":1700000000000},"priority":"0","processedOn":"1700000001000","returnvalue":null,"rjk":"s","timestamp":"1700000000000"} -> -"#,
        ],
        "a job that has ended makes no next one, so nothing is lost with it",
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
