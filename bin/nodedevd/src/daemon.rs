//! From arguments to a running daemon, and its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::{Operations as _, Scope};
use nodedev_host::HostDriver;
use nodedev_model::{HandoverState, Handovers};
use nodedev_server::{Access, AllowAll, Options, Service, Settings, Workers};
use nodedev_sys::Root;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::args::Args;
use crate::clients::{Current, Door, Threads};
use crate::config::{self, Auth, Config};
use crate::exit::{Exit, Fatal};
use crate::limits::Limits;
use crate::listeners::{self, Listener, Listeners, UnixSockets};
use crate::logging::Logging;
use crate::polkit::{Polkit, PolkitAccess};
use crate::sockets::{self, Lock};
use crate::tls::Gate;

/// Runs the daemon until it is told to end.
pub(crate) fn run(args: &Args) -> Result<(), Fatal> {
    let user = rustix::process::geteuid();
    let is_root = user.is_root();
    let (path, may_be_absent) = config_path(args, is_root);
    let read = || match &path {
        Some(path) => config::read(path, may_be_absent),
        None => Ok(Config::default()),
    };
    let config = read()?;
    let logging = Logging::start(&config, args.verbose)?;
    warn_of(&config);
    let limits = Limits::raise(&config)?;
    // So does the thread that follows the devices.
    go_first();
    let driver = HostDriver::watching(open_root(args)?).map_err(|error| {
        Fatal::system("follow the devices of this machine", &error)
            .help("nodedevd needs netlink sockets (AF_NETLINK), which a sandbox can forbid")
    })?;
    stand_in_line();
    recover(&driver);
    let dir = match (&args.run_dir, &config.unix.dir) {
        (Some(dir), _) | (None, Some(dir)) => dir.clone(),
        (None, None) => sockets::default_dir(is_root)?,
    };
    let runtime = runtime("clients", go_first)?;
    let strangers = self::runtime("strangers", stand_in_line)?;
    // Before there are sockets: a daemon that can be seen can be sent a signal.
    let signals = Signals::catch(&runtime)?;
    let folder = sockets::make_dir(&dir, is_root)?;
    let _lock = Lock::take(&args.pid_file.clone().unwrap_or_else(|| dir.join("nodedevd.pid")))?;
    let current = current(&config, is_root)?;
    let by_login = if current.auth == Auth::Polkit { 0o777 } else { 0o700 };
    let mode = config.unix.mode.unwrap_or(by_login);
    let listeners = listeners::open(&config, UnixSockets { dir: &folder, mode, read_only: is_root })?;
    let idle = idle(args, &listeners);

    let options = Options {
        scope: if is_root { Scope::System } else { Scope::Session },
        user: user.as_raw(),
        is_recording: args.root.is_some(),
        workers: Workers {
            quick: config.prio_workers,
            change: config.max_workers,
            // They are started by threads that go first.
            start: stand_in_line,
            ..Workers::default()
        },
    };
    let (sender, receiver) = watch::channel(current);
    let result = runtime.block_on(async {
        let polkit = Arc::new(Polkit::new(tokio::runtime::Handle::current()));
        let access: Arc<dyn Access> = match config.access_polkit {
            true => Arc::new(PolkitAccess(Arc::clone(&polkit))),
            false => Arc::new(AllowAll),
        };
        let driver = Arc::new(driver);
        if driver.root().is_changeable() {
            strangers.spawn(recover_later(Arc::clone(&driver)));
        }
        let service = Service::new(driver, access, options);
        let lost = service.clone();
        let threads = Threads { own: tokio::runtime::Handle::current(), strangers: strangers.handle().clone() };
        let door = Arc::new(Door::new(service, polkit, receiver, (threads, user.as_raw()), limits));
        strangers.spawn(give_back(door.count()));
        let reload = || match read().and_then(|config| Ok((self::current(&config, is_root)?, config))) {
            Ok((current, config)) => {
                warn_of(&config);
                logging.reload(&config);
                sender.send_replace(current);
                tracing::info!(
                    "the configuration was read again; sockets, access drivers, log_outputs and the numbers of clients and \
                     workers stay"
                );
            }
            Err(fatal) => tracing::error!("the configuration stays as it is: {}", fatal.line()),
        };
        tokio::select! {
            ended = serve(door, listeners, signals, idle, reload) => ended,
            () = lost.lost() => Err(Fatal::new(Exit::System, "the devices of this machine are not followed any more")
                .help("see the message before this one; a new nodedevd, which systemd starts, looks at all devices again")),
        }
    });
    // Calls that still run, and clients that still read, are not waited for.
    runtime.shutdown_background();
    strangers.shutdown_background();
    result
}

