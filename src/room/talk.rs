//! What people in a room say beside the picture: chat, reactions, hands, and a host's word. Pure:
//! what has to be done about it comes back as steps.

use std::collections::{HashMap, VecDeque};

use crate::allowance::{Allowance, Rate};
use crate::clock::MediaTime;
use crate::id::{DisplayName, ParticipantId, SessionKey};
use crate::room::event::Change;
use crate::room::floor::Floor;
use crate::signalling::{Act, ByeReason, ChatFile, ChatLine, ErrorCode, Message, Reaction};

/// Longest chat message, characters.
pub const CHAT_MAX_CHARS: usize = 2000;
/// Lines of chat that newcomers get to read.
const HISTORY: usize = 100;
/// Nobody types faster in the long run; a paste of several lines passes.
const CHAT: Rate = Rate {
    burst: 8.0,
    a_second: 1.0,
};
/// Of reactions, hands and moderation together.
const GESTURES: Rate = Rate {
    burst: 12.0,
    a_second: 2.0,
};

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub text: String,
}

/// Short for a refusal.
pub fn refuse(code: ErrorCode, text: &str) -> Refusal {
    Refusal {
        code,
        text: text.into(),
    }
}

/// What somebody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Something written, to everybody or to one.
    Chat(String, Option<ParticipantId>),
    /// A file will be brought, for everybody or one; it can still be refused.
    Offer(Option<ParticipantId>),
    /// A file of this name is here, for everybody or one.
    File(ChatFile, String, Option<ParticipantId>),
    /// A reaction.
    React(Reaction),
    /// A hand goes up or down.
    Hand(bool),
    /// A host's word.
    Moderate(Act, Option<ParticipantId>),
    /// How a host wishes the room to be.
    Configure(Change),
}

/// What has to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Tell everybody.
    TellAll(Message),
    /// Tell one.
    Tell(ParticipantId, Message),
    /// The list of people changed.
    Announce,
    /// Their sound must stop.
    Silence(ParticipantId),
    /// They are to stay on stage, or no longer.
    Pin(ParticipantId, bool),
    /// One who waits, or all, may come in or not.
    Answer(Option<ParticipantId>, bool),
    /// The room is to be another.
    Configure(Change),
    /// They must go.
    Dismiss(ParticipantId, ByeReason),
    /// Everybody must go.
    DismissAll(ByeReason),
}

struct Pace {
    chat: Allowance,
    gestures: Allowance,
}

/// The talk of one room.
#[derive(Default)]
pub struct Talk {
    /// Who may what.
    pub floor: Floor,
    history: VecDeque<ChatLine>,
    paces: HashMap<ParticipantId, Pace>,
}

impl Talk {
    /// Somebody came in. Who must make place: the same session, if it is still here.
    pub fn enter(
        &mut self,
        now: MediaTime,
        id: ParticipantId,
        session: Option<SessionKey>,
        host: bool,
        view: bool,
    ) -> Option<ParticipantId> {
        let pace = Pace {
            chat: Allowance::new(CHAT, now.instant()),
            gestures: Allowance::new(GESTURES, now.instant()),
        };
        self.paces.insert(id, pace);
        self.floor.enter(id, session, host, view)
    }

    /// Somebody left.
    pub fn leave(&mut self, id: ParticipantId) {
        self.paces.remove(&id);
        self.floor.leave(id);
    }

    /// What newcomers get to read.
    pub fn history(&self) -> impl Iterator<Item = Message> {
        let past = |line: &ChatLine| {
            Message::Chat(ChatLine {
                past: true,
                ..line.clone()
            })
        };
        self.history.iter().map(past)
    }

