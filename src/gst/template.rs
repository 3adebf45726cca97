//! Pipeline texts and their placeholders: the pure half of loading a pipeline.

use super::Error;

/// What a placeholder may stand for. There is no variant for free text: measured with GStreamer
/// 1.22, a string such as `a ! filesink …` is parsed as an element. Strings are set as properties
/// on named elements after parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Int(i64),
    /// One word of a closed set that the code spells out: letters, digits, `-` and `_`.
    Word(&'static str),
}

/// What a module needs of one pipeline text. Each module exports its own, and the test over all
/// texts iterates over them, so that no text is without a user and no lookup without an element.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The file's name without `.gst`.
    pub name: &'static str,
    /// Every placeholder with a value that parses.
    pub values: &'static [(&'static str, Value)],
    /// Names the code looks up.
    pub elements: &'static [&'static str],
    /// Sink pads the code pushes into by itself, as (element, pad): unlinked by design.
    pub inputs: &'static [(&'static str, &'static str)],
}

/// A text around an element that is there only with its hardware: `{element}` in it.
#[derive(Debug, Clone, Copy)]
pub struct Hardware {
    /// The text; its values lack `element`.
    pub spec: Spec,
    /// What `{element}` may stand for.
    pub elements: &'static [&'static str],
    /// An element of every machine that takes and gives the same: with it in the other's place,
    /// the rest of the text can be parsed anywhere.
    pub stand_in: &'static str,
}

impl Hardware {
    /// Every placeholder with a value, `{element}` among them.
    pub fn values(&self, element: &'static str) -> Vec<(&'static str, Value)> {
        let mut values = self.spec.values.to_vec();
        values.push(("element", Value::Word(element)));
        values
    }
}

/// Whether a text is one of `hardware`'s. Panics if it is and `element` is not of its elements.
#[cfg(test)]
pub fn wants_hardware(hardware: &[Hardware], text: &Spec, element: &str) -> bool {
    let mut texts = hardware.iter();
    let found = texts.find(|hardware| hardware.spec.name == text.name);
    let named = found.is_none_or(|hardware| hardware.elements.contains(&element));
    assert!(named, "{} for {element}", text.name);
    found.is_some()
}

/// Strips `#` lines and replaces every `{name}`; what is left is one launch line.
pub fn fill(name: &'static str, text: &str, values: &[(&str, Value)]) -> Result<String, Error> {
    let refuse = |reason: String| Error::Fill { name, reason };
    let mut used = vec![false; values.len()];
    let mut out = String::with_capacity(text.len());
    let line = strip(text);
    let mut rest = line.as_str();
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(open);
        let key = from
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
            .map(|(key, _)| key)
            .filter(|key| is_key(key))
            .ok_or_else(|| {
                let near: String = from.chars().take(20).collect();
                refuse(format!("a brace that is no {{placeholder}}: {near:?}"))
            })?;
        let index = values
            .iter()
            .position(|(k, _)| *k == key)
            .ok_or_else(|| refuse(format!("{{{key}}} has no value")))?;
        used[index] = true;
        out.push_str(before);
        match values[index].1 {
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Word(word) if is_word(word) => out.push_str(word),
            Value::Word(word) => {
                return Err(refuse(format!("{word:?} for {{{key}}} is not one word")));
            }
        }
        rest = &from[key.len() + 2..];
    }
    out.push_str(rest);
    match used.iter().position(|used| !used) {
        Some(index) => Err(refuse(format!("no placeholder {{{}}}", values[index].0))),
        None => Ok(out),
    }
}

/// The text without comment lines, in one line.
fn strip(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<String, Error>) -> String {
        match result {
            Err(Error::Fill { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comments_go_and_values_come() {
        let text = "# about\n  fakesrc num-buffers={count}\n  # inside\n  ! fakesink sync={sync}\n";
        let values = [("count", Value::Int(-3)), ("sync", Value::Word("false"))];
        assert_eq!(
            fill("t", text, &values).unwrap(),
            "fakesrc num-buffers=-3 ! fakesink sync=false"
        );
    }

    #[test]
    fn a_placeholder_may_appear_twice() {
        assert_eq!(
            fill("t", "{n}-{n}", &[("n", Value::Int(1))]).unwrap(),
            "1-1"
        );
    }

    #[test]
    fn unfilled_unknown_and_odd_braces_are_errors() {
        assert_eq!(reason(fill("t", "a={n}", &[])), "{n} has no value");
        assert_eq!(
            reason(fill("t", "a=1", &[("n", Value::Int(1))])),
            "no placeholder {n}"
        );
        for text in ["a={", "a=}", "a={ I420, NV12 }", "a={N}", "a={}"] {
            assert!(reason(fill("t", text, &[])).contains("brace"), "{text}");
        }
    }

    #[test]
    fn a_word_is_one_word() {
        for word in ["", "a b", "a!b", "x\"", "a{b}"] {
            let filled = fill("t", "a={w}", &[("w", Value::Word(word))]);
            assert!(reason(filled).contains("not one word"), "{word:?}");
        }
        assert!(fill("t", "a={w}", &[("w", Value::Word("zerolatency"))]).is_ok());
    }
}
