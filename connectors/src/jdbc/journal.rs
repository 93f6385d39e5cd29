//! The journal of checkpoints in a database: `execution.checkpointing.storage` = `mysql`.
//!
//! Two tables, made when they are missing: `__eddyline_checkpoints`, one row per checkpoint and pipeline, and
//! `__eddyline_offsets`, one row per split of a source at that checkpoint. The newest [`KEPT`] checkpoints of a pipeline
//! are kept. Nothing reads them but people; state stays in files.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use eddyline_engine::Result;
use eddyline_engine::checkpoint::{CheckpointKind, Manifest};
use eddyline_engine::connector::Guard;
use eddyline_engine::runtime::{CheckpointInfo, CheckpointJournal, JournalEntry, JournalOwner};
use eddyline_engine::time::Epoch;

use super::config::Config;
use super::connection::{Arguments, Connection, Failure};
use super::halt::Halt;
use super::link::Link;
use super::statement::Dialect;
use super::value::Value;

const CHECKPOINTS: &str = "__eddyline_checkpoints";
const OFFSETS: &str = "__eddyline_offsets";
/// Newest checkpoints of a pipeline whose rows are kept.
const KEPT: u64 = 1000;
/// Splits per statement.
const MAX_SPLITS: usize = 500;

/// Opens the journal in the database at `url`. Nothing is connected before the first entry.
pub fn open_journal(url: &str, username: Option<&str>, password: Option<&str>) -> Result<Arc<dyn CheckpointJournal>> {
    let config = Config::of_journal(url, username, password, CHECKPOINTS)?;
    let link = Link::new(config, Guard::open(), Arc::new(Halt::default()))?;
    Ok(Arc::new(JdbcJournal(Mutex::new(State { link, has_tables: false }))))
}

struct JdbcJournal(Mutex<State>);

struct State {
    link: Link,
    /// True once the tables were seen.
    has_tables: bool,
}

impl CheckpointJournal for JdbcJournal {
    fn record(&self, owner: &JournalOwner, entry: &JournalEntry) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { link, has_tables } = &mut *state;
        let written = link.run(async |connection| {
            if !*has_tables {
                create_tables(connection).await?;
            }
            connection.begin().await?;
            write(connection, owner, entry).await?;
            connection.run("COMMIT").await
        });
        *has_tables = written.is_ok();
        written.map_err(|f| link.explain(f))
    }
}

async fn write(connection: &mut Connection, owner: &JournalOwner, entry: &JournalEntry) -> Result<(), Failure> {
    match entry {
        JournalEntry::Completed { info, manifest } => {
            note_completed(connection, owner, info, manifest).await?;
            note_offsets(connection, manifest).await?;
            if let Some(oldest) = info.epoch.0.checked_sub(KEPT) {
                forget(connection, owner, Epoch(oldest)).await?;
            }
            Ok(())
        }
        JournalEntry::Applied { epoch } => {
            let sql = format!(
                "UPDATE {CHECKPOINTS} SET status = 'applied' WHERE pipeline = ? AND epoch <= ? AND status = 'completed'"
            );
            let mut values = Arguments::new(connection.dialect(), 2, 100);
            values.push(text(&owner.pipeline))?;
            values.push(Value::Int(number(epoch.0)))?;
            connection.execute(sql.into(), values, true).await.map(drop)
        }
        JournalEntry::Failed { epoch, reason } => {
            let texts = ["failed", &owner.job, &now(), reason];
            let columns = ["status", "job", "created", "reason"];
            upsert(connection, &owner.pipeline, *epoch, &columns, texts.map(text).into()).await
        }
    }
}

async fn note_completed(
    connection: &mut Connection,
    owner: &JournalOwner,
    info: &CheckpointInfo,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let kind = match manifest.kind {
        CheckpointKind::Checkpoint => "checkpoint",
        CheckpointKind::Savepoint => "savepoint",
        CheckpointKind::Stop => "stop",
    };
    let created = DateTime::from_timestamp_millis(manifest.created_ms).unwrap_or_default();
    let path = info.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    let columns = ["status", "job", "kind", "created", "duration_ms", "bytes", "path"];
    let (created, milliseconds) = (moment(created), u64::try_from(info.duration.as_millis()).unwrap_or(u64::MAX));
    let values = vec![
        text("completed"),
        text(&owner.job),
        text(kind),
        text(&created),
        Value::Int(number(milliseconds)),
        Value::Int(number(info.bytes)),
        text(&path),
    ];
    upsert(connection, &owner.pipeline, info.epoch, &columns, values).await
}

