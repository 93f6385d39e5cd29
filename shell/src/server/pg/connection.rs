//! A client that has logged in: reads its messages, executes its statements in a session of its own, sends answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_engine::interrupt::{Asked, interruptible};
use eddyline_sql::statement::{ObjectKind, ParsedStatement, Statement};
use eddyline_sql::{Outcome, Session, SqlError, SqlState};
use futures::{SinkExt, StreamExt};
use pgwire::error::PgWireError;
use pgwire::messages::data::DataRow;
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{PgWireBackendMessage as Back, PgWireFrontendMessage as Front};

use super::Door;
use super::answer::{Answer, Formats, Rows};
use super::cancel::Cancel;
use super::cursor::Cursor;
use super::extended::{Portal, Prepared};
use super::failure::{Failure, error_response, notice};
use super::login::{Client, Stream};
use super::script::{Request, requests};

/// Messages that are kept while a statement runs; after that many, the client has to wait.
const WAITING_MESSAGES: usize = 64;

/// Most rows that are turned into messages before any is sent.
const MOST_ROWS: usize = 1024;

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
            let mut cancel = self.begin_statement();
            let formats = Formats::default();
            match self.execute(request, &mut cancel).await? {
                Answer::Tag(tag) => self.complete(tag).await?,
                Answer::Rows(mut rows) => {
                    self.stream().feed(Back::RowDescription(rows.header.description(&formats))).await?;
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

    /// How the statement that begins now learns that it is to end.
    pub(super) fn begin_statement(&self) -> Cancel {
        self.client.cancellable.begin(self.statement_timeout())
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
            Request::Copy { query, table, form } => {
                let answer = self.answer(*query, cancel).await.map_err(|failure| match (failure, table) {
                    // Its position is in a text that the client has not written.
                    (Failure::Sql(error), Some(table)) => error.at(table).into(),
                    (failure, _) => failure,
                })?;
                let Answer::Rows(rows) = answer else { return Err(SqlError::internal("COPY without rows").into()) };
                Ok(Answer::Copy(rows, form))
            }
            other => self.answer(other, cancel).await,
        }
    }

    async fn answer(&mut self, request: Request, cancel: &mut Cancel) -> Result<Answer, Failure> {
        match request {
            Request::Statement(statement) => self.statement(statement, cancel).await,
            Request::Command(command) => self.command(command).await,
            Request::Declare { .. } | Request::Copy { .. } => {
                Err(SqlError::internal("DECLARE and COPY take queries").into())
            }
            Request::Catalog { sql, parameters } => {
                let door = Arc::clone(&self.door);
                let asked = door.catalog.ask(&sql, &parameters, self.client.cancellable.key().0);
                let (schema, batches) = self.wait_for(asked, cancel).await??;
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
        let (executed, given_up) = match self.wait_for(&mut executed, cancel).await {
            Ok(executed) => (executed, None),
            Err(why) => {
                enough.store(true, Ordering::SeqCst);
                // What comes of the statement may be cancelled again.
                *cancel = self.begin_statement();
                (executed.await, Some(why))
            }
        };
        let (mut session, outcome) = executed.map_err(|_| lost())?;
        let warnings = session.take_warnings();
        self.session = Some(session);
        let told = outcome.as_ref().map_or_else(|_| Vec::new(), told);
        // From here on a query ends when nobody wants its rows.
        let answer = outcome.map(|outcome| Answer::of(outcome, tag));
        match (given_up, &answer) {
            (Some(Failure::Wire(gone)), _) => return Err(gone.into()),
            (Some(why), Ok(Answer::Rows(rows))) if rows.is_running() => return Err(why),
            (Some(Failure::Sql(why)), Err(error)) if error.state == SqlState::Cancelled => {
                return Err(why.with_detail(error.message.clone()).into());
            }
            _ => {}
        }
        for warning in warnings {
            self.notify("WARNING", &warning).await?;
        }
        for message in told {
            self.stream().feed(message).await?;
        }
        Ok(answer?)
    }

    /// Sends rows, at most `limit`; true when there may be more.
    pub(super) async fn send_rows(
        &mut self,
        rows: &mut Rows,
        limit: Option<usize>,
        formats: &Formats,
        cancel: &mut Cancel,
    ) -> Result<bool, Failure> {
        self.send_rows_as(rows, limit, formats, cancel, &mut Back::DataRow).await
    }

    /// The same with rows in messages of another kind.
    pub(super) async fn send_rows_as(
        &mut self,
        rows: &mut Rows,
        limit: Option<usize>,
        formats: &Formats,
        cancel: &mut Cancel,
        message: &mut (dyn FnMut(DataRow) -> Back + Send),
    ) -> Result<bool, Failure> {
        let mut left = limit.unwrap_or(usize::MAX);
        while left > 0 {
            let Some(batch) = self.next_rows(rows, left.min(MOST_ROWS), formats, cancel).await? else {
                return Ok(false);
            };
            left -= batch.len().min(left);
            for row in batch {
                self.stream().feed(message(row)).await?;
            }
            if rows.is_continuous() && limit.is_some() && !rows.has_more_now() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Waits for rows.
    pub(super) async fn next_rows(
        &mut self,
        rows: &mut Rows,
        count: usize,
        formats: &Formats,
        cancel: &mut Cancel,
    ) -> Result<Option<Vec<DataRow>>, Failure> {
        Ok(self.wait_for(rows.next(count, formats), cancel).await??)
    }

    /// Waits for `work`, and meanwhile for a reason to cancel it and for the client to go away. Everything that is there
    /// goes out before anything is waited for.
    async fn wait_for<T>(&mut self, work: impl Future<Output = T>, cancel: &mut Cancel) -> Result<T, Failure> {
        tokio::pin!(work);
        tokio::select! {
            biased;
            why = cancel.asked() => return Err(why.into()),
            done = &mut work => return Ok(done),
            () = std::future::ready(()) => {}
        }
        tokio::select! {
            biased;
            why = cancel.asked() => return Err(why.into()),
            flushed = self.client.stream.flush() => flushed?,
        }
        loop {
            let room = self.waiting.len() < WAITING_MESSAGES;
            tokio::select! {
                biased;
                why = cancel.asked() => return Err(why.into()),
                done = &mut work => return Ok(done),
                message = self.client.stream.next(), if room => match message {
                    Some(Ok(Front::Terminate(_))) | None => return Err(gone().into()),
                    Some(Ok(message)) => self.waiting.push_back(message),
                    Some(Err(error)) => return Err(error.into()),
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

/// What a client is told before the rows: which job is behind those that never end, for whoever wants to know how it
/// gets on (our own shell); and what has happened to a job so far.
fn told(outcome: &Outcome) -> Vec<Back> {
    match outcome {
        Outcome::Changes { id, bounded: false, .. } => {
            vec![Back::ParameterStatus(ParameterStatus::new("eddyline.query".to_string(), id.clone()))]
        }
        Outcome::Started { job, .. } => {
            let events = job.drain_events();
            let texts = events.iter().filter_map(|event| crate::progress::describe(job.name(), event));
            texts.map(|text| Back::NoticeResponse(notice("NOTICE", &text))).collect()
        }
        _ => Vec::new(),
    }
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
