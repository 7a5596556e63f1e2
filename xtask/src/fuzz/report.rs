//! What libFuzzer says of a run.

use std::fmt;

/// One target's run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    name: &'static str,
    executions: u64,
    /// Edges of the program that were reached.
    edges: u64,
    /// What libFuzzer tells inputs apart by: edges with how often, comparisons.
    features: u64,
    /// Inputs that reach something of their own, and their bytes.
    pub(super) corpus: (u64, u64),
    /// What happened, if the target failed.
    pub(super) failure: Option<String>,
}

impl Report {
    /// The line above all reports.
    pub(super) const HEAD: &'static str =
        "target             executions   edges  features  corpus       bytes";

    /// Reads what libFuzzer printed.
    pub(super) fn of(name: &'static str, log: &str) -> Self {
        let mut report = Self { name, ..Self::default() };
        for line in log.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |label: &str| {
                let at = words.iter().position(|word| *word == label)?;
                words.get(at + 1)?.parse::<u64>().ok()
            };
            report.executions = number("stat::number_of_executed_units:").unwrap_or(report.executions);
            if line.starts_with('#') {
                report.edges = number("cov:").unwrap_or(report.edges);
                report.features = number("ft:").unwrap_or(report.features);
            }
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, executions, edges, features, corpus: (files, bytes), failure } = self;
        let failed = if failure.is_some() { "  FAILED" } else { "" };
        write!(f, "{name:<16} {executions:>12} {edges:>7} {features:>9} {files:>7} {bytes:>11}{failed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_that_libfuzzer_prints_are_taken() {
        let log = "INFO: Seed: 1\n#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #804104\tDONE   cov: 34 ft: 221 corp: 99/12Kb lim: 4096 exec/s: 160820 rss: 30Mb\n\
                   Done 804104 runs in 5 second(s)\nstat::number_of_executed_units: 804104\n";
        let report = Report { name: "x", executions: 804_104, edges: 34, features: 221, ..Report::default() };
        assert_eq!(Report::of("x", log), report);
        assert_eq!(
            Report::of("x", "").to_string().split_whitespace().collect::<Vec<_>>(),
            ["x", "0", "0", "0", "0", "0"]
        );
    }
}
