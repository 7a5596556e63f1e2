//! Messages of the daemon and its libraries.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{Handle, Layer as Reloadable};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{Config, LogOutput};
use crate::exit::{Exit, Fatal};
use crate::files::Folder;
use crate::journal::Journal;
use crate::lines::Lines;

/// Changes the level of messages while the daemon runs.
pub(crate) struct Logging {
    level: Handle<Targets, Registry>,
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
        let no_journal = |error: io::Error| {
            Fatal::system("log to the journal", &error).help("take journald out of log_outputs")
        };
        let mut file = None;
        let layer = match &config.log.output {
            LogOutput::Journal => entries(Journal::open().map_err(no_journal)?),
            LogOutput::Default if stderr_is_journal() => {
                Journal::open().map_or_else(|_| to_stderr(), entries)
            }
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
                Err(fatal) => tracing::error!("messages go where they went: {}", fatal.line()),
            }
        }
    }
}

/// What tells who changed what: whoever looks for it later needs it at any level.
const AUDIT: &str = "nodedev::audit";

/// The more talkative of what the configuration and the command line want; warnings without either.
fn wanted(config: &Config, verbose: u8) -> Targets {
    let told = match verbose {
        0 => None,
        1 => Some(Level::INFO),
        _ => Some(Level::DEBUG),
    };
    let level = config.log.level.into_iter().chain(told).max().unwrap_or(Level::WARN);
    Targets::new().with_default(level).with_target(AUDIT, level.max(Level::INFO))
}

type Layer = Box<
    dyn tracing_subscriber::Layer<tracing_subscriber::layer::Layered<Reloadable<Targets, Registry>, Registry>>
        + Send
        + Sync,
>;

fn to_stderr() -> Layer {
    text(io::stderr)
}

/// The journal knows time and level of an entry without being told.
fn entries(journal: Journal) -> Layer {
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_level(false);
    layer.with_writer(journal).boxed()
}

fn text<W>(writer: W) -> Layer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = OneLineEach(writer);
    tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines).boxed()
}

/// Makes [`Lines`] of the writers that another one makes.
struct OneLineEach<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLineEach<W> {
    type Writer = Lines<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines(self.0.make_writer())
    }
}

fn open(path: &Path) -> Result<File, Fatal> {
    let (folder, name) = Folder::of(path)?;
    folder.open_file(&name, OFlags::APPEND).map_err(|error| {
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
