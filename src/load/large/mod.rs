//! The bench's rows of large meetings: what a stage, shared encoders and an uplink that follows
//! the tile are for. Each is a server of its own and a crowd in this process, whose CPU time is
//! not counted.

mod crowd;
pub mod figure;
mod forward;
mod material;
mod scenes;
mod viewer;

use clap::ValueEnum;

use figure::Figure;
use material::Wardrobe;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Large {
    /// 12 who send and 60 who watch the medium tier, one common mix.
    Common,
    /// What one more costs who watches.
    Viewer,
    /// The same with a mix of their own for those on stage, at 8 pictures a second.
    Personal,
    /// A room of 100, of whom 91 get the low tier.
    Hundred,
    /// A room of 300, of whom 291 only watch.
    ThreeHundred,
    /// 100 joins within 10 s.
    Joins,
    /// What somebody off stage sends.
    Uplink,
    /// How long after a voice begins its picture is there.
    Onset,
    /// What a forwarded packet costs beside one of a mix.
    Forward,
}

/// Measures these, one after the other.
///
/// # Errors
/// When a server does not start, or somebody cannot join.
pub async fn measure(rows: &[Large]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if rows.is_empty() {
        return Ok(figures);
    }
    let wardrobe = tokio::task::spawn_blocking(Wardrobe::make).await??;
    for row in rows {
        let name = row.to_possible_value();
        let name = name.as_ref().map_or("", |name| name.get_name());
        eprintln!("large meetings: {name}");
        let measured = match row {
            Large::Common => scenes::common(&wardrobe).await,
            Large::Viewer => viewer::viewer(&wardrobe).await,
            Large::Personal => scenes::personal(&wardrobe).await,
            Large::Hundred => scenes::hundred(&wardrobe).await,
            Large::ThreeHundred => scenes::three_hundred(&wardrobe).await,
            Large::Joins => scenes::joins(&wardrobe).await,
            Large::Uplink => scenes::uplink(&wardrobe).await,
            Large::Onset => scenes::onset(&wardrobe).await,
            Large::Forward => forward::forward(&wardrobe).await,
        };
        for figure in measured? {
            eprintln!("{figure}");
            figures.push(figure);
        }
    }
    Ok(figures)
}
