//! The facts that hold for every sink with a committer, whatever its target: each sink runs through all of them.
//!
//! A target is a [`TestTarget`]; [`check_sink`] takes a function that makes new, empty ones, because each fact is checked
//! on a target of its own. Rows are whole numbers, so that order, loss and repetition show at a glance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::changelog::ChangelogBatch;
use crate::connector::{Committer, EpochLog, Guard, Sink, SinkContext, SinkFactory};
use crate::dataflow::Subtask;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// What a sink writes to, as a test sees it.
pub trait TestTarget {
    /// A factory of sinks that write here. Each call stands for a process of its own.
    fn factory(&self) -> Result<Arc<dyn SinkFactory>>;

    /// Insertions of these numbers, as rows that the sink takes.
    fn batch(&self, numbers: &[i64]) -> ChangelogBatch;

    /// All numbers that a reader of the target sees now, in the order in which they were written where the target keeps
    /// one, else sorted.
    fn visible(&self) -> Vec<i64>;

    /// True when the target remembers a marker.
    fn keeps_marker(&self) -> bool {
        true
    }

    /// True when a committer of an older generation is shut out. (A target to which both may write the same thing needs
    /// no fence.)
    fn fences(&self) -> bool {
        true
    }

    /// True when shutting an older process out takes the guard too: the target alone lets the latest writer in.
    fn needs_guard(&self) -> bool {
        false
    }
}

/// Checks all facts, each on a new target. Panics with the name of the fact that does not hold.
pub fn check_sink<T: TestTarget>(new: impl Fn() -> T) {
    let facts: [(&str, fn(&T) -> Result<()>); 9] = [
        ("nothing is visible before apply", nothing_is_visible_before_apply),
        ("an epoch applied twice is there once", applied_twice_is_once),
        ("epochs and rows keep their order", order_is_kept),
        ("logs of all subtasks are applied", all_subtasks_are_applied),
        ("the marker is there after reopening", marker_outlives_the_process),
        ("a log outlives its process", log_outlives_the_process),
        ("empty epochs change nothing", empty_epochs_change_nothing),
        ("an older generation is shut out", older_generation_is_shut_out),
        ("a long epoch is applied as a whole", long_epoch_is_whole),
    ];
    for (name, fact) in facts {
        let outcome = fact(&new());
        assert!(outcome.is_ok(), "{name}: a call failed: {outcome:?}");
    }
}

/// One process with `parallelism` sinks and their committer.
struct Process {
    sinks: Vec<Box<dyn Sink>>,
    committer: Box<dyn Committer>,
    /// False when another process has taken over, for targets that need the guard.
    owns: Arc<AtomicBool>,
}

impl Process {
    fn start<T: TestTarget>(target: &T, generation: u64, parallelism: usize) -> Result<Process> {
        let factory = target.factory()?;
        let owns = Arc::new(AtomicBool::new(true));
        let asked = owns.clone();
        let guard = Guard::new(move || match asked.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err(Error::checkpoint("another process has taken over")),
        });
        let context = |index| SinkContext {
            subtask: Subtask { index, parallelism },
            pipeline: "5b0f8d9e-suite".into(),
            sink: "sink:out".into(),
            guard: guard.clone(),
        };
        let committer = factory.committer(&context(0))?;
        let mut committer = committer.ok_or_else(|| Error::internal("the sink has no committer"))?;
        committer.fence(generation)?;
        let sinks = (0..parallelism).map(|index| factory.open(&context(index))).collect::<Result<_>>()?;
        Ok(Process { sinks, committer, owns })
    }

    fn write<T: TestTarget>(&mut self, target: &T, subtask: usize, numbers: &[i64]) -> Result<()> {
        self.sinks[subtask].write(&target.batch(numbers))
    }

    /// Phase one in all subtasks.
    fn prepare(&mut self, epoch: u64) -> Result<Vec<Arc<EpochLog>>> {
        let logs = self.sinks.iter_mut().map(|sink| sink.prepare(Epoch(epoch))).collect::<Result<Vec<_>>>()?;
        Ok(logs.into_iter().filter(|log| !log.is_empty()).map(Arc::new).collect())
    }

    fn apply(&mut self, epoch: u64, logs: &[Arc<EpochLog>]) -> Result<()> {
        self.committer.apply(Epoch(epoch), logs)
    }
}

fn nothing_is_visible_before_apply<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    process.apply(0, &[])?;
    process.write(target, 0, &[1, 2, 3])?;
    assert_eq!(target.visible(), [0; 0], "before the barrier");
    let logs = process.prepare(1)?;
    process.write(target, 0, &[4])?;
    assert_eq!(target.visible(), [0; 0], "after the barrier");
    process.apply(1, &logs)?;
    assert_eq!(target.visible(), [1, 2, 3], "only the rows before the barrier");
    Ok(())
}

fn applied_twice_is_once<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    process.apply(0, &[])?;
    process.write(target, 0, &[1, 2])?;
    let logs = process.prepare(1)?;
    process.apply(1, &logs)?;
    process.apply(1, &logs)?;
    assert_eq!(target.visible(), [1, 2]);
    drop(process);
    let mut next = Process::start(target, 2, 1)?;
    next.apply(1, &logs)?;
    assert_eq!(target.visible(), [1, 2], "another process knows");
    Ok(())
}

