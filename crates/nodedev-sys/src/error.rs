use std::fmt;
use std::io;

/// The operating system's number for a file that is not there.
pub const NO_ENTRY: i32 = libc::ENOENT;

/// What was being done when the operating system, or a recording, refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Open a file or folder.
    Open,
    /// Read a file.
    Read,
    /// Read the target of a symbolic link.
    ReadLink,
    /// List a folder.
    List,
    /// Write a file.
    Write,
    /// Unpack a recording.
    Unpack,
    /// Remove a file.
    Remove,
    /// Lock a file.
    Lock,
    /// Run a program.
    Run,
    /// Ask the kernel over a socket; what is asked for stands in place of a file.
    Ask,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "cannot open",
            Self::Read => "cannot read",
            Self::ReadLink => "cannot read the link",
            Self::List => "cannot list",
            Self::Write => "cannot write",
            Self::Unpack => "cannot unpack",
            Self::Remove => "cannot remove",
            Self::Lock => "cannot lock",
            Self::Run => "cannot run",
            Self::Ask => "cannot ask the kernel for its",
        })
    }
}

/// A file of the host could not be read, or holds what it should not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysError {
    /// The operating system refused.
    #[error("{operation} {path}")]
    Io {
        /// What was being done.
        operation: Operation,
        /// The file, as an absolute path of the host.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than anything that is read here.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file, as an absolute path of the host.
        path: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// The root does not hold a host.
    #[error("{path} is no recording of a host: {problem}")]
    NotAHost {
        /// The root.
        path: String,
        /// What is wrong with it, and what a root should be.
        problem: &'static str,
    },
    /// Something was to be changed in a recording.
    #[error("{path} belongs to a recording, which is not changed")]
    ReadOnly {
        /// The file, as an absolute path of the host.
        path: String,
    },
    /// A file of the kernel's holds what cannot be understood.
    #[error("{path} cannot be understood: {problem}")]
    Malformed {
        /// The file, as an absolute path of the host.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A kernel module could not be loaded.
    #[error("cannot load the kernel module {name}: {problem}")]
    Module {
        /// Name of the module.
        name: String,
        /// What modprobe said, on one line.
        problem: String,
    },
}

impl SysError {
    pub(crate) fn io(operation: Operation, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: display_path(path), source: source.into() }
    }

    /// An error for a file that cannot be understood; the path is relative to the root.
    pub fn malformed(path: &[u8], problem: impl Into<String>) -> Self {
        Self::Malformed { path: display_path(path), problem: problem.into() }
    }

    /// The same error for the file's full path.
    pub(crate) fn at(mut self, full: Vec<u8>) -> Self {
        match &mut self {
            Self::Io { path, .. }
            | Self::TooLarge { path, .. }
            | Self::NotAHost { path, .. }
            | Self::Malformed { path, .. }
            | Self::ReadOnly { path } => *path = display_path(&full),
            Self::Module { .. } => {}
        }
        self
    }

    /// The file, as an absolute path of the host; the name of a module.
    pub fn path(&self) -> &str {
        match self {
            Self::Io { path, .. }
            | Self::TooLarge { path, .. }
            | Self::NotAHost { path, .. }
            | Self::Malformed { path, .. }
            | Self::ReadOnly { path } => path,
            Self::Module { name, .. } => name,
        }
    }

    /// The number that the operating system gave; absent if it was not the one that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// What is wrong, without the path: for an entry in a list of issues.
    pub fn problem(&self) -> String {
        match self {
            Self::Io { operation, source, .. } => format!("{operation}: {source}"),
            Self::TooLarge { limit, .. } => format!("larger than {limit} bytes"),
            Self::NotAHost { problem, .. } => (*problem).to_owned(),
            Self::ReadOnly { .. } => "a recording is not changed".to_owned(),
            Self::Malformed { problem, .. } | Self::Module { problem, .. } => problem.clone(),
        }
    }

    /// Whether the caller may not read the file, as opposed to the file being broken.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the kernel says that the process is gone whose files were looked at.
    pub fn is_over(&self) -> bool {
        self.is_vanished() || self.errno() == Some(libc::ESRCH)
    }

    /// Whether no more files may be open, by this process or by all together: it says nothing about the file.
    pub fn is_exhausted(&self) -> bool {
        matches!(self.errno(), Some(libc::EMFILE | libc::ENFILE))
    }

    /// Whether the kernel has no room for a name.
    pub(crate) fn is_name_too_long(&self) -> bool {
        self.errno() == Some(libc::ENAMETOOLONG)
    }

    /// Whether the kernel says that the device is gone.
    pub fn is_vanished(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::ENXIO)))
    }
}

/// A path of the host as text: absolute, bytes that are not UTF-8 as `\xHH`.
pub(crate) fn display_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len() + 1);
    if !path.starts_with(b"/") {
        text.push('/');
    }
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
