//! Tables of raw figures with their median.

use std::fs;
use std::path::Path;

use crate::child::Usage;

/// Says what was measured where.
pub fn print_machine(binary: &Path) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(" unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine: {cores} cores,{}; load before: {}", model.trim_start_matches([' ', '\t', ':']), load());
    println!("program: {}", binary.display());
}

/// Average number of runnable threads on the machine in the last minute: more than the measured job's own means that
/// other work took its share of the cores.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_string()
}

/// Figures of all rounds of one measurement, one column each.
pub struct Table {
    columns: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

impl Table {
    /// Prints a title and the names of the columns.
    pub fn new(title: &str, columns: &[&'static str]) -> Table {
        println!("\n## {title}");
        println!("round   {} load", columns.iter().map(|c| format!("{c:>14}")).collect::<String>());
        Table { columns: columns.to_vec(), rounds: Vec::new() }
    }

    /// Prints one round.
    pub fn round(&mut self, figures: Vec<f64>) {
        assert_eq!(figures.len(), self.columns.len(), "one figure per column");
        println!("{:<8}{} {}", self.rounds.len() + 1, cells(&figures), load());
        self.rounds.push(figures);
    }

    /// Prints the median of every column.
    pub fn finish(self) {
        let medians = (0..self.columns.len()).map(|c| median(self.rounds.iter().map(|r| r[c]).collect()));
        println!("{:<8}{}", "median", cells(&medians.collect::<Vec<_>>()));
    }
}

/// Columns of a job that drains `rows` rows.
pub const DRAIN_COLUMNS: &[&str] = &["wall s", "rows/s", "CPU s", "CPU µs/row", "peak RSS MB"];

/// The figures of [`DRAIN_COLUMNS`].
pub fn drain_figures(rows: usize, usage: &Usage) -> Vec<f64> {
    let (wall, cpu) = (usage.wall.as_secs_f64(), usage.cpu.as_secs_f64());
    vec![wall, rows as f64 / wall, cpu, cpu * 1e6 / rows as f64, usage.peak_rss_bytes as f64 / 1e6]
}

fn cells(figures: &[f64]) -> String {
    figures.iter().map(|f| if *f >= 1000.0 { format!("{f:>14.0}") } else { format!("{f:>14.3}") }).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        0 => (figures[middle - 1] + figures[middle]) / 2.0,
        _ => figures[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_of_even_and_odd_counts() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
