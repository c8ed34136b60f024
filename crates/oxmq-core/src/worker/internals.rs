//! Pure parts that are no API, for the instruction counts in `benches/counts`: no promise holds for them.

use super::errors::HandlerError;
use super::finish::{Outcome, Policy, ending_for};
use crate::clock::Timestamp;
use crate::job::Job;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::outcome::Ending;

/// The ending of a job whose handler succeeded.
pub fn ending_of_success(job: &Job, options: &JobOptions, result: JsonText, now: Timestamp) -> Ending {
    ending_for(job, options, Outcome::Done(result), &Policy::default(), now, 0.5).ending
}

/// The ending of a job whose handler failed.
pub fn ending_of_failure(job: &Job, options: &JobOptions, error: HandlerError, now: Timestamp) -> Ending {
    ending_for(job, options, Outcome::Failed(error), &Policy::default(), now, 0.5).ending
}
