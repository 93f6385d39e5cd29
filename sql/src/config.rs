//! Configuration of a session: what `SET 'key' = 'value'` may set, its defaults, and variables in SQL text.
//!
//! Keys and defaults are Flink's, except where the declaration says otherwise. A bad value of a known key is an error
//! at SET. Flink ignores keys that it does not know; so do we, with a warning that suggests the nearest known key.

use std::collections::BTreeMap;
use std::str::FromStr;

use eddyline_engine::checkpoint::{CheckpointConfig, RestartStrategy, checkpoint_options, restart_options};
use eddyline_engine::connector::{OptionSpec, OptionValue, Options, nearest};

use crate::error::{Location, Result, SqlError, SqlState};

/// Name of the job, which owns its checkpoints.
pub const PIPELINE_NAME: &str = "pipeline.name";
/// Number of subtasks of each operator.
pub const PARALLELISM: &str = "parallelism.default";
/// `STREAMING` or `BATCH`.
pub const RUNTIME_MODE: &str = "execution.runtime-mode";
/// Checkpoint or savepoint to start from.
pub const RECOVERY_PATH: &str = "execution.state-recovery.path";
/// Time zone of the session.
pub const LOCAL_TIME_ZONE: &str = "table.local-time-zone";
/// How often watermarks are emitted; 0 means behind each row.
pub const AUTO_WATERMARK_INTERVAL: &str = "pipeline.auto-watermark-interval";
/// When a silent split no longer holds back the watermark.
pub const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";
/// What happens to NULL on its way into a NOT NULL column.
pub const NOT_NULL_ENFORCER: &str = "table.exec.sink.not-null-enforcer";
/// True when sources may repeat changes.
pub const CDC_DUPLICATES: &str = "table.exec.source.cdc-events-duplicate";
/// How long unused state is kept.
pub const STATE_TTL: &str = "table.exec.state.ttl";
/// True when INSERT waits for its job to end.
pub const DML_SYNC: &str = "table.dml-sync";
/// True when updates are collected before they are sent on.
pub const MINI_BATCH: &str = "table.exec.mini-batch.enabled";
/// How long updates are collected.
pub const MINI_BATCH_LATENCY: &str = "table.exec.mini-batch.allow-latency";
/// How many rows are collected at most.
pub const MINI_BATCH_SIZE: &str = "table.exec.mini-batch.size";
/// Database of the checkpoint tables.
pub const JOURNAL_URL: &str = "eddyline.checkpointing.mysql.url";
/// User of that database.
pub const JOURNAL_USERNAME: &str = "eddyline.checkpointing.mysql.username";
/// Password of that user.
pub const JOURNAL_PASSWORD: &str = "eddyline.checkpointing.mysql.password";

/// True when state that no operator of the query claims may be dropped.
pub const IGNORE_UNCLAIMED: &str = "execution.state-recovery.ignore-unclaimed-state";
/// True when a job may run on although its exactly-once target then holds rows twice.
pub const ALLOW_DUPLICATES: &str = "eddyline.recovery.allow-duplicates";

/// What Flink called [`RECOVERY_PATH`] before.
const OLD_RECOVERY_PATH: &str = "execution.savepoint.path";

/// Keys that the engine declares and checks, also under their older names.
const ENGINE_PREFIXES: &[&str] = &["execution.checkpointing.", "state.", "restart-strategy"];

const NO_EFFECT: &str = "Accepted for compatibility with Flink; has no effect yet.";

/// All known keys.
pub fn specs() -> Vec<OptionSpec> {
    let mut specs = session_specs();
    specs.extend(accepted_specs());
    specs.extend(checkpoint_options());
    specs.extend(restart_options());
    specs
}

