//! The plumbing by itself: what happens to callers when things go wrong beneath them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oxmq_core::{Event, EventKind, QueueAddress, Timestamp};
use rusqlite::params;
use tempfile::TempDir;

use super::*;
use crate::connection::{Durability, Place};
use crate::wake::Marks;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn options(path: &Path) -> Options {
    Options {
        place: Place::File(path.to_owned()),
        durability: Durability::Process,
        create: true,
        read_only: false,
        call_deadline: Duration::from_secs(5),
    }
}

pub(super) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    (folder, path)
}

pub(super) fn queue(name: &str) -> QueueAddress {
    QueueAddress::new(name.to_owned()).unwrap()
}

pub(super) async fn open(path: &Path) -> Engine {
    Engine::open(options(path)).await.unwrap()
}

/// Writes one event; what every commit of these tests does.
pub(super) async fn emit(engine: &Engine, name: &str) -> Sql<u64> {
    let queue = queue(name);
    engine
        .write(move |tx| {
            let queue = tx.queue(&queue, NOW)?;
            queue.ring_work();
            queue.emit(NOW, &Event::queue(EventKind::Resumed))
        })
        .await
}

pub(super) async fn events(engine: &Engine) -> i64 {
    engine
        .read(|db| {
            Ok(db.query_row("SELECT coalesce(sum(event_no), 0) FROM oxmq_queues", [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_answered_can_be_read_and_survives_reopening() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    for number in 1..=3 {
        assert_eq!(emit(&engine, "a").await.unwrap(), number);
    }
    assert_eq!(events(&engine).await, 3);
    engine.close().await;
    assert_eq!(emit(&engine, "a").await, Err(SqlFault::Closed));
    assert!(!beside(&path, "-wal").exists(), "the last connection cleans up");
    assert_eq!(events(&open(&path).await).await, 3);
}

#[tokio::test]
async fn memory_reads_see_writes_of_the_same_batch() {
    let engine = Engine::open(Options { place: Place::Memory, ..options(Path::new("")) }).await.unwrap();
    let (first, second) = tokio::join!(emit(&engine, "a"), events(&engine));
    assert_eq!((first.unwrap(), second), (1, 1));
}

#[tokio::test]
async fn one_callers_trouble_is_not_anothers() {
    let (_folder, path) = folder();
    let engine = Arc::new(open(&path).await);
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for index in 0..60 {
        let engine = Arc::clone(&engine);
        if index % 20 == 7 {
            bad.push(tokio::spawn(async move {
                engine
                    .write(move |tx| {
                        let db = tx.settled()?;
                        db.execute("INSERT INTO oxmq_meta (key, value) VALUES ('schema', 1)", [])?;
                        Ok(())
                    })
                    .await
            }));
        } else if index % 20 == 9 {
            bad.push(tokio::spawn(async move { engine.write::<(), _>(|_| panic!("oh {}", 1)).await }));
        } else {
            good.push(tokio::spawn(async move { emit(&engine, "a").await }));
        }
    }
    let mut numbers = Vec::new();
    for task in good {
        numbers.push(task.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=54).collect::<Vec<_>>());
    for task in bad {
        let fault = task.await.unwrap().unwrap_err();
        let SqlFault::Other(text) = &fault else { panic!("{fault:?}") };
        assert!(text.contains("UNIQUE") || text.contains("panicked: oh 1"), "{text}");
    }
}

#[tokio::test]
async fn dropping_the_store_finishes_what_was_queued() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let threads = engine.threads.clone();
    let (_, _) = tokio::join!(emit(&engine, "a"), emit(&engine, "a"));
    drop(engine);
    tokio::time::timeout(PATIENCE, threads.closed()).await.unwrap();
    assert_eq!(events(&open(&path).await).await, 2);
}

#[tokio::test]
async fn a_lock_that_is_never_released_is_an_error_that_says_how_long_it_waited() {
    let (_folder, path) = folder();
    // Long enough for the writer thread to begin within it, however busy the machine is.
    let deadline = Duration::from_secs(1);
    let engine = Engine::open(Options { call_deadline: deadline, ..options(&path) }).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = now();
    let fault = emit(&engine, "a").await.unwrap_err();
    let took = began.elapsed();
    let SqlFault::Locked { waited } = fault.clone() else { panic!("{fault:?}") };
    // The deadline counts from the call, the waiting from when the writer thread came to it: how much later that is, is
    // the machine's affair.
    assert!(took >= deadline && waited > Duration::ZERO && waited <= took, "{waited:?} of {took:?}");
    let error = fault.into_error("add", &engine.name());
    assert!(error.to_string().contains(&format!("for {} ms", waited.as_millis())), "{error}");
    assert_eq!(error.kind(), oxmq_core::ErrorKind::Unavailable);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(emit(&engine, "a").await.unwrap(), 1, "nothing of the first one was stored");
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_acknowledged() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    engine
        .write(|tx| {
            let db = tx.settled()?;
            let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            db.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        })
        .await
        .unwrap();
    let large = || {
        engine.write(|tx| {
            tx.settled()?.execute(
                "INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (1, 'n', ?1, '{}')",
                ["x".repeat(100_000)],
            )?;
            Ok(())
        })
    };
    let fault = large().await.unwrap_err();
    assert!(matches!(fault, SqlFault::DiskFull(_)), "{fault:?}");
    // Small things still fit, and with room again so does the large one.
    emit(&engine, "a").await.unwrap();
    engine.write(|tx| Ok(tx.settled()?.pragma_update(None, "max_page_count", 1_000_000)?)).await.unwrap();
    large().await.unwrap();
}

#[tokio::test]
async fn a_read_only_store_reads_and_refuses_to_write() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    engine.write(|tx| Ok(tx.settled()?.pragma_update(None, "query_only", true)?)).await.unwrap();
    assert!(matches!(emit(&engine, "a").await, Err(SqlFault::ReadOnly(_))));
    let reader = Engine::open(Options { read_only: true, ..options(&path) }).await.unwrap();
    assert_eq!(events(&reader).await, 1);
    assert!(matches!(emit(&reader, "a").await, Err(SqlFault::ReadOnly(_))));
}

#[tokio::test]
async fn a_deleted_or_replaced_file_is_never_written_to_in_silence() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    assert_eq!(emit(&engine, "a").await, Err(SqlFault::FileGone));
    std::fs::write(&path, b"").unwrap();
    assert_eq!(emit(&engine, "a").await, Err(SqlFault::FileGone));
}

#[tokio::test]
async fn damaged_and_foreign_files_are_told_apart() {
    let (_folder, path) = folder();
    std::fs::write(&path, "this is not a database at all, is it? ".repeat(100)).unwrap();
    let fault = Engine::open(options(&path)).await.err().unwrap();
    assert!(matches!(fault, SqlFault::NotADatabase(_)), "{fault:?}");

    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    engine.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[4096..] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let fault = match Engine::open(options(&path)).await {
        Ok(engine) => emit(&engine, "a").await.unwrap_err(),
        Err(fault) => fault,
    };
    assert!(matches!(fault, SqlFault::Corrupt(_)), "{fault:?}");

    let (folder, path) = folder_without_file();
    let missing = Engine::open(Options { create: false, ..options(&path) }).await.err().unwrap();
    assert!(format!("{missing:?}").contains("No such file"), "{missing:?}");
    let directory = Engine::open(options(folder.path())).await.err().unwrap();
    assert!(format!("{directory:?}").contains("directory"), "{directory:?}");
}

fn folder_without_file() -> (TempDir, PathBuf) {
    folder()
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    engine
        .write(|tx| Ok(tx.settled()?.execute("UPDATE oxmq_meta SET value = 99 WHERE key = 'schema'", [])?))
        .await
        .unwrap();
    engine.close().await;
    let fault = Engine::open(options(&path)).await.err().unwrap();
    assert_eq!(fault, SqlFault::NewerSchema { found: 99, supported: SCHEMA_VERSION });
    let text = fault.into_error("open", "x").to_string();
    assert!(text.contains("99") && text.contains(&SCHEMA_VERSION.to_string()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_that_open_a_fresh_file_at_once_all_succeed() {
    for _ in 0..10 {
        let (_folder, path) = folder();
        let mut children: Vec<_> = (0..2).map(|_| child("open", &path)).collect();
        let own: Vec<_> = (0..3)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { emit(&open(&path).await, "a").await.unwrap() })
            })
            .collect();
        for task in own {
            task.await.unwrap();
        }
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(events(&open(&path).await).await, 5);
    }
}

#[tokio::test]
async fn our_tables_live_beside_an_applications_own() {
    let (_folder, path) = folder();
    let app = rusqlite::Connection::open(&path).unwrap();
    app.execute_batch("PRAGMA user_version = 7; CREATE TABLE users (id INTEGER PRIMARY KEY)").unwrap();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    let user_version: i64 = app.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(user_version, 7);
    let foreign: Vec<String> = app
        .prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'oxmq!_%' ESCAPE '!' AND name NOT LIKE 'sqlite!_autoindex!_oxmq%' ESCAPE '!'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(foreign, ["users"]);
}

#[tokio::test]
async fn event_rows_are_trimmed_to_the_cap() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let address = queue("a");
    for _ in 0..30 {
        let address = address.clone();
        engine
            .write(move |tx| {
                let queue = tx.queue(&address, NOW)?;
                for _ in 0..1_000 {
                    queue.emit(NOW, &Event::queue(EventKind::Drained))?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }
    let (kept, newest): (i64, i64) = engine
        .read(|db| {
            Ok(db.query_row(
                "SELECT sum(last_no - first_no + 1), max(last_no) FROM oxmq_events",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?)
        })
        .await
        .unwrap();
    assert_eq!(newest, 30_000);
    assert!((10_000..=12_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn the_log_is_emptied_when_it_grows_too_large() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let mut seen = 0;
    for round in 0..400_i64 {
        engine
            .write(move |tx| {
                let db = tx.settled()?;
                db.execute(
                    "REPLACE INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, 'n', ?2, '{}')",
                    params![round % 50, "x".repeat(1_000_000)],
                )?;
                Ok(())
            })
            .await
            .unwrap();
        seen = seen.max(std::fs::metadata(beside(&path, "-wal")).unwrap().len());
    }
    assert!(seen < 200_000_000, "{seen}");
}

/// What is written into the room beforehand is no commit, and none is lost by it.
#[tokio::test]
async fn the_log_has_room_before_it_is_needed_if_syncs_are_waited_for() {
    for (durability, has_room) in [(Durability::Power, true), (Durability::Process, false)] {
        let (_folder, path) = folder();
        let engine = Engine::open(Options { durability, ..options(&path) }).await.unwrap();
        for n in 0..64_i64 {
            engine
                .write(move |tx| {
                    tx.settled()?.execute(
                        "INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, 'n', ?2, '{}')",
                        params![n, "x".repeat(50_000)],
                    )?;
                    Ok(())
                })
                .await
                .unwrap();
        }
        let length = std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        assert_eq!(length > 16_000_000, has_room, "{durability:?}: {length}");
        // As another process finds it, which knows nothing of it but what is in the files. (To open the file here costs the engine its
        // locks, but there is nobody else.)
        let (_copies, copy) = folder();
        for suffix in ["", "-wal"] {
            std::fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
        }
        let found = open(&copy).await;
        let count = |db: &Connection| {
            Ok(db.query_row("SELECT count(*) FROM oxmq_payloads", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(found.read(count).await.unwrap(), 64);
        found.close().await;
        engine.close().await;
    }
}

/// The bell of a queue rings for a commit of this process, and of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_end_on_commits_of_this_and_of_other_processes() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let waiting = engine.wait();
    let mut marks = engine.bells().bell(&queue("a")).work.subscribe();
    emit(&engine, "a").await.unwrap();
    tokio::time::timeout(PATIENCE, marks.wait_for(|mark| *mark > 0)).await.unwrap().unwrap();
    for _ in 0..3 {
        let before = *marks.borrow();
        let mut child = child("open", &path);
        tokio::time::timeout(PATIENCE, marks.wait_for(|mark| *mark > before)).await.unwrap().unwrap();
        assert!(child.wait().unwrap().success());
    }
    drop(waiting);
    // Nobody waits now; what happens meanwhile is found when somebody does again.
    let before = *marks.borrow();
    assert!(child("open", &path).wait().unwrap().success());
    let _waiting = engine.wait();
    tokio::time::timeout(PATIENCE, marks.wait_for(|mark| *mark > before)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_writer_that_does_not_nudge_is_found_by_polling() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    let _waiting = engine.wait();
    let mut marks = engine.bells().bell(&queue("a")).work.subscribe();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute("UPDATE oxmq_queues SET wake_no = wake_no + 10", []).unwrap();
    let row = engine.read(|db| crate::tx::QueueRow::find(db, &queue("a"))).await.unwrap().unwrap();
    let wanted = Marks::of(&row).work;
    tokio::time::timeout(PATIENCE, marks.wait_for(|mark| *mark >= wanted)).await.unwrap().unwrap();
}

// ------------------------------------------------------------------ the other process

const CHILD_ROLE: &str = "OXMQ_TEST_CHILD_ROLE";
const CHILD_PATH: &str = "OXMQ_TEST_CHILD_PATH";

/// Runs [`other_process`] in a process of its own.
fn child(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["engine::tests::other_process", "--exact", "--ignored", "--nocapture"])
        .env(CHILD_ROLE, role)
        .env(CHILD_PATH, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "not a test: the other process of some tests"]
async fn other_process() {
    let Ok(role) = std::env::var(CHILD_ROLE) else { return };
    let path = PathBuf::from(std::env::var_os(CHILD_PATH).unwrap());
    match role.as_str() {
        "open" => {
            let engine = open(&path).await;
            emit(&engine, "a").await.unwrap();
            engine.close().await;
        }
        "busy" => {
            // Commits of a hundred rows in a loop, until it is killed.
            let engine = open(&path).await;
            loop {
                batch(&engine).await;
            }
        }
        other => panic!("{other}"),
    }
}

async fn batch(engine: &Engine) {
    let address = queue("busy");
    engine
        .write(move |tx| {
            let queue = tx.queue(&address, NOW)?;
            let no = queue.row.no;
            for _ in 0..100 {
                let seq = (no << 40) + queue.next_id();
                let ord = queue.next_ord();
                queue
                    .db
                    .prepare_cached(
                        "INSERT INTO oxmq_jobs (seq, queue, state, rank, ord, timestamp) VALUES (?1, ?2, 1, 0, ?3, 0)",
                    )?
                    .execute(params![seq, no, ord])?;
                queue
                    .db
                    .prepare_cached("INSERT INTO oxmq_payloads (seq, name, data, opts) VALUES (?1, 'n', ?2, '{}')")?
                    .execute(params![seq, "x".repeat(100)])?;
            }
            queue.emit(NOW, &Event::queue(EventKind::Drained))?;
            Ok(())
        })
        .await
        .unwrap();
}

// ------------------------------------------------------------------ figures

/// `cargo test --release -p oxmq-sqlite -- --ignored --nocapture figures_`
#[tokio::test]
#[ignore = "prints figures"]
async fn figures_single_writes_beside_a_busy_process() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    emit(&engine, "a").await.unwrap();
    for others in [0, 1, 2] {
        let mut children: Vec<_> = (0..others).map(|_| child("busy", &path)).collect();
        while others > 0 && events(&engine).await < 20 {
            tokio::task::yield_now().await;
        }
        let before = events(&engine).await;
        let start = now();
        let mut times = Vec::new();
        while start.elapsed() < Duration::from_secs(5) {
            let at = now();
            emit(&engine, "a").await.unwrap();
            times.push(at.elapsed());
        }
        let theirs = events(&engine).await - before - i64::try_from(times.len()).unwrap();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        times.sort_unstable();
        println!(
            "{others} busy processes ({theirs} batches of 100 in 5 s): {} writes, p50 {:?} p99 {:?} max {:?}",
            times.len(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1]
        );
    }
}

/// One caller that awaits each write, and a hundred callers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures_commits() {
    for durability in [Durability::Process, Durability::Power] {
        for callers in [1, 100] {
            let (_folder, path) = folder();
            let engine = Arc::new(Engine::open(Options { durability, ..options(&path) }).await.unwrap());
            emit(&engine, "a").await.unwrap();
            let start = now();
            let tasks: Vec<_> = (0..callers)
                .map(|_| {
                    let engine = Arc::clone(&engine);
                    tokio::spawn(async move {
                        let mut times = Vec::new();
                        while start.elapsed() < Duration::from_secs(5) {
                            let at = now();
                            emit(&engine, "a").await.unwrap();
                            times.push(at.elapsed());
                        }
                        times
                    })
                })
                .collect();
            let mut times = Vec::new();
            for task in tasks {
                times.extend(task.await.unwrap());
            }
            times.sort_unstable();
            println!(
                "{durability:?}, {callers} callers: {} writes/s, p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
                times.len() / 5,
                times[times.len() / 2],
                times[times.len() * 99 / 100],
                times[times.len() * 999 / 1000],
                times[times.len() - 1]
            );
        }
    }
}
