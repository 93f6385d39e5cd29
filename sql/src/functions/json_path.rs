//! Paths into JSON documents: `$.a.b`, `$['a b']`, `$[0]`, `$.*`, `$..name`, after an optional `lax` or `strict`.
//!
//! A path without a mode word is strict. A path that can name several things (`*`, `..`) gives an array of what it
//! finds; a definite path gives one thing, or in strict mode an error when it is not there.

use super::json_document::Json;

/// How a missing thing is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is empty.
    Lax,
    /// It is an error.
    Strict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(i64),
    Any,
    Deep(String),
}

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// Lax or strict.
    pub mode: Mode,
    steps: Vec<Step>,
}

/// What a path finds in a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// This.
    Value(Json),
    /// Nothing, or `null`, or no JSON at all, in lax mode.
    Nothing,
    /// The same in strict mode.
    Error,
}

impl Path {
    /// Compiles `text`; None if it is no path.
    pub fn compile(text: &str) -> Option<Path> {
        let text = text.trim();
        let word = text.split_whitespace().next().unwrap_or_default();
        let (mode, path) = match word.to_ascii_lowercase().as_str() {
            "lax" => (Mode::Lax, text[3..].trim()),
            "strict" => (Mode::Strict, text[6..].trim()),
            _ => (Mode::Strict, text),
        };
        let mut rest = path.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Path { mode, steps })
    }

    /// What the path finds in the text of a document.
    pub fn find(&self, document: &str) -> Found {
        match Json::parse(document) {
            Some(document) => self.find_in(&document),
            None => self.missing(),
        }
    }

    fn find_in(&self, document: &Json) -> Found {
        let mut here = vec![document];
        for step in &self.steps {
            here = here.into_iter().flat_map(|value| step.from(value)).collect();
        }
        if self.steps.iter().any(|step| matches!(step, Step::Any | Step::Deep(_))) {
            return Found::Value(Json::Array(here.into_iter().cloned().collect()));
        }
        match here.pop() {
            Some(Json::Null) | None => self.missing(),
            Some(value) => Found::Value(value.clone()),
        }
    }

    fn missing(&self) -> Found {
        match self.mode {
            Mode::Lax => Found::Nothing,
            Mode::Strict => Found::Error,
        }
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Json) -> Vec<&'a Json> {
        match (self, value) {
            (Step::Name(name), object) => object.member(name).into_iter().collect(),
            (Step::Index(index), Json::Array(items)) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let at = if *index < 0 { length + index } else { *index };
                usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
            }
            (Step::Any, Json::Array(items)) => items.iter().collect(),
            (Step::Any, Json::Object(members)) => members.iter().map(|(_, value)| value).collect(),
            (Step::Deep(name), _) => {
                let mut found = Vec::new();
                descend(value, name, &mut found);
                found
            }
            _ => Vec::new(),
        }
    }
}

fn descend<'a>(value: &'a Json, name: &str, found: &mut Vec<&'a Json>) {
    match value {
        Json::Object(members) => {
            found.extend(value.member(name));
            members.iter().for_each(|(_, member)| descend(member, name, found));
        }
        Json::Array(items) => items.iter().for_each(|item| descend(item, name, found)),
        _ => {}
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix("..") {
        let (name, rest) = name(rest)?;
        return Some((Step::Deep(name), rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((Step::Any, rest));
        }
        let (name, rest) = name(rest)?;
        return Some((Step::Name(name), rest));
    }
    let inside = text.strip_prefix('[')?;
    let first = inside.chars().next()?;
    if first == '\'' || first == '"' {
        let end = inside[1..].find(first)? + 1;
        return Some((Step::Name(inside[1..end].to_string()), inside[end + 1..].strip_prefix(']')?));
    }
    let (inside, rest) = inside.split_once(']')?;
    let step = if inside.trim() == "*" { Step::Any } else { Step::Index(inside.trim().parse().ok()?) };
    Some((step, rest))
}

fn name(text: &str) -> Option<(String, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].trim().to_string(), &text[end..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_find_names_positions_and_wildcards() {
        let document = r#"{"a b": {"c": [10, 20, 30]}, "d": [{"n": 1}, {"n": 2}]}"#;
        let number = |digits: &str| Found::Value(Json::Number(digits.into()));
        let find = |path: &str| Path::compile(path).unwrap().find(document);
        assert_eq!(find("$['a b'].c[2]"), number("30"));
        assert_eq!(find("$.d[*].n"), Found::Value(Json::parse("[1,2]").unwrap()));
        assert_eq!(find("$..n"), Found::Value(Json::parse("[1,2]").unwrap()));
        assert_eq!(find("$.none"), Found::Error);
        assert_eq!(find("lax $.none"), Found::Nothing);
        assert_eq!(find("strict $.d[-1].n"), number("2"));
        assert!(Path::compile("a.b").is_none());
    }
}
