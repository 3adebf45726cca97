//! The folder of recordings: what lies in it, and what a crash left behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::watch;

use crate::id::RoomName;
use crate::record::manifest::{Manifest, RecordingId, State, Upload};
use crate::record::tape::{Place, Shared, Usage, complete, lock};

/// One recording.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Where it lies.
    pub place: Place,
    /// What is known of it.
    pub manifest: Shared,
    /// Ends it.
    pub stop: Arc<watch::Sender<bool>>,
    /// Becomes true when nobody writes any of its files any more.
    pub done: watch::Receiver<bool>,
    /// Becomes true with its deletion. Whoever writes a file of one that is over holds this, lest
    /// it comes back.
    pub gone: Arc<Mutex<bool>>,
}

impl Slot {
    /// Whether somebody still writes its files.
    pub fn is_busy(&self) -> bool {
        !*self.done.borrow()
    }

    /// What is known of it.
    pub fn manifest(&self) -> Manifest {
        lock(&self.manifest).clone()
    }

    /// Whether it is deleted.
    pub fn is_gone(&self) -> bool {
        *self.hold()
    }

    /// Keeps it from being deleted, if it is not already.
    pub fn hold(&self) -> MutexGuard<'_, bool> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All recordings, by their ids.
#[derive(Debug)]
pub struct Shelf {
    slots: Mutex<BTreeMap<RecordingId, Slot>>,
    /// What they take up.
    pub usage: Arc<Usage>,
}

impl Shelf {
    /// What lies in `folder`, which may take up `quota` bytes. What a crash left unfinished is
    /// finished on a thread of its own.
    pub fn open(folder: &Path, quota: u64) -> Self {
        let mut slots = BTreeMap::new();
        let mut unfinished = Vec::new();
        // Where there is no folder there are no recordings.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension() != Some(OsStr::new("json")) {
                continue;
            }
            let Some(base) = path.file_stem().and_then(OsStr::to_str) else {
                continue;
            };
            let mut manifest = match Manifest::load(&path) {
                Ok(manifest) => manifest,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "no manifest of a recording");
                    continue;
                }
            };
            let place = Place {
                folder: folder.to_owned(),
                base: base.to_owned(),
            };
            // The name of the file is ours to know, whatever is written there.
            let whole = place.whole(manifest.options.audio_only);
            let names = [whole, place.part()];
            let found = names.into_iter().find_map(|name| {
                let there = fs::metadata(folder.join(&name)).ok()?;
                Some((name, there))
            });
            manifest.file = found.as_ref().map(|(name, _)| name.clone());
            manifest.bytes = found.as_ref().map_or(0, |(_, there)| there.len());
            let open = manifest.state == State::Recording;
            let part = File::open(folder.join(place.part()));
            let taken = part.as_ref().is_ok_and(|part| {
                let locked = part.try_lock();
                matches!(locked, Err(fs::TryLockError::WouldBlock))
            });
            if open && taken {
                tracing::warn!(path = %path.display(), "another server records this");
                continue;
            }
            let was_ended = manifest.ended.is_some();
            if open {
                manifest.state = State::Interrupted;
                let changed = found.and_then(|(_, there)| there.modified().ok());
                let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let changed = changed.map(|at| at.as_millis() as u64);
                manifest.ended = manifest.ended.or(changed).or(Some(manifest.begun));
            }
            let (done, is_done) = watch::channel(!open);
            let slot = Slot {
                place,
                manifest: Arc::new(Mutex::new(manifest)),
                stop: Arc::default(),
                done: is_done,
                gone: Arc::default(),
            };
            if open {
                unfinished.push((slot.clone(), part, was_ended, done));
            }
            let id = lock(&slot.manifest).id.clone();
            slots.insert(id, slot);
        }
        let used = slots.values().map(|slot| lock(&slot.manifest).bytes).sum();
        if !unfinished.is_empty() {
            let finish = move || {
                for (slot, part, was_ended, done) in unfinished {
                    finish(&slot, part, was_ended);
                    done.send_replace(true);
                }
            };
            let spawned = std::thread::Builder::new()
                .name("record-finish".into())
                .spawn(finish);
            if let Err(error) = spawned {
                tracing::error!(%error, "no thread to finish recordings on");
            }
        }
        Self {
            slots: Mutex::new(slots),
            usage: Arc::new(Usage {
                used: AtomicU64::new(used),
                quota,
            }),
        }
    }

    /// Those whose copy in a store is still to be made.
    pub fn to_upload(&self) -> Vec<Slot> {
        let slots = self.lock();
        let open = |slot: &&Slot| {
            let manifest = lock(&slot.manifest);
            manifest.upload.as_ref().is_some_and(Upload::is_open)
        };
        slots.values().filter(open).cloned().collect()
    }

    /// Those of a room, in the order they began.
    pub fn of(&self, room: &RoomName) -> Vec<Slot> {
        let slots = self.lock();
        let mut of: Vec<_> = slots
            .values()
            .filter(|slot| lock(&slot.manifest).room == *room)
            .cloned()
            .collect();
        drop(slots);
        of.sort_by_key(|slot| lock(&slot.manifest).begun);
        of
    }

    /// One of a room.
    pub fn get(&self, room: &RoomName, id: &RecordingId) -> Option<Slot> {
        let slot = self.lock().get(id).cloned()?;
        let same = lock(&slot.manifest).room == *room;
        same.then_some(slot)
    }

    /// Whether a name is in use.
    pub fn has(&self, base: &str) -> bool {
        self.lock().values().any(|slot| slot.place.base == base)
    }

    /// One more.
    pub fn put(&self, slot: Slot) {
        let id = lock(&slot.manifest).id.clone();
        self.lock().insert(id, slot);
    }

    /// Deletes one that nobody writes any more.
    pub fn delete(&self, id: &RecordingId) -> io::Result<()> {
        let Some(slot) = self.lock().get(id).cloned() else {
            return Ok(());
        };
        let mut gone = slot.hold();
        slot.place.delete()?;
        *gone = true;
        drop(gone);
        self.lock().remove(id);
        let bytes = lock(&slot.manifest).bytes;
        self.usage.used.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes what ended longer ago than `keep`; `now` is in milliseconds since 1970.
    pub fn sweep(&self, now: u64, keep: Duration) {
        let slots: Vec<_> = self.lock().values().cloned().collect();
        for slot in slots.iter().filter(|slot| !slot.is_busy()) {
            let manifest = slot.manifest();
            let age = now.saturating_sub(manifest.ended.unwrap_or(manifest.begun));
            if u128::from(age) > keep.as_millis() {
                let id = &manifest.id;
                match self.delete(id) {
                    Ok(()) => tracing::info!(%id, room = %manifest.room, "recording deleted: old"),
                    Err(error) => tracing::warn!(%id, %error, "a recording cannot be deleted"),
                }
            }
        }
    }

    /// Resolves when nobody writes any recording.
    pub async fn settled(&self) {
        let slots: Vec<_> = self.lock().values().cloned().collect();
        for mut slot in slots {
            // An error means that its writer is gone.
            let _ = slot.done.wait_for(|done| *done).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordingId, Slot>> {
        // Every change of the map is one step, so a panic leaves it whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finishes what a crash left behind; it `was_ended` if only that was left to do.
fn finish(slot: &Slot, part: io::Result<File>, was_ended: bool) {
    let state = match was_ended {
        true => State::Finished,
        false => State::Interrupted,
    };
    let whole = lock(&slot.manifest).options.audio_only;
    let whole = slot.place.folder.join(slot.place.whole(whole));
    let id = lock(&slot.manifest).id.clone();
    tracing::info!(%id, ?state, "a recording is found unfinished");
    match part {
        Ok(part) => complete(&slot.place, &part, &slot.manifest, state, None),
        // It got as far as its last step.
        Err(_) if whole.exists() => {
            let mut manifest = slot.manifest();
            manifest.state = state;
            let saved = manifest.save(&slot.place.manifest());
            *lock(&slot.manifest) = manifest;
            if let Err(error) = saved {
                tracing::warn!(%id, %error, "the manifest of a recording cannot be written");
            }
        }
        Err(error) => {
            let mut manifest = slot.manifest();
            manifest.reason = Some(format!("its file cannot be read: {error}"));
            *lock(&slot.manifest) = manifest;
        }
    }
}
