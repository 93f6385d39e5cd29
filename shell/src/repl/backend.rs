//! Where statements are executed: in this process, or on a server.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use crossbeam_channel::Receiver;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::runtime::JobHandle;
use eddyline_sql::SqlError;

use crate::failure::Failure;
use crate::follow::RunningQuery;

/// What came of a statement.
pub enum Answer {
    /// It is done; the text says what was done.
    Done(String),
    /// A finished table.
    Rows {
        /// Columns.
        schema: SchemaRef,
        /// Rows.
        rows: RecordBatch,
    },
    /// A job runs in the background.
    Started {
        /// Its id.
        id: String,
        /// The job, when it runs in this process.
        job: Option<JobHandle>,
        /// True when it is known to end by itself.
        bounded: bool,
    },
    /// The rows of a query come.
    Changes(Changes),
}

/// The rows of a query that runs.
pub struct Changes {
    /// Columns.
    pub schema: SchemaRef,
    /// The changes; closed at the end.
    pub batches: Receiver<ChangelogBatch>,
    /// The query behind them.
    pub query: Box<dyn RunningQuery + Send>,
    /// True when it is known to end by itself.
    pub bounded: bool,
    /// True when no row is ever taken back.
    pub append_only: bool,
    /// True when the rows say in their first two columns what they do, and with which version of a view.
    pub subscription: bool,
}

/// A session that executes statements.
pub trait Backend {
    /// Executes one statement. Positions in the error are those of `sql`.
    fn execute(&mut self, sql: &str) -> Result<Answer, SqlError>;

    /// What should be told to the user besides answers, since the last call.
    fn notices(&mut self) -> Vec<String>;

    /// Jobs that run in this process.
    fn jobs(&self) -> Vec<JobHandle>;

    /// Ends the session.
    fn leave(&mut self) -> Result<(), Failure>;

    /// The rows of a statement that only looks at things.
    fn rows(&mut self, sql: &str) -> Result<(SchemaRef, RecordBatch), SqlError> {
        match self.execute(sql)? {
            Answer::Rows { schema, rows } => Ok((schema, rows)),
            _ => Err(SqlError::internal(format!("'{sql}' has no rows"))),
        }
    }
}
