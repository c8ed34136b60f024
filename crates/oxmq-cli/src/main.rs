//! The command line of oxmq.
//!
//! [`args`] is the whole of it on one page; each verb is a file in [`commands`]. Everything said goes through
//! [`output`], every exit code comes from [`exit`].

mod args;
mod commands;
mod context;
mod door;
mod exit;
mod output;
mod shape;
mod values;

use std::hint::black_box;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{BenchPart, Cli, Verb};
use crate::context::Context;

/// How long the end of the process waits for tasks to be dropped. Only a read that nobody can end takes that long.
const LEFTOVERS_WAIT: Duration = Duration::from_secs(5);

/// Blocks of up to this size come from the heap, and twice as much of it is kept when it is freed. Chunks of many jobs are made by one thread and
/// freed by another; glibc at first maps what is larger than 128 KiB by itself, and gives so much back to the kernel each time.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

fn main() -> ExitCode {
    // glibc takes the size of the largest mapped block that was freed for what is usual in this program (mallopt(3),
    // M_MMAP_THRESHOLD). Nothing is touched, and elsewhere this means nothing.
    drop(black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
    let cli = Cli::parse();
    // Warnings of the library are worth a line; more on request: RUST_LOG=oxmq_core=debug.
    let usual = match cli.verb {
        // It opens the store again and again, and would be told each time that the server keeps nothing; and it has workloads
        // in which every job fails.
        Verb::Bench(_) => "error,oxmq_core::worker::answers=off",
        _ if cli.common.quiet => "error",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.with_ansi(io::stderr().is_terminal()).init();

    let context = Context::new(cli.common);
    let threads = match &cli.verb {
        Verb::Bench(args) => args.part.as_ref().and_then(BenchPart::threads),
        _ => None,
    };
    let runtime = match runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => return context.out.error(&error.into()),
    };
    let result = runtime.block_on(async {
        let result = commands::run(cli.verb, &context).await;
        context.close().await;
        result
    });
    // What still runs is dropped: the programs it has started are killed, and its files removed.
    runtime.shutdown_timeout(LEFTOVERS_WAIT);
    match result {
        Ok(code) => code,
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => context.out.error(&error),
    }
}

/// A runtime of so many threads, or as many as there are cores.
fn runtime(threads: Option<u16>) -> io::Result<Runtime> {
    let mut builder = match threads {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads.into());
    }
    builder.enable_all().build()
}
