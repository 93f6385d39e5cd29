//! What a statement answers with, on its way to the client.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use eddyline_engine::ChangelogBatch;
use eddyline_sql::{Edits, Outcome, Shape, SqlError};
use pgwire::messages::data::{DataRow, RowDescription};

use super::copy::Form;
use super::encode::{encode, encode_changes};
use super::running::Running;
use super::types::{Column, columns, op_column};

/// The tag behind CREATE MATERIALIZED VIEW.
pub const VIEW_TAG: &str = "CREATE MATERIALIZED VIEW";

/// The answer to a statement.
pub enum Answer {
    /// It is done.
    Tag(String),
    /// Rows.
    Rows(Rows),
    /// Rows that are written out.
    Copy(Rows, Form),
    /// Rows of a cursor, which goes on afterwards.
    Fetch {
        /// The cursor.
        name: String,
        /// Most rows; None for all.
        count: Option<usize>,
        /// True when the rows are passed over.
        discard: bool,
    },
}

/// The columns of a result, and whether it is one of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// All columns, the operation first when there is one.
    pub columns: Vec<Column>,
    /// True when the first column says what a row does to the result.
    pub op: bool,
}

impl Header {
    /// The columns of plain rows.
    pub fn plain(schema: &Schema) -> Self {
        Header { columns: columns(schema), op: false }
    }

    /// The columns of a query's result: a finished table when it is bounded, else its changes.
    fn query(schema: &Schema, bounded: bool, append_only: bool) -> Self {
        let op = !bounded && !append_only;
        let first = op.then(op_column);
        Header { columns: first.into_iter().chain(columns(schema)).collect(), op }
    }

    /// What `shape` will answer with; None when that is no rows.
    pub fn of_shape(shape: &Shape) -> Option<Self> {
        match shape {
            Shape::Done => None,
            Shape::Rows(schema) => Some(Header::plain(schema)),
            Shape::Changes { schema, bounded, append_only } => Some(Header::query(schema, *bounded, *append_only)),
            Shape::Started => Some(Header::job()),
        }
    }

    /// The answer to INSERT.
    fn job() -> Self {
        let id = arrow::datatypes::Field::new("job id", arrow::datatypes::DataType::Utf8, false);
        Header::plain(&Schema::new(vec![id]))
    }

    /// The columns as a message.
    pub fn description(&self, formats: &Formats) -> RowDescription {
        let formats = formats.of(self.columns.len());
        let fields = self.columns.iter().zip(formats).map(|(column, format)| column.description(format));
        RowDescription::new(fields.collect())
    }
}

/// Text or binary, as a client asks for it: for all columns or for each.
#[derive(Debug, Clone, Default)]
pub struct Formats(pub Vec<i16>);

impl Formats {
    /// One for each of `count` columns.
    fn of(&self, count: usize) -> Vec<i16> {
        match self.0.as_slice() {
            [] => vec![0; count],
            [one] => vec![*one; count],
            many => (0..count).map(|i| many.get(i).copied().unwrap_or(0)).collect(),
        }
    }
}

/// Where rows come from.
enum Source {
    /// They are all here.
    Ready,
    /// A query makes them.
    Query(Running),
    /// A bounded query, whose rows are shown when they are all known.
    Table(Option<Running>),
}

/// Rows of an answer that have not been sent yet.
pub struct Rows {
    /// Their columns.
    pub header: Header,
    /// First word of the tag behind them.
    word: &'static str,
    source: Source,
    waiting: VecDeque<ChangelogBatch>,
    /// True when no more come.
    ended: bool,
    /// True when they may never end, so that a part of what is asked for is better than waiting for all of it.
    continuous: bool,
    /// A failure that was met while looking for more.
    failed: Option<SqlError>,
    sent: usize,
}

impl Rows {
    /// Rows that are all here.
    pub fn ready(schema: &Schema, batches: Vec<RecordBatch>, word: &'static str) -> Self {
        let waiting = batches.into_iter().map(ChangelogBatch::inserts).collect();
        let header = Header::plain(schema);
        Rows { header, word, source: Source::Ready, waiting, ended: true, continuous: false, failed: None, sent: 0 }
    }

