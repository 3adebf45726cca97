//! Namesakes are told apart where their names stand in the picture: the second Ann is "Ann (2)".
//! The page does the same for its own labels (`web/names.js`). Pure.

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::id::{DisplayName, NAME_MAX_CHARS};

/// What to call a newcomer of this name, among those who are `called` so already: like nobody
/// else. Labels stay while people do, so nobody's changes when somebody comes or goes.
pub fn apart<'a>(name: &DisplayName, called: impl Iterator<Item = &'a DisplayName>) -> DisplayName {
    let called: Vec<String> = called.map(|label| alike(label.as_str())).collect();
    let free = |label: &DisplayName| !called.contains(&alike(label.as_str()));
    if free(name) {
        return name.clone();
    }
    // As many numbers as there are others, and one more: one of them is free.
    let numbers = 2..called.len() as u64 + 3;
    let mut labels = numbers.filter_map(|number| numbered(name, number));
    labels.find(free).unwrap_or_else(|| name.clone())
}

/// A long name makes room for its number.
fn numbered(name: &DisplayName, number: u64) -> Option<DisplayName> {
    let suffix = format!(" ({number})");
    let room = NAME_MAX_CHARS - suffix.chars().count();
    let kept: String = name.as_str().chars().take(room).collect();
    DisplayName::new(&format!("{}{suffix}", kept.trim_end())).ok()
}

/// Equal for names that look the same to a reader.
fn alike(name: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    nfkc.normalize(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Vec<String> {
        let mut labels: Vec<DisplayName> = Vec::new();
        for name in names {
            let name = DisplayName::new(name).unwrap();
            let label = apart(&name, labels.iter());
            labels.push(label);
        }
        labels.iter().map(|label| label.to_string()).collect()
    }

    #[test]
    fn namesakes_get_numbers_in_the_order_they_came() {
        assert_eq!(
            labels(&["Ann", "Bob", "Ann", "ann", "Ａnn"]),
            ["Ann", "Bob", "Ann (2)", "ann (3)", "Ａnn (4)"]
        );
        // Composed and decomposed look the same.
        assert_eq!(labels(&["\u{e9}", "e\u{301}"])[1], "e\u{301} (2)");
    }

    #[test]
    fn nobody_can_take_the_label_of_a_numbered_namesake() {
        assert_eq!(
            labels(&["Ann (2)", "Ann", "Ann", "Ann (2)"]),
            ["Ann (2)", "Ann", "Ann (3)", "Ann (2) (2)"]
        );
    }

    #[test]
    fn long_names_make_room_for_their_number() {
        let long = "x".repeat(64);
        let labels = labels(&[long.as_str(); 12]);
        assert_eq!(labels[1], format!("{} (2)", "x".repeat(60)));
        assert_eq!(labels[11], format!("{} (12)", "x".repeat(59)));
        assert!(labels.iter().all(|label| label.chars().count() <= 64));
    }
}
