//! One connection to an RTMP server.

use std::future::pending;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, interval, timeout_at};

use crate::clock::{self, MediaTime};
use crate::encode::aac;
use crate::media::SharedPicture;
use crate::package::avc::{self, Parameters};
use crate::package::flv;
use crate::stream::programme::{InOrder, Piece, Programme};
use crate::stream::push::allowed::Allowed;
use crate::stream::push::connect::{self, PATIENCE};
use crate::stream::push::progress::{LOOK, Progress};
use crate::stream::push::target::Target;
use crate::stream::push::{Broken, News};
use crate::stream::rtmp::amf::Value;
use crate::stream::rtmp::publisher::{self, Publisher};
use crate::trust::{self, Link};

/// Bytes that wait for a receiver that is slow: beyond, pictures are left out ...
const CROWDED: usize = 2 * 1024 * 1024;
/// ... until it is at the next keyframe with at most so many.
const CLEAR: usize = 256 * 1024;

/// Connects, and answers once pictures and sound may be sent.
pub async fn open(
    target: &Target,
    tls: bool,
    stream: &publisher::Target,
    allowed: &Allowed,
) -> Result<Connection, Broken> {
    let addresses = connect::addresses(&target.host, target.port, allowed).await?;
    let tcp = connect::tcp(&addresses).await?;
    let link: Box<dyn Link> = match tls {
        true => {
            let trusted = trust::trusted().map_err(connect::Error::from)?;
            let link = trust::tls(tcp, &target.host, trusted).await;
            Box::new(link.map_err(connect::Error::from)?)
        }
        false => Box::new(tcp),
    };
    let random = std::array::from_fn(|_| rand::random());
    let mut connection = Connection {
        link,
        publisher: Publisher::new(stream.clone(), &random),
    };
    let deadline = Instant::now() + PATIENCE;
    let shaken = timeout_at(deadline, connection.shake()).await;
    shaken.map_err(|_| Broken::Silent)??;
    Ok(connection)
}

/// A connection that the server expects a stream on.
pub struct Connection {
    link: Box<dyn Link>,
    publisher: Publisher,
}

impl Connection {
    async fn shake(&mut self) -> Result<(), Broken> {
        let mut bytes = [0; 4096];
        while !self.publisher.is_live() {
            self.link.write_all(&self.publisher.output()).await?;
            self.link.flush().await?;
            let count = self.link.read(&mut bytes).await?;
            if count == 0 {
                return Err(Broken::Closed);
            }
            take(&mut self.publisher, &bytes[..count])?;
        }
        Ok(())
    }

