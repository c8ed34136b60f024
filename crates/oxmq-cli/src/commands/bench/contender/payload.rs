//! The one form of payload that all workloads have.

use oxmq::JsonText;
use serde::Deserialize;

use super::super::clock::monotonic_ns;

/// `{"t": <ns>, "pad": "xxx.."}`: when it was added, and padding.
#[derive(Debug)]
pub(super) struct Payloads {
    pad: String,
}

/// What a worker reads of it.
#[derive(Debug, Deserialize)]
pub(super) struct Stamped {
    pub(super) t: u64,
}

impl Payloads {
    pub(super) fn padded(characters: u64) -> anyhow::Result<Self> {
        Ok(Self { pad: "x".repeat(usize::try_from(characters)?) })
    }

    /// The payload of a job that is added now.
    pub(super) fn now(&self) -> JsonText {
        JsonText::stored(format!("{{\"t\":{},\"pad\":\"{}\"}}", monotonic_ns(), self.pad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_about_a_hundred_bytes_of_json() {
        let payload = Payloads::padded(62).unwrap().now();
        assert!((85..=115).contains(&payload.as_str().len()), "{payload}");
        assert!(payload.read::<Stamped>().unwrap().t > 0);
    }
}
