//! The choice of a partition, as Kafka's Java client makes it, so that all writers of a topic agree on where a key lives.

/// Bytes of messages without key that go to one partition before the next one has its turn; Java's `batch.size`.
const STICK_BYTES: usize = 16 << 10;

/// The partition of the next message.
#[derive(Debug, Clone)]
pub(in crate::kafka) enum Choice {
    /// librdkafka's partitioner decides when the message is sent.
    Client,
    /// By key; messages without key go to `current` until `written` bytes are enough.
    Keyed { current: i32, written: usize, partitions: i32 },
    /// Always this one.
    Fixed(i32),
    /// One after the other.
    Next { next: i32, partitions: i32 },
}

impl Choice {
    /// Chooses for a message of `bytes` bytes; None leaves it to the client.
    pub(in crate::kafka) fn next(&mut self, key: Option<&[u8]>, bytes: usize) -> Option<i32> {
        match (self, key) {
            (Choice::Client, _) => None,
            (Choice::Fixed(partition), _) => Some(*partition),
            (Choice::Next { next, partitions }, _) => {
                let chosen = *next;
                *next = (chosen + 1) % *partitions;
                Some(chosen)
            }
            (Choice::Keyed { partitions, .. }, Some(key)) => Some((murmur2(key) & 0x7fff_ffff) as i32 % *partitions),
            (Choice::Keyed { current, written, partitions }, None) => {
                if *written >= STICK_BYTES {
                    (*current, *written) = ((*current + 1) % *partitions, 0);
                }
                *written += bytes;
                Some(*current)
            }
        }
    }
}

/// The hash of Kafka's `DefaultPartitioner` (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k = (k ^ (k >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ k;
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_java_does() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn messages_without_key_stay_together_and_use_all_partitions() {
        let mut choice = Choice::Keyed { current: 1, written: 0, partitions: 3 };
        let chosen: Vec<i32> = (0..6).filter_map(|_| choice.next(None, STICK_BYTES / 2)).collect();
        assert_eq!(chosen, [1, 1, 2, 2, 0, 0]);
        let keyed: Vec<Option<i32>> = (0..3).map(|_| choice.next(Some(b"abc"), 10)).collect();
        assert_eq!(keyed, [Some(479_470_107 % 3); 3]);
    }
}