    /// Sends a programme until something ends it.
    pub async fn send(
        self,
        programme: &mut Programme,
        dropped: &(dyn Fn(u64) + Sync),
        tell: &(dyn Fn(News) + Sync),
    ) -> Broken {
        match self.stream(programme, dropped, tell).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn stream(
        self,
        programme: &mut Programme,
        dropped: &(dyn Fn(u64) + Sync),
        tell: &(dyn Fn(News) + Sync),
    ) -> Result<std::convert::Infallible, Broken> {
        let (mut reader, mut writer) = tokio::io::split(self.link);
        let mut publisher = self.publisher;
        let mut order = InOrder::default();
        let mut line = Line::default();
        let mut waiting = BytesMut::new();
        let mut bytes = [0; 4096];
        let mut sent = 0;
        let mut progress = Progress::new(clock::now());
        let mut look = interval(LOOK);
        tell(News::Live);
        loop {
            let writing = async {
                match waiting.is_empty() {
                    true => pending().await,
                    false => writer.write(&waiting).await,
                }
            };
            tokio::select! {
                written = writing => match written? {
                    0 => return Err(Broken::Closed),
                    count => {
                        waiting.advance(count);
                        sent += count as u64;
                        if waiting.is_empty() {
                            // TLS keeps records back.
                            writer.flush().await?;
                        }
                    }
                },
                count = reader.read(&mut bytes) => match count? {
                    0 => return Err(Broken::Closed),
                    count => take(&mut publisher, &bytes[..count])?,
                },
                piece = programme.next() => for piece in order.put(piece?) {
                    match piece {
                        Piece::Picture(picture) => {
                            let left_out = line.picture(&mut publisher, &picture, waiting.len())?;
                            if left_out {
                                dropped(1);
                            }
                        }
                        Piece::Sound(frame) => line.sound(&mut publisher, &frame),
                    }
                },
                _ = look.tick() => {
                    if progress.is_stuck(clock::now(), sent, !waiting.is_empty()) {
                        return Err(Broken::Stuck);
                    }
                    tell(News::Sent(sent));
                }
            }
            waiting.extend_from_slice(&publisher.output());
        }
    }
}

fn take(publisher: &mut Publisher, bytes: &[u8]) -> Result<(), Broken> {
    let taken = publisher.input(bytes);
    taken.map_err(|error| Broken::Protocol(error.to_string()))
}

/// Pictures and sound on one line of time, which begins with the first keyframe.
#[derive(Debug, Default)]
struct Line {
    begin: Option<MediaTime>,
    parameters: Option<Parameters>,
    /// Left out until the next keyframe.
    crowded: bool,
}

impl Line {
    /// Whether it was left out, because so many bytes wait.
    fn picture(
        &mut self,
        publisher: &mut Publisher,
        picture: &SharedPicture,
        waiting: usize,
    ) -> Result<bool, Broken> {
        self.crowded |= waiting > CROWDED;
        if self.crowded && !(picture.keyframe && waiting <= CLEAR) {
            return Ok(true);
        }
        self.crowded = false;
        let unit = avc::unit(picture).map_err(|error| Broken::Protocol(error.to_string()))?;
        if self.begin.is_none() && (!picture.keyframe || unit.parameters.is_none()) {
            return Ok(false);
        }
        let began = self.begin.is_some();
        let timestamp = self.timestamp(picture.at);
        if let Some(sets) = unit.parameters
            && self.parameters.as_ref() != Some(&sets)
        {
            if !began {
                publisher.metadata(metadata(&sets));
                publisher.audio(0, flv::audio_header());
            }
            publisher.video(timestamp, flv::video_header(&sets));
            self.parameters = Some(sets);
        }
        publisher.video(timestamp, flv::video(&unit.data, picture.keyframe));
        Ok(false)
    }

    fn sound(&mut self, publisher: &mut Publisher, frame: &aac::Frame) {
        if self.begin.is_some_and(|begin| frame.at >= begin) {
            let timestamp = self.timestamp(frame.at);
            publisher.audio(timestamp, flv::audio(&frame.data));
        }
    }

    /// Milliseconds since the begin; they wrap after 49 days, as RTMP's do.
    fn timestamp(&mut self, at: MediaTime) -> u32 {
        let begin = *self.begin.get_or_insert(at);
        at.since(begin).as_millis() as u32
    }
}

fn metadata(sets: &Parameters) -> Vec<(String, Value)> {
    let size = sets.size();
    let side = |side: Option<u32>| side.map(|side| Value::Number(side.into()));
    let values = [
        ("width", side(size.map(|size| size.width))),
        ("height", side(size.map(|size| size.height))),
        // AVC and AAC, as FLV numbers them.
        ("videocodecid", Some(Value::Number(7.0))),
        ("audiocodecid", Some(Value::Number(10.0))),
        (
            "audiodatarate",
            Some(Value::Number(f64::from(aac::BITRATE) / 1000.0)),
        ),
        ("audiosamplerate", Some(Value::Number(48_000.0))),
        ("stereo", Some(Value::Boolean(false))),
        ("encoder", Some(Value::text("Quilt"))),
    ];
    let values = values.into_iter();
    values
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::package::avc::testing::picture;

    #[test]
    fn a_crowded_line_leaves_pictures_out_until_a_keyframe() {
        let target = publisher::Target {
            url: "rtmp://h/app".into(),
            app: "app".into(),
            key: "key".into(),
        };
        let mut publisher = Publisher::new(target, &[0; 1528]);
        let mut line = Line::default();
        let mut put = |at: u64, keyframe, waiting| {
            let picture = Arc::new(picture(MediaTime(at * 1_000_000), keyframe));
            line.picture(&mut publisher, &picture, waiting).unwrap()
        };
        assert!(
            !put(0, false, 0),
            "before the first keyframe nothing is missing"
        );
        assert!(!put(40, true, 0));
        assert!(!put(80, false, CROWDED));
        assert!(put(120, false, CROWDED + 1));
        assert!(put(160, false, 0), "a hole before it");
        assert!(put(200, true, CLEAR + 1), "still too much");
        assert!(!put(240, true, CLEAR));
        assert!(!put(280, false, CLEAR));
    }
}