/// Threads that serve clients.
fn runtime(name: &str, start: fn()) -> Result<tokio::runtime::Runtime, Fatal> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().worker_threads(threads).thread_name(name).on_thread_start(start);
    builder.build().map_err(|error| Fatal::system("start threads", &error))
}

/// The signals that the daemon acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch(runtime: &tokio::runtime::Runtime) -> Result<Self, Fatal> {
        let _context = runtime.enter();
        let on = |kind| signal(kind).map_err(|error| Fatal::system("wait for signals", &error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal or idleness ends it.
async fn serve(
    door: Arc<Door>,
    listeners: Listeners,
    mut signals: Signals,
    idle: Option<Duration>,
    reload: impl Fn(),
) -> Result<(), Fatal> {
    let Listeners { all, files: _files, are_given } = listeners;
    tracing::info!(
        sockets = all.len(),
        from_systemd = are_given,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    let mut accepting = tokio::task::JoinSet::new();
    for listener in all {
        accepting.spawn(Arc::clone(&door).open(listener));
    }
    notify(&[NotifyState::Ready]);
    let mut count = door.count();
    let why = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break "SIGTERM",
            _ = signals.interrupt.recv() => break "SIGINT",
            _ = signals.quit.recv() => break "SIGQUIT",
            _ = signals.hang_up.recv() => {
                match NotifyState::monotonic_usec_now() {
                    Ok(now) => notify(&[NotifyState::Reloading, now]),
                    Err(error) => tracing::warn!(%error, "there is no clock"),
                }
                reload();
                notify(&[NotifyState::Ready]);
            }
            () = idle_for(&mut count, idle) => break "there was no client for long enough",
            Some(ended) = accepting.join_next() => {
                if let Ok(Err(error)) = ended {
                    return Err(Fatal::system("accept clients", &error));
                }
            }
        }
    };
    notify(&[NotifyState::Stopping]);
    tracing::info!(why, "ending");
    Ok(())
}

/// After how long without a client to end; never where systemd, which starts the daemon for the clients of its sockets, has
/// not those for other machines.
fn idle(args: &Args, listeners: &Listeners) -> Option<Duration> {
    let is_unix = |listener: &Listener| matches!(listener, Listener::Unix { .. });
    if listeners.are_given && !listeners.all.iter().all(is_unix) {
        if args.idle().is_some() {
            tracing::info!(
                "there is no end for want of clients: those of other machines could not start nodedevd again"
            );
        }
        return None;
    }
    args.idle()
}

/// Gives back to the system what was held for clients, some time after one has gone.
async fn give_back(mut count: watch::Receiver<usize>) {
    let mut before = *count.borrow_and_update();
    while count.changed().await.is_ok() {
        let now = *count.borrow_and_update();
        if std::mem::replace(&mut before, now) > now {
            tokio::time::sleep(TIDY).await;
            // It cannot fail, but for want of a thread; then it is done the next time.
            let _ = tokio::task::spawn_blocking(nodedev_sys::give_back_memory).await;
        }
    }
}

/// How long after a client has gone the memory that it has used is given back, with that of others who go meanwhile.
const TIDY: Duration = Duration::from_secs(2);

/// Waits until there has been no client for so long.
async fn idle_for(count: &mut watch::Receiver<usize>, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        if count.wait_for(|count| *count == 0).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = tokio::time::sleep(idle) => return,
            _ = count.changed() => {}
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

/// Where the configuration is, and whether it may be absent.
fn config_path(args: &Args, is_root: bool) -> (Option<PathBuf>, bool) {
    if let Some(path) = &args.config {
        return (Some(path.clone()), false);
    }
    let dir = if is_root {
        Some(PathBuf::from("/etc"))
    } else {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))
    };
    let dir = dir.map(|dir| dir.join("libvirt"));
    let own = dir.as_ref().map(|dir| dir.join("nodedevd.conf")).filter(|path| path.exists());
    (own.or_else(|| dir.map(|dir| dir.join("virtnodedevd.conf"))), true)
}

fn warn_of(config: &Config) {
    for (key, reason) in &config.unused {
        tracing::warn!(key, reason, "this setting does nothing");
    }
}

/// What the configuration says about clients.
fn current(config: &Config, is_root: bool) -> Result<Current, Fatal> {
    let default = if is_root { Auth::Polkit } else { Auth::None };
    Ok(Current {
        settings: Settings {
            max_requests: config.max_client_requests,
            max_queued_events: config.max_queued_events,
            max_queued_event_bytes: config.max_queued_event_bytes,
            keepalive_interval: config.keepalive_interval,
            keepalive_count: config.keepalive_count,
            ..Settings::default()
        },
        auth: config.unix.auth.unwrap_or(default),
        read_only_auth: config.unix.read_only_auth.unwrap_or(default),
        gate: config.tls.listen.then(|| Gate::new(&config.tls)).transpose()?,
    })
}

