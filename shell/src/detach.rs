//! `eddyline run FILE --detach ADDRESS`: the statements of a file, executed on a server, where its jobs go on.

use std::collections::BTreeMap;
use std::io;

use eddyline_sql::SqlError;
use eddyline_sql::statement::{ParsedStatement, Statement};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::render::print_rows;
use crate::repl::{Address, Answer, Backend, Wire};
use crate::script::Script;

/// Sends the statements one by one, up to the first that is refused, and prints the ids of their jobs.
pub fn run(
    address: &str,
    script: &Script,
    statements: &[ParsedStatement],
    variables: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    if let Some(error) = statements.iter().find_map(refused) {
        return Err(Failure::sql(&error, &script.file, &script.text));
    }
    let mut server = Wire::connect(Address::parse(address)?, variables, Interrupt::install()?)?;
    for statement in statements {
        let answer = server.execute(&in_place(statement));
        server.notices().iter().for_each(|text| tell!("{text}"));
        match answer.map_err(|e| Failure::statement(&e, script, statement))? {
            Answer::Started { id, .. } => println!("{id}"),
            Answer::Rows { schema, rows } => print_rows(&rows, &schema, &mut io::stdout().lock())?,
            // What shows rows as they come is refused above.
            Answer::Done(_) | Answer::Changes(_) => {}
        }
    }
    Ok(())
}

/// Why a statement that shows rows as they come cannot be detached; None for the others.
fn refused(statement: &ParsedStatement) -> Option<SqlError> {
    let (what, hint) = match statement.statement {
        Statement::Query(_) => ("SELECT", "INSERT the rows into a table, or use eddyline --connect ADDRESS -f FILE"),
        Statement::Subscribe { .. } => ("SUBSCRIBE", "use eddyline --connect ADDRESS -f FILE"),
        _ => return None,
    };
    let message = format!("a {what} has nobody to show its rows to when its file is detached");
    Some(SqlError::unsupported(message).with_hint(hint).at(statement.start))
}

/// The statement at its line and column, so that errors are.
fn in_place(statement: &ParsedStatement) -> String {
    let (lines, columns) = (statement.start.line.saturating_sub(1), statement.start.column.saturating_sub(1));
    let blank = |text: &str, count: u64| text.repeat(usize::try_from(count).unwrap_or_default());
    format!("{}{}{}", blank("\n", lines), blank(" ", columns), statement.text)
}
