//! Behaviour tests of Lakeward live in `it/`. Here is what they share with the benchmarks.
#![allow(clippy::disallowed_methods)]

pub mod local_engine;
