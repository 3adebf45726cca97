//! What whoever runs the server is told of a room, beside what everybody is.

use crate::id::ParticipantId;
use crate::media::{Layout, Size, VideoCodec};

/// An encoder of pictures, and who shares it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Encoder {
    /// How it encodes.
    pub codec: VideoCodec,
    /// Of its pictures, in pixels.
    pub size: Size,
    /// How they are arranged.
    pub layout: Layout,
    /// Who is left out of them; nobody: it is the common mix.
    pub without: Option<ParticipantId>,
    /// Who gets them.
    pub people: Vec<ParticipantId>,
    /// How many recordings and streams do.
    pub outputs: usize,
}

/// A room from inside.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Inside {
    /// The encoders of pictures.
    pub encoders: Vec<Encoder>,
    /// Whose chat goes by a data channel.
    pub channels: Vec<ParticipantId>,
    /// How many wait to be let in.
    pub waiting: usize,
}
