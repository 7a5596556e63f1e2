//! Drivers of mediated devices for a guest without such hardware: the kernel's samples
//! (Documentation/driver-api/vfio-mediated-device.rst). Debian does not build them, but has their source and what to build with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packages;
use super::root::output;
use crate::peers;

/// Modules without hardware: serial ports of which one parent has many, and a display.
pub(super) const MODULES: &[&str] = &["mtty", "mdpy"];
const FOLDER: &str = "samples/vfio-mdev";

/// Folder with the modules for the kernel `release`, built in `cache` by the first run.
pub(super) fn ensure(release: &str, cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(format!("vfio-mdev-{release}"));
    if !folder.exists() {
        let headers = format!("linux-headers-{release}");
        peers::add(&[&headers, "make", "xz-utils"], &[])?;
        let work = tempfile::Builder::new().prefix("samples.").tempdir_in(cache)?;
        let sources = sources(release, work.path())?;
        fs::write(sources.join("Makefile"), makefile())?;
        println!("building {}", MODULES.join(" "));
        let tree = Path::new("/usr/src").join(headers);
        let arguments = [format!("M={}", sources.display()), "modules".to_owned()];
        output(Command::new("make").arg("--silent").arg("-C").arg(tree).args(arguments))?;
        let built = work.path().join("built");
        fs::create_dir(&built)?;
        for module in MODULES {
            let file = format!("{module}.ko");
            fs::copy(sources.join(&file), built.join(&file))
                .with_context(|| format!("make made no {file}"))?;
        }
        fs::rename(&built, &folder)?;
    }
    Ok(folder)
}

/// The folder of the samples, out of Debian's archive of the kernel's source.
fn sources(release: &str, work: &Path) -> Result<PathBuf> {
    let package = format!("linux-source-{}", version(release));
    packages::unpack(&[&package], work)?;
    let archive = work.join(format!("usr/src/{package}.tar.xz"));
    let member = format!("{package}/{FOLDER}");
    output(Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(work).arg(&member))?;
    Ok(work.join(member))
}

/// `6.1` of `6.1.0-56-amd64`: what Debian calls the source by.
fn version(release: &str) -> &str {
    release.match_indices('.').nth(1).map_or(release, |(second, _)| &release[..second])
}

fn makefile() -> String {
    let objects: Vec<String> = MODULES.iter().map(|module| format!("{module}.o")).collect();
    format!("obj-m := {}\n", objects.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_release_is_called_by_two_numbers() {
        assert_eq!(version("6.1.0-56-amd64"), "6.1");
        assert_eq!(version("6.12.107+deb13-amd64"), "6.12");
    }
}
