//! The quantities by which topologies are compared: what each is called, which way is better, and
//! how much of a difference is worth a word.

use serde::Serialize;

use super::figures::Row;

/// Something of a row that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Streams sent by each client.
    Uplinks,
    /// Streams received by each client.
    Downlinks,
    /// Sent by each client.
    ClientKbpsUp,
    /// Received by each client.
    ClientKbpsDown,
    /// Of a bulk client.
    ClientCoresBulk,
    /// Of a browser.
    ClientCoresChromium,
    /// Of the server.
    ServerCores,
    /// Received by the server.
    ServerKbpsIn,
    /// Sent by the server.
    ServerKbpsOut,
    /// The median.
    LatencyP50Ms,
    /// The 95th percentile.
    LatencyP95Ms,
    /// Of a tile.
    Ssim,
}

/// What is known of a quantity before it is measured.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// As in JSON and CSV.
    pub key: &'static str,
    /// As a heading.
    pub title: &'static str,
    /// In the middle of a sentence.
    pub name: &'static str,
    /// Behind a number; empty where it is a bare number.
    pub unit: &'static str,
    /// What exactly was measured.
    pub how: &'static str,
    /// More is better.
    pub more_is_better: bool,
    /// It is counted, not measured: it has no noise, and one round is enough.
    pub counted: bool,
    /// Digits after the point.
    pub digits: usize,
    /// Smaller differences are none, whatever the spread.
    pub worth: f64,
}

impl Quantity {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Uplinks,
        Self::Downlinks,
        Self::ClientKbpsUp,
        Self::ClientKbpsDown,
        Self::ClientCoresChromium,
        Self::ClientCoresBulk,
        Self::ServerCores,
        Self::ServerKbpsIn,
        Self::ServerKbpsOut,
        Self::LatencyP50Ms,
        Self::LatencyP95Ms,
        Self::Ssim,
    ];

    /// What it is.
    pub fn about(self) -> About {
        let less = |key, title, name, unit, how| About {
            key,
            title,
            name,
            unit,
            how,
            more_is_better: false,
            counted: false,
            digits: 0,
            worth: 0.0,
        };
        let counted = |about| About {
            counted: true,
            ..about
        };
        let cores = |about| About {
            digits: 3,
            worth: 0.01,
            ..about
        };
        let kbps = |about| About {
            worth: 10.0,
            ..about
        };
        // A tenth of a frame at 20 pictures a second: the clocks of two runs begin anywhere in one.
        let millis = |about| About {
            worth: 5.0,
            ..about
        };
        match self {
            Self::Uplinks => counted(less(
                "uplinks",
                "Uplinks of each client",
                "the number of uplinks",
                "streams",
                "Video streams that a client sends, each to another destination. The layers of one \
                 simulcast are one stream.",
            )),
            Self::Downlinks => counted(less(
                "downlinks",
                "Downlinks of each client",
                "the number of downlinks",
                "streams",
                "Video streams that a client receives.",
            )),
            Self::ClientKbpsUp => kbps(less(
                "client_kbps_up",
                "What each client sends",
                "what a client sends",
                "kbit/s",
                "1000 bits a second that a client sends, all streams together.",
            )),
            Self::ClientKbpsDown => kbps(less(
                "client_kbps_down",
                "What each client receives",
                "what a client receives",
                "kbit/s",
                "1000 bits a second that a client receives, all streams together.",
            )),
            Self::ClientCoresChromium => cores(less(
                "client_cores_chromium",
                "CPU of each client (Chromium)",
                "a browser\u{2019}s CPU",
                "cores",
                "Cores of this machine that a real Chromium with the meeting\u{2019}s page keeps \
                 busy: it encodes, decodes and shows.",
            )),
            // A few packets' work is a tenth of what the others do.
            Self::ClientCoresBulk => About {
                worth: 0.002,
                ..cores(less(
                    "client_cores_bulk",
                    "CPU of each client (bulk client)",
                    "a bulk client\u{2019}s CPU",
                    "cores",
                    "Cores of this machine that a bulk client keeps busy. It sends what was encoded \
                 beforehand and shows nothing, so this is the cost of packets alone.",
                ))
            },
            Self::ServerCores => cores(less(
                "server_cores",
                "CPU of the server",
                "the server\u{2019}s CPU",
                "cores",
                "Cores of this machine that the server keeps busy for the whole meeting.",
            )),
            Self::ServerKbpsIn => kbps(less(
                "server_kbps_in",
                "What the server receives",
                "what the server receives",
                "kbit/s",
                "1000 bits a second that the server receives, the whole meeting together.",
            )),
            Self::ServerKbpsOut => kbps(less(
                "server_kbps_out",
                "What the server sends",
                "what the server sends",
                "kbit/s",
                "1000 bits a second that the server sends, the whole meeting together.",
            )),
            Self::LatencyP50Ms => millis(less(
                "latency_p50_ms",
                "Latency, median",
                "the median latency",
                "ms",
                "From the moment a sender hands a picture to its client to the moment the receiver \
                 has decoded it, on this machine: there is no network in it.",
            )),
            Self::LatencyP95Ms => millis(less(
                "latency_p95_ms",
                "Latency, 95th percentile",
                "the 95th percentile of the latency",
                "ms",
                "From the moment a sender hands a picture to its client to the moment the receiver \
                 has decoded it, on this machine: there is no network in it. One picture in twenty \
                 takes longer.",
            )),
            Self::Ssim => About {
                more_is_better: true,
                digits: 3,
                // What `quilt bench` allows between two mixes that count as equally good.
                worth: 0.005,
                ..less(
                    "ssim",
                    "Picture quality of a tile",
                    "the picture quality of a tile",
                    "",
                    "How true a tile is to what its sender\u{2019}s camera saw: SSIM of luma, where \
                     1 is the same. Encoding once more loses some.",
                )
            },
        }
    }

    /// What a row has of it; `None` if it was not measured. What cannot be a measured value counts
    /// as none.
    pub fn of(self, row: &Row) -> Option<f64> {
        let value = match self {
            Self::Uplinks => row.uplinks,
            Self::Downlinks => row.downlinks,
            Self::ClientKbpsUp => row.client_kbps_up,
            Self::ClientKbpsDown => row.client_kbps_down,
            Self::ClientCoresBulk => row.client_cores_bulk,
            Self::ClientCoresChromium => row.client_cores_chromium,
            Self::ServerCores => row.server_cores,
            Self::ServerKbpsIn => row.server_kbps_in,
            Self::ServerKbpsOut => row.server_kbps_out,
            Self::LatencyP50Ms => row.latency_p50_ms,
            Self::LatencyP95Ms => row.latency_p95_ms,
            Self::Ssim => row.ssim,
        };
        value.filter(|value| value.is_finite() && *value >= 0.0)
    }

    /// A value of it for people, without its unit.
    pub fn number(self, value: f64) -> String {
        let About {
            digits, counted, ..
        } = self.about();
        // The mean of a hybrid's clients may lie between two counts.
        let digits = match counted && value.fract() != 0.0 {
            true => 1,
            false => digits,
        };
        // Three digits tell apart what is small; of what is large they are noise.
        let digits = match (digits, value) {
            (3, 1.0..) if self != Self::Ssim => 2,
            (digits, _) => digits,
        };
        grouped(&format!("{value:.digits$}"))
    }

    /// The same with its unit.
    pub fn amount(self, value: f64) -> String {
        let number = self.number(value);
        match self.about().unit {
            "" => number,
            // One of them is no plural.
            "streams" if number == "1" => "1 stream".into(),
            "cores" if value == 1.0 => "1 core".into(),
            unit => format!("{number} {unit}"),
        }
    }

    /// A limit that somebody set: all of its digits count.
    pub fn limit(self, value: f64) -> String {
        match self.about().unit {
            "cores" if value == 1.0 => "1 core".into(),
            unit => format!("{} {unit}", grouped(&value.to_string())),
        }
    }
}

