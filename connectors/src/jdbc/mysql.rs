//! MySQL and MariaDB: connecting with our own session settings, reading the catalog, sorting error numbers.

use std::collections::BTreeMap;

use eddyline_engine::Error;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions, Connection as _, Row};

use super::connection::{CONNECT_TIMEOUT, Failure, sort as sort_driver, within};
use super::target::{Collation, TargetColumn, TargetTable, TargetType};
use super::url::{Server, Tls};

/// Strictness, isolation and waiting as the sink needs them, whatever the server's defaults are. Zero is a value like any
/// other, also for AUTO_INCREMENT columns; a lock wait ends well before our own timeout. A session that says nothing for
/// 30 s is ended: the transaction of a process that stands still must not hold its locks against the one that takes over.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
                       ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO', SESSION innodb_lock_wait_timeout = 10, \
                       SESSION wait_timeout = 30; \
                       SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Connects within [`CONNECT_TIMEOUT`].
pub(super) async fn connect(server: &Server) -> Result<MySqlConnection, Failure> {
    let mode = match server.tls {
        Tls::Disabled => MySqlSslMode::Disabled,
        Tls::Preferred => MySqlSslMode::Preferred,
        Tls::Required => MySqlSslMode::Required,
        Tls::VerifyCa => MySqlSslMode::VerifyCa,
        Tls::VerifyIdentity => MySqlSslMode::VerifyIdentity,
    };
    // The driver sets the time zone to UTC and the character set to utf8mb4 by itself.
    let mut options = MySqlConnectOptions::new().host(&server.host).port(server.port).database(&server.database);
    options = options.ssl_mode(mode).disable_statement_logging();
    if let Some(username) = &server.username {
        options = options.username(username);
    }
    if let Some(password) = &server.password {
        options = options.password(password.reveal());
    }
    let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, MySqlConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(at_login(sort_driver(&error), server)),
        Err(_) => return Err(Failure::Lost(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    };
    within(sqlx::raw_sql(SESSION).execute(&mut connection)).await?;
    Ok(connection)
}

/// Whatever the server refuses while we log in is about the log-in; says which server it was.
fn at_login(failure: Failure, server: &Server) -> Failure {
    let (message, hint) = match failure {
        Failure::Refused(Error::Data { message, hint }) | Failure::Fatal(Error::Connector { message, hint, .. }) => {
            (message, hint)
        }
        other => return other,
    };
    let message = format!("MySQL at {}:{} refused the connection: {message}", server.host, server.port);
    let hint = hint.unwrap_or_else(|| "check the options 'url', 'username' and 'password'".to_string());
    Failure::Fatal(Error::refused("jdbc", message, hint))
}

/// Sorts a server error by its number and its SQLSTATE.
pub(super) fn sort(number: u16, state: &str, message: &str) -> Failure {
    let text = format!("{message} (error {number})");
    let fatal = |hint: &str| Failure::Fatal(Error::refused("jdbc", text.clone(), hint));
    match number {
        // Deadlock, lock wait timeout, NOWAIT conflict; disk or table full, storage engine trouble, failed commit.
        1213 | 1205 | 3572 | 1020 | 1021 | 1030 | 1114 | 1180 | 1206 => Failure::Transient(text),
        // Too many connections, node not ready, shutdown, killed, interrupted, aborted, read-only after a failover, idle timeout.
        1040
        | 1047
        | 1053
        | 1077
        | 1079
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1290
        | 1317
        | 1792
        | 1836
        | 1927
        | 4031 => Failure::Lost(text),
        // Access denied: user, database, table, column.
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 1862 => {
            fatal("check the options 'username' and 'password', and the user's rights")
        }
        1049 => fatal("check the database name in the option 'url'"),
        // Table or column dropped or added while the job runs.
        1054 | 1136 | 1146 => fatal("the table has changed since the job started"),
        // A row: bad or missing value, failed constraint, no partition, too large, refused by a trigger.
        1118 | 1265 | 1364 | 1366 | 1411 | 1526 | 1644 | 3819 | 3988 | 4025 => Failure::Refused(Error::data(text)),
        // Data exceptions and violated constraints.
        _ if state.starts_with("22") || state.starts_with("23") => Failure::Refused(Error::data(text)),
        _ => fatal("the server's documentation explains the error number"),
    }
}

/// Half of what the server takes in one packet.
pub(super) async fn max_statement_bytes(connection: &mut MySqlConnection) -> Result<usize, Failure> {
    let query = sqlx::query_scalar::<_, i64>("SELECT CAST(@@max_allowed_packet AS SIGNED)");
    let packet = within(query.fetch_one(connection)).await?;
    Ok(usize::try_from(packet / 2).unwrap_or(512 * 1024))
}

/// Tables of the database.
pub(super) async fn tables(connection: &mut MySqlConnection, schema: Option<&str>) -> Result<Vec<String>, Failure> {
    let query = sqlx::query_scalar::<_, String>(
        "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(?, DATABASE())",
    );
    within(query.bind(schema).fetch_all(connection)).await
}

/// The table as the server's catalog describes it.
pub(super) async fn inspect(
    connection: &mut MySqlConnection,
    schema: Option<&str>,
    table: &str,
) -> Result<Option<TargetTable>, Failure> {
    let columns = sqlx::query(
        "SELECT CAST(COLUMN_NAME AS CHAR), LOWER(CAST(DATA_TYPE AS CHAR)), CAST(COLUMN_TYPE AS CHAR), \
         CAST(CHARACTER_MAXIMUM_LENGTH AS SIGNED), CAST(NUMERIC_SCALE AS SIGNED), CAST(DATETIME_PRECISION AS SIGNED), \
         CAST(COLLATION_NAME AS CHAR), CAST(IS_NULLABLE AS CHAR), COLUMN_DEFAULT IS NOT NULL, LOWER(CAST(EXTRA AS CHAR)) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
         ORDER BY ORDINAL_POSITION",
    );
    let rows = within(columns.bind(schema).bind(table).fetch_all(&mut *connection)).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let columns = rows.iter().map(column).collect::<Result<Vec<_>, _>>().map_err(|e| sort_driver(&e))?;
    let keys = sqlx::query(
        "SELECT CAST(INDEX_NAME AS CHAR), CAST(COLUMN_NAME AS CHAR), SUB_PART IS NULL FROM information_schema.STATISTICS \
         WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    );
    let rows = within(keys.bind(schema).bind(table).fetch_all(&mut *connection)).await?;
    let unique_keys = unique_keys(&rows).map_err(|e| sort_driver(&e))?;
    let engine = sqlx::query_scalar::<_, String>(
        "SELECT CAST(t.ENGINE AS CHAR) FROM information_schema.TABLES t JOIN information_schema.ENGINES e \
         ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = COALESCE(?, DATABASE()) AND t.TABLE_NAME = ? \
         AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'",
    );
    let engine_without_transactions = within(engine.bind(schema).bind(table).fetch_optional(connection)).await?;
    Ok(Some(TargetTable { columns, unique_keys, engine_without_transactions }))
}

fn column(row: &MySqlRow) -> Result<TargetColumn, sqlx::Error> {
    let data_type: String = row.try_get(1)?;
    let length = row.try_get::<Option<i64>, _>(3)?.and_then(|n| u64::try_from(n).ok());
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let (scale, digits) = (number(row.try_get(4)?), number(row.try_get(5)?));
    let extra: String = row.try_get(9)?;
    let generated = extra.contains("generated") && !extra.contains("default_generated");
    let made_by_server = generated || extra.contains("auto_increment");
    let (not_null, has_default) = (row.try_get::<String, _>(7)? == "NO", row.try_get::<i64, _>(8)? != 0);
    Ok(TargetColumn {
        name: row.try_get(0)?,
        declared: row.try_get::<String, _>(2)?.to_uppercase(),
        target: target_type(&data_type, length, scale, digits),
        collation: row.try_get::<Option<String>, _>(6)?.map(|name| collation(name, &data_type)),
        required: not_null && !has_default && !made_by_server,
        generated,
    })
}

fn target_type(data_type: &str, length: Option<u64>, scale: u32, digits: u32) -> TargetType {
    match data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" => TargetType::Integer,
        "bit" => TargetType::Bit,
        "float" => TargetType::Float,
        "double" | "real" => TargetType::Double,
        "decimal" | "numeric" => TargetType::Decimal { scale },
        "char" | "varchar" => TargetType::Text { max_chars: length, max_bytes: None },
        "tinytext" | "text" | "mediumtext" | "longtext" => TargetType::Text { max_chars: None, max_bytes: length },
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            TargetType::Bytes { max_bytes: length }
        }
        "date" => TargetType::Date,
        "time" => TargetType::Time { digits },
        "datetime" | "timestamp" => TargetType::DateTime { digits },
        _ => TargetType::Checked,
    }
}

