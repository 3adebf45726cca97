//! One producer, many listeners: what an encoder yields, handed by reference to everybody who
//! listens to its mix. A listener is a browser, a player, a recorder: no kind is special.
//!
//! Some have a queue, from which a task of theirs takes. Who only passes things on is an [`Outlet`]:
//! one task per fan-out makes the [`round`] of them all, so that a room of hundreds is not hundreds
//! of tasks to wake for each packet.
//!
//! A listener that does not keep up loses what it did not take, never delays the producer, and
//! starts again at the next picture a decoder can start from. A *strict* one is let go instead: to
//! a recording a hole is worse than an end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::mpsc;

use crate::media::Fanned;
use round::{Place, Rounds};

pub use round::{Ending, Outlet};

mod round;

/// The receiving end of a listener. It outlives any one mix: moving a listener to another
/// fan-out moves only the sending end.
pub type Receiver<T> = mpsc::Receiver<Arc<T>>;

/// The sending end of a listener, held by the one fan-out it is attached to; while it moves from one
/// to another without a gap, each has one.
#[derive(Debug)]
pub struct Listener<T> {
    end: End<T>,
    /// The number of the first item that is for it; before that, it waits for one that
    /// [`Fanned::starts`].
    from: Option<u64>,
}

#[derive(Debug)]
enum End<T> {
    Queue {
        queue: mpsc::Sender<Arc<T>>,
        /// Of a strict one: whether it was let go.
        strict: Option<Arc<AtomicBool>>,
    },
    Outlet(Arc<Place<T>>),
}

/// Makes both ends of a listener.
pub fn listener<T: Fanned>() -> (Listener<T>, Receiver<T>) {
    ends(T::BEHIND, None)
}

/// Makes both ends of a strict listener, which may be `queue` items behind. When it is further
/// behind, `let_go` becomes true and the receiving end ends after what it has.
pub fn strict_listener<T: Fanned>(
    queue: usize,
    let_go: Arc<AtomicBool>,
) -> (Listener<T>, Receiver<T>) {
    ends(queue, Some(let_go))
}

/// Makes a listener of what passes things on; it ends when the other value is dropped, or by itself.
pub fn outlet<T: Fanned>(outlet: impl Outlet<T> + 'static) -> (Listener<T>, Ending) {
    let (place, ending) = round::place(outlet);
    (Listener::new(End::Outlet(Arc::new(place))), ending)
}

fn ends<T>(queue: usize, strict: Option<Arc<AtomicBool>>) -> (Listener<T>, Receiver<T>) {
    let (queue, receiver) = mpsc::channel(queue);
    (Listener::new(End::Queue { queue, strict }), receiver)
}

impl<T> Listener<T> {
    fn new(end: End<T>) -> Self {
        Self { end, from: None }
    }

    fn is_gone(&self) -> bool {
        match &self.end {
            End::Queue { queue, .. } => queue.is_closed(),
            End::Outlet(place) => place.is_ended(),
        }
    }
}

/// Names a listener within one fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// The listeners of one mix.
#[derive(Debug)]
pub struct Fanout<T> {
    listeners: Shared<T>,
    rounds: OnceLock<Rounds<T>>,
    dropped: AtomicU64,
}

type Shared<T> = Arc<Mutex<Listeners<T>>>;

#[derive(Debug)]
struct Listeners<T> {
    all: HashMap<ListenerId, Listener<T>>,
    /// Items so far.
    sent: u64,
}

