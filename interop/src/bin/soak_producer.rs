//! A producer of ours to be killed: the twin of `node/soak_producer.mjs`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the tests")]

use std::io::BufRead;
use std::sync::Arc;

use oxmq_core::store::Gate;
use oxmq_core::{JobOptions, JsonText, NewJob, Queue};
use oxmq_interop::soak::plan;
use oxmq_redis::RedisStore;
use serde_json::{Value, json};

const BATCH: u64 = 20;

#[tokio::main]
async fn main() {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).unwrap()).unwrap();
    let run = settings["run"].as_str().unwrap().to_owned();
    let url = std::env::var("OXMQ_INTEROP_URL").unwrap();
    let store = Gate::before(Arc::new(RedisStore::open(&url).await.unwrap()));
    let queue = Queue::new(&store, settings["queue"].as_str().unwrap()).unwrap();
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel::<u64>();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            sender.send(line.parse().unwrap()).unwrap();
        }
        std::process::exit(0);
    });
    let mut next = 0;
    while let Some(mut count) = asked.recv().await {
        while count > 0 {
            let size = count.min(BATCH);
            count -= size;
            let jobs = (next..next + size).map(|n| plan(&run, n)).map(|(name, data, opts)| NewJob {
                name: name.into(),
                data: JsonText::of(&data).unwrap(),
                options: JobOptions::parse(&opts.to_string()).unwrap(),
            });
            next += size;
            // In turns one by one, at the same time, and as one bulk.
            if (next / BATCH).is_multiple_of(2) {
                let adds: Vec<_> = jobs
                    .map(|job| {
                        let add = queue.add_named(job.name, &job.data).options(job.options);
                        tokio::spawn(async move { acknowledge(&[add.await.unwrap().id.as_str()]) })
                    })
                    .collect();
                for add in adds {
                    add.await.unwrap();
                }
            } else {
                let added = queue.add_bulk(jobs.collect()).await.unwrap();
                acknowledge(&added.iter().map(|added| added.id.as_str()).collect::<Vec<_>>());
            }
        }
    }
}

fn acknowledge(ids: &[&str]) {
    println!("{}", json!({ "acked": ids }));
}
