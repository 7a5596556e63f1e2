//! Messages of the daemon and its libraries.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{Handle, Layer as Reloadable};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{Config, LogOutput};
use crate::exit::{Exit, Fatal};

/// Changes the level of messages while the daemon runs.
pub(crate) struct Logging {
    level: Handle<LevelFilter, Registry>,
    verbose: u8,
    /// The file for messages, if they go to one.
    file: Option<LogFile>,
}

/// A file that can be another one of the same name later: who rotates logs renames it, and says so by SIGHUP.
#[derive(Clone)]
struct LogFile {
    path: Arc<Path>,
    file: Arc<Mutex<Arc<File>>>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, Fatal> {
        Ok(Self { path: path.into(), file: Arc::new(Mutex::new(Arc::new(open(path)?))) })
    }

    fn lock(&self) -> MutexGuard<'_, Arc<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logging {
    /// Starts logging, once.
    pub(crate) fn start(config: &Config, verbose: u8) -> Result<Self, Fatal> {
        let (filter, level) = Reloadable::new(wanted(config, verbose));
        let registry = tracing_subscriber::registry().with(filter);
        let journal =
            || tracing_journald::layer().map(|layer| layer.with_syslog_identifier("nodedevd".into()));
        let no_journal = |error: io::Error| {
            Fatal::system("log to the journal", &error).help("take journald out of log_outputs")
        };
        let mut file = None;
        let layer = match &config.log.output {
            LogOutput::Journal => journal().map_err(no_journal)?.boxed(),
            LogOutput::Default if stderr_is_journal() => match journal() {
                Ok(journal) => journal.boxed(),
                Err(_) => to_stderr(),
            },
            LogOutput::Default | LogOutput::Stderr => to_stderr(),
            LogOutput::File(path) => {
                let log = file.insert(LogFile::open(path)?).clone();
                text(move || Arc::clone(&log.lock()))
            }
        };
        registry.with(layer).init();
        Ok(Self { level, verbose, file })
    }

    /// Takes over the level of a new configuration, and opens the file again.
    pub(crate) fn reload(&self, config: &Config) {
        // Fails only if logging has ended.
        let _ = self.level.reload(wanted(config, self.verbose));
        if let Some(log) = &self.file {
            match open(&log.path) {
                Ok(file) => *log.lock() = Arc::new(file),
                Err(fatal) => tracing::error!("messages go where they went: {fatal}"),
            }
        }
    }
}

/// The more talkative of what the configuration and the command line want; warnings without either.
fn wanted(config: &Config, verbose: u8) -> LevelFilter {
    let told = match verbose {
        0 => None,
        1 => Some(Level::INFO),
        _ => Some(Level::DEBUG),
    };
    LevelFilter::from_level(config.log.level.into_iter().chain(told).max().unwrap_or(Level::WARN))
}

type Layer = Box<
    dyn tracing_subscriber::Layer<
            tracing_subscriber::layer::Layered<Reloadable<LevelFilter, Registry>, Registry>,
        > + Send
        + Sync,
>;

fn to_stderr() -> Layer {
    text(io::stderr)
}

fn text<W>(writer: W) -> Layer
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer).boxed()
}

fn open(path: &Path) -> Result<File, Fatal> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        Fatal::new(Exit::CannotCreate, format!("cannot open the log file {}: {error}", path.display()))
            .help("make its directory, or change log_outputs")
    })
}

/// Whether standard error is the stream that systemd made for it: `JOURNAL_STREAM` names its device and inode.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
