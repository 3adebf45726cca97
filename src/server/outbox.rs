//! Messages on their way to a client by an event stream, and those that may have been lost with
//! the last one. Pure.

use std::collections::VecDeque;

/// Messages that wait to be sent, bytes; a larger one waits alone. The list of some hundred people
/// and the chat of a room that is joined fit.
const WAITING: usize = 256 * 1024;
/// What was sent and is kept in case that it did not arrive, bytes. A stream that breaks loses what
/// was on its way, which is less than a second's.
const KEPT: usize = 64 * 1024;

/// What is numbered and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A message.
    Text(String),
    /// A sign of life is wanted.
    Ping,
    /// Nothing follows.
    End,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ping | Self::End => 0,
        }
    }
}

/// Of one client.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The first is number `gone + 1`.
    items: VecDeque<Item>,
    /// The last that is not kept any more.
    gone: u64,
    /// The last that was handed out.
    sent: u64,
    waiting: usize,
    kept: usize,
}

impl Outbox {
    /// Whether another message can wait.
    pub fn has_room(&self) -> bool {
        self.waiting < WAITING
    }

    /// Another one waits.
    pub fn push(&mut self, item: Item) {
        self.waiting += item.bytes();
        self.items.push_back(item);
    }

    /// Whether something follows the item of this number.
    pub fn has_after(&self, number: u64) -> bool {
        number < self.last()
    }

    /// What follows the item of this number, with its own; none while there is nothing, or if it
    /// is kept no more.
    pub fn after(&mut self, number: u64) -> Option<(u64, Item)> {
        let at = usize::try_from(number.checked_sub(self.gone)?).ok()?;
        let item = self.items.get(at)?.clone();
        let number = number + 1;
        if number > self.sent {
            self.sent = number;
            self.waiting -= item.bytes();
            self.kept += item.bytes();
            self.forget();
        }
        Some((number, item))
    }

    /// Whether a client who has seen the item of this number has missed nothing that is lost.
    pub fn can_follow(&self, number: u64) -> bool {
        (self.gone..=self.sent).contains(&number)
    }

    fn last(&self) -> u64 {
        self.gone + self.items.len() as u64
    }

    fn forget(&mut self) {
        while self.kept > KEPT && self.gone < self.sent {
            if let Some(item) = self.items.pop_front() {
                self.kept -= item.bytes();
            }
            self.gone += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Item {
        Item::Text("x".repeat(bytes))
    }

    #[test]
    fn what_a_broken_stream_lost_is_sent_again() {
        let mut outbox = Outbox::default();
        for n in 1..=3 {
            outbox.push(text(n));
        }
        assert_eq!(outbox.after(0), Some((1, text(1))));
        assert_eq!(outbox.after(1), Some((2, text(2))));
        assert!(outbox.can_follow(0) && outbox.can_follow(1) && outbox.can_follow(2));
        assert!(!outbox.can_follow(3), "nobody has seen what was not sent");
        assert_eq!(outbox.after(1), Some((2, text(2))), "again");
        assert!(outbox.has_after(2) && !outbox.has_after(3));
        assert_eq!(outbox.after(2), Some((3, text(3))));
        assert_eq!(outbox.after(3), None);
    }

    #[test]
    fn it_is_bounded_both_ways() {
        let mut outbox = Outbox::default();
        let mut waiting = 0;
        while outbox.has_room() {
            outbox.push(text(1000));
            waiting += 1;
        }
        assert_eq!(waiting, WAITING.div_ceil(1000));
        for number in 0..waiting as u64 {
            assert_eq!(outbox.after(number), Some((number + 1, text(1000))));
        }
        assert!(outbox.has_room());
        let last = waiting as u64;
        assert!(!outbox.can_follow(0) && outbox.can_follow(last));
        assert!(outbox.can_follow(last - (KEPT / 1000) as u64));
        assert_eq!(outbox.after(0), None, "kept no more");
    }

    #[test]
    fn pings_and_a_message_larger_than_all_are_no_trouble() {
        let mut outbox = Outbox::default();
        outbox.push(text(2 * WAITING));
        assert!(!outbox.has_room());
        outbox.push(Item::Ping);
        assert!(matches!(outbox.after(0), Some((1, Item::Text(_)))));
        assert!(outbox.has_room());
        assert_eq!(outbox.after(1), Some((2, Item::Ping)));
        assert!(outbox.can_follow(2));
    }
}
