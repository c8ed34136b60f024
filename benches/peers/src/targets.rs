//! What the figures should be.

use crate::contender::Contender::{self, Bullmq, OxmqPower, OxmqRedis, OxmqSqlite};
use crate::records::Records;

/// What is compared with the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// The ratio to BullMQ's figure of the same workload.
    ToBullmq,
    /// The figure itself.
    Itself,
    /// The ratio to another figure of the same measurement.
    ToFigure(&'static str),
    /// The ratio to the same figure of another workload.
    ToWorkload(&'static str),
    /// The least over the most of all workloads whose names begin like this one's.
    LeastToMost,
}

/// Which side of a number is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) contender: Contender,
    pub(crate) workload: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) measure: Measure,
    pub(crate) must: Bound,
    pub(crate) stretch: Option<Bound>,
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl Target {
    /// What was measured for it; nothing if something for it is missing, or there was nothing to see on either side.
    pub(crate) fn measured(&self, records: &Records) -> Option<f64> {
        let median = |workload: &str, contender, figure: &str| {
            records.spread(workload, contender, figure).map(|spread| spread.median)
        };
        let own = |workload: &str| median(workload, self.contender, self.figure);
        let ratio = |over: f64| Some(own(self.workload)? / over);
        let measured = match self.measure {
            Measure::ToBullmq => ratio(median(self.workload, Bullmq, self.figure)?),
            Measure::Itself => own(self.workload),
            Measure::ToFigure(other) => ratio(median(self.workload, self.contender, other)?),
            Measure::ToWorkload(other) => ratio(own(other)?),
            Measure::LeastToMost => {
                let all: Option<Vec<f64>> = BACKLOGS.iter().map(|workload| own(workload)).collect();
                let all = all?;
                let least = all.iter().copied().min_by(f64::total_cmp)?;
                Some(least / all.iter().copied().max_by(f64::total_cmp)?)
            }
        };
        measured.filter(|measured| !measured.is_nan())
    }
}

/// The workloads of W7.
const BACKLOGS: [&str; 6] = ["W7b1k", "W7b10k", "W7b100k", "W7b1M", "W7delayed100k", "W7prio100k"];

const JOBS: &str = "jobs_per_s";
const CPU: &str = "cpu_ms_per_1000";
const SERVER: &str = "server_cpu_ms_per_1000";
const RSS: &str = "peak_rss_mib";

const fn of(
    contender: Contender,
    workload: &'static str,
    figure: &'static str,
    measure: Measure,
    must: Bound,
    stretch: Option<Bound>,
) -> Target {
    Target { contender, workload, figure, measure, must, stretch }
}

/// At least so many times BullMQ's figure.
const fn times(
    contender: Contender,
    workload: &'static str,
    figure: &'static str,
    must: f64,
    stretch: f64,
) -> Target {
    let stretch = Some(Bound::AtLeast(stretch));
    of(contender, workload, figure, Measure::ToBullmq, Bound::AtLeast(must), stretch)
}

/// At most such a part of BullMQ's figure.
const fn part(
    contender: Contender,
    workload: &'static str,
    figure: &'static str,
    must: f64,
    stretch: f64,
) -> Target {
    of(contender, workload, figure, Measure::ToBullmq, Bound::AtMost(must), Some(Bound::AtMost(stretch)))
}

/// The same without a stretch.
const fn part_only(contender: Contender, workload: &'static str, figure: &'static str, must: f64) -> Target {
    of(contender, workload, figure, Measure::ToBullmq, Bound::AtMost(must), None)
}

/// At least so many times BullMQ's jobs per second, without a stretch.
const fn times_only(contender: Contender, workload: &'static str, must: f64) -> Target {
    of(contender, workload, JOBS, Measure::ToBullmq, Bound::AtLeast(must), None)
}

/// At most this.
const fn most(contender: Contender, workload: &'static str, figure: &'static str, must: f64) -> Target {
    of(contender, workload, figure, Measure::Itself, Bound::AtMost(must), None)
}

/// At least this.
const fn least(contender: Contender, workload: &'static str, figure: &'static str, must: f64) -> Target {
    of(contender, workload, figure, Measure::Itself, Bound::AtLeast(must), None)
}

/// At least such a part of the jobs per second with a thousand waiting.
const fn flat(contender: Contender, workload: &'static str) -> Target {
    of(
        contender,
        workload,
        JOBS,
        Measure::ToWorkload("W7b1k"),
        Bound::AtLeast(0.7),
        Some(Bound::AtLeast(0.9)),
    )
}

/// With handlers that take a while.
const fn ideal(contender: Contender) -> Target {
    let stretch = Some(Bound::AtLeast(80.0));
    of(contender, "5ms", "percent_of_ideal", Measure::Itself, Bound::AtLeast(65.0), stretch)
}

