//! One client's session: reads commands, holds the member's place, passes on what the room says,
//! over whatever [`Line`] there is. The protocol is in [`crate::signalling`].
//!
//! `commands` has what each of a client's commands does.

mod commands;

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::commands::JOIN_PATIENCE;
use crate::allowance::{Allowance, Rate};
use crate::clock;
use crate::id::RoomName;
use crate::peer::Said;
use crate::quiet::{Quiet, REFUSED, cut};
use crate::room::registry::{Phase, Wait};
use crate::room::talk::{Refusal, refuse};
use crate::server::App;
use crate::server::line::{Closing, Heard, Line, Over};
use crate::server::listen::stopping;
use crate::server::seats::{Claim, News, Seat};
use crate::signalling::{ByeReason, ErrorCode, MAX_FRAME, Message, Request, read};

/// How often the client is pinged, and how long silence lasts before it counts as gone.
///
/// A network that is gone for eight seconds may have been silent for five before, and TCP may
/// take some more until it tries again. Whoever crashes closes the socket by that.
const PING_EVERY: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);

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
