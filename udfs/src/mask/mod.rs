//! The masks of SQL: `mask_null`, `mask_alphanum`, `mask_show_last`, `mask_show_first`, `mask_partial`, `mask_hash`, and `hmac_token`.
//!
//! Invariant: each keeps the type of its first argument.

mod alphanum;
mod hash;
mod null;
mod partial;
mod show;

pub(crate) use alphanum::MaskAlphanum;
pub(crate) use hash::{MaskHash, NAME as HASH, TOKEN};
pub(crate) use null::MaskNull;
pub(crate) use partial::MaskPartial;
pub(crate) use show::MaskShow;
