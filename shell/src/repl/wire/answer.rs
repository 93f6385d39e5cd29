//! What a server sends, as the shell's rows: text becomes Arrow columns, and the column `op` the kind of a change.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use crossbeam_channel::{Receiver, Sender};
use eddyline_engine::{ChangelogBatch, RowKind};
use eddyline_sql::{SqlError, SqlState};
use futures::StreamExt;
use tokio_postgres::types::Type;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

use super::Cancel;
use super::watch::Watch;
use crate::failure::Failure;
use crate::figures::Figures;
use crate::follow::RunningQuery;

/// The column that says what a change does to the result.
pub const OP: &str = "op";

/// The column that the id of a job comes in.
const JOB_ID: &str = "job id";

/// Most rows in one batch.
const BATCH_ROWS: usize = 1024;

/// The values of a row as text.
type Row = Vec<Option<String>>;

/// A piece of an answer.
#[derive(Debug)]
pub enum Event {
    /// Names of the columns.
    Columns(Vec<String>),
    /// Rows.
    Rows(Vec<Row>),
    /// The statement has failed.
    Failed(SqlError),
}

/// Takes an answer off the connection; what is there goes on at once.
pub async fn pump(
    stream: SimpleQueryStream,
    events: &Sender<Event>,
    translate: &dyn Fn(&tokio_postgres::Error) -> SqlError,
) {
    let mut chunks = std::pin::pin!(stream.ready_chunks(BATCH_ROWS));
    while let Some(messages) = chunks.next().await {
        let mut rows = Vec::new();
        for message in messages {
            let event = match message {
                Ok(SimpleQueryMessage::Row(row)) => {
                    rows.push((0..row.len()).map(|column| row.get(column).map(str::to_string)).collect());
                    continue;
                }
                Ok(SimpleQueryMessage::RowDescription(columns)) => {
                    Event::Columns(columns.iter().map(|column| column.name().to_string()).collect())
                }
                Ok(_) => continue,
                Err(error) => Event::Failed(translate(&error)),
            };
            let before = (!rows.is_empty()).then(|| Event::Rows(std::mem::take(&mut rows)));
            if before.into_iter().chain([event]).any(|event| events.send(event).is_err()) {
                return;
            }
        }
        if !rows.is_empty() && events.send(Event::Rows(rows)).is_err() {
            return;
        }
    }
}

/// The id of the job that `sql` has started.
pub fn is_job(sql: &str, names: &[String], rows: &[Row]) -> Option<String> {
    let starts = ["INSERT", "EXECUTE", "BEGIN", "CREATE"];
    let first = sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match (names, rows) {
        ([name], [row]) if name == JOB_ID && starts.contains(&first.as_str()) => row.first().cloned().flatten(),
        _ => None,
    }
}

/// The columns of an answer.
pub struct Header {
    schema: SchemaRef,
    op: bool,
}

impl Header {
    /// The columns with these names and types; text where no type is known. They begin with an operation when the first
    /// one is named like it and holds one in the `first` rows.
    pub fn new(names: Vec<String>, types: &[Type], first: Option<&Event>) -> Self {
        let holds_op = match first {
            Some(Event::Rows(rows)) => rows.first().is_some_and(|row| {
                row.first().is_some_and(|op| op.as_deref().and_then(RowKind::from_symbol).is_some())
            }),
            _ => true,
        };
        let op = first.is_some() && holds_op && names.first().is_some_and(|name| name == OP);
        let skipped = usize::from(op);
        let field =
            |(index, name): (usize, String)| Field::new(name, types.get(index).map_or(DataType::Utf8, data_type), true);
        let fields: Vec<Field> = names.into_iter().enumerate().skip(skipped).map(field).collect();
        Header { schema: Arc::new(Schema::new(fields)), op }
    }

    /// The columns without the operation.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// True when rows may be taken back.
    pub fn has_op(&self) -> bool {
        self.op
    }

    /// Rows as a batch.
    pub fn batch(&self, rows: Vec<Row>) -> Result<ChangelogBatch, SqlError> {
        let skipped = usize::from(self.op);
        let text = |row: &Row, index: usize| row.get(index + skipped).cloned().flatten();
        let columns: Vec<ArrayRef> = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| column(field.data_type(), rows.iter().map(|row| text(row, index))))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema(), columns, &options)?;
        if !self.op {
            return Ok(ChangelogBatch::inserts(batch));
        }
        let kinds = rows.iter().map(|row| row.first().cloned().flatten().and_then(|op| RowKind::from_symbol(&op)));
        Ok(ChangelogBatch::new(batch, kinds.map(|kind| kind.unwrap_or(RowKind::Insert)).collect()))
    }
}

