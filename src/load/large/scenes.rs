//! The meetings themselves, and what must be reached in each.

use std::time::Duration;

use super::super::client::Material;
use super::crowd::Crowd;
use super::figure::{Figure, quantile};
use super::material::{TURN, TURNS, Wardrobe};
use crate::clock::{self, MediaTime};
use crate::media::Quality;

/// Layouts settle, encoders find their rate, whoever is not seen ceases to send.
const SETTLE: Duration = Duration::from_secs(8);
/// How long is counted.
const SECONDS: u64 = 20;
const AT_ONCE: Duration = Duration::ZERO;

/// 12 who send, stage 9, and 60 who watch.
pub async fn common(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-common";
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    crowd
        .join(12, Quality::High, AT_ONCE, some_speak(wardrobe))
        .await?;
    crowd.join(60, Quality::Medium, AT_ONCE, |_| None).await?;
    tokio::time::sleep(SETTLE).await;
    let many = crowd.measure(SECONDS).await?;
    let kbps = many.video_kbps[12..].iter().sum::<f64>() / 60.0;
    Ok(vec![
        Figure::at_most(
            ROW,
            "video encoders (two tiers are in use)",
            many.video_encoders,
            2.0,
        ),
        Figure::at_most(ROW, "video decoders", many.video_decoders, 9.0),
        Figure::at_least(
            ROW,
            "pictures a second, whoever got the fewest",
            many.fewest(),
            19.0,
        ),
        Figure::at_most(ROW, "freezes", many.freezes, 0.0),
        Figure::at_most(ROW, "server CPU, cores", many.cores, 0.9),
        Figure::shown(ROW, "video of one who watches, kbit/s", kbps),
    ])
}

/// Some speak in turn, the others say nothing.
fn some_speak(wardrobe: &Wardrobe) -> impl Fn(usize) -> Option<Material> + Copy {
    move |n| Some(wardrobe.material(n as u32, n < TURNS as usize))
}

/// A mix for each of the nine on stage, and one for all others.
pub async fn personal(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-personal";
    let mut crowd = Crowd::at(&["serve", "--mix", "personal"], 8).await?;
    let wears = some_speak(wardrobe);
    crowd.join(12, Quality::High, AT_ONCE, wears).await?;
    crowd.join(60, Quality::High, AT_ONCE, |_| None).await?;
    tokio::time::sleep(SETTLE).await;
    let measured = crowd.measure(SECONDS).await?;
    Ok(vec![
        Figure::at_most(ROW, "video encoders", measured.video_encoders, 10.0),
        Figure::at_least(
            ROW,
            "pictures a second, whoever got the fewest",
            measured.fewest(),
            7.6,
        ),
        Figure::at_most(ROW, "freezes", measured.freezes, 0.0),
        Figure::shown(ROW, "server CPU, cores", measured.cores),
    ])
}

/// Nine get the high tier and all others the low one; everybody sends.
pub async fn hundred(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-100";
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    let wears = some_speak(wardrobe);
    let mut took = crowd.join(9, Quality::High, AT_ONCE, wears).await?;
    took.extend(crowd.join(91, Quality::Low, AT_ONCE, wears).await?);
    tokio::time::sleep(SETTLE).await;
    let measured = crowd.measure(SECONDS).await?;
    Ok(vec![
        Figure::at_most(
            ROW,
            "join to first picture, the longest, s",
            quantile(took, 1.0) / 1e3,
            3.0,
        ),
        Figure::at_least(
            ROW,
            "pictures a second, whoever got the fewest",
            measured.fewest(),
            9.0,
        ),
        Figure::at_most(ROW, "server CPU, cores", measured.cores, 1.0),
        Figure::at_most(ROW, "resident memory, MB", measured.memory, 500.0),
        Figure::shown(ROW, "video encoders", measured.video_encoders),
        Figure::shown(ROW, "video decoders", measured.video_decoders),
    ])
}

