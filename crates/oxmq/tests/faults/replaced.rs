//! Another server takes over: Sentinels, clusters, slots that move.
//!
//! Redis replicates after it has answered, so what was acknowledged shortly before is lost with a master, and no client
//! can help that. What the replica had before the fault must be there.

use oxmq_testkit::{Cluster, Options, Sentinels, Server, until};

use crate::load::Load;
use crate::{blocking, ms, rounds};

const KEY: &str = "{bull}:q:id";

/// The jobs that the replica has for sure: adds are held for the moment in which both have written as much.
async fn secure(load: &Load, master: &Server, replica: &Server) -> std::collections::BTreeSet<u64> {
    load.pause_adds().await;
    let in_step = || {
        let offset = master.try_info("master_repl_offset");
        offset.is_some() && offset == replica.try_info("slave_repl_offset")
    };
    blocking(|| until(ms(10_000), in_step));
    let secured = load.stored();
    load.resume_adds();
    load.until_busy().await;
    secured
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hands_over() {
    let sentinels = blocking(Sentinels::start);
    let mut load = Load::start("sentinel-failover", &sentinels.url()).await;
    for _ in 0..rounds(1, 10) {
        let secured = secure(&load, blocking(|| sentinels.master()), blocking(|| sentinels.replica())).await;
        blocking(|| sentinels.failover());
        load.recovers().await;
        load.forgive_all_but(&secured);
        load.until_busy().await;
    }
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed() {
    let sentinels = blocking(Sentinels::start);
    let mut load = Load::start("sentinel-kill", &sentinels.url()).await;
    for _ in 0..rounds(1, 10) {
        let secured = secure(&load, blocking(|| sentinels.master()), blocking(|| sentinels.replica())).await;
        let old = blocking(|| sentinels.kill_master());
        blocking(|| sentinels.until_replaced(old));
        load.recovers().await;
        load.forgive_all_but(&secured);
        blocking(|| old.restart());
        blocking(|| sentinels.until_whole());
        load.until_busy().await;
    }
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_of_a_cluster_that_is_killed_and_slots_that_move() {
    let cluster = blocking(|| Cluster::start_with(&Options::new(), 3, 1));
    let mut load = Load::start("cluster-kill", &cluster.url()).await;
    for _ in 0..rounds(1, 10) {
        let (primary, replica) = blocking(|| (cluster.primary_of(KEY), cluster.replica_of(KEY).unwrap()));
        let secured = secure(&load, primary, replica).await;
        let old = blocking(|| cluster.kill_primary_of(KEY));
        blocking(|| cluster.until_replaced(KEY, old));
        load.recovers().await;
        load.forgive_all_but(&secured);
        blocking(|| old.restart());
        blocking(|| until(ms(20_000), || old.is_replica_in_step()));
        blocking(|| cluster.until_whole());
        // The others must find it fit again, too.
        blocking(|| until(ms(20_000), || cluster.replica_of(KEY).is_some()));
        load.until_busy().await;
    }
    load.finish().await;

    let mut load = Load::start_on("slot-moves", &cluster.url(), "moves", 1).await;
    for _ in 0..rounds(2, 20) {
        let migration = blocking(|| cluster.begin_move(KEY));
        for _ in 0..20 {
            blocking(|| migration.move_keys(25));
            tokio::time::sleep(ms(10)).await;
        }
        blocking(|| migration.finish());
        load.recovers().await;
        load.until_busy().await;
    }
    load.finish().await;
}
