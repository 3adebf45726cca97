//! Which agent a datagram belongs to, on a port that all agents share. Pure: no socket, no clock.
//!
//! - A Binding *request* goes to the agent whose user name fragment it carries, from whatever
//!   address: a new fragment from a known address (ICE restart, a port that a NAT gave to someone
//!   else) is routed anew.
//! - A Binding *response* goes to the agent that asked, by transaction, and only if it comes from
//!   the address that was asked. It proves that this address takes part, and from then on
//! - anything else (DTLS, SRTP) from that address goes to that agent. An agent asks only addresses
//!   whose own request carried valid integrity, so what a stranger sprays is dropped here
//!   (CVE-2023-51443's kind), and a spoofed source address takes nobody's route.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::stun::Transaction;

/// Names an agent's port for as long as the process lives.
pub(super) type PortId = u64;

/// Addresses an agent can hold: interfaces times address families of a client, and NAT rebinds.
const ADDRESSES: usize = 16;
/// Checks under way: an agent asks each address it knows five times a second, for half a second
/// before it gives up on an answer.
const TRANSACTIONS: usize = 64;
/// User name fragments: the one in use and the one an ICE restart is replacing.
const UFRAGS: usize = 2;

/// The tables. Everything in them belongs to a port, is bounded per port and goes with it.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_ufrag: HashMap<String, PortId>,
    by_transaction: HashMap<Transaction, (PortId, SocketAddr)>,
    by_address: HashMap<SocketAddr, PortId>,
    ports: HashMap<PortId, Port>,
}

#[derive(Debug, Default)]
struct Port {
    ufrags: VecDeque<String>,
    transactions: VecDeque<Transaction>,
    addresses: VecDeque<SocketAddr>,
}

impl Routes {
    /// A port exists; nothing leads to it yet.
    pub fn open(&mut self, port: PortId) {
        self.ports.entry(port).or_default();
    }

    /// `ufrag` is how the agent behind `port` is called from now on.
    pub fn name(&mut self, port: PortId, ufrag: &str) {
        let Some(entry) = self.ports.get_mut(&port) else {
            return;
        };
        if entry.ufrags.iter().any(|known| known == ufrag) {
            return;
        }
        if entry.ufrags.len() == UFRAGS
            && let Some(oldest) = entry.ufrags.pop_front()
        {
            self.by_ufrag.remove(&oldest);
        }
        entry.ufrags.push_back(ufrag.to_owned());
        self.by_ufrag.insert(ufrag.to_owned(), port);
    }

    /// The agent sent a Binding request to `to`.
    pub fn asked(&mut self, port: PortId, transaction: Transaction, to: SocketAddr) {
        let Some(entry) = self.ports.get_mut(&port) else {
            return;
        };
        if entry.transactions.len() == TRANSACTIONS
            && let Some(oldest) = entry.transactions.pop_front()
        {
            self.by_transaction.remove(&oldest);
        }
        entry.transactions.push_back(transaction);
        self.by_transaction.insert(transaction, (port, to));
    }

    /// Whose is a Binding request that names `ufrag`?
    pub fn request(&self, ufrag: &str) -> Option<PortId> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// Whose is a Binding success response? It is remembered that `from` takes part.
    pub fn success(&mut self, transaction: Transaction, from: SocketAddr) -> Option<PortId> {
        let port = self.response(transaction, from)?;
        self.by_transaction.remove(&transaction);
        let entry = self.ports.get_mut(&port)?;
        entry.transactions.retain(|known| *known != transaction);
        if self.by_address.insert(from, port) != Some(port) {
            if entry.addresses.len() == ADDRESSES
                && let Some(oldest) = entry.addresses.pop_front()
                && self.by_address.get(&oldest) == Some(&port)
            {
                self.by_address.remove(&oldest);
            }
            entry.addresses.retain(|known| *known != from);
            entry.addresses.push_back(from);
        }
        Some(port)
    }

