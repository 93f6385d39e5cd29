//! What an error within a transaction means for what comes next.

use eddyline_engine::error::Error;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::KAFKA;
use crate::kafka::client::text;

/// Why a transaction, or the initialisation of a handle, did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The same call may succeed.
    Again(String),
    /// The handle is of no use any longer, and nobody knows what has become of its transaction.
    Unsure(String),
    /// No repetition cures it.
    Stop(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Stop(error)
    }
}

impl Fault {
    /// The meaning of what a transactional call of librdkafka returned. Takes the error over.
    ///
    /// # Safety
    /// `error` is null or an error that nobody else frees.
    pub(super) unsafe fn check(what: &str, error: *mut sys::rd_kafka_error_t) -> Result<(), Fault> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is valid until it is destroyed, which is the last thing that happens to it.
        let (code, words, retriable) = unsafe {
            let code = RDKafkaErrorCode::from(sys::rd_kafka_error_code(error));
            let words = text(sys::rd_kafka_error_string(error));
            let retriable = sys::rd_kafka_error_is_retriable(error) != 0;
            sys::rd_kafka_error_destroy(error);
            (code, words, retriable)
        };
        Err(Fault::of(what, code, &words, retriable))
    }

    /// The meaning of an error code, met in `what`.
    pub(super) fn of(what: &str, code: RDKafkaErrorCode, words: &str, retriable: bool) -> Fault {
        use RDKafkaErrorCode as C;
        let words = format!("cannot {what}: {words}");
        let stop = |hint: &str| Fault::Stop(Error::refused(KAFKA, words.clone(), hint));
        match code {
            C::TransactionalIdAuthorizationFailed => stop(
                "grant WRITE and DESCRIBE on transactional ids that begin with 'sink.transactional-id-prefix', or set \
                 that option to a prefix that is granted",
            ),
            C::GroupAuthorizationFailed => {
                stop("grant READ on consumer groups that begin with 'sink.transactional-id-prefix'")
            }
            C::TopicAuthorizationFailed => stop("grant WRITE, READ and DESCRIBE on the topic"),
            C::ClusterAuthorizationFailed => stop("grant IDEMPOTENT_WRITE on the cluster"),
            C::InvalidTransactionTimeout => {
                stop("lower 'properties.transaction.timeout.ms' to the broker's 'transaction.max.timeout.ms'")
            }
            C::UnsupportedFeature | C::UnsupportedVersion => {
                stop("exactly-once needs brokers of version 0.11 or later")
            }
            C::MessageSizeTooLarge => stop("raise 'max.message.bytes' of the topic"),
            C::InvalidRecord | C::PolicyViolation => stop("the topic's settings do not allow this message"),
            _ if retriable => Fault::Again(words),
            _ => Fault::Unsure(words),
        }
    }
}