/// The types in which values are more than text to the shell.
fn data_type(pg_type: &Type) -> DataType {
    match *pg_type {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        _ => DataType::Utf8,
    }
}

fn column(data_type: &DataType, texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
    fn parsed<T: std::str::FromStr>(texts: impl Iterator<Item = Option<String>>) -> impl Iterator<Item = Option<T>> {
        texts.map(|text| text.and_then(|text| text.parse().ok()))
    }
    match data_type {
        DataType::Boolean => Arc::new(texts.map(|text| text.map(|t| t == "t")).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(parsed(texts).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(parsed(texts).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(parsed(texts).collect::<Int64Array>()),
        DataType::Float32 => Arc::new(parsed(texts).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(parsed(texts).collect::<Float64Array>()),
        _ => Arc::new(texts.collect::<StringArray>()),
    }
}

/// Begins to watch a query; None as long as its job is not known.
pub type Watcher = Box<dyn Fn() -> Option<Watch> + Send>;

/// A query that runs on the server.
pub struct WireQuery {
    cancel: Cancel,
    watcher: Watcher,
    watch: OnceCell<Watch>,
    cancelled: Arc<AtomicBool>,
    reader: Mutex<Option<JoinHandle<Result<(), SqlError>>>>,
}

impl WireQuery {
    /// Reads the answer whose header and first piece are known.
    pub fn start(
        header: Header,
        first: Option<Event>,
        events: Receiver<Event>,
        batches: Sender<ChangelogBatch>,
        cancel: Cancel,
        watcher: Watcher,
    ) -> std::io::Result<Self> {
        let read = move || {
            for event in first.into_iter().chain(events) {
                match event {
                    Event::Rows(rows) => {
                        if batches.send(header.batch(rows)?).is_err() {
                            return Ok(());
                        }
                    }
                    Event::Failed(error) => return Err(error),
                    Event::Columns(_) => {}
                }
            }
            Ok(())
        };
        let reader = std::thread::Builder::new().name("rows".to_string()).spawn(read)?;
        let reader = Mutex::new(Some(reader));
        Ok(WireQuery { cancel, watcher, watch: OnceCell::new(), cancelled: Arc::default(), reader })
    }
}

impl RunningQuery for WireQuery {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.cancel.ask();
    }

    fn figures(&self, figures: &mut Figures, received: u64) -> String {
        if self.watch.get().is_none()
            && let Some(watch) = (self.watcher)()
        {
            let _ = self.watch.set(watch);
        }
        let known = self.watch.get().map(Watch::known).unwrap_or_default();
        figures.of_rows(received, known.lag_rows, known.watermark)
    }

    fn wait(&self) -> Result<(), Failure> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        match reader.map(JoinHandle::join) {
            // It was asked to.
            Some(Ok(Err(error))) if error.state == SqlState::Cancelled && self.cancelled.load(Ordering::SeqCst) => {
                Ok(())
            }
            Some(Ok(Err(error))) => Err(Failure::Message(error.render(""))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn row(values: &[&str]) -> Row {
        values.iter().map(|value| (*value != "-").then(|| value.to_string())).collect()
    }

    #[test]
    fn operations_become_kinds_of_changes_and_text_becomes_typed() {
        let first = Event::Rows(vec![row(&["+U", "7", "t"])]);
        let types = [Type::TEXT, Type::INT8, Type::BOOL];
        let header = Header::new(names(&["op", "n", "ok"]), &types, Some(&first));
        let batch = header.batch(vec![row(&["+U", "7", "t"]), row(&["-D", "-", "f"])]).unwrap();
        assert_eq!((batch.kind(0), batch.kind(1)), (RowKind::UpdateAfter, RowKind::Delete));
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 7);
        assert!(batch.column(0).is_null(1) && !batch.column(1).as_boolean().value(1));
    }

    #[test]
    fn a_column_of_the_user_named_op_is_a_column() {
        let first = Event::Rows(vec![row(&["insert", "7"])]);
        let header = Header::new(names(&["op", "n"]), &[Type::TEXT, Type::INT4], Some(&first));
        assert!(!header.has_op() && header.schema().fields().len() == 2);
    }

    #[test]
    fn the_id_of_a_job_is_told_from_a_table() {
        let id = |sql: &str| is_job(sql, &names(&["job id"]), &[row(&["0a"])]);
        assert_eq!(id("\n INSERT INTO t SELECT 1"), Some("0a".to_string()));
        assert_eq!(id("SHOW JOBS"), None);
    }
}
