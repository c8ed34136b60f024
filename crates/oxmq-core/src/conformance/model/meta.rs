//! The named fields of a queue.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EVENTS_KEPT, Model, Queue};
use crate::address::QueueAddress;
use crate::clock::millis;
use crate::store::{MetaChanged, MetaField, SetMetaRequest};

impl Model {
    /// [`Store::meta`](crate::Store::meta).
    pub fn meta(&self, queue: &QueueAddress) -> BTreeMap<String, String> {
        let Some(queue) = self.queue(queue) else { return BTreeMap::new() };
        let mut fields = queue.meta.clone();
        for field in MetaField::ALL {
            fields.extend(queue.known_field(field).map(|value| (field.as_str().to_owned(), value)));
        }
        fields
    }

    /// [`Store::set_meta`](crate::Store::set_meta).
    pub fn set_meta(&mut self, queue: &QueueAddress, request: SetMetaRequest) -> MetaChanged {
        let before = self.meta(queue);
        let own = self.queue_mut(queue);
        for (name, value) in request.set {
            match MetaField::named(&name) {
                Some(field) => own.set_known_field(field, value.parse().ok()),
                None => drop(own.meta.insert(name, value)),
            }
        }
        let between = self.meta(queue);
        let own = self.queue_mut(queue);
        for name in request.remove {
            match MetaField::named(&name) {
                Some(field) => own.set_known_field(field, None),
                None => drop(own.meta.remove(&name)),
            }
        }
        let after = self.meta(queue);
        let added = between.keys().filter(|name| !before.contains_key(*name)).count();
        let removed = between.keys().filter(|name| !after.contains_key(*name)).count();
        MetaChanged::new(added as u64, removed as u64)
    }
}

impl Queue {
    fn known_field(&self, field: MetaField) -> Option<String> {
        match field {
            MetaField::Paused => self.paused.then(|| "1".to_owned()),
            MetaField::Concurrency => self.concurrency.map(|most| most.to_string()),
            MetaField::RateMax => self.rate_max.map(|max| max.to_string()),
            MetaField::RateWindow => self.rate_window.map(|window| millis(window).to_string()),
            MetaField::EventsKept => {
                let was_added_to = self.last_number > 0;
                let kept = self.events_kept.or(was_added_to.then_some(EVENTS_KEPT));
                kept.map(|kept| kept.to_string())
            }
        }
    }

    fn set_known_field(&mut self, field: MetaField, value: Option<u64>) {
        let small = value.and_then(|value| u32::try_from(value).ok());
        match field {
            MetaField::Paused => self.paused = value.is_some(),
            MetaField::Concurrency => self.concurrency = small,
            MetaField::RateMax => self.rate_max = small,
            MetaField::RateWindow => self.rate_window = value.map(Duration::from_millis),
            MetaField::EventsKept => self.events_kept = value.and_then(|kept| usize::try_from(kept).ok()),
        }
    }
}
