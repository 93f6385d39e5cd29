//! A client that has logged in: reads its messages, executes its statements in a session of its own, sends answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_engine::interrupt::{Asked, interruptible};
use eddyline_engine::runtime::StopMode;
use eddyline_sql::statement::{ObjectKind, ParsedStatement, Statement};
use eddyline_sql::{Outcome, Session, SqlError, SqlState};
use futures::{SinkExt, StreamExt};
use pgwire::error::PgWireError;
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{PgWireBackendMessage as Back, PgWireFrontendMessage as Front};
use tokio::sync::oneshot;

use super::Door;
use super::answer::{Answer, Formats, Rows};
use super::cursor::Cursor;
use super::extended::{Portal, Prepared};
use super::failure::{Failure, cancelled, error_response, notice};
use super::login::{Client, Stream};
use super::script::{Request, requests};

/// Messages that are kept while a statement runs; after that many, the client has to wait.
const WAITING_MESSAGES: usize = 64;

/// Hears of a cancel request for the statement that runs.
pub type Cancel = oneshot::Receiver<()>;

/// A client and everything that is its own.
pub struct Connection {
    pub(super) door: Arc<Door>,
    pub(super) client: Client,
    /// None while a statement runs in it.
    session: Option<Session>,
    /// What it has set of PostgreSQL's settings.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) transaction: TransactionStatus,
    /// True when the transaction has done something that ROLLBACK does not undo.
    pub(super) lasting: bool,
    pub(super) statements: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) cursors: HashMap<String, Cursor>,
    /// Messages that came while a statement ran.
    waiting: VecDeque<Front>,
    /// True after an error, until the client synchronises.
    skipping: bool,
}

impl Connection {
    /// A connection of a client, with a new session.
    pub fn new(door: Arc<Door>, client: Client) -> Self {
        let session = Session::on(Arc::clone(&door.engine));
        Connection {
            door,
            session: Some(session),
            settings: BTreeMap::new(),
            transaction: TransactionStatus::Idle,
            lasting: false,
            statements: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            waiting: VecDeque::new(),
            skipping: false,
            client,
        }
    }

    /// Serves the client until it leaves.
    pub async fn run(mut self) -> Result<(), PgWireError> {
        loop {
            let message = match self.waiting.pop_front() {
                Some(message) => message,
                None => match self.stream().next().await {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return self.leave(error).await,
                    None => return Ok(()),
                },
            };
            match message {
                Front::Terminate(_) => return Ok(()),
                Front::Query(query) => {
                    self.skipping = false;
                    self.simple(&query.query).await?;
                }
                Front::Sync(_) => {
                    self.skipping = false;
                    if self.transaction == TransactionStatus::Idle {
                        self.portals.clear();
                    }
                    self.ready().await?;
                }
                Front::Flush(_) => self.stream().flush().await?,
                message if message.is_extended_query() => {
                    if !self.skipping {
                        self.skipping = !self.extended(message).await?;
                    }
                }
                // There is no COPY … FROM; what a client sends for one goes nowhere.
                Front::CopyData(_) | Front::CopyDone(_) | Front::CopyFail(_) => {}
                _ => return self.leave(PgWireError::InvalidMessageType(0)).await,
            }
        }
    }

    /// Says why the connection ends.
    async fn leave(&mut self, error: PgWireError) -> Result<(), PgWireError> {
        if !matches!(error, PgWireError::IoError(_)) {
            let told = SqlError::new(SqlState::ProtocolViolation, error.to_string());
            let _ = self.stream().send(Back::ErrorResponse(error_response(&told, ""))).await;
        }
        Err(error)
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.client.stream
    }

