//! AMF 0 (Adobe's specification of 2007): as much of it as commands have.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// All numbers are floating.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Of at most 65,535 bytes.
    String(String),
    /// Names and values, in order; associative arrays too.
    Object(Vec<(String, Value)>),
    /// Nothing, whether null or undefined.
    Null,
}

/// Objects in objects, at most.
const DEEPEST: usize = 8;

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A property of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(0);
                out.extend(number.to_be_bytes());
            }
            Self::Boolean(yes) => out.extend([1, u8::from(*yes)]),
            Self::String(text) => {
                out.push(2);
                write_text(text, out);
            }
            Self::Object(pairs) => {
                out.push(3);
                for (name, value) in pairs {
                    write_text(name, out);
                    value.write(out);
                }
                out.extend([0, 0, 9]);
            }
            Self::Null => out.push(5),
        }
    }

    /// Reads all values there are; none if they are broken.
    pub fn read_all(mut bytes: &[u8]) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            values.push(read(&mut bytes, 0)?);
        }
        Some(values)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Ours are far shorter; cut rather than garble what follows.
    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn read_text(bytes: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(*take(bytes, 2)?.first_chunk()?);
    let text = take(bytes, length.into())?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn read(bytes: &mut &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    Some(match take(bytes, 1)?[0] {
        0 => Value::Number(f64::from_be_bytes(*take(bytes, 8)?.first_chunk()?)),
        1 => Value::Boolean(take(bytes, 1)?[0] != 0),
        2 => Value::String(read_text(bytes)?),
        kind @ (3 | 8) => {
            if kind == 8 {
                // How many there will be, which is not always true.
                take(bytes, 4)?;
            }
            let mut pairs = Vec::new();
            loop {
                let name = read_text(bytes)?;
                if name.is_empty() && bytes.first() == Some(&9) {
                    take(bytes, 1)?;
                    break Value::Object(pairs);
                }
                pairs.push((name, read(bytes, depth + 1)?));
            }
        }
        5 | 6 => Value::Null,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let values = [
            Value::text("connect"),
            Value::Number(1.0),
            Value::Object(vec![
                ("app".into(), Value::text("live")),
                ("fpad".into(), Value::Boolean(false)),
                ("inner".into(), Value::Object(vec![])),
            ]),
            Value::Null,
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| value.write(&mut bytes));
        assert_eq!(Value::read_all(&bytes).unwrap(), values);
        assert_eq!(values[2].get("app").and_then(Value::as_text), Some("live"));
        for end in 0..bytes.len() {
            // Whatever a stump says, it does not panic.
            let _ = Value::read_all(&bytes[..end]);
        }
    }

    #[test]
    fn what_is_broken_or_too_deep_is_none() {
        assert_eq!(Value::read_all(&[2, 0, 9, b'x']), None);
        assert_eq!(Value::read_all(&[77]), None);
        let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(1000);
        assert_eq!(Value::read_all(&deep), None);
    }
}
