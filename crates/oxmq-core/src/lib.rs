//! oxmq-core
