//! The `datagen` connector: rows out of nothing, at a given rate, for trying out and for measuring.
//!
//! Row *n* of a table is a pure function of the seed (`field`). At the first start with parallelism *p* the rows are
//! dealt to *p* splits, split *i* holding rows *i*, *i + p*, …; a split's position is the number of rows taken from it.
//! The splits stay when a checkpoint is restored at another parallelism (they are dealt to the subtasks anew, and some
//! subtasks may get none), so that every row comes exactly once whatever the parallelism. Columns that hold times are the
//! exception: they follow the clock, as in Flink.

mod field;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, OptionSpec, OptionValue, Options, Polled, SourceChanges, SourceFactory, SourceReader,
    SplitId, SplitPosition, SplitProgress, TableDescription, TableSink, TableSource,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::time::{Clock, SystemClock};
use eddyline_engine::{ChangelogBatch, Error, Result};
use serde_json::json;

use field::{FieldGenerator, RowNumbers};

/// Rows are let out this often at least; a compromise between small batches and a bumpy rate.
const PULSE: Duration = Duration::from_millis(10);

/// `'connector' = 'datagen'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatagenConnector;

impl ConnectorFactory for DatagenConnector {
    fn identifier(&self) -> &'static str {
        "datagen"
    }

    fn doc(&self) -> &'static str {
        "Makes rows of random values and sequences at a given rate."
    }

    fn options(&self) -> Vec<OptionSpec> {
        use OptionValue::{Boolean, Duration, Integer, OneOf, Text};
        vec![
            OptionSpec::with_default("rows-per-second", Integer, "10000", "Rows per second of all subtasks together."),
            OptionSpec::optional("number-of-rows", Integer, "Rows in all; without it only sequences end the table."),
            OptionSpec::optional("scan.parallelism", Integer, "Number of parallel readers."),
            OptionSpec::with_default("eddyline.seed", Integer, "0", "Tables with the same seed have the same rows."),
            OptionSpec::with_default(
                "fields.#.kind",
                OneOf(&["random", "sequence"]),
                "random",
                "How values are made; the end of a sequence is the end of the table.",
            ),
            OptionSpec::optional("fields.#.min", Text, "Smallest random number; the type's smallest by default."),
            OptionSpec::optional("fields.#.max", Text, "Largest random number; the type's largest by default."),
            OptionSpec::optional(
                "fields.#.max-past",
                Duration,
                "How far back from now a random time may be; 0 by default.",
            ),
            OptionSpec::optional("fields.#.length", Integer, "Length of texts and bytes; the type's, else 100."),
            OptionSpec::with_default(
                "fields.#.var-len",
                Boolean,
                "false",
                "Whether lengths vary from 1 to the length.",
            ),
            OptionSpec::optional("fields.#.start", Integer, "First number of a sequence."),
            OptionSpec::optional("fields.#.end", Integer, "Last number of a sequence."),
            OptionSpec::optional(
                "fields.#.null-rate",
                Text,
                "Share of NULLs among random values, 0 by default, up to 1.",
            ),
        ]
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        let options = Options::check("datagen", &table.options, self.options())?;
        let plan = Plan::of(table, &options)?;
        let bounded = plan.total_rows.is_some();
        Ok(TableSource {
            factory: Arc::new(DatagenFactory(Arc::new(plan))),
            changes: SourceChanges::Append,
            bounded,
            max_parallelism: None,
        })
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        Err(Error::option(format!("table '{}' cannot be written: 'datagen' is only a source", table.name), None))
    }
}

/// What a table's options say.
struct Plan {
    schema: SchemaRef,
    fields: Vec<FieldGenerator>,
    seed: u64,
    rows_per_second: f64,
    total_rows: Option<u64>,
}

impl Plan {
    fn of(table: &TableDescription, options: &Options) -> Result<Plan> {
        if let Some(column) = table.columns.iter().find(|c| c.kind != ColumnKind::Physical) {
            let name = column.field.name();
            return Err(Error::option(format!("the 'datagen' connector has no metadata for column '{name}'"), None));
        }
        let schema = table.source_schema();
        for (key, _) in options.with_prefix("fields.") {
            let name = key.rsplit_once('.').map_or(key, |(name, _)| name);
            if schema.index_of(name).is_err() {
                let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                let hint = format!("the columns are {}", names.join(", "));
                return Err(Error::option(format!("option 'fields.{key}' names no column of '{}'", table.name), hint));
            }
        }
        let positive = |key: &str| match options.integer(key)? {
            Some(n) if n < 1 => Err(Error::option(format!("option '{key}' must be at least 1"), None)),
            other => Ok(other.map(i64::unsigned_abs)),
        };
        let fields: Vec<FieldGenerator> =
            schema.fields().iter().map(|f| FieldGenerator::new(f, options)).collect::<Result<_>>()?;
        let number_of_rows = positive("number-of-rows")?;
        Ok(Plan {
            total_rows: fields.iter().filter_map(FieldGenerator::total_rows).chain(number_of_rows).min(),
            seed: options.integer("eddyline.seed")?.unwrap_or(0).cast_unsigned(),
            rows_per_second: positive("rows-per-second")?.unwrap_or(10_000) as f64,
            fields,
            schema,
        })
    }
}

