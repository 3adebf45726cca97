//! Where recordings are begun, ended and looked up.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::gst;
use crate::id::RoomName;
use crate::media::VideoCodec;
use crate::record::cut::Cutter;
use crate::record::manifest::{self, Manifest, Options, RecordingId, State, Upload};
use crate::record::name::{self, Facts};
use crate::record::shelf::{Shelf, Slot};
use crate::record::sound::Sound;
use crate::record::tape::{End, Place, Tape, Work, wall};
use crate::record::upload::{self, Uploads};
use crate::room::output::{self, Output, Wish};
use crate::room::registry::Registry;
use crate::stats::Stats;

/// How far a disk may be behind: journals and other people's files stall for seconds. At 1.5 Mbit/s
/// these are 2 MB.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pictures and packets of sound a second at most.
const ITEMS_A_SECOND: u32 = 60 + 50;
/// How long a disk that does not answer is waited for when all else is over.
const LAST_PATIENCE: Duration = Duration::from_secs(600);
/// How long whoever asks waits for the disk.
const ANSWER: Duration = Duration::from_secs(5);
/// Recordings of one room at the same time.
const AT_ONCE: usize = 4;
/// How often old recordings are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// How recordings are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where.
    pub folder: PathBuf,
    /// Bytes they may take up; none: what the disk has.
    pub quota: Option<u64>,
    /// How long they are kept; none: for ever.
    pub keep: Option<Duration>,
    /// How the sound is encoded for who wishes nothing else.
    pub audio: manifest::Sound,
    /// Where copies go, if anywhere.
    pub upload: Option<upload::Settings>,
}

/// All recordings of a server.
pub struct Desk {
    rooms: Arc<Registry>,
    library: gst::Library,
    stats: Arc<Stats>,
    settings: Settings,
    shelf: Shelf,
    uploads: Option<Uploads>,
    /// Names are given one after the other.
    naming: Mutex<()>,
}

/// What a file is begun with: how, and of which name.
type Begun = (Tape, Slot, watch::Sender<bool>);

/// Why something about a recording is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to record.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// The name is no name.
    #[error(transparent)]
    Name(#[from] name::Error),
    /// There are several already.
    #[error("this room is recorded {AT_ONCE} times already")]
    TooMany,
    /// There is no room on the disk for it, by the settings.
    #[error("the recordings have used up their quota; delete some of them")]
    Quota,
    /// There is no place for its file.
    #[error("cannot write to {}: {reason}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// There is no such recording.
    #[error("there is no such recording")]
    NotThere,
    /// Its film is in the store and nowhere else.
    #[error("the film was uploaded and is not kept here")]
    Uploaded,
    /// It goes on, or is just being finished.
    #[error("the recording is still being written")]
    Busy,
}

impl Desk {
    /// Takes over what lies in the folder.
    pub fn new(
        settings: Settings,
        rooms: Arc<Registry>,
        library: gst::Library,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let shelf = Shelf::open(&settings.folder, settings.quota.unwrap_or(u64::MAX));
        let uploads = settings.upload.clone();
        let uploads = uploads.map(|to| Uploads::start(to, shelf.usage.clone(), &stats.uploads));
        for slot in shelf.to_upload() {
            match &uploads {
                Some(uploads) => uploads.push(slot),
                None => upload::give_up(&slot),
            }
        }
        let desk = Arc::new(Self {
            rooms,
            library,
            stats,
            settings,
            shelf,
            uploads,
            naming: Mutex::default(),
        });
        if let Some(keep) = desk.settings.keep {
            let desk = Arc::downgrade(&desk);
            tokio::spawn(async move {
                let mut hours = tokio::time::interval(SWEEP);
                loop {
                    hours.tick().await;
                    let Some(desk) = desk.upgrade() else { return };
                    let sweep = move || desk.shelf.sweep(wall(), keep);
                    let _ = tokio::task::spawn_blocking(sweep).await;
                }
            });
        }
        desk
    }

    /// What is recorded for who wishes nothing else.
    pub fn usual(&self) -> Options {
        Options {
            audio: self.settings.audio,
            ..Options::default()
        }
    }

