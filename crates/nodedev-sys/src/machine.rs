//! What the running kernel itself is asked.

/// Architecture of this machine as `uname -m` says it. `None` where that is no text.
pub fn architecture() -> Option<String> {
    rustix::system::uname().machine().to_str().ok().map(str::to_owned)
}