/// Tells from a collation's name how it compares: `_ci` and `_ai` merge, all but `nopad` and MySQL's `_0900_` pad. A CHAR
/// column drops spaces at the end whatever its collation.
fn collation(name: String, data_type: &str) -> Collation {
    let exact = name == "binary" || name.ends_with("_bin") || (name.ends_with("_cs") && !name.contains("_ai"));
    let no_pad = name == "binary" || name.contains("nopad") || name.contains("_0900_");
    Collation { merges: !exact, pads: !no_pad || data_type == "char", name }
}

/// The columns of each unique index; an index over prefixes or expressions is none of ours.
fn unique_keys(rows: &[MySqlRow]) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let mut keys: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for row in rows {
        let (name, column): (Option<String>, bool) = (row.try_get(1)?, row.try_get::<i64, _>(2)? != 0);
        let key = keys.entry(row.try_get(0)?).or_insert_with(|| Some(Vec::new()));
        match name.filter(|_| column) {
            Some(name) => key.iter_mut().for_each(|k| k.push(name.clone())),
            None => *key = None,
        }
    }
    Ok(keys.into_values().flatten().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn collations_are_told_apart_by_name() {
        let of = |name: &str| collation(name.into(), "varchar");
        for merging in ["utf8mb4_general_ci", "utf8mb4_0900_ai_ci", "uca1400_ai_cs", "utf8mb4_unicode_nopad_ci"] {
            assert!(of(merging).merges, "{merging}");
        }
        for exact in ["utf8mb4_bin", "utf8mb4_0900_bin", "utf8mb4_0900_as_cs", "latin1_general_cs", "binary"] {
            assert!(!of(exact).merges, "{exact}");
        }
        assert!(of("utf8mb4_bin").pads);
        assert!(!of("utf8mb4_nopad_bin").pads && !of("utf8mb4_0900_bin").pads);
        assert!(collation("utf8mb4_0900_bin".into(), "char").pads);
    }

    #[test]
    fn errors_are_sorted() {
        assert!(matches!(sort(1213, "40001", "Deadlock found"), Failure::Transient(_)));
        assert!(matches!(sort(1053, "08S01", "Server shutdown in progress"), Failure::Lost(_)));
        assert!(matches!(sort(1290, "HY000", "--read-only"), Failure::Lost(_)));
        assert!(matches!(sort(1045, "28000", "Access denied"), Failure::Fatal(e) if !e.is_retriable()));
        for (number, state) in
            [(1264, "22003"), (1406, "22001"), (1048, "23000"), (1062, "23000"), (1366, "HY000"), (3988, "HY000")]
        {
            assert!(matches!(sort(number, state, "bad row"), Failure::Refused(_)), "{number}");
        }
        assert!(matches!(sort(1064, "42000", "syntax"), Failure::Fatal(_)), "not the fault of a row");
    }
}
