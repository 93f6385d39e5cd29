//! The engine's error type: what went wrong, in words for a person, with a hint where there is something to do.

use std::sync::Arc;

use thiserror::Error;

/// Result of every fallible engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong below SQL.
#[derive(Debug, Error)]
pub enum Error {
    /// A row that cannot be processed: division by zero, a malformed message, NULL in a NOT NULL column.
    #[error("{message}")]
    Data {
        /// What is wrong with the row, and where it came from.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// A table option that is unknown, missing or has a bad value.
    #[error("{message}")]
    Option {
        /// Which option, and what is wrong.
        message: String,
        /// The nearest known option or the accepted values.
        hint: Option<String>,
    },
    /// An external system refused or did not answer.
    #[error("{connector}: {message}")]
    Connector {
        /// Name of the connector, such as `kafka`.
        connector: &'static str,
        /// What the system said; never contains a secret.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
        /// True when the same call may succeed later, so that a restart of the job makes sense.
        retriable: bool,
    },
    /// A checkpoint could not be written, read or trusted.
    #[error("checkpoint: {message}")]
    Checkpoint {
        /// Which file or epoch, and what is wrong.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The file system refused.
    #[error("{context}: {source}")]
    Io {
        /// The path and what was being done to it.
        context: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A view or a table that cannot be read, now or any more.
    #[error("{message}")]
    Unavailable {
        /// Which one, and why.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// A row with a key that is there already.
    #[error("duplicate key value violates unique constraint of table '{table}'")]
    DuplicateKey {
        /// Which table.
        table: String,
        /// The columns of its key, separated by commas.
        columns: String,
        /// Their values in the row.
        values: String,
    },
    /// The user did not want to wait any longer.
    #[error("{message}")]
    Cancelled {
        /// For what.
        message: String,
    },
    /// An Arrow kernel refused.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// An expression or a DataFusion component refused.
    #[error("{}", expression_message(.0))]
    Expression(Arc<datafusion_common::DataFusionError>),
    /// A broken invariant or a feature that is not there.
    #[error("{0}")]
    Internal(String),
}

/// DataFusion wraps the message of a failed expression in several layers; users want the innermost one.
fn expression_message(error: &datafusion_common::DataFusionError) -> String {
    use datafusion_common::DataFusionError as E;
    match error.find_root() {
        E::Execution(message) | E::Plan(message) => message.clone(),
        E::ArrowError(inner, _) => inner.to_string(),
        other => other.to_string(),
    }
}

impl From<datafusion_common::DataFusionError> for Error {
    fn from(error: datafusion_common::DataFusionError) -> Self {
        Error::Expression(Arc::new(error))
    }
}

impl Error {
    /// A bad row.
    pub fn data(message: impl Into<String>) -> Self {
        Error::Data { message: message.into(), hint: None }
    }

    /// A bad option.
    pub fn option(message: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Error::Option { message: message.into(), hint: hint.into() }
    }

    /// A failure of the external system `connector` that a restart of the job may cure.
    pub fn connector(connector: &'static str, message: impl Into<String>) -> Self {
        Error::Connector { connector, message: message.into(), hint: None, retriable: true }
    }

    /// A refusal by the external system `connector` that no restart can cure: wrong password, missing table.
    pub fn refused(connector: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Connector { connector, message: message.into(), hint: Some(hint.into()), retriable: false }
    }

    /// A checkpoint problem.
    pub fn checkpoint(message: impl Into<String>) -> Self {
        Error::Checkpoint { message: message.into(), hint: None }
    }

    /// A file system error with the path in its text.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Error::Io { context: context.into(), source }
    }

    /// A view or a table that cannot be read.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::Unavailable { message: message.into(), hint: None }
    }

    /// A broken invariant.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::Internal(message.into())
    }

    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Data { hint, .. }
            | Error::Option { hint, .. }
            | Error::Connector { hint, .. }
            | Error::Unavailable { hint, .. }
            | Error::Checkpoint { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// Adds or replaces the hint, where the variant carries one.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Error::Data { hint, .. }
            | Error::Option { hint, .. }
            | Error::Connector { hint, .. }
            | Error::Unavailable { hint, .. }
            | Error::Checkpoint { hint, .. } => *hint = Some(text.into()),
            _ => {}
        }
        self
    }

    /// True when restarting the job from its last checkpoint may cure the error: the outside world failed, not the
    /// data or the program. (Bad data comes again after a restart.)
    pub fn is_retriable(&self) -> bool {
        matches!(self, Error::Connector { retriable: true, .. } | Error::Io { .. })
    }

    /// PostgreSQL's five-character error class.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Error::Data { .. } | Error::Expression(_) => "22000",
            Error::Option { .. } => "22023",
            Error::Unavailable { .. } => "55000",
            Error::Cancelled { .. } => "57014",
            Error::DuplicateKey { .. } => "23505",
            Error::Connector { .. } => "58000",
            Error::Checkpoint { .. } | Error::Io { .. } => "58030",
            Error::Arrow(_) | Error::Internal(_) => "XX000",
        }
    }
}