    /// Rows of a query that runs.
    fn query(schema: &Schema, running: Running, bounded: bool, append_only: bool) -> Self {
        let header = Header::query(schema, bounded, append_only);
        let source = if bounded && !append_only { Source::Table(Some(running)) } else { Source::Query(running) };
        let waiting = VecDeque::new();
        Rows { header, word: "SELECT", source, waiting, ended: false, continuous: !bounded, failed: None, sent: 0 }
    }

    /// The next rows, at most `count`; None when there are none left. Waits for the first one only.
    pub async fn next(&mut self, count: usize, formats: &Formats) -> Result<Option<Vec<DataRow>>, SqlError> {
        while self.waiting.front().is_none_or(ChangelogBatch::is_empty) {
            self.waiting.pop_front();
            if self.waiting.is_empty() && !self.fill().await? {
                return Ok(None);
            }
        }
        let Some(batch) = self.waiting.pop_front() else { return Ok(None) };
        let now = batch.slice(0, count.min(batch.len()));
        if now.len() < batch.len() {
            self.waiting.push_front(batch.slice(now.len(), batch.len() - now.len()));
        }
        let formats = formats.of(self.header.columns.len());
        let rows = match self.header.op {
            true => encode_changes(&now, &self.header.columns, &formats)?,
            false => encode(now.rows(), &self.header.columns, &formats)?,
        };
        self.sent += rows.len();
        Ok(Some(rows))
    }

    /// Waits for more; false when there is no more.
    async fn fill(&mut self) -> Result<bool, SqlError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.ended {
            return Ok(false);
        }
        match &mut self.source {
            Source::Ready => self.ended = true,
            Source::Query(running) => match running.next().await? {
                Some(batch) => self.waiting.push_back(batch),
                None => self.ended = true,
            },
            Source::Table(running) => {
                self.ended = true;
                if let Some(running) = running.take() {
                    self.waiting.extend(running.into_table().await?.into_iter().map(ChangelogBatch::inserts));
                }
            }
        }
        Ok(!self.waiting.is_empty() || !self.ended)
    }

    /// True when more rows can be had without waiting.
    pub fn has_more_now(&mut self) -> bool {
        if self.waiting.iter().any(|batch| !batch.is_empty()) {
            return true;
        }
        let Source::Query(running) = &mut self.source else { return false };
        match running.try_next() {
            Some(Ok(batch)) => self.waiting.push_back(batch),
            Some(Err(error)) => self.failed = Some(error),
            None => return false,
        }
        true
    }

    /// True when the rows may never end.
    pub fn is_continuous(&self) -> bool {
        self.continuous
    }

    /// True for those of a query that may still run.
    pub fn is_running(&self) -> bool {
        !matches!(self.source, Source::Ready)
    }

    /// Rows that were sent.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// The tag behind the last row.
    pub fn tag(&self) -> String {
        match self.word {
            "SELECT" => format!("SELECT {}", self.sent),
            word => word.to_string(),
        }
    }
}

impl Answer {
    /// What came of a statement of the session; `tag` is for those without rows.
    pub fn of(outcome: Outcome, tag: &str) -> Self {
        match outcome {
            Outcome::Done(_) => Answer::Tag(tag.to_string()),
            Outcome::Edited { what: Edits::Insert, rows } => Answer::Tag(format!("INSERT 0 {rows}")),
            Outcome::Edited { what: Edits::Update, rows } => Answer::Tag(format!("UPDATE {rows}")),
            Outcome::Edited { what: Edits::Delete, rows } => Answer::Tag(format!("DELETE {rows}")),
            Outcome::Rows { schema, rows } => Answer::Rows(Rows::ready(&schema, vec![rows], "SHOW")),
            Outcome::Changes { schema, changes, job, bounded, append_only, .. } => {
                let running = Running::new(changes, job);
                Answer::Rows(Rows::query(&schema, running, bounded, append_only))
            }
            // The job of a view is the server's affair.
            Outcome::Started { .. } if tag == VIEW_TAG => Answer::Tag(tag.to_string()),
            Outcome::Started { id, .. } => Answer::Rows(Rows {
                header: Header::job(),
                word: "INSERT 0 0",
                source: Source::Ready,
                waiting: job_id(id).into_iter().collect(),
                ended: true,
                continuous: false,
                failed: None,
                sent: 0,
            }),
        }
    }
}

fn job_id(id: String) -> Option<ChangelogBatch> {
    let column: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![id]));
    RecordBatch::try_from_iter([("job id", column)]).ok().map(ChangelogBatch::inserts)
}
