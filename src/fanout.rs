//! One producer, many listeners: what an encoder yields, handed by reference to everybody who
//! listens to its mix. A listener is a browser, a player, a recorder: no kind is special.
//!
//! A listener that does not keep up loses what it did not take, never delays the producer, and
//! starts again at the next picture a decoder can start from. A *strict* one is let go instead: to
//! a recording a hole is worse than an end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::media::Fanned;

/// Items a listener may be behind: half a second of audio, or of video at 25 pictures a second
/// twice over. Longer would be delay nobody wants; shorter drops on a scheduling hiccup.
pub const LISTENER_QUEUE: usize = 25;

/// The receiving end of a listener. It outlives any one mix: moving a listener to another
/// fan-out moves only the sending end.
pub type Receiver<T> = mpsc::Receiver<Arc<T>>;

/// The sending end of a listener, held by the one fan-out it is attached to; while it moves from one
/// to another without a gap, each has one.
#[derive(Debug)]
pub struct Listener<T> {
    queue: mpsc::Sender<Arc<T>>,
    /// Nothing is handed on until an item that [`Fanned::starts`].
    waiting: bool,
    /// Of a strict one: whether it was let go.
    strict: Option<Arc<AtomicBool>>,
}

/// Makes both ends of a listener.
pub fn listener<T: Fanned>() -> (Listener<T>, Receiver<T>) {
    ends(LISTENER_QUEUE, None)
}

/// Makes both ends of a listener that may be `queue` items behind.
pub fn listener_of<T: Fanned>(queue: usize) -> (Listener<T>, Receiver<T>) {
    ends(queue, None)
}

/// Makes both ends of a strict listener, which may be `queue` items behind. When it is further
/// behind, `let_go` becomes true and the receiving end ends after what it has.
pub fn strict_listener<T: Fanned>(
    queue: usize,
    let_go: Arc<AtomicBool>,
) -> (Listener<T>, Receiver<T>) {
    ends(queue, Some(let_go))
}

fn ends<T>(queue: usize, strict: Option<Arc<AtomicBool>>) -> (Listener<T>, Receiver<T>) {
    let (queue, receiver) = mpsc::channel(queue);
    let listener = Listener {
        queue,
        waiting: true,
        strict,
    };
    (listener, receiver)
}

/// Names a listener within one fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// The listeners of one mix.
#[derive(Debug)]
pub struct Fanout<T> {
    listeners: Mutex<HashMap<ListenerId, Listener<T>>>,
    dropped: AtomicU64,
}

impl<T> Default for Fanout<T> {
    fn default() -> Self {
        Self {
            listeners: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl<T: Fanned> Fanout<T> {
    /// Hands `item` to everybody. Never blocks. Returns whether some listener waits for an item
    /// it can start from, so that the producer can be asked for one.
    pub fn send(&self, item: &Arc<T>) -> bool {
        let mut someone_waits = false;
        self.lock().retain(|_, listener| {
            // Who is gone waits for nothing.
            if listener.queue.is_closed() {
                return false;
            }
            if listener.waiting && !item.starts() {
                someone_waits = true;
                return true;
            }
            listener.waiting = false;
            if listener.queue.try_send(item.clone()).is_ok() {
                return true;
            }
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(let_go) = &listener.strict {
                let_go.store(true, Ordering::Release);
                return false;
            }
            listener.waiting = true;
            someone_waits = true;
            true
        });
        someone_waits
    }

    /// Adds a listener, which hears from the next item that starts.
    pub fn attach(&self, id: ListenerId, mut listener: Listener<T>) {
        listener.waiting = true;
        self.lock().insert(id, listener);
    }

    /// Takes a listener out, to be attached elsewhere or dropped.
    pub fn detach(&self, id: ListenerId) -> Option<Listener<T>> {
        self.lock().remove(&id)
    }

    /// Another sending end of the same listener, which starts anew elsewhere.
    pub fn twin(&self, id: ListenerId) -> Option<Listener<T>> {
        let listeners = self.lock();
        let listener = listeners.get(&id)?;
        Some(Listener {
            queue: listener.queue.clone(),
            waiting: true,
            strict: listener.strict.clone(),
        })
    }

    /// Whether this one listens.
    pub fn has(&self, id: ListenerId) -> bool {
        self.lock().contains_key(&id)
    }

    /// Lets go of everybody.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many listen.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that listeners missed because their queue was full, since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ListenerId, Listener<T>>> {
        // A panic elsewhere while the map was held leaves it whole: no operation is two-step.
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
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
        for _ in 0..LISTENER_QUEUE {
            fanout.send(&Arc::new(Item(false)));
            assert!(quick_end.try_recv().is_ok());
        }
        assert_eq!(fanout.take_dropped(), 1);
        for _ in 0..LISTENER_QUEUE {
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
