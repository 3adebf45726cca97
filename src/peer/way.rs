//! Where a connection's packets go, for those that do not go by the driver.
//!
//! The driver alone knows which pair of addresses was chosen. So a way is where it last sent what
//! is no check, and is true until there is a check from elsewhere: then it is forgotten, the next
//! packet goes by the driver, and shows the way anew. Over TCP there is none.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mux::WeakPort;

/// A way.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The port that it leaves from.
    pub port: WeakPort,
    /// The other side's address.
    pub to: SocketAddr,
    /// The local address, where the kernel told which one the other side talks to.
    pub from: Option<IpAddr>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<Option<Way>>);

impl Ways {
    /// The way, if it is known.
    pub fn current(&self) -> Option<Way> {
        self.lock().clone()
    }

    /// The driver sent something from `port` that is no check.
    pub fn learn(&self, port: impl FnOnce() -> WeakPort, to: SocketAddr, from: Option<IpAddr>) {
        let mut way = self.lock();
        if !way.as_ref().is_some_and(|way| way.is(to, from)) {
            let port = port();
            *way = Some(Way { port, to, from });
        }
    }

    /// A check of this address's, which came to `to`: if it is another, another pair may be chosen.
    pub fn checked(&self, from: SocketAddr, to: Option<IpAddr>) {
        let mut way = self.lock();
        if way.as_ref().is_some_and(|way| !way.is(from, to)) {
            *way = None;
        }
    }

    /// There is none, as far as is known.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn is(&self, to: SocketAddr, from: Option<IpAddr>) -> bool {
        self.to == to && self.from == from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_known_until_there_is_a_check_from_elsewhere() {
        let ways = Ways::default();
        let (one, two) = ("10.0.0.1:5".parse().unwrap(), "10.0.0.2:5".parse().unwrap());
        let local = |ip: &str| Some(ip.parse().unwrap());
        let to = || ways.current().map(|way| (way.to, way.from));
        ways.checked(one, None);
        assert_eq!(to(), None);
        ways.learn(WeakPort::default, one, local("10.9.9.9"));
        ways.checked(one, local("10.9.9.9"));
        assert_eq!(to(), Some((one, local("10.9.9.9"))));
        ways.learn(WeakPort::default, two, local("10.9.9.9"));
        assert_eq!(to(), Some((two, local("10.9.9.9"))), "the driver knows");
        ways.checked(one, local("10.9.9.9"));
        assert_eq!(to(), None);
        ways.learn(WeakPort::default, one, local("10.9.9.9"));
        ways.checked(one, local("10.9.9.8"));
        assert_eq!(to(), None, "at another address of ours");
        ways.learn(WeakPort::default, one, None);
        ways.forget();
        assert_eq!(to(), None);
    }
}
