//! Measures oxmq and BullMQ for Node.js side by side: one run, interleaved, their order rotated, a fresh server or file for every
//! measurement. How one measurement goes is the business of `oxmq bench`, which measures programs of both kinds.
//!
//! See `benches/README.md`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line program")]

mod contender;
mod records;
mod report;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::contender::{Contender, Places};
use crate::records::{Record, Records};

/// The workloads that are measured unless others are named: all that have targets, quickest first.
const WORKLOADS: &str = "W1,W2c,W2b,W3c1,W3c10,W3c100,W4,W5,W6q1,W6q50,W7b1k,W7b10k,W7b100k,W7b1M,W7delayed100k,\
                         W7prio100k,5ms,held1k,bulk1M,1MiB";

/// A machine with more load than this gives numbers of little worth.
const LOAD_MAX: f64 = 0.5;

/// Measures oxmq and BullMQ for Node.js by the same workloads, and compares.
#[derive(Debug, Parser)]
struct Args {
    /// How often each is measured; 3 or more for figures to be shown to others
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
    /// The workloads, by the names of `oxmq bench`, with commas between them
    #[arg(long, value_delimiter = ',', default_value = WORKLOADS)]
    workloads: Vec<String>,
    /// Who is measured, with commas between them; all, as far as they are installed, unless named
    #[arg(long, value_enum, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// By what the definitions' numbers of jobs are multiplied; below 1 only to see that it works
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Redis with its append-only file, synchronised every second, instead of without
    #[arg(long)]
    aof: bool,
    /// The program `oxmq` [default: target/release/oxmq]
    #[arg(long)]
    oxmq: Option<PathBuf>,
    /// Our npm package, built: adds a contender that runs BullMQ's classes on our embedded store
    #[arg(long, value_name = "PATH")]
    door: Option<PathBuf>,
    /// Where the embedded stores lie for the time of a measurement; on the disk that is to be measured [default: target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where every single figure goes, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let places = Places::find(args.oxmq.clone(), args.door.clone(), args.dir.clone(), args.aof)?;
    let contenders = chosen(args, &places)?;
    if let Some(load) = load().filter(|load| *load > LOAD_MAX) {
        eprintln!("the machine is not quiet (load {load}): these figures are of little worth");
    }
    let mut records = Records::default();
    for repetition in 0..args.repetitions {
        for workload in &args.workloads {
            for place in 0..contenders.len() {
                // Whoever was first in this repetition is last in the next.
                let contender = contenders[(place + repetition as usize) % contenders.len()];
                eprintln!("{}/{} {workload} {contender}", repetition + 1, args.repetitions);
                let figures = contender.measure(workload, args.scale, &places);
                if let Err(error) = &figures {
                    eprintln!("  failed: {error:#}");
                }
                records.add(Record { workload: workload.clone(), contender, repetition, figures });
            }
        }
        // What is there is worth keeping if the rest fails.
        if let Some(file) = &args.json {
            let text = serde_json::to_string_pretty(&records.to_json(args.scale, args.aof))?;
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    println!("{}", report::figures(&records, &args.workloads, &contenders));
    println!("{}", report::targets(&records));
    let failures = records.failures();
    ensure!(failures == 0, "{failures} measurements failed; they are not in the tables");
    Ok(())
}

/// Who is measured: those that were named, else all that are here.
fn chosen(args: &Args, places: &Places) -> Result<Vec<Contender>> {
    if args.contenders.is_empty() {
        return Ok(Contender::ALL
            .into_iter()
            .filter(|contender| contender.lacks(places).is_none())
            .collect());
    }
    for contender in &args.contenders {
        if let Some(remedy) = contender.lacks(places) {
            anyhow::bail!("{contender}: {remedy}");
        }
    }
    Ok(args.contenders.clone())
}

/// How many processes want to run, over the last minute. Nothing where the system does not tell it in this way.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
