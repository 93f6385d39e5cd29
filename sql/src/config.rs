//! Configuration of a session: what `SET 'key' = 'value'` may set, its defaults, and variables in SQL text.
//!
//! Keys and defaults are Flink's, except where the declaration says otherwise. A bad value of a known key is an error
//! at SET. Flink ignores keys that it does not know; so do we, with a warning that suggests the nearest known key.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use eddyline_engine::checkpoint::{CheckpointConfig, RestartStrategy, checkpoint_options, restart_options};
use eddyline_engine::connector::{OptionSpec, OptionValue, Options, nearest};

use crate::error::{Location, Result, SqlError, SqlState};

/// How often checkpoints are taken.
pub const CHECKPOINT_INTERVAL: &str = "execution.checkpointing.interval";
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

/// What names the state backend.
const STATE_BACKEND: &[&str] = &["state.backend", "state.backend.type"];

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
        default(
            MINI_BATCH,
            Boolean,
            "false",
            "Collect rows in front of group aggregates, which then send net changes once per mini-batch.",
        ),
        default(
            MINI_BATCH_LATENCY,
            Duration,
            "0ms",
            "Longest wait of a row in a mini-batch; needed with mini-batches.",
        ),
        default(MINI_BATCH_SIZE, Integer, "-1", "Most rows of a mini-batch; needed with mini-batches."),
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
        if STATE_BACKEND.contains(&key) {
            warning = state_backend(key, value)?;
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

    /// How rows are collected in front of group aggregates; None when they are not.
    pub fn mini_batch(&self) -> Result<Option<MiniBatchConfig>> {
        let options = self.options()?;
        if !options.boolean(MINI_BATCH)? {
            return Ok(None);
        }
        let need = |key: &str, value: String| {
            bad(key, &value, "more than 0").with_hint(format!("'{MINI_BATCH}' = 'true' needs it to be set"))
        };
        let size = options.integer(MINI_BATCH_SIZE)?.unwrap_or(-1);
        let rows = usize::try_from(size).ok().filter(|rows| *rows > 0);
        let rows = rows.ok_or_else(|| need(MINI_BATCH_SIZE, size.to_string()))?;
        let latency = options.duration(MINI_BATCH_LATENCY)?.unwrap_or_default();
        if latency.is_zero() {
            return Err(need(MINI_BATCH_LATENCY, "0 ms".to_string()));
        }
        Ok(Some(MiniBatchConfig { rows, latency }))
    }

    /// The session's time zone as a name that chrono-tz or Arrow understands (`Europe/Oslo`, `+03:00`); None when it
    /// is not set, which means the machine's.
    pub fn time_zone(&self) -> Option<String> {
        self.values.get(LOCAL_TIME_ZONE).and_then(|zone| time_zone(zone))
    }
}

/// Mini-batches of group aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MiniBatchConfig {
    /// Rows that are enough.
    pub rows: usize,
    /// Longest wait of a row.
    pub latency: Duration,
}

/// Checks the name of a state backend; a text when it is not what happens here.
fn state_backend(key: &str, value: &str) -> Result<Option<String>> {
    const IN_MEMORY: &[&str] = &["hashmap", "jobmanager", "filesystem"];
    const ON_DISK: &[&str] = &["rocksdb", "forst"];
    let name = value.trim().to_lowercase();
    if IN_MEMORY.contains(&name.as_str()) {
        return Ok(None);
    }
    if !ON_DISK.contains(&name.as_str()) {
        let known = IN_MEMORY.iter().chain(ON_DISK).copied().collect::<Vec<_>>().join(", ");
        return Err(bad(key, value, &format!("one of {known}")));
    }
    Ok(Some(format!("'{key}' = '{value}' has no effect: state is kept in memory and checkpointed as Parquet files")))
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
mod tests;
