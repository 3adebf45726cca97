//! Where what happens on somebody's uplink is told, from threads that must not wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::mpsc::error::TrySendError;

use super::Command;
use crate::id::ParticipantId;
use crate::room::uplink::{Tell, UplinkEvent};

/// What waits for a room whose inbox is full. More than a connection has to tell in its life; only
/// who floods a room that hangs comes to it.
const MOST: usize = 64;

/// What is told once only and found out by nobody otherwise, while the inbox has no room for it.
#[derive(Default)]
struct Backlog {
    waits: VecDeque<UplinkEvent>,
    /// A task brings what waits.
    brought: bool,
}

/// An ear of a room for somebody's uplink. What may be told again is not taken when the inbox is full;
/// what is told once waits, and keeps its order.
pub(super) fn ear(commands: WeakSender<Command>, id: ParticipantId) -> Tell {
    let backlog = Arc::<Mutex<Backlog>>::default();
    let runtime = Handle::current();
    Box::new(move |event| {
        let Some(inbox) = commands.upgrade() else {
            return false;
        };
        let once = matches!(
            event,
            UplinkEvent::State(_) | UplinkEvent::Track(..) | UplinkEvent::Line(_)
        );
        let mut held = lock(&backlog);
        if !held.brought || !once {
            match inbox.try_send(Command::Uplink(id, event)) {
                Ok(()) => return true,
                Err(TrySendError::Full(_)) if once => {}
                Err(_) => return false,
            }
        }
        if held.waits.len() >= MOST {
            return false;
        }
        held.waits.push_back(event);
        if !std::mem::replace(&mut held.brought, true) {
            let (backlog, commands) = (backlog.clone(), commands.clone());
            runtime.spawn(async move { bring(&backlog, &commands, id).await });
        }
        true
    })
}

async fn bring(backlog: &Mutex<Backlog>, commands: &WeakSender<Command>, id: ParticipantId) {
    loop {
        let event = {
            let mut held = lock(backlog);
            let next = held.waits.pop_front();
            held.brought = next.is_some();
            next
        };
        // A room that has ended wants to know nothing.
        let (Some(event), Some(inbox)) = (event, commands.upgrade()) else {
            return;
        };
        let _ = inbox.send(Command::Uplink(id, event)).await;
    }
}

fn lock(backlog: &Mutex<Backlog>) -> MutexGuard<'_, Backlog> {
    // Whole between any two statements.
    backlog.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::peer::State;

    #[tokio::test]
    async fn a_full_inbox_loses_no_state_and_keeps_the_order() {
        let (commands, mut inbox) = mpsc::channel(1);
        let tell = ear(commands.downgrade(), ParticipantId(1));
        assert!(tell(UplinkEvent::State(State::Connected)));
        assert!(!tell(UplinkEvent::KeyframeRequested), "it may come again");
        let later = [State::Disconnected, State::Connected, State::Closed];
        for state in later {
            assert!(tell(UplinkEvent::State(state)));
        }
        let mut heard = Vec::new();
        while heard.len() < 4 {
            let Some(Command::Uplink(_, UplinkEvent::State(state))) = inbox.recv().await else {
                panic!("only states were taken");
            };
            heard.push(state);
        }
        assert_eq!(heard[1..], later);
        assert!(tell(UplinkEvent::KeyframeRequested));
        assert!(matches!(
            inbox.recv().await,
            Some(Command::Uplink(_, UplinkEvent::KeyframeRequested))
        ));
    }
}
