//! Rooms: who is in, who is seen where, which mixes exist and who listens to which.
//!
//! [`state`] decides and is pure; [`actor`] is the one task that owns a room, carries its
//! decisions out on [`wiring`] (decoders, mixes, encoders) and speaks to its [`member`]s;
//! [`registry`] finds rooms by name.

pub mod actor;
pub mod member;
pub mod mixes;
pub mod registry;
pub mod state;
pub mod tilemap;
pub mod uplink;
pub mod wiring;