struct DatagenFactory(Arc<Plan>);

impl SourceFactory for DatagenFactory {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        let all = match restored {
            Some(positions) if !positions.is_empty() => {
                let mut all = positions.iter().map(Split::restore).collect::<Result<Vec<_>>>()?;
                all.sort_by_key(|s| s.index);
                all
            }
            _ => {
                let of = subtask.parallelism as u64;
                (0..of).map(|index| Split::new(index, of, 0)).collect()
            }
        };
        let share = subtask.parallelism.min(all.len()) as f64;
        let mine = all.into_iter().enumerate().filter(|(i, _)| i % subtask.parallelism == subtask.index);
        Ok(Box::new(DatagenReader {
            rate: self.0.rows_per_second / share,
            splits: mine.map(|(_, split)| split).collect(),
            plan: self.0.clone(),
            turn: 0,
            started: Instant::now(),
            released: 0.0,
        }))
    }
}

/// Every `of`th row from row `index` on.
struct Split {
    id: SplitId,
    index: u64,
    of: u64,
    /// Rows already taken.
    taken: u64,
    /// True when its end has been told.
    ended: bool,
}

impl Split {
    fn new(index: u64, of: u64, taken: u64) -> Self {
        Split { id: format!("{index}/{of}").into(), index, of, taken, ended: false }
    }

    fn restore(position: &SplitPosition) -> Result<Self> {
        let parts = position.split.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match (parts, position.position["rows"].as_u64()) {
            (Some((index, of)), Some(taken)) => Ok(Split::new(index, of, taken)),
            _ => Err(Error::checkpoint(format!("'{}' is no position of a 'datagen' table", position.split))),
        }
    }

    /// Rows that are left; None when there is no end.
    fn left(&self, total_rows: Option<u64>) -> Option<u64> {
        let mine = total_rows?.saturating_sub(self.index).div_ceil(self.of);
        Some(mine.saturating_sub(self.taken))
    }
}

struct DatagenReader {
    plan: Arc<Plan>,
    /// Rows per second of this reader.
    rate: f64,
    splits: Vec<Split>,
    /// The split whose turn it is.
    turn: usize,
    started: Instant,
    /// Rows let out since `started`, counting time lost to backpressure as if they had been.
    released: f64,
}

impl DatagenReader {
    /// Rows that may be let out now. After a long halt at most those of one second come at once.
    fn due(&mut self) -> f64 {
        let target = self.started.elapsed().as_secs_f64() * self.rate + 1.0;
        self.released = self.released.max(target - self.rate.max(1.0));
        (target - self.released).floor()
    }

    /// Waits until a pulse's worth of rows is due, at most `timeout`.
    fn wait(&mut self, timeout: Duration, wanted: f64) -> f64 {
        let due = self.due();
        if due >= wanted {
            return due;
        }
        let missing = Duration::try_from_secs_f64((wanted - due) / self.rate).unwrap_or(timeout);
        std::thread::park_timeout(missing.min(timeout));
        self.due()
    }
}

impl SourceReader for DatagenReader {
    fn poll(&mut self, max_rows: usize, timeout: Duration) -> Result<Polled> {
        let total = self.plan.total_rows;
        if let Some(split) = self.splits.iter_mut().find(|s| !s.ended && s.left(total) == Some(0)) {
            split.ended = true;
            return Ok(Polled::SplitEnd(split.id.clone()));
        }
        if self.splits.iter().all(|s| s.ended) {
            return Ok(Polled::End);
        }
        let live: Vec<usize> = (0..self.splits.len()).filter(|i| !self.splits[*i].ended).collect();
        let next = live[self.turn % live.len()];
        let left = self.splits[next].left(total).unwrap_or(u64::MAX);
        let most = left.min(max_rows.max(1) as u64) as f64;
        let pulse = (self.rate * PULSE.as_secs_f64()).clamp(1.0, most);
        let due = self.wait(timeout, pulse);
        if due < 1.0 {
            return Ok(Polled::Nothing);
        }
        self.turn += 1;
        let count = due.min(most) as usize;
        self.released += count as f64;
        let split = &mut self.splits[next];
        let rows = RowNumbers { first: split.index + split.taken * split.of, step: split.of, count };
        split.taken += count as u64;
        let (plan, now) = (&self.plan, SystemClock.now().0);
        let columns = plan.fields.iter().map(|f| f.values(plan.seed, rows, now)).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(plan.schema.clone(), columns)?;
        Ok(Polled::Rows { split: self.splits[next].id.clone(), batch: ChangelogBatch::inserts(batch) })
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        let position = |s: &Split| SplitPosition { split: s.id.to_string(), position: json!({ "rows": s.taken }) };
        Ok(self.splits.iter().map(position).collect())
    }

    fn progress(&self) -> Vec<SplitProgress> {
        let progress = |s: &Split| {
            // The rows of a table with an end wait to be made up.
            let left = s.left(self.plan.total_rows);
            SplitProgress {
                split: s.id.clone(),
                position: s.taken,
                end: left.map(|left| s.taken + left),
                lag_rows: left,
            }
        };
        self.splits.iter().map(progress).collect()
    }

    fn splits(&self) -> Vec<SplitId> {
        self.splits.iter().filter(|s| !s.ended).map(|s| s.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
