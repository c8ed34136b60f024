//! oxmq-sqlite
