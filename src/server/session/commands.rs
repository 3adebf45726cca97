//! What each of a client's commands does.

use std::time::Duration;

use tokio::time::Instant;

use super::{Session, closes};
use crate::id::{DisplayName, ParticipantId, SessionKey};
use crate::media::{Quality, VideoCodec};
use crate::peer;
use crate::record;
use crate::room::event::{Change, View};
use crate::room::member::NotTaken;
use crate::room::registry::{Admission, JoinError, Wait};
use crate::room::talk::{Refusal, Say, refuse};
use crate::server::line::{Closing, Line, Over};
use crate::server::seats::Seat;
use crate::server::{Role, post};
use crate::signalling::{AckResult, Answered, Command, ErrorCode, Joined, Message, Person, Signal};

/// How long a connection in trouble may take to come back. Its tile shows an avatar by then, and
/// who comes back has it at once, without a join; who crashed is told by the socket's end.
const MEDIA_PATIENCE: Duration = Duration::from_secs(10);
/// A connection that has not joined by then is let go.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_secs(30);

fn no_connection(error: &peer::Error) -> Refusal {
    let code = match error {
        peer::Error::Sdp(_) | peer::Error::Refused { .. } => ErrorCode::BadSdp,
        _ => ErrorCode::Internal,
    };
    let text = error.to_string();
    Refusal { code, text }
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
    direct: bool,
    quality: Quality,
}

