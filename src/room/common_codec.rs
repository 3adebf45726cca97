//! Which codec is sent where uplinks are forwarded (pure): one that everybody can decode, for
//! nothing is encoded anew.
//!
//! | somebody takes an uplink as it is | all can H.264 | before | uplinks are to be |
//! |---|---|---|---|
//! | no | | | as each sends |
//! | yes | yes | none, H.264 | H.264: the cheaper one, in hardware on many devices |
//! | yes | no | | VP8, which every browser has |
//! | yes | yes | VP8 | VP8: to change back is worth no keyframe |

use crate::media::VideoCodec;

/// The codecs of video that somebody's client can both send and receive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// H.264, as it is forwarded: in fragments (packetization-mode 1).
    pub h264: bool,
    /// VP8.
    pub vp8: bool,
}

impl Abilities {
    /// The client has said nothing of video yet, or wants none.
    pub fn unknown(self) -> bool {
        self == Self::default()
    }
}

/// What uplinks are to be, `before` being what they were to be until now; none: as each sends.
/// Of whom nothing is known, nothing follows.
pub fn choose(
    before: Option<VideoCodec>,
    forwarding: bool,
    people: impl IntoIterator<Item = Abilities>,
) -> Option<VideoCodec> {
    if !forwarding {
        return None;
    }
    let mut known = people.into_iter().filter(|able| !able.unknown());
    let all_h264 = known.all(|able| able.h264);
    match before {
        Some(VideoCodec::Vp8) => before,
        _ if all_h264 => Some(VideoCodec::H264),
        _ => Some(VideoCodec::Vp8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VideoCodec::{H264, Vp8};

    const BOTH: Abilities = Abilities {
        h264: true,
        vp8: true,
    };
    const ONLY_VP8: Abilities = Abilities {
        h264: false,
        vp8: true,
    };
    const ONLY_H264: Abilities = Abilities {
        h264: true,
        vp8: false,
    };
    const UNKNOWN: Abilities = Abilities {
        h264: false,
        vp8: false,
    };

    #[test]
    fn the_table() {
        for (before, forwarding, people, codec) in [
            (None, false, &[][..], None),
            (None, false, &[ONLY_VP8, BOTH], None),
            (Some(Vp8), false, &[BOTH], None),
            (None, true, &[], Some(H264)),
            (None, true, &[BOTH, BOTH], Some(H264)),
            (None, true, &[BOTH, ONLY_H264], Some(H264)),
            (None, true, &[BOTH, UNKNOWN], Some(H264)),
            (None, true, &[BOTH, ONLY_VP8], Some(Vp8)),
            (None, true, &[ONLY_VP8], Some(Vp8)),
            // What one has is not what another has: who can, sends what most browsers have.
            (None, true, &[ONLY_H264, ONLY_VP8], Some(Vp8)),
            (Some(H264), true, &[BOTH, BOTH], Some(H264)),
            (Some(H264), true, &[BOTH, ONLY_VP8, BOTH], Some(Vp8)),
            (Some(Vp8), true, &[BOTH, BOTH], Some(Vp8)),
        ] {
            let chosen = choose(before, forwarding, people.iter().copied());
            assert_eq!(chosen, codec, "{before:?} {forwarding} {people:?}");
        }
    }
}
