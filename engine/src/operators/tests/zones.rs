//! Scripts for windows over instants in a time zone.

use super::{AggregateFunction as F, *};
use crate::operator::Operator;
use crate::operators::{TimeAttribute, WindowAggregate, WindowAggregateSpec};
use crate::testing::script::check;
use crate::window::{WindowKind, WindowSpec, Zone};

const SECOND: i64 = 1_000_000;

/// A clock ahead of UTC by 3 s, which is set back by 2 s at instant 7 s: 8 s to 10 s show twice.
struct SetBack;

impl Zone for SetBack {
    fn wall(&self, instant: i64) -> i64 {
        instant + if instant < 7 * SECOND { 3 * SECOND } else { SECOND }
    }

    fn instant(&self, wall: i64) -> i64 {
        wall - if wall < 8 * SECOND { 3 * SECOND } else { SECOND }
    }
}

#[test]
fn windows_in_a_zone_follow_its_wall_clock_and_stay_open_while_an_hour_repeats() -> Result<()> {
    let input = only(&["n", "ts"]);
    let calls = vec![call(&input, F::Count, &[], false)?];
    let make = || -> Result<Box<dyn Operator>> {
        let aggregate = WindowAggregate::new(WindowAggregateSpec {
            input: input.clone(),
            window: WindowSpec { kind: WindowKind::Tumble { size: 5 * SECOND }, offset: 0 },
            time: TimeAttribute::Event { column: 1 },
            keys: vec![],
            key_fields: vec![],
            calls: calls.clone(),
            schema: output(&[], &calls, &["window_start", "window_end", "window_time"]),
        })?;
        Ok(Box::new(aggregate.in_zone(Arc::new(SetBack))))
    };
    check(
        std::slice::from_ref(&input),
        None,
        &make,
        "+I 1 1s; +I 2 2s; +I 3 6s
         watermark 2s
         = +I 1 0s 5s 1999ms
         watermark 6500ms
         +I 4 8s
         watermark 8998ms
         watermark 8999ms
         = +I 3 5s 10s 8999ms
         +I 5 8s
         late 1",
    )
}
