//! From the RTP packets of one track to pictures and sound.
//!
//! ```text
//! push ▸ input ▸ [ jitter buffer ▸ depayloader ▸ size guard ▸ decoder ] ▸ video::Frames ▸ tick
//! push ▸ input ▸ [ jitter buffer ] ▸ libopus ▸ audio::Samples ▸ tick
//! ```
//!
//! - [`video`], [`audio`]: a decoder each, and the queue from which the mixer's tick takes.
//! - [`sync`]: what joins the two tracks of a participant: lip sync by sender reports.
//! - `track`: the life of a pipeline, the same for both: failures, stalls, restarts.
//! - `input`: packets into a jitter buffer, and what is put right behind it.
//! - `source`, `vitals`, `unwrap`: pure helpers of these.
//!
//! Every track has a pipeline of its own. Nothing here waits for anybody: pushing only queues,
//! and the tick takes what is there.

pub mod audio;
pub mod sync;
pub mod video;

mod input;
mod source;
mod track;
mod unwrap;
mod vitals;

#[cfg(test)]
mod testing;
