//! The producing side of a link: sends rows to the subtasks that want them, and everything else to all of them.
//!
//! Channels are bounded; sending waits while one is full, which is backpressure. A consumer that is gone ends the
//! producer quietly, so that the failure of one task runs through the whole attempt.

use std::cell::Cell;

use crossbeam_channel::Sender;

use super::message::Message;
use super::stop::{Stopped, TaskResult};
use crate::changelog::ChangelogBatch;
use crate::dataflow::Exchange;
use crate::state::key_group;

/// Sends the output of one subtask over one link.
pub(super) struct Writer {
    exchange: Exchange,
    /// By consuming subtask; with a forward exchange only the one of the same number.
    channels: Vec<Sender<Message>>,
    /// Whose turn it is with a rebalancing exchange.
    turn: Cell<usize>,
}

impl Writer {
    /// A writer into `channels`, one per consuming subtask.
    pub(super) fn new(exchange: Exchange, channels: Vec<Sender<Message>>) -> Self {
        Writer { exchange, channels, turn: Cell::new(0) }
    }

    /// Sends rows to whom they belong.
    pub(super) fn rows(&self, batch: ChangelogBatch) -> TaskResult {
        match &self.exchange {
            Exchange::Hash(keys) if self.channels.len() > 1 => {
                if batch.len() == 1 {
                    return send(&self.channels[self.owner_of_only_row(&batch, keys)?], Message::Batch(batch));
                }
                for (channel, part) in self.channels.iter().zip(key_group::split(&batch, keys, self.channels.len())?) {
                    if !part.is_empty() {
                        send(channel, Message::Batch(part))?;
                    }
                }
                Ok(())
            }
            Exchange::Rebalance if self.channels.len() > 1 => {
                let turn = self.turn.get();
                self.turn.set((turn + 1) % self.channels.len());
                send(&self.channels[turn], Message::Batch(batch))
            }
            Exchange::Broadcast => self.control(&Message::Batch(batch)),
            Exchange::Forward | Exchange::Single | Exchange::Rebalance | Exchange::Hash(_) => {
                match self.channels.first() {
                    Some(channel) => send(channel, Message::Batch(batch)),
                    None => Ok(()),
                }
            }
        }
    }

    /// Sends a message that concerns every consumer.
    pub(super) fn control(&self, message: &Message) -> TaskResult {
        self.channels.iter().try_for_each(|channel| send(channel, message.clone()))
    }

    fn owner_of_only_row(&self, batch: &ChangelogBatch, keys: &[usize]) -> TaskResult<usize> {
        let columns: Vec<_> = keys.iter().map(|k| batch.column(*k).clone()).collect();
        let group = key_group::of_rows(&columns, 1)?.value(0);
        Ok(key_group::owner(group, self.channels.len()))
    }
}

fn send(channel: &Sender<Message>, message: Message) -> TaskResult {
    channel.send(message).map_err(|_| Stopped::Canceled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::time::Watermark;

    fn numbers(values: impl IntoIterator<Item = i64>) -> ChangelogBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let column = Arc::new(values.into_iter().collect::<Int64Array>());
        ChangelogBatch::inserts(RecordBatch::try_new(schema, vec![column]).unwrap())
    }

    fn received(channel: &Receiver<Message>) -> Vec<i64> {
        let batches = channel.try_iter().filter_map(|m| if let Message::Batch(b) = m { Some(b) } else { None });
        batches.flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn link(exchange: Exchange, consumers: usize) -> (Writer, Vec<Receiver<Message>>) {
        let (senders, receivers) = (0..consumers).map(|_| bounded(100)).unzip();
        (Writer::new(exchange, senders), receivers)
    }

    #[test]
    fn hash_sends_equal_keys_to_one_consumer_whatever_the_batch() {
        let (whole, whole_received) = link(Exchange::Hash(vec![0]), 3);
        whole.rows(numbers(0..100)).unwrap();
        let (single, single_received) = link(Exchange::Hash(vec![0]), 3);
        (0..100).for_each(|n| single.rows(numbers([n])).unwrap());
        let expected: Vec<Vec<i64>> = whole_received.iter().map(received).collect();
        let actual: Vec<Vec<i64>> = single_received.iter().map(received).collect();
        assert_eq!(actual, expected);
        assert!(expected.iter().all(|part| !part.is_empty()));
        assert_eq!(expected.iter().map(Vec::len).sum::<usize>(), 100);
    }

    #[test]
    fn broadcast_sends_all_rows_to_all_and_single_to_the_first() {
        let (writer, channels) = link(Exchange::Broadcast, 2);
        writer.rows(numbers([1, 2])).unwrap();
        assert_eq!(channels.iter().map(received).collect::<Vec<_>>(), [[1, 2], [1, 2]]);
        let (writer, channels) = link(Exchange::Single, 2);
        writer.rows(numbers([1, 2])).unwrap();
        assert_eq!(channels.iter().map(received).collect::<Vec<_>>(), [vec![1, 2], vec![]]);
    }

    #[test]
    fn rebalance_gives_every_consumer_its_turn() {
        let (writer, channels) = link(Exchange::Rebalance, 2);
        (0..4).for_each(|n| writer.rows(numbers([n])).unwrap());
        assert_eq!(channels.iter().map(received).collect::<Vec<_>>(), [[0, 2], [1, 3]]);
    }

    #[test]
    fn watermarks_go_to_every_consumer() {
        let (writer, channels) = link(Exchange::Single, 2);
        writer.control(&Message::Watermark(Watermark::MAX)).unwrap();
        assert!(channels.iter().all(|c| matches!(c.try_recv(), Ok(Message::Watermark(Watermark::MAX)))));
    }

    #[test]
    fn a_consumer_that_is_gone_cancels_the_producer() {
        let (writer, channels) = link(Exchange::Broadcast, 2);
        drop(channels);
        assert!(matches!(writer.rows(numbers([1])), Err(Stopped::Canceled)));
    }
}
