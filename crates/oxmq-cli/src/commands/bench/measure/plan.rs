//! The workloads and their sizes.

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    AddSingle,
    AddConcurrent,
    AddBulk,
    Process { concurrency: usize },
    Latency,
    Memory,
    Idle { queues: u64 },
    Backlog { beside: Beside },
    Slow { work_ms: u64 },
    Held { jobs: u64 },
    Steer,
    Large { pad: u64 },
}

/// What else is in the queue of a backlog.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Beside {
    Nothing,
    /// The same and nearly half as many again, delayed by an hour.
    Delayed(u64),
    /// Nothing, but the jobs have priorities from 1 to this.
    Priorities(u32),
}

/// A workload of the definitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its number of jobs.
    n: u64,
}

impl Workload {
    const fn new(name: &'static str, kind: Kind, n: u64) -> Self {
        Self { name, kind, n }
    }

    /// Whether a name on the command line means it: its own, or the beginning of it, if that is not the name of another.
    pub(super) fn is_meant_by(&self, name: &str) -> bool {
        let is_another = || WORKLOADS.iter().any(|other| other.name == name);
        name == "all"
            || name == self.name
            || (!name.is_empty() && self.name.starts_with(name) && !is_another())
    }
}

pub(super) const WORKLOADS: [Workload; 20] = [
    Workload::new("W1", Kind::AddSingle, 30_000),
    Workload::new("W2c", Kind::AddConcurrent, 80_000),
    Workload::new("W2b", Kind::AddBulk, 120_000),
    Workload::new("W3c1", Kind::Process { concurrency: 1 }, 30_000),
    Workload::new("W3c10", Kind::Process { concurrency: 10 }, 50_000),
    Workload::new("W3c100", Kind::Process { concurrency: 100 }, 60_000),
    Workload::new("W4", Kind::Latency, 200),
    Workload::new("W5", Kind::Memory, 100_000),
    Workload::new("W6q1", Kind::Idle { queues: 1 }, 0),
    Workload::new("W6q50", Kind::Idle { queues: 50 }, 0),
    Workload::new("W7b1k", Kind::Backlog { beside: Beside::Nothing }, 1_000),
    Workload::new("W7b10k", Kind::Backlog { beside: Beside::Nothing }, 10_000),
    Workload::new("W7b100k", Kind::Backlog { beside: Beside::Nothing }, 100_000),
    Workload::new("W7b1M", Kind::Backlog { beside: Beside::Nothing }, 1_000_000),
    Workload::new("W7delayed100k", Kind::Backlog { beside: Beside::Delayed(100_000) }, 70_000),
    Workload::new("W7prio100k", Kind::Backlog { beside: Beside::Priorities(10) }, 100_000),
    Workload::new("5ms", Kind::Slow { work_ms: 5 }, 60_000),
    Workload::new("held1k", Kind::Held { jobs: 1_000 }, 200_000),
    Workload::new("bulk1M", Kind::Steer, 1_000_000),
    // With the rest of the payload, just what a job's data may have by default.
    Workload::new("1MiB", Kind::Large { pad: (1 << 20) - 64 }, 600),
];

/// A workload, with its size of this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) workload: &'static Workload,
    /// By what all numbers of the definition are multiplied.
    factor: f64,
}

impl Plan {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(super) fn new(workload: &'static Workload, n: Option<u64>, scale: f64) -> Self {
        let factor = match (n, workload.kind) {
            // It takes 2 s as it is.
            (None, Kind::Latency) => 1.0,
            (None, _) | (_, Kind::Idle { .. }) => scale,
            (Some(n), _) => n as f64 / workload.n as f64,
        };
        Self { workload, factor }
    }

    /// How many jobs.
    pub(super) fn n(&self) -> u64 {
        if self.workload.n == 0 { 0 } else { self.sized(self.workload.n) }
    }

    /// A number of the definition, in the size of this time.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^53"
    )]
    pub(super) fn sized(&self, number: u64) -> u64 {
        ((number as f64 * self.factor).round() as u64).max(1)
    }

    /// Whether the numbers are those of the definitions, or more.
    pub(super) fn is_full(&self) -> bool {
        self.factor >= 1.0
    }

    /// The queues that it leaves behind.
    pub(super) fn queues(&self, name: &str) -> Vec<String> {
        match self.workload.kind {
            Kind::Idle { queues } if queues > 1 => {
                (0..queues).map(|index| format!("{name}-{index}")).collect()
            }
            _ => vec![name.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_scale_or_the_number_of_jobs() {
        let w7 = WORKLOADS.iter().find(|workload| workload.name == "W7b1M").unwrap();
        let plan = Plan::new(w7, None, 0.1);
        assert_eq!((plan.n(), plan.sized(20_000), plan.is_full()), (100_000, 2_000, false));
        let plan = Plan::new(w7, Some(500), 0.1);
        assert_eq!((plan.n(), plan.sized(20_000)), (500, 10));
        assert!(Plan::new(w7, None, 1.0).is_full());
        let w4 = WORKLOADS.iter().find(|workload| workload.kind == Kind::Latency).unwrap();
        assert_eq!(Plan::new(w4, None, 0.1).n(), 200);
    }

    #[test]
    fn a_beginning_means_all_that_begin_so() {
        let meant = |name: &str| WORKLOADS.iter().filter(|workload| workload.is_meant_by(name)).count();
        assert_eq!(
            (meant("W3"), meant("W3c1"), meant("all"), meant(""), meant("W9")),
            (3, 1, WORKLOADS.len(), 0, 0)
        );
    }
}
