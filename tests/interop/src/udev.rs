//! systemd's udev, for tests that need what it tells.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::mount::{MsFlags, mount};

use crate::Failure;
use crate::listener::Running;

const PATIENCE: Duration = Duration::from_secs(20);
const PLACES: [&str; 2] = ["/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd"];

/// Starts it with a `/run` of its own. To be called in [`private`](crate::network::private).
///
/// # Errors
/// If it is not installed, or does not come up.
pub fn start() -> Result<Running, Failure> {
    let program = PLACES.into_iter().find(|place| Path::new(place).exists());
    let program = program.ok_or("udev is not installed: run `cargo xtask test`".to_owned())?;
    mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .map_err(|error| format!("cannot mount /run: {error}"))?;
    fs::create_dir("/run/udev")?;
    let udev = Running(Command::new(program).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let until = Instant::now() + PATIENCE;
    while !Path::new("/run/udev/control").exists() {
        if Instant::now() > until {
            return Err("udev does not come up".to_owned().into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(udev)
}
