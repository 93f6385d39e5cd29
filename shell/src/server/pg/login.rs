//! From a socket to a connection that has logged in: TLS, the startup message, SCRAM-SHA-256, the first parameters.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::error::PgWireError;
use pgwire::messages::response::{ErrorResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, PasswordMessageFamily, SecretKey,
    Startup,
};
use pgwire::messages::{PgWireBackendMessage as Back, PgWireFrontendMessage as Front, ProtocolVersion};
use pgwire::tokio::server::{MaybeTls, negotiate_tls};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::codec::{Framed, FramedParts};

use super::cancel::Cancellable;
use super::codec::Codec;
use super::{Door, SERVER_VERSION};

const SCRAM: &str = "SCRAM-SHA-256";

/// A socket with messages on it.
pub type Stream = Framed<MaybeTls, Codec>;

/// A client that has logged in.
pub struct Client {
    /// Where it talks.
    pub stream: Stream,
    /// Its user, application_name and other parameters of the startup message.
    pub parameters: BTreeMap<String, String>,
    /// Through which its statements are cancelled.
    pub cancellable: Cancellable,
    /// Its share of the limit of connections.
    _place: OwnedSemaphorePermit,
}

/// What became of a socket.
pub enum Entry {
    /// A client has come in.
    Client(Box<Client>),
    /// It only wanted to cancel something.
    Served,
    /// It was sent away.
    Refused,
}

/// Lets a client in, or sends it away and says why.
pub async fn login(door: &Door, socket: TcpStream, from: IpAddr) -> Result<Entry, PgWireError> {
    let Some(negotiated) = negotiate_tls::<()>(socket, door.tls.clone()).await? else { return Ok(Entry::Refused) };
    let parts = negotiated.into_parts();
    let secure = matches!(parts.io, MaybeTls::Tls(_));
    if secure && !parts.read_buf.is_empty() {
        // Somebody in the middle has put words into the client's mouth before encryption began.
        return Ok(Entry::Refused);
    }
    let mut framed = FramedParts::new::<Back>(parts.io, Codec::new());
    framed.read_buf = parts.read_buf;
    let mut stream = Framed::from_parts(framed);
    let startup = match stream.next().await {
        Some(Ok(Front::Startup(startup))) => startup,
        Some(Ok(Front::CancelRequest(request))) => {
            door.figures.cancel_requested();
            door.cancels.cancel(request.pid, request.secret_key.as_i32().unwrap_or_default());
            return Ok(Entry::Served);
        }
        Some(Err(error)) => return refuse(stream, "08P01", &error.to_string()).await,
        _ => return Ok(Entry::Refused),
    };
    stream.codec_mut().started();
    if door.tls_required && !secure {
        return refuse(stream, "28000", "this server takes encrypted connections only; use sslmode=require").await;
    }
    if !agree_on_version(&mut stream, &startup).await? {
        return refuse(stream, "08P01", "only version 3 of the protocol is supported").await;
    }
    let Some(user) = startup.parameters.get("user").cloned() else {
        return refuse(stream, "28000", "the startup message names no user").await;
    };
    if let Some(users) = &door.users {
        let allowed = door.attempts.allows(from, &user, Instant::now());
        let secret = if allowed { users.secret(&user) } else { users.no_secret(&user) };
        match scram(&mut stream, secret).await {
            Ok(()) => {}
            Err(PgWireError::IoError(error)) => return Err(error.into()),
            // Whatever went wrong, nobody learns whether there is such a user.
            Err(_) => {
                door.figures.login_failed();
                door.attempts.failed(from, &user, Instant::now());
                tracing::warn!(user, %from, too_many = !allowed, "a login failed");
                return refuse(stream, "28P01", &format!("password authentication failed for user \"{user}\"")).await;
            }
        }
    }
    let Ok(place) = door.figures.places().try_acquire_owned() else {
        return refuse(stream, "53300", "sorry, too many clients already").await;
    };
    let cancellable = door.cancels.register();
    welcome(&mut stream, &startup.parameters, &cancellable).await?;
    stream.codec_mut().logged_in(door.limits.message_bytes);
    Ok(Entry::Client(Box::new(Client { stream, parameters: startup.parameters, cancellable, _place: place })))
}

