//! How the Redis keys of a queue are named, and the ones that scripts are given. `lua/shared/keys.lua` is its twin.

use oxmq_core::QueueAddress;

/// What the names of a queue's own keys end with; those with a leading `*` are ours: `P::oxmq:Q:what`. Scripts know all by
/// the first two.
pub(crate) const FIXED: [&str; 21] = [
    "meta",
    "*leases",
    "id",
    "wait",
    "paused",
    "active",
    "prioritized",
    "pc",
    "delayed",
    "completed",
    "failed",
    "waiting-children",
    "marker",
    "events",
    "stalled",
    "stalled-check",
    "limiter",
    "*cancels",
    "*expiry",
    "*workers",
    "*limited",
];

/// How many of them every script declares, as each costs the server some 0.2 us a call. On a cluster all are: while their slot moves, it
/// sends a script away that declares a key which has moved, and breaks one off that turns out to use it.
const DECLARED: usize = 2;

/// The names of a queue's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
    queue: String,
    on_cluster: bool,
}

impl Keys {
    /// The keys of `address`. On a cluster a prefix without braces gets them, so that all queues under it share a
    /// slot, unless the queue's name has braces of its own.
    pub(crate) fn new(address: &QueueAddress, cluster: bool) -> Self {
        let queue = address.name().to_owned();
        let prefix = prefix_in_keys(address.prefix(), cluster && !has_tag(&queue));
        Self { prefix, queue, on_cluster: cluster }
    }

    /// `P:Q:suffix`
    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}:{}:{suffix}", self.prefix, self.queue)
    }

    /// `P:Q`, the queue's qualified name.
    pub(crate) fn qualified(&self) -> String {
        format!("{}:{}", self.prefix, self.queue)
    }

    /// `P::oxmq:Q:what`
    pub(crate) fn own(&self, what: &str) -> String {
        format!("{}::oxmq:{}:{what}", self.prefix, self.queue)
    }

    /// Appends to a command how many keys it declares, and these.
    pub(crate) fn write(&self, command: &mut redis::Cmd) {
        let declared = if self.on_cluster { &FIXED } else { &FIXED[..DECLARED] };
        command.arg(declared.len());
        for suffix in declared {
            command.arg(match suffix.strip_prefix('*') {
                Some(ours) => self.own(ours),
                None => self.key(suffix),
            });
        }
    }

    /// The prefix as it stands in keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The queue's name.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }
}

/// A prefix as it stands in keys: with braces, if they are needed.
pub(crate) fn prefix_in_keys(prefix: &str, cluster: bool) -> String {
    if cluster && !has_tag(prefix) { format!("{{{prefix}}}") } else { prefix.to_owned() }
}

/// A prefix as users name it: without the braces that [`prefix_in_keys`] adds.
pub(crate) fn prefix_of_keys(prefix: &str, cluster: bool) -> String {
    let bare = prefix.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match bare {
        Some(bare) if cluster && !bare.is_empty() && !has_tag(bare) => bare.to_owned(),
        _ => prefix.to_owned(),
    }
}

/// Whether a text has a hash tag as Redis reads it: something between the first `{` and the next `}`.
fn has_tag(text: &str) -> bool {
    text.split_once('{').and_then(|(_, rest)| rest.find('}')).is_some_and(|at| at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_puts_the_queues_of_a_prefix_into_one_slot() {
        let keys = |prefix: &str, name: &str| {
            Keys::new(&QueueAddress::with_prefix(prefix, name).unwrap_or_else(|_| unreachable!()), true)
                .key("id")
        };
        assert_eq!(keys("bull", "a"), "{bull}:a:id");
        assert_eq!(keys("{bull}", "a"), "{bull}:a:id");
        assert_eq!(keys("bull", "{a}"), "bull:{a}:id");
        assert_eq!(keys("b{}", "a"), "{b{}}:a:id");
    }
}