fn session_specs() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, OneOf, Secret, Text};
    const MODES: &[&str] = &["STREAMING", "BATCH", "AUTOMATIC"];
    const RESULT: &[&str] = &["TABLE", "CHANGELOG", "TABLEAU"];
    let optional = OptionSpec::optional;
    let default = OptionSpec::with_default;
    vec![
        optional(PIPELINE_NAME, Text, "Name of the job; owns its checkpoint folder. Derived from the sink by default."),
        default(PARALLELISM, Integer, "1", "Number of subtasks of each operator."),
        default(RUNTIME_MODE, OneOf(MODES), "STREAMING", "Only STREAMING is supported."),
        optional(RECOVERY_PATH, Text, "Checkpoint or savepoint that later jobs start from."),
        optional(
            LOCAL_TIME_ZONE,
            Text,
            "Time zone of the session, as Europe/Oslo or GMT+03:00. The machine's by default.",
        ),
        default(AUTO_WATERMARK_INTERVAL, Duration, "200ms", "Pace of watermarks; 0 means behind each row."),
        default(
            IDLE_TIMEOUT,
            Duration,
            "30s",
            "A split without rows for so long no longer holds back the watermark; 0 means never (Flink's default).",
        ),
        default(MINI_BATCH, Boolean, "false", "Collect updates before they are sent on."),
        default(MINI_BATCH_LATENCY, Duration, "0ms", "How long updates are collected."),
        default(MINI_BATCH_SIZE, Integer, "-1", "How many rows are collected at most."),
        default(NOT_NULL_ENFORCER, OneOf(&["ERROR", "DROP"]), "ERROR", "What to do with NULL for a NOT NULL column."),
        default(STATE_TTL, Duration, "0ms", "How long unused state of a key is kept; 0 means for ever."),
        default(DML_SYNC, Boolean, "false", "INSERT waits until its job ends."),
        default("sql-client.execution.result-mode", OneOf(RESULT), "TABLE", "How results of queries are shown."),
        default("sql-client.execution.max-table-result.rows", Integer, "1000000", "Most rows of a result to keep."),
        default("sql-client.display.max-column-width", Integer, "30", "Longest text shown in a column."),
        default("sql-client.verbose", Boolean, "false", "Show the causes of errors too."),
        default(
            CDC_DUPLICATES,
            Boolean,
            "false",
            "Changes that are read may come twice: remember the last row per PRIMARY KEY, and leave repetitions out.",
        ),
        default(IGNORE_UNCLAIMED, Boolean, "false", "Drop state in a checkpoint that the query no longer has."),
        default(
            ALLOW_DUPLICATES,
            Boolean,
            "false",
            "Run on, and write rows twice, when an exactly-once target is ahead of the restored checkpoint or lost its marker.",
        ),
        optional("sql-client.*", Text, "Settings of Flink's SQL client without meaning here."),
        optional(
            JOURNAL_URL,
            Text,
            "Database of the checkpoint tables with 'execution.checkpointing.storage' = 'mysql': \
             'jdbc:mysql://host:3306/database'.",
        ),
        optional(JOURNAL_USERNAME, Text, "User name for it."),
        optional(JOURNAL_PASSWORD, Secret, "Password for it."),
        optional("eddyline.*", Text, "Settings of this program that Flink ignores."),
    ]
}

/// Keys of Flink that a script may set and that change nothing here.
fn accepted_specs() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, OneOf, Text};
    let keys: &[(&str, OptionValue)] = &[
        ("table.exec.sink.require-on-conflict", Boolean),
        ("table.exec.sink.upsert-materialize", OneOf(&["NONE", "AUTO", "FORCE"])),
        ("table.exec.sink.type-length-enforcer", OneOf(&["IGNORE", "TRIM_PAD", "ERROR"])),
        ("table.exec.sink.keyed-shuffle", Text),
        ("table.exec.sink.rowtime-inserter", Text),
        ("table.exec.emit.early-fire.enabled", Boolean),
        ("table.exec.emit.early-fire.delay", Duration),
        ("table.exec.emit.late-fire.enabled", Boolean),
        ("table.exec.emit.late-fire.delay", Duration),
        ("table.exec.emit.allow-lateness", Duration),
        ("table.exec.resource.default-parallelism", Text),
        ("table.optimizer.*", Text),
        ("table.display.max-column-width", Text),
        ("table.plan.force-recompile", Boolean),
        ("execution.target", Text),
        ("execution.attached", Boolean),
        ("execution.buffer-timeout", Duration),
        ("execution.buffer-timeout.interval", Duration),
        ("execution.state-recovery.*", Text),
        ("pipeline.max-parallelism", Text),
        ("pipeline.object-reuse", Boolean),
        ("pipeline.operator-chaining.enabled", Boolean),
        ("rest.address", Text),
        ("rest.port", Text),
    ];
    keys.iter().map(|(key, value)| OptionSpec::optional(key, *value, NO_EFFECT)).collect()
}

/// What a session has set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    values: BTreeMap<String, String>,
}

