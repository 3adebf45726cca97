//! The service manager, if one started us: readiness, the end, and proof of life, as datagrams to
//! the socket it names in `NOTIFY_SOCKET` (`sd_notify(3)`).

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// The way to the service manager.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names, if any.
    ///
    /// # Errors
    /// If it names one that cannot be spoken to.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let (time, process) = (
            std::env::var("WATCHDOG_USEC"),
            std::env::var("WATCHDOG_PID"),
        );
        let watchdog = watchdog(time.ok().as_deref(), process.ok().as_deref());
        Self::at(&address, watchdog).map(Some)
    }

    fn at(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            address,
            watchdog,
        })
    }

    /// Everything is there; those who depend on us may start.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The end has begun and may take so long: longer than the manager would have waited.
    pub fn stopping(&self, at_most: Duration) {
        self.tell(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={}",
            at_most.as_micros()
        ));
    }

    /// Gives the manager proof of life for as long as `alive` gives it to us; without it the
    /// manager restarts the process. Resolves at once if the manager wants none.
    pub async fn watch<F: Future<Output = ()>>(&self, alive: impl Fn() -> F) {
        let Some(period) = self.watchdog else { return };
        // Twice in its period, as sd_watchdog_enabled(3) advises.
        let mut ticks = interval(period / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            alive().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::warn!(%error, "cannot tell the service manager: {message}");
        }
    }
}

/// The watchdog's period, if it is meant for this process.
fn watchdog(period: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let meant = process.is_none_or(|id| id.parse() == Ok(std::process::id()));
    let period: u64 = period?.parse().ok().filter(|period| *period > 1)?;
    meant.then(|| Duration::from_micros(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_manager_hears_of_beginning_life_and_end() {
        let name = format!("@quilt-test-{:x}", rand::random::<u64>());
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let ear = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::at(OsStr::new(&name), Some(Duration::from_millis(2))).unwrap();
        manager.ready();
        assert_eq!(heard(&ear), "READY=1");
        let (wakes, mut waken) = tokio::sync::mpsc::unbounded_channel();
        let (lives, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let waken = tokio::sync::Mutex::new(&mut waken);
        tokio::select! {
            () = manager.watch(async || {
                lives.send(()).unwrap();
                waken.lock().await.recv().await.unwrap();
            }) => panic!("it watches for ever"),
            () = async {
                asked.recv().await.unwrap();
                ear.set_nonblocking(true).unwrap();
                assert!(ear.recv(&mut [0; 9]).is_err(), "no proof of life, no word of it");
                wakes.send(()).unwrap();
                asked.recv().await.unwrap();
            } => {}
        }
        ear.set_nonblocking(false).unwrap();
        assert_eq!(heard(&ear), "WATCHDOG=1");
        manager.stopping(Duration::from_secs(70));
        assert_eq!(heard(&ear), "STOPPING=1\nEXTEND_TIMEOUT_USEC=70000000");
    }

    #[test]
    fn the_watchdog_is_for_one_process() {
        let me = std::process::id().to_string();
        assert_eq!(watchdog(None, None), None);
        assert_eq!(watchdog(Some("0"), None), None);
        assert_eq!(watchdog(Some("a while"), None), None);
        assert_eq!(watchdog(Some("2000"), Some("1")), None);
        let period = Some(Duration::from_millis(2));
        assert_eq!(watchdog(Some("2000"), Some(&me)), period);
        assert_eq!(watchdog(Some("2000"), None), period);
    }
}
