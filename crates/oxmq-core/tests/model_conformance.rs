//! The behaviour suite on the reference model: proves that a correct store passes it.

use std::sync::Arc;

use oxmq_core::conformance::ModelStore;

oxmq_core::conformance!(model, Arc::new(ModelStore::new()));
