//! What a browser does not need of a script or a style sheet: comments and indentation, a third
//! of their size even compressed.
//!
//! Only whole lines go, so that nothing has to be understood but how comments are written here; a
//! test holds every file of the pages to that. Pure.

/// The text without blank lines, without lines that are nothing but comment, and without
/// indentation.
pub(super) fn lean(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        let begins = !inside && line.starts_with("/*");
        let comment = inside || begins || line.starts_with("//");
        inside = (inside || begins) && !line.ends_with("*/");
        if !comment && !line.is_empty() {
            lean.push_str(line);
            lean.push('\n');
        }
    }
    lean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_and_comments_go() {
        let text = "/** Of\n * several lines. */\n// One.\n\nlet a = 'x /* y'; // stays\n  /* b */\n\
                    \x20 f(a,\n    'https://c');\n";
        assert_eq!(
            lean(text),
            "let a = 'x /* y'; // stays\nf(a,\n'https://c');\n"
        );
    }

    /// What [`lean`] takes for granted.
    #[test]
    fn the_pages_are_written_so() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        let mut files = 0;
        for folder in [folder.to_owned(), format!("{folder}/words")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = path.extension().and_then(|kind| kind.to_str());
                if !matches!(kind, Some("js" | "css")) {
                    continue;
                }
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                let mut inside = false;
                for (number, line) in text.lines().map(str::trim).enumerate() {
                    let at = format!("{}:{}: {line}", path.display(), number + 1);
                    let begins = !inside && line.starts_with("/*");
                    if inside || begins {
                        let rest = line.find("*/").map(|end| line[end + 2..].trim());
                        assert!(rest.unwrap_or("").is_empty(), "code after a comment: {at}");
                        inside = rest.is_none();
                    } else {
                        let ticks = line.matches('`').count();
                        assert!(ticks % 2 == 0, "a text of several lines: {at}");
                        let opens = line.rfind("/*") > line.rfind("*/");
                        assert!(!opens, "a comment of several lines after code: {at}");
                        let css = kind == Some("css");
                        assert!(!(css && line.starts_with("//")), "no comment: {at}");
                    }
                }
                assert!(!inside, "{}", path.display());
            }
        }
        assert!(files > 30, "{files} files");
    }
}