    /// The session; an error while a statement runs in it, which cannot be.
    pub(super) fn session(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| lost().into())
    }

    /// The statements in a text.
    pub(super) fn requests(&mut self, sql: &str) -> Result<Vec<Request>, Failure> {
        let catalog = self.session()?.catalog();
        Ok(requests(sql, &catalog)?)
    }

    async fn simple(&mut self, sql: &str) -> Result<(), PgWireError> {
        let done = self.simple_statements(sql).await;
        self.client.cancellable.end();
        match done {
            Ok(()) => {}
            Err(Failure::Sql(error)) => self.report(&error, sql).await?,
            Err(Failure::Wire(error)) => return Err(error),
        }
        self.ready().await
    }

    async fn simple_statements(&mut self, sql: &str) -> Result<(), Failure> {
        let requests = self.requests(sql)?;
        if requests.is_empty() {
            self.stream().feed(Back::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for request in requests {
            let mut cancel = self.client.cancellable.begin();
            let formats = Formats::default();
            match self.execute(request, &mut cancel).await? {
                Answer::Tag(tag) => self.complete(tag).await?,
                Answer::Rows(mut rows) => {
                    self.stream().feed(Back::RowDescription(rows.header.description(&formats))).await?;
                    if rows.is_continuous() {
                        // The first row may be long in coming.
                        self.stream().flush().await?;
                    }
                    self.send_rows(&mut rows, None, &formats, &mut cancel).await?;
                    self.complete(rows.tag()).await?;
                }
                Answer::Copy(rows, form) => self.copy_out(rows, form, &mut cancel).await?,
                Answer::Fetch { name, count, discard: true } => self.pass_over(&name, count, &mut cancel).await?,
                Answer::Fetch { name, count, .. } => self.fetch(&name, count, &formats, true, &mut cancel).await?,
            }
        }
        Ok(())
    }

    /// Tells the client of an error, which also spoils its transaction.
    pub(super) async fn report(&mut self, error: &SqlError, sql: &str) -> Result<(), PgWireError> {
        if self.transaction == TransactionStatus::Transaction {
            self.transaction = TransactionStatus::Error;
        }
        self.stream().feed(Back::ErrorResponse(error_response(error, sql))).await
    }

    pub(super) async fn complete(&mut self, tag: String) -> Result<(), PgWireError> {
        self.stream().feed(Back::CommandComplete(CommandComplete::new(tag))).await
    }

    async fn ready(&mut self) -> Result<(), PgWireError> {
        let message = ReadyForQuery::new(self.transaction);
        self.stream().send(Back::ReadyForQuery(message)).await
    }

    pub(super) async fn notify(&mut self, severity: &str, message: &str) -> Result<(), PgWireError> {
        self.stream().feed(Back::NoticeResponse(notice(severity, message))).await
    }

    /// Executes one statement up to where its rows come.
    pub(super) async fn execute(&mut self, request: Request, cancel: &mut Cancel) -> Result<Answer, Failure> {
        if self.transaction == TransactionStatus::Error && !ends_transaction(&request) {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::new(SqlState::FailedTransaction, message).with_hint("ROLLBACK").into());
        }
        match request {
            Request::Declare { name, hold, query } => {
                self.check_cursor(&name)?;
                let answer = self.answer(*query, cancel).await?;
                self.declare(name, hold, answer)
            }
            Request::Copy { query, form } => match self.answer(*query, cancel).await? {
                Answer::Rows(rows) => Ok(Answer::Copy(rows, form)),
                _ => Err(SqlError::unsupported("COPY is for a query").into()),
            },
            other => self.answer(other, cancel).await,
        }
    }

    async fn answer(&mut self, request: Request, cancel: &mut Cancel) -> Result<Answer, Failure> {
        match request {
            Request::Statement(statement) => self.statement(statement, cancel).await,
            Request::Command(command) => self.command(command).await,
            Request::Declare { .. } => Err(SqlError::unsupported("a cursor is for a query").into()),
            Request::Copy { .. } => Err(SqlError::unsupported("COPY is for a query").into()),
            Request::Catalog { sql, parameters } => {
                let door = Arc::clone(&self.door);
                let asked = door.catalog.ask(&sql, &parameters);
                let (schema, batches) = tokio::select! {
                    answer = asked => answer?,
                    _ = cancel => return Err(cancelled().into()),
                };
                Ok(Answer::Rows(Rows::ready(&schema, batches, "SELECT")))
            }
        }
    }

    /// Executes a statement of the session on a thread that may wait: for a broker, say, until it is cancelled.
    async fn statement(&mut self, statement: ParsedStatement, cancel: &mut Cancel) -> Result<Answer, Failure> {
        let Some(mut session) = self.session.take() else { return Err(lost().into()) };
        let tag = tag(&statement.statement);
        self.lasting |= !matches!(statement.statement, Statement::Query(_) | Statement::Subscribe { .. });
        let enough = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&enough);
        let asked: Asked = Arc::new(move || flag.load(Ordering::SeqCst));
        let mut executed = tokio::task::spawn_blocking(move || {
            let outcome = interruptible(asked, || session.execute(&statement));
            (session, outcome)
        });
        let executed = tokio::select! {
            biased;
            executed = &mut executed => executed,
            Ok(()) = &mut *cancel => {
                enough.store(true, Ordering::SeqCst);
                // A request is heard once; what comes of the statement may be cancelled again.
                *cancel = self.client.cancellable.begin();
                executed.await
            }
        };
        let (mut session, outcome) = executed.map_err(|_| lost())?;
        let warnings = session.take_warnings();
        self.session = Some(session);
        for warning in warnings {
            self.notify("WARNING", &warning).await?;
        }
        let outcome = outcome?;
        if let Outcome::Changes { job, bounded, .. } = &outcome {
            if enough.load(Ordering::SeqCst) {
                job.stop(StopMode::Cancel);
                return Err(cancelled().into());
            }
            if !bounded {
                self.tell_query(job.id()).await?;
            }
        }
        if let Outcome::Started { job, .. } = &outcome {
            for event in job.drain_events() {
                if let Some(text) = crate::progress::describe(job.name(), &event) {
                    self.notify("NOTICE", &text).await?;
                }
            }
        }
        Ok(Answer::of(outcome, tag))
    }

    /// Tells which job is behind the rows that come, for whoever wants to know how it gets on: our own shell.
    async fn tell_query(&mut self, job: &str) -> Result<(), Failure> {
        let jobs = self.session()?.engine().jobs().list();
        let entry = jobs.into_iter().find(|entry| entry.handle().is_some_and(|handle| handle.id() == job));
        if let Some(entry) = entry {
            let status = ParameterStatus::new("eddyline.query".to_string(), entry.id);
            self.stream().feed(Back::ParameterStatus(status)).await?;
        }
        Ok(())
    }

    /// Sends rows, at most `limit`; true when there may be more. Everything that is there goes out before anything is
    /// waited for.
    pub(super) async fn send_rows(
        &mut self,
        rows: &mut Rows,
        limit: Option<usize>,
        formats: &Formats,
        cancel: &mut Cancel,
    ) -> Result<bool, Failure> {
        let mut left = limit.unwrap_or(usize::MAX);
        while left > 0 {
            let Some(batch) = self.next_rows(rows, left, formats, cancel).await? else { return Ok(false) };
            left -= batch.len().min(left);
            for row in batch {
                self.stream().feed(Back::DataRow(row)).await?;
            }
            if !rows.has_more_now() {
                if rows.is_continuous() && limit.is_some() {
                    return Ok(true);
                }
                tokio::select! {
                    flushed = self.stream().flush() => flushed?,
                    _ = &mut *cancel => return Err(cancelled().into()),
                }
            }
        }
        Ok(true)
    }

    /// Waits for rows, and meanwhile for a cancel request and for the client to go away.
    pub(super) async fn next_rows(
        &mut self,
        rows: &mut Rows,
        count: usize,
        formats: &Formats,
        cancel: &mut Cancel,
    ) -> Result<Option<Vec<pgwire::messages::data::DataRow>>, Failure> {
        let next = rows.next(count, formats);
        tokio::pin!(next);
        loop {
            let room = self.waiting.len() < WAITING_MESSAGES;
            tokio::select! {
                biased;
                _ = &mut *cancel => return Err(cancelled().into()),
                rows = &mut next => return Ok(rows?),
                message = self.client.stream.next(), if room => match message {
                    Some(Ok(Front::Terminate(_))) | None => return Err(Failure::Wire(gone())),
                    Some(Ok(message)) => self.waiting.push_back(message),
                    Some(Err(error)) => return Err(Failure::Wire(error)),
                },
            }
        }
    }
}

fn gone() -> PgWireError {
    PgWireError::IoError(std::io::ErrorKind::ConnectionAborted.into())
}

/// A statement has taken the session down with it.
fn lost() -> PgWireError {
    PgWireError::ApiError("the session is lost to an internal error".into())
}

fn ends_transaction(request: &Request) -> bool {
    use super::command::Command;
    matches!(request, Request::Command(Command::Commit | Command::Rollback | Command::Nothing("ROLLBACK")))
}

/// PostgreSQL's word for what a statement does.
fn tag(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateMaterializedView(_) => super::answer::VIEW_TAG,
        Statement::CreateNamespace(_) => "CREATE DATABASE",
        Statement::Drop(drop) => match drop.kind {
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::MaterializedView => "DROP MATERIALIZED VIEW",
        },
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::AlterView(_) => "ALTER VIEW",
        Statement::Set { .. } => "SET",
        Statement::Reset { .. } => "RESET",
        Statement::StopJob { .. } => "STOP JOB",
        Statement::Flush => "FLUSH",
        Statement::Use { .. } => "USE",
        _ => "OK",
    }
}