/// With three times as many large jobs.
const fn bounded(contender: Contender) -> Target {
    of(contender, "1MiB", RSS, Measure::ToFigure("peak_rss_mib_few"), Bound::AtMost(1.25), None)
}

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    times(OxmqRedis, "W1", JOBS, 1.1, 1.3),
    part_only(OxmqRedis, "W1", CPU, 0.6),
    times(OxmqRedis, "W2c", JOBS, 1.9, 2.5),
    part(OxmqRedis, "W2c", SERVER, 0.55, 0.45),
    times(OxmqRedis, "W2b", JOBS, 3.5, 4.5),
    part(OxmqRedis, "W2b", SERVER, 0.5, 0.4),
    times(OxmqRedis, "W3c1", JOBS, 1.3, 1.6),
    times(OxmqRedis, "W3c10", JOBS, 1.4, 1.8),
    part_only(OxmqRedis, "W3c10", SERVER, 0.65),
    times(OxmqRedis, "W3c100", JOBS, 2.0, 2.5),
    part(OxmqRedis, "W3c100", SERVER, 0.5, 0.42),
    part(OxmqRedis, "W3c100", CPU, 0.15, 0.1),
    part(OxmqRedis, "W3c100", RSS, 0.12, 0.08),
    part(OxmqRedis, "W4", "p50_us", 0.45, 0.35),
    part_only(OxmqRedis, "W4", "p99_us", 0.4),
    part_only(OxmqRedis, "W5", "bytes_per_waiting", 1.0),
    part_only(OxmqRedis, "W5", "bytes_per_completed", 1.0),
    part_only(OxmqRedis, "W6q1", "commands_per_s", 0.2),
    part_only(OxmqRedis, "W6q1", "cpu_ms_per_s", 0.07),
    most(OxmqRedis, "W6q1", "connections", 4.0),
    part_only(OxmqRedis, "W6q50", "commands_per_s", 0.2),
    part_only(OxmqRedis, "W6q50", "cpu_ms_per_s", 0.07),
    most(OxmqRedis, "W6q50", "connections", 4.0),
    of(OxmqRedis, "W7", JOBS, Measure::LeastToMost, Bound::AtLeast(0.9), Some(Bound::AtLeast(0.95))),
    ideal(OxmqRedis),
    least(OxmqRedis, "held1k", "percent_of_without", 80.0),
    most(OxmqRedis, "bulk1M", "retry_p99_ms", 10.0),
    most(OxmqRedis, "bulk1M", "clean_p99_ms", 10.0),
    most(OxmqRedis, "bulk1M", "obliterate_p99_ms", 10.0),
    bounded(OxmqRedis),
    times(OxmqSqlite, "W1", JOBS, 2.0, 2.5),
    times(OxmqSqlite, "W2c", JOBS, 3.0, 3.5),
    times(OxmqSqlite, "W2b", JOBS, 8.0, 10.0),
    times(OxmqSqlite, "W3c1", JOBS, 1.6, 2.0),
    times(OxmqSqlite, "W3c10", JOBS, 2.0, 2.5),
    times(OxmqSqlite, "W3c100", JOBS, 3.5, 4.5),
    part(OxmqSqlite, "W4", "p50_us", 0.25, 0.15),
    most(OxmqSqlite, "W6q1", "cpu_ms_per_s", 2.0),
    most(OxmqSqlite, "W6q50", "cpu_ms_per_s", 2.0),
    flat(OxmqSqlite, "W7b10k"),
    flat(OxmqSqlite, "W7b100k"),
    flat(OxmqSqlite, "W7b1M"),
    flat(OxmqSqlite, "W7delayed100k"),
    flat(OxmqSqlite, "W7prio100k"),
    ideal(OxmqSqlite),
    least(OxmqSqlite, "held1k", "percent_of_without", 80.0),
    bounded(OxmqSqlite),
    times_only(OxmqPower, "W1", 0.7),
    times_only(OxmqPower, "W2c", 2.5),
    times_only(OxmqPower, "W2b", 8.0),
    times_only(OxmqPower, "W3c1", 0.85),
    times_only(OxmqPower, "W3c10", 1.3),
    times_only(OxmqPower, "W3c100", 3.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::records;

    #[test]
    fn a_ratio_is_that_of_the_medians_of_one_run() {
        let found = records(&[
            ("W1", OxmqRedis, JOBS, 10.0),
            ("W1", OxmqRedis, JOBS, 30.0),
            ("W1", OxmqRedis, JOBS, 12.0),
            ("W1", Bullmq, JOBS, 8.0),
            ("W2b", OxmqRedis, JOBS, 8.0),
            ("W6q1", OxmqRedis, CPU, 0.0),
            ("W6q1", Bullmq, CPU, 0.0),
        ]);
        assert_eq!(times(OxmqRedis, "W1", JOBS, 1.1, 1.3).measured(&found), Some(1.5));
        assert_eq!(times(OxmqRedis, "W2b", JOBS, 1.1, 1.3).measured(&found), None, "BullMQ was not measured");
        assert_eq!(part_only(OxmqRedis, "W6q1", CPU, 0.2).measured(&found), None, "nothing to nothing");
        assert!(Bound::AtLeast(1.3).holds(1.5) && !Bound::AtMost(1.3).holds(1.5));
    }

    #[test]
    fn a_line_is_as_flat_as_its_lowest_point() {
        let all = BACKLOGS.map(|workload| (workload, OxmqRedis, JOBS, 100.0));
        let target = of(OxmqRedis, "W7", JOBS, Measure::LeastToMost, Bound::AtLeast(0.9), None);
        assert_eq!(target.measured(&records(&all)), Some(1.0));
        let mut low = all;
        low[3].3 = 80.0;
        assert_eq!(target.measured(&records(&low)), Some(0.8));
        assert_eq!(target.measured(&records(&all[1..])), None, "not all were measured");
    }
}
