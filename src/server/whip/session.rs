//! One session: holds the member's place while there is a connection, and answers what its
//! client asks by HTTP.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::allowance::{Allowance, Rate};
use crate::peer::{self, Fragment, OneWay};
use crate::room::member::Member;
use crate::server::api::Problem;
use crate::server::whip::precondition::Precondition;
use crate::server::whip::table::Listed;
use crate::signalling::{ByeReason, Message};

/// How long a connection in trouble may take to come back: as long as one with a socket may.
const MEDIA_PATIENCE: Duration = Duration::from_secs(10);
/// Requests a client may send at once, and each second in the long run: its candidates come in
/// one or a few, and networks do not change by the second.
const PATCHES: Rate = Rate {
    burst: 30.0,
    a_second: 1.0,
};

/// How such a client is served.
pub fn options() -> peer::Options {
    peer::Options {
        prefer: None,
        patience: MEDIA_PATIENCE,
        channel: false,
    }
}

/// What is asked of a session.
pub enum Ask {
    /// It has news of its network.
    Patch {
        /// The news.
        fragment: Fragment,
        /// Which network they are about.
        precondition: Precondition,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Patched, Problem>>,
    },
    /// It is over. The reply is sent when its place and its address are free.
    End(oneshot::Sender<()>),
}

/// What became of a client's news.
#[derive(Debug)]
pub enum Patched {
    /// They were taken.
    Taken,
    /// ICE restarts.
    Restarted {
        /// Our side of it.
        fragment: String,
        /// Names the new generation.
        tag: String,
    },
}

/// A session.
pub struct Session {
    member: Member,
    notices: mpsc::Receiver<Message>,
    /// What was answered last.
    offer: OneWay,
    /// Names the generation of ICE (RFC 9725 section 4.3.1).
    tag: String,
    allowance: Allowance,
}

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// Its client said so.
    Asked,
    /// The room said so.
    Bye(ByeReason),
    /// The room is gone.
    RoomGone,
}

impl Session {
    /// Of a member whose first offer, this one, is answered.
    pub fn new(member: Member, notices: mpsc::Receiver<Message>, offer: OneWay) -> Self {
        Self {
            member,
            notices,
            offer,
            tag: new_tag(),
            allowance: Allowance::new(PATCHES, Instant::now().into_std()),
        }
    }

    /// Names the generation of ICE.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Runs until it is over, and then leaves the room.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Ask>, listed: Listed) {
        let (end, waits) = self.until_over(&mut inbox).await;
        listed.end(&end);
        drop(self);
        if let Some(waits) = waits {
            // Who asked may be gone.
            let _ = waits.send(());
        }
    }

    /// Why it is over, and who waits for that.
    async fn until_over(
        &mut self,
        inbox: &mut mpsc::Receiver<Ask>,
    ) -> (End, Option<oneshot::Sender<()>>) {
        loop {
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(Message::Bye { reason }) => return (End::Bye(reason), None),
                    // There is no way to tell this client anything else.
                    Some(_) => {}
                    None => return (End::RoomGone, None),
                },
                // A sender is listed as long as this runs.
                Some(ask) = inbox.recv() => match ask {
                    Ask::Patch { fragment, precondition, reply } => {
                        let patched = self.patch(&fragment, &precondition).await;
                        // Who asked may be gone; the news are taken all the same.
                        let _ = reply.send(patched);
                    }
                    Ask::End(reply) => return (End::Asked, Some(reply)),
                },
            }
        }
    }

    async fn patch(
        &mut self,
        fragment: &Fragment,
        precondition: &Precondition,
    ) -> Result<Patched, Problem> {
        if !self.allowance.take(Instant::now().into_std()) {
            let detail = "news of the network come too fast".to_owned();
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
        }
        if !precondition.holds(&self.tag) {
            let detail = "this is about a network before a restart of ICE".to_owned();
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail));
        }
        let Some(offer) = self.offer.restarted(fragment)? else {
            return Ok(Patched::Taken);
        };
        let answer = self.member.offer(&offer.text(), options()).await?;
        let fragment = Fragment::of_answer(&answer)?;
        self.offer = offer;
        self.tag = new_tag();
        let tag = self.tag.clone();
        Ok(Patched::Restarted { fragment, tag })
    }
}

/// An entity tag that no other generation has (RFC 9110 section 8.8.3).
fn new_tag() -> String {
    format!("\"{:016x}\"", rand::random::<u64>())
}
