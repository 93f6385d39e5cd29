//! A server: the shell as a client of PostgreSQL's protocol.
//!
//! - `address`: where the server is and how to get in; `tls`: encryption.
//! - `answer`: what the server sends, as the shell's rows; `watch`: what it knows of the query behind them.
//!
//! Statements go over the simple protocol, one at a time; rows are shown as they come. Only queries are described first
//! (the extended protocol), because the simple one does not tell types.
//!
//! Whatever is waited for, Ctrl-C asks the server to cancel it, and after a while it is not waited for any longer.

mod address;
mod answer;
mod tls;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use eddyline_engine::runtime::JobHandle;
use eddyline_sql::error::Location;
use eddyline_sql::{SqlError, SqlState};
use tokio::runtime::Runtime;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config};

use super::backend::{Answer, Backend, Changes};
use super::lex::tokens;
use crate::failure::Failure;
use crate::follow::POLL;
use crate::interrupt::Interrupt;
use answer::{Event, Header, Watcher, WireQuery, is_job};
use watch::Watch;

pub use address::Address;

/// Pieces of an answer that wait to be shown before the server is held back.
const WAITING_EVENTS: usize = 16;

/// How long the server may take to cancel a statement.
const GRACE: Duration = Duration::from_secs(5);

/// The parameter in which a server tells the job of a query that does not end by itself.
const QUERY: &str = "eddyline.query";

/// A session on a server.
pub struct Wire {
    address: Address,
    variables: BTreeMap<String, String>,
    interrupt: Interrupt,
    runtime: Arc<Runtime>,
    client: Client,
    /// How `client` has got in, with the password if one was asked for.
    config: Config,
    heard: Arc<Heard>,
}

/// What a connection has heard besides answers.
#[derive(Default)]
struct Heard {
    notices: Mutex<Vec<String>>,
    /// The job of the query that runs.
    query: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// Connects, with the settings among `variables` (names with a dot).
    pub fn connect(
        address: Address,
        variables: &BTreeMap<String, String>,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let heard = Arc::default();
        let (client, config) = open(&runtime, &address, address.config(), &heard)?;
        let variables = variables.clone();
        let mut wire = Wire { address, variables, interrupt, runtime: Arc::new(runtime), client, config, heard };
        wire.apply_settings().map_err(|e| Failure::Message(e.render("")))?;
        Ok(wire)
    }

    fn apply_settings(&mut self) -> Result<(), SqlError> {
        let quoted = |text: &str| text.replace('\'', "''");
        let settings = self.variables.clone();
        for (key, value) in settings.iter().filter(|(key, _)| key.contains('.')) {
            self.execute(&format!("SET '{}' = '{}'", quoted(key), quoted(value)))?;
        }
        Ok(())
    }

    /// Connects anew when the connection is gone.
    fn reconnect(&mut self) -> Result<(), SqlError> {
        if !self.client.is_closed() {
            return Ok(());
        }
        let failed = |failure: Failure| {
            let message = failure.text().trim_start_matches("ERROR: ").to_string();
            SqlError::new(SqlState::SystemError, format!("the connection to the server is lost, and: {message}"))
        };
        let opened = open(&self.runtime, &self.address, self.config.clone(), &self.heard);
        (self.client, self.config) = opened.map_err(failed)?;
        let lost = "WARNING: the connection was lost and is there again; settings and temporary tables are gone";
        lock(&self.heard.notices).push(lost.to_string());
        self.apply_settings()
    }

    /// Types of the columns of a query, in the order of its answer.
    fn types(&self, sql: &str) -> Result<Vec<Type>, SqlError> {
        let prepared = self.wait_for(self.client.prepare(sql), sql)?;
        Ok(prepared.columns().iter().map(|column| column.type_().clone()).collect())
    }

    /// Sends a statement; its answer comes through the channel.
    fn send(&self, sql: &str) -> Result<Receiver<Event>, SqlError> {
        let stream = self.wait_for(self.client.simple_query_raw(sql), sql)?;
        let (sender, events) = bounded(WAITING_EVENTS);
        let (runtime, sql) = (Arc::clone(&self.runtime), sql.to_string());
        let pump = move || runtime.block_on(answer::pump(stream, &sender, &|error| translate(error, &sql)));
        std::thread::Builder::new().name("answer".to_string()).spawn(pump).map_err(|e| lost(&e.to_string()))?;
        Ok(events)
    }

