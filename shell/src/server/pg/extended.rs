//! Prepared statements: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;

use eddyline_sql::statement::ParsedStatement;
use eddyline_sql::types::FlinkType;
use eddyline_sql::{Parameter, SqlError, SqlState};
use futures::SinkExt;
use pgwire::error::PgWireError;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::{PgWireBackendMessage as Back, PgWireFrontendMessage as Front};

use super::answer::{Answer, Formats, Header, Rows};
use super::command::Command;
use super::connection::Connection;
use super::cursor;
use super::failure::Failure;
use super::parameter;
use super::script::Request;
use super::types::{flink_type, pg_type};

/// Most prepared statements, and most portals, of a connection.
const MAX_PREPARED: usize = 1_000;

/// A statement that waits for parameters.
pub struct Prepared {
    sql: String,
    /// None for an empty text.
    request: Option<Request>,
    types: Vec<FlinkType>,
    /// The types as the client named them or is told of them.
    oids: Vec<u32>,
}

/// A statement with parameters, on its way to be executed or in the middle of it.
pub struct Portal {
    prepared: Arc<Prepared>,
    request: Option<Request>,
    formats: Formats,
    rows: Option<Rows>,
}

impl Connection {
    /// Handles a message; false when it failed and the client must synchronise.
    pub(super) async fn extended(&mut self, message: Front) -> Result<bool, PgWireError> {
        let mut sql = String::new();
        let done = match message {
            Front::Parse(parse) => {
                sql = parse.query.clone();
                self.parse(parse).await
            }
            Front::Bind(bind) => {
                sql = self.text_of_statement(bind.statement_name.as_deref());
                self.bind(bind).await
            }
            Front::Describe(describe) => {
                sql = match describe.target_type {
                    TARGET_TYPE_BYTE_STATEMENT => self.text_of_statement(describe.name.as_deref()),
                    _ => self.text_of_portal(describe.name.as_deref()),
                };
                self.describe(describe).await
            }
            Front::Execute(execute) => {
                sql = self.text_of_portal(execute.name.as_deref());
                let done = self.run_portal(execute).await;
                self.client.cancellable.end();
                done
            }
            Front::Close(close) => self.close(close).await,
            _ => Ok(()),
        };
        match done {
            Ok(()) => Ok(true),
            Err(Failure::Sql(error)) => {
                self.report(&error, &sql).await?;
                Ok(false)
            }
            Err(Failure::Wire(error)) => Err(error),
        }
    }

    fn text_of_statement(&self, name: Option<&str>) -> String {
        self.statements.get(name.unwrap_or_default()).map_or(String::new(), |p| p.sql.clone())
    }

