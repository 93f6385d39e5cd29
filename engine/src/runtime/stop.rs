//! How a task ends before its time.

use crate::error::Error;

/// Why a task does not go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The attempt is being torn down, or a neighbour is gone: nothing to report.
    Canceled,
    /// Something went wrong here.
    Failed(Error),
}

/// Result of what a task does.
pub(super) type TaskResult<T = ()> = Result<T, Stopped>;

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Failed(error)
    }
}

impl From<datafusion_common::DataFusionError> for Stopped {
    fn from(error: datafusion_common::DataFusionError) -> Self {
        Stopped::Failed(error.into())
    }
}
