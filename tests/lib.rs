//! Behaviour tests of Lakeward live in `it/`.
