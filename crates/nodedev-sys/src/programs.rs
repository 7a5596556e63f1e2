//! Programs that know what no file of the kernel tells: modprobe and mdevctl.
//!
//! They read and write memory files, and no pipes: nothing has to be read while they run, so that they can be given a time
//! limit without a thread; and one that does not read its input sends no SIGPIPE, which ends a program that is not Rust's.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

/// How long a program may take. A module that is loaded can look at many devices at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long one that was killed may take to end: one that waits in the kernel may never.
const DEATH: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` where nobody knows: in a process that ignores SIGCHLD the kernel keeps no status.
    status: Option<ExitStatus>,
    /// What it wrote to its output and to its standard error, the beginning of each.
    pub(crate) output: Vec<u8>,
    pub(crate) complaint: Vec<u8>,
}

impl Ended {
    /// Whether it did what it should ([`is_success`]).
    pub(crate) fn is_success(&self) -> bool {
        is_success(self.status, &self.complaint)
    }

    /// For people, where it says nothing itself.
    pub(crate) fn told(&self) -> String {
        self.status.map_or_else(|| "no known status".to_owned(), |status| status.to_string())
    }
}

/// Whether a program did what it should. Where nobody knows, it did if it does not complain.
pub(crate) fn is_success(status: Option<ExitStatus>, complaint: &[u8]) -> bool {
    status.map_or(complaint.is_empty(), |status| status.success())
}

/// Starts the first of some programs that is there.
pub(crate) fn spawn_first(programs: impl IntoIterator<Item = io::Result<Command>>) -> io::Result<Child> {
    let mut started = Err(io::Error::from(io::ErrorKind::NotFound));
    for program in programs {
        started = program.and_then(|mut program| program.spawn());
        if !matches!(&started, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    started
}

/// Runs the first of some programs that is there, with an input, and keeps so many bytes of what it writes.
pub(crate) fn run(
    programs: impl IntoIterator<Item = Command>,
    input: &[u8],
    keep: usize,
    patience: Duration,
) -> io::Result<Ended> {
    let stdin = memory_file_of(input)?;
    let (output, complaint) = (memory_file()?, memory_file()?);
    let mut child = spawn_first(programs.into_iter().map(|mut program| {
        program.stdin(stdin.try_clone()?).stdout(output.try_clone()?).stderr(complaint.try_clone()?);
        Ok(program)
    }))?;
    let status = match wait(&mut child, patience)? {
        Waited::Ended(status) => status,
        Waited::TooLong => {
            // It may have ended by itself just now.
            let _ = child.kill();
            let _ = wait(&mut child, DEATH);
            let seconds = patience.as_secs();
            let text = format!("it was ended, since it did not end within {seconds} seconds");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
    };
    Ok(Ended { status, output: beginning(&output, keep)?, complaint: beginning(&complaint, keep)? })
}

/// What came of waiting for a program.
pub(crate) enum Waited {
    Ended(Option<ExitStatus>),
    TooLong,
}

/// Waits so long for a program to end.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> io::Result<Waited> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Waited::Ended(Some(status))),
            Ok(None) if start.elapsed() >= patience => return Ok(Waited::TooLong),
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(Waited::Ended(None)),
            Err(error) => return Err(error),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A file in memory with some content, which is read from its beginning.
pub(crate) fn memory_file_of(content: &[u8]) -> io::Result<File> {
    let file = memory_file()?;
    // Does not move the place that a program reads from.
    file.write_all_at(content, 0)?;
    Ok(file)
}

fn memory_file() -> io::Result<File> {
    let fd: OwnedFd = memfd_create("nodedev", MemfdFlags::CLOEXEC)?;
    Ok(File::from(fd))
}

/// The first bytes of a file.
pub(crate) fn beginning(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Ended, PATIENCE, run};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn ran(script: &str, input: &[u8]) -> Ended {
        run([Command::new("/nosuch"), shell(script)], input, 5, PATIENCE).unwrap()
    }

    #[test]
    fn a_program_gets_its_input_and_what_it_says_is_kept_up_to_a_bound() {
        let ended = ran("cat; echo complaint >&2; exit 3", b"12345678");
        assert_eq!((&ended.output[..], &ended.complaint[..]), (&b"12345"[..], &b"compl"[..]));
        assert!(!ended.is_success());
        assert!(ended.told().contains('3'), "{}", ended.told());
        assert!(ran("cat", b"").is_success());
        let error = run([Command::new("/nosuch")], b"", 5, PATIENCE).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_reads_nothing_and_writes_much_ends_and_no_pipe_is_anywhere() {
        let input = vec![b'x'; 1 << 20];
        let script =
            "for fd in 0 1 2; do [ ! -p /proc/self/fd/$fd ] || exit 1; done; head -c 1000000 /dev/zero";
        assert!(ran(script, &input).is_success());
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let start = Instant::now();
        let error = run([shell("exec sleep 1000")], b"", 5, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(100));
    }

    /// Set in the process that the next test runs.
    const IGNORES: &str = "NODEDEV_TEST_IGNORES_SIGCHLD";

    #[test]
    fn a_process_that_ignores_its_children_hears_of_them_by_what_they_say() {
        if std::env::var_os(IGNORES).is_some() {
            let ended = ran("exit 0", b"");
            assert!(ended.status.is_none(), "{ended:?}");
            assert!(ended.is_success());
            assert!(!ran("echo no >&2; exit 1", b"").is_success());
            return;
        }
        let name = "programs::tests::a_process_that_ignores_its_children_hears_of_them_by_what_they_say";
        let status = Command::new("env")
            .arg("--ignore-signal=CHLD")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(IGNORES, "1")
            .status()
            .unwrap();
        assert!(status.success());
    }
}
