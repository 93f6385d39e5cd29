//! SQL text as it may be shown: the values of secret options are masked, character by character, so that places stay.

use crate::catalog::redact;

/// `sql` with every secret value of a `'key' = 'value'` pair masked.
pub(crate) fn mask(sql: &str) -> String {
    let mut shown = String::with_capacity(sql.len());
    let mut key: Option<String> = None;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' => quoted_length(rest),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") && !rest.starts_with("/*+") => {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            }
            c => c.len_utf8(),
        };
        let (piece, behind) = rest.split_at(length);
        match (c, &key) {
            ('\'', Some(name)) if redact(name, &content(piece)) != content(piece) => {
                shown.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { '*' }));
                key = None;
            }
            ('\'', _) => {
                shown.push_str(piece);
                // A text is a key when an equals sign follows it.
                key = behind.trim_start().starts_with('=').then(|| content(piece));
            }
            _ => shown.push_str(piece),
        }
        rest = behind;
    }
    shown
}

/// Bytes of the text in quotes that `rest` begins with; a doubled quote is part of it.
fn quoted_length(rest: &str) -> usize {
    let mut at = 1;
    while let Some(found) = rest[at..].find('\'') {
        at += found + 1;
        if !rest[at..].starts_with('\'') {
            return at;
        }
        at += 1;
    }
    rest.len()
}

fn content(piece: &str) -> String {
    piece.trim_matches('\'').replace("''", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_masked_and_places_stay() {
        let check = |sql: &str, shown: &str| {
            assert_eq!(mask(sql), shown);
            assert_eq!(sql.chars().count(), shown.chars().count());
        };
        check("WITH ('password' = 'p''w', 'topic' = 't')", "WITH ('password' = ******, 'topic' = 't')");
        check("-- it's\n'token'\n=\n'x' y", "-- it's\n'token'\n=\n*** y");
        check("'url' = 'jdbc:mysql://me:pw@h/d'", "'url' = ************************");
        check("SELECT 'password', 'x' FROM t /* 'open", "SELECT 'password', 'x' FROM t /* 'open");
        check("SET 'a.password' = 'not closed", "SET 'a.password' = ***********");
    }
}
