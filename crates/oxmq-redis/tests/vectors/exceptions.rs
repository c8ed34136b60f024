//! Where the store differs from the recordings, on purpose: exactly these differences must be found.

/// Which scenario, which step, which lines, and why.
pub type Exception = (&'static str, &'static str, &'static [&'static str], &'static str);

pub const EXCEPTIONS: &[Exception] = &[];
