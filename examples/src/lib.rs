//! A tutorial in numbered programs; they lie beside this folder. `cargo run -p oxmq-examples --example 01_add_and_work`