fn order_is_kept<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    process.apply(0, &[])?;
    let mut waiting = Vec::new();
    for epoch in 1..=4 {
        let first = epoch as i64 * 10;
        process.write(target, 0, &[first, first + 1])?;
        process.write(target, 0, &[first + 2])?;
        waiting.push((epoch, process.prepare(epoch)?));
    }
    for (epoch, logs) in &waiting {
        process.apply(*epoch, logs)?;
        let expected: Vec<i64> = (1..=*epoch as i64).flat_map(|e| e * 10..e * 10 + 3).collect();
        assert_eq!(target.visible(), expected, "after epoch {epoch}");
    }
    Ok(())
}

fn all_subtasks_are_applied<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 3)?;
    process.apply(0, &[])?;
    process.write(target, 2, &[20, 21])?;
    process.write(target, 0, &[1])?;
    let logs = process.prepare(1)?;
    process.apply(1, &logs)?;
    let mut visible = target.visible();
    visible.sort_unstable();
    assert_eq!(visible, [1, 20, 21]);
    Ok(())
}

fn marker_outlives_the_process<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    assert_eq!(process.committer.applied_up_to()?, None, "a new target has no marker");
    process.apply(7, &[])?;
    let marker = |process: &mut Process| process.committer.applied_up_to();
    let expected = |epoch: u64| target.keeps_marker().then_some(Epoch(epoch));
    assert_eq!(marker(&mut process)?, expected(7), "the first call leaves a marker even without rows");
    process.write(target, 0, &[1])?;
    let logs = process.prepare(9)?;
    process.apply(9, &logs)?;
    assert_eq!(marker(&mut process)?, expected(9));
    drop(process);
    assert_eq!(marker(&mut Process::start(target, 1, 1)?)?, expected(9), "another attempt");
    assert_eq!(marker(&mut Process::start(target, 2, 2)?)?, expected(9), "another process and parallelism");
    Ok(())
}

fn log_outlives_the_process<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 2)?;
    process.apply(0, &[])?;
    process.write(target, 0, &[1])?;
    process.write(target, 1, &[2])?;
    let logs = process.prepare(1)?;
    process.write(target, 0, &[3])?;
    drop(process);
    let logs: Vec<Arc<EpochLog>> = logs.iter().map(|log| Arc::new(EpochLog::new(log.bytes().to_vec()))).collect();
    let mut next = Process::start(target, 2, 1)?;
    next.apply(1, &logs)?;
    let mut visible = target.visible();
    visible.sort_unstable();
    assert_eq!(visible, [1, 2], "what was not prepared is not there");
    Ok(())
}

fn empty_epochs_change_nothing<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    process.apply(0, &[])?;
    assert!(process.prepare(1)?.is_empty(), "without rows there is no log");
    process.apply(1, &[])?;
    process.write(target, 0, &[5])?;
    let logs = process.prepare(2)?;
    process.apply(2, &logs)?;
    process.apply(3, &[])?;
    assert_eq!(target.visible(), [5]);
    let marker = process.committer.applied_up_to()?;
    assert!(marker.is_none_or(|marker| marker >= Epoch(2)), "the marker stands at {marker:?}");
    process.write(target, 0, &[6])?;
    let logs = process.prepare(4)?;
    process.apply(4, &logs)?;
    assert_eq!(target.visible(), [5, 6]);
    Ok(())
}

fn older_generation_is_shut_out<T: TestTarget>(target: &T) -> Result<()> {
    if !target.fences() {
        return Ok(());
    }
    let mut old = Process::start(target, 1, 1)?;
    old.apply(0, &[])?;
    old.write(target, 0, &[1])?;
    let logs = old.prepare(1)?;
    old.owns.store(!target.needs_guard(), Ordering::Release);
    let mut new = Process::start(target, 2, 1)?;
    let refused = old.apply(1, &logs);
    assert!(refused.is_err(), "the old process must not write");
    assert_eq!(target.visible(), [0; 0]);
    new.write(target, 0, &[2])?;
    let logs = new.prepare(2)?;
    new.apply(2, &logs)?;
    assert_eq!(target.visible(), [2]);
    Ok(())
}

fn long_epoch_is_whole<T: TestTarget>(target: &T) -> Result<()> {
    let mut process = Process::start(target, 1, 1)?;
    process.apply(0, &[])?;
    let numbers: Vec<i64> = (0..120_000).collect();
    for some in numbers.chunks(8_192) {
        process.write(target, 0, some)?;
    }
    let logs = process.prepare(1)?;
    process.apply(1, &logs)?;
    assert_eq!(target.visible().len(), numbers.len());
    assert_eq!(target.visible(), numbers);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::testing::memory::RecordingTarget;

    impl TestTarget for RecordingTarget {
        fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
            Ok(self.sink())
        }

        fn batch(&self, numbers: &[i64]) -> ChangelogBatch {
            let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
            let column = Arc::new(Int64Array::from(numbers.to_vec()));
            ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap())
        }

        fn visible(&self) -> Vec<i64> {
            let rows = self.rows();
            rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        }
    }

    #[test]
    fn recording_target_passes() {
        check_sink(RecordingTarget::new);
    }
}
