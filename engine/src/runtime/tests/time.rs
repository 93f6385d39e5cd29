//! Watermarks, idleness, timers.

use std::sync::Mutex;

use super::*;
use crate::time::{Clock, ManualClock, ProcessingTime, Watermark};

/// What an operator saw, in words.
type Seen = Arc<Mutex<Vec<String>>>;

struct Watch(Seen);

impl Operator for Watch {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let n = batch.column(1).as_primitive::<Int64Type>();
        self.0.lock().unwrap().extend(n.values().iter().map(|n| format!("row {n}")));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, _out: &mut Output) -> Result<()> {
        let text = if watermark == Watermark::MAX { "end".into() } else { format!("watermark {}", watermark.0.0) };
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

fn watched(input: VectorSource, bounded: bool, parallelism: usize, exchange: Exchange) -> (Dataflow, Seen) {
    let (mut flow, seen) = (Dataflow::default(), Seen::default());
    let read = source(&mut flow, "source", input, bounded, parallelism);
    with_watermarks(&mut flow, read);
    let target = seen.clone();
    let watch = operator(&mut flow, read, "watch", exchange, 1, move || Watch(target.clone()));
    sink(&mut flow, watch, RecordingTarget::new().sink());
    (flow, seen)
}

#[test]
fn in_per_row_mode_each_watermark_follows_its_row() {
    for exchange in [Exchange::Forward, Exchange::Single] {
        let (flow, seen) = watched(VectorSource::new(vec![rows(3, 1)]), true, 1, exchange);
        wait(&Job::start(flow, JobConfig { auto_watermark_interval: Duration::ZERO, ..config(None) }).unwrap())
            .unwrap();
        let expected = ["row 0", "watermark 0", "row 1", "watermark 1", "row 2", "watermark 2", "end"];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[test]
fn the_slowest_split_holds_the_watermark_until_it_is_idle() {
    let clock = Arc::new(ManualClock::at(0));
    let (long, short) = (rows(100, 1), rows(100, 1).slice(0, 0));
    for parallelism in [1, 2] {
        let input = VectorSource::new(vec![long.clone(), short.clone()]).unbounded();
        let (flow, seen) = watched(input, false, parallelism, Exchange::Single);
        let config = JobConfig {
            auto_watermark_interval: Duration::from_millis(1),
            idle_timeout: Some(Duration::from_secs(3)),
            clock: clock.clone(),
            ..config(None)
        };
        let job = Job::start(flow, config).unwrap();
        let watermarks =
            || seen.lock().unwrap().iter().filter(|s| s.starts_with("watermark")).cloned().collect::<Vec<_>>();
        until("all rows came", || seen.lock().unwrap().iter().filter(|s| s.starts_with("row")).count() == 100);
        assert!(watermarks().is_empty());
        until("the watermark came", || {
            clock.set(clock.now().0 + 100_000);
            !watermarks().is_empty()
        });
        assert_eq!(watermarks(), ["watermark 99"]);
        job.stop(StopMode::Cancel);
        wait(&job).unwrap();
    }
}

#[test]
fn a_null_event_time_is_an_error_in_flinks_words() {
    for interval in [Duration::ZERO, Duration::from_millis(200)] {
        let at = TimestampMicrosecondArray::from(vec![Some(1), None]);
        let n = Int64Array::from(vec![0, 1]);
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(n.clone()), Arc::new(n), Arc::new(at)]).unwrap();
        let (flow, _) = watched(VectorSource::new(vec![batch]), true, 1, Exchange::Forward);
        let job = Job::start(flow, JobConfig { auto_watermark_interval: interval, ..config(None) }).unwrap();
        let error = wait(&job).unwrap_err();
        assert!(error.to_string().starts_with("RowTime field should not be null"), "{error}");
    }
}

#[test]
fn timers_fire_while_no_rows_come() {
    struct Late(Option<ProcessingTime>, Seen);
    impl Operator for Late {
        fn on_batch(&mut self, _port: usize, _batch: ChangelogBatch, out: &mut Output) -> Result<()> {
            self.0 = Some(ProcessingTime(out.now().0 + 20_000));
            Ok(())
        }
        fn on_timer(&mut self, now: ProcessingTime, out: &mut Output) -> Result<()> {
            assert!(self.0.take().is_some_and(|at| at <= now));
            self.1.lock().unwrap().push("timer".into());
            out.emit(ChangelogBatch::inserts(rows(1, 1)));
            Ok(())
        }
        fn next_timer(&self) -> Option<ProcessingTime> {
            self.0
        }
    }
    for exchange in [Exchange::Forward, Exchange::Single] {
        let (mut flow, seen, target) = (Dataflow::default(), Seen::default(), RecordingTarget::new());
        let read = source(&mut flow, "source", VectorSource::new(vec![rows(5, 1)]).unbounded(), false, 1);
        let shared = seen.clone();
        let late = operator(&mut flow, read, "late", exchange, 1, move || Late(None, shared.clone()));
        sink(&mut flow, late, target.sink());
        let job = Job::start(flow, config(None)).unwrap();
        assert!(target.wait_for_rows(1, PATIENCE));
        job.stop(StopMode::Checkpoint);
        wait(&job).unwrap();
        assert_eq!(*seen.lock().unwrap(), ["timer"]);
    }
}
