//! One WebSocket: reads commands, holds the member's place, passes on what the room says.
//! The protocol is in [`crate::signalling`].

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::allowance::{Allowance, Rate};
use crate::clock;
use crate::id::{DisplayName, RoomName, SessionKey};
use crate::media::VideoCodec;
use crate::peer;
use crate::quiet::{Quiet, REFUSED, cut};
use crate::room::event::View;
use crate::room::registry::{Admission, JoinError, Phase};
use crate::room::talk::{Refusal, Say, refuse};
use crate::server::api::{Problem, room_name};
use crate::server::listen::stopping;
use crate::server::seats::{Claim, News, Seat};
use crate::server::{App, Role, security};
use crate::signalling::{
    AckResult, Answered, ByeReason, Command, ErrorCode, Joined, MAX_FRAME, Message, Person,
    Request, read,
};

/// How often the client is pinged, and how long silence lasts before it counts as gone.
///
/// A network that is gone for eight seconds may have been silent for five before, and TCP may
/// take some more until it tries again. Whoever crashes closes the socket by that.
const PING_EVERY: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);
/// How long a connection in trouble may take to come back. Its tile shows an avatar by then, and
/// who comes back has it at once, without a join; who crashed is told by the socket's end.
const MEDIA_PATIENCE: Duration = Duration::from_secs(10);
/// A socket that takes longer than this to accept a message is gone.
const SEND_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that has not joined by then is let go.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Commands a client may send at once, and each second in the long run: trickling sends a burst
/// of some twenty for each network interface, a person clicking sends one or two a second.
const COMMANDS: Rate = Rate {
    burst: 120.0,
    a_second: 10.0,
};
/// Frames this much over the limit are read to their end; of larger ones only the head is.
const HARD_LIMIT: usize = 4 * MAX_FRAME;
/// How long a client that is in the middle of sending too much has to read that it is.
const LINGER: Duration = Duration::from_millis(500);
/// The longest explanation of a refusal, bytes.
const MAX_REFUSAL: usize = 400;

/// What is read from the socket at once. Commands are short, and each of thousands of sockets has
/// such a buffer.
const READ_BUFFER: usize = 16 * 1024;

