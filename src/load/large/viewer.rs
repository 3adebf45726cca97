//! What one more costs who only watches, beside the least that it can cost.

use std::time::Duration;

use super::super::client::Material;
use super::crowd::{Crowd, Measured};
use super::figure::{Figure, median};
use super::material::Wardrobe;
use crate::media::Quality;
use crate::peer::bare::{self, Load};

const ROW: &str = "large-viewer";
/// How many watch, in turn. The room is as cheap as one can be, so that the difference is not one of
/// two large numbers ...
const FEW: usize = 20;
const MANY: usize = 100;
/// ... and it is taken so often, for no machine is the same all the time.
const ROUNDS: usize = 4;
/// Layouts settle, handshakes are over, reports are as rare as they will be.
const SETTLE: Duration = Duration::from_secs(8);
/// How long is counted.
const SECONDS: u64 = 12;
/// How long a bare loop is watched, each round.
const BARE_SECONDS: u32 = 6;

/// One sends, and the medium tier is watched, by few and by many in turn.
pub async fn viewer(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    let speaks = |n: usize| Some(wardrobe.material(n as u32, true));
    crowd.join(1, Quality::High, Duration::ZERO, speaks).await?;
    watch(&mut crowd, FEW).await?;
    let mut few = settled(&crowd).await?;
    let (mut viewers, mut bares, mut ratios, mut kbps) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        watch(&mut crowd, MANY - FEW).await?;
        let many = settled(&crowd).await?;
        let of_one = |of: &[f64]| of[1..].iter().sum::<f64>() / MANY as f64;
        let (pictures, packets) = (of_one(&many.pictures), of_one(&many.video_packets));
        kbps.push(of_one(&many.video_kbps));
        let load = Load {
            viewers: MANY,
            pictures,
            packets: packets / pictures,
            payload: (of_one(&many.video_kbps) * 1e3 / 8.0 / packets) as usize,
        };
        crowd.leave(MANY - FEW).await?;
        let bare = tokio::task::spawn_blocking(move || bare::serve(load, BARE_SECONDS)).await??;
        // Between two of few, so that what changes with time is in neither.
        let fewer = settled(&crowd).await?;
        let base = (few.cores + fewer.cores) / 2.0;
        few = fewer;
        let viewer = (many.cores - base) / (MANY - FEW) as f64;
        viewers.push(viewer * 100.0);
        bares.push(bare * 100.0);
        ratios.push(viewer / bare);
    }
    Ok(vec![
        Figure::shown(ROW, "server CPU with 20 who watch, cores", few.cores),
        Figure::shown(ROW, "video of one who watches, kbit/s", median(kbps)),
        Figure::at_most(
            ROW,
            "one more who watches, % of a core",
            median(viewers),
            0.35,
        ),
        Figure::shown(ROW, "the same of a bare loop", median(bares)),
        Figure::at_most(ROW, "one beside the other", median(ratios), 2.0),
    ])
}

async fn watch(crowd: &mut Crowd, many: usize) -> anyhow::Result<()> {
    let nothing = |_| -> Option<Material> { None };
    crowd
        .join(many, Quality::Medium, Duration::ZERO, nothing)
        .await?;
    Ok(())
}

async fn settled(crowd: &Crowd) -> anyhow::Result<Measured> {
    tokio::time::sleep(SETTLE).await;
    crowd.measure(SECONDS).await
}