fn open_root(args: &Args) -> Result<Root, Fatal> {
    match &args.root {
        Some(path) => Root::open(path).map_err(|error| {
            Fatal::new(Exit::NoInput, format!("cannot open {} as a recorded host: {error}", path.display()))
                .help("a recording is a folder that stands for /, or an archive of one; `nodedev record` makes them")
        }),
        None => Root::live().map_err(|error| {
            Fatal::new(Exit::System, format!("cannot look at this machine: {error}"))
                .help("mount sysfs, or serve a recording with --root")
        }),
    }
}

/// Finishes or undoes what a crash left of operations on devices, before anybody can ask for them.
fn recover(driver: &HostDriver) {
    if !driver.root().is_changeable() {
        return;
    }
    // A device whose driver fails costs seconds; systemd is not to end that, and begin it again, after its usual time.
    notify(&[NotifyState::ExtendTimeoutUsec(RECOVERY_MICROSECONDS)]);
    try_to_recover(driver);
}

fn try_to_recover(driver: &HostDriver) {
    match driver.recover_handovers() {
        Ok(issues) => {
            issues.iter().for_each(|issue| tracing::warn!("of an operation that was interrupted: {issue}"));
        }
        // Each operation tries it again for its own devices.
        Err(error) => tracing::warn!("operations that were interrupted cannot be looked for: {error}"),
    }
}

/// Recovers what could not be at the start: the kernel may not have come back yet from a write of the daemon before, and the lock
/// comes free when it does.
async fn recover_later(driver: Arc<HostDriver>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
        let driver = Arc::clone(&driver);
        // Both read the journal, and may wait for the kernel.
        let tried = tokio::task::spawn_blocking(move || {
            let is_awaited = driver.handovers().is_ok_and(|handovers| somebody_is_at_work(&handovers));
            try_to_recover(&driver);
            is_awaited
        });
        if !tried.await.unwrap_or(false) {
            return;
        }
    }
}

/// Whether somebody still has the lock of an operation that has not come to its end. One that has failed is tried again by
/// whoever wants its device.
fn somebody_is_at_work(handovers: &Handovers) -> bool {
    handovers.entries.iter().any(|entry| entry.state != HandoverState::Detached && entry.busy == Some(true))
}

/// Pauses between two looks at operations that have not come to their end.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long it may take to finish or undo what was interrupted: ten minutes.
const RECOVERY_MICROSECONDS: u32 = 600_000_000;

/// Priority of the threads that go first.
const FIRST: i32 = -15;

/// Lets this thread, and those that it starts, go before others.
///
/// Clients that list in a loop take all the processor time there is, and so do the threads that write to them. Those who
/// serve small calls and follow the devices use little, and need not wait for their next slice of it.
fn go_first() {
    if rustix::process::getpriority_process(None) == Ok(0) {
        // Only root may; without it, all is served as well as it goes.
        let _ = rustix::process::setpriority_process(None, FIRST);
    }
}

/// Lets this thread, and those that it starts, wait for their turn again.
fn stand_in_line() {
    if rustix::process::getpriority_process(None) == Ok(FIRST) {
        let _ = rustix::process::setpriority_process(None, 0);
    }
}

#[cfg(test)]
mod tests {
    use nodedev_model::Handover;

    use super::*;

    #[test]
    fn an_operation_is_awaited_as_long_as_somebody_has_its_lock_and_no_longer() {
        use HandoverState::{Detached, Detaching, Reattaching};
        for (state, busy, want) in [
            (Detaching, Some(true), true),
            (Reattaching, Some(true), true),
            // It was interrupted, and failed perhaps: it was just tried.
            (Reattaching, Some(false), false),
            (Detaching, None, false),
            // A reset.
            (Detached, Some(true), false),
            (Detached, Some(false), false),
        ] {
            let entry = Handover {
                name: "pci_0000_03_00_0".parse().unwrap(),
                address: "0000:03:00.0".parse().unwrap(),
                state,
                original: None,
                current: None,
                pid: 7,
                busy,
                since_seconds: 0,
                problem: None,
            };
            let handovers = Handovers { entries: vec![entry], issues: Vec::new() };
            assert_eq!(somebody_is_at_work(&handovers), want, "{state:?} {busy:?}");
        }
    }
}