impl<T> Default for Fanout<T> {
    fn default() -> Self {
        let listeners = Listeners {
            all: HashMap::new(),
            sent: 0,
        };
        Self {
            listeners: Arc::new(Mutex::new(listeners)),
            rounds: OnceLock::new(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl<T: Fanned> Fanout<T> {
    /// Hands `item` to everybody. Never blocks. Returns whether some listener waits for an item
    /// it can start from, so that the producer can be asked for one.
    pub fn send(&self, item: &Arc<T>) -> bool {
        let mut listeners = self.lock();
        listeners.sent += 1;
        let number = listeners.sent;
        let (mut someone_waits, mut outlets, mut dropped) = (false, 0, 0);
        listeners.all.retain(|_, listener| {
            // Who is gone waits for nothing.
            if listener.is_gone() {
                return false;
            }
            if listener.from.is_none() && !item.starts() {
                someone_waits = true;
                return true;
            }
            listener.from.get_or_insert(number);
            let End::Queue { queue, strict } = &listener.end else {
                outlets += 1;
                return true;
            };
            if queue.try_send(item.clone()).is_ok() {
                return true;
            }
            dropped += 1;
            if let Some(let_go) = strict {
                let_go.store(true, Ordering::Release);
                return false;
            }
            listener.from = None;
            someone_waits = true;
            true
        });
        let rounds = self.rounds.get().filter(|_| outlets > 0);
        if rounds.is_some_and(|rounds| !rounds.begin(number, item)) {
            for listener in listeners.all.values_mut() {
                if let End::Outlet(_) = listener.end {
                    listener.from = None;
                }
            }
            dropped += outlets;
            someone_waits = true;
        }
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        someone_waits
    }

    /// Adds a listener, which hears from the next item that starts.
    ///
    /// # Panics
    /// If it is an [`outlet`], and this is not called within a Tokio runtime.
    pub fn attach(&self, id: ListenerId, listener: Listener<T>) {
        let end = match listener.end {
            End::Outlet(place) => {
                self.rounds.get_or_init(|| Rounds::of(&self.listeners));
                End::Outlet(Arc::new(place.again()))
            }
            queue => queue,
        };
        let before = self.lock().all.insert(id, Listener::new(end));
        drop(before.map(Listener::detached));
    }

    /// Takes a listener out, to be attached elsewhere or dropped. Nothing from here reaches it after
    /// what reaches it from there.
    pub fn detach(&self, id: ListenerId) -> Option<Listener<T>> {
        self.lock().all.remove(&id).map(Listener::detached)
    }

    /// Another sending end of the same listener, which starts anew elsewhere.
    pub fn twin(&self, id: ListenerId) -> Option<Listener<T>> {
        let listeners = self.lock();
        let end = match &listeners.all.get(&id)?.end {
            End::Queue { queue, strict } => End::Queue {
                queue: queue.clone(),
                strict: strict.clone(),
            },
            // It gets a place of its own where it is attached.
            End::Outlet(place) => End::Outlet(place.clone()),
        };
        Some(Listener::new(end))
    }

    /// Whether this one listens.
    pub fn has(&self, id: ListenerId) -> bool {
        self.lock().all.contains_key(&id)
    }

    /// Lets go of everybody.
    pub fn clear(&self) {
        let all = std::mem::take(&mut self.lock().all);
        all.into_values().map(Listener::detached).for_each(drop);
    }

    /// How many listen.
    pub fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that listeners missed because their queue was full, since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Listeners<T>> {
        lock(&self.listeners)
    }
}

impl<T> Listener<T> {
    /// What is under way to it is not for it any more.
    fn detached(self) -> Self {
        if let End::Outlet(place) = &self.end {
            place.leave();
        }
        self
    }
}

impl<T> Listeners<T> {
    /// The outlets that this item is for.
    fn places(&self, number: u64) -> impl Iterator<Item = Arc<Place<T>>> {
        let due = move |listener: &&Listener<T>| listener.from.is_some_and(|from| from <= number);
        self.all.values().filter(due).filter_map(|l| match &l.end {
            End::Outlet(place) => Some(place.clone()),
            End::Queue { .. } => None,
        })
    }
}

fn lock<T: ?Sized>(listeners: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere while it was held leaves it whole: no operation is two-step.
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(bool);
    impl Fanned for Item {
        fn starts(&self) -> bool {
            self.0
        }
        const QUEUE: &'static str = "test";
        const BEHIND: usize = 25;
    }

    #[test]
    fn a_newcomer_waits_for_a_start() {
        let fanout = Fanout::<Item>::default();
        let (listener, mut receiver) = listener();
        fanout.attach(ListenerId(1), listener);
        assert!(fanout.send(&Arc::new(Item(false))));
        assert!(receiver.try_recv().is_err());
        assert!(!fanout.send(&Arc::new(Item(true))));
        assert!(receiver.try_recv().is_ok());
        assert!(!fanout.send(&Arc::new(Item(false))));
        assert!(receiver.try_recv().is_ok());
    }

    #[test]
    fn a_slow_listener_loses_alone_and_starts_again() {
        let fanout = Fanout::<Item>::default();
        let (slow, mut slow_end) = listener();
        let (quick, mut quick_end) = listener();
        fanout.attach(ListenerId(1), slow);
        fanout.attach(ListenerId(2), quick);
        fanout.send(&Arc::new(Item(true)));
        for _ in 0..Item::BEHIND {
            fanout.send(&Arc::new(Item(false)));
            assert!(quick_end.try_recv().is_ok());
        }
        assert_eq!(fanout.take_dropped(), 1);
        for _ in 0..Item::BEHIND {
            assert!(slow_end.try_recv().is_ok());
        }
        assert!(fanout.send(&Arc::new(Item(false))), "the slow one waits");
        assert!(slow_end.try_recv().is_err());
        fanout.send(&Arc::new(Item(true)));
        assert!(slow_end.try_recv().is_ok());
    }

    #[test]
    fn a_listener_moves_without_a_gap() {
        let [from, to] = [Fanout::<Item>::default(), Fanout::default()];
        let (listener, mut receiver) = listener();
        let id = ListenerId(1);
        from.attach(id, listener);
        from.send(&Arc::new(Item(true)));
        to.attach(id, from.twin(id).expect("it listens"));
        assert!(to.has(id) && from.has(id));
        assert!(to.send(&Arc::new(Item(false))), "it waits for a start");
        from.send(&Arc::new(Item(false)));
        to.send(&Arc::new(Item(true)));
        from.detach(id);
        assert!(from.twin(id).is_none());
        let heard = std::iter::from_fn(|| receiver.try_recv().ok());
        assert_eq!(
            heard.map(|item| item.0).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn who_is_gone_waits_for_nothing() {
        let fanout = Fanout::<Item>::default();
        let (listener, receiver) = listener();
        fanout.attach(ListenerId(1), listener);
        assert!(fanout.send(&Arc::new(Item(false))));
        drop(receiver);
        assert!(!fanout.send(&Arc::new(Item(false))));
        assert_eq!((fanout.len(), fanout.take_dropped()), (0, 0));
    }

    #[test]
    fn a_strict_listener_that_is_behind_is_let_go() {
        let fanout = Fanout::<Item>::default();
        let let_go = Arc::new(AtomicBool::new(false));
        let (strict, mut strict_end) = strict_listener(2, let_go.clone());
        let (other, mut other_end) = listener();
        fanout.attach(ListenerId(1), strict);
        fanout.attach(ListenerId(2), other);
        for _ in 0..3 {
            assert!(!let_go.load(Ordering::Acquire));
            assert!(!fanout.send(&Arc::new(Item(true))));
            assert!(other_end.try_recv().is_ok(), "nobody else is the worse");
        }
        assert!(let_go.load(Ordering::Acquire));
        assert_eq!(fanout.len(), 1);
        assert!(strict_end.try_recv().is_ok() && strict_end.try_recv().is_ok());
        let end = mpsc::error::TryRecvError::Disconnected;
        assert_eq!(strict_end.try_recv().err(), Some(end));
    }
}
