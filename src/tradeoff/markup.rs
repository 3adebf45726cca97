//! Text and tables in markup, and what a browser is to believe of it.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

/// Escapes a text for element content and quoted attributes, in HTML and XML alike. Characters
/// that XML cannot hold become the replacement character.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// A table; `head` and `rows` are markup already, `caption` is text. `class`: `texts` if its cells are no numbers.
pub fn table(caption: &str, head: &str, rows: &str, class: &str) -> String {
    let (label, class) = (escape(caption), escape(class));
    format!(
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{label}\">\
         <table class=\"{class}\"><caption>{label}</caption><thead><tr>{head}</tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}

/// A column for each number of people.
pub fn head_of_people(people: &BTreeSet<u8>) -> String {
    let columns = people.iter().map(|n| column(&n.to_string()));
    "<th scope=\"col\">People</th>".to_owned() + &columns.collect::<String>()
}

/// Above the names of rows, where there is nothing to say.
pub fn corner() -> String {
    "<td></td>".into()
}

/// The head of a column.
pub fn column(name: &str) -> String {
    format!("<th scope=\"col\">{}</th>", escape(name))
}

/// A row; its cells are markup already.
pub fn row(name: &str, cells: &str) -> String {
    format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(name))
}

/// A cell; its content is markup already.
pub fn cell(class: &str, content: &str) -> String {
    match class {
        "" => format!("<td>{content}</td>"),
        class => format!("<td class=\"{class}\">{content}</td>"),
    }
}

/// The content security policy of a page whose only style sheet is `style`, written into it: no
/// script, no picture, no other address, no form.
pub fn policy(style: &str) -> String {
    let hash = base64(&Sha256::digest(style.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize] as char)
    };
    let mut out = String::new();
    for three in bytes.chunks(3) {
        out.extend(&group(three)[..=three.len()]);
        out.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        let text = escape("<a href='x' title=\"y\">&\0</a>");
        let expected = "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\u{fffd}&lt;/a&gt;";
        assert_eq!(text, expected);
        assert_eq!(escape("10 ≤ N – “fine”"), "10 ≤ N – “fine”");
    }

    #[test]
    fn base64_as_in_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
