//! Parts of sentences. Pure.

/// Where something is so, if it is not so everywhere.
pub fn stretch(from: u8, to: u8, late: bool) -> String {
    match late {
        false if from < to => format!("up to {to} people"),
        _ => span(from, to),
    }
}

/// From one number of people to another.
pub fn span(from: u8, to: u8) -> String {
    match from == to {
        true => format!("with {from} people"),
        false => format!("from {from} to {to} people"),
    }
}

/// `with 2, 3 and 8 people`.
pub fn people(numbers: &[u8]) -> String {
    format!("with {} people", list(numbers.iter()))
}

/// `a, b and c`.
pub fn list<T: ToString>(of: impl Iterator<Item = T>) -> String {
    let mut all: Vec<String> = of.map(|one| one.to_string()).collect();
    match all.pop() {
        Some(last) if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// As a sentence begins.
pub fn capital(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (numbers, text) in [
            (&[2][..], "with 2 people"),
            (&[2, 3], "with 2 and 3 people"),
            (&[2, 3, 9], "with 2, 3 and 9 people"),
        ] {
            assert_eq!(people(numbers), text);
        }
    }
}
