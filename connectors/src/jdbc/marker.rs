//! The marker: one row per sink in the table `__eddyline_commits`, next to the rows that it speaks of.
//!
//! It says which epoch is written (`chunk` = 0), or how many pieces of the epoch's log are (`chunk` > 0), and which
//! generation of the pipeline may move it. Every transaction moves it first, from where the writer expects it: that locks
//! the row, so two writers never interleave, and matches no row when another one was faster or has shut us out.

use std::sync::Arc;

use eddyline_engine::connector::SinkContext;
use eddyline_engine::{Error, Result};

use super::connection::{Arguments, Connection, Failure};
use super::statement::Dialect;
use super::value::Value;

/// Name of the table.
const TABLE: &str = "__eddyline_commits";
/// Longest name of a sink that fits.
const MAX_SINK_CHARS: usize = 255;
/// Sinks have one committer, so there is one shard.
const SHARD: i64 = 0;

/// Where a marker stands. Before the first epoch, `epoch` is -1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    pub(super) epoch: i64,
    /// Pieces of the epoch that are written; 0 when all are.
    pub(super) chunk: i64,
}

/// The marker of one sink.
pub(super) struct Marker {
    pipeline: String,
    sink: String,
}

impl Marker {
    /// The marker of the sink in `context`.
    pub(super) fn new(context: &SinkContext) -> Result<Self> {
        if context.sink.chars().count() > MAX_SINK_CHARS {
            let message = format!("the name '{}' is longer than {MAX_SINK_CHARS} characters", context.sink);
            return Err(Error::refused("jdbc", message, "give the table a shorter name"));
        }
        Ok(Marker { pipeline: context.pipeline.clone(), sink: context.sink.clone() })
    }

    /// Creates table and row where they are missing, and shuts out earlier generations; an error when a later one has
    /// been here. A transaction that an earlier process left open holds the row, and this waits for its end.
    pub(super) async fn fence(&self, connection: &mut Connection, generation: i64) -> Result<(), Failure> {
        let dialect = connection.dialect();
        if !connection.has_table(None, TABLE).await? {
            connection.run(create(dialect)).await?;
        }
        let tail = match dialect {
            Dialect::MySql => "ON DUPLICATE KEY UPDATE generation = GREATEST(generation, VALUES(generation))",
            Dialect::Sqlite => {
                "ON CONFLICT (pipeline, sink, shard) DO UPDATE SET generation = max(generation, excluded.generation)"
            }
        };
        let sql = format!(
            "INSERT INTO {TABLE} (pipeline, sink, shard, generation, epoch, chunk) VALUES (?, ?, ?, ?, -1, 0) {tail}"
        );
        let mut values = self.key(dialect)?;
        values.push(Value::Int(generation))?;
        connection.execute(sql.into(), values, false).await?;
        let (found, _) = self.read(connection).await?.ok_or_else(|| self.lost())?;
        if found == generation { Ok(()) } else { Err(self.fenced(found).into()) }
    }

    /// Generation and standing; None when the row is gone.
    pub(super) async fn read(&self, connection: &mut Connection) -> Result<Option<(i64, Standing)>, Failure> {
        let sql = format!("SELECT generation, epoch, chunk FROM {TABLE} WHERE pipeline = ? AND sink = ? AND shard = ?");
        let values = self.key(connection.dialect())?;
        match connection.numbers(&sql, values).await?.as_deref() {
            None => Ok(None),
            Some([generation, epoch, chunk]) => Ok(Some((*generation, Standing { epoch: *epoch, chunk: *chunk }))),
            Some(_) => Err(Error::internal("three columns were asked for").into()),
        }
    }

    /// Moves the marker within the open transaction; false when it does not stand at `from` for `generation`.
    pub(super) async fn advance(
        &self,
        connection: &mut Connection,
        generation: i64,
        from: Standing,
        to: Standing,
    ) -> Result<bool, Failure> {
        let sql: Arc<str> = format!(
            "UPDATE {TABLE} SET epoch = ?, chunk = ? WHERE pipeline = ? AND sink = ? AND shard = ? AND generation = ? \
             AND epoch = ? AND chunk = ?"
        )
        .into();
        let mut values = Arguments::new(connection.dialect(), 8, 200);
        values.push(Value::Int(to.epoch))?;
        values.push(Value::Int(to.chunk))?;
        self.push_key(&mut values)?;
        for number in [generation, from.epoch, from.chunk] {
            values.push(Value::Int(number))?;
        }
        Ok(connection.execute(sql, values, true).await? == 1)
    }

    /// Another process has taken over.
    pub(super) fn fenced(&self, generation: i64) -> Error {
        let message =
            format!("{} was taken over by a newer process (generation {generation} of its pipeline)", self.name());
        Error::refused("jdbc", message, "stop one of the two")
    }

    /// The row is not there any more.
    pub(super) fn lost(&self) -> Error {
        let message = format!("the marker of {} in the table {TABLE} is gone", self.name());
        Error::refused(
            "jdbc",
            message,
            "restore the table, or see how the job can start without its marker: start it again",
        )
    }

    /// The sink for messages.
    pub(super) fn name(&self) -> String {
        format!("sink '{}'", self.sink)
    }

    fn key(&self, dialect: Dialect) -> Result<Arguments> {
        let mut values = Arguments::new(dialect, 4, 200);
        self.push_key(&mut values)?;
        Ok(values)
    }

    fn push_key(&self, values: &mut Arguments) -> Result<()> {
        values.push(Value::Text(self.pipeline.as_str().into()))?;
        values.push(Value::Text(self.sink.as_str().into()))?;
        values.push(Value::Int(SHARD))
    }
}

fn create(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => {
            "CREATE TABLE IF NOT EXISTS __eddyline_commits (\
             pipeline VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
             sink VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, shard INT NOT NULL, \
             generation BIGINT NOT NULL, epoch BIGINT NOT NULL, chunk BIGINT NOT NULL, \
             PRIMARY KEY (pipeline, sink, shard)) ENGINE=InnoDB"
        }
        Dialect::Sqlite => {
            "CREATE TABLE IF NOT EXISTS __eddyline_commits (pipeline TEXT NOT NULL, sink TEXT NOT NULL, \
             shard INTEGER NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL, chunk INTEGER NOT NULL, \
             PRIMARY KEY (pipeline, sink, shard))"
        }
    }
}