/// Writes `columns` of the row of a checkpoint, whether it is there or not.
async fn upsert(
    connection: &mut Connection,
    pipeline: &str,
    epoch: Epoch,
    columns: &[&str],
    row: Vec<Value<'_>>,
) -> Result<(), Failure> {
    let dialect = connection.dialect();
    let set: Vec<String> = columns
        .iter()
        .map(|c| match dialect {
            Dialect::MySql => format!("{c} = VALUES({c})"),
            Dialect::Sqlite => format!("{c} = excluded.{c}"),
        })
        .collect();
    let conflict = match dialect {
        Dialect::MySql => "ON DUPLICATE KEY UPDATE",
        Dialect::Sqlite => "ON CONFLICT (pipeline, epoch) DO UPDATE SET",
    };
    let sql = format!(
        "INSERT INTO {CHECKPOINTS} (pipeline, epoch, {}) VALUES (?, ?{}) {conflict} {}",
        columns.join(", "),
        ", ?".repeat(columns.len()),
        set.join(", ")
    );
    let mut values = Arguments::new(dialect, columns.len() + 2, 300);
    values.push(text(pipeline))?;
    values.push(Value::Int(number(epoch.0)))?;
    row.into_iter().try_for_each(|value| values.push(value))?;
    connection.execute(sql.into(), values, true).await.map(drop)
}

async fn note_offsets(connection: &mut Connection, manifest: &Manifest) -> Result<(), Failure> {
    let epoch = Value::Int(number(manifest.epoch.0));
    let splits = manifest.operators.iter().flat_map(|o| o.splits.iter().map(move |split| (o, split)));
    let rows: Vec<(&str, &str, String)> =
        splits.map(|(o, s)| (o.name.as_str(), s.split.as_str(), s.position.to_string())).collect();
    let dialect = connection.dialect();
    let replace = if dialect == Dialect::MySql { "REPLACE" } else { "INSERT OR REPLACE" };
    for rows in rows.chunks(MAX_SPLITS) {
        let places = vec!["(?, ?, ?, ?, ?)"; rows.len()].join(", ");
        let sql = format!("{replace} INTO {OFFSETS} (pipeline, epoch, source, split, position) VALUES {places}");
        let mut values = Arguments::new(dialect, rows.len() * 5, rows.len() * 200);
        for (source, split, position) in rows {
            values.push(text(&manifest.pipeline))?;
            values.push(epoch.clone())?;
            [*source, *split, position.as_str()].into_iter().try_for_each(|t| values.push(text(t)))?;
        }
        connection.execute(sql.into(), values, rows.len() < 10).await?;
    }
    Ok(())
}

async fn forget(connection: &mut Connection, owner: &JournalOwner, up_to: Epoch) -> Result<(), Failure> {
    for table in [CHECKPOINTS, OFFSETS] {
        let sql = format!("DELETE FROM {table} WHERE pipeline = ? AND epoch <= ?");
        let mut values = Arguments::new(connection.dialect(), 2, 100);
        values.push(text(&owner.pipeline))?;
        values.push(Value::Int(number(up_to.0)))?;
        connection.execute(sql.into(), values, true).await?;
    }
    Ok(())
}