    /// Waits for the server. Ctrl-C cancels the statement.
    fn wait_for<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
        sql: &str,
    ) -> Result<T, SqlError> {
        let mut patience = Patience::new(self.interrupt.clone(), self.cancel());
        self.runtime.block_on(async {
            let mut answer = std::pin::pin!(answer);
            loop {
                match tokio::time::timeout(POLL, &mut answer).await {
                    Ok(answer) => return answer.map_err(|e| translate(&e, sql)),
                    Err(_) => patience.look()?,
                }
            }
        })
    }

    /// The next piece of an answer; None at its end. Ctrl-C cancels the statement.
    fn next(&self, events: &Receiver<Event>, patience: &mut Patience) -> Result<Option<Event>, SqlError> {
        loop {
            match events.recv_timeout(POLL) {
                Ok(Event::Failed(error)) => return Err(error),
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => patience.look()?,
            }
        }
    }

    fn query(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let types = self.types(sql)?;
        *lock(&self.heard.query) = None;
        let events = self.send(sql)?;
        let mut patience = Patience::new(self.interrupt.clone(), self.cancel());
        let names = match self.next(&events, &mut patience)? {
            Some(Event::Columns(names)) => names,
            _ => return Ok(Answer::Done(String::new())),
        };
        // Only the first row shows whether a column named `op` is the server's or the user's. The rows of a subscription,
        // which may be long in coming, are read by whoever shows them.
        let subscription = first_word(sql) == "SUBSCRIBE";
        let first = match !subscription && names.first().is_some_and(|name| name == answer::OP) {
            true => self.next(&events, &mut patience)?,
            false => None,
        };
        let header = Header::new(names, &types, first.as_ref());
        let (schema, append_only) = (header.schema(), !header.has_op());
        let (sender, batches) = bounded(WAITING_EVENTS);
        let watcher = self.watcher();
        let query = WireQuery::start(header, first, events, sender, self.cancel(), watcher)
            .map_err(|e| lost(&e.to_string()))?;
        let query = Box::new(query);
        Ok(Answer::Changes(Changes { schema, batches, query, bounded: false, append_only, subscription }))
    }

    fn finished(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let events = self.send(sql)?;
        let mut patience = Patience::new(self.interrupt.clone(), self.cancel());
        let mut names = None;
        let mut rows = Vec::new();
        while let Some(event) = self.next(&events, &mut patience)? {
            match event {
                Event::Columns(columns) => names = Some(columns),
                Event::Rows(more) => rows.extend(more),
                Event::Failed(error) => return Err(error),
            }
        }
        let Some(names) = names else { return Ok(Answer::Done("Execute statement succeeded.".to_string())) };
        if let Some(id) = is_job(sql, &names, &rows) {
            return Ok(Answer::Started { id, job: None, bounded: false });
        }
        let header = Header::new(names, &[], None);
        let schema = header.schema();
        let rows = header.batch(rows)?.rows().clone();
        Ok(Answer::Rows { schema, rows })
    }

    /// What begins to watch the query that runs, once its job is known.
    fn watcher(&self) -> Watcher {
        let (runtime, config, encryption) = (Arc::clone(&self.runtime), self.config.clone(), self.address.encryption());
        let heard = Arc::clone(&self.heard);
        Box::new(move || {
            let query = lock(&heard.query).clone()?;
            Some(Watch::start(&runtime, config.clone(), encryption.clone(), &query))
        })
    }

    fn cancel(&self) -> Cancel {
        let token = self.client.cancel_token();
        Cancel { token, encryption: self.address.encryption(), runtime: Arc::clone(&self.runtime) }
    }
}

impl Backend for Wire {
    fn execute(&mut self, sql: &str) -> Result<Answer, SqlError> {
        if first_word(sql) == "COPY" {
            return Err(SqlError::unsupported("COPY is for clients that send and take its data, such as psql")
                .with_hint("\\format csv and \\o FILE write the rows of a query into a file"));
        }
        self.reconnect()?;
        if is_query(sql) { self.query(sql) } else { self.finished(sql) }
    }

    fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut lock(&self.heard.notices))
    }

    fn jobs(&self) -> Vec<JobHandle> {
        Vec::new()
    }

    /// Jobs on the server go on.
    fn leave(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// How long a statement is waited for: until its answer, or until Ctrl-C and a while for the server to cancel it.
struct Patience {
    interrupt: Interrupt,
    cancel: Cancel,
    asked_at: Option<Instant>,
}

impl Patience {
    fn new(interrupt: Interrupt, cancel: Cancel) -> Self {
        Patience { interrupt, cancel, asked_at: None }
    }

    /// Looks for Ctrl-C; an error when enough was waited.
    fn look(&mut self) -> Result<(), SqlError> {
        match self.asked_at {
            None if self.interrupt.asked() => {
                self.asked_at = Some(Instant::now());
                self.cancel.ask();
            }
            Some(asked) if asked.elapsed() >= GRACE => {
                return Err(SqlError::new(
                    SqlState::Cancelled,
                    "the server was asked to cancel the statement and does not answer",
                )
                .with_hint("the statement may go on there; the next one waits for it"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Asks the server to cancel a statement.
pub struct Cancel {
    token: CancelToken,
    encryption: tls::Encryption,
    runtime: Arc<Runtime>,
}

impl Cancel {
    /// Asks; returns at once.
    pub fn ask(&self) {
        let (token, encryption) = (self.token.clone(), self.encryption.clone());
        self.runtime.spawn(async move {
            if let Err(error) = token.cancel_query(encryption).await {
                tracing::warn!(%error, "the server cannot be asked to cancel the statement");
            }
        });
    }
}

/// A connection that notes what it hears, and how it was made; asks for the password when one is needed that `config` has
/// not.
fn open(
    runtime: &Runtime,
    address: &Address,
    mut config: Config,
    heard: &Arc<Heard>,
) -> Result<(Client, Config), Failure> {
    let mut connected = runtime.block_on(config.connect(address.encryption()));
    if connected.as_ref().is_err_and(needs_password) {
        let asked = crate::terminal::ask_secret(&format!("Password for {address}: "))?;
        if let Some(password) = asked {
            connected = runtime.block_on(config.password(password).connect(address.encryption()));
        }
    }
    let (client, mut connection) = connected.map_err(|error| unreachable(&error, address))?;
    let heard = Arc::clone(heard);
    runtime.spawn(async move {
        let mut known = None;
        let mut next = |context: &mut std::task::Context<'_>| {
            let polled = connection.poll_message(context);
            let query = connection.parameter(QUERY);
            if query != known.as_deref() {
                known = query.map(str::to_string);
                lock(&heard.query).clone_from(&known);
            }
            polled
        };
        while let Some(Ok(message)) = std::future::poll_fn(&mut next).await {
            if let AsyncMessage::Notice(notice) = message {
                let text = format!("{}: {}", notice.severity(), notice.message());
                let text = text.trim_start_matches("NOTICE: ").to_string();
                lock(&heard.notices).push(text);
            }
        }
    });
    Ok((client, config))
}

fn needs_password(error: &tokio_postgres::Error) -> bool {
    use std::error::Error;
    error.source().is_some_and(|source| source.to_string() == "password missing")
}

fn unreachable(error: &tokio_postgres::Error, address: &Address) -> Failure {
    use std::error::Error;
    let mut hint = "";
    let said = match error.as_db_error() {
        Some(refused) => {
            if refused.message().contains("encrypted connections only") {
                hint = "\nHINT: give the certificate to trust: postgresql://USER@HOST:PORT?sslrootcert=FILE";
            }
            refused.message().to_string()
        }
        None if needs_password(error) => {
            hint = "\nHINT: give it in PGPASSWORD";
            "a password is needed".to_string()
        }
        None => error.source().map_or_else(|| error.to_string(), |source| source.to_string()),
    };
    Failure::Unreachable(format!("ERROR: cannot connect to {address}: {said}{hint}"))
}

/// The server's error as one of ours; `sql` is what its position refers to.
fn translate(error: &tokio_postgres::Error, sql: &str) -> SqlError {
    match error.as_db_error() {
        Some(said) => translate_said(said, sql),
        None => {
            use std::error::Error;
            lost(&error.source().map_or_else(|| error.to_string(), |source| source.to_string()))
        }
    }
}

fn translate_said(said: &DbError, sql: &str) -> SqlError {
    let state =
        if said.code().code() == SqlState::Cancelled.code() { SqlState::Cancelled } else { SqlState::InvalidQuery };
    let mut error = SqlError::new(state, said.message());
    error.detail = said.detail().map(str::to_string);
    error.hint = said.hint().map(str::to_string);
    if let Some(ErrorPosition::Original(position)) = said.position() {
        error = error.at(location(sql, *position as usize));
    }
    error
}

/// Line and column of a character, which is counted from 1.
fn location(sql: &str, position: usize) -> Location {
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) as u64 + 1;
    Location { line, column }
}

fn lost(what: &str) -> SqlError {
    SqlError::new(SqlState::SystemError, format!("the server does not answer: {what}"))
}

/// True for a statement whose rows come as they are made.
fn is_query(sql: &str) -> bool {
    ["SELECT", "WITH", "VALUES", "SUBSCRIBE", "("].contains(&first_word(sql).as_str())
}

/// The word that a statement begins with, or another sign.
fn first_word(sql: &str) -> String {
    let first = tokens(sql).into_iter().find(|token| !token.is_blank());
    first.map_or_else(String::new, |token| token.of(sql).to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_lines_and_columns() {
        let at = location("SELECT\n 'ä', x", 14);
        assert_eq!((at.line, at.column), (2, 7));
    }

    #[test]
    fn queries_are_told_from_other_statements() {
        assert!(is_query(" -- x\n select 1") && is_query("(SELECT 1) UNION (SELECT 2)") && is_query("SUBSCRIBE TO v"));
        assert!(!is_query("SHOW JOBS") && !is_query("INSERT INTO t SELECT 1") && !is_query("EXPLAIN SELECT 1"));
    }
}
