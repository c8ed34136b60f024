//! Encryption, sentinels, clusters.

use super::guard::free_port;
use super::*;

/// A marker wait that goes on until it has one.
async fn marker(hub: &Hub, key: &str) -> Marker {
    loop {
        if let Some(marker) = hub.wait_marker(marker_wait(key, "n", LONG)).await.unwrap() {
            return marker;
        }
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn encrypted_connections_check_the_certificate() {
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let openssl = |line: &str| {
        let output =
            std::process::Command::new("openssl").args(line.split(' ')).current_dir(dir.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.path().join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
    for ca in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {ca}.key -out {ca}.pem -subj /CN=c"
        ));
    }
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout s.key -out s.csr -subj /CN=s",
    );
    openssl("x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out s.pem");
    let port = free_port();
    let tls = port.to_string();
    let args = ["--port", "0", "--tls-port", &tls, "--tls-auth-clients", "no", "--requirepass", "pw"];
    let files = ["--tls-cert-file", "s.pem", "--tls-key-file", "s.key", "--tls-ca-cert-file", "ca.pem"];
    let mut server = Server::start_in(dir.clone(), port, &[&args[..], &files[..]].concat()).await;

    let url = |ca: &str| format!("rediss://:pw@localhost:{port}?ca={}", dir.path().join(ca).display());
    let hub = Hub::open(&url("ca.pem")).await.unwrap();
    let ear = Ear::new(&hub, "c");
    assert_eq!(number(&hub, "INCR a").await, 1);
    assert!(hub.wait_marker(marker_wait("m", "n", Duration::from_millis(20))).await.unwrap().is_none());
    ear.hear(LONG).await.unwrap();
    server.stop();
    server.restart().await;
    assert_eq!(number(&hub, "INCR a").await, 1);

    let error = Hub::open(&url("other.pem")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("?ca="), "{error}");
    for missing in ["none.pem", "san"] {
        assert_eq!(Hub::open(&url(missing)).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let plain = Hub::open(&format!("redis://127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Unavailable);
}

#[cfg(unix)]
#[tokio::test]
async fn a_failover_by_sentinels_is_followed() {
    let master = Server::start(&["--masterauth", "pw", "--requirepass", "pw"]).await;
    let of = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&["--masterauth", "pw", "--requirepass", "pw", "--replicaof", &of]).await;
    let raw = |server: &Server| server.raw_with("pw");
    let mut there = raw(&master);
    eventually("the replica follows", || {
        std::future::ready(there.ask::<String>("INFO replication").contains("state=online"))
    })
    .await;
    let dir = Arc::new(tempfile::TempDir::new().unwrap());
    let config = format!(
        "sentinel monitor m {of} 1\nsentinel auth-pass m pw\nsentinel down-after-milliseconds m 300\n\
         sentinel failover-timeout m 2000\nrequirepass sp\n"
    );
    std::fs::write(dir.path().join("s.conf"), config).unwrap();
    let sentinel = Server::start_in(dir, free_port(), &["s.conf", "--sentinel"]).await;
    let mut asked = sentinel.raw_with("sp");
    eventually("the sentinel knows the replica", || {
        std::future::ready(
            asked.ask::<redis::Value>("SENTINEL REPLICAS m").as_sequence().is_some_and(|all| all.len() == 1),
        )
    })
    .await;

    // The first sentinel does not exist.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), sentinel.port);
    let options = "sentinel_password=sp&call_timeout=15000";
    let none = Hub::open(&format!("redis-sentinel://:pw@{hosts}?master=none&{options}")).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Unavailable);
    assert!(none.to_string().contains("?master="), "{none}");
    let hub = Arc::new(Hub::open(&format!("redis-sentinel://:pw@{hosts}?master=m&{options}")).await.unwrap());
    let ear = Ear::new(&hub, "c");
    assert_eq!(number(&hub, "INCR a").await, 1);
    ear.hear(LONG).await.unwrap();
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { marker(&hub, "m").await }
    });
    eventually("it blocks", || std::future::ready(there.clients(&["flags=b"]).len() == 1)).await;

    // The master stops answering, and its connections stay open.
    master.freeze();
    let value: i64 = from_redis_value(hub.call(repeatable("INCR b")).await.unwrap()).unwrap();
    assert!(value >= 1);
    let mut here = raw(&replica);
    assert!(here.ask::<String>("INFO replication").contains("role:master"));
    assert!(hub.generation() >= 1);
    eventually("it blocks there", || std::future::ready(here.clients(&["flags=b"]).len() == 1)).await;
    let _: () = here.ask("ZADD m 0 0");
    assert_eq!(waiting.await.unwrap().member, "0");
    // It is subscribed there, too.
    ear.hear(LONG).await.unwrap();
    assert_eq!(here.ask::<i64>("PUBLISH c x"), 1);
    let error =
        Hub::open(&format!("redis-sentinel://:pw@{hosts}?master=m&sentinel_password=no")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_cluster_is_followed_as_it_changes() {
    let mut nodes = Vec::new();
    for _ in 0..4 {
        let bus = free_port().to_string();
        nodes.push((
            Server::start(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "600",
                "--cluster-port",
                &bus,
            ])
            .await,
            bus,
        ));
    }
    let mut raws: Vec<guard::Raw> = nodes.iter().map(|(node, _)| node.raw()).collect();
    let ids: Vec<String> = raws.iter_mut().map(|raw| raw.ask("CLUSTER MYID")).collect();
    for (index, range) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
        let _: () = raws[index].ask(&format!("CLUSTER ADDSLOTSRANGE {range}"));
        let _: () = raws[index].ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
    }
    for (node, bus) in &nodes[1..] {
        let _: () = raws[0].ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port));
    }
    eventually("the nodes have met", || {
        std::future::ready(raws.iter_mut().all(|raw| {
            let info: String = raw.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")
        }))
    })
    .await;
    let _: () = raws[3].ask(&format!("CLUSTER REPLICATE {}", ids[0]));

    let url = format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", free_port(), nodes[1].0.port);
    let hub = Arc::new(Hub::open(&format!("{url}?call_timeout=9000")).await.unwrap());
    assert!(hub.is_cluster());
    for key in 0..100 {
        assert_eq!(number(&hub, &format!("INCR {key}")).await, 1);
    }
    let sizes = hub.every_node(command("DBSIZE")).await.unwrap();
    assert_eq!(sizes.len(), 3);
    assert_eq!(
        sizes.iter().map(|(_, size)| from_redis_value::<i64>(size.clone()).unwrap()).sum::<i64>(),
        100
    );
    let error = hub.call(call("MSET a 1 b 2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");

    // "foo" is in slot 12182: from the third node to the first.
    let wait = |key: &'static str| {
        let hub = hub.clone();
        tokio::spawn(async move { marker(&hub, key).await })
    };
    let waiting = wait("{foo}m");
    eventually("it blocks", || std::future::ready(raws[2].clients(&["flags=b"]).len() == 1)).await;
    assert_eq!(number(&hub, "INCR {foo}there").await, 1);
    let _: () = raws[0].ask(&format!("CLUSTER SETSLOT 12182 IMPORTING {}", ids[2]));
    let _: () = raws[2].ask(&format!("CLUSTER SETSLOT 12182 MIGRATING {}", ids[0]));
    assert_eq!(number(&hub, "INCR {foo}there").await, 2);
    assert_eq!(number(&hub, "INCR {foo}asked").await, 1);
    let _: () = raws[2].ask(&format!("MIGRATE 127.0.0.1 {} {{foo}}there 0 1000", nodes[0].0.port));
    for index in [0, 2] {
        let _: () = raws[index].ask(&format!("CLUSTER SETSLOT 12182 NODE {}", ids[0]));
    }
    assert_eq!(number(&hub, "INCR {foo}there").await, 3);
    assert_eq!(number(&hub, "INCR {foo}asked").await, 2);
    eventually("it blocks at the new node", || std::future::ready(raws[0].clients(&["flags=b"]).len() == 1))
        .await;
    let _: () = raws[0].ask("ZADD {foo}m 0 0");
    assert_eq!(waiting.await.unwrap().member, "0");

    // Events of several nodes, and a channel.
    let reader = |key: &'static str| {
        let hub = hub.clone();
        tokio::spawn(async move { entries(hub.read_stream(read(key, "0", LONG)).await.unwrap()) })
    };
    let readers = ["{foo}e", "{bar}e"].map(reader);
    for (node, key) in [(0, "{foo}e"), (0, "{bar}e")] {
        if raws[node].try_ask::<String>(&format!("XADD {key} * n {key}")).is_err() {
            let _: () = raws[1].ask(&format!("XADD {key} * n {key}"));
        }
    }
    for (reader, key) in readers.into_iter().zip(["{foo}e", "{bar}e"]) {
        assert_eq!(reader.await.unwrap(), [key]);
    }
    let ear = Ear::new(&hub, "c");
    ear.hear(LONG).await.unwrap();
    let _: i64 = raws[2].ask("PUBLISH c x");
    ear.hear(LONG).await.unwrap();

    // The first node dies, and its replica takes over.
    eventually("the replica follows", || {
        std::future::ready(raws[0].ask::<String>("INFO replication").contains("state=online"))
    })
    .await;
    let waiting = wait("{foo}m");
    nodes[0].0.stop();
    let value: i64 = from_redis_value(hub.call(repeatable("INCR {foo}after")).await.unwrap()).unwrap();
    assert!(value >= 1);
    assert_eq!(number(&hub, "EXISTS {foo}there").await, 1);
    eventually("it blocks at the replica", || std::future::ready(raws[3].clients(&["flags=b"]).len() == 1))
        .await;
    let _: () = raws[3].ask("ZADD {foo}m 0 0");
    assert_eq!(waiting.await.unwrap().member, "0");
    assert_eq!(hub.every_node(command("PING")).await.unwrap().len(), 3);
    // With one server only, a cluster's redirection names its remedy.
    let alone = Hub::open(&nodes[1].0.url()).await.unwrap();
    let error = alone.call(call("GET {foo}there")).await.unwrap_err();
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}