impl<L: Line> Session<L> {
    pub(super) async fn command(&mut self, id: u32, command: Command) -> Result<(), Over> {
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
                direct,
                quality,
            } => {
                let admission = Ask {
                    name,
                    view,
                    audio,
                    video,
                    portrait,
                    session,
                    overlay,
                    direct,
                    quality,
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
            Command::File { name, size, to } => self.file(&name, size, to).await,
            Command::React { reaction } => self.say(Say::React(reaction)).await,
            Command::Hand { raised } => self.say(Say::Hand(raised)).await,
            Command::Moderate { act, who } => self.say(Say::Moderate(act, who)).await,
            Command::Configure {
                layout,
                stage_size,
                topology,
            } => {
                let change = Change {
                    layout,
                    stage_size,
                    topology,
                    ..Change::default()
                };
                self.say(Say::Configure(change)).await
            }
            Command::Ping {} => Ok(AckResult::Done {}),
            Command::View {
                layout,
                overlay,
                portrait,
                downlink,
                direct,
            } => {
                let view = View {
                    layout,
                    overlay,
                    portrait,
                    downlink,
                    direct,
                    ..View::default()
                };
                self.view(view).await
            }
            Command::Quality { quality } => {
                let view = View {
                    quality: Some(quality),
                    ..View::default()
                };
                self.view(view).await
            }
            Command::Volume { who, gain } => match (self.seated(), (0.0..=2.0).contains(&gain)) {
                (Ok(seat), true) => {
                    let percent = (gain * 100.0).round() as u16;
                    let taken = seat.member.volume(who, percent).await;
                    taken.map(|()| AckResult::Done {})
                }
                (Ok(_), false) => Err(refuse(ErrorCode::BadValue, "gain: from 0 to 2")),
                (Err(refusal), _) => Err(refusal),
            },
            Command::Share { on } => match self.seated() {
                Ok(seat) => {
                    seat.member.share(on).await;
                    Ok(AckResult::Done {})
                }
                Err(refusal) => Err(refusal),
            },
            Command::Take { from, sdp } => self.take(from, &sdp).await,
            Command::Drop { from } => self.drop_taken(from).await,
            Command::Sizes { lines } => match self.seated() {
                Ok(seat) => {
                    seat.member.sizes(lines).await;
                    Ok(AckResult::Done {})
                }
                Err(refusal) => Err(refusal),
            },
            Command::Relay { to, signal } => self.relay(to, signal).await,
            Command::Record { on } => self.record(on).await,
            Command::Leave {} => {
                (self.seat, self.wait) = (None, None);
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
            true => self.close(Closing::Left).await,
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
            direct: ask.direct,
            ticket: self.wait.as_ref().map(Wait::ticket),
            quality: ask.quality,
        };
        let joined = match self.app.rooms.join(&self.room, admission).await {
            Ok(joined) => joined,
            Err(JoinError::Waiting(wait)) => {
                self.wait = Some(wait);
                return Ok(AckResult::Waiting { waiting: true });
            }
            Err(JoinError::Refused(refusal)) => return Err(refusal),
            Err(error @ (JoinError::Draining | JoinError::Stopping | JoinError::Unavailable)) => {
                return Err(refuse(ErrorCode::Unavailable, &error.to_string()));
            }
        };
        self.wait = None;
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
        seat.carried(L::WAY);
        let joined = Joined {
            participant: seat.member.id(),
            room: self.room.clone(),
            people,
            ice_servers: self.app.ice_servers.to_vec(),
            stun_port: self.app.reach.rtc_port,
        };
        self.seat = Some(seat);
        AckResult::Joined(joined)
    }

    async fn offer(&mut self, sdp: &str) -> Result<AckResult, Refusal> {
        let seat = self.seated()?;
        let options = peer::Options {
            prefer: seat.prefer,
            patience: MEDIA_PATIENCE,
            channel: true,
        };
        let answer = seat.member.offer(sdp, options).await;
        let sdp = answer.map_err(|error| no_connection(&error))?;
        Ok(AckResult::Answered(Answered { sdp }))
    }

    pub(super) async fn take(
        &mut self,
        from: ParticipantId,
        sdp: &str,
    ) -> Result<AckResult, Refusal> {
        let taken = self.seated()?.member.take(from, sdp).await;
        let sdp = taken.map_err(|error| match error {
            NotTaken::Refused(refusal) => refusal,
            NotTaken::Failed(error) => no_connection(&error),
        })?;
        Ok(AckResult::Answered(Answered { sdp }))
    }

    async fn drop_taken(&mut self, from: ParticipantId) -> Result<AckResult, Refusal> {
        self.seated()?.member.drop_taken(from).await;
        Ok(AckResult::Done {})
    }

    async fn relay(&mut self, to: ParticipantId, signal: Signal) -> Result<AckResult, Refusal> {
        self.seated()?.member.relay(to, signal).await?;
        Ok(AckResult::Done {})
    }

    async fn view(&mut self, view: View) -> Result<AckResult, Refusal> {
        self.seated()?.member.view(view).await;
        Ok(AckResult::Done {})
    }

    /// Candidates are checked and no more: see [`peer::check_candidate`].
    fn candidate(&mut self, candidate: &str) -> Result<AckResult, Refusal> {
        self.seated()?;
        match peer::check_candidate(candidate) {
            Ok(()) => Ok(AckResult::Done {}),
            Err(error) => Err(refuse(ErrorCode::BadCandidate, &error.to_string())),
        }
    }

    async fn record(&mut self, on: bool) -> Result<AckResult, Refusal> {
        if !self.seated()?.member.is_host().await {
            return Err(refuse(ErrorCode::NotHost, "only hosts can record"));
        }
        let (desk, room) = (&self.app.recordings, &self.room);
        if !on {
            desk.stop_all(room);
        } else if !desk.is_recorded(room) {
            let started = desk.start(room, desk.usual(), None).await;
            let text = |error: record::Error| refuse(ErrorCode::CannotRecord, &error.to_string());
            started.map_err(text)?;
        }
        Ok(AckResult::Done {})
    }

    pub(super) async fn say(&mut self, say: Say) -> Result<AckResult, Refusal> {
        self.seated()?.member.say(say).await?;
        Ok(AckResult::Done {})
    }

    async fn file(
        &mut self,
        name: &str,
        size: u64,
        to: Option<ParticipantId>,
    ) -> Result<AckResult, Refusal> {
        self.say(Say::Offer(to)).await?;
        let from = self.seated()?.member.id();
        let (parcels, now) = (&self.app.parcels, Instant::now().into_std());
        let secret = parcels.expect(&self.room, from, to, name, size, now)?;
        let upload = post::address(&self.room, secret);
        Ok(AckResult::Expected { upload })
    }

    fn seated(&mut self) -> Result<&mut Seat, Refusal> {
        let standing = || refuse(ErrorCode::NotJoined, "join first");
        self.seat.as_mut().ok_or_else(standing)
    }
}
