//! Behaviour tests: a real server, real clients, and what a user sees.
//!
//! `scripts/test` installs the peers and names them in the environment; a missing one fails.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod audit;
mod authorization;
mod blocks;
mod catalog_views;
mod commits;
mod compatibility;
mod contract;
mod copy;
mod crash;
mod cursors;
mod delta;
mod derived;
mod doors;
mod errors;
mod escalation;
mod features;
mod flight_jdbc;
mod flight_sql;
mod glass;
mod grants;
mod harness;
mod leaks;
mod lifecycle;
mod limits;
mod login;
mod mappings;
mod nested_masks;
mod nodes;
mod non_interference;
mod notes;
mod notices;
mod overload;
mod peers;
mod policies;
mod policy_tests;
mod protocol;
mod ranger;
mod roles;
mod row_security;
mod s3;
mod seeing;
mod sessions;
mod shadow;
mod slt;
mod tags;
mod types;
