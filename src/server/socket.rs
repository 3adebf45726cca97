//! One accepted connection: it holds its place among all of them for as long as the socket lives,
//! whether HTTP is still spoken on it or it has become a WebSocket, and it does not wait for ever
//! for a peer that takes nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

/// How long the peer may take nothing of what is written. A bad mobile network recovers within
/// that, or its user has reloaded the page.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// A stream with its place.
pub struct Socket<S> {
    stream: S,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Socket<S> {
    /// Takes the place until dropped.
    pub fn new(stream: S, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            stalled: None,
            _place: place,
        }
    }

    /// Passes a write's outcome on, or ends the wait for it.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        timer.as_mut().poll(context).map(|()| {
            let text = "the peer takes nothing";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn the_place_is_free_when_the_socket_has_gone() {
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let (near, mut far) = tokio::io::duplex(64);
        let mut socket = Socket::new(near, place);
        socket.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        assert_eq!(places.available_permits(), 0);
        drop(socket);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_write_that_waits_is_timed_and_one_that_goes_on_is_not() {
        let places = Arc::new(Semaphore::new(1));
        let place = places.try_acquire_owned().unwrap();
        let (near, mut far) = tokio::io::duplex(4);
        let mut socket = Socket::new(near, place);
        socket.write_all(b"full").await.unwrap();
        assert!(socket.stalled.is_none());
        let waits = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut socket).poll_write(context, b"more"))
        });
        assert!(waits.await.is_pending());
        assert!(socket.stalled.is_some());
        // As if the patience were over.
        socket.stalled = Some(Box::pin(sleep(Duration::ZERO)));
        let error = socket.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        socket.stalled = Some(Box::pin(sleep(WRITE_PATIENCE)));
        let mut taken = [0; 4];
        far.read_exact(&mut taken).await.unwrap();
        socket.write_all(b"more").await.unwrap();
        assert!(socket.stalled.is_none());
    }
}
