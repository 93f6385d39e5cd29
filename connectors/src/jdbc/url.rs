//! Where the database is: JDBC and plain URLs, taken apart.
//!
//! Accepted: `jdbc:mysql://host:port/db?…`, `jdbc:mariadb://…`, both without `jdbc:`, and `sqlite:file`,
//! `jdbc:sqlite:file`. Of Connector/J's many parameters those about TLS and credentials are understood; the others tune a
//! Java driver and are ignored, so that a URL that works with Flink works here.
//!
//! Invariant: nothing in this module prints a URL, because it may hold a password.

use std::fmt;
use std::path::PathBuf;

use eddyline_engine::connector::nearest;
use eddyline_engine::{Error, Result};

/// Text that no output shows.
#[derive(Clone, PartialEq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the driver only.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// When to encrypt the connection; Connector/J's `sslMode`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tls {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// A MySQL or MariaDB server and a database on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) tls: Tls,
}

/// What a URL points to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Location {
    MySql(Server),
    Sqlite(PathBuf),
}

const EXAMPLES: &str = "use 'jdbc:mysql://host:3306/database' or 'sqlite:file.db'";

/// Takes `url` apart.
pub(super) fn parse(url: &str) -> Result<Location> {
    let plain = url.strip_prefix("jdbc:").unwrap_or(url);
    let Some((scheme, rest)) = plain.split_once(':') else {
        return Err(bad("the option 'url' names no kind of database"));
    };
    match scheme {
        "mysql" | "mariadb" => parse_server(rest),
        "sqlite" => parse_file(rest),
        "postgresql" | "postgres" => Err(bad("PostgreSQL is not supported yet by the 'jdbc' connector")),
        other => {
            let near = nearest(other, ["mysql", "mariadb", "sqlite"]).map(|n| format!("did you mean '{n}'? "));
            let hint = format!("{}{EXAMPLES}", near.unwrap_or_default());
            Err(Error::option(format!("Could not find any jdbc dialect that can handle urls of '{other}'"), hint))
        }
    }
}

fn bad(message: &str) -> Error {
    Error::option(message, EXAMPLES.to_string())
}

fn parse_file(rest: &str) -> Result<Location> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let path = rest.split('?').next().unwrap_or_default();
    if path.is_empty() || path == ":memory:" {
        return Err(bad("the option 'url' names no SQLite file; a database in memory would be gone with the job"));
    }
    Ok(Location::Sqlite(PathBuf::from(path)))
}

fn parse_server(rest: &str) -> Result<Location> {
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("the option 'url' lacks '//' before the host"))?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    if database.is_empty() {
        return Err(bad("the option 'url' names no database after the host"));
    }
    let (user_info, host_port) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    let (host, port) = parse_host(host_port)?;
    let mut server =
        Server { host, port, database: decode(database), username: None, password: None, tls: Tls::Preferred };
    if let Some(info) = user_info {
        let (user, password) = info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)));
        server.username = Some(decode(user));
        server.password = password.map(|p| Secret(decode(p)));
    }
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        set_parameter(&mut server, key, &decode(value))?;
    }
    Ok(Location::MySql(server))
}

fn parse_host(text: &str) -> Result<(String, u16)> {
    if text.contains(',') {
        return Err(bad("the option 'url' lists several hosts; name one"));
    }
    let after_bracket = text.rfind(']').map_or(0, |i| i + 1);
    let (host, port) = match text[after_bracket..].rfind(':') {
        Some(colon) => (&text[..after_bracket + colon], Some(&text[after_bracket + colon + 1..])),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match port {
        None => 3306,
        Some(digits) => digits.parse().map_err(|_| bad(&format!("'{digits}' in the option 'url' is not a port")))?,
    };
    Ok((if host.is_empty() { "localhost".into() } else { host.into() }, port))
}

fn set_parameter(server: &mut Server, key: &str, value: &str) -> Result<()> {
    let on = value.eq_ignore_ascii_case("true");
    match key.to_ascii_lowercase().as_str() {
        "user" => server.username = Some(value.into()),
        "password" => server.password = Some(Secret(value.into())),
        "usessl" => server.tls = if on { Tls::Preferred } else { Tls::Disabled },
        "requiressl" if on => server.tls = Tls::Required,
        "verifyservercertificate" if on => server.tls = Tls::VerifyCa,
        "sslmode" | "ssl-mode" => {
            server.tls = match value.to_ascii_lowercase().replace('-', "_").as_str() {
                "disabled" | "disable" => Tls::Disabled,
                "preferred" => Tls::Preferred,
                "required" | "trust" => Tls::Required,
                "verify_ca" => Tls::VerifyCa,
                "verify_identity" | "verify_full" => Tls::VerifyIdentity,
                _ => {
                    let modes = "one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY".to_string();
                    return Err(Error::option(format!("'{value}' is not an sslMode in the option 'url'"), modes));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Undoes percent encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn server(url: &str) -> Server {
        match parse(url).unwrap() {
            Location::MySql(server) => server,
            other => panic!("not a server: {other:?}"),
        }
    }

    #[test]
    fn jdbc_url_of_connector_j_is_understood() {
        let s = server("jdbc:mysql://db.example:3307/shop?useSSL=false&rewriteBatchedStatements=true");
        assert_eq!((s.host.as_str(), s.port, s.database.as_str(), s.tls), ("db.example", 3307, "shop", Tls::Disabled));
        assert_eq!(server("mariadb://[::1]/x").host, "::1");
        assert_eq!(server("jdbc:mysql:///x").port, 3306);
    }

    #[test]
    fn credentials_in_the_url_are_taken_and_never_printed() {
        let s = server("mysql://al%40ice:p%2Fw:d@h/x?sslMode=REQUIRED");
        assert_eq!(s.username.as_deref(), Some("al@ice"));
        assert_eq!(s.password.as_ref().unwrap().reveal(), "p/w:d");
        assert!(!format!("{s:?}").contains("p/w"));
        assert_eq!(server("mysql://h/x?user=u&password=pw").password, Some(Secret::new("pw")));
    }

    #[test]
    fn sqlite_urls_name_files() {
        for url in ["sqlite:wc.db", "jdbc:sqlite:wc.db", "sqlite://wc.db", "sqlite:wc.db?mode=rwc"] {
            assert_eq!(parse(url).unwrap(), Location::Sqlite("wc.db".into()));
        }
        assert_eq!(parse("sqlite:///tmp/x.db").unwrap(), Location::Sqlite("/tmp/x.db".into()));
        assert!(parse("sqlite::memory:").is_err());
    }

    #[test]
    fn bad_urls_are_refused_without_showing_them() {
        for url in ["mysql://u:secret@h", "mysql://u:secret@h:port/x", "oracle:secret", "secret", "mysql:secret"] {
            let error = parse(url).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(parse("mysq://h/x").unwrap_err().hint().unwrap().contains("did you mean 'mysql'"));
    }
}
