//! A SQL file with its variables replaced.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// A file, ready to be parsed.
pub struct Script {
    /// Its name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Script {
    /// Reads a file (`-` is standard input) and replaces `${name}` by the value in `variables`, else by that of the
    /// environment.
    pub fn read(path: &Path, variables: &BTreeMap<String, String>) -> Result<Script, Failure> {
        let file = path.display().to_string();
        let raw = if file == "-" {
            io::read_to_string(io::stdin())
        } else {
            std::fs::File::open(path).and_then(|mut f| {
                let mut text = String::new();
                f.read_to_string(&mut text).map(|_| text)
            })
        };
        let raw = raw.map_err(|e| Failure::Message(format!("ERROR: cannot read {file}: {e}")))?;
        let mut values: BTreeMap<String, String> = std::env::vars().collect();
        values.extend(variables.clone());
        let text = eddyline_sql::config::substitute(&raw, &values).map_err(|e| Failure::sql(&e, &file, &raw))?;
        Ok(Script { file, text })
    }
}

/// `-D key=value` pairs.
pub fn parse_definitions(definitions: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |d: &String| match d.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_string(), value.to_string())),
        None => Err(Failure::Message(format!("ERROR: -D {d}: expected KEY=VALUE"))),
    };
    definitions.iter().map(pair).collect()
}
