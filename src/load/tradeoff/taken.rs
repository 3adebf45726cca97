//! What a client takes of another by way of the server, as it is: a connection of its own for each.

use std::sync::Arc;

use super::super::client::Error;
use super::super::ws::Session;
use super::stream::Stream;
use crate::id::ParticipantId;
use crate::media::VideoCodec;
use crate::peer::client::{Client, ClientOptions};
use crate::signalling::{AckResult, Command};

/// One of the streams that the server forwards.
pub struct Taken {
    /// What comes.
    pub stream: Arc<Stream>,
    connection: Client,
}

impl Taken {
    /// Takes what somebody sends in this codec.
    ///
    /// # Errors
    /// Where the server or the transport refuses.
    pub async fn open(
        session: &Session,
        from: ParticipantId,
        codec: VideoCodec,
        stream: Arc<Stream>,
    ) -> Result<Self, Error> {
        let options = ClientOptions {
            send_video: None,
            send_audio: false,
            receive_video: vec![codec],
            receive_audio: true,
            local_ip: session.local_ip(),
            ..Default::default()
        };
        let (connection, sdp) = Client::offer(options, stream.clone()).await?;
        let AckResult::Answered(answer) = session.request(Command::Take { from, sdp }).await?
        else {
            return Err(Error::Unexpected("take"));
        };
        connection.answer(&answer.sdp).await?;
        Ok(Self { stream, connection })
    }

    /// Ends it.
    pub async fn close(self) {
        self.connection.close().await;
    }
}
