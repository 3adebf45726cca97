//! The audio of a room: every 20 ms everybody's voice is pulled, levelled and summed once, and
//! each mix gets the sum without its listener's own voice, limited and encoded.
//!
//! ```text
//! samples ▸ strip (speech? ▸ level ▸ ramp) ▸ sum ▸ desk ▸ bus (minus own ▸ limit ▸ encode) ▸ fan-out
//! ```
//!
//! A tick waits for nobody: a source that has nothing adds nothing. Only [`Loop`] reads the
//! clock; all else is arithmetic on blocks of samples.

mod bus;
mod desk;
mod level;
mod limit;
mod pace;
#[cfg(test)]
mod probe;
mod ramp;
mod speech;
mod strip;
mod sum;
mod taste;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::clock::{self, MediaTime};
use crate::decode::audio::Pulled;
use crate::media::{EncodedAudio, Fanned};
use crate::mix::plan::{AudioMix, AudioPlan, MixEvent, Report};
use crate::stats::Stats;
use desk::Desk;
use pace::{Pace, Step};
use sum::Mixer;

/// The audio thread of one room. Dropping it ends the thread and waits for that.
pub struct Loop {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the room and the thread have in common.
#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Default)]
struct Orders {
    /// The newest plan, until the thread takes it.
    plan: Option<AudioPlan>,
    stop: bool,
}

impl Loop {
    /// Starts the thread, which rests until the first plan with a mix. A panic in a tick ends
    /// this loop alone and is reported as [`MixEvent::Failed`].
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(stats: Arc<Stats>, report: Report) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = std::thread::Builder::new()
            .name("audio-mix".into())
            .spawn(move || {
                let worker = Worker::new(stats, report.clone());
                // Whatever a panic leaves half done is dropped with the worker.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run(&seen))) {
                    report(MixEvent::Failed(format!("audio loop: {}", words(&*panic))));
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands over a plan, which holds from the next tick on.
    pub fn publish(&self, plan: AudioPlan) {
        let replaced = self.shared.lock().plan.replace(plan);
        self.shared.changed.notify_one();
        // Outside the lock: a plan may hold the last reference to a decoder.
        drop(replaced);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Dropped from within a report, it cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            // A panic was caught and reported inside.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        // Nothing panics while it is held, and both fields are whole at any time.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is something to do: a tick when one is due, unless it is to `rest`.
    fn next(&self, pace: &mut Pace, rest: bool) -> Next {
        let mut orders = self.lock();
        loop {
            if orders.stop {
                return Next::Stop;
            }
            if let Some(plan) = orders.plan.take() {
                return Next::Plan(plan);
            }
            if rest {
                pace.rest();
                orders = self
                    .changed
                    .wait(orders)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = clock::now();
            match pace.step(now) {
                Step::Tick { at, skipped } => return Next::Tick { at, skipped },
                Step::Wait(until) => {
                    (orders, _) = self
                        .changed
                        .wait_timeout(orders, until.since(now))
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// What the thread does next.
enum Next {
    Stop,
    Plan(AudioPlan),
    Tick { at: MediaTime, skipped: u64 },
}

/// What the thread owns.
struct Worker {
    stats: Arc<Stats>,
    report: Report,
    plan: AudioPlan,
    mixer: Mixer,
    desk: Desk,
    pace: Pace,
}

impl Worker {
    fn new(stats: Arc<Stats>, report: Report) -> Self {
        Self {
            stats,
            report,
            plan: AudioPlan::default(),
            mixer: Mixer::default(),
            desk: Desk::default(),
            pace: Pace::default(),
        }
    }

    fn run(mut self, shared: &Shared) {
        loop {
            match shared.next(&mut self.pace, self.plan.mixes.is_empty()) {
                Next::Stop => return,
                Next::Plan(plan) => self.adopt(plan),
                Next::Tick { at, skipped } => {
                    self.stats.dropped("audio_ticks", skipped);
                    self.tick(at);
                }
            }
        }
    }

    /// Takes a plan over, with whatever it has in common with the one before.
    fn adopt(&mut self, plan: AudioPlan) {
        self.mixer
            .arrange(plan.sources.iter().map(|s| (s.who, s.muted)));
        self.mixer.heard = plan.heard;
        self.desk
            .arrange(plan.mixes.iter().map(|m| (m.id, m.without, &m.gains[..])));
        self.plan = plan;
    }

    fn tick(&mut self, at: MediaTime) {
        let AudioPlan { sources, mixes, .. } = &self.plan;
        self.mixer
            .tick(|index, samples| match &sources[index].samples {
                Some(source) => source.pull(at, samples),
                None => Pulled::Nothing,
            });
        let stats = &self.stats;
        self.desk.tick(&self.mixer, stats, |index, packet| {
            let AudioMix { id, output, .. } = &mixes[index];
            match packet {
                Ok(payload) => {
                    output.send(&Arc::new(EncodedAudio { at, payload }));
                    stats.dropped(EncodedAudio::QUEUE, output.take_dropped());
                }
                Err(error) => {
                    tracing::error!(mix = id.0, %error, "20 ms of a mix are lost");
                    stats.pipeline_error("opusenc");
                }
            }
        });
        if let Some(levels) = self.mixer.levels() {
            (self.report)(MixEvent::Levels(levels));
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::audio::{Decoder, Samples};
    use crate::encode::audio::Encoder;
    use crate::fanout::{Fanout, ListenerId, Receiver, listener};
    use crate::id::ParticipantId;
    use crate::media::{AUDIO_FRAME, Kind, RtpPacket};
    use crate::mix::plan::{AudioSource, MixId};
    use std::sync::mpsc;

    /// A mix with one listener.
    fn mix(id: u64, without: Option<u32>) -> (AudioMix, Receiver<EncodedAudio>) {
        let output = Arc::new(Fanout::default());
        let (sender, receiver) = listener();
        output.attach(ListenerId(1), sender);
        let mix = AudioMix {
            id: MixId(id),
            without: without.map(ParticipantId),
            gains: Vec::new(),
            output,
        };
        (mix, receiver)
    }

    fn source(who: u32) -> AudioSource {
        AudioSource {
            who: ParticipantId(who),
            samples: Some(Arc::new(Samples::new(Arc::default()))),
            muted: false,
        }
    }

    fn start() -> (Loop, Arc<Stats>, mpsc::Receiver<MixEvent>) {
        let stats = Arc::new(Stats::default());
        let (events, received) = mpsc::channel();
        let report: Report = Arc::new(move |event| {
            let _ = events.send(event);
        });
        let audio = Loop::start(stats.clone(), report).expect("a thread");
        (audio, stats, received)
    }

    #[test]
    fn every_mix_gets_a_packet_every_20_ms_whatever_its_sources_do() {
        let (audio, stats, events) = start();
        let (one, mut first) = mix(1, None);
        let (two, mut second) = mix(2, Some(1));
        audio.publish(AudioPlan {
            heard: 5,
            sources: vec![source(1), source(2)],
            mixes: vec![one.clone(), two],
        });
        let mut times = Vec::new();
        for _ in 0..10 {
            let packets = [&mut first, &mut second].map(|r| r.blocking_recv().expect("a packet"));
            assert_eq!(packets[0].at, packets[1].at);
            times.push(packets[0].at);
        }
        for pair in times.windows(2) {
            // The tenth of a second that is left out if this machine sleeps that long.
            assert_eq!(pair[1].since(pair[0]).as_nanos() % 20_000_000, 0);
        }
        // Nobody is heard, so both get what one encoder makes.
        assert_eq!(stats.encoders(Kind::Audio).get(), 1);
        let MixEvent::Levels(levels) = events.recv().expect("who is there") else {
            panic!("not levels");
        };
        assert_eq!(levels.len(), 2);
        // One that goes takes nothing along that the other needs.
        audio.publish(AudioPlan {
            heard: 5,
            sources: vec![source(2)],
            mixes: vec![one],
        });
        while second.blocking_recv().is_some() {}
        while first.try_recv().is_ok() {}
        assert!(first.blocking_recv().is_some());
        assert_eq!(stats.encoders(Kind::Audio).get(), 1);
        drop(audio);
        assert_eq!(stats.encoders(Kind::Audio).get(), 0);
    }

    #[test]
    fn without_mixes_the_thread_rests_and_ends_when_told() {
        let (audio, stats, events) = start();
        let (one, mut first) = mix(1, None);
        audio.publish(AudioPlan {
            heard: 5,
            sources: vec![source(1)],
            mixes: vec![one],
        });
        first.blocking_recv().expect("it runs");
        audio.publish(AudioPlan::default());
        // The encoder goes with the plan; then nothing is reported any more.
        while first.blocking_recv().is_some() {}
        assert_eq!(stats.encoders(Kind::Audio).get(), 0);
        drop(audio);
        assert!(events.iter().all(|e| matches!(e, MixEvent::Levels(_))));
    }

    #[test]
    fn a_panic_ends_this_loop_only_and_is_reported() {
        let (events, received) = mpsc::channel();
        let report: Report = Arc::new(move |event| match event {
            MixEvent::Levels(_) => panic!("on purpose"),
            event => {
                let _ = events.send(event);
            }
        });
        let stats = Arc::new(Stats::default());
        let audio = Loop::start(stats.clone(), report).expect("a thread");
        let (one, mut packets) = mix(1, None);
        audio.publish(AudioPlan {
            heard: 5,
            sources: vec![source(1)],
            mixes: vec![one],
        });
        let Ok(MixEvent::Failed(words)) = received.recv() else {
            panic!("the failure is not reported");
        };
        assert_eq!(words, "audio loop: on purpose");
        while packets.blocking_recv().is_some() {}
        assert_eq!(stats.encoders(Kind::Audio).get(), 0);
        // Orders to a loop that has ended are no trouble.
        audio.publish(AudioPlan::default());
    }

    /// One participant's way in: a tone in Opus, packet by packet, and the decoder it goes to.
    struct Talker {
        pitch: f32,
        opus: Encoder,
        decoder: Decoder,
        sent: usize,
    }

    impl Talker {
        fn new(pitch: f32, stats: &Arc<Stats>) -> Self {
            let library = crate::gst::Library::embedded();
            let events = Arc::new(|_| {});
            Self {
                pitch,
                opus: Encoder::start(stats).expect("libopus starts"),
                decoder: Decoder::start(&library, stats, Arc::default(), events)
                    .expect("a decoder starts"),
                sent: 0,
            }
        }

        fn send(&mut self) {
            let samples = probe::tone(self.pitch, 0.1, self.sent);
            self.decoder.push(&RtpPacket {
                payload_type: 111,
                marker: self.sent == 0,
                sequence: self.sent as u16,
                timestamp: (self.sent * AUDIO_FRAME) as u32,
                ssrc: self.pitch as u32,
                payload: self.opus.encode(&samples).expect("encodes"),
                arrived: clock::now(),
                level: None,
                rotation: None,
            });
            self.sent += 1;
        }
    }

    #[test]
    fn from_packets_to_packets_everybody_hears_the_others_only() {
        let pitches = [440.0, 660.0, 990.0];
        let (audio, stats, events) = start();
        let mut talkers = pitches.map(|pitch| Talker::new(pitch, &stats));
        let (mixes, mut receivers): (Vec<_>, Vec<_>) =
            (0..3).map(|n| mix(u64::from(n), Some(n))).unzip();
        let sources = talkers.iter().enumerate().map(|(n, talker)| AudioSource {
            who: ParticipantId(n as u32),
            samples: Some(talker.decoder.samples()),
            muted: false,
        });
        audio.publish(AudioPlan {
            heard: 5,
            sources: sources.collect(),
            mixes,
        });
        let mut decoders = [(); 3]
            .map(|()| opus::Decoder::new(48_000, opus::Channels::Mono).expect("libopus starts"));
        let mut heard = [(); 3].map(|()| Vec::new());
        // The mix's own packets set the pace: each tick, everybody says 20 ms more.
        for _ in 0..150 {
            for (listener, receiver) in receivers.iter_mut().enumerate() {
                let packet = receiver.blocking_recv().expect("a packet");
                let mut samples = [0; AUDIO_FRAME];
                decoders[listener]
                    .decode(&packet.payload, &mut samples, false)
                    .expect("decodes");
                heard[listener].extend(probe::to_f32(&samples));
            }
            talkers.iter_mut().for_each(Talker::send);
        }
        for (listener, heard) in heard.iter().enumerate() {
            let last = &heard[heard.len() - probe::SECOND..];
            let levels =
                pitches.map(|pitch| probe::decibels(probe::amplitude(last, f64::from(pitch))));
            for (talker, level) in levels.iter().enumerate() {
                if talker == listener {
                    assert!(*level < -60.0, "{listener} hears themselves: {levels:?}");
                } else {
                    assert!(
                        *level > -27.0,
                        "{listener} does not hear {talker}: {levels:?}"
                    );
                }
            }
        }
        drop(audio);
        let speaking = |event| match event {
            MixEvent::Levels(levels) => levels.iter().all(|level| level.speaking),
            _ => false,
        };
        assert!(events.iter().any(speaking), "all are reported to speak");
    }

    #[test]
    #[ignore = "measures; run it alone, in release, with --nocapture"]
    fn what_a_tick_costs() {
        use bus::Bus;
        use probe::{speech, to_i16};
        let stats = Stats::default();
        for count in [4, 8] {
            let voices: Vec<Vec<i16>> = (0..count)
                .map(|n| speech(n + 1, -25.0, 20).into_iter().map(to_i16).collect())
                .collect();
            let mut mixer = Mixer::default();
            mixer.arrange((0..count).map(|n| (ParticipantId(n), false)));
            let mut buses: Vec<_> = (0..count)
                .map(|_| Bus::start(&stats).expect("libopus starts"))
                .collect();
            let mut spent = [0.0; 2];
            for tick in 0..1000 {
                let begun = crate::stats::process_cpu_seconds();
                mixer.tick(|source, samples| {
                    let from = tick * AUDIO_FRAME;
                    samples.copy_from_slice(&voices[source][from..from + AUDIO_FRAME]);
                    Pulled::Speech
                });
                let mixed = crate::stats::process_cpu_seconds();
                for (n, bus) in buses.iter_mut().enumerate() {
                    let own = Some(ParticipantId(n as u32));
                    bus.packet(&mixer, &own.into()).expect("encodes");
                }
                spent[0] += mixed - begun;
                spent[1] += crate::stats::process_cpu_seconds() - mixed;
            }
            let [strips, buses] = spent.map(|seconds| seconds * 1000.0);
            println!(
                "N = {count}: {strips:.0} us for strips and sum, {buses:.0} us for buses a tick, {:.2} % of a core",
                (strips + buses) / 200.0
            );
        }
    }
}
