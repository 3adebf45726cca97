//! Copies of recordings in a store: made when a recording is over, tried again until there is one.
//!
//! All of it happens on a thread of its own, which computes what a store wants signed and reads
//! what a disk may have to look for. One copy is made at a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::record::manifest::{Manifest, Upload, UploadState};
use crate::record::shelf::Slot;
use crate::record::tape::{Usage, lock, save};
use crate::stats::Counted;
use crate::stats::uploads::Uploads as Figures;
use crate::store::{Error, Store, Target};

/// Until the first attempt is made again; doubled each time ...
const FIRST: Duration = Duration::from_secs(1);
/// ... up to this: a store that is back is noticed soon enough.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long it is given up until the next start.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// There.
    pub target: Target,
    /// What is there needs not be here.
    pub remove: bool,
}

/// The thread's inbox. The thread ends with it.
#[derive(Debug)]
pub struct Uploads {
    // What is in there is what somebody records, and lies on the shelf anyway.
    todo: mpsc::UnboundedSender<Slot>,
}

impl Uploads {
    /// Starts the thread.
    pub fn start(settings: Settings, usage: Arc<Usage>, figures: &Figures) -> Self {
        let (todo, mut slots) = mpsc::unbounded_channel::<Slot>();
        let worker = Arc::new(Worker {
            settings,
            usage,
            figures: figures.clone(),
            turn: Semaphore::new(1),
        });
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "recordings will not be uploaded");
                    return;
                }
            };
            runtime.block_on(async {
                while let Some(slot) = slots.recv().await {
                    tokio::spawn(worker.clone().see_to(slot));
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("upload".into());
        if let Err(error) = thread.spawn(work) {
            tracing::error!(%error, "recordings will not be uploaded");
        }
        Self { todo }
    }

    /// Has a copy made of one as soon as it is over.
    pub fn push(&self, slot: Slot) {
        // What an earlier server gave up is not.
        if let Some(upload) = &mut lock(&slot.manifest).upload {
            upload.state = UploadState::Pending;
        }
        // Without its thread there is no copy; that was said.
        let _ = self.todo.send(slot);
    }
}

/// Says of one that is to be uploaded that nobody does so any more.
pub fn give_up(slot: &Slot) {
    let mut manifest = lock(&slot.manifest);
    if let Some(upload) = &mut manifest.upload {
        upload.state = UploadState::Failed;
        upload.reason = Some("there is no --recordings-upload any more".to_owned());
    }
}

struct Worker {
    settings: Settings,
    usage: Arc<Usage>,
    figures: Figures,
    turn: Semaphore,
}

impl Worker {
    /// Waits until one is over, and tries until it is there.
    async fn see_to(self: Arc<Self>, slot: Slot) {
        // An error means that its writer is gone.
        let _ = slot.done.clone().wait_for(|done| *done).await;
        let _pending = Counted::new(self.figures.pending.clone());
        let began = Instant::now();
        // What an earlier server made of it counts for nothing.
        let mut failures = 0;
        loop {
            let Some(error) = self.attempt(&slot).await.err() else {
                self.figures.done.inc();
                return;
            };
            if slot.is_gone() {
                return;
            }
            failures += 1;
            let given_up = error.is_final() || began.elapsed() >= PATIENCE;
            let state = match given_up {
                true => UploadState::Failed,
                false => UploadState::Pending,
            };
            let id = lock(&slot.manifest).id.clone();
            let wait = wait(failures);
            match given_up {
                true => {
                    self.figures.failed.inc();
                    tracing::error!(%id, %error, "a recording is not uploaded");
                }
                false => {
                    self.figures.retried.inc();
                    tracing::warn!(%id, %error, ?wait, "uploading a recording failed");
                }
            }
            note(&slot, |manifest| {
                manifest.upload = Some(Upload {
                    state,
                    reason: Some(error.to_string()),
                    failures,
                });
            });
            if given_up {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Puts film and manifest there, the latter last: where it is, all is.
    async fn attempt(&self, slot: &Slot) -> Result<(), Error> {
        // It is never closed.
        let _turn = self.turn.acquire().await;
        let manifest = slot.manifest();
        let Some(file) = &manifest.file else {
            return Err(Error::Nothing);
        };
        let path = slot.place.folder.join(file);
        let name = name(&slot.place.base, &manifest);
        let store = Store::open(&self.settings.target)?;
        let film = format!("{name}.{}", ending(file));
        store.put_file(&film, &path, || !slot.is_gone()).await?;
        let text = serde_json::to_vec_pretty(&Manifest {
            file: Some(film),
            upload: None,
            ..manifest.clone()
        });
        let text = text.map_err(std::io::Error::from)?;
        store.put(&format!("{name}.json"), text.into()).await?;
        let (id, to) = (&manifest.id, &self.settings.target);
        tracing::info!(%id, %to, "recording uploaded");
        note(slot, |manifest| {
            let upload = manifest.upload.get_or_insert(Upload::PENDING);
            (upload.state, upload.reason) = (UploadState::Done, None);
        });
        if self.settings.remove {
            self.remove(slot, &path);
        }
        Ok(())
    }

    /// Deletes the film that is in the store, and keeps what is known of it.
    fn remove(&self, slot: &Slot, path: &Path) {
        let gone = slot.hold();
        if *gone {
            return;
        }
        match std::fs::remove_file(path) {
            Ok(()) => {
                let mut manifest = lock(&slot.manifest);
                self.usage.used.fetch_sub(manifest.bytes, Ordering::Relaxed);
                (manifest.file, manifest.bytes) = (None, 0);
                drop(manifest);
                save(&slot.place, &slot.manifest);
            }
            Err(error) => tracing::warn!(%error, "an uploaded recording cannot be removed here"),
        }
    }
}

/// Writes something down, unless the recording is deleted.
fn note(slot: &Slot, change: impl FnOnce(&mut Manifest)) {
    let gone = slot.hold();
    if !*gone {
        change(&mut lock(&slot.manifest));
        save(&slot.place, &slot.manifest);
    }
}

/// A name in the store. What is deleted here may give its name to another one, and other servers
/// have names, too: none may put an end to what is there.
fn name(base: &str, manifest: &Manifest) -> String {
    let id = manifest.id.to_string();
    match base.contains(&id) {
        true => base.to_owned(),
        false => format!("{base}-{id}"),
    }
}

fn ending(file: &str) -> &str {
    file.rsplit_once('.').map_or("mp4", |(_, ending)| ending)
}

/// How long to wait after so many failures.
fn wait(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST.saturating_mul(doubled).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_up_to_a_point() {
        let waits: Vec<_> = [1, 2, 3, 9, 10, 40].map(|n| wait(n).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
