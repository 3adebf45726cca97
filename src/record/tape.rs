//! The file of a recording, and the thread that writes it. Nobody waits for this thread.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::package::fast_start;
use crate::record::cut::{self, Cutter};
use crate::record::manifest::{Manifest, State};
use crate::record::sound::{self, Sound};
use crate::room::actor::Summary;
use crate::room::output::{Ended, Item};

/// What the sound's encoder may still have when the last packet is in; it takes some milliseconds.
const LAST_SOUNDS: Duration = Duration::from_millis(100);

/// What there is to do for a tape.
#[derive(Debug)]
pub enum Work {
    /// Record this.
    Item(Item),
    /// The room is so now.
    Room(Summary),
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Somebody asked for it.
    Asked,
    /// The room has nothing more.
    Output(Ended),
    /// The tape took too long.
    Behind,
}

/// What keeps a tape from going on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("writing failed: {0}")]
    Disk(#[from] io::Error),
    #[error("its file was taken away")]
    Gone,
    #[error("the recordings have used up their quota")]
    Quota,
    #[error(transparent)]
    Cut(#[from] cut::Error),
    #[error(transparent)]
    Sound(#[from] sound::Error),
}

/// What all recordings take up, bytes.
#[derive(Debug)]
pub struct Usage {
    /// So much.
    pub used: AtomicU64,
    /// At most so much.
    pub quota: u64,
}

/// Where a recording lies: its folder, and its name without an ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// A plain name.
    pub base: String,
}

impl Place {
    /// The manifest's.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.base))
    }

    /// The name of the fragments' file.
    pub fn part(&self) -> String {
        format!("{}.part.mp4", self.base)
    }

    /// The name of the file that is the end of it.
    pub fn whole(&self, audio_only: bool) -> String {
        let ending = if audio_only { "m4a" } else { "mp4" };
        format!("{}.{ending}", self.base)
    }

    /// Whether any of its files is there.
    pub fn is_taken(&self) -> bool {
        let names = [self.part(), self.whole(false), self.whole(true)];
        let mut paths = names.map(|name| self.folder.join(name)).into_iter();
        self.manifest().exists() || paths.any(|path| path.exists())
    }

    /// Deletes all of it.
    pub fn delete(&self) -> io::Result<()> {
        let names = [self.part(), self.whole(false), self.whole(true)];
        let files = names.map(|name| self.folder.join(name));
        // The manifest last: what is left of an attempt that fails is still listed.
        for path in files.into_iter().chain([self.manifest()]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A manifest that is written by one and read by others.
pub type Shared = Arc<Mutex<Manifest>>;

/// Locks a manifest.
pub fn lock(manifest: &Shared) -> MutexGuard<'_, Manifest> {
    // Nothing panics while it is held.
    manifest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file of a recording.
pub struct Tape {
    place: Place,
    file: File,
    inode: u64,
    /// Everything before this is whole.
    good: u64,
    manifest: Shared,
    usage: Arc<Usage>,
}

impl Tape {
    /// A new file, and a manifest that says that it is being written.
    pub fn create(place: Place, manifest: Shared, usage: Arc<Usage>) -> io::Result<Self> {
        fs::create_dir_all(&place.folder)?;
        let path = place.folder.join(place.part());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        // Another server that is started in the same folder leaves it alone.
        let _ = file.try_lock();
        let made = Self {
            inode: file.metadata()?.ino(),
            place,
            file,
            good: 0,
            manifest,
            usage,
        };
        lock(&made.manifest).file = Some(made.place.part());
        let saved = lock(&made.manifest).save(&made.place.manifest());
        if saved.is_err() {
            let _ = fs::remove_file(path);
        }
        saved.map(|()| made)
    }

    /// Records until nothing more comes, or the disk takes no more; then finishes the file.
    pub fn run(
        mut self,
        mut cutter: Cutter,
        mut sound: Sound,
        mut work: mpsc::Receiver<Work>,
        end: &OnceLock<End>,
    ) {
        let done = self.record(&mut cutter, &mut sound, &mut work);
        // From here on whoever sends notices that nobody listens.
        drop(work);
        let (state, reason) = match done {
            Err(trouble) => (State::Failed, Some(trouble.to_string())),
            Ok(()) => match end.get() {
                Some(End::Asked | End::Output(Ended::RoomClosed | Ended::Stopping)) => {
                    (State::Finished, None)
                }
                Some(End::Output(Ended::TooSlow) | End::Behind) => {
                    (State::Failed, Some("the disk did not keep up".to_owned()))
                }
                Some(End::Output(ended @ Ended::RoomFailed)) => {
                    (State::Failed, Some(ended.to_string()))
                }
                None => (State::Failed, Some("the recorder failed".to_owned())),
            },
        };
        if let Some(reason) = &reason {
            // One lock for both: in one expression a second one would wait for the first.
            let (room, id) = {
                let manifest = lock(&self.manifest);
                (manifest.room.clone(), manifest.id.clone())
            };
            tracing::warn!(%room, %id, reason, "recording ended");
        }
        lock(&self.manifest).ended = Some(wall());
        self.save();
        let before = lock(&self.manifest).bytes;
        complete(&self.place, &self.file, &self.manifest, state, reason);
        let after = lock(&self.manifest).bytes;
        self.usage.used.fetch_add(after, Ordering::Relaxed);
        self.usage.used.fetch_sub(before, Ordering::Relaxed);
    }

    fn record(
        &mut self,
        cutter: &mut Cutter,
        sound: &mut Sound,
        work: &mut mpsc::Receiver<Work>,
    ) -> Result<(), Trouble> {
        let mut room = None;
        while let Some(work) = work.blocking_recv() {
            match work {
                Work::Item(Item::Picture(picture)) => {
                    let bytes = cutter.picture(&picture)?;
                    self.append(&bytes)?;
                }
                Work::Item(Item::Audio(packet)) => {
                    sound.push(&packet)?;
                    self.sounds(cutter, sound)?;
                }
                Work::Room(now) => {
                    let news = lock(&self.manifest).note(wall(), room.as_ref(), &now);
                    room = Some(now);
                    if news {
                        self.save();
                    }
                }
            }
        }
        if matches!(sound, Sound::Aac { .. }) {
            std::thread::sleep(LAST_SOUNDS);
        }
        self.sounds(cutter, sound)?;
        let bytes = cutter.end()?;
        self.append(&bytes)
    }

    fn sounds(&mut self, cutter: &mut Cutter, sound: &mut Sound) -> Result<(), Trouble> {
        for (at, data) in sound.take()? {
            let bytes = cutter.sound(at, data)?;
            self.append(&bytes)?;
        }
        Ok(())
    }

    /// Writes all of it, or leaves the file as it was.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        if self.usage.used.load(Ordering::Relaxed) + length > self.usage.quota {
            return Err(Trouble::Quota);
        }
        // A file that has no name any more takes everything and keeps nothing.
        let path = self.place.folder.join(self.place.part());
        if fs::metadata(path).map_or(true, |there| there.ino() != self.inode) {
            return Err(Trouble::Gone);
        }
        if let Err(error) = self.file.write_all_at(bytes, self.good) {
            // Half a fragment is cut off again. Should that fail, readers leave it out.
            let _ = self.file.set_len(self.good);
            return Err(error.into());
        }
        self.good += length;
        self.usage.used.fetch_add(length, Ordering::Relaxed);
        lock(&self.manifest).bytes = self.good;
        Ok(())
    }

    fn save(&self) {
        save(&self.place, &self.manifest);
    }
}

/// Writes a manifest down, if the disk lets it: what is known in memory holds anyway.
pub fn save(place: &Place, manifest: &Shared) {
    let copy = lock(manifest).clone();
    if let Err(error) = copy.save(&place.manifest()) {
        tracing::warn!(id = %copy.id, %error, "the manifest of a recording cannot be written");
    }
}

/// Makes of the fragments in `part` what they are to become, and says in the manifest what that is.
/// The fragments are kept until there is something better.
pub fn complete(
    place: &Place,
    part: &File,
    manifest: &Shared,
    state: State,
    reason: Option<String>,
) {
    let audio_only = lock(manifest).options.audio_only;
    let whole = place.whole(audio_only);
    let made = rewrite(place, &whole, part);
    let path = place.folder.join(place.part());
    {
        let mut manifest = lock(manifest);
        (manifest.state, manifest.reason) = (state, reason);
        match &made {
            Ok((duration, bytes)) => {
                manifest.duration_ms = Some(duration.as_millis() as u64);
                manifest.bytes = *bytes;
                manifest.file = Some(whole);
            }
            Err(error) => {
                let nothing = matches!(error, fast_start::Error::Empty);
                if nothing {
                    (manifest.file, manifest.bytes) = (None, 0);
                }
                if manifest.reason.is_none() && manifest.state != State::Interrupted {
                    manifest.state = State::Failed;
                }
                manifest.reason.get_or_insert(match nothing {
                    true => error.to_string(),
                    false => format!("it is left in fragments, which play: {error}"),
                });
            }
        }
    }
    save(place, manifest);
    let kept = matches!(&made, Err(error) if !matches!(error, fast_start::Error::Empty));
    if !kept && let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, "fragments are left behind");
    }
}

/// A film with its index in front, under its name only once all of it is on the disk; how long and
/// how large it is.
fn rewrite(place: &Place, whole: &str, part: &File) -> Result<(Duration, u64), fast_start::Error> {
    // It may have been taken away while it was recorded.
    fs::create_dir_all(&place.folder)?;
    let new = place.folder.join(format!("{}.new", place.base));
    let made = write_new(part, &new).and_then(|made| {
        fs::rename(&new, place.folder.join(whole))?;
        sync_folder(&place.folder)?;
        Ok(made)
    });
    if made.is_err() {
        let _ = fs::remove_file(new);
    }
    made
}

fn write_new(part: &File, new: &Path) -> Result<(Duration, u64), fast_start::Error> {
    let mut options = File::options();
    let mut target = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(new)?;
    let duration = fast_start::write(part, &mut target)?;
    target.sync_all()?;
    Ok((duration, target.metadata()?.len()))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Milliseconds since 1970.
pub fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}
