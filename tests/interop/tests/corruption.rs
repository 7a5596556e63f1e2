//! A host with any one of its files gone, cut off, garbled or replaced is still listed and described.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nodedev::{Connection, ListFlags, XmlFlags};
use nodedev_interop::{Failure, made};
use nodedev_testkit::corrupt::{Case, each_file};
use nodedev_testkit::synthetic::Host;

/// A case may take that long. They take milliseconds; a loop of links that is followed takes forever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names of the devices that can be listed, after each was described.
fn look(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let failed = |error: nodedev::Error| Failure::from(error.to_string());
    let host = Connection::open_root(root).map_err(failed)?;
    let mut names = BTreeSet::new();
    for device in host.list(ListFlags::empty()).map_err(failed)? {
        let name = device.name.as_str();
        let document = host.xml(name, XmlFlags::empty()).map_err(failed)?;
        if !document.starts_with(b"<device>\n  <name>") || !document.ends_with(b"</device>\n") {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&document)).into());
        }
        names.insert(name.to_owned());
    }
    host.devices().and_then(|devices| devices.issues()).map_err(failed)?;
    Ok(names)
}

/// Breaks every file; a host may lose the one device that the file is about, or that device its name.
fn survives(root: &Path, choose: impl Fn(&Path) -> bool) -> Result<usize, Failure> {
    let whole = look(root)?;
    let check = |case: Case<'_>| -> Result<(), Failure> {
        let start = Instant::now();
        let at =
            |problem: String| Failure::from(format!("{} {:?}: {problem}", case.path.display(), case.damage));
        let names = look(case.root).map_err(|failure| at(failure.to_string()))?;
        let lost: Vec<&String> = whole.difference(&names).collect();
        if lost.len() > 1 || !names.contains("computer") {
            return Err(at(format!("lost {lost:?}")));
        }
        if start.elapsed() > PATIENCE {
            return Err(at(format!("took {:?}", start.elapsed())));
        }
        Ok(())
    };
    each_file(root, choose, check)
}

#[test]
fn any_file_of_a_hand_made_host_can_be_broken() -> Result<(), Failure> {
    for made in made::ALL {
        let tree = made.tree()?;
        let cases = survives(tree.root(), |_| true)?;
        println!("{}: {cases} cases", made.name);
    }
    Ok(())
}

#[test]
fn any_file_of_a_synthetic_host_can_be_broken() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(100).mdev(true).noise(false).write(dir.path())?;
    // One device of each kind: the others are the same.
    let chosen = [
        "0000:00:02.0/0000:02:00.0/",
        "0000:01:00.0/",
        "/etc/",
        "/usr/",
        "/dmi/",
        "/class/fc_",
        "/iommu_groups/0/",
    ];
    let cases = survives(dir.path(), |path| {
        let path = format!("/{}", path.display());
        let other = ["/power/", "/statistics/", "rport-0:0-1", "0:0:0:1"];
        chosen.iter().any(|part| path.contains(part)) && !other.iter().any(|part| path.contains(part))
    })?;
    println!("synthetic: {cases} cases");
    assert!(cases > 500, "{cases}");
    Ok(())
}

#[test]
fn a_folder_without_devices_is_still_a_host() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir(dir.path().join("sys"))?;
    assert_eq!(look(dir.path())?, BTreeSet::from(["computer".to_owned()]));
    Ok(())
}