    /// Somebody says something; `wall` is in milliseconds since 1970.
    pub fn say(
        &mut self,
        now: MediaTime,
        wall: u64,
        from: ParticipantId,
        name: &DisplayName,
        say: Say,
    ) -> Result<Vec<Step>, Refusal> {
        if self.floor.watches(from) {
            let text = "those who only watch cannot do this";
            return Err(refuse(ErrorCode::NotHost, text));
        }
        let pace = self.paces.get_mut(&from).map(|pace| match say {
            Say::Chat(..) | Say::Offer(_) | Say::File(..) => &mut pace.chat,
            _ => &mut pace.gestures,
        });
        if !pace.is_some_and(|pace| pace.take(now.instant())) {
            let text = "that was too much at once; wait a moment";
            return Err(refuse(ErrorCode::SlowDown, text));
        }
        match say {
            Say::Chat(text, to) => {
                let line = ChatLine {
                    from,
                    name: name.clone(),
                    text: chat_text(&text)?,
                    file: None,
                    at: wall,
                    to,
                    past: false,
                };
                self.chat(line)
            }
            Say::Offer(to) => match to.is_some_and(|to| self.floor.watches(to)) {
                true => Err(refuse(ErrorCode::NotThere, "they have left")),
                false => Ok(Vec::new()),
            },
            Say::File(file, text, to) => {
                let line = ChatLine {
                    from,
                    name: name.clone(),
                    text,
                    file: Some(file),
                    at: wall,
                    to,
                    past: false,
                };
                self.chat(line)
            }
            Say::React(reaction) => Ok(vec![Step::TellAll(Message::Reaction { from, reaction })]),
            Say::Hand(raised) => {
                self.floor.raise(from, raised);
                Ok(vec![Step::Announce])
            }
            Say::Configure(change) => {
                self.floor.only_host(from)?;
                let change = change.checked().map_err(|why| Refusal {
                    code: ErrorCode::BadValue,
                    text: why.into(),
                })?;
                Ok(vec![Step::Configure(change)])
            }
            Say::Moderate(act, who) => {
                let verdict = self.floor.moderate(from, act, who)?;
                if verdict.ended {
                    return Ok(vec![Step::DismissAll(ByeReason::Ended)]);
                }
                let removed = verdict.removed.into_iter();
                let removed = removed.map(|who| Step::Dismiss(who, ByeReason::Removed));
                let silenced = verdict.silenced.into_iter().map(Step::Silence);
                let pinned = verdict.pinned.map(|(who, pinned)| Step::Pin(who, pinned));
                let answered = verdict.answered.into_iter();
                let answered = answered.map(|(who, admit)| Step::Answer(who, admit));
                let steps = silenced.chain(removed).chain(pinned).chain(answered);
                Ok(steps.chain([Step::Announce]).collect())
            }
        }
    }

    fn chat(&mut self, line: ChatLine) -> Result<Vec<Step>, Refusal> {
        let Some(to) = line.to else {
            // A file is for those who are there.
            if line.file.is_none() {
                if self.history.len() == HISTORY {
                    self.history.pop_front();
                }
                self.history.push_back(line.clone());
            }
            return Ok(vec![Step::TellAll(Message::Chat(line))]);
        };
        if self.floor.watches(to) {
            return Err(refuse(ErrorCode::NotThere, "they have left"));
        }
        let copy = (to != line.from).then(|| Step::Tell(line.from, Message::Chat(line.clone())));
        Ok([Step::Tell(to, Message::Chat(line))]
            .into_iter()
            .chain(copy)
            .collect())
    }
}

