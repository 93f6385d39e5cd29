//! JSON text as a tree that keeps each number as it was written: `12.50` stays `12.50`.

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object in the order of the text; of equal names the last one counts.
    Object(Vec<(String, Json)>),
}

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 128;

impl Json {
    /// Reads a whole text; None if it is no JSON.
    pub fn parse(text: &str) -> Option<Json> {
        let mut reader = Reader { rest: text.trim_start_matches(BLANKS) };
        let value = reader.value(0)?;
        reader.rest.is_empty().then_some(value)
    }

    /// The member `name` of an object.
    pub fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A scalar as text; None for NULL, arrays and objects.
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Json::Text(text) | Json::Number(text) => Some(text.clone()),
            Json::Bool(value) => Some(value.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// JSON text without blanks.
    pub fn compact(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number(text) => text.clone(),
            Json::Text(text) => quoted(text),
            Json::Array(items) => format!("[{}]", items.iter().map(Json::compact).collect::<Vec<_>>().join(",")),
            Json::Object(members) => {
                let member = |(name, value): &(String, Json)| format!("{}:{}", quoted(name), value.compact());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?.trim_start_matches(BLANKS);
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.as_bytes().first()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::Text),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'n' => self.take("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        let mut members = Vec::new();
        while self.take("}").is_none() {
            if !members.is_empty() {
                self.take(",")?;
            }
            let name = self.string()?;
            self.take(":")?;
            members.push((name, self.value(depth + 1)?));
        }
        Some(Json::Object(members))
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        let mut items = Vec::new();
        while self.take("]").is_none() {
            if !items.is_empty() {
                self.take(",")?;
            }
            items.push(self.value(depth + 1)?);
        }
        Some(Json::Array(items))
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let inside = self.rest.strip_prefix('"')?;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        let (text, rest) = self.rest.split_at(end + 2);
        self.rest = rest.trim_start_matches(BLANKS);
        serde_json::from_str(text).ok()
    }

    fn number(&mut self) -> Option<Json> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        serde_json::from_str::<serde_json::Number>(text).ok()?;
        self.rest = rest.trim_start_matches(BLANKS);
        Some(Json::Number(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_stay_as_written() {
        let text = " {\"a\" : [1, 12.50, -4e2], \"b\\\"\": {\"c\": null}} ";
        assert_eq!(Json::parse(text).unwrap().compact(), "{\"a\":[1,12.50,-4e2],\"b\\\"\":{\"c\":null}}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{broken", "[1,]", "[,1]", "{\"a\" 1}", "1 2", "01", "nul", "\"open", "{\"a\":1,}"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(5000)), None);
    }
}