async fn create_tables(connection: &mut Connection) -> Result<(), Failure> {
    let there = connection.tables(None).await?;
    let mysql = connection.dialect() == Dialect::MySql;
    let (pipeline, name, moment, tail) = match mysql {
        true => (
            "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL",
            "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
            "DATETIME(3)",
            " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        ),
        false => ("TEXT NOT NULL", "TEXT NOT NULL", "TEXT", ""),
    };
    let checkpoints = format!(
        "CREATE TABLE IF NOT EXISTS {CHECKPOINTS} (pipeline {pipeline}, epoch BIGINT NOT NULL, job {name}, \
         status VARCHAR(16) NOT NULL, kind VARCHAR(16), created {moment}, duration_ms BIGINT, bytes BIGINT, path TEXT, \
         reason TEXT, PRIMARY KEY (pipeline, epoch)){tail}"
    );
    let offsets = format!(
        "CREATE TABLE IF NOT EXISTS {OFFSETS} (pipeline {pipeline}, epoch BIGINT NOT NULL, source {name}, split {name}, \
         position TEXT NOT NULL, PRIMARY KEY (pipeline, epoch, source, split)){tail}"
    );
    for (table, create) in [(CHECKPOINTS, checkpoints), (OFFSETS, offsets)] {
        if !there.iter().any(|t| t == table) {
            connection.run(&create).await?;
        }
    }
    Ok(())
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

/// Numbers as the database keeps them.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn now() -> String {
    moment(DateTime::<Utc>::from(SystemTime::now()))
}

fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::{Duration, UNIX_EPOCH};

    use eddyline_engine::checkpoint::{FORMAT_VERSION, OperatorEntry};
    use eddyline_engine::connector::SplitPosition;
    use eddyline_engine::dataflow::Uid;
    use sqlx::Row;

    use super::super::tests::query;
    use super::*;

    fn completed(epoch: u64) -> JournalEntry {
        let mut source = OperatorEntry::new(Uid("source:words".into()), "Source(words)", 1);
        let split = |n: u64| SplitPosition {
            split: format!("words-{n}"),
            position: serde_json::json!({ "offset": epoch * 10 + n }),
        };
        source.splits = (0..2).map(split).collect();
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            job: "count".into(),
            pipeline: "p".into(),
            generation: 1,
            epoch: Epoch(epoch),
            kind: CheckpointKind::Checkpoint,
            created_ms: 1_700_000_000_123,
            finished: false,
            operators: vec![source],
        };
        let info = CheckpointInfo {
            epoch: Epoch(epoch),
            duration: Duration::from_millis(42),
            bytes: 7,
            completed_at: UNIX_EPOCH,
            path: Some(format!("/chk/chk-{epoch}").into()),
        };
        JournalEntry::Completed { info, manifest: Box::new(manifest) }
    }

    #[test]
    fn checkpoints_and_offsets_can_be_queried() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = open_journal(&format!("sqlite:{}", path.display()), None, None).unwrap();
        let owner = JournalOwner { job: "count".into(), pipeline: "p".into() };
        for entry in [
            completed(1),
            JournalEntry::Applied { epoch: Epoch(1) },
            JournalEntry::Failed { epoch: Epoch(2), reason: "disk full".into() },
            completed(3),
            completed(3),
        ] {
            journal.record(&owner, &entry).unwrap();
        }
        let sql = "SELECT epoch || ' ' || status || ' ' || COALESCE(kind || ' ' || created || ' ' || duration_ms || ' ' || \
                   bytes || ' ' || path, reason) FROM __eddyline_checkpoints ORDER BY epoch";
        let rows: Vec<String> = query(&path, sql).iter().map(|r| r.get(0)).collect();
        let expected = [
            "1 applied checkpoint 2023-11-14 22:13:20.123 42 7 /chk/chk-1",
            "2 failed disk full",
            "3 completed checkpoint 2023-11-14 22:13:20.123 42 7 /chk/chk-3",
        ];
        assert_eq!(rows, expected);
        let sql =
            "SELECT source || ' ' || split || ' ' || position FROM __eddyline_offsets WHERE epoch = 3 ORDER BY split";
        let rows: Vec<String> = query(&path, sql).iter().map(|r| r.get(0)).collect();
        assert_eq!(rows, [r#"Source(words) words-0 {"offset":30}"#, r#"Source(words) words-1 {"offset":31}"#]);
        journal.record(&owner, &completed(KEPT + 1)).unwrap();
        let left = query(&path, "SELECT COUNT(*) FROM __eddyline_checkpoints")[0].get::<i64, _>(0);
        assert_eq!(left, 3, "the oldest one is forgotten");
    }

    #[test]
    fn journal_that_cannot_be_written_is_an_error() {
        let owner = JournalOwner { job: "count".into(), pipeline: "p".into() };
        let journal = open_journal("sqlite:/nowhere/at/all.db", None, None).unwrap();
        assert!(journal.record(&owner, &completed(1)).is_err());
        assert!(open_journal("postgresql://h/x", None, None).is_err());
    }
}