impl Config {
    /// Sets `key`. A bad value is an error; the text returned is a warning about an unknown key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Option<String>> {
        let key = if key == OLD_RECOVERY_PATH { RECOVERY_PATH } else { key };
        let mut values = self.values.clone();
        values.insert(key.to_string(), value.to_string());
        let mut warning = None;
        if ENGINE_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            CheckpointConfig::from_options(&values)?;
            RestartStrategy::from_options(&values, true)?;
        } else {
            let specs = specs();
            match covering(&specs, key) {
                Some(spec) => {
                    let one = BTreeMap::from([(key.to_string(), value.to_string())]);
                    Options::check("SET", &one, vec![spec.clone()])?;
                    check_meaning(key, value)?;
                }
                None => warning = Some(unknown(key, &specs)),
            }
        }
        self.values = values;
        Ok(warning)
    }

    /// Goes back to the default of `key`.
    pub fn reset(&mut self, key: &str) {
        self.values.remove(key);
    }

    /// Goes back to all defaults.
    pub fn reset_all(&mut self) {
        self.values.clear();
    }

    /// What is set, for `SET;` and for the parts of the program that read their own keys (checkpoints, restarts).
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The value set, or the default.
    pub fn text(&self, key: &str) -> Option<String> {
        let default = || covering(&specs(), key).and_then(|s| s.default).map(str::to_string);
        self.values.get(key).cloned().or_else(default)
    }

    /// Typed access to all known keys.
    pub fn options(&self) -> Result<Options> {
        let specs = specs();
        let known = self.values.iter().filter(|(key, _)| covering(&specs, key).is_some());
        Ok(Options::check("SET", &known.map(|(k, v)| (k.clone(), v.clone())).collect(), specs.clone())?)
    }

    /// Checkpoint settings of jobs started now.
    pub fn checkpoint(&self) -> Result<CheckpointConfig> {
        Ok(CheckpointConfig::from_options(&self.values)?)
    }

    /// What happens when a job started now fails.
    pub fn restart_strategy(&self) -> Result<RestartStrategy> {
        let checkpointing = self.checkpoint()?.interval.is_some();
        Ok(RestartStrategy::from_options(&self.values, checkpointing)?)
    }

    /// Number of subtasks of each operator, at least 1.
    pub fn parallelism(&self) -> Result<usize> {
        let parallelism = self.options()?.integer(PARALLELISM)?.unwrap_or(1);
        usize::try_from(parallelism).map_err(|_| bad(PARALLELISM, &parallelism.to_string(), "at least 1"))
    }

    /// The session's time zone as a name that chrono-tz or Arrow understands (`Europe/Oslo`, `+03:00`); None when it
    /// is not set, which means the machine's.
    pub fn time_zone(&self) -> Option<String> {
        self.values.get(LOCAL_TIME_ZONE).and_then(|zone| time_zone(zone))
    }
}

/// The declaration of a key; an exact one wins over one for a whole prefix.
fn covering<'a>(specs: &'a [OptionSpec], key: &str) -> Option<&'a OptionSpec> {
    specs.iter().find(|s| s.key == key).or_else(|| specs.iter().find(|s| s.covers(key)))
}

fn unknown(key: &str, specs: &[OptionSpec]) -> String {
    let known = specs.iter().map(|s| s.key).filter(|k| !k.ends_with('*'));
    match nearest(key, known) {
        Some(near) => format!("key '{key}' is unknown and has no effect; did you mean '{near}'?"),
        None => format!("key '{key}' is unknown and has no effect"),
    }
}

/// What the kind of value alone does not say.
fn check_meaning(key: &str, value: &str) -> Result<()> {
    match key {
        PARALLELISM if value.trim().parse::<u16>().is_ok_and(|n| (1..=128).contains(&n)) => Ok(()),
        PARALLELISM => Err(bad(key, value, "a number from 1 to 128")),
        RUNTIME_MODE if !value.eq_ignore_ascii_case("STREAMING") => {
            Err(SqlError::unsupported(format!("'{key}' = '{value}' is not supported"))
                .with_hint("only STREAMING is: bounded inputs end by themselves"))
        }
        PIPELINE_NAME if value.trim().is_empty() => Err(bad(key, value, "a name")),
        LOCAL_TIME_ZONE if time_zone(value).is_none() => {
            let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let hint = nearest(value, names).map(|near| format!("did you mean '{near}'?"));
            Err(bad(key, value, "a time zone such as 'Europe/Oslo', 'UTC' or 'GMT+03:00'")
                .with_hint(hint.unwrap_or_else(|| "use a name of the IANA time zone database".to_string())))
        }
        _ => Ok(()),
    }
}

fn bad(key: &str, value: &str, wanted: &str) -> SqlError {
    let message = format!("Invalid value '{value}' for option '{key}': expected {wanted}");
    SqlError::new(SqlState::InvalidParameter, message)
}

/// A zone by name or by offset: `GMT+3`, `UTC-08:00`, `+05:30`.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    if let Ok(zone) = chrono_tz::Tz::from_str(value) {
        return Some(zone.name().to_string());
    }
    let offset = ["GMT", "UTC", "UT"].iter().find_map(|p| value.strip_prefix(p)).unwrap_or(value);
    let (sign, digits) = (offset.get(..1).filter(|s| *s == "+" || *s == "-")?, offset.get(1..)?);
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

