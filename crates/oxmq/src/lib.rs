//! oxmq
