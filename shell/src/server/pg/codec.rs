//! Messages on the wire, by `pgwire`, with a limit on their size that is small before login.

use bytes::{Buf, BytesMut};
use pgwire::error::PgWireError;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage};
use tokio_util::codec::{Decoder, Encoder};

/// Most bytes of a message before login; a password message of SCRAM has a few hundred.
pub const LOGIN_MESSAGE_BYTES: usize = 10_000;

/// Reads what clients send and writes what servers send.
pub struct Codec {
    context: DecodeContext,
    largest: usize,
}

impl Codec {
    /// A codec that waits for a startup message.
    pub fn new() -> Self {
        let mut context = DecodeContext::default();
        context.awaiting_frontend_ssl = false;
        Codec { context, largest: LOGIN_MESSAGE_BYTES }
    }

    /// The startup message has come; other messages follow.
    pub fn started(&mut self) {
        self.context.awaiting_frontend_startup = false;
    }

    /// The client has logged in and may send messages of up to `largest` bytes.
    pub fn logged_in(&mut self, largest: usize) {
        self.largest = largest;
    }
}

impl Decoder for Codec {
    type Item = PgWireFrontendMessage;
    type Error = PgWireError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, PgWireError> {
        // The length stands behind the type, which the first message lacks; it counts itself.
        let skip = usize::from(!self.context.awaiting_frontend_startup);
        let Some(mut length) = buffer.get(skip..skip + 4) else { return Ok(None) };
        let length = length.get_i32();
        let bytes =
            usize::try_from(length).ok().filter(|bytes| *bytes >= 4).ok_or(PgWireError::InvalidStartupMessage)?;
        if bytes > self.largest {
            return Err(PgWireError::MessageTooLarge(self.largest, bytes));
        }
        if buffer.len() < skip + bytes {
            return Ok(None);
        }
        // pgwire takes what a message needs off the buffer without looking at where the message ends.
        let mut message = buffer.split_to(skip + bytes);
        PgWireFrontendMessage::decode(&mut message, &self.context)
    }
}

impl Encoder<PgWireBackendMessage> for Codec {
    type Error = PgWireError;

    fn encode(&mut self, message: PgWireBackendMessage, buffer: &mut BytesMut) -> Result<(), PgWireError> {
        message.encode(buffer)
    }
}
