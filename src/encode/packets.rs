//! From a payloader's RTP packets to the payloads of one picture.

use std::ops::Range;

use bytes::Bytes;
use gstreamer::BufferRef;
use gstreamer::glib::BoolError;
use gstreamer_rtp::RTPBuffer;

/// The packets of one picture: a payloader may hand them on in several lists.
#[derive(Default)]
pub(super) struct AccessUnit {
    bytes: Vec<u8>,
    payloads: Vec<Range<usize>>,
}

impl AccessUnit {
    /// Adds a packet; answers whether it was the picture's last, by its marker bit.
    pub fn take(&mut self, packet: &BufferRef) -> Result<bool, BoolError> {
        let packet = RTPBuffer::from_buffer_readable(packet)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet.payload()?);
        self.payloads.push(start..self.bytes.len());
        Ok(packet.is_marker())
    }

    /// The payloads of the whole picture, in one piece of memory.
    pub fn payloads(&mut self) -> Vec<Bytes> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        self.payloads.drain(..).map(|r| bytes.slice(r)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(header: &[u8], payload: &[u8]) -> gstreamer::Buffer {
        crate::gst::init().unwrap();
        gstreamer::Buffer::from_slice([header, &[0; 10], payload].concat())
    }

    #[test]
    fn headers_and_extensions_go_and_the_marker_ends_a_picture() {
        let mut unit = AccessUnit::default();
        assert!(!unit.take(&packet(&[0x80, 96], b"one")).unwrap());
        // One contributing source and an extension of one word.
        let extended = [&[0; 4][..], &[0xbe, 0xde, 0, 1, 0, 0, 0, 0], b"two"].concat();
        assert!(unit.take(&packet(&[0x91, 96 | 0x80], &extended)).unwrap());
        assert_eq!(unit.payloads(), ["one", "two"]);
        assert!(unit.take(&packet(&[0x80, 96 | 0x80], b"next")).unwrap());
        assert_eq!(unit.payloads(), ["next"]);
    }

    #[test]
    fn what_is_no_rtp_is_an_error() {
        assert!(
            AccessUnit::default()
                .take(&packet(&[0x00, 96], b"x"))
                .is_err()
        );
    }
}
