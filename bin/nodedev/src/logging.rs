//! `--log LEVEL`: messages of this program and of the libraries, on standard error.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::args::LogLevel;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let word = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let text = crate::text::printable(&record.args().to_string()).into_owned();
        // Nothing can be done about a standard error that cannot be written.
        let _ = writeln!(std::io::stderr().lock(), "{word}: {text}");
    }

    fn flush(&self) {}
}

/// Starts logging, once, at the beginning of the program.
pub(crate) fn start(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    });
    // Fails if a logger is set already, which then does the same.
    let _ = log::set_logger(&Stderr);
}
