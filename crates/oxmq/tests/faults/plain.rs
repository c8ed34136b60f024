//! The same from end to end by each way to a server, and on each server.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use oxmq::store::CancelAnswer;
use oxmq::{ErrorKind, EventCursor, HandlerError, JobContext, JobOutcome, Queue, Worker};
use oxmq_testkit::servers::Kind;
use oxmq_testkit::{Options, Server, eventually};
use serde_json::{Value, json};

use crate::{blocking, is_long, ms};

const PATIENCE: Duration = Duration::from_secs(10);

/// Adds, works, tells, cancels, steers: each kind of connection and script is used.
async fn works(url: &str) {
    let store = oxmq::connect(url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    let mut events = queue.events(EventCursor::Now).await.unwrap();
    let handler = |data: Value, context: JobContext| async move {
        context.progress(&1).await?;
        context.log("a line").await?;
        if data["hang"] == true {
            context.cancelled().await;
        }
        if data["fail"] == true && context.failed_tries() == 0 {
            return Err(HandlerError::from("once"));
        }
        Ok(data)
    };
    let worker = Worker::builder(&store, "q")
        .name("w")
        .concurrency(4)
        .lease(ms(1_000))
        .stall_check(ms(200))
        .handle_any(handler)
        .start()
        .unwrap();
    for n in 0..20 {
        let data = json!({ "n": n, "fail": n % 5 == 0 });
        let added =
            queue.add_named("x", &data).attempts(2).priority(n % 3).delay(ms(u64::from(n % 2) * 20)).await;
        let ended = queue.wait_for(&added.unwrap().id, Some(PATIENCE)).await.unwrap();
        assert!(matches!(ended, JobOutcome::Completed(_)), "{url}: {ended:?}");
    }
    assert!(matches!(events.next().await.unwrap(), oxmq::Notice::Event(_)));
    eventually(PATIENCE, || async { queue.workers().await.unwrap().len() == 1 }).await;
    let hangs = queue.add_named("x", &json!({ "hang": true })).await.unwrap();
    let runs = || async { queue.counts().await.unwrap().active == 1 };
    eventually(PATIENCE, runs).await;
    let asked = queue.cancel(&hangs.id, "enough").await.unwrap();
    assert_eq!(asked, CancelAnswer::Requested { worker: "w".into() }, "{url}");
    let ended = queue.wait_for(&hangs.id, Some(PATIENCE)).await.unwrap();
    assert_eq!(ended, JobOutcome::Failed("cancelled: enough".into()), "{url}");
    queue.pause().await.unwrap();
    queue.resume().await.unwrap();
    assert_eq!(queue.counts().await.unwrap().completed, 20);
    assert_eq!(store.queues(None).await.unwrap().len(), 1);
    worker.close().await.unwrap();
    queue.obliterate(false, |_| {}).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().total(), 0);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_over_tls() {
    let server = blocking(|| Server::start(Options::new().tls()));
    works(&format!("{}?ca={}", server.url(), server.certificates().ca().display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_by_a_unix_socket_with_a_password() {
    let server = blocking(|| Server::start(Options::new().unix_only().password("s e/cret")));
    works(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_in_another_database() {
    let server = Server::shared();
    works(&server.fresh_url()).await;
    works(&server.fresh_url().replace("redis://", "valkey://")).await;
}

/// What a user of the server has to be allowed: commands of ours, and of the scripts (the same list as in the docs of
/// `oxmq-redis`).
const RULES: &str = "on >s3cret resetkeys ~bull:* resetchannels &bull:* -@all \
    +evalsha +script|load +bzpopmin +xread +xrevrange +subscribe +unsubscribe +ping +info +time +select +scan \
    +client|id +client|list +client|setname +client|unblock \
    +del +exists +expire +get +hdel +hexists +hget +hgetall +hincrby +hkeys +hlen +hmget +hset +hvals +incr +incrby +llen +lpos +lpush +lrange \
    +lrem +lset +ltrim +mget +persist +pexpire +pttl +publish +rename +rpop +rpoplpush +rpush +sadd +scard +set +sismember +smembers +srem +unlink +xadd +xinfo|stream \
    +xrange +xtrim +zadd +zcard +zcount +zpopmin +zrange +zrangebyscore +zrem +zrevrange +zrevrangebyscore +zmscore +zscore";

/// What stands in capitals in scripts and is no command.
const WORDS: [&str; 6] = ["COUNT", "KEEPTTL", "LIMIT", "MAXLEN", "STREAM", "WITHSCORES"];

/// Commands that are not in scripts.
const OUTSIDE: [&str; 18] = [
    "evalsha",
    "script",
    "bzpopmin",
    "xread",
    "xrevrange",
    "subscribe",
    "unsubscribe",
    "ping",
    "info",
    "time",
    "select",
    "scan",
    "client",
    "hexists",
    "hvals",
    "zadd",
    "llen",
    "lrange",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_for_a_user_who_may_do_little_else() {
    let server = blocking(|| Server::start(Options::new().acl_user("jobs", RULES)));
    let url = server.url_as("jobs", "s3cret");
    let result = tokio::spawn(async move { works(&url).await }).await;
    let denied = server.command(&["ACL", "LOG"]);
    let objects = denied.list().iter().map(|entry| {
        let words: Vec<String> = entry.list().iter().map(oxmq_testkit::Reply::text).collect();
        words.iter().position(|word| word == "object").map(|at| words[at + 1].clone()).unwrap_or_default()
    });
    // Asked for to warn of a server that saves nothing, and done without.
    let objects: BTreeSet<String> = objects.filter(|object| object != "config|get").collect();
    assert_eq!(objects, BTreeSet::new(), "refused");
    result.unwrap();
    // Another prefix is refused, in words.
    let store = oxmq::connect(&server.url_as("jobs", "s3cret")).await.unwrap();
    let other = Queue::builder(&store, "q").prefix("other").build().unwrap();
    let error = other.add_named("x", &1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    let error = oxmq::connect(&server.url_as("jobs", "wrong")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(!error.to_string().contains("wrong@"), "{error}");
}

/// The list is neither too long nor too short: each command of it is in some script, or sent by us.
#[test]
fn the_list_of_commands_is_that_of_the_scripts() {
    let mut called = BTreeSet::from(OUTSIDE.map(str::to_owned));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oxmq-redis/lua");
    for folder in [folder.clone(), folder.join("shared")] {
        for file in
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
        {
            let script = std::fs::read_to_string(file).unwrap();
            // Some are chosen by a condition, so what stands in capitals is a command, or a word of one.
            let is_word = |text: &&str| text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
            called.extend(
                script
                    .split('\'')
                    .filter(is_word)
                    .filter(|word| !WORDS.contains(word))
                    .map(str::to_lowercase),
            );
        }
    }
    let commands = RULES.split(' ').filter_map(|rule| rule.strip_prefix('+'));
    let allowed: BTreeSet<String> = commands.map(|rule| rule.split('|').next().unwrap().to_owned()).collect();
    assert_eq!(allowed, called);
}

/// Each server that is installed; in the long form only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_on_every_server() {
    let kinds = if is_long() { Kind::installed() } else { vec![Kind::of_environment()] };
    for kind in kinds {
        let server = blocking(|| Server::start(Options::new().kind(kind)));
        works(&server.url()).await;
        println!("works on {kind}");
    }
}
