//! One client's session: reads commands, holds the member's place, passes on what the room says,
//! over whatever [`Line`] there is. The protocol is in [`crate::signalling`].

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::allowance::{Allowance, Rate};
use crate::clock;
use crate::id::{DisplayName, ParticipantId, RoomName, SessionKey};
use crate::media::{Quality, VideoCodec};
use crate::peer::{self, Said};
use crate::quiet::{Quiet, REFUSED, cut};
use crate::record;
use crate::room::event::{Change, View};
use crate::room::member::NotTaken;
use crate::room::registry::{Admission, JoinError, Phase, Wait};
use crate::room::talk::{Refusal, Say, refuse};
use crate::server::line::{Closing, Heard, Line, Over};
use crate::server::listen::stopping;
use crate::server::seats::{Claim, News, Seat};
use crate::server::{App, Role, post};
use crate::signalling::{
    AckResult, Answered, ByeReason, Command, ErrorCode, Joined, MAX_FRAME, Message, Person,
    Request, Signal, read,
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
/// A connection that has not joined by then is let go.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Commands a client may send at once, and each second in the long run: trickling sends a burst
/// of some twenty for each network interface, a person clicking sends one or two a second.
const COMMANDS: Rate = Rate {
    burst: 120.0,
    a_second: 10.0,
};
/// Frames this much over the limit are read to their end; of larger ones only the head is.
pub const HARD_LIMIT: usize = 4 * MAX_FRAME;
/// The longest explanation of a refusal, bytes.
const MAX_REFUSAL: usize = 400;

/// A session, from the opening of its line to its end.
pub struct Session<L> {
    app: App,
    room: RoomName,
    line: L,
    /// None until the join.
    seat: Option<Seat>,
    /// Before the door, until a host answers it.
    wait: Option<Wait>,
    /// What is carried out came by the data channel, and is answered there.
    aside: bool,
    allowance: Allowance,
    /// What was refused in this session, and when it was last logged.
    said: Vec<(ErrorCode, Quiet)>,
}

impl<L: Line> Session<L> {
    /// Of a client who wants into `room`.
    pub fn new(app: App, room: RoomName, line: L) -> Self {
        Self {
            app,
            room,
            line,
            seat: None,
            wait: None,
            aside: false,
            allowance: Allowance::new(COMMANDS, Instant::now().into_std()),
            said: Vec::new(),
        }
    }

    /// Runs to its end.
    pub async fn run(mut self) {
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
            let deadline = match self.seat.is_some() || self.wait.is_some() {
                true => heard + SILENCE,
                false => (heard + SILENCE).min(started + JOIN_PATIENCE),
            };
            let news = async {
                match (&mut self.seat, &mut self.wait) {
                    (Some(seat), _) => seat.next().await,
                    (None, Some(wait)) => {
                        // The meeting that one waited for is over.
                        let reason = ByeReason::Ended;
                        let notice = wait.notices.recv().await;
                        News::Notice(Some(notice.unwrap_or(Message::Bye { reason })))
                    }
                    // Where no room says goodbye, we do.
                    (None, None) => {
                        stopping(phase.clone()).await;
                        News::Notice(None)
                    }
                }
            };
            tokio::select! {
                said = self.line.hear() => {
                    heard = Instant::now();
                    match said {
                        Heard::Text(text) => self.frame(&text).await?,
                        Heard::Alive => {}
                        Heard::Odd(refusal) => self.error(None, refusal, false).await?,
                        Heard::Garbled(refusal) => {
                            return self.refuse_and_close(None, refusal).await;
                        }
                        Heard::Gone => return Err(Over),
                    }
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
                            return self.close(Closing::Away).await;
                        }
                    }
                    News::Said(said) => {
                        self.aside = true;
                        match said {
                            Said::Text(text) => self.frame(&text).await?,
                            Said::Binary => {
                                let text = "binary messages are not used here";
                                let refusal = refuse(ErrorCode::BadMessage, text);
                                self.error(None, refusal, false).await?;
                            }
                        }
                        self.aside = false;
                    }
                    News::Claimed(claim) => self.hand_over(claim).await?,
                },
                _ = ping.tick() => self.line.ping().await?,
                () = sleep_until(deadline) => {
                    let text = "nothing was heard for too long".to_owned();
                    let code = ErrorCode::TimedOut;
                    return self.refuse_and_close(None, Refusal { code, text }).await;
                }
            }
        }
    }

    /// Another socket goes on with this one's place.
    async fn hand_over(&mut self, claim: Claim) -> Result<(), Over> {
        // It comes back where whoever asked did not wait for it.
        let seat = self.seat.take();
        self.seat = seat.and_then(|seat| claim.send(seat).err());
        match &self.seat {
            Some(_) => Ok(()),
            None => self.close(Closing::Resumed).await,
        }
    }

    async fn frame(&mut self, text: &str) -> Result<(), Over> {
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
        match read(text) {
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

    async fn take(&mut self, from: ParticipantId, sdp: &str) -> Result<AckResult, Refusal> {
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

    async fn say(&mut self, say: Say) -> Result<AckResult, Refusal> {
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

    async fn refuse_and_close(&mut self, id: Option<u32>, refusal: Refusal) -> Result<(), Over> {
        self.error(id, refusal, true).await?;
        self.close(Closing::Refused).await
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
        // The chat goes by the data channel as long as that is open and its client takes it.
        if (self.aside || matches!(message, Message::Chat(_)))
            && let Some(seat) = &self.seat
            && seat.member.tell(&text).await
        {
            return Ok(());
        }
        self.line.say(text).await
    }

    async fn close(&mut self, why: Closing) -> Result<(), Over> {
        self.line.close(why).await;
        Err(Over)
    }
}

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
    quality: Quality,
}

/// Whether the socket closes after this error, as `signalling` documents.
fn closes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TooLarge
            | ErrorCode::Forbidden
            | ErrorCode::RateLimited
            | ErrorCode::Unavailable
            | ErrorCode::NoRoom
            | ErrorCode::TimedOut
            | ErrorCode::Locked
            | ErrorCode::Removed
            | ErrorCode::NotAdmitted
    )
}