/// Nine send, all others watch the low tier.
pub async fn three_hundred(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-300";
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    let wears = some_speak(wardrobe);
    crowd.join(9, Quality::High, AT_ONCE, wears).await?;
    crowd.join(291, Quality::Low, AT_ONCE, |_| None).await?;
    tokio::time::sleep(SETTLE).await;
    let measured = crowd.measure(SECONDS).await?;
    Ok(vec![
        Figure::at_most(ROW, "server CPU, cores", measured.cores, 1.4),
        Figure::at_least(
            ROW,
            "pictures a second, whoever got the fewest",
            measured.fewest(),
            9.0,
        ),
        Figure::shown(ROW, "freezes", measured.freezes),
        Figure::shown(ROW, "resident memory, MB", measured.memory),
    ])
}

/// 100 come within 10 s to nine who are there.
pub async fn joins(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-joins";
    let mut crowd = Crowd::at(&["serve", "--mix", "common"], 25).await?;
    let wears = some_speak(wardrobe);
    crowd.join(9, Quality::High, AT_ONCE, wears).await?;
    tokio::time::sleep(SETTLE).await;
    crowd.begin();
    let tenth = Duration::from_millis(100);
    let took = crowd.join(100, Quality::Low, tenth, |_| None).await?;
    let now = clock::now();
    let gaps = crowd.clients[..9].iter().map(|client| {
        let counts = client.receiver().counts(now);
        counts.longest_gap.as_secs_f64() * 1e3
    });
    let gap = quantile(gaps.collect(), 1.0);
    Ok(vec![
        Figure::at_most(
            ROW,
            "join to first picture p95, s",
            quantile(took, 0.95) / 1e3,
            3.0,
        ),
        Figure::at_most(ROW, "longest gap of those who were there, ms", gap, 100.0),
    ])
}

/// One more than the stage holds.
pub async fn uplink(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-uplink";
    let mut crowd = Crowd::at(&["serve", "--mix", "common", "--stage-size", "2"], 25).await?;
    let wears = |n: usize| Some(wardrobe.material(n as u32, false));
    crowd.join(3, Quality::High, AT_ONCE, wears).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let sent =
        |crowd: &Crowd| -> Vec<u64> { crowd.clients.iter().map(|c| c.sent_video()).collect() };
    let before = sent(&crowd);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = sent(&crowd);
    let rates = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (after - before) as f64 * 8e-3 / 5.0);
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::at_most(ROW, "video of who is off stage, kbit/s", rates[0], 10.0),
        Figure::at_least(ROW, "video of who is on stage, kbit/s", rates[1], 100.0),
    ])
}

/// Six speak in turn in a room that shows two: when they begin, nothing has been sent of their
/// picture for long.
pub async fn onset(wardrobe: &Wardrobe) -> anyhow::Result<Vec<Figure>> {
    const ROW: &str = "large-onset";
    let mut crowd = Crowd::at(&["serve", "--mix", "common", "--stage-size", "2"], 25).await?;
    let wears = |n: usize| Some(wardrobe.material(n as u32, true));
    crowd
        .join(TURNS as usize, Quality::High, AT_ONCE, wears)
        .await?;
    crowd.join(1, Quality::High, AT_ONCE, |_| None).await?;
    let watcher = &crowd.clients[TURNS as usize];
    let turn = Duration::from_secs(TURN.into());
    let (mut tile, mut live) = (Vec::new(), Vec::new());
    // The first round is how the room finds its order.
    let round = u64::from(TURN * TURNS);
    let start = (clock::now().0 / 1_000_000_000).div_ceil(round) + 1;
    for n in 0..3 * TURNS {
        let at = start * round + u64::from(n * TURN);
        let onset = MediaTime(at * 1_000_000_000);
        tokio::time::sleep_until(onset.instant().into()).await;
        let who = crowd.clients[(n % TURNS) as usize].participant;
        let shows = |live: bool| {
            watcher.until_tiles(move |map| {
                let mut tiles = map.tiles.iter();
                tiles.any(|tile| tile.id == who && (tile.live || !live))
            })
        };
        let after = async |live| match tokio::time::timeout(turn, shows(live)).await {
            Ok(Some(_)) => clock::now().since(onset).as_secs_f64(),
            Ok(None) | Err(_) => f64::INFINITY,
        };
        tile.push(after(false).await);
        live.push(after(true).await);
    }
    Ok(vec![
        Figure::at_most(ROW, "voice to tile p95, s", quantile(tile, 0.95), 1.0),
        Figure::at_most(
            ROW,
            "voice to live video that had been stopped p95, s",
            quantile(live, 0.95),
            1.8,
        ),
    ])
}
