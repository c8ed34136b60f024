//! The command line of oxmq.
fn main() {}
