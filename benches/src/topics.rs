//! Topics filled from a seed, so that every run of a benchmark reads the same bytes.

use std::time::Instant;

use eddyline_tests::services::kafka;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Partitions of every topic.
pub const PARTITIONS: usize = 4;
const SEED: u64 = 20_261_121;
/// Words per line of the word count.
pub const WORDS_PER_LINE: usize = 8;
/// Bids below this price, half of all, do not pass the filter.
pub const MEDIAN_PRICE: u32 = 50_000;

/// Lines of eight words out of 20 000, the first ones far more frequent than the last.
pub fn lines(rows: usize) -> String {
    let mut random = StdRng::seed_from_u64(SEED);
    load("lines", (0..rows).map(move |_| line(&mut random)))
}

fn line(random: &mut StdRng) -> String {
    let word = |random: &mut StdRng| format!("word{}", (random.random::<f64>().powi(3) * 20_000.0) as u32);
    (0..WORDS_PER_LINE).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

/// Bids in the shape of Nexmark: seven columns, about 220 bytes of JSON. Also says how many pass the filter.
pub fn bids(rows: usize) -> (String, usize) {
    let bids = move || {
        let mut random = StdRng::seed_from_u64(SEED);
        (0..rows).map(move |row| bid(&mut random, row))
    };
    let passing = bids().filter(|(price, _)| *price >= MEDIAN_PRICE).count();
    (load("bids", bids().map(|(_, json)| json)), passing)
}

fn bid(random: &mut StdRng, row: usize) -> (u32, String) {
    let price = random.random_range(0..2 * MEDIAN_PRICE);
    let (auction, bidder) = (random.random_range(1000..100_000), random.random_range(1000..100_000));
    let channel = ["Google", "Facebook", "Baidu", "Apple"][random.random_range(0..4)];
    let (second, milli) = (row / 10_000, row / 10 % 1000);
    let time = format!("2026-01-01 {:02}:{:02}:{:02}.{milli:03}", second / 3600 % 24, second / 60 % 60, second % 60);
    let url = format!("https://www.nexmark.com/item.htm?query=1&channel_id={}", random.random::<u32>());
    let extra: String = (0..40).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
    let numbers = format!(r#""auction":{auction},"bidder":{bidder},"price":{price}"#);
    let texts = format!(r#""channel":"{channel}","url":"{url}","dateTime":"{time}","extra":"{extra}""#);
    (price, format!("{{{numbers},{texts}}}"))
}

/// Keys as text, each of `keys` once in the first `keys` rows and then again in the same order, shuffled by a stride.
pub fn keys(rows: usize, keys: usize) -> String {
    /// A prime, so that it visits every key once unless their number is a multiple of it.
    const STRIDE: usize = 7_368_787;
    load("keys", (0..rows).map(move |row| format!("key-{}", row * STRIDE % keys)))
}

fn load(name: &str, messages: impl Iterator<Item = String>) -> String {
    let broker = kafka::shared();
    let topic = broker.fresh_topic(name, PARTITIONS as i32);
    let began = Instant::now();
    let (mut rows, mut bytes) = (0_usize, 0_usize);
    let counted = messages.inspect(|message| {
        rows += 1;
        bytes += message.len();
    });
    broker.produce_lines(&topic, PARTITIONS, counted);
    let average = bytes as f64 / rows.max(1) as f64;
    println!("loaded {rows} messages of {average:.0} bytes on average in {:.1?}", began.elapsed());
    topic
}
