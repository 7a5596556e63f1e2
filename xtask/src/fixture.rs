//! `cargo xtask fixture`: a small recorded host for the repository, made from a large one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::answers::Answers;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::peer::{Libvirt, Scene};
use nodedev_testkit::shrink::Shrink;
use nodedev_testkit::{fixtures, repository};

/// Makes fixture `name` of the devices `keep` of the unpacked recording `source`, and asks the real libvirt about it.
pub(crate) fn make(source: &Path, name: &str, keep: &[String]) -> Result<()> {
    let libvirt = Libvirt::find()?;
    if !libvirt.is_reference() {
        bail!("golden files come from libvirt 11.3, but this machine has {}", libvirt.version());
    }
    let before = libvirt.start(&Scene::Tree(source.to_owned()))?.answers()?;
    let mut shrink = Shrink::default();
    let mut unknown: BTreeSet<&str> = keep.iter().map(String::as_str).collect();
    for (device, document) in &before.xml {
        let asked_for = unknown.remove(device.as_str());
        // A definition without a device has no path; it stays with the folder of definitions.
        let Some(path) = sysfs_path(document) else { continue };
        if asked_for {
            shrink.keep.insert(path.clone());
        }
        shrink.devices.insert(path);
    }
    if !unknown.is_empty() {
        bail!("not on this host: {unknown:?}");
    }

    let small = tempfile::tempdir()?;
    shrink.copy(source, small.path())?;
    let after = libvirt.start(&Scene::Tree(small.path().to_owned()))?.answers()?;
    report(&before, &after);
    let dir = repository().join("fixtures/hosts").join(name);
    fs::create_dir_all(&dir)?;
    fixtures::pack(small.path(), &dir.join("root.tar.gz"))?;
    after.write(&dir)?;
    let archive = fs::metadata(dir.join("root.tar.gz"))?.len();
    println!("{}: {} devices, archive of {} KiB", dir.display(), after.xml.len(), archive / 1024);
    Ok(())
}

/// Asks the real libvirt again about fixture `name`.
pub(crate) fn refresh(name: &str) -> Result<()> {
    let fixture = fixtures::all()?
        .into_iter()
        .find(|fixture| fixture.name() == name)
        .context("there is no such fixture")?;
    let root = fixture.unpack()?;
    let answers = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?.answers()?;
    answers.write(fixture.dir())?;
    Ok(())
}

/// Says which devices libvirt describes differently now that others are gone; these need a look.
fn report(before: &Answers, after: &Answers) {
    let mut same = before.clone();
    same.xml.retain(|name, _| after.xml.contains_key(name));
    same.inactive_xml.retain(|name, _| after.inactive_xml.contains_key(name));
    let differences = nodedev_testkit::compare::differences(&same.xml, &after.xml, Tolerance::Order);
    if differences.is_empty() {
        println!("all {} devices are described as on the whole host", after.xml.len());
    } else {
        println!("described differently than on the whole host:\n{differences}");
    }
}

/// The `<path>` of a document, relative to `sys`.
fn sysfs_path(document: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(document);
    let path =
        text.lines().find_map(|line| line.trim().strip_prefix("<path>/sys/")?.strip_suffix("</path>"))?;
    Some(PathBuf::from(path))
}