/// Puts commas between thousands.
pub fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left.is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Topology;

    #[test]
    fn every_quantity_is_shown_once_under_a_name_of_its_own() {
        let mut keys: Vec<_> = Quantity::ALL.map(|q| q.about().key).to_vec();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Quantity::ALL.len());
        for quantity in Quantity::ALL {
            let json = serde_json::to_value(quantity).expect("a name");
            assert_eq!(json, quantity.about().key);
        }
    }

    #[test]
    fn a_row_has_what_its_field_of_that_name_has_and_nothing_that_is_no_figure() {
        let empty = Row::new(Topology::Mesh, 2, 1);
        for quantity in Quantity::ALL {
            assert_eq!(quantity.of(&empty), None);
            let with = |value: f64| {
                let mut json = serde_json::to_value(&empty).expect("a row");
                json[quantity.about().key] = value.into();
                quantity.of(&serde_json::from_value(json).expect("a row"))
            };
            assert_eq!(with(0.0), Some(0.0), "measured, and nothing");
            assert_eq!(with(2.5), Some(2.5));
            assert_eq!(with(-1.0), None);
        }
        let row = Row {
            ssim: Some(f64::NAN),
            ..empty
        };
        assert_eq!(Quantity::Ssim.of(&row), None);
    }

    #[test]
    fn numbers_for_people() {
        for (quantity, value, text) in [
            (Quantity::Uplinks, 1.0, "1 stream"),
            (Quantity::Uplinks, 9.0, "9 streams"),
            (Quantity::Downlinks, 1.5, "1.5 streams"),
            (Quantity::ServerKbpsOut, 1_234_567.8, "1,234,568 kbit/s"),
            (Quantity::ClientKbpsUp, 999.4, "999 kbit/s"),
            (Quantity::ServerCores, 0.0314, "0.031 cores"),
            (Quantity::ServerCores, 1.2345, "1.23 cores"),
            (Quantity::Ssim, 1.0, "1.000"),
            (Quantity::LatencyP95Ms, 0.0, "0 ms"),
        ] {
            assert_eq!(quantity.amount(value), text);
        }
    }
}
