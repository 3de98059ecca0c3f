//! Seeded random runs over the pure state machines, with a model of the world around them and invariants that are
//! checked after every step. A failure names its seed; `SIMULATION_SEED=N` runs that one alone,
//! `SIMULATION_RUNS=N` so many of them.
#![allow(clippy::unwrap_used)]

mod process;
mod random;
mod route;
