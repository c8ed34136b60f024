//! The short ways, of lone calls and of plain endings: they do what the general ones do, or nothing. Both are run in every situation of a
//! list, the plainest call also in every two of them, on databases that are alike.

use std::collections::{BTreeMap, BTreeSet};

use oxmq_testkit::{Options, Server};
use redis::{Commands, Connection, Value};

use super::{ADD, FINISH, Script, TAKE, bare};

/// What every situation begins with: job 1 is active and was taken once, 2 and 3 wait as they were added.
const PLAIN: &[&str] = &[
    "HSET b:q:meta opts.maxLenEvents 10000",
    "SET b:q:id 3",
    "HSET b:q:1 name job data {} opts {} timestamp 5 delay 0 priority 0 processedOn 900 ats 1",
    "HSET b:q:2 name job data {} opts {} timestamp 6 delay 0 priority 0",
    "HSET b:q:3 name job data {} opts {} timestamp 7 delay 0 priority 0",
    "LPUSH b:q:active 1",
    "LPUSH b:q:wait 2 3",
    "SET b:q:1:lock w:1 PX 10000",
    "HSET b::oxmq:q:leases 1 9000_w:1 9 9000_x:9",
];

/// What may be otherwise; an underscore stands for a space.
const OTHERWISE: &[&[&str]] = &[
    &[],
    &["HSET b:q:meta paused 1"],
    &["HSET b:q:meta concurrency 5"],
    &["HSET b:q:meta concurrency 1"],
    &["HSET b:q:meta max 1 duration 1000"],
    &["HSET b:q:meta duration 1000"],
    &["HDEL b:q:meta opts.maxLenEvents"],
    &["HSET b:q:8 name late data {} opts {} timestamp 7 delay 9 priority 0", "ZADD b:q:delayed 409600 8"],
    &["HSET b:q:8 name late data {} opts {} timestamp 7 delay 9 priority 0", "ZADD b:q:delayed 40960000 8"],
    &["SET b:q:limiter 5 PX 10000", "SET b::oxmq:q:limited 11000 PX 10000"],
    &["HSET b::oxmq:q:cancels 1 w:1"],
    &["SADD b:q:stalled 1"],
    &["SADD b:q:1:dependencies b:r:4"],
    &["ZADD b:q:1:unsuccessful 5 b:r:4"],
    &["DEL b:q:1"],
    &["DEL b:q:1:lock"],
    &["SET b:q:1:lock x:1 PX 10000"],
    &["LREM b:q:active 1 1"],
    &["LPUSH b:q:active 9"],
    &["DEL b:q:wait"],
    &[
        "HSET b:q:7 name soon data {} opts {} timestamp 7 delay 0 priority 3",
        "ZADD b:q:prioritized 12884901889 7",
    ],
    &["HSET b:q:2 ats 2 atm 2"],
    &["HSET b:q:2 delay 9"],
    &["HSET b:q:2 deid x"],
    &["HSET b:q:2 priority 4"],
    &["HDEL b:q:2 opts", "HSET b:q:2 defa failed"],
    &["DEL b:q:2"],
    &["RPUSH b:q:wait 0:123"],
    &["DEL b::oxmq:q:leases"],
    &["HDEL b::oxmq:q:leases 1"],
    &["HSET b:q:2 data 0123456789012345678901234567890123456789012345678901234567890123456789"],
];

/// A demand at 1,000 ms: limit, token, lease ms, worker, max, window, '1' if a limit by hand is passed over.
const DEMANDS: &[&str] = &[
    "1000 1 w:2 10000 _ _ _ 0",
    "1000 1 w:2 10000 anna _ _ 1",
    "1000 2 w:2 10000 _ _ _ 0",
    "1000 0 w:2 10000 _ _ _ 0",
    "1000 1 0 10000 _ _ _ 0",
    "1000 1 w:2 10000 _ 5 1000 0",
];

/// The heads of finishes, and an ending of job 1.
const ENDINGS: &[&str] = &[
    "1000 1 1 _ 1 w:1 +900 1 1 null",
    "1000 1 1 10 1 w:1 +900 1 1 null",
    "1000 1 1 _ 1 w:1 done 1 1 null",
    "1000 1 1 _ 1 0 +900 1 1 null",
    "1000 1 1 _ 1 w:1 failed 1 1 no 0 _ 1 _ _ _ 1000",
];

