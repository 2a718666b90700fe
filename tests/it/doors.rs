//! What clients do wrong, on purpose or not, at both doors: each gets the right SQLSTATE, and the server lives on.

mod flight;
mod hold;
mod messages;
mod packets;
mod peers;
pub mod raw;
