//! Whole streams, from records to subscribers, against what a query over the same rows gives.

pub(crate) mod faulty_disk;
mod kill;
mod running;
mod simulation;
mod stream;
mod subscriptions;
mod views;
