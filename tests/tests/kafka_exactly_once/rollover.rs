//! Producer epochs have 15 bits and every transaction takes one: when they run out, the broker gives a new producer id.
//!
//! An epoch is a matter of milliseconds for our committer, so most of them are used up with bare requests of the Kafka
//! protocol, many at a time.

use std::io::{Read, Write};
use std::net::TcpStream;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::*;

/// The broker gives another producer id instead of the epoch after this one.
const LAST: i16 = i16::MAX - 1;
const LIMIT: Duration = Duration::from_secs(30);

/// What a transactional id stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Producer {
    id: i64,
    epoch: i16,
}

/// `InitProducerId` (version 1) for a transactional id: `times` requests at once, then their answers.
fn initialise(broker: &mut TcpStream, transactional_id: &str, times: usize) -> Producer {
    let mut body = [22_i16.to_be_bytes(), 1_i16.to_be_bytes()].concat();
    body.extend(0_i32.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((transactional_id.len() as i16).to_be_bytes());
    body.extend(transactional_id.as_bytes());
    body.extend(60_000_i32.to_be_bytes());
    let request = [&(body.len() as i32).to_be_bytes()[..], &body].concat();
    broker.write_all(&request.repeat(times)).expect("the broker reads");
    let mut last = Producer { id: -1, epoch: -1 };
    for _ in 0..times {
        // Length, correlation id, throttling, error, producer id, epoch.
        let mut answer = [0_u8; 4 + 4 + 4 + 2 + 8 + 2];
        broker.read_exact(&mut answer).expect("the broker answers");
        let (rest, epoch) = answer.split_last_chunk::<2>().expect("an epoch");
        let (rest, id) = rest.split_last_chunk::<8>().expect("a producer id");
        assert!(rest.ends_with(&[0, 0]), "the broker refuses with error {:?}", &rest[12..]);
        last = Producer { id: i64::from_be_bytes(*id), epoch: i16::from_be_bytes(*epoch) };
    }
    last
}

/// The marker's group of a pipeline, whose name the transactional ids begin with.
fn group(pipeline: &Pipeline) -> String {
    let consumer: BaseConsumer = shared().client().create().expect("a consumer");
    let groups = consumer.fetch_group_list(None, LIMIT).expect("the broker answers");
    let name = groups.groups().iter().map(|group| group.name()).find(|name| name.contains(&pipeline.uuid));
    name.expect("the pipeline has written a marker").to_string()
}

#[test]
fn running_out_of_producer_epochs_loses_and_doubles_nothing() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    let first = process.log([1]);
    process.apply(1, &first).unwrap();
    let slot = format!("{}.0", group(&pipeline));
    let mut broker = TcpStream::connect(shared().bootstrap()).expect("the broker listens");
    broker.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut before = initialise(&mut broker, &slot, 1);
    while before.epoch < LAST - 10 {
        before = initialise(&mut broker, &slot, 500.min((LAST - 10 - before.epoch) as usize));
    }
    // The slot is initialised for every second epoch.
    for epoch in 2..=40 {
        let log = process.log([epoch]);
        process.apply(epoch as u64, &log).unwrap();
    }
    assert_eq!(pipeline.visible(), (1..=40).collect::<Vec<_>>());
    let after = initialise(&mut broker, &slot, 1);
    assert_ne!(after.id, before.id, "the epochs did not run out: {before:?}, {after:?}");
}
