//! Definitions of mediated devices, made and changed by the real libvirt and by us with the real mdevctl: the same commands of
//! virsh say the same, and each daemon sees what the other has done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene, Virsh};

const UUID: &str = "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10";
const NAME: &str = "mdev_2ba9b46c_9c1f_4f2c_a1d8_2a8c0c4a9a10_0000_00_03_0";
/// How long one daemon may take to see what the other has done.
const PATIENCE: Duration = Duration::from_secs(20);

fn document(parent: &str, more: &str) -> String {
    format!(
        "<device><name>x</name><parent>{parent}</parent><capability type='mdev'><type id='t-1'/>\
         <uuid>{UUID}</uuid>{more}</capability></device>"
    )
}

/// What virsh says, with its status.
fn say(virsh: &Virsh, words: &[&str]) -> Result<String, Failure> {
    let output = virsh.output(words).map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Ok(format!("$ {}\n{stdout}{stderr}{}\n", words.join(" "), output.status))
}

/// What both daemons say, once it is the same.
fn both(a: &Virsh, b: &Virsh, words: &[&str], has: &str) -> Result<String, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let (first, second) = (say(a, words)?, say(b, words)?);
        if first == second && first.contains(has) {
            return Ok(first);
        }
        if Instant::now() > until {
            return Err(format!("not '{has}' of both\n-- libvirt's\n{first}-- ours\n{second}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Files {
    good: PathBuf,
    no_parent: PathBuf,
    no_uuid: PathBuf,
    no_device: PathBuf,
}

impl Files {
    fn write(folder: &Path) -> Result<Self, Failure> {
        let file = |name: &str, content: &str| -> Result<PathBuf, Failure> {
            let path = folder.join(name);
            std::fs::write(&path, content)?;
            Ok(path)
        };
        let attributes = "<attr name='a_b' value='1 2'/><attr name='c' value='3'/>";
        Ok(Self {
            good: file("good.xml", &document("pci_0000_00_03_0", attributes))?,
            no_parent: file("no-parent.xml", &document("pci_0000_ff_03_0", ""))?,
            no_uuid: file("no-uuid.xml", &document("pci_0000_00_03_0", "").replace(UUID, "2ba9b46c"))?,
            no_device: file("no-device.xml", "<device><name>x</name>")?,
        })
    }
}

/// All of it by one daemon; the other one looks on. What was said.
fn through(by: &Virsh, real: &Virsh, ours: &Virsh, files: &Files) -> Result<String, Failure> {
    let path = |file: &Path| file.to_string_lossy().into_owned();
    let mut said = String::new();
    let say = |virsh: &Virsh, words: &[&str]| say(virsh, words).inspect(|said| println!("{said}"));
    for file in [&files.no_parent, &files.no_uuid, &files.no_device] {
        said += &say(by, &["nodedev-define", &path(file)])?;
        said += &say(by, &["nodedev-create", &path(file)])?;
    }
    said += &say(by, &["nodedev-define", &path(&files.good)])?;
    said += &both(real, ours, &["nodedev-info", NAME], "Persistent:     yes")?;
    said += &both(real, ours, &["nodedev-dumpxml", NAME], "<attr name='c' value='3'/>")?;
    said += &both(real, ours, &["nodedev-list", "--cap", "mdev", "--inactive"], NAME)?;
    // The parent makes no such devices, and mdevctl finds that out.
    said += &say(by, &["nodedev-start", NAME])?;
    said += &say(by, &["nodedev-create", &path(&files.good)])?;
    said += &say(by, &["nodedev-destroy", NAME])?;
    said += &say(by, &["nodedev-autostart", NAME])?;
    said += &both(real, ours, &["nodedev-info", NAME], "Autostart:      yes")?;
    said += &say(by, &["nodedev-autostart", NAME])?;
    said += &say(by, &["nodedev-autostart", NAME, "--disable"])?;
    said += &both(real, ours, &["nodedev-info", NAME], "Autostart:      no")?;
    said += &say(by, &["nodedev-update", NAME, &path(&files.good), "--live"])?;
    said += &say(by, &["nodedev-undefine", NAME])?;
    said += &both(real, ours, &["nodedev-info", NAME], "Could not find matching device")?;
    said += &say(by, &["nodedev-undefine", NAME])?;
    Ok(said)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn definitions_are_made_and_changed_as_the_real_libvirt_does_it() -> Result<(), Failure> {
    let fixture = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "kitchen-sink");
    let root = fixture.ok_or("there is no recorded host kitchen-sink".to_owned())?.unpack()?;
    let real = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
    let ours = Nodedevd::launched(real.beside(&Nodedevd::program()?)?)?;
    let folder = tempfile::tempdir()?;
    let files = Files::write(folder.path())?;
    let theirs = through(real.client(), real.client(), ours.client(), &files)?;
    let by_us = through(ours.client(), real.client(), ours.client(), &files)?;
    println!("{theirs}");
    if theirs != by_us {
        return Err(format!("-- by libvirt\n{theirs}\n-- by us\n{by_us}").into());
    }
    Ok(())
}
