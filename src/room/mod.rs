//! Rooms: who is in, who is seen where, which mixes exist and who listens to which.
//!
//! [`state`] decides and is pure, with [`speaker`] (who speaks) and [`stage`] (who is shown)
//! under it and [`event`] for its words; [`actor`] is the one task that owns a room, carries its
//! decisions out on [`wiring`] (decoders, mixes, encoders) and speaks to its [`member`]s;
//! [`registry`] finds rooms by name. What people say beside the picture is [`talk`]'s, and who may
//! say and do what is [`floor`]'s; both are pure, too. [`codecs`] chooses at start who encodes and
//! decodes. What listens without being in is an [`output`]. How good the connections are is
//! [`links`]'s to say. Who wants in and has to be let is [`waiting`]; what the operator sees of a
//! room is [`inspect`]'s. [`foresee`] says what a room will have to do and [`cost`] what that costs,
//! before somebody is let in; [`load`] watches the processor, and [`budget`] is what a room does
//! without for it; [`demand`] is what senders are asked for. Which way the media goes is
//! [`topology`]'s to say, what is sent where it is forwarded [`common_codec`]'s, who gets which copy
//! of it then [`layers`]', and what the meeting costs while it runs [`running`]'s.

pub mod activity;
pub mod actor;
pub mod arrange;
pub mod budget;
pub mod codecs;
pub mod common_codec;
pub mod cost;
pub mod demand;
pub mod event;
pub mod floor;
pub mod foresee;
pub mod forward;
pub mod inspect;
pub mod layers;
pub mod links;
pub mod load;
pub mod member;
pub mod mixes;
mod names;
pub mod output;
pub mod registry;
pub mod running;
pub mod sign;
pub mod speaker;
pub mod stage;
pub mod state;
pub mod talk;
pub mod tier;
pub mod tilemap;
pub mod topology;
pub mod uplink;
pub mod waiting;
pub mod wiring;
