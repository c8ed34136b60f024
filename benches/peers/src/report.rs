//! The tables, in Markdown.

use std::fmt::Write as _;

use crate::contender::Contender;
use crate::records::Records;
use crate::targets::{Bound, Measure, TARGETS, Target};

/// Figures that say nothing beside the others.
const HIDDEN: [&str; 4] = ["n", "seconds", "p90_us", "measured_jobs"];

/// Medians, the least and the most, and the ratio to BullMQ, a row for each figure.
pub(crate) fn figures(records: &Records, workloads: &[String], contenders: &[Contender]) -> String {
    let mut text = String::from("| workload | figure |");
    let columns: Vec<_> = contenders.iter().map(|contender| contender.name()).collect();
    let line = "---|".repeat(contenders.len());
    // Writing to a String cannot fail.
    let _ = write!(text, " {} |\n|---|---|{line}\n", columns.join(" | "));
    for workload in workloads {
        for figure in records.figures_of(workload).into_iter().filter(|figure| !HIDDEN.contains(figure)) {
            let cells = contenders.iter().map(|contender| cell(records, workload, *contender, figure));
            let cells: Vec<_> = cells.collect();
            let _ = writeln!(text, "| {workload} | {} | {} |", figure.replace('_', " "), cells.join(" | "));
        }
    }
    text
}

/// `1234 (1200..1300) 1.50x`
fn cell(records: &Records, workload: &str, contender: Contender, figure: &str) -> String {
    let Some(own) = records.spread(workload, contender, figure) else { return String::new() };
    let mut text = format!("{} ({}..{})", short(own.median), short(own.least), short(own.most));
    let theirs = records.spread(workload, Contender::Bullmq, figure).filter(|theirs| theirs.median > 0.0);
    if let Some(theirs) = theirs.filter(|_| contender != Contender::Bullmq) {
        let _ = write!(text, " **{}x**", short(own.median / theirs.median));
    }
    text
}

/// Each target with what was measured.
pub(crate) fn targets(records: &Records) -> String {
    let mut text = String::from(
        "| contender | workload | figure | must | stretch | measured | met |\n|---|---|---|---|---|---|---|\n",
    );
    for target in TARGETS {
        let Some(measured) = target.measured(records) else { continue };
        let Target { contender, workload, figure, measure, must, stretch } = target;
        let (what, unit) = match measure {
            Measure::ToBullmq => (String::new(), "x"),
            Measure::Itself => (String::new(), ""),
            Measure::ToFigure(other) => (format!(" to {}", other.replace('_', " ")), "x"),
            Measure::ToWorkload(other) => (format!(" to {other}"), "x"),
            Measure::LeastToMost => (", least to most".to_owned(), "x"),
        };
        let met = match (must.holds(measured), stretch.map(|stretch| stretch.holds(measured))) {
            (false, _) => "no",
            (true, Some(true)) => "stretch",
            (true, _) => "must",
        };
        let stretch = stretch.map(|stretch| shown(stretch, unit)).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {contender} | {workload} | {}{what} | {} | {stretch} | {}{unit} | {met} |",
            figure.replace('_', " "),
            shown(*must, unit),
            short(measured),
        );
    }
    text
}

fn shown(bound: Bound, unit: &str) -> String {
    match bound {
        Bound::AtLeast(least) => format!("≥ {}{unit}", short(least)),
        Bound::AtMost(most) => format!("≤ {}{unit}", short(most)),
    }
}

/// With as many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::records;

    #[test]
    fn the_tables_show_the_spread_the_ratio_and_what_is_met() {
        let (ours, theirs) = (Contender::OxmqRedis, Contender::Bullmq);
        let records = records(&[
            ("W1", theirs, "jobs_per_s", 1_000.0),
            ("W1", ours, "jobs_per_s", 1_200.0),
            ("W1", ours, "jobs_per_s", 1_100.0),
            ("W1", ours, "jobs_per_s", 1_400.0),
        ]);
        let table = figures(&records, &["W1".to_owned()], &[theirs, ours]);
        let row = "| W1 | jobs per s | 1000 (1000..1000) | 1200 (1100..1400) **1.20x** |";
        assert_eq!(table.lines().nth(2), Some(row));
        let row = "| oxmq-redis | W1 | jobs per s | ≥ 1.10x | ≥ 1.30x | 1.20x | must |";
        assert_eq!(targets(&records).lines().nth(2), Some(row));
        assert_eq!(targets(&records).lines().count(), 3, "what was not measured is left out");
    }
}
