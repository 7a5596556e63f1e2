//! Mediated devices, and what mdevctl does with them and with its files: one thing after the other, so that it can fail or be
//! killed between any two.
//!
//! Source: `drivers/vfio/mdev/mdev_sysfs.c`; mdevctl's manual page.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nodedev_sys::mdevctl::Ran;
use serde_json::Value;

use super::faults::Faults;

/// Why mdevctl ends early.
enum End {
    /// It was killed, with whoever ran it.
    Killed(i32),
    /// Something failed, and it says so.
    Failed(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

type Result<T> = std::result::Result<T, End>;

/// One run of mdevctl.
struct Run<'a> {
    folder: &'a Path,
    faults: &'a mut Faults,
    command: &'a str,
    parent: Option<&'a str>,
    uuid: &'a str,
    switches: Vec<&'a str>,
    input: Option<&'a str>,
}

/// Runs mdevctl. The error is the number of that of whoever ran it and was killed.
pub(super) fn run(
    folder: &Path,
    faults: &mut Faults,
    arguments: &[&str],
    input: Option<&str>,
) -> std::result::Result<Ran, i32> {
    let of = |option: &str| arguments.iter().find_map(|argument| argument.strip_prefix(option));
    let done = if arguments.contains(&"--help") {
        Ok(())
    } else {
        Run {
            folder,
            faults,
            command: arguments.first().copied().unwrap_or_default(),
            parent: of("--parent="),
            uuid: of("--uuid=").unwrap_or_default(),
            switches: arguments.to_vec(),
            input,
        }
        .act()
    };
    match done {
        Ok(()) => Ok(Ran { success: true, output: String::new(), complaint: String::new() }),
        Err(End::Failed(complaint)) => Ok(Ran { success: false, output: String::new(), complaint }),
        Err(End::Killed(errno)) => Err(errno),
    }
}

impl Run<'_> {
    /// One thing that is done to the host.
    fn step(&mut self) -> Result<()> {
        match self.faults.next() {
            Some(errno) if self.faults.has_crashed() => Err(End::Killed(errno)),
            Some(errno) => Err(End::Failed(format!("errno {errno}"))),
            None => Ok(()),
        }
    }

    fn is(&self, switch: &str) -> bool {
        self.switches.contains(&switch)
    }

    fn link(&self) -> PathBuf {
        self.folder.join("sys/bus/mdev/devices").join(self.uuid)
    }

    fn file(&self) -> Result<PathBuf> {
        let parent = self.parent.ok_or_else(|| End::Failed("no parent".to_owned()))?;
        Ok(self.folder.join("etc/mdevctl.d").join(parent).join(self.uuid))
    }

    fn definition(&self) -> Result<Value> {
        let content = fs::read(self.file()?)?;
        serde_json::from_slice(&content).map_err(|error| End::Failed(error.to_string()))
    }

    fn given(&self) -> Result<Option<Value>> {
        let Some(input) = self.input else { return Ok(None) };
        serde_json::from_str(input).map(Some).map_err(|error| End::Failed(error.to_string()))
    }

    fn act(mut self) -> Result<()> {
        match self.command {
            "define" if self.file()?.exists() => Err(End::Failed("it is defined already".to_owned())),
            "define" => {
                let given = self.given()?.unwrap_or_default();
                self.write(&given)
            }
            "undefine" => {
                // A file that mdevctl cannot read is none of its definitions.
                self.definition()?;
                self.step()?;
                Ok(fs::remove_file(self.file()?)?)
            }
            "modify" => self.modify(),
            "start" => self.start(),
            "stop" => self.stop(),
            other => Err(End::Failed(format!("unknown command {other}"))),
        }
    }

    /// Writes the definition, in two parts.
    fn write(&mut self, value: &Value) -> Result<()> {
        let (file, text) = (self.file()?, value.to_string());
        self.step()?;
        fs::create_dir_all(file.parent().unwrap_or(self.folder))?;
        fs::write(&file, &text.as_bytes()[..text.len() / 2])?;
        self.step()?;
        Ok(fs::write(&file, text)?)
    }

    fn modify(&mut self) -> Result<()> {
        let given = self.given()?;
        if self.is("--live") {
            self.give_attributes(given.as_ref().unwrap_or(&Value::Null))?;
        }
        let mut definition = match (given, self.is("--defined")) {
            (Some(_), false) => return Ok(()),
            (Some(given), true) => {
                self.definition()?;
                given
            }
            (None, _) => self.definition()?,
        };
        for (switch, start) in [("--auto", "auto"), ("--manual", "manual")] {
            if self.is(switch) {
                definition["start"] = start.into();
            }
        }
        self.write(&definition)
    }

    fn start(&mut self) -> Result<()> {
        let config = match self.given()? {
            Some(given) => given,
            None => self.definition()?,
        };
        let parent = self.parent.ok_or_else(|| End::Failed("no parent".to_owned()))?;
        let above = self.folder.join("sys/bus/pci/devices").join(parent).canonicalize()?;
        let kind = config["mdev_type"].as_str().unwrap_or_default();
        if !above.join("mdev_supported_types").join(kind).exists() {
            return Err(End::Failed(format!("no type {kind}")));
        }
        if self.link().exists() {
            return Err(End::Failed("it is there already".to_owned()));
        }
        self.step()?;
        let device = above.join(self.uuid);
        fs::create_dir_all(&device)?;
        symlink(format!("../mdev_supported_types/{kind}"), device.join("mdev_type"))?;
        symlink("../../../../kernel/iommu_groups/77", device.join("iommu_group"))?;
        fs::create_dir_all(self.folder.join("sys/bus/mdev/devices"))?;
        let sys = self.folder.join("sys").canonicalize()?;
        let below = device.strip_prefix(sys).unwrap_or(&device);
        symlink(format!("../../../{}", below.display()), self.link())?;
        match self.give_attributes(&config) {
            Err(End::Failed(complaint)) => {
                self.remove()?;
                Err(End::Failed(complaint))
            }
            given => given,
        }
    }

    fn give_attributes(&mut self, config: &Value) -> Result<()> {
        let attributes = config["attrs"].as_array().cloned().unwrap_or_default();
        for (name, value) in attributes.iter().filter_map(Value::as_object).flatten() {
            self.step()?;
            fs::write(self.link().join(name), value.as_str().unwrap_or_default())?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if !self.link().exists() {
            return Err(End::Failed("it is not there".to_owned()));
        }
        self.step()?;
        self.remove()
    }

    fn remove(&self) -> Result<()> {
        let device = self.link().canonicalize()?;
        fs::remove_file(self.link())?;
        Ok(fs::remove_dir_all(device)?)
    }
}
