//! Our `libvirt.so.0` beside libvirt's: the same program, built once against Debian's headers and library, runs over
//! either, and has to print the same.

mod alike;
mod bindings;
mod installed;
mod memory;
mod python;
mod signals;
mod stubs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use nodedev_interop::Failure;
use nodedev_testkit::compare::in_words_of;
use nodedev_testkit::repository;
use tempfile::TempDir;

/// A library to run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// The one that Debian installs.
    Real,
    Ours,
}

/// Our library's folder; the first who asks builds it.
fn our_folder() -> Result<PathBuf, Failure> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || -> Result<PathBuf, String> {
        let output = xtask(&["c-library"]).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    BUILT.get_or_init(build).clone().map_err(Failure::from)
}

/// A task of the workspace.
fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "xtask", "--"]).args(arguments).current_dir(repository());
    command
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c_library").join(name)
}

/// A C program of this folder, built against Debian's libvirt.
struct Program {
    file: PathBuf,
    _folder: TempDir,
}

impl Program {
    fn build(name: &str) -> Result<Self, Failure> {
        Self::build_with(name, &[])
    }

    /// With further options of the compiler.
    fn build_with(name: &str, options: &[&str]) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(name);
        let mut compiler = Command::new("cc");
        compiler.args(["-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&file);
        compiler.args(options).arg(source(&format!("{name}.c"))).arg("-lvirt");
        let output = compiler.output()?;
        if !output.status.success() {
            return Err(format!("{name}.c: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(Self { file, _folder: folder })
    }

    /// The program over a library, ready to be given arguments.
    fn over(&self, library: Library) -> Result<Command, Failure> {
        over(library, Command::new(&self.file))
    }
}

/// Has a command use a library.
fn over(library: Library, mut command: Command) -> Result<Command, Failure> {
    if library == Library::Ours {
        command.env("LD_LIBRARY_PATH", our_folder()?);
    }
    // What a user has set must not name another daemon or language.
    command.env("LC_ALL", "C").env_remove("LIBVIRT_DEFAULT_URI").env_remove("XDG_RUNTIME_DIR");
    // On a machine that does not know its own name, libvirt's library logs that as a warning; ours has no log.
    command.env("LIBVIRT_DEBUG", "4").stdin(Stdio::null());
    Ok(command)
}

/// All that a program did.
fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{stdout}stderr:\n{stderr}", output.status)
}

/// Where two texts begin to differ, with what comes before and after.
fn difference(real: &str, ours: &str) -> String {
    const BEFORE: usize = 4;
    const ALL: usize = 16;
    let same = real.lines().zip(ours.lines()).take_while(|(real, ours)| real == ours).count();
    let part = |text: &str| -> String {
        text.lines().skip(same.saturating_sub(BEFORE)).take(ALL).flat_map(|line| [line, "\n"]).collect()
    };
    format!("\n-- line {} of libvirt's\n{}-- of ours\n{}", same + 1, part(real), part(ours))
}

/// What a program says over both, which has to be the same, and to end well over the real one.
fn same(what: &str, run: impl Fn(Library) -> Result<Output, Failure>) -> Result<String, Failure> {
    let real = said(&run(Library::Real)?);
    if !real.starts_with("exit status: 0\n") {
        return Err(format!("{what} fails over libvirt: {real}").into());
    }
    let ours = said(&run(Library::Ours)?);
    let ours = in_words_of(&real, &ours).into_owned();
    if real != ours {
        return Err(
            format!("{what} says something else over our library:{}", difference(&real, &ours)).into()
        );
    }
    Ok(ours)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn programs_that_are_given_our_folder_load_our_library() -> Result<(), Failure> {
    let program = Program::build("typed_params")?;
    for (library, expected) in [(Library::Real, false), (Library::Ours, true)] {
        let mut list = program.over(library)?;
        let output = list.env("LD_TRACE_LOADED_OBJECTS", "1").output()?;
        let loaded = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = format!("libvirt.so.0 => {}", our_folder()?.display());
        assert_eq!(loaded.contains(&ours), expected, "{library:?}: {loaded}");
        assert_eq!(loaded.contains("libglib-2.0"), !expected, "{library:?}: {loaded}");
    }
    Ok(())
}
