//! Which of several elements does a job: the first that works, in the order of preference (pure).

/// An element that may be chosen.
pub trait Candidate: Copy {
    /// GStreamer's name of it.
    fn element(self) -> &'static str;
    /// The Debian package that brings it, where installing that is all it takes.
    fn package(self) -> Option<&'static str>;
}

/// Why a candidate is not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such element: its plugin is not installed, or found no hardware it can use.
    Absent,
    /// It is there and does not do the job; says why.
    Failed(String),
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<C, T> {
    /// The candidate.
    pub chosen: C,
    /// Why not one before it, in words for the log and the metrics.
    pub reason: String,
    /// What its trial made.
    pub made: T,
}

/// The first of `candidates` that `attempt` finds working; later ones are not tried.
///
/// # Errors
/// Says of each candidate why it is not chosen.
pub fn first<C: Candidate, T>(
    candidates: &[C],
    mut attempt: impl FnMut(C) -> Result<T, Refusal>,
) -> Result<Choice<C, T>, String> {
    let mut refused = Vec::new();
    for &candidate in candidates {
        match attempt(candidate) {
            Ok(made) => {
                return Ok(Choice {
                    chosen: candidate,
                    reason: match refused.is_empty() {
                        true => "the first choice".into(),
                        false => reasons(&refused),
                    },
                    made,
                });
            }
            Err(refusal) => refused.push((candidate, refusal)),
        }
    }
    Err(reasons(&refused))
}

/// `not there: a, b (package); c: it says why`.
fn reasons<C: Candidate>(refused: &[(C, Refusal)]) -> String {
    let mut absent = Vec::new();
    let mut failed = Vec::new();
    for (candidate, refusal) in refused {
        let element = candidate.element();
        match (refusal, candidate.package()) {
            (Refusal::Absent, Some(package)) => absent.push(format!("{element} ({package})")),
            (Refusal::Absent, None) => absent.push(element.to_owned()),
            (Refusal::Failed(why), _) => failed.push(format!("{element}: {why}")),
        }
    }
    if !absent.is_empty() {
        failed.insert(0, format!("not there: {}", absent.join(", ")));
    }
    failed.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Candidate for &'static str {
        fn element(self) -> &'static str {
            self
        }
        fn package(self) -> Option<&'static str> {
            (self == "soft").then_some("softpackage")
        }
    }

    fn refuse(why: &str) -> Result<u32, Refusal> {
        Err(Refusal::Failed(why.into()))
    }

    #[test]
    fn the_first_that_works_is_chosen_and_no_more_are_tried() {
        let mut tried = Vec::new();
        let choice = first(&["gpu", "chip", "soft", "last"], |name| {
            tried.push(name);
            match name {
                "gpu" => Err(Refusal::Absent),
                "chip" => refuse("no keyframe"),
                _ => Ok(7),
            }
        });
        let choice = choice.unwrap();
        assert_eq!((choice.chosen, choice.made), ("soft", 7));
        assert_eq!(choice.reason, "not there: gpu; chip: no keyframe");
        assert_eq!(tried, ["gpu", "chip", "soft"]);
    }

    #[test]
    fn who_is_first_needs_no_excuse() {
        let choice = first(&["gpu", "soft"], |_| Ok(())).unwrap();
        assert_eq!(
            (choice.chosen, &*choice.reason),
            ("gpu", "the first choice")
        );
    }

    #[test]
    fn none_says_why_for_each_and_what_to_install() {
        let why = first(&["gpu", "chip", "soft"], |name| match name {
            "chip" => refuse("it hung"),
            _ => Err(Refusal::Absent),
        });
        let why = why.unwrap_err();
        assert_eq!(why, "not there: gpu, soft (softpackage); chip: it hung");
        assert_eq!(first(&[], |_: &str| Ok(())).unwrap_err(), "");
    }
}
