//! From a place in words (`earliest-offset`, a timestamp) to concrete offsets of partitions.

use std::collections::BTreeMap;

use eddyline_engine::connector::SplitPosition;
use eddyline_engine::error::{Error, Result};
use serde_json::json;

use super::KAFKA;
use super::client::Client;
use super::options::{Place, Reset, SourceOptions};

/// Where one partition is read: from `next`, up to before `stop`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) next: i64,
    /// None for ever.
    pub(super) stop: Option<i64>,
    /// The end of the partition when it was asked for.
    pub(super) end: i64,
}

/// The ranges of partitions that are read for the first time.
pub(super) fn fresh(client: &Client, splits: Vec<(String, i32)>, options: &SourceOptions) -> Result<Vec<Range>> {
    ranges(client, splits, &options.startup, options)
}

/// The ranges of partitions that appeared after the job had started: they are read from their beginning.
pub(super) fn discovered(client: &Client, splits: Vec<(String, i32)>, options: &SourceOptions) -> Result<Vec<Range>> {
    ranges(client, splits, &Place::Earliest, options)
}

fn ranges(client: &Client, splits: Vec<(String, i32)>, startup: &Place, options: &SourceOptions) -> Result<Vec<Range>> {
    let bounds = splits.iter().map(|(t, p)| client.watermarks(t, *p)).collect::<Result<Vec<_>>>()?;
    let next = offsets(client, &splits, &bounds, startup, options, "starts")?;
    let stop = match &options.bounded {
        Some(place) => offsets(client, &splits, &bounds, place, options, "ends")?.into_iter().map(Some).collect(),
        None => vec![None; splits.len()],
    };
    let all = splits.into_iter().zip(bounds).zip(next.into_iter().zip(stop));
    Ok(all.map(|(((topic, partition), (_, end)), (next, stop))| Range { topic, partition, next, stop, end }).collect())
}

/// The offset of `place` in each partition.
fn offsets(
    client: &Client,
    splits: &[(String, i32)],
    bounds: &[(i64, i64)],
    place: &Place,
    options: &SourceOptions,
    what: &str,
) -> Result<Vec<i64>> {
    if splits.is_empty() {
        return Ok(Vec::new());
    }
    match place {
        Place::Earliest => Ok(bounds.iter().map(|(low, _)| *low).collect()),
        Place::Latest => Ok(bounds.iter().map(|(_, high)| *high).collect()),
        Place::Timestamp(millis) => {
            let found = client.offsets_at(splits, *millis)?;
            Ok(found.into_iter().zip(bounds).map(|(offset, (_, high))| offset.unwrap_or(*high)).collect())
        }
        Place::Offsets(given) => {
            let beginning = |(split, (low, _)): (&(String, i32), &(i64, i64))| *given.get(&split.1).unwrap_or(low);
            Ok(splits.iter().zip(bounds).map(beginning).collect())
        }
        Place::Group => {
            let committed = client.committed(splits)?;
            let each = committed.into_iter().zip(splits).zip(bounds);
            each.map(|((offset, split), (low, high))| match (offset, options.reset) {
                (Some(offset), _) => Ok(offset),
                (None, Reset::Earliest) => Ok(*low),
                (None, Reset::Latest) => Ok(*high),
                (None, Reset::Fail) => Err(no_committed_offset(split, &options.group, what)),
            })
            .collect()
        }
    }
}

fn no_committed_offset((topic, partition): &(String, i32), group: &str, what: &str) -> Error {
    Error::refused(
        KAFKA,
        format!(
            "Undefined offset with no reset policy for partitions: [{topic}-{partition}]: reading {what} at the offsets \
             of group '{group}', which has committed none"
        ),
        "set 'scan.startup.mode' to 'earliest-offset' or 'latest-offset', or 'properties.auto.offset.reset' to \
         'earliest' or 'latest' for partitions without committed offset",
    )
}

/// The position of a range for the checkpoint.
pub(super) fn to_position(split: &str, next: i64, stop: Option<i64>) -> SplitPosition {
    let position = match stop {
        Some(stop) => json!({ "offset": next, "stop": stop }),
        None => json!({ "offset": next }),
    };
    SplitPosition { split: split.to_string(), position }
}

/// The ranges of a checkpoint, by topic and partition.
pub(super) fn from_positions(positions: &[SplitPosition]) -> Result<BTreeMap<(String, i32), (i64, Option<i64>)>> {
    let bad = |p: &SplitPosition| {
        Error::checkpoint(format!("the position of split '{}' is not one of Kafka: {}", p.split, p.position))
    };
    let mut ranges = BTreeMap::new();
    for position in positions {
        let (topic, partition) = position.split.rsplit_once('-').ok_or_else(|| bad(position))?;
        let partition: i32 = partition.parse().map_err(|_| bad(position))?;
        let offset = position.position.get("offset").and_then(|o| o.as_i64()).ok_or_else(|| bad(position))?;
        let stop = position.position.get("stop").and_then(|s| s.as_i64());
        ranges.insert((topic.to_string(), partition), (offset, stop));
    }
    Ok(ranges)
}

/// The range of a partition that goes on where a checkpoint left off, if its messages are still there. Its end is the
/// one that was fixed when the job began.
pub(super) fn resume(
    client: &Client,
    split: (String, i32),
    (next, stop): (i64, Option<i64>),
    options: &SourceOptions,
) -> Result<Range> {
    let (low, end) = client.watermarks(&split.0, split.1)?;
    let stop = match &options.bounded {
        None => None,
        Some(_) if stop.is_some() => stop,
        Some(place) => {
            offsets(client, std::slice::from_ref(&split), &[(low, end)], place, options, "ends")?.first().copied()
        }
    };
    let (topic, partition) = split;
    if next < low && stop.is_none_or(|stop| next < stop) {
        return Err(Error::refused(
            KAFKA,
            format!(
                "cannot go on at offset {next} of {topic}-{partition}: its oldest message is at offset {low}; \
                 the ones between were deleted"
            ),
            "the topic's retention is too short for the time the job was down; start without the checkpoint (--fresh)",
        ));
    }
    Ok(Range { topic, partition, next, stop, end })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn positions_survive_the_round_trip() {
        let positions = [to_position("a-b-0", 42, None), to_position("a-b-11", 7, Some(9))];
        let ranges = from_positions(&positions).unwrap();
        assert_eq!(ranges[&("a-b".to_string(), 0)], (42, None));
        assert_eq!(ranges[&("a-b".to_string(), 11)], (7, Some(9)));
    }

    #[test]
    fn a_foreign_position_is_refused() {
        let foreign = SplitPosition { split: "/tmp/file.csv".to_string(), position: json!({ "line": 3 }) };
        let error = from_positions(&[foreign]).unwrap_err().to_string();
        assert!(error.contains("/tmp/file.csv"), "{error}");
    }
}