/// Chat as it is passed on: trimmed, not empty, not too long, and of control characters only line
/// ends and tabs.
fn chat_text(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 {
        return Err(refuse(ErrorCode::BadText, "the message is empty"));
    }
    if chars > CHAT_MAX_CHARS {
        let text = format!("the message has {chars} characters; at most {CHAT_MAX_CHARS} go");
        return Err(refuse(ErrorCode::BadText, &text));
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        let text = "control characters are not allowed";
        return Err(refuse(ErrorCode::BadText, text));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANN: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);
    const VIEWER: ParticipantId = ParticipantId(3);

    fn talk() -> Talk {
        let mut talk = Talk::default();
        talk.enter(at(0), ANN, None, true, false);
        talk.enter(at(0), BOB, None, false, false);
        talk.enter(at(0), VIEWER, None, false, true);
        talk
    }

    fn at(seconds: u64) -> MediaTime {
        MediaTime::default().plus(Duration::from_secs(seconds))
    }

    fn say(
        talk: &mut Talk,
        now: u64,
        from: ParticipantId,
        say: Say,
    ) -> Result<Vec<Step>, ErrorCode> {
        let name = DisplayName::new("Somebody").unwrap();
        talk.say(at(now), now * 1000, from, &name, say)
            .map_err(|refusal| refusal.code)
    }

    fn chat(text: &str) -> Say {
        Say::Chat(text.into(), None)
    }

    #[test]
    fn what_is_written_reaches_everybody_and_newcomers() {
        let mut talk = talk();
        let markup = "<img src=x onerror=alert(1)> \u{202e}javascript:alert(1)";
        let steps = say(&mut talk, 1, ANN, chat(markup)).unwrap();
        let [Step::TellAll(Message::Chat(line))] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!(line.text, markup, "text is text: passed on as it is");
        assert_eq!((line.from, line.at, line.past), (ANN, 1000, false));
        let history: Vec<_> = talk.history().collect();
        assert!(matches!(history.as_slice(), [Message::Chat(line)] if line.past));
    }

    #[test]
    fn history_has_an_end() {
        let mut talk = talk();
        for n in 0..HISTORY as u64 + 5 {
            say(&mut talk, n * 2, ANN, chat(&n.to_string())).unwrap();
        }
        let texts: Vec<_> = talk
            .history()
            .map(|message| match message {
                Message::Chat(line) => line.text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts.len(), HISTORY);
        assert_eq!(texts[0], "5");
    }

    #[test]
    fn a_direct_message_reaches_two_and_no_history() {
        let mut talk = talk();
        let direct = |to| Say::Chat("psst".into(), Some(to));
        let steps = say(&mut talk, 0, ANN, direct(BOB)).unwrap();
        let told: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Tell(id, Message::Chat(_)) => *id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [BOB, ANN]);
        assert_eq!(talk.history().count(), 0);
        let nobody = say(&mut talk, 0, ANN, direct(ParticipantId(9)));
        assert_eq!(nobody, Err(ErrorCode::NotThere));
    }

    #[test]
    fn a_file_is_for_those_who_are_there() {
        let mut talk = talk();
        let file = ChatFile {
            size: 5,
            url: "/x".into(),
        };
        assert_eq!(say(&mut talk, 0, ANN, Say::Offer(Some(BOB))), Ok(vec![]));
        let gone = Some(ParticipantId(9));
        let refused = say(&mut talk, 0, ANN, Say::Offer(gone));
        assert_eq!(refused, Err(ErrorCode::NotThere));
        let all = Say::File(file.clone(), "x.pdf".into(), None);
        let steps = say(&mut talk, 0, ANN, all).unwrap();
        let [Step::TellAll(Message::Chat(line))] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!(
            (line.text.as_str(), &line.file),
            ("x.pdf", &Some(file.clone()))
        );
        assert_eq!(talk.history().count(), 0);
        let direct = Say::File(file, "x.pdf".into(), Some(BOB));
        assert_eq!(say(&mut talk, 0, ANN, direct.clone()).unwrap().len(), 2);
        assert_eq!(say(&mut talk, 0, VIEWER, direct), Err(ErrorCode::NotHost));
    }

    #[test]
    fn bad_texts_and_floods_are_refused() {
        let mut talk = talk();
        for bad in [" \n ", "a\u{0}b", "\u{1b}[31m", &"x".repeat(2001)] {
            assert_eq!(
                say(&mut talk, 0, ANN, chat(bad)),
                Err(ErrorCode::BadText),
                "{bad:?}"
            );
        }
        assert!(say(&mut talk, 100, ANN, chat(&"한".repeat(2000))).is_ok());
        let passed = (0..100).filter(|_| say(&mut talk, 200, ANN, chat("spam")).is_ok());
        assert_eq!(passed.count(), CHAT.burst as usize);
        assert_eq!(
            say(&mut talk, 200, ANN, chat("spam")),
            Err(ErrorCode::SlowDown)
        );
        assert!(say(&mut talk, 200, BOB, chat("each their own")).is_ok());
        assert!(say(&mut talk, 202, ANN, chat("again")).is_ok());
    }

    #[test]
    fn viewers_only_watch() {
        let mut talk = talk();
        for what in [chat("hi"), Say::Hand(true), Say::React(Reaction::Clap)] {
            assert_eq!(say(&mut talk, 0, VIEWER, what), Err(ErrorCode::NotHost));
        }
    }

    #[test]
    fn a_hosts_word_is_carried_out() {
        let mut talk = talk();
        let mute = Say::Moderate(Act::Mute, Some(BOB));
        assert_eq!(
            say(&mut talk, 0, ANN, mute.clone()).unwrap(),
            [Step::Silence(BOB), Step::Announce]
        );
        assert_eq!(say(&mut talk, 0, BOB, mute), Err(ErrorCode::NotHost));
        let remove = Say::Moderate(Act::Remove, Some(BOB));
        assert_eq!(
            say(&mut talk, 0, ANN, remove).unwrap(),
            [Step::Dismiss(BOB, ByeReason::Removed), Step::Announce]
        );
        let end = Say::Moderate(Act::End, None);
        assert_eq!(
            say(&mut talk, 0, ANN, end).unwrap(),
            [Step::DismissAll(ByeReason::Ended)]
        );
    }
}
