//! The numbers that `H` takes: cron-parser's generator, so that both sides choose the same.

/// One number from 0 to 1 (1 excluded) per field, in this order: second, minute, hour, **month, day of month**, day of
/// week. Drawn for every field, whether it has an `H` or not.
pub(super) fn draws(seed: &str) -> [f64; 6] {
    let mut state = fnv1a(seed);
    std::array::from_fn(|_| mulberry32(&mut state))
}

/// FNV-1a with 32 bits, over the text's UTF-16 units as JavaScript has them.
fn fnv1a(text: &str) -> u32 {
    text.encode_utf16().fold(0x811c_9dc5, |hash, unit| (hash ^ u32::from(unit)).wrapping_mul(0x0100_0193))
}

/// The generator mulberry32.
fn mulberry32(state: &mut u32) -> f64 {
    *state = state.wrapping_add(0x6d2b_79f5);
    let mut mixed = (*state ^ (*state >> 15)).wrapping_mul(*state | 1);
    mixed ^= mixed.wrapping_add((mixed ^ (mixed >> 7)).wrapping_mul(mixed | 0x3d));
    f64::from(mixed ^ (mixed >> 14)) / 4_294_967_296.0
}
