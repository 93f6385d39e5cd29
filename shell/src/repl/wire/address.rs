//! Where a server is, and how to get in.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::Encryption;
use crate::failure::Failure;

/// The port of `eddyline serve`.
const PORT: u16 = 5433;

/// The name of the database, as clients of PostgreSQL must name one.
const DATABASE: &str = "default_catalog";

/// A server, a user, perhaps a password; the latter is never shown.
#[derive(Clone)]
pub struct Address {
    config: Config,
    encryption: Encryption,
}

impl Address {
    /// Reads `HOST:PORT`, `HOST` or `postgresql://USER:PASSWORD@HOST:PORT/?sslrootcert=FILE`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (mut config, certificate) = match text.contains("://") {
            true => url(text)?,
            false => (host_and_port(text)?, None),
        };
        if config.get_user().is_none_or(str::is_empty) {
            let user = environment("PGUSER").or_else(|| environment("USER"));
            config.user(user.as_deref().unwrap_or("eddyline"));
        }
        if let (None, Some(password)) = (config.get_password(), environment("PGPASSWORD")) {
            config.password(password);
        }
        config.dbname(DATABASE).application_name("eddyline");
        let certificate = certificate.or_else(|| environment("PGSSLROOTCERT").map(PathBuf::from));
        let encryption = match certificate {
            Some(file) => Encryption::trusting(&file)?,
            None if config.get_ssl_mode() == SslMode::Require => {
                return Err(refuse(
                    text,
                    "sslmode=require needs a certificate to trust",
                    "add sslrootcert=FILE to the URL, or set PGSSLROOTCERT",
                ));
            }
            None => Encryption::none(),
        };
        config.ssl_mode(if encryption.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Address { config, encryption })
    }

    /// What to connect with.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// How connections are encrypted.
    pub fn encryption(&self) -> Encryption {
        self.encryption.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(PORT);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn host_and_port(text: &str) -> Result<Config, Failure> {
    let wrong = || refuse(text, "expected HOST:PORT", "for example 127.0.0.1:5433");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
    let mut config = Config::new();
    config.host(if host.is_empty() { "127.0.0.1" } else { host }).port(port);
    Ok(config)
}

/// A URL, and its `sslrootcert`, which the library does not know.
fn url(text: &str) -> Result<(Config, Option<PathBuf>), Failure> {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let place = with_port(place);
    let (own, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|part| !part.is_empty()).partition(|part| part.starts_with("sslrootcert="));
    let certificate = own.first().and_then(|part| part.split_once('=')).map(|(_, file)| PathBuf::from(file));
    // libpq's stricter modes ask for what we always do.
    let rest = rest
        .join("&")
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    let whole = if rest.is_empty() { place } else { format!("{place}?{rest}") };
    // The text of the error may hold the password.
    let config = whole
        .parse::<Config>()
        .map_err(|_| refuse("the URL", "it cannot be read", "postgresql://USER@HOST:PORT/?sslrootcert=FILE"))?;
    if config.get_hosts().is_empty() {
        return Err(refuse("the URL", "it names no host", "postgresql://USER@HOST:PORT"));
    }
    Ok((config, certificate))
}

/// The URL with our port when it names none: the library would take PostgreSQL's.
fn with_port(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[start..].find('/').map_or(url.len(), |slash| start + slash);
    let host = url[start..end].rsplit('@').next().unwrap_or_default();
    let named = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if named { url.to_string() } else { format!("{}:{PORT}{}", &url[..end], &url[end..]) }
}

fn refuse(text: &str, what: &str, hint: &str) -> Failure {
    Failure::Message(format!("ERROR: {text}: {what}\nHINT: {hint}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hosts_and_ports_are_read_in_every_form() {
        let shown = |text: &str| Address::parse(text).unwrap().to_string();
        assert_eq!(shown("localhost:6000"), "localhost:6000");
        assert_eq!(shown("localhost"), "localhost:5433");
        assert_eq!(shown("[::1]:6000"), "[::1]:6000");
        assert_eq!(shown("::1"), "[::1]:5433");
        assert_eq!(shown("postgresql://ada:secret@db.example:7000/x?connect_timeout=3"), "db.example:7000");
        assert_eq!(shown("postgres://db"), "db:5433");
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_its_password() {
        for wrong in
            ["localhost:port", "postgresql://ada:secret@h:x", "postgresql://ada:secret@h?sslmode=require", "http://x"]
        {
            let failure = Address::parse(wrong).err().unwrap();
            assert!(!failure.text().contains("secret@h:x"), "{}", failure.text());
        }
    }

    #[test]
    fn user_and_password_come_from_the_url() {
        let address = Address::parse("postgresql://ada:pw@h").unwrap();
        assert_eq!((address.config.get_user(), address.config.get_password()), (Some("ada"), Some(&b"pw"[..])));
    }
}