/// Adds at 1,000 ms: '' before the first job, name, data, own id, opts, timestamp, delay, priority, '1' if lifo, deduplication.
const ADDS: &[&str] = &[
    "1 1000 _ mail {} _ {} 990 0 0 0 _",
    "1 1000 _ mail {} _ {} 990 0 0 1 _",
    "1 1000 _ mail {} own {} 990 0 0 0 _",
    "1 1000 _ mail {} 2 {} 990 0 0 0 _",
    "1 1000 _ mail {} _ {} 990 20 0 0 _",
    "1 1000 _ mail {} _ {} 990 0 2 0 _",
    "1 1000 _ mail {} _ {} 990 0 0 0 __x",
    "2 1000 _ mail {} _ {} 990 0 0 0 _ = note {}",
];

/// The words of a line: an underscore alone is nothing, another one a space.
fn words(line: &str) -> Vec<String> {
    let word = |word: &str| if word == "_" { String::new() } else { word.replace('_', " ") };
    line.split(' ').map(word).collect()
}

/// A connection to an empty database with what the lines made.
fn database<'a>(url: &str, lines: impl Iterator<Item = &'a &'static str>) -> Connection {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let () = redis::cmd("FLUSHDB").query(&mut connection).unwrap();
    for line in lines {
        let words = words(line);
        let _: Value = redis::cmd(&words[0]).arg(&words[1..]).query(&mut connection).unwrap();
    }
    connection
}

fn eval(connection: &mut Connection, text: &str, arguments: &[String]) -> Value {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(2).arg("b:q:meta").arg("b::oxmq:q:leases").arg(arguments);
    command.query(connection).unwrap()
}

/// Everything in a database: each key with what it holds, and whether it ends. Ids of events are left out.
fn everything(connection: &mut Connection) -> BTreeMap<String, String> {
    let keys: Vec<String> = connection.keys("*").unwrap();
    let read = |key: String| {
        let kind: String = redis::cmd("TYPE").arg(&key).query(connection).unwrap();
        // In units of 5 s, as some ms pass between two runs.
        let ends = (connection.pttl::<_, i64>(&key).unwrap() + 2_500) / 5_000;
        let holds = match kind.as_str() {
            "string" => connection.get::<_, String>(&key).unwrap(),
            "hash" => format!("{:?}", connection.hgetall::<_, BTreeMap<String, String>>(&key).unwrap()),
            "list" => format!("{:?}", connection.lrange::<_, Vec<String>>(&key, 0, -1).unwrap()),
            "set" => {
                format!("{:?}", connection.smembers::<_, BTreeSet<String>>(&key).unwrap())
            }
            "zset" => {
                format!(
                    "{:?}",
                    connection.zrange_withscores::<_, Vec<(String, String)>>(&key, 0, -1).unwrap()
                )
            }
            _ => {
                let entries: Vec<(String, Vec<String>)> =
                    redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(connection).unwrap();
                format!("{:?}", entries.into_iter().map(|(_, fields)| fields).collect::<Vec<_>>())
            }
        };
        (key, format!("{ends} {holds}"))
    };
    keys.into_iter().map(read).collect()
}

/// Makes the calls, of which the first is the plainest. How often the lone way of a script gave an answer, of so many calls.
fn compare(script: &Script, calls: &[String]) -> (usize, usize) {
    let server = Server::start(Options::new().databases(3));
    let [first, asked] = script.lone;
    let whole = script.source();
    let general = whole.replace(&format!("local answer = {asked}()"), "local answer = nil");
    assert_ne!(whole, general);
    let lone = format!("{}\nreturn {asked}()", bare(first));
    let urls: Vec<String> =
        (0..3).map(|database| format!("{}/{database}", server.url().trim_end_matches("/0"))).collect();
    let (mut given, mut made) = (0, 0);
    for (at, one) in OTHERWISE.iter().enumerate() {
        // Both may be the same, which is nothing new.
        for other in &OTHERWISE[at..] {
            let lines = || PLAIN.iter().chain(*one).chain(*other);
            for call in if one.is_empty() { calls } else { &calls[..1] } {
                let arguments = words(call);
                let mut databases: Vec<_> = urls.iter().map(|url| database(url, lines())).collect();
                let before = everything(&mut databases[0]);
                let answers: Vec<_> = databases
                    .iter_mut()
                    .zip([&lone, &whole, &general])
                    .map(|(database, text)| eval(database, text, &arguments))
                    .collect();
                let after: Vec<_> = databases.iter_mut().map(everything).collect();
                let what = format!("{call} with {one:?} and {other:?}");
                assert_eq!(answers[1], answers[2], "{what}");
                assert_eq!(after[1], after[2], "{what}");
                made += 1;
                if answers[0] == Value::Nil {
                    assert_eq!(after[0], before, "{what}: it gave nothing");
                } else {
                    given += 1;
                    assert_eq!(answers[0], answers[2], "{what}");
                    assert_eq!(after[0], after[2], "{what}");
                }
            }
        }
    }
    (given, made)
}