/// Tells a client that it cannot come in, and why.
async fn refuse(mut stream: Stream, code: &str, message: &str) -> Result<Entry, PgWireError> {
    let fields = [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)];
    let fields = fields.into_iter().map(|(key, value)| (key, value.to_string())).collect();
    stream.send(Back::ErrorResponse(ErrorResponse::new(fields))).await?;
    stream.close().await?;
    Ok(Entry::Refused)
}

async fn agree_on_version(stream: &mut Stream, startup: &Startup) -> Result<bool, PgWireError> {
    let (major, minor) = (startup.protocol_number_major, startup.protocol_number_minor);
    let newest = ProtocolVersion::PROTOCOL3_0;
    if major != newest.version_number().0 {
        return Ok(false);
    }
    let options: Vec<String> = startup.parameters.keys().filter(|key| key.starts_with("_pq_.")).cloned().collect();
    if minor > newest.version_number().1 || !options.is_empty() {
        let message = NegotiateProtocolVersion::new(newest.into(), options);
        stream.send(Back::NegotiateProtocolVersion(message)).await?;
    }
    Ok(true)
}

async fn scram(stream: &mut Stream, secret: pgwire::api::auth::sasl::scram::ScramSecret) -> Result<(), PgWireError> {
    stream.send(Back::Authentication(Authentication::SASL(vec![SCRAM.to_string()]))).await?;
    let first = password_message(stream).await?.into_sasl_initial_response()?;
    if first.auth_method != SCRAM {
        return Err(PgWireError::UnsupportedSASLAuthMethod(first.auth_method));
    }
    let (answer, waiting) =
        ScramServerAuth::new().on_client_first_message_with_secret(&first.data.unwrap_or_default(), secret)?;
    stream.send(Back::Authentication(Authentication::SASLContinue(Bytes::from(answer)))).await?;
    let last = password_message(stream).await?.into_sasl_response()?;
    let answer = waiting.on_client_final_message(&last.data)?;
    stream.send(Back::Authentication(Authentication::SASLFinal(Bytes::from(answer)))).await
}

async fn password_message(stream: &mut Stream) -> Result<PasswordMessageFamily, PgWireError> {
    match stream.next().await {
        Some(Ok(Front::PasswordMessageFamily(message))) => Ok(message),
        Some(Err(error)) => Err(error),
        _ => Err(PgWireError::InvalidSASLState),
    }
}

async fn welcome(
    stream: &mut Stream,
    parameters: &BTreeMap<String, String>,
    cancellable: &Cancellable,
) -> Result<(), PgWireError> {
    stream.feed(Back::Authentication(Authentication::Ok)).await?;
    let given = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let statuses = [
        ("server_version", SERVER_VERSION.to_string()),
        ("server_encoding", "UTF8".to_string()),
        ("client_encoding", "UTF8".to_string()),
        ("application_name", given("application_name")),
        ("session_authorization", given("user")),
        ("is_superuser", "off".to_string()),
        ("in_hot_standby", "off".to_string()),
        ("default_transaction_read_only", "off".to_string()),
        ("integer_datetimes", "on".to_string()),
        ("standard_conforming_strings", "on".to_string()),
        ("DateStyle", "ISO, MDY".to_string()),
        ("IntervalStyle", "postgres".to_string()),
        ("TimeZone", "UTC".to_string()),
    ];
    for (name, value) in statuses {
        stream.feed(Back::ParameterStatus(ParameterStatus::new(name.to_string(), value))).await?;
    }
    let (number, secret) = cancellable.key();
    stream.feed(Back::BackendKeyData(BackendKeyData::new(number, SecretKey::I32(secret)))).await?;
    stream.send(Back::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle))).await
}

/// The TLS side of a server with this certificate and key, both PEM files.
pub fn acceptor(
    certificate: &std::path::Path,
    key: &std::path::Path,
) -> Result<pgwire::tokio::TlsAcceptor, crate::failure::Failure> {
    use pgwire::tokio::tokio_rustls::rustls;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let refuse = |path: &std::path::Path, what: String| {
        crate::failure::Failure::Message(format!("ERROR: {}: {what}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| refuse(certificate, e.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| refuse(key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| refuse(certificate, e.to_string()))?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config).into())
}
