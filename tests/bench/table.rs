use crate::Latency;
use std::fmt;
use std::time::Duration;

/// The rows, in the order in which they were measured, and what they have to reach.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
    goals: Vec<(String, bool)>,
}

impl Table {
    /// A row with latencies, and calls per second where they were measured.
    pub(crate) fn latency(&mut self, what: &str, latency: Latency, per_second: Option<f64>) {
        let per_second = per_second.map_or_else(String::new, |rate| format!("{rate:.0}"));
        self.rows.push([what.into(), time(latency.p50), time(latency.p99), per_second]);
    }

    /// A row with one value.
    pub(crate) fn value(&mut self, what: &str, value: String) {
        self.rows.push([what.into(), value, String::new(), String::new()]);
    }

    /// A line that has to be reached.
    pub(crate) fn goal(&mut self, what: String, is_reached: bool) {
        self.goals.push((what, is_reached));
    }
}

/// Microseconds below ten milliseconds, else milliseconds.
pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.01 => format!("{:.0} µs", seconds * 1e6),
        seconds => format!("{:.0} ms", seconds * 1e3),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "p50", "p99", "per second"].map(str::to_owned);
        let width =
            |column: usize| self.rows.iter().chain([&head]).map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        let mut line = |row: &[String; 4]| {
            write!(f, "| {:<1$} ", row[0], widths[0])?;
            row.iter().zip(widths).skip(1).try_for_each(|(cell, width)| write!(f, "| {cell:>width$} "))?;
            writeln!(f, "|")
        };
        line(&head)?;
        line(&[0, 1, 2, 3].map(|column| "-".repeat(widths[column])))?;
        self.rows.iter().try_for_each(&mut line)?;
        writeln!(f)?;
        let mark = |reached: bool| if reached { "reached" } else { "MISSED" };
        self.goals.iter().try_for_each(|(what, reached)| writeln!(f, "* {what}: {}", mark(*reached)))
    }
}