#[test]
fn a_lone_add_is_an_add() {
    let calls: Vec<_> = ADDS.iter().map(|&add| add.to_owned()).collect();
    let (given, made) = compare(&ADD, &calls);
    assert!(given > 100 && given < made, "{given} of {made}");
}

#[test]
fn a_lone_take_is_a_take() {
    let calls: Vec<_> = DEMANDS.iter().map(|&demand| demand.to_owned()).collect();
    let (given, made) = compare(&TAKE, &calls);
    assert!(given > 20 && given * 2 < made, "{given} of {made}");
}

#[test]
fn a_lone_finish_is_a_finish() {
    let first = ENDINGS.iter().map(|ending| format!("{ending} {}", DEMANDS[0]));
    let others = DEMANDS[1..].iter().map(|demand| format!("{} {demand}", ENDINGS[0]));
    let (given, made) = compare(&FINISH, &first.chain(others).collect::<Vec<_>>());
    assert!(given > 20 && given * 2 < made, "{given} of {made}");
}

/// Another job that is active, a younger one.
const SECOND: &[&str] = &[
    "HSET b:q:4 name job data {} opts {} timestamp 5 delay 0 priority 0 processedOn 950 ats 1",
    "LPUSH b:q:active 4",
    "SET b:q:4:lock w:1 PX 10000",
    "HSET b::oxmq:q:leases 4 9000_w:1",
];

/// Finishes of several known jobs: in the order in which they were taken, in another, one twice, with metrics, and of a second worker.
const PLAIN_ENDINGS: &[&str] = &[
    "1000 2 1 _ 2 w:1 +900 1 w:1 +950 1 1 4 null {}",
    "1000 2 1 _ 2 w:1 +950 1 w:1 +900 1 4 1 null null",
    "1000 2 1 _ 1 w:1 +900 2 1 1 null null",
    "1000 3 1 10 1 w:1 +900 3 1 4 1 null null null",
    "1000 2 1 _ 2 w:1 +900 1 x:1 +950 1 1 4 null null",
    "1000 2 1 _ 2 w:1 +900 1 w:1 failed 1 1 4 null no 0 _ 1 _ _ _ 1000",
];

#[test]
fn a_finish_of_plain_endings_is_a_finish() {
    let server = Server::start(Options::new().databases(2));
    let urls = [0, 1].map(|database| format!("{}/{database}", server.url().trim_end_matches("/0")));
    let whole = FINISH.source();
    let asks = "plain_ids, refusals = finish_plain(q, now_text, count, heads_at, ids_at)\n";
    let general = whole.replace(asks, "");
    let asked = whole.replace(asks, &format!("{asks}if true then return plain_ids ~= nil end\n"));
    assert!(whole != general && whole != asked);
    let (mut plain, mut made) = (0, 0);
    for (at, one) in OTHERWISE.iter().enumerate() {
        for other in &OTHERWISE[at..] {
            for endings in if one.is_empty() { PLAIN_ENDINGS } else { &PLAIN_ENDINGS[..1] } {
                let lines = || PLAIN.iter().chain(SECOND).chain(*one).chain(*other);
                let what = format!("{endings} with {one:?} and {other:?}");
                let arguments = words(&format!("{endings} {}", DEMANDS[2]));
                let is_plain = eval(&mut database(&urls[0], lines()), &asked, &arguments) == Value::Int(1);
                let run = |url: &str, text: &str| {
                    let mut database = database(url, lines());
                    (eval(&mut database, text, &arguments), everything(&mut database))
                };
                assert_eq!(run(&urls[0], &whole), run(&urls[1], &general), "{what}");
                made += 1;
                plain += usize::from(is_plain);
            }
        }
    }
    assert!(plain > 100 && plain < made, "{plain} of {made}");
}
