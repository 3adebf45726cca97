//! The streams of all rooms: each begins with the first request for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::RoomName;
use crate::media::Tier;
use crate::stream::hls::idle::IDLE;
use crate::stream::hls::live::Live;
use crate::stream::programme::Studio;

/// The streams by room.
pub struct Desk {
    studio: Studio,
    lives: Mutex<HashMap<RoomName, Arc<Live>>>,
}

impl Desk {
    /// Without any stream.
    pub fn new(studio: Studio) -> Arc<Self> {
        Arc::new(Self {
            studio,
            lives: Mutex::default(),
        })
    }

    /// The stream of a room, which begins if need be; none where there is no such room.
    pub fn open(self: &Arc<Self>, room: &RoomName) -> Option<Arc<Live>> {
        let mut lives = self.lives();
        if let Some(live) = lives.get(room).filter(|live| live.ended().is_none()) {
            live.touch();
            return Some(live.clone());
        }
        self.studio.rooms.summary(room)?;
        let live = Arc::new(Live::new());
        lives.insert(room.clone(), live.clone());
        let (desk, room, begun) = (self.clone(), room.clone(), live.clone());
        tokio::spawn(async move { desk.run(room, begun).await });
        Some(live)
    }

    /// A stream that runs or has just ended, by its room and its folder.
    pub fn find(&self, room: &RoomName, id: &str) -> Option<Arc<Live>> {
        let live = self
            .lives()
            .get(room)
            .filter(|live| live.id() == id)?
            .clone();
        live.touch();
        Some(live)
    }

    async fn run(&self, room: RoomName, live: Arc<Live>) {
        match self.studio.programme(&room, None, Tier::High).await {
            Ok(programme) => {
                tracing::info!(%room, "HLS begins");
                live.run(programme, &self.studio.stats).await;
            }
            Err(error) => live.end(error.to_string()),
        }
        tracing::info!(%room, "HLS ends: {}", live.ended().unwrap_or_default());
        // Players are some seconds behind, and must find the end.
        tokio::time::sleep(IDLE).await;
        let mut lives = self.lives();
        if lives.get(&room).is_some_and(|now| Arc::ptr_eq(now, &live)) {
            lives.remove(&room);
        }
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Live>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