    /// Whose is a Binding error response?
    pub fn response(&self, transaction: Transaction, from: SocketAddr) -> Option<PortId> {
        self.by_transaction
            .get(&transaction)
            .filter(|(_, asked)| *asked == from)
            .map(|(port, _)| *port)
    }

    /// Whose is a datagram that is no STUN?
    pub fn media(&self, from: SocketAddr) -> Option<PortId> {
        self.by_address.get(&from).copied()
    }

    /// Forgets everything that leads to `port`.
    pub fn close(&mut self, port: PortId) {
        let Some(entry) = self.ports.remove(&port) else {
            return;
        };
        for ufrag in &entry.ufrags {
            if self.by_ufrag.get(ufrag) == Some(&port) {
                self.by_ufrag.remove(ufrag);
            }
        }
        for transaction in &entry.transactions {
            self.by_transaction.remove(transaction);
        }
        for address in &entry.addresses {
            // Another agent may have proved since that the address is its own.
            if self.by_address.get(address) == Some(&port) {
                self.by_address.remove(address);
            }
        }
    }

    /// How many ports, and entries in all tables, there are.
    pub fn len(&self) -> (usize, usize) {
        let entries = self.by_ufrag.len() + self.by_transaction.len() + self.by_address.len();
        (self.ports.len(), entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn transaction(n: usize) -> Transaction {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    /// Ports 1 and 2 with fragments "one" and "two".
    fn two() -> Routes {
        let mut routes = Routes::default();
        for (port, ufrag) in [(1, "one"), (2, "two")] {
            routes.open(port);
            routes.name(port, ufrag);
        }
        routes
    }

    #[test]
    fn media_passes_only_after_a_proof() {
        let mut routes = two();
        assert_eq!(routes.request("one"), Some(1));
        assert_eq!(routes.request("three"), None);
        assert_eq!(routes.media(address(5)), None);
        routes.asked(1, transaction(1), address(5));
        assert_eq!(routes.media(address(5)), None, "asked, not yet answered");
        assert_eq!(routes.success(transaction(2), address(5)), None);
        assert_eq!(
            routes.success(transaction(1), address(6)),
            None,
            "elsewhere"
        );
        assert_eq!(routes.success(transaction(1), address(5)), Some(1));
        assert_eq!(routes.media(address(5)), Some(1));
        assert_eq!(routes.success(transaction(1), address(5)), None, "replayed");
    }

    #[test]
    fn an_address_can_change_hands() {
        let mut routes = two();
        for (port, id) in [(1, transaction(1)), (2, transaction(2))] {
            routes.asked(port, id, address(5));
            assert_eq!(routes.success(id, address(5)), Some(port));
        }
        assert_eq!(routes.media(address(5)), Some(2));
        routes.close(1);
        assert_eq!(
            routes.media(address(5)),
            Some(2),
            "it is no longer 1's to take along"
        );
    }

    #[test]
    fn a_restart_keeps_the_old_name_until_the_next() {
        let mut routes = two();
        routes.name(1, "uno");
        assert_eq!(routes.request("one"), Some(1));
        assert_eq!(routes.request("uno"), Some(1));
        routes.name(1, "ein");
        assert_eq!(routes.request("one"), None);
        assert_eq!(routes.request("ein"), Some(1));
    }

    #[test]
    fn tables_are_bounded_and_go_with_the_port() {
        let mut routes = two();
        for n in 0..1000 {
            routes.asked(1, transaction(n), address(n as u16));
            if n % 2 == 0 {
                routes.success(transaction(n), address(n as u16));
            }
        }
        let (ports, entries) = routes.len();
        assert_eq!(ports, 2);
        assert!(entries <= 2 + ADDRESSES + TRANSACTIONS, "{entries}");
        routes.close(1);
        routes.close(2);
        assert_eq!(routes.len(), (0, 0));
        routes.asked(1, transaction(1), address(1));
        routes.name(1, "one");
        assert_eq!(routes.len(), (0, 0), "a closed port takes nothing");
    }
}
