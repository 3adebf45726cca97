//! The round of those who only pass things on: one task hands each item to all of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;

use super::{Shared, lock};
use crate::media::Fanned;

/// Passes on what it is handed, and has nothing to wait for.
pub trait Outlet<T>: Send {
    /// Passes it on; whether there may be more.
    fn take(&mut self, item: &Arc<T>) -> bool;
}

/// Where a fan-out finds an outlet, until it is detached.
pub(super) struct Place<T> {
    outlet: Arc<Mutex<dyn Outlet<T>>>,
    ended: Arc<AtomicBool>,
    left: AtomicBool,
}

/// Ends an outlet when it is dropped.
#[derive(Debug)]
pub struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A place, and what ends it.
pub(super) fn place<T>(outlet: impl Outlet<T> + 'static) -> (Place<T>, Ending) {
    let ended = Arc::new(AtomicBool::new(false));
    let place = Place {
        outlet: Arc::new(Mutex::new(outlet)),
        ended: ended.clone(),
        left: AtomicBool::new(false),
    };
    (place, Ending(ended))
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl<T> Place<T> {
    /// Another one of the same outlet.
    pub fn again(&self) -> Self {
        Self {
            outlet: self.outlet.clone(),
            ended: self.ended.clone(),
            left: AtomicBool::new(false),
        }
    }

    /// Nothing is handed over here any more.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Whether the outlet takes no more.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Hands an item over. A panic ends this outlet, and is nobody else's matter.
    fn hand(&self, item: &Arc<T>) {
        let mut outlet = lock(&self.outlet);
        // Once something came from elsewhere, nothing from here follows.
        if self.left.load(Ordering::Acquire) || self.is_ended() {
            return;
        }
        let more = catch_unwind(AssertUnwindSafe(|| outlet.take(item)));
        if !more.unwrap_or(false) {
            self.ended.store(true, Ordering::Release);
        }
    }
}

/// Where rounds begin. When the fan-out is gone, those that have begun are made to the end.
#[derive(Debug)]
pub(super) struct Rounds<T>(mpsc::Sender<(u64, Arc<T>)>);

impl<T: Fanned> Rounds<T> {
    /// Of the outlets among these.
    pub fn of(listeners: &Shared<T>) -> Self {
        let (items, queue) = mpsc::channel(T::BEHIND);
        tokio::spawn(make(queue, listeners.clone()));
        Self(items)
    }

    /// Begins one, unless so many are to be made that it would be too late.
    pub fn begin(&self, number: u64, item: &Arc<T>) -> bool {
        self.0.try_send((number, item.clone())).is_ok()
    }
}

/// Makes the rounds, one after the other.
async fn make<T: Fanned>(mut items: mpsc::Receiver<(u64, Arc<T>)>, listeners: Shared<T>) {
    let mut places = Vec::new();
    while let Some((number, item)) = items.recv().await {
        // Not under the lock: the producer is not to wait for hundreds.
        places.extend(lock(&listeners).places(number));
        for place in places.drain(..) {
            place.hand(&item);
            // Others have something to do, too.
            consume_budget().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::super::{Fanout, ListenerId, outlet};
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(u32);

    impl Fanned for Item {
        fn starts(&self) -> bool {
            self.0.is_multiple_of(10)
        }
        const QUEUE: &'static str = "test";
        const BEHIND: usize = 4;
    }

    const ONE: ListenerId = ListenerId(1);
    const TWO: ListenerId = ListenerId(2);

    /// Tells what it takes; ends after 99, and trips over 66.
    struct Teller(Sender<u32>);

    impl Outlet<Item> for Teller {
        fn take(&mut self, item: &Arc<Item>) -> bool {
            assert_ne!(item.0, 66);
            self.0.send(item.0).is_ok() && item.0 != 99
        }
    }

    fn teller() -> (super::super::Listener<Item>, Ending, Receiver<u32>) {
        let (told, heard) = channel();
        let (listener, ending) = outlet(Teller(told));
        (listener, ending, heard)
    }

    fn send(fanout: &Fanout<Item>, items: impl IntoIterator<Item = u32>) -> Vec<bool> {
        let items = items.into_iter();
        items.map(|n| fanout.send(&Arc::new(Item(n)))).collect()
    }

    /// Once all rounds that have begun are made.
    async fn heard(heard: &Receiver<u32>) -> Vec<u32> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        heard.try_iter().collect()
    }

    #[tokio::test]
    async fn each_starts_where_it_can_and_gets_all_from_there() {
        let fanout = Fanout::default();
        let (one, _ending, first) = teller();
        let (two, _ending_too, second) = teller();
        fanout.attach(ONE, one);
        assert_eq!(send(&fanout, [1, 10, 11]), [true, false, false]);
        fanout.attach(TWO, two);
        assert_eq!(send(&fanout, [12]), [true]);
        assert_eq!(heard(&first).await, [10, 11, 12]);
        assert_eq!(send(&fanout, [20, 21]), [false, false]);
        assert_eq!(heard(&second).await, [20, 21], "not what was under way");
        assert_eq!(heard(&first).await, [20, 21]);
    }

    #[tokio::test]
    async fn who_is_too_late_starts_again() {
        let fanout = Fanout::default();
        let (one, _ending, first) = teller();
        fanout.attach(ONE, one);
        assert_eq!(send(&fanout, 10..14), [false; 4]);
        assert_eq!(send(&fanout, 14..16), [true; 2], "four are to be made");
        assert_eq!(fanout.take_dropped(), 1);
        assert_eq!(heard(&first).await, Vec::<u32>::new(), "it starts again");
        assert_eq!(send(&fanout, 20..22), [false; 2]);
        assert_eq!(heard(&first).await, [20, 21]);
    }

    #[tokio::test]
    async fn who_was_detached_gets_nothing_that_is_under_way() {
        let [from, to] = [Fanout::default(), Fanout::default()];
        let (one, _ending, first) = teller();
        from.attach(ONE, one);
        send(&from, [10]);
        assert_eq!(heard(&first).await, [10]);
        send(&from, [11]);
        to.attach(ONE, from.detach(ONE).unwrap());
        send(&to, [20]);
        send(&from, [12]);
        assert_eq!(heard(&first).await, [20]);
    }

    #[tokio::test]
    async fn two_ends_of_one_are_served_until_one_is_detached() {
        let [from, to] = [Fanout::default(), Fanout::default()];
        let (one, _ending, first) = teller();
        from.attach(ONE, one);
        send(&from, [10]);
        to.attach(ONE, from.twin(ONE).unwrap());
        assert_eq!(send(&to, [1]), [true]);
        send(&from, [11]);
        assert_eq!(heard(&first).await, [10, 11]);
        send(&to, [20]);
        assert_eq!(heard(&first).await, [20]);
        from.detach(ONE);
        send(&from, [12]);
        send(&to, [21]);
        assert_eq!(heard(&first).await, [21]);
    }

    #[tokio::test]
    async fn who_ends_or_fails_is_gone_alone() {
        let fanout = Fanout::default();
        let (one, ending, first) = teller();
        let (two, _ending, second) = teller();
        fanout.attach(ONE, one);
        fanout.attach(TWO, two);
        send(&fanout, [10]);
        assert_eq!(heard(&first).await, [10]);
        drop(ending);
        send(&fanout, [11, 99]);
        assert_eq!(heard(&second).await, [10, 11, 99]);
        assert_eq!(heard(&first).await, Vec::<u32>::new());
        send(&fanout, [100]);
        assert!(fanout.is_empty());
        let (one, _ending, first) = teller();
        fanout.attach(ONE, one);
        send(&fanout, [20, 66, 21]);
        assert_eq!(heard(&first).await, [20]);
        let (two, _ending, second) = teller();
        fanout.attach(TWO, two);
        send(&fanout, [30]);
        assert_eq!(heard(&second).await, [30], "the rounds go on");
        assert_eq!(fanout.len(), 1);
    }
}
