//! What transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions) says of each packet.
//! Pure.

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};

use super::delivery::Arrival;

/// The unit of a feedback's reference time, microseconds.
const REFERENCE: i64 = 64_000;

/// Reads feedback.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The reference time of the last one, without its wrapping.
    reference: Option<i64>,
}

impl Arrivals {
    /// What a feedback says of each packet that it speaks of.
    pub fn of(&mut self, feedback: &TransportLayerCc) -> Vec<(u16, Option<Arrival>)> {
        // 24 bits, of which the difference to the last is the smaller one.
        let low = i64::from(feedback.reference_time);
        let base = match self.reference {
            Some(last) => last + (((low - last) << 40) >> 40),
            None => low,
        };
        self.reference = Some(base);
        let mut at = base * REFERENCE;
        let mut deltas = feedback.recv_deltas.iter();
        let symbols = feedback.packet_chunks.iter().flat_map(|chunk| {
            let (symbol, run, list) = match chunk {
                PacketStatusChunk::RunLengthChunk(chunk) => {
                    (chunk.packet_status_symbol, chunk.run_length, &[][..])
                }
                PacketStatusChunk::StatusVectorChunk(chunk) => {
                    (SymbolTypeTcc::default(), 0, &chunk.symbol_list[..])
                }
            };
            std::iter::repeat_n(symbol, run.into()).chain(list.iter().copied())
        });
        let symbols = symbols.take(feedback.packet_status_count.into());
        let first = feedback.base_sequence_number;
        let told = symbols.enumerate().filter_map(|(n, symbol)| {
            let number = first.wrapping_add(n as u16);
            match symbol {
                SymbolTypeTcc::PacketNotReceived => Some((number, None)),
                SymbolTypeTcc::PacketReceivedSmallDelta
                | SymbolTypeTcc::PacketReceivedLargeDelta => {
                    at += deltas.next()?.delta;
                    Some((number, Some(at)))
                }
                // It arrived, nobody says when.
                SymbolTypeTcc::PacketReceivedWithoutDelta => None,
            }
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        RecvDelta, RunLengthChunk, StatusVectorChunk,
    };

    use super::*;

    fn delta(delta: i64) -> RecvDelta {
        RecvDelta {
            delta,
            ..Default::default()
        }
    }

    #[test]
    fn feedback_is_read_packet_by_packet() {
        use SymbolTypeTcc as Symbol;
        let lost = StatusVectorChunk {
            symbol_list: vec![
                Symbol::PacketNotReceived,
                Symbol::PacketReceivedLargeDelta,
                // Past the count: filler of the chunk.
                Symbol::PacketReceivedSmallDelta,
            ],
            ..Default::default()
        };
        let two = RunLengthChunk {
            packet_status_symbol: Symbol::PacketReceivedSmallDelta,
            run_length: 2,
            ..Default::default()
        };
        let mut feedback = TransportLayerCc {
            base_sequence_number: u16::MAX,
            packet_status_count: 4,
            reference_time: 0xff_ffff,
            packet_chunks: vec![
                PacketStatusChunk::RunLengthChunk(two),
                PacketStatusChunk::StatusVectorChunk(lost),
            ],
            recv_deltas: vec![delta(250), delta(500), delta(-1_000)],
            ..Default::default()
        };
        let (mut arrivals, first) = (Arrivals::default(), 0xff_ffff * 64_000);
        let expected = [
            (u16::MAX, Some(first + 250)),
            (0, Some(first + 750)),
            (1, None),
            (2, Some(first - 250)),
        ];
        assert_eq!(arrivals.of(&feedback), expected);
        // The reference wraps, and may go back a little.
        for (low, passed) in [(1, 2), (0xff_fffe, -1), (5, 6)] {
            feedback.reference_time = low;
            let told = arrivals.of(&feedback);
            assert_eq!(told[0].1, Some(first + passed * 64_000 + 250), "{low}");
        }
    }
}
