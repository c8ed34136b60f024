//! What was measured, as JSON and as a row of the table.

use serde_json::{Map, Value};

use super::super::clock::rounded;

/// The columns of the table.
pub(super) const HEADER: [&str; 9] =
    ["workload", "jobs", "jobs/s", "p50 µs", "p99 µs", "CPU", "server CPU", "memory MiB", "besides"];

/// The fields that have columns of their own, after the name.
const COLUMNS: [&str; 7] =
    ["n", "jobs_per_s", "p50_us", "p99_us", "cpu_ms_per_1000", "server_cpu_ms_per_1000", "peak_rss_mib"];

/// Fields that the table does not show.
const HIDDEN: [&str; 5] = ["workload", "program", "store", "seconds", "p90_us"];

/// The figures of one measurement.
#[derive(Debug)]
pub(super) struct Figures {
    fields: Map<String, Value>,
}

impl Figures {
    pub(super) fn of(workload: &str, program: &str, store: &str, n: u64) -> Self {
        let fields = [
            ("workload", Value::from(workload)),
            ("program", program.into()),
            ("store", store.into()),
            ("n", n.into()),
        ];
        Self { fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }

    /// A figure; nothing if it is not known.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.fields.insert(name.to_owned(), rounded(value, 4).into());
        }
    }

    /// Figures that a part gave itself.
    pub(super) fn copy(&mut self, names: &[&str], from: &Map<String, Value>) {
        for name in names {
            self.set(name, from.get(*name).and_then(Value::as_f64));
        }
    }

    pub(super) fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The row of the table.
    pub(super) fn row(&self) -> Vec<String> {
        let text = |name: &str| self.fields.get(name).map(shown);
        let mut row = vec![text("workload").unwrap_or_default()];
        row.extend(COLUMNS.iter().map(|name| text(name).unwrap_or_default()));
        let is_besides = |name: &str| !COLUMNS.contains(&name) && !HIDDEN.contains(&name);
        let besides = self.fields.iter().filter(|(name, _)| is_besides(name));
        let besides: Vec<_> =
            besides.map(|(name, value)| format!("{} {}", name.replace('_', " "), shown(value))).collect();
        row.push(besides.join(", "));
        row
    }
}

/// A figure for people: with as many digits as say something.
fn shown(value: &Value) -> String {
    match (value, value.as_f64()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(number)) if number.abs() >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        (_, Some(number)) if number.abs() >= 10.0 => format!("{number:.1}"),
        (_, Some(number)) => format!("{number:.2}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_all_figures_and_nothing_where_there_is_none() {
        let mut figures = Figures::of("W1", "oxmq", "redis", 10);
        figures.set("jobs_per_s", 1234.56);
        figures.set("cpu_ms_per_1000", 12.34);
        figures.set("peak_rss_mib", None);
        figures.set("commands_per_s", 1.234);
        let row = figures.row();
        assert_eq!(row, ["W1", "10", "1235", "", "", "12.3", "", "", "commands per s 1.23"]);
        assert_eq!(row.len(), HEADER.len());
    }
}
