//! What `cargo xtask install` leaves: a program is built with its pkg-config file and Debian's headers, and runs.

use std::path::Path;
use std::process::Command;

use nodedev_interop::Failure;

use crate::{said, source, xtask};

/// What has to be there, below the prefix.
const INSTALLED: &[&str] = &[
    "bin/nodedev",
    "sbin/nodedevd",
    "lib/libvirt.so",
    "lib/libvirt.so.0",
    "lib/libvirt-qemu.so",
    "lib/libvirt-qemu.so.0",
    "lib/libvirt-lxc.so",
    "lib/libvirt-lxc.so.0",
    "lib/pkgconfig/libvirt.pc",
    "lib/pkgconfig/libvirt-lxc.pc",
    "lib/systemd/system/nodedevd.service",
    "lib/systemd/system/nodedevd.socket",
    "lib/systemd/system/nodedevd-ro.socket",
    "share/man/man1/nodedev.1",
    "share/polkit-1/actions/org.libvirt.unix.policy",
    "share/polkit-1/actions/org.nodedev.policy",
];

fn succeeds(command: &mut Command) -> Result<String, Failure> {
    let output = command.env("LC_ALL", "C").output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", said(&output)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
#[ignore = "needs libvirt's headers: cargo xtask test"]
fn a_program_is_built_against_the_installed_library_and_runs() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let prefix = folder.path().join("prefix");
    let text = prefix.to_string_lossy().into_owned();
    succeeds(&mut xtask(&["install", "--debug", "--prefix", &text]))?;
    for file in INSTALLED {
        assert!(prefix.join(file).is_file(), "{file} is not installed");
    }
    let unit = std::fs::read_to_string(prefix.join("lib/systemd/system/nodedevd.service"))?;
    assert!(unit.contains(&format!("ExecStart={text}/sbin/nodedevd ")), "{unit}");

    let pkg_config = prefix.join("lib/pkgconfig");
    let ask = |word: &str, library: &str| {
        succeeds(Command::new("pkg-config").args([word, library]).env("PKG_CONFIG_PATH", &pkg_config))
    };
    assert_eq!(ask("--modversion", "libvirt")?, "11.3.0");
    let libraries = ask("--libs", "libvirt")?;
    assert_eq!(libraries, format!("-L{text}/lib -lvirt"));
    assert_eq!(ask("--libs", "libvirt-qemu")?, format!("-L{text}/lib -lvirt-qemu -lvirt"));
    let program = folder.path().join("node_device");
    let mut compiler = Command::new("cc");
    compiler.arg("-o").arg(&program).arg(source("node_device.c"));
    compiler.args(ask("--cflags", "libvirt")?.split_whitespace()).args(libraries.split_whitespace());
    succeeds(&mut compiler)?;

    let run = |library: &Path| {
        succeeds(Command::new(&program).arg("test:///default").env("LD_LIBRARY_PATH", library))
    };
    assert!(run(&prefix.join("lib"))?.contains("== scsi_host11, parent scsi_host1"));
    // It was linked with the versions of the symbols, or libvirt's own library would not do.
    assert!(run(Path::new("/nonexistent"))?.contains("== scsi_host11, parent scsi_host1"));
    let needed = succeeds(Command::new("readelf").args(["--version-info", "--wide"]).arg(&program))?;
    assert!(needed.contains("LIBVIRT_7.8.0") && needed.contains("LIBVIRT_0.5.0"), "{needed}");
    Ok(())
}

#[test]
#[ignore = "needs libvirt's headers: cargo xtask test"]
fn a_folder_that_stands_for_the_root_does_not_show_in_what_is_installed() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let text = folder.path().to_string_lossy().into_owned();
    // As if libvirt had been installed there.
    let actions = folder.path().join("opt/nodedev/share/polkit-1/actions");
    std::fs::create_dir_all(&actions)?;
    std::fs::write(actions.join("org.libvirt.unix.policy"), "<policyconfig/>")?;
    succeeds(&mut xtask(&["install", "--debug", "--prefix", "/opt/nodedev", "--destdir", &text]))?;
    assert_eq!(std::fs::read_to_string(actions.join("org.libvirt.unix.policy"))?, "<policyconfig/>");
    assert!(actions.join("org.libvirt.api.nodedev.policy").is_file(), "libvirt's own was not there");
    let description = std::fs::read_to_string(folder.path().join("opt/nodedev/lib/pkgconfig/libvirt.pc"))?;
    assert!(description.contains("libdir=/opt/nodedev/lib") && !description.contains(&text), "{description}");
    Ok(())
}