    fn text_of_portal(&self, name: Option<&str>) -> String {
        self.portals.get(name.unwrap_or_default()).map_or(String::new(), |p| p.prepared.sql.clone())
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), Failure> {
        let name = parse.name.unwrap_or_default();
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DuplicateCursor, message).into());
        }
        if self.statements.len() >= MAX_PREPARED {
            let message = format!("a connection has at most {MAX_PREPARED} prepared statements");
            return Err(SqlError::new(SqlState::LimitExceeded, message).with_hint("DEALLOCATE some").into());
        }
        let mut requests = self.requests(&parse.query)?;
        if requests.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(SqlState::SyntaxError, message).into());
        }
        let request = requests.pop();
        let mut types = match &request {
            Some(request) => self.parameter_types(request).await?,
            None => Vec::new(),
        };
        for (index, oid) in parse.type_oids.iter().enumerate().filter(|(_, oid)| **oid != 0) {
            if let Some(slot) = types.get_mut(index) {
                *slot = typed(*oid);
            }
        }
        let (types, oids) = types.into_iter().unzip();
        let prepared = Prepared { sql: parse.query, request, types, oids };
        self.statements.insert(name, Arc::new(prepared));
        self.stream().feed(Back::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let prepared = self.prepared(bind.statement_name.as_deref())?;
        if bind.parameters.len() != prepared.types.len() {
            let (given, wanted) = (bind.parameters.len(), prepared.types.len());
            let message = format!("bind message supplies {given} parameters, but the statement requires {wanted}");
            return Err(SqlError::new(SqlState::ProtocolViolation, message).into());
        }
        if self.portals.len() >= MAX_PREPARED {
            let message = format!("a connection has at most {MAX_PREPARED} portals");
            return Err(SqlError::new(SqlState::LimitExceeded, message).into());
        }
        let binary = |index: usize| match bind.parameter_format_codes.as_slice() {
            [one] => *one == 1,
            many => many.get(index) == Some(&1),
        };
        let values: Vec<Parameter> = bind
            .parameters
            .iter()
            .zip(&prepared.types)
            .enumerate()
            .map(|(i, (bytes, data_type))| parameter::decode(i + 1, data_type, bytes.as_deref(), binary(i)))
            .collect::<Result<_, _>>()?;
        let request = prepared.request.clone().map(|request| self.bound(request, &values)).transpose()?;
        let formats = Formats(bind.result_column_format_codes);
        let portal = Portal { prepared, request, formats, rows: None };
        self.portals.insert(bind.portal_name.unwrap_or_default(), portal);
        self.stream().feed(Back::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    /// The statement with its parameters.
    fn bound(&mut self, request: Request, values: &[Parameter]) -> Result<Request, Failure> {
        Ok(match request {
            Request::Statement(statement) => Request::Statement(self.session()?.bind(&statement, values)?),
            Request::Catalog { sql, .. } => Request::Catalog { sql, parameters: values.to_vec() },
            Request::Declare { name, hold, query } => {
                Request::Declare { name, hold, query: Box::new(self.bound(*query, values)?) }
            }
            Request::Copy { query, table, form } => {
                Request::Copy { query: Box::new(self.bound(*query, values)?), table, form }
            }
            command => command,
        })
    }

    /// The types of parameters, as they are read and as the client is told of them.
    async fn parameter_types(&mut self, request: &Request) -> Result<Vec<(FlinkType, u32)>, Failure> {
        let request = match request {
            Request::Declare { query, .. } | Request::Copy { query, .. } => query.as_ref(),
            other => other,
        };
        match request {
            Request::Statement(statement) => {
                let session = self.session()?;
                let types = tokio::task::block_in_place(|| session.parameter_types(statement))?;
                Ok(types.into_iter().map(|flink| (flink.clone(), pg_type(&flink).oid())).collect())
            }
            Request::Catalog { sql, .. } if sql.contains('$') => {
                let door = Arc::clone(&self.door);
                Ok(door.catalog.parameter_types(sql).await?.iter().map(|t| typed(t.oid())).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    async fn describe(&mut self, describe: Describe) -> Result<(), Failure> {
        let (request, formats) = if describe.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let prepared = self.prepared(describe.name.as_deref())?;
            let message = ParameterDescription::new(prepared.oids.clone());
            self.stream().feed(Back::ParameterDescription(message)).await?;
            let nulls: Vec<Parameter> =
                prepared.types.iter().map(|t| Parameter { data_type: t.clone(), value: None }).collect();
            let request = prepared.request.clone().map(|request| self.bound(request, &nulls)).transpose()?;
            (request, Formats::default())
        } else {
            let name = describe.name.unwrap_or_default();
            // A cursor is a portal, too.
            if let Some(cursor) = self.cursors.get(&name) {
                let description = cursor.rows.header.description(&Formats::default());
                self.stream().feed(Back::RowDescription(description)).await?;
                return Ok(());
            }
            let portal = self.portals.get(&name).ok_or_else(|| unknown_portal(&name))?;
            (portal.request.clone(), portal.formats.clone())
        };
        let header = match &request {
            Some(request) => self.header(request).await?,
            None => None,
        };
        match header {
            Some(header) => self.stream().feed(Back::RowDescription(header.description(&formats))).await?,
            None => self.stream().feed(Back::NoData(NoData::new())).await?,
        }
        Ok(())
    }

    /// The columns that a statement will answer with.
    async fn header(&mut self, request: &Request) -> Result<Option<Header>, Failure> {
        match request {
            Request::Statement(statement) => self.shape(statement),
            Request::Catalog { sql, parameters } => {
                let door = Arc::clone(&self.door);
                Ok(Some(Header::plain(&*door.catalog.describe(sql, parameters).await?)))
            }
            Request::Command(Command::Show(name)) => {
                let text = arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true);
                Ok(Some(Header::plain(&arrow::datatypes::Schema::new(vec![text]))))
            }
            Request::Command(Command::Fetch { name, discard: false, .. }) => {
                Ok(Some(self.cursors.get(name).ok_or_else(|| cursor::unknown(name))?.rows.header.clone()))
            }
            Request::Command(_) | Request::Declare { .. } | Request::Copy { .. } => Ok(None),
        }
    }

    fn shape(&mut self, statement: &ParsedStatement) -> Result<Option<Header>, Failure> {
        let session = self.session()?;
        let shape = tokio::task::block_in_place(|| session.shape(statement))?;
        Ok(Header::of_shape(&shape))
    }

    async fn run_portal(&mut self, execute: Execute) -> Result<(), Failure> {
        let name = execute.name.unwrap_or_default();
        let limit = usize::try_from(execute.max_rows).ok().filter(|rows| *rows > 0);
        let mut portal = self.portals.remove(&name).ok_or_else(|| unknown_portal(&name))?;
        let mut cancel = self.begin_statement();
        if portal.rows.is_none() {
            let Some(request) = portal.request.clone() else {
                self.stream().feed(Back::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                self.portals.insert(name, portal);
                return Ok(());
            };
            match self.execute(request, &mut cancel).await? {
                Answer::Tag(tag) => {
                    self.complete(tag).await?;
                    return Ok(());
                }
                Answer::Copy(rows, form) => return self.copy_out(rows, form, &mut cancel).await,
                Answer::Fetch { name, count, discard: true } => {
                    return self.pass_over(&name, count, &mut cancel).await;
                }
                Answer::Fetch { name, count, .. } => {
                    return self.fetch(&name, count, &portal.formats, false, &mut cancel).await;
                }
                Answer::Rows(rows) => portal.rows = Some(rows),
            }
        }
        if let Some(rows) = &mut portal.rows {
            match self.send_rows(rows, limit, &portal.formats, &mut cancel).await? {
                true => self.stream().feed(Back::PortalSuspended(PortalSuspended::new())).await?,
                false => {
                    let tag = rows.tag();
                    self.complete(tag).await?;
                }
            }
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    async fn close(&mut self, close: Close) -> Result<(), Failure> {
        let name = close.name.unwrap_or_default();
        match close.target_type {
            TARGET_TYPE_BYTE_STATEMENT => drop(self.statements.remove(&name)),
            _ => {
                self.portals.remove(&name);
                self.cursors.remove(&name);
            }
        }
        self.stream().feed(Back::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    fn prepared(&self, name: Option<&str>) -> Result<Arc<Prepared>, SqlError> {
        let name = name.unwrap_or_default();
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = format!("prepared statement \"{name}\" does not exist");
            SqlError::new(SqlState::UndefinedStatement, message)
        })
    }
}

/// A parameter of PostgreSQL's type `oid`, and how it is read.
fn typed(oid: u32) -> (FlinkType, u32) {
    (flink_type(oid).unwrap_or(FlinkType::String), oid)
}

fn unknown_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::UndefinedCursor, format!("portal \"{name}\" does not exist"))
}
