//! The video loop of a room: a thread that ticks at the room's rate and waits for nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::mixer::Mixer;
use super::pace::Pace;
use super::plan::{MixEvent, Report, VideoPlan};
use crate::clock;
use crate::stats::Stats;

/// A running loop. Dropping it stops it and waits for the tick it may be in.
pub struct Loop {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
}

#[derive(Default)]
struct Inbox {
    /// Published and not yet taken; only the newest counts.
    plan: Option<VideoPlan>,
    stop: bool,
}

impl Loop {
    /// Starts the thread. Without mixes it sleeps until a plan is published. A panic in a tick
    /// ends the loop alone and is reported as [`MixEvent::Failed`].
    pub fn start(stats: Arc<Stats>, report: Report) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let seen = shared.clone();
        let thread = std::thread::Builder::new()
            .name("video-mix".into())
            .spawn(move || {
                let run = || run(&seen, &stats, &report);
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    report(MixEvent::Failed(format!("video loop: {}", words(&*panic))));
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands over a plan, which holds from the next tick on.
    pub fn publish(&self, plan: VideoPlan) {
        let replaced = self.shared.lock().plan.replace(plan);
        self.shared.wake.notify_one();
        // Outside the lock: a plan may hold the last reference to an encoder or a decoder.
        drop(replaced);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
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
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nothing panics while it is held, and both fields are whole at any time.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until something is published or all ends.
    fn park(&self) -> Wake {
        let mut inbox = self.lock();
        loop {
            if inbox.stop {
                return Wake::Stop;
            }
            if let Some(plan) = inbox.plan.take() {
                return Wake::Tick(Some(plan));
            }
            inbox = self
                .wake
                .wait(inbox)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps until the next tick is due or all ends.
    fn sleep(&self, due: clock::MediaTime) -> Wake {
        let mut inbox = self.lock();
        loop {
            if inbox.stop {
                return Wake::Stop;
            }
            let now = clock::now();
            if now >= due {
                return Wake::Tick(inbox.plan.take());
            }
            (inbox, _) = self
                .wake
                .wait_timeout(inbox, due.since(now))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

enum Wake {
    Stop,
    /// With the plan that was published meanwhile.
    Tick(Option<VideoPlan>),
}

fn run(shared: &Shared, stats: &Arc<Stats>, report: &Report) {
    let mut mixer = Mixer::new(stats.clone(), report.clone());
    let mut pace: Option<Pace> = None;
    loop {
        let wake = match &pace {
            Some(pace) => shared.sleep(pace.due()),
            None => shared.park(),
        };
        let plan = match wake {
            Wake::Stop => return,
            Wake::Tick(plan) => plan,
        };
        if let Some(plan) = plan {
            mixer.adopt(plan);
        }
        if mixer.plan().mixes.is_empty() {
            pace = None;
            continue;
        }
        let now = clock::now();
        let period = mixer.plan().period;
        let pace = pace.get_or_insert_with(|| Pace::new(period, now));
        pace.set_period(period);
        let begun = pace.begin(now);
        stats.mix_ticks.inc_by(1 + begun.skipped);
        stats
            .mix_late_ticks
            .inc_by(u64::from(begun.late) + begun.skipped);
        match begun.slowed {
            Some(true) => tracing::warn!("video ticks are late: half the frame rate for now"),
            Some(false) => tracing::info!("full frame rate again"),
            None => {}
        }
        mixer.tick(begun.at, |mix, picture, meta| {
            mix.output.push(picture, meta)
        });
        let worked = clock::now().since(now);
        stats.mix_seconds.observe(worked.as_secs_f64());
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without words")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::plan::{MixId, VideoMix};
    use super::*;
    use crate::encode::video::Input;
    use crate::media::Size;

    fn plan(layout: u64) -> VideoPlan {
        crate::gst::init().unwrap();
        VideoPlan {
            period: Duration::from_millis(5),
            mixes: vec![VideoMix {
                id: MixId(1),
                layout,
                canvas: Size::new(320, 180),
                fps: 200,
                tiles: Vec::new(),
                labels: false,
                output: Input::nowhere(),
            }],
        }
    }

    fn reporting() -> (Report, mpsc::Receiver<MixEvent>) {
        let (send, events) = mpsc::channel();
        let report = move |event| {
            let _ = send.send(event);
        };
        (Arc::new(report), events)
    }

    fn next(events: &mpsc::Receiver<MixEvent>) -> MixEvent {
        events.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_published_plan_is_shown_and_the_next_one_on_the_same_grid() {
        let stats = Arc::<Stats>::default();
        let (report, events) = reporting();
        let video = Loop::start(stats.clone(), report).unwrap();
        video.publish(plan(1));
        let shown = |event| match event {
            MixEvent::LayoutShown { layout, at, .. } => (layout, at),
            other => panic!("{other:?}"),
        };
        let (first, start) = shown(next(&events));
        video.publish(plan(2));
        let (second, later) = shown(next(&events));
        assert_eq!((first, second), (1, 2));
        assert_eq!(later.since(start).as_micros() % 5000, 0);
        drop(video);
        assert!(stats.mix_ticks.get() >= 2);
    }

    #[test]
    fn without_mixes_nothing_ticks() {
        let stats = Arc::<Stats>::default();
        let (report, events) = reporting();
        let video = Loop::start(stats.clone(), report).unwrap();
        video.publish(plan(1));
        next(&events);
        video.publish(VideoPlan {
            mixes: Vec::new(),
            ..plan(2)
        });
        // Taken at the next tick; from then on the count stands still.
        while video.shared.lock().plan.is_some() {
            std::thread::yield_now();
        }
        video.publish(plan(3));
        next(&events);
        drop(video);
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn a_panic_ends_the_loop_and_is_reported() {
        let (send, events) = mpsc::channel();
        let report = move |event: MixEvent| {
            let shown = matches!(event, MixEvent::LayoutShown { .. });
            send.send(event).unwrap();
            assert!(!shown, "a defect");
        };
        let video = Loop::start(Arc::default(), Arc::new(report)).unwrap();
        video.publish(plan(1));
        next(&events);
        match next(&events) {
            MixEvent::Failed(words) => assert!(words.contains("a defect"), "{words}"),
            other => panic!("{other:?}"),
        }
        drop(video);
    }
}
