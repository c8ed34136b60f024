//! When a failed job is tried again; pure.

use std::time::Duration;

use crate::clock::millis;
use crate::options::{Backoff, Curve};

/// The longest delay before a try: an exponential curve is cut off here.
pub const BACKOFF_MAX: Duration = Duration::from_millis(1 << 40);

/// The delay before the next try, by the built-in curves; `None` for the worker's own function.
///
/// `tries` counts the tries that failed, from 1. `chance` is drawn evenly from 0 to 1 (1 excluded) and matters
/// only with jitter. The formulas are BullMQ's:
///
/// - fixed: `delay`; exponential: `2^(tries - 1) * delay`, rounded;
/// - with jitter j: `chance * m * j + m * (1 - j)`, rounded down, where m is the delay without.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "everything is between 0 and 2^40 here"
)]
pub fn backoff_delay(backoff: &Backoff, tries: u32, chance: f64) -> Option<Duration> {
    let base = millis(backoff.delay) as f64;
    let plain = match backoff.curve {
        Curve::Fixed => base,
        Curve::Exponential => {
            (base * 2_f64.powi(i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX))).round()
        }
        Curve::Custom(_) => return None,
    };
    let max = millis(BACKOFF_MAX) as f64;
    // 0 x 2^huge is not a number; a curve without a base has no delay.
    let plain = if plain.is_nan() { 0.0 } else { plain.min(max) };
    let jitter = backoff.jitter.clamp(0.0, 1.0);
    let delay = if jitter > 0.0 { (chance * plain * jitter + plain * (1.0 - jitter)).floor() } else { plain };
    Some(Duration::from_millis(delay as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(backoff: &Backoff, tries: u32, chance: f64) -> u128 {
        backoff_delay(backoff, tries, chance).unwrap().as_millis()
    }

    #[test]
    fn curves_are_bullmqs() {
        let second = Duration::from_secs(1);
        assert_eq!(ms(&Backoff::fixed(second), 3, 0.5), 1000);
        assert_eq!([1, 2, 3, 4].map(|n| ms(&Backoff::exponential(second), n, 0.5)), [1000, 2000, 4000, 8000]);
        // The recorded scenario with chance fixed at one half: floor(0.5 * 1000 * 0.5 + 1000 * 0.5).
        assert_eq!(ms(&Backoff::fixed(second).jitter(0.5), 1, 0.5), 750);
        assert_eq!(ms(&Backoff::exponential(second).jitter(1.0), 2, 0.5), 1000);
    }

    #[test]
    fn huge_curves_end_at_the_maximum() {
        assert_eq!(ms(&Backoff::exponential(Duration::from_secs(1)), u32::MAX, 0.0), 1 << 40);
        assert_eq!(ms(&Backoff::exponential(Duration::ZERO), u32::MAX, 0.0), 0);
    }
}