/// `GET /api/rooms/{room}/ws`
pub async fn upgrade(
    State(app): State<App>,
    Path(room): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let room = room_name(&room)?;
    if !app.knocks.admit(from.ip(), Instant::now().into_std()) {
        let detail = "too many joins from this address; wait a moment".to_owned();
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    }
    if !security::origin_allowed(&headers) {
        let detail = "pages of other sites may not join".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let socket = socket
        .read_buffer_size(READ_BUFFER)
        .max_message_size(HARD_LIMIT)
        .max_frame_size(HARD_LIMIT);
    Ok(socket
        .on_upgrade(move |socket| Session::new(app, room, socket).run())
        .into_response())
}

struct Session {
    app: App,
    room: RoomName,
    socket: WebSocket,
    /// None until the join.
    seat: Option<Seat>,
    allowance: Allowance,
    /// What was refused on this socket, and when it was last logged.
    said: Vec<(ErrorCode, Quiet)>,
}

/// The session is over.
struct Over;

impl Session {
    fn new(app: App, room: RoomName, socket: WebSocket) -> Self {
        Self {
            app,
            room,
            socket,
            seat: None,
            allowance: Allowance::new(COMMANDS, Instant::now().into_std()),
            said: Vec::new(),
        }
    }

    async fn run(mut self) {
        // However this ends, dropping the seat is leaving.
        let _: Result<(), Over> = self.converse().await;
    }

    async fn converse(&mut self) -> Result<(), Over> {
        let phase = self.app.rooms.phase();
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = Instant::now();
        let mut heard = started;
        loop {
            let deadline = match self.seat {
                Some(_) => heard + SILENCE,
                None => (heard + SILENCE).min(started + JOIN_PATIENCE),
            };
            let news = async {
                match &mut self.seat {
                    Some(seat) => seat.next().await,
                    // Where no room says goodbye, we do.
                    None => {
                        stopping(phase.clone()).await;
                        News::Notice(None)
                    }
                }
            };
            tokio::select! {
                frame = self.socket.recv() => match frame {
                    Some(Ok(frame)) => {
                        heard = Instant::now();
                        self.frame(frame).await?;
                    }
                    Some(Err(error)) => return self.unreadable(error).await,
                    None => return Err(Over),
                },
                news = news => match news {
                    News::Notice(notice) => {
                        // No sender left: the room's task is gone without having said goodbye.
                        let notice = notice.unwrap_or(Message::Bye {
                            reason: match *phase.borrow() {
                                Phase::Stopping => ByeReason::Shutdown,
                                Phase::Serving | Phase::Draining => ByeReason::RoomFailed,
                            },
                        });
                        let last = matches!(notice, Message::Bye { .. });
                        self.send(&notice).await?;
                        if last {
                            return self.close(close_code::AWAY, "bye").await;
                        }
                    }
                    News::Claimed(claim) => self.hand_over(claim).await?,
                },
                _ = ping.tick() => self.push(Frame::Ping(Default::default())).await?,
                () = sleep_until(deadline) => {
                    let text = "nothing was heard for too long".to_owned();
                    let code = ErrorCode::TimedOut;
                    return self.refuse_and_close(None, Refusal { code, text }).await;
                }
            }
        }
    }

    /// What came is no frame of a WebSocket, or a larger one than is ever read. Nothing that
    /// follows can be made sense of.
    async fn unreadable(&mut self, error: axum::Error) -> Result<(), Over> {
        use tokio_tungstenite::tungstenite::Error;
        let error = error.into_inner();
        let code = match error.downcast_ref::<Error>() {
            Some(Error::Capacity(_)) => ErrorCode::TooLarge,
            Some(Error::Protocol(_) | Error::Utf8(_)) => ErrorCode::BadMessage,
            // The connection is gone.
            _ => return Err(Over),
        };
        let text = error.to_string();
        let closed = self.refuse_and_close(None, Refusal { code, text }).await;
        // The rest of it is never read, so the end is a reset, which may overtake the refusal.
        sleep(LINGER).await;
        closed
    }

    /// Another socket goes on with this one's place.
    async fn hand_over(&mut self, claim: Claim) -> Result<(), Over> {
        // It comes back where whoever asked did not wait for it.
        let seat = self.seat.take();
        self.seat = seat.and_then(|seat| claim.send(seat).err());
        match &self.seat {
            Some(_) => Ok(()),
            None => self.close(close_code::NORMAL, "resumed elsewhere").await,
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Over> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Ping(_) | Frame::Pong(_) => return Ok(()),
            Frame::Close(_) => return Err(Over),
            Frame::Binary(_) => {
                let text = "binary frames are not used here".to_owned();
                let code = ErrorCode::BadMessage;
                return self.error(None, Refusal { code, text }, false).await;
            }
        };
        if text.len() > MAX_FRAME {
            let text = format!("{} bytes; at most {MAX_FRAME} are allowed", text.len());
            let code = ErrorCode::TooLarge;
            return self.refuse_and_close(None, Refusal { code, text }).await;
        }
        if !self.allowance.take(Instant::now().into_std()) {
            let text = "commands come too fast".to_owned();
            let code = ErrorCode::RateLimited;
            return self.refuse_and_close(None, Refusal { code, text }).await;
        }
        match read(&text) {
            Ok(Request { id, command }) => self.command(id, command).await,
            Err(bad) => {
                let refusal = Refusal {
                    code: bad.code,
                    text: bad.text,
                };
                self.error(bad.id, refusal, false).await
            }
        }
    }

    async fn command(&mut self, id: u32, command: Command) -> Result<(), Over> {
        let leaving = matches!(command, Command::Leave {});
        let result = match command {
            Command::Join {
                name,
                view,
                codec,
                token,
                audio,
                video,
                portrait,
                session,
                overlay,
            } => {
                let admission = Ask {
                    name,
                    view,
                    audio,
                    video,
                    portrait,
                    session,
                    overlay,
                };
                self.join(admission, codec, token.as_deref()).await
            }
            Command::Resume { session } => self.resume(session).await,
            Command::Offer { sdp } => self.offer(&sdp).await,
            Command::Candidate { candidate, .. } => self.candidate(&candidate),
            Command::Media { audio, video } => match self.seated() {
                Ok(seat) => {
                    seat.member.mute(audio, video).await;
                    Ok(AckResult::Done {})
                }
                Err(refusal) => Err(refusal),
            },
            Command::Chat { text, to } => self.say(Say::Chat(text, to)).await,
            Command::React { reaction } => self.say(Say::React(reaction)).await,
            Command::Hand { raised } => self.say(Say::Hand(raised)).await,
            Command::Moderate { act, who } => self.say(Say::Moderate(act, who)).await,
            Command::Ping {} => Ok(AckResult::Done {}),
            Command::View {
                layout,
                overlay,
                portrait,
            } => match self.seated() {
                Ok(seat) => {
                    let view = View {
                        layout,
                        overlay,
                        portrait,
                        ..View::default()
                    };
                    seat.member.view(view).await;
                    Ok(AckResult::Done {})
                }
                Err(refusal) => Err(refusal),
            },
            Command::Share { on } => match self.seated() {
                Ok(seat) => {
                    seat.member.share(on).await;
                    Ok(AckResult::Done {})
                }
                Err(refusal) => Err(refusal),
            },
            Command::Leave {} => {
                self.seat = None;
                Ok(AckResult::Done {})
            }
        };
        match result {
            Ok(result) => self.send(&Message::Ack { id, result }).await?,
            Err(refusal) if closes(refusal.code) => {
                return self.refuse_and_close(Some(id), refusal).await;
            }
            Err(refusal) => self.error(Some(id), refusal, false).await?,
        }
        match leaving {
            true => self.close(close_code::NORMAL, "left").await,
            false => Ok(()),
        }
    }

    async fn join(
        &mut self,
        ask: Ask,
        prefer: Option<VideoCodec>,
        token: Option<&str>,
    ) -> Result<AckResult, Refusal> {
        self.standing()?;
        let role = match ask.view {
            true => Role::Viewer,
            false => Role::Member,
        };
        let allowed = self.app.authority.join(&self.room, role, token);
        allowed.map_err(|denied| refuse(ErrorCode::Forbidden, &denied.to_string()))?;
        let name = match (ask.name, ask.view) {
            (Some(name), _) => name,
            (None, true) => DisplayName::new("viewer").expect("a valid name"),
            (None, false) => return Err(refuse(ErrorCode::BadName, "a name is needed to join")),
        };
        let session = ask.session;
        let admission = Admission {
            name,
            view: ask.view,
            audio: ask.audio,
            video: ask.video,
            portrait: ask.portrait,
            session: session.clone(),
            host: self.app.authority.hosts(&self.room, token),
            overlay: ask.overlay,
        };
        let joined = self.app.rooms.join(&self.room, admission).await;
        let joined = joined.map_err(|error| match error {
            JoinError::Refused(refusal) => refusal,
            JoinError::Draining | JoinError::Stopping | JoinError::Unavailable => {
                refuse(ErrorCode::Unavailable, &error.to_string())
            }
        })?;
        let (room, seats) = (self.room.clone(), &self.app.seats);
        let seat = seats.take(room, session, joined.member, joined.notices, prefer);
        Ok(self.sit_down(seat, joined.people))
    }

    async fn resume(&mut self, session: SessionKey) -> Result<AckResult, Refusal> {
        self.standing()?;
        let gone = || refuse(ErrorCode::NoSeat, "nobody holds this place; join again");
        let seat = self.app.seats.claim(&self.room, session).await;
        let seat = seat.ok_or_else(gone)?;
        let people = seat.member.resumed().await.ok_or_else(gone)?;
        Ok(self.sit_down(seat, people))
    }

    /// Nobody sits on two chairs.
    fn standing(&self) -> Result<(), Refusal> {
        match self.seat {
            Some(_) => Err(refuse(
                ErrorCode::AlreadyJoined,
                "this socket has joined already",
            )),
            None => Ok(()),
        }
    }

    fn sit_down(&mut self, seat: Seat, people: Vec<Person>) -> AckResult {
        let joined = Joined {
            participant: seat.member.id(),
            room: self.room.clone(),
            people,
            ice_servers: self.app.ice_servers.to_vec(),
        };
        self.seat = Some(seat);
        AckResult::Joined(joined)
    }

    async fn offer(&mut self, sdp: &str) -> Result<AckResult, Refusal> {
        let seat = self.seated()?;
        let options = peer::Options {
            prefer: seat.prefer,
            patience: MEDIA_PATIENCE,
        };
        let answer = seat.member.offer(sdp, options).await;
        let sdp = answer.map_err(|error| {
            let code = match error {
                peer::Error::Sdp(_) | peer::Error::Refused { .. } => ErrorCode::BadSdp,
                _ => ErrorCode::Internal,
            };
            let text = error.to_string();
            Refusal { code, text }
        })?;
        Ok(AckResult::Answered(Answered { sdp }))
    }

    /// Candidates are checked and no more: see [`peer::check_candidate`].
    fn candidate(&mut self, candidate: &str) -> Result<AckResult, Refusal> {
        self.seated()?;
        match peer::check_candidate(candidate) {
            Ok(()) => Ok(AckResult::Done {}),
            Err(error) => Err(refuse(ErrorCode::BadCandidate, &error.to_string())),
        }
    }

    async fn say(&mut self, say: Say) -> Result<AckResult, Refusal> {
        self.seated()?.member.say(say).await?;
        Ok(AckResult::Done {})
    }

    fn seated(&mut self) -> Result<&mut Seat, Refusal> {
        let standing = || refuse(ErrorCode::NotJoined, "join first");
        self.seat.as_mut().ok_or_else(standing)
    }

    async fn refuse_and_close(&mut self, id: Option<u32>, refusal: Refusal) -> Result<(), Over> {
        self.error(id, refusal, true).await?;
        self.close(close_code::POLICY, "refused").await
    }

    async fn error(&mut self, id: Option<u32>, refusal: Refusal, closes: bool) -> Result<(), Over> {
        let Refusal { code, text } = refusal;
        // It may quote what was sent.
        let text = cut(&text, MAX_REFUSAL).to_owned();
        self.log(code, &text);
        let message = Message::Error {
            id,
            code,
            text,
            closes,
        };
        self.send(&message).await
    }

    fn log(&mut self, code: ErrorCode, text: &str) {
        let at = self.said.iter().position(|(said, _)| *said == code);
        let at = at.unwrap_or_else(|| {
            self.said.push((code, Quiet::default()));
            self.said.len() - 1
        });
        if let Some(more) = self.said[at].1.ask(clock::now()) {
            tracing::info!(target: REFUSED, room = %self.room, ?code, text, more, "refused");
        }
    }

    async fn send(&mut self, message: &Message) -> Result<(), Over> {
        let text = serde_json::to_string(message).map_err(|_| Over)?;
        self.push(Frame::Text(text.into())).await
    }

    async fn push(&mut self, frame: Frame) -> Result<(), Over> {
        match timeout(SEND_PATIENCE, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }

    async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Over> {
        let reason = reason.into();
        self.push(Frame::Close(Some(CloseFrame { code, reason })))
            .await?;
        Err(Over)
    }
}

/// What a join asks for.
struct Ask {
    name: Option<DisplayName>,
    view: bool,
    audio: bool,
    video: bool,
    portrait: bool,
    session: Option<SessionKey>,
    overlay: bool,
}

/// Whether the socket closes after this error, as `signalling` documents.
fn closes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TooLarge
            | ErrorCode::Forbidden
            | ErrorCode::RateLimited
            | ErrorCode::Unavailable
            | ErrorCode::TimedOut
            | ErrorCode::Locked
            | ErrorCode::Removed
    )
}
