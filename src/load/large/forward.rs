//! What a forwarded packet costs beside one of a mix: to both it is the same fan-out, only fed by
//! another producer.

use std::sync::Arc;
use std::time::Duration;

use super::super::tradeoff::{Stream, Taken};
use super::super::ws::Session;
use super::crowd::{Crowd, Measured};
use super::figure::Figure;
use super::material::Wardrobe;
use crate::clock;
use crate::id::RoomName;
use crate::media::{Quality, VideoCodec};
use crate::signalling::{AckResult, Command};

const ROW: &str = "forward";
/// Rates are found, and whoever is not seen ceases to send.
const SETTLE: Duration = Duration::from_secs(5);
const SECONDS: u64 = 15;
/// Consumers at first, and how many come then.
const FEW: usize = 10;
const MORE: usize = 40;
const AT_ONCE: Duration = Duration::ZERO;

/// One room in which many get the mix, and one in which as many take a sender as it is.
pub async fn forward(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    let mixed = mixed(wardrobe).await?;
    let forwarded = forwarded(wardrobe).await?;
    let micro = 1e6;
    Ok(vec![
        Figure::shown(ROW, "a packet of a mix, CPU microseconds", mixed * micro),
        Figure::shown(
            ROW,
            "a forwarded packet, CPU microseconds",
            forwarded * micro,
        ),
        Figure::at_most(ROW, "one beside the other", forwarded / mixed, 1.25),
    ])
}

/// CPU seconds for one more packet of the medium mix.
async fn mixed(wardrobe: &Wardrobe) -> anyhow::Result<f64> {
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    let speak = |n| Some(wardrobe.material(n as u32, true));
    crowd.join(2, Quality::High, AT_ONCE, speak).await?;
    crowd.join(FEW, Quality::Medium, AT_ONCE, |_| None).await?;
    tokio::time::sleep(SETTLE).await;
    let few = crowd.measure(SECONDS).await?;
    crowd.join(MORE, Quality::Medium, AT_ONCE, |_| None).await?;
    tokio::time::sleep(SETTLE).await;
    let many = crowd.measure(SECONDS).await?;
    let packets = |measured: &Measured| -> f64 {
        let all = measured.video_packets.iter().zip(&measured.audio_packets);
        all.map(|(video, audio)| video + audio).sum()
    };
    Ok((many.cores - few.cores) / (packets(&many) - packets(&few)))
}

/// CPU seconds for one more packet of a sender.
async fn forwarded(wardrobe: &Wardrobe) -> anyhow::Result<f64> {
    let mut crowd = Crowd::at(&["serve", "--topology", "sfu"], 25).await?;
    crowd
        .send(2, |n| Some(wardrobe.material(n as u32, true)))
        .await?;
    let mut takers = Vec::new();
    let few = taken(&crowd, &mut takers, FEW).await?;
    let many = taken(&crowd, &mut takers, MORE).await?;
    Ok((many.0 - few.0) / (many.1 - few.1))
}

/// Has so many more take the first one who sends; cores of the server, and packets a second.
async fn taken(crowd: &Crowd, takers: &mut Vec<Taker>, more: usize) -> anyhow::Result<(f64, f64)> {
    for _ in 0..more {
        takers.push(Taker::open(crowd).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let now = clock::now();
    for taker in takers.iter() {
        taker.taken.stream.receiver().begin(now);
    }
    let cores = crowd.measure(SECONDS).await?.cores;
    let now = clock::now();
    let counted = takers.iter().map(|taker| {
        let counts = taker.taken.stream.receiver().counts(now);
        counts.video_packets + counts.audio_packets
    });
    let packets: Vec<u64> = counted.collect();
    anyhow::ensure!(
        packets.iter().all(|packets| *packets > 0),
        "a taker gets nothing"
    );
    Ok((cores, packets.iter().sum::<u64>() as f64 / SECONDS as f64))
}

/// Somebody who only takes.
struct Taker {
    taken: Taken,
    _session: Session,
}

impl Taker {
    async fn open(crowd: &Crowd) -> anyhow::Result<Self> {
        const CODEC: VideoCodec = VideoCodec::H264;
        let (url, room): (&str, &RoomName) = crowd.address();
        let (session, _) = Session::connect(url, room).await?;
        let join = Command::Join {
            name: None,
            view: true,
            codec: Some(CODEC),
            token: None,
            audio: false,
            video: false,
            portrait: false,
            session: None,
            overlay: true,
            direct: false,
            quality: Quality::Auto,
        };
        let AckResult::Joined(_) = session.request(join).await? else {
            anyhow::bail!("the answer to join is another one");
        };
        let from = crowd.clients[0].participant;
        let stream = Stream::new(from, CODEC, None, Arc::default())?;
        let taken = Taken::open(&session, from, CODEC, stream).await?;
        Ok(Self {
            taken,
            _session: session,
        })
    }
}
