//! The operator test harness: a script of inputs and expected outputs, run straight and with restarts everywhere.
//!
//! ```text
//!   +I a 3; +I b 1        a batch for port 0 (`1: +I …` for port 1)
//!   = +I a 3              what comes out of that call, a row per line, in order
//!   = +I b 1
//!   watermark 10s         event time moves on, at all inputs
//!   time 12s              processing time moves on, and a timer that is due fires
//!   late 1                so many rows have been dropped as late (checked in the straight run only)
//! ```
//! Every script runs straight; with a restart (snapshot, new instance, restore) before each single line; with a restart
//! before all lines; and, for a keyed operator, spread over two and three instances whose number changes at the
//! restarts. The outputs must be the same, but for the order within a call once there were several instances.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::text::{parse, parse_micros, render};
use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};
use crate::state::{Distribution, key_group};
use crate::time::{EventTime, ProcessingTime, Watermark};

/// Makes a fresh instance of the operator under test.
pub type Make<'a> = &'a dyn Fn() -> Result<Box<dyn Operator>>;

/// Runs `script` in all ways. `inputs` are the columns of each port; `keys` the columns by which rows of every port are
/// spread over instances, or None for an operator that always has one instance.
pub fn check(inputs: &[SchemaRef], keys: Option<&[usize]>, make: Make<'_>, script: &str) -> Result<()> {
    let steps = read(inputs, script)?;
    let run = |parallelism: usize, way: &str, restart: &dyn Fn(usize) -> Option<usize>| {
        Run::new(make, keys, parallelism, way)?.all(&steps, restart)
    };
    run(1, "straight", &|_| None)?;
    for cut in 0..steps.len() {
        run(1, &format!("with a restart before step {cut}"), &|step| (step == cut).then_some(1))?;
    }
    run(1, "with a restart before every step", &|_| Some(1))?;
    if keys.is_some() {
        run(2, "with two instances", &|_| None)?;
        run(1, "with one to three instances in turn", &|step| Some(step % 3 + 1))?;
        run(3, "with three and two instances in turn", &|step| Some(3 - step % 2))?;
    }
    Ok(())
}

enum Action {
    Batch(usize, ChangelogBatch),
    Watermark(Watermark),
    Time(ProcessingTime),
    Late(u64),
}

struct Step {
    line: String,
    action: Action,
    expected: Vec<String>,
}

fn read(inputs: &[SchemaRef], script: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(row) = line.strip_prefix('=') {
            let step = steps.last_mut().ok_or_else(|| Error::internal("a script starts with an input"))?;
            step.expected.push(row.trim().to_owned());
            continue;
        }
        let action = match line.split_once(' ') {
            Some(("watermark", time)) => Action::Watermark(Watermark(EventTime(parse_micros(time)?))),
            Some(("time", time)) => Action::Time(ProcessingTime(parse_micros(time)?)),
            Some(("late", rows)) => Action::Late(rows.parse().map_err(|_| Error::internal(line))?),
            Some((port, rows)) if port.ends_with(':') => {
                let port: usize = port.trim_end_matches(':').parse().map_err(|_| Error::internal(line))?;
                Action::Batch(port, parse(&inputs[port], rows)?)
            }
            _ => Action::Batch(0, parse(&inputs[0], line)?),
        };
        steps.push(Step { line: line.to_owned(), action, expected: Vec::new() });
    }
    Ok(steps)
}

/// The instances of an operator during one run of a script.
struct Run<'a> {
    make: Make<'a>,
    keys: Option<&'a [usize]>,
    way: &'a str,
    now: ProcessingTime,
    instances: Vec<Box<dyn Operator>>,
    restarted: bool,
    /// Keys have been spread over several instances, so that the order within a call is free from then on.
    spread: bool,
}

impl<'a> Run<'a> {
    fn new(make: Make<'a>, keys: Option<&'a [usize]>, parallelism: usize, way: &'a str) -> Result<Self> {
        let instances = (0..parallelism).map(|_| make()).collect::<Result<_>>()?;
        Ok(Run { make, keys, way, now: ProcessingTime(0), instances, restarted: false, spread: false })
    }

    fn all(mut self, steps: &[Step], restart: &dyn Fn(usize) -> Option<usize>) -> Result<()> {
        for (number, step) in steps.iter().enumerate() {
            if let Some(parallelism) = restart(number) {
                self.restart(parallelism)?;
            }
            let mut actual = self.step(&step.action)?;
            let mut expected = step.expected.clone();
            self.spread |= self.instances.len() > 1;
            if self.spread {
                actual.sort();
                expected.sort();
            }
            assert_eq!(actual, expected, "output of '{}' (left) when run {}", step.line, self.way);
        }
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Result<Vec<String>> {
        let parallelism = self.instances.len();
        let parts = match action {
            Action::Batch(_, batch) => key_group::split(batch, self.keys.unwrap_or(&[]), parallelism)?,
            _ => Vec::new(),
        };
        let mut lines = Vec::new();
        for (index, instance) in self.instances.iter_mut().enumerate() {
            let mut out = Output::at(self.now);
            match action {
                Action::Batch(port, _) => {
                    if !parts[index].is_empty() {
                        instance.on_batch(*port, parts[index].clone(), &mut out)?;
                    }
                }
                Action::Watermark(watermark) => instance.on_watermark(*watermark, &mut out)?,
                Action::Time(now) => {
                    self.now = *now;
                    out = Output::at(*now);
                    if instance.next_timer().is_some_and(|timer| timer <= *now) {
                        instance.on_timer(*now, &mut out)?;
                    }
                }
                Action::Late(rows) => {
                    if !self.restarted && parallelism == 1 {
                        assert_eq!(instance.late_rows(), *rows, "late rows when run {}", self.way);
                    }
                }
            }
            for batch in out.into_batches() {
                lines.extend(render(&batch)?);
            }
        }
        Ok(lines)
    }

    /// Replaces the instances by `parallelism` new ones that were given the state of the old.
    fn restart(&mut self, parallelism: usize) -> Result<()> {
        self.restarted = true;
        let mut saved: Vec<(&'static str, Vec<RecordBatch>)> = Vec::new();
        for instance in &mut self.instances {
            for (name, state) in instance.states() {
                let rows = state.snapshot()?;
                for batch in &rows {
                    assert_eq!(batch.schema(), state.schema(), "columns of state '{name}'");
                }
                match saved.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, batches)) => batches.extend(rows),
                    None => saved.push((name, rows)),
                }
            }
        }
        self.instances = (0..parallelism).map(|_| (self.make)()).collect::<Result<_>>()?;
        for (index, instance) in self.instances.iter_mut().enumerate() {
            let owned = key_group::owned(index, parallelism);
            for (name, state) in instance.states() {
                let batches = saved.iter().find(|(known, _)| *known == name).map(|(_, batches)| batches.as_slice());
                for batch in batches.unwrap_or(&[]) {
                    match state.distribution() {
                        Distribution::Keyed => state.restore(&key_group::retain_owned(batch, &owned)?)?,
                        Distribution::Broadcast => state.restore(batch)?,
                    }
                }
            }
        }
        Ok(())
    }
}
