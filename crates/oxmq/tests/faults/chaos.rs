//! Everything, in any order.

use std::collections::BTreeMap;

use oxmq_testkit::{Options, Proxy, Server};

use crate::load::Load;
use crate::{blocking, is_long, kill, ms};

const FAULTS: [&str; 10] =
    ["kill", "restart", "freeze", "cut", "refuse", "blackhole", "answers", "client-kill", "flush", "slow"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("OXMQ_FAULT_ROUNDS").unwrap_or(if is_long() { 100 } else { 3 });
    let seed = number("OXMQ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("chaos: OXMQ_FAULT_ROUNDS={rounds} OXMQ_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = blocking(|| Server::start(Options::new().aof()));
    let proxy = Proxy::start(server.addr());
    let mut load = Load::start_with("chaos", &server.url_at(proxy.addr()), 2).await;
    let mut done = BTreeMap::<&str, u32>::new();
    for _ in 0..rounds {
        let fault = FAULTS[random.usize(..FAULTS.len())];
        // Longer than a lease, and now and then longer than a connection is given.
        let longest = if random.u8(..4) == 0 { 5_000 } else { 2_000 };
        let long = ms(random.u64(100..longest));
        let short = ms(random.u64(0..300));
        *done.entry(fault).or_default() += 1;
        match fault {
            "kill" => blocking(|| kill(&server)),
            "restart" => {}
            "freeze" => blocking(|| server.freeze()),
            "cut" => blocking(|| proxy.cut()),
            "refuse" => blocking(|| {
                proxy.refuse();
                proxy.cut();
            }),
            "blackhole" => blocking(|| proxy.blackhole()),
            "answers" => blocking(|| proxy.drop_replies(random.u64(1..20))),
            "client-kill" => drop(blocking(|| server.command(&["CLIENT", "KILL", "TYPE", "normal"]))),
            "flush" => drop(blocking(|| server.command(&["SCRIPT", "FLUSH"]))),
            _ => blocking(|| proxy.delay(ms(random.u64(10..200)))),
        }
        tokio::time::sleep(if matches!(fault, "cut" | "client-kill" | "flush" | "kill") {
            short
        } else {
            long
        })
        .await;
        match fault {
            "kill" | "restart" => blocking(|| server.restart()),
            "freeze" => blocking(|| server.thaw()),
            "cut" | "client-kill" | "flush" => {}
            _ => blocking(|| proxy.restore()),
        }
        load.recovers().await;
        tokio::time::sleep(ms(random.u64(0..400))).await;
    }
    println!("chaos: {done:?}");
    load.finish().await;
}
