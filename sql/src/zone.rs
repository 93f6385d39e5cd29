//! The session time zone, as windows over TIMESTAMP_LTZ need it.

use chrono::offset::LocalResult;
use chrono::{DateTime, Duration, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use eddyline_engine::window::Zone;

/// A zone of the time zone database.
#[derive(Debug, Clone, Copy)]
pub struct SessionZone(pub Tz);

fn naive(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
}

impl Zone for SessionZone {
    fn wall(&self, instant: i64) -> i64 {
        let offset = self.0.offset_from_utc_datetime(&naive(instant)).fix().local_minus_utc();
        instant + i64::from(offset) * 1_000_000
    }

    fn instant(&self, wall: i64) -> i64 {
        match self.0.from_local_datetime(&naive(wall)) {
            LocalResult::Single(time) => time.timestamp_micros(),
            LocalResult::Ambiguous(_, later) => later.timestamp_micros(),
            // In a gap: the clock jumped over this time; the gap ends where the offset before it says.
            LocalResult::None => {
                let before = self.0.from_local_datetime(&(naive(wall) - Duration::hours(3))).latest();
                let offset = before.map_or(0, |time| time.offset().fix().local_minus_utc());
                let shifted = wall - i64::from(offset) * 1_000_000;
                end_of_gap(self.0, shifted)
            }
        }
    }
}

/// The instant at which the clock jumped, at most three hours before `instant`.
fn end_of_gap(zone: Tz, instant: i64) -> i64 {
    let offset = |at: i64| zone.offset_from_utc_datetime(&naive(at)).fix().local_minus_utc();
    let (mut low, mut high) = (instant - 3 * 3_600_000_000, instant);
    let after = offset(high);
    while high - low > 1_000_000 {
        let middle = low + (high - low) / 2;
        if offset(middle) == after { high = middle } else { low = middle }
    }
    high - high.rem_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: SessionZone = SessionZone(Tz::Europe__Berlin);
    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn the_missing_hour_ends_where_summer_time_begins() {
        // 2024-03-31 02:00 CET becomes 03:00 CEST at 01:00 UTC.
        let jump = 1_711_846_800_000_000;
        assert_eq!(BERLIN.wall(jump), jump + 2 * HOUR);
        assert_eq!(BERLIN.instant(jump + HOUR + HOUR / 2), jump, "02:30 does not exist");
    }

    #[test]
    fn a_doubled_hour_means_its_second_pass() {
        // 2024-10-27 03:00 CEST becomes 02:00 CET at 01:00 UTC.
        let jump = 1_729_990_800_000_000;
        assert_eq!(BERLIN.instant(jump + HOUR + HOUR / 2), jump + HOUR / 2);
    }
}