    /// Begins to record a room into a file that is called after `pattern`.
    pub async fn start(
        self: &Arc<Self>,
        room: &RoomName,
        options: Options,
        pattern: Option<&str>,
    ) -> Result<Manifest, Error> {
        let busy = |slot: &Slot| slot.is_busy();
        if self.shelf.of(room).iter().filter(|slot| busy(slot)).count() >= AT_ONCE {
            return Err(Error::TooMany);
        }
        let usage = &self.shelf.usage;
        if usage.used.load(Ordering::Relaxed) >= usage.quota {
            return Err(Error::Quota);
        }
        let begun = wall();
        let id = RecordingId::random();
        let facts = Facts {
            room,
            id: &id,
            begun: begun / 1000,
        };
        let base = name::expand(pattern.unwrap_or(name::PATTERN), facts)?;
        let wish = Wish {
            video: (!options.audio_only).then_some(VideoCodec::H264),
            audio: true,
            layout: options.layout,
            portrait: options.portrait,
            tier: options.tier,
            patience: PATIENCE,
            sign: true,
        };
        // Nobody is told of a recording before there is a file for it.
        if self.rooms.summary(room).is_none() {
            return Err(output::Error::NotOpen.into());
        }
        let manifest = Manifest {
            id: id.clone(),
            room: room.clone(),
            state: State::Recording,
            reason: None,
            begun,
            ended: None,
            duration_ms: None,
            file: None,
            bytes: 0,
            // From the beginning: what a crash interrupts is to be there, too.
            upload: self.uploads.as_ref().map(|_| Upload::PENDING),
            options,
            events: Vec::new(),
        };
        let desk = self.clone();
        let (tape, slot, done) = self.on_disk(move || desk.begin(base, manifest)).await?;
        let output = match self.rooms.output(room, wish).await {
            Ok(output) => output,
            Err(error) => {
                let _ = slot.place.delete();
                return Err(error.into());
            }
        };
        let cutter = {
            let sound = Sound::new(options.audio, &self.library, &self.stats);
            let (track, frame) = (sound.track(), sound.frame());
            let cutter = Cutter::new(!options.audio_only, track, frame, begun / 1000);
            (cutter, sound)
        };
        self.roll(tape, cutter, output, &slot, done)?;
        tracing::info!(%room, %id, "recording");
        let manifest = slot.manifest();
        if let Some(uploads) = &self.uploads {
            uploads.push(slot.clone());
        }
        self.shelf.put(slot);
        Ok(manifest)
    }

    /// A file and its place.
    fn begin(&self, base: String, manifest: Manifest) -> Result<Begun, Error> {
        let (done, is_done) = watch::channel(false);
        let _turn = self.naming.lock();
        let place = self.place(base, &manifest.id);
        let manifest = Arc::new(Mutex::new(manifest));
        let tape = Tape::create(place.clone(), manifest.clone(), self.shelf.usage.clone());
        let tape = tape.map_err(|error| self.folder(&error))?;
        let slot = Slot {
            place,
            manifest,
            stop: Arc::default(),
            done: is_done,
            gone: Arc::default(),
        };
        Ok((tape, slot, done))
    }

