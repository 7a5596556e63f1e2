//! How the daemon ends.

use std::fmt;

/// Exit status, as systemd and `sysexits.h` know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// What `--root` names can't be opened (`EX_NOINPUT`).
    NoInput = 66,
    /// Somebody else has the sockets (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The operating system refused something (`EX_OSERR`).
    System = 71,
    /// A file or directory can't be made (`EX_CANTCREAT`).
    CannotCreate = 73,
    /// The user may not do it (`EX_NOPERM`).
    NoPermission = 77,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

/// Why the daemon can't start, and what to do.
#[derive(Debug)]
pub(crate) struct Fatal {
    exit: Exit,
    what: String,
    help: Option<String>,
}

impl Fatal {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same in one line, for the log.
    pub(crate) fn line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!("; {help}"));
        format!("{}{}", self.what, help.unwrap_or_default())
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// An error of the system while `doing` something.
    pub(crate) fn system(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::System,
        };
        Self::new(exit, format!("cannot {doing}: {error}"))
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}