/// Puts the values of `-D name=value` into SQL text: `${name}`. `$${` stands for `${`. A name without a value is an
/// error at its place.
pub fn substitute(sql: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut result = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(escaped) = before.strip_suffix('$') {
            result.push_str(escaped);
            result.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        result.push_str(before);
        let place = location(sql, sql.len() - rest.len() + at);
        let Some(end) = rest[at..].find('}') else {
            return Err(SqlError::new(SqlState::SyntaxError, "'${' without '}'")
                .with_hint("write $${ where no variable is meant")
                .at(place));
        };
        let name = rest[at + 2..at + end].trim();
        let Some(value) = variables.get(name) else {
            return Err(undefined(name, variables).at(place));
        };
        result.push_str(value);
        rest = &rest[at + end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

fn undefined(name: &str, variables: &BTreeMap<String, String>) -> SqlError {
    let error = SqlError::new(SqlState::InvalidParameter, format!("variable '{name}' has no value"));
    match nearest(name, variables.keys().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint(format!("give it on the command line: -D {name}=value")),
    }
}

fn location(sql: &str, offset: usize) -> Location {
    let before = &sql[..offset];
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) as u64 + 1;
    Location { line, column }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn values_are_checked_when_they_are_set() {
        let mut config = Config::default();
        for (key, value) in [
            ("pipeline.name", "wordcount"),
            ("parallelism.default", "4"),
            ("execution.runtime-mode", "streaming"),
            ("execution.checkpointing.interval", "1s"),
            ("state.checkpoints.dir", "file:///tmp/x"),
            ("restart-strategy.type", "fixed-delay"),
            ("table.local-time-zone", "America/Los_Angeles"),
            ("table.local-time-zone", "GMT+3"),
            ("pipeline.auto-watermark-interval", "0 ms"),
            ("table.exec.mini-batch.enabled", "true"),
            ("sql-client.execution.result-mode", "tableau"),
            ("eddyline.anything", "x"),
            ("table.exec.sink.not-null-enforcer", "drop"),
        ] {
            assert_eq!(config.set(key, value).unwrap(), None, "{key}");
        }
        assert_eq!((config.parallelism().unwrap(), config.time_zone().as_deref()), (4, Some("+03:00")));
        assert_eq!(config.checkpoint().unwrap().interval, Some(std::time::Duration::from_secs(1)));
        for (key, value) in [
            ("parallelism.default", "0"),
            ("parallelism.default", "many"),
            ("execution.runtime-mode", "batch"),
            ("execution.checkpointing.interval", "soon"),
            ("execution.checkpointing.num-retained", "0"),
            ("execution.checkpointing.mode", "TWICE"),
            ("table.local-time-zone", "America/Los_Angles"),
            ("table.exec.state.ttl", "1 fortnight"),
            ("restart-strategy.type", "maybe"),
        ] {
            let before = config.clone();
            let error = config.set(key, value).unwrap_err();
            assert!(error.message.contains(key), "{key}: {error}");
            assert_eq!(config, before, "a refused value changes nothing");
        }
        assert!(
            config
                .set("table.local-time-zone", "America/Los_Angles")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("Los_Angeles")
        );
    }

    #[test]
    fn unknown_keys_warn_with_the_nearest_known_one() {
        let mut config = Config::default();
        let warning = config.set("pipline.name", "x").unwrap().unwrap();
        assert!(warning.contains("did you mean 'pipeline.name'?"), "{warning}");
        assert!(config.set("taskmanager.memory.process.size", "1g").unwrap().unwrap().contains("no effect"));
        assert_eq!(config.values().len(), 2);
    }

    #[test]
    fn defaults_come_back_after_reset() {
        let mut config = Config::default();
        assert_eq!(config.text(AUTO_WATERMARK_INTERVAL).as_deref(), Some("200ms"));
        config.set(AUTO_WATERMARK_INTERVAL, "0").unwrap();
        assert_eq!(
            config.options().unwrap().duration(AUTO_WATERMARK_INTERVAL).unwrap(),
            Some(std::time::Duration::ZERO)
        );
        config.reset(AUTO_WATERMARK_INTERVAL);
        assert_eq!(config.text(AUTO_WATERMARK_INTERVAL).as_deref(), Some("200ms"));
        config.set(PARALLELISM, "2").unwrap();
        config.reset_all();
        assert_eq!(config.parallelism().unwrap(), 1);
    }

    #[test]
    fn variables_are_put_in_and_missing_ones_are_placed() {
        let variables =
            BTreeMap::from([("topic".to_string(), "lines".to_string()), ("n".to_string(), "${topic}".to_string())]);
        assert_eq!(substitute("a ${topic} $${topic} ${ n }$", &variables).unwrap(), "a lines ${topic} ${topic}$");
        let error = substitute("SELECT 1;\n  '${topik}'", &variables).unwrap_err();
        assert_eq!(error.position, Some(Location { line: 2, column: 4 }));
        assert_eq!(error.hint.as_deref(), Some("did you mean 'topic'?"));
        assert!(substitute("${broker}", &variables).unwrap_err().hint.unwrap().contains("-D broker="));
        assert!(substitute("${topic", &variables).is_err());
    }
}