    /// Does something about files where nobody has to wait for a disk that does not answer.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(work);
        let silent = || Error::Folder {
            folder: self.settings.folder.clone(),
            reason: "the disk does not answer".to_owned(),
        };
        let done = tokio::time::timeout(ANSWER, done).await;
        done.map_err(|_| silent())?.map_err(|_| silent())?
    }

    /// Has a thread write and a task feed it.
    fn roll(
        &self,
        tape: Tape,
        (cutter, sound): (Cutter, Sound),
        output: Output,
        slot: &Slot,
        done: watch::Sender<bool>,
    ) -> Result<(), Error> {
        let items = PATIENCE.as_secs() as usize * ITEMS_A_SECOND as usize;
        let (work, todo) = mpsc::channel(items);
        let end = Arc::<OnceLock<End>>::default();
        let (written, is_written) = watch::channel(());
        let why = end.clone();
        let thread = std::thread::Builder::new().name("record".into());
        let spawned = thread.spawn(move || {
            let _written = written;
            tape.run(cutter, sound, todo, &why);
        });
        if let Err(error) = spawned {
            let _ = slot.place.delete();
            return Err(self.folder(&error));
        }
        let stop = slot.stop.subscribe();
        tokio::spawn(async move {
            let why = feed(output, &work, stop).await;
            // Before the sending end goes: the thread then asks why.
            let _ = end.set(why);
            drop(work);
            let mut is_written = is_written;
            let closed = async { while is_written.changed().await.is_ok() {} };
            if tokio::time::timeout(LAST_PATIENCE, closed).await.is_err() {
                tracing::error!("the disk of a recording does not answer");
            }
            done.send_replace(true);
        });
        Ok(())
    }

    /// A place that nobody has.
    fn place(&self, base: String, id: &RecordingId) -> Place {
        let folder = self.settings.folder.clone();
        let place = Place { folder, base };
        match self.shelf.has(&place.base) || place.is_taken() {
            true => Place {
                base: format!("{}-{id}", place.base),
                ..place
            },
            false => place,
        }
    }

    fn folder(&self, error: &std::io::Error) -> Error {
        Error::Folder {
            folder: self.settings.folder.clone(),
            reason: error.to_string(),
        }
    }

    /// Those of a room, those that go on too, in the order they began.
    pub fn list(&self, room: &RoomName) -> Vec<Manifest> {
        let slots = self.shelf.of(room);
        slots.iter().map(Slot::manifest).collect()
    }

    /// One of them.
    pub fn get(&self, room: &RoomName, id: &RecordingId) -> Result<Manifest, Error> {
        let slot = self.shelf.get(room, id).ok_or(Error::NotThere)?;
        Ok(slot.manifest())
    }

    /// Whether a room is being recorded.
    pub fn is_recorded(&self, room: &RoomName) -> bool {
        let goes_on = |slot: &Slot| {
            let stopped = *slot.stop.borrow();
            slot.is_busy() && !stopped && slot.manifest().ended.is_none()
        };
        self.shelf.of(room).iter().any(goes_on)
    }

    /// Ends one, and waits for up to `patience` until its file is finished; what it is like then.
    pub async fn stop(
        &self,
        room: &RoomName,
        id: &RecordingId,
        patience: Duration,
    ) -> Result<Manifest, Error> {
        let mut slot = self.shelf.get(room, id).ok_or(Error::NotThere)?;
        slot.stop.send_replace(true);
        let _ = tokio::time::timeout(patience, slot.done.wait_for(|done| *done)).await;
        Ok(slot.manifest())
    }

    /// Ends all of a room.
    pub fn stop_all(&self, room: &RoomName) {
        for slot in self.shelf.of(room) {
            slot.stop.send_replace(true);
        }
    }

    /// The file of one that is over.
    pub fn file(&self, room: &RoomName, id: &RecordingId) -> Result<PathBuf, Error> {
        let slot = self.shelf.get(room, id).ok_or(Error::NotThere)?;
        if slot.is_busy() {
            return Err(Error::Busy);
        }
        let manifest = slot.manifest();
        let uploaded = manifest.upload.is_some_and(|upload| !upload.is_open());
        let nowhere = match uploaded {
            true => Error::Uploaded,
            false => Error::NotThere,
        };
        let file = manifest.file.ok_or(nowhere)?;
        Ok(Path::new(&self.settings.folder).join(file))
    }

    /// Deletes one that is over.
    pub async fn delete(self: &Arc<Self>, room: &RoomName, id: &RecordingId) -> Result<(), Error> {
        let slot = self.shelf.get(room, id).ok_or(Error::NotThere)?;
        if slot.is_busy() {
            return Err(Error::Busy);
        }
        let (desk, id) = (self.clone(), id.clone());
        let delete = move || desk.shelf.delete(&id).map_err(|error| desk.folder(&error));
        self.on_disk(delete).await
    }

    /// Resolves when every file is finished.
    pub async fn settled(&self) {
        self.shelf.settled().await;
    }
}

/// Hands on what comes until there is a reason not to.
async fn feed(
    mut output: Output,
    work: &mpsc::Sender<Work>,
    mut stop: watch::Receiver<bool>,
) -> End {
    use mpsc::error::TrySendError::{Closed, Full};
    let mut summary = output.summary();
    summary.mark_changed();
    let mut lives = true;
    loop {
        let todo = tokio::select! {
            item = output.next() => match item {
                Ok(item) => Work::Item(item),
                Err(ended) => return End::Output(ended),
            },
            changed = summary.changed(), if lives => match changed {
                Ok(()) => Work::Room(summary.borrow_and_update().clone()),
                Err(_) => {
                    lives = false;
                    continue;
                }
            },
            _ = stop.wait_for(|stop| *stop) => return End::Asked,
        };
        match work.try_send(todo) {
            Ok(()) => {}
            Err(Full(_)) => return End::Behind,
            // The thread has said itself what was wrong.
            Err(Closed(_)) => return End::Asked,
        }
    }
}
