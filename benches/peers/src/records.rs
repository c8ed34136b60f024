//! All that was measured, and medians of it.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::contender::Contender;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) workload: String,
    pub(crate) contender: Contender,
    pub(crate) repetition: u32,
    pub(crate) figures: Result<Map<String, Value>>,
}

/// All measurements of a run.
#[derive(Debug, Default)]
pub(crate) struct Records {
    all: Vec<Record>,
}

/// The middle and the ends of what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Records {
    pub(crate) fn add(&mut self, record: Record) {
        self.all.push(record);
    }

    /// How many measurements came to nothing.
    pub(crate) fn failures(&self) -> usize {
        self.all.iter().filter(|record| record.figures.is_err()).count()
    }

    /// A figure over all repetitions; nothing if it was never measured.
    pub(crate) fn spread(&self, workload: &str, contender: Contender, figure: &str) -> Option<Spread> {
        let of_it = |record: &&Record| record.workload == workload && record.contender == contender;
        let value = |record: &Record| record.figures.as_ref().ok()?.get(figure)?.as_f64();
        Spread::of(self.all.iter().filter(of_it).filter_map(value).collect())
    }

    /// The names of the figures that any contender has in a workload, in the order in which they come.
    pub(crate) fn figures_of(&self, workload: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let of_it = self.all.iter().filter(|record| record.workload == workload);
        for (name, value) in of_it.filter_map(|record| record.figures.as_ref().ok()).flatten() {
            if value.is_number() && !names.contains(&&**name) {
                names.push(name);
            }
        }
        names
    }

    pub(crate) fn to_json(&self, scale: f64, aof: bool) -> Value {
        let record = |record: &Record| {
            let figures = match &record.figures {
                Ok(figures) => Value::from(figures.clone()),
                Err(error) => json!({ "error": format!("{error:#}") }),
            };
            json!({ "contender": record.contender.name(), "repetition": record.repetition, "figures": figures })
        };
        json!({ "scale": scale, "aof": aof, "records": self.all.iter().map(record).collect::<Vec<_>>() })
    }
}

impl Spread {
    /// Of an even number the median is the mean of the two in the middle.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, most })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records of these figures.
    pub(crate) fn records(figures: &[(&str, Contender, &str, f64)]) -> Records {
        let mut records = Records::default();
        for (repetition, (workload, contender, name, value)) in (0..).zip(figures) {
            let figures = Ok(Map::from_iter([((*name).to_owned(), Value::from(*value))]));
            let workload = (*workload).to_owned();
            records.add(Record { workload, contender: *contender, repetition, figures });
        }
        records
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let spread = Spread { median: 2.0, least: 1.0, most: 9.0 };
        assert_eq!(Spread::of(vec![9.0, 1.0, 2.0]), Some(spread));
        assert_eq!(Spread::of(vec![4.0, 2.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_figure_is_looked_up_by_workload_and_contender() {
        let (ours, theirs) = (Contender::OxmqRedis, Contender::Bullmq);
        let mut records = records(&[("W1", ours, "jobs_per_s", 3.0), ("W1", theirs, "jobs_per_s", 1.0)]);
        let median = |workload, contender| {
            records.spread(workload, contender, "jobs_per_s").map(|spread| spread.median)
        };
        assert_eq!(median("W1", ours), Some(3.0));
        assert_eq!((median("W1", theirs), median("W2b", ours)), (Some(1.0), None));
        let figures = Err(anyhow::anyhow!("no"));
        records.add(Record { workload: "W1".into(), contender: ours, repetition: 1, figures });
        assert_eq!((records.failures(), records.figures_of("W1")), (1, vec!["jobs_per_s"]));
        assert_eq!(records.spread("W1", ours, "jobs_per_s").map(|spread| spread.most), Some(3.0));
    }
}
