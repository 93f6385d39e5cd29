//! SQLite, the embedded default: opening or creating the file, reading its catalog, sorting result codes.
//!
//! The journal stays in SQLite's default mode: the database is one file at every moment, readers are shut out only while
//! a flush commits, and what was committed survives a power failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use eddyline_engine::Error;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection as _, Row};

use super::connection::{Failure, sort as sort_driver, within};
use super::target::{Collation, TargetColumn, TargetTable, TargetType};

/// SQLite has no packets; this only bounds the memory of one statement.
pub(super) const MAX_STATEMENT_BYTES: usize = 16 << 20;
/// How long a writer waits for another one; shorter than our own limit on a statement.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens the file, creating it when missing.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, Failure> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
    within(SqliteConnection::connect_with(&options.disable_statement_logging())).await.map_err(|failure| {
        let message = match failure {
            Failure::Lost(message) | Failure::Fatal(Error::Connector { message, .. }) => message,
            other => return other,
        };
        let message = format!("cannot open SQLite file '{}': {message}", path.display());
        Failure::Fatal(Error::refused(
            "jdbc",
            message,
            "the folder must exist and the file must be a writable SQLite database",
        ))
    })
}

/// Sorts an extended result code.
pub(super) fn sort(code: i32, message: &str) -> Failure {
    let text = format!("{message} (SQLite code {code})");
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => Failure::Transient(text),
        // IOERR, FULL: the disk may recover.
        10 | 13 => Failure::Lost(text),
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE.
        18 | 19 | 20 | 25 => Failure::Refused(Error::data(text)),
        _ => Failure::Fatal(Error::refused("jdbc", text, "look at the file with the program sqlite3")),
    }
}

/// All tables of the file.
pub(super) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<String>, Failure> {
    let query = sqlx::query_scalar::<_, String>("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')");
    within(query.fetch_all(connection)).await
}

/// The table as the file's schema describes it.
pub(super) async fn inspect(connection: &mut SqliteConnection, table: &str) -> Result<Option<TargetTable>, Failure> {
    let sql =
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid";
    let rows = within(sqlx::query(sql).bind(table).fetch_all(&mut *connection)).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT l.name, x.name, x.coll FROM pragma_index_list(?) AS l, pragma_index_xinfo(l.name) AS x \
               WHERE l.\"unique\" = 1 AND l.partial = 0 AND x.key = 1 ORDER BY l.name, x.seqno";
    let index_rows = within(sqlx::query(sql).bind(table).fetch_all(&mut *connection)).await?;
    let mut keys: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    let mut collations: BTreeMap<String, String> = BTreeMap::new();
    for row in &index_rows {
        let get = |i: usize| row.try_get::<Option<String>, _>(i).map_err(|e| sort_driver(&e));
        let key = keys.entry(get(0)?.unwrap_or_default()).or_insert_with(|| Some(Vec::new()));
        match get(1)? {
            Some(column) => {
                key.iter_mut().for_each(|k| k.push(column.clone()));
                let name = get(2)?.unwrap_or_default();
                // The looser collation counts when two indexes differ.
                let known = collations.entry(column).or_insert_with(|| name.clone());
                if name != "BINARY" {
                    *known = name;
                }
            }
            None => *key = None,
        }
    }
    let mut unique_keys: Vec<Vec<String>> = keys.into_values().flatten().collect();
    let mut columns = Vec::with_capacity(rows.len());
    let mut row_id_key = Vec::new();
    for row in &rows {
        let (column, in_key) = column(row, &collations).map_err(|e| sort_driver(&e))?;
        if in_key {
            row_id_key.push(column.name.clone());
        }
        columns.push(column);
    }
    // INTEGER PRIMARY KEY is the row id and has no index.
    if row_id_key.len() == 1 && !unique_keys.contains(&row_id_key) {
        unique_keys.push(row_id_key);
    }
    Ok(Some(TargetTable { columns, unique_keys, engine_without_transactions: None }))
}

fn column(
    row: &sqlx::sqlite::SqliteRow,
    collations: &BTreeMap<String, String>,
) -> Result<(TargetColumn, bool), sqlx::Error> {
    let name: String = row.try_get(0)?;
    let declared: String = row.try_get(1)?;
    let (not_null, has_default, in_key) =
        (row.try_get::<i64, _>(2)? != 0, row.try_get::<i64, _>(3)? != 0, row.try_get::<i64, _>(4)? != 0);
    // 2 and 3: generated columns, virtual and stored.
    let generated = row.try_get::<i64, _>(5)? >= 2;
    let target = affinity(&declared);
    let collation = collations.get(&name).map(|c| Collation {
        name: c.clone(),
        merges: c != "BINARY" && c != "RTRIM",
        pads: c == "RTRIM",
    });
    let collation = collation.filter(|_| matches!(target, TargetType::Text { .. } | TargetType::Any));
    let row_id = in_key && declared.eq_ignore_ascii_case("INTEGER");
    let required = not_null && !has_default && !generated && !row_id;
    Ok((TargetColumn { name, declared: declared.to_uppercase(), target, collation, required, generated }, in_key))
}

/// SQLite's rules from a declared type to what the column does to values.
fn affinity(declared: &str) -> TargetType {
    let name = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if has(&["INT"]) {
        TargetType::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        TargetType::Text { max_chars: None, max_bytes: None }
    } else if name.is_empty() || has(&["BLOB"]) {
        TargetType::Any
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        TargetType::Double
    } else {
        TargetType::Numeric
    }
}
