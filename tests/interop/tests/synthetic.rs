//! Synthetic hosts: the generator is held against the real libvirt, and so is nodedev on them.

use nodedev_interop::{Failure, libvirt_on, side_by_side};
use nodedev_testkit::synthetic::Host;

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn libvirt_sees_in_a_synthetic_host_what_the_manifest_says() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let manifest = Host::new(300).mdev(true).write(dir.path())?;
    let answers = libvirt_on(dir.path())?;
    let active = answers.names("list");
    for (capability, count) in manifest.counts() {
        let mut expected = manifest.names(capability).to_vec();
        let mut seen: Vec<String> = match capability {
            "inactive" => answers.names("list-inactive"),
            // The manifest counts inactive devices apart.
            _ => answers.by_capability[capability]
                .lines()
                .map(str::to_owned)
                .filter(|name| active.contains(name))
                .collect(),
        };
        expected.sort();
        seen.sort();
        assert_eq!(seen, expected, "{capability} ({count})");
    }
    assert_eq!(answers.names("list").len(), manifest.total() + 1);
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn synthetic_host_is_the_same_to_both() -> Result<(), Failure> {
    for (seed, mdev) in [(1, false), (2, true)] {
        let dir = tempfile::tempdir()?;
        Host::new(310).seed(seed).mdev(mdev).write(dir.path())?;
        side_by_side(&format!("synthetic host, seed {seed}"), dir.path())?;
    }
    Ok(())
}
