//! Colours for SQL as it is typed.

use super::lex::{Kind, Token, tokens};
use super::words::is_keyword;

const RESET: &str = "\x1b[0m";

/// `text` with colours; the same characters between them.
pub fn highlight(text: &str) -> String {
    if let Some(command) = text.trim_start().strip_prefix('\\') {
        let name = command.find(char::is_whitespace).unwrap_or(command.len());
        let split = text.len() - command.len() + name;
        return format!("\x1b[33m{}{RESET}{}", &text[..split], &text[split..]);
    }
    let mut result = String::with_capacity(text.len() * 2);
    for token in tokens(text) {
        match colour(text, &token) {
            Some(colour) => {
                result.push_str(colour);
                result.push_str(token.of(text));
                result.push_str(RESET);
            }
            None => result.push_str(token.of(text)),
        }
    }
    result
}

fn colour(text: &str, token: &Token) -> Option<&'static str> {
    match token.kind {
        Kind::Comment => Some("\x1b[90m"),
        Kind::Text => Some("\x1b[32m"),
        Kind::Number => Some("\x1b[35m"),
        Kind::Word if is_keyword(token.of(text)) => Some("\x1b[1;34m"),
        Kind::Word | Kind::Name | Kind::Space | Kind::Semicolon | Kind::Sign => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_texts_numbers_and_comments_have_colours() {
        assert_eq!(
            highlight("select a, 'x' FROM `from` -- end"),
            "\x1b[1;34mselect\x1b[0m a, \x1b[32m'x'\x1b[0m \x1b[1;34mFROM\x1b[0m `from` \x1b[90m-- end\x1b[0m"
        );
        assert_eq!(highlight("f(12)"), "f(\x1b[35m12\x1b[0m)");
        assert_eq!(highlight("\\d orders"), "\x1b[33m\\d\x1b[0m orders");
    }

    #[test]
    fn nothing_but_colours_is_added() {
        for text in ["SELECT 'open", "é /* x", "\\", "WITH ('a' = 1);\n"] {
            let mut shown = highlight(text);
            while let Some(at) = shown.find('\x1b') {
                let end = shown[at..].find('m').map_or(shown.len(), |end| at + end + 1);
                shown.replace_range(at..end, "");
            }
            assert_eq!(shown, text);
        }
    }
}
