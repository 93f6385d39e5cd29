//! What the server knows of the query that runs for us, asked over a connection of its own: how many rows wait, and how far
//! event time has come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use eddyline_engine::time::{EventTime, Watermark};
use tokio::runtime::Runtime;
use tokio_postgres::{Config, SimpleQueryMessage, SimpleQueryRow};

use super::tls::Encryption;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is known of a query on a server.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Known {
    /// Rows that wait.
    pub lag_rows: Option<u64>,
    /// The smallest watermark of its partitions.
    pub watermark: Option<Watermark>,
}

/// Asks about one query until it is dropped.
pub struct Watch {
    known: Arc<Mutex<Known>>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to ask about the query with this id. When the server does not let us in once more, nothing is known.
    pub fn start(runtime: &Runtime, config: Config, encryption: Encryption, query: &str) -> Self {
        let watch = Watch { known: Arc::default(), over: Arc::default() };
        let (known, over) = (Arc::clone(&watch.known), Arc::clone(&watch.over));
        let question = format!("SHOW LAG FOR JOB '{query}'");
        runtime.spawn(async move {
            let Ok((client, connection)) = config.connect(encryption).await else { return };
            tokio::spawn(connection);
            while !over.load(Ordering::SeqCst) {
                // The query has ended, or the server is gone.
                let Ok(answer) = client.simple_query(&question).await else { return };
                *known.lock().unwrap_or_else(PoisonError::into_inner) = read(&answer);
                tokio::time::sleep(INTERVAL).await;
            }
        });
        watch
    }

    /// What was said last.
    pub fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn read(answer: &[SimpleQueryMessage]) -> Known {
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |row: &SimpleQueryRow, name: &str| row.try_get(name).ok().flatten().map(str::to_string);
    sum(rows.map(|row| Partition {
        lag: text(row, "lag"),
        watermark: text(row, "watermark"),
        status: text(row, "status"),
    }))
}

/// A row of `SHOW LAG`.
struct Partition {
    lag: Option<String>,
    watermark: Option<String>,
    status: Option<String>,
}

fn sum(partitions: impl Iterator<Item = Partition>) -> Known {
    let mut known = Known::default();
    let (mut lags, mut listed) = (Some(0), false);
    for partition in partitions {
        listed = true;
        let lag = partition.lag.and_then(|lag| lag.parse::<u64>().ok());
        // Nothing waits where all is read.
        let lag = lag.or((partition.status.as_deref() == Some("ENDED")).then_some(0));
        lags = lags.zip(lag).map(|(sum, lag)| sum + lag);
        // An idle partition holds nothing back.
        if partition.status.as_deref() != Some("IDLE")
            && let Some(nanos) = partition.watermark.and_then(|text| string_to_timestamp_nanos(&text).ok())
        {
            let own = Watermark(EventTime(nanos / 1000));
            known.watermark = Some(known.watermark.map_or(own, |watermark| watermark.min(own)));
        }
    }
    known.lag_rows = lags.filter(|_| listed);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_add_up_and_the_last_one_counts() {
        let row = |lag: Option<&str>, watermark: Option<&str>, status: &str| Partition {
            lag: lag.map(str::to_string),
            watermark: watermark.map(str::to_string),
            status: Some(status.to_string()),
        };
        let known = sum([
            row(Some("40"), Some("2020-10-10T08:15:00.123"), "ACTIVE"),
            row(Some("2"), Some("2020-10-10T08:14:59.000"), "ACTIVE"),
            row(Some("0"), Some("1999-01-01T00:00:00.000"), "IDLE"),
            row(None, None, "ENDED"),
        ]
        .into_iter());
        assert_eq!((known.lag_rows, known.watermark), (Some(42), Some(Watermark(EventTime(1_602_317_699_000_000)))));
        assert_eq!(sum(std::iter::empty()), Known::default());
        let partly = sum([row(Some("40"), None, "ACTIVE"), row(None, None, "ACTIVE")].into_iter());
        assert_eq!(partly.lag_rows, None, "what one partition does not say, nobody knows of the whole");
    }
}
