//! Turns an arrangement into the tile map that a client gets: pixels into fractions.

use crate::id::ParticipantId;
use crate::room::state::{Arrangement, State, VideoKey};
use crate::signalling::{MapTile, NamesIn, TileMap};

/// The map of one mix as `viewer` gets it. `rtp_time` is the viewer's own clock at the first
/// picture arranged so.
pub fn tile_map(
    state: &State,
    key: &VideoKey,
    arrangement: &Arrangement,
    viewer: ParticipantId,
    rtp_time: u32,
) -> TileMap {
    let (width, height) = (key.size.width as f64, key.size.height as f64);
    let tiles: Vec<_> = arrangement
        .places
        .iter()
        .filter_map(|place| {
            let person = state.people().get(&place.source.who)?;
            Some(MapTile {
                id: place.source.who,
                name: person.name.clone(),
                x: place.rect.x as f64 / width,
                y: place.rect.y as f64 / height,
                width: place.rect.width as f64 / width,
                height: place.rect.height as f64 / height,
                live: place.live,
                share: place.source.share,
            })
        })
        .collect();
    TileMap {
        layout: arrangement.layout,
        rtp_time,
        width: key.size.width,
        height: key.size.height,
        names: names_in(key),
        includes_self: tiles.iter().any(|tile| tile.id == viewer),
        tiles,
    }
}

/// Personal mixes carry no text: the page draws it. The common mix always does, for players
/// without the page.
pub fn names_in(key: &VideoKey) -> NamesIn {
    match key.without {
        Some(_) => NamesIn::Page,
        None => NamesIn::Picture,
    }
}
