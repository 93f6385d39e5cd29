//! `COPY (query) TO STDOUT`: the rows of a query as text, CSV or PostgreSQL's binary format, as they come.
//!
//! - `parse`: what is copied; `form`: how rows are written.

mod form;
mod parse;

use bytes::Bytes;
use eddyline_sql::{SqlError, SqlState};
use futures::SinkExt;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};

use super::answer::Rows;
use super::cancel::Cancel;
use super::connection::Connection;
use super::failure::Failure;

pub use form::Form;
pub use parse::{Copied, CopiedTable, parse};

/// The head of the binary format: its mark, no flags, no extension.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the binary format: -1 in place of a number of fields.
const BINARY_END: &[u8] = &[0xff, 0xff];

impl Connection {
    /// Sends the rows of a COPY as they come, and the tag behind them.
    pub(super) async fn copy_out(&mut self, mut rows: Rows, form: Form, cancel: &mut Cancel) -> Result<(), Failure> {
        let columns = rows.header.columns.len();
        let count = i16::try_from(columns)
            .map_err(|_| SqlError::new(SqlState::LimitExceeded, "a result has too many columns for the protocol"))?;
        let format = i8::from(form.is_binary());
        let response = CopyOutResponse::new(format, count, vec![i16::from(format); columns]);
        self.stream().feed(Back::CopyOutResponse(response)).await?;
        if let Some(head) = form.head(rows.header.columns.iter().map(|column| column.name.as_str())) {
            self.stream().feed(Back::CopyData(CopyData::new(head))).await?;
        }
        // As PostgreSQL has it, this is no message of its own.
        let mut mark = if form.is_binary() { BINARY_HEAD } else { &[] };
        let mut message = |row| Back::CopyData(CopyData::new(with_mark(&mut mark, form.row(row))));
        self.send_rows_as(&mut rows, None, &form.formats(), cancel, &mut message).await?;
        if form.is_binary() {
            let data = with_mark(&mut mark, Bytes::from_static(BINARY_END));
            self.stream().feed(Back::CopyData(CopyData::new(data))).await?;
        }
        self.stream().feed(Back::CopyDone(CopyDone::new())).await?;
        self.complete(format!("COPY {}", rows.sent())).await?;
        Ok(())
    }
}

/// `data` behind `mark`, when it was not sent yet.
fn with_mark(mark: &mut &'static [u8], data: Bytes) -> Bytes {
    match std::mem::take(mark) {
        [] => data,
        mark => [mark, &data].concat().into(),
    }
}
