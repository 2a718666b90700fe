//! Benchmarks of Lakeward: see `scenarios/`.
