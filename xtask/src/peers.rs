//! Installing what the tests talk to, with apt.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::peer::{Libvirt, check_root, privileged};
use nodedev_testkit::target;

/// Packages that the tests need wherever they run.
const PACKAGES: &[&str] = &[
    "libvirt-daemon",
    "libvirt-clients",
    "mdevctl",
    "pci.ids",
    "iproute2",
    "util-linux",
    // For connections to it.
    "gnutls-bin",
    "netcat-openbsd",
    "socat",
    // To start nodedevd as systemd does.
    "systemd",
    // To be asked who may do what.
    "dbus",
    "polkitd",
    // For events of udev.
    "udev",
    // Clients.
    "libsys-virt-perl",
    "python3-libvirt",
    "ruby-libvirt",
    "php-cli",
    "libvirt-ocaml",
    "virtinst",
    "libvirt-glib-1.0-0",
    // Shells, for what `--dry-run` prints.
    "dash",
    "zsh",
    "fish",
    // For the C library and tests/virt-client.
    "gcc",
    // For libFuzzer.
    "g++",
    "binutils",
    "libc6-dev",
    "libvirt-dev",
    "pkg-config",
    "valgrind",
];
/// Before libvirt 11 the driver was part of libvirt-daemon.
const DRIVER: &str = "libvirt-daemon-driver-nodedev";
/// Programs that come with them.
const PROGRAMS: &[&str] = &[
    "mdevctl",
    "ip",
    "unshare",
    "nsenter",
    "mount",
    "certtool",
    "nc",
    "socat",
    "systemd-socket-activate",
    "dbus-daemon",
    "dbus-monitor",
    "busctl",
    "php",
    "udevadm",
    "virt-install",
    "dash",
    "zsh",
    "fish",
    "pkg-config",
    "cc",
    "g++",
    "readelf",
    "nm",
    "valgrind",
];
/// Bindings of libvirt, and its library to link with, that come with them: what finds each.
const BINDINGS: &[&[&str]] = &[
    &["perl", "-MSys::Virt", "-e", "1"],
    &["/usr/bin/python3", "-c", "import libvirt"],
    &["ruby", "-rlibvirt", "-e", "1"],
    &["sh", "-c", "find /usr/lib -name dllmllibvirt.so | grep ."],
    &["/usr/bin/python3", "-c", "import ctypes; ctypes.CDLL('libvirt-glib-1.0.so.0')"],
    &["pkg-config", "--exists", "libvirt"],
];
/// Packages that are only unpacked, and the folder of each in `peers` of cargo's target folder. Two start a service where they
/// are installed, the first of which asks for a libvirt-daemon-system that is older than the libvirt here. PHP's binding, whose
/// name has the version of PHP in it, asks for ImageMagick, for what it does with screenshots.
const UNPACKED: &[(&str, &str)] = &[
    ("libvirt-dbus", "libvirt-dbus"),
    ("prometheus-libvirt-exporter", "prometheus-libvirt-exporter"),
    ("phpVERSION-libvirt-php", "libvirt-php"),
];
const PHP_VERSION: &[&str] = &["-r", "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION;"];
/// The release of Debian whose own libvirt is too old, and where a newer one is.
const OLD_DEBIAN: (&str, &str) = ("bookworm", "bookworm-backports");

/// Installs the real libvirt and what else the tests talk to, and says what it installs.
pub(crate) fn install() -> Result<()> {
    check_root()?;
    if PROGRAMS.iter().all(|program| in_path(program))
        && BINDINGS.iter().all(|command| runs(command))
        && let Ok(libvirt) = Libvirt::find()
        && (libvirt.is_reference() || !is_old_debian())
    {
        println!("libvirt {} and mdevctl are installed", libvirt.version());
        return unpack_missing();
    }
    if !in_path("apt-get") {
        bail!(
            "the tests talk to libvirt's node device driver, and only apt is known to install it: install {PACKAGES:?} and {DRIVER} by hand, or pass --offline"
        );
    }
    add(PACKAGES, &[DRIVER])?;
    println!("installed libvirt {}", Libvirt::find()?.version());
    unpack_missing()
}

fn unpack_missing() -> Result<()> {
    let peers = target().join("peers");
    let mut missing = UNPACKED.iter().filter(|(_, folder)| !peers.join(folder).exists()).peekable();
    if missing.peek().is_none() {
        return Ok(());
    }
    // Images of containers come without apt's lists.
    update()?;
    let php = Command::new("php").args(PHP_VERSION).output().context("php can't be run")?;
    let php = String::from_utf8(php.stdout).context("php's version is no text")?;
    let partial = peers.join("partial");
    for (package, folder) in missing {
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        unpack(&[&package.replace("VERSION", &php)], &partial)?;
        fs::rename(&partial, peers.join(folder))?;
    }
    Ok(())
}

/// For a download, of 140 MB at most, over a slow line.
const DOWNLOAD_SECONDS: &str = "900";

/// Has the content of packages, without those they depend on, in a folder.
pub(crate) fn unpack(packages: &[&str], root: &Path) -> Result<()> {
    println!("downloading {}", packages.join(" "));
    let downloads = root.join("downloads");
    fs::create_dir_all(&downloads)?;
    let download = [DOWNLOAD_SECONDS, "apt-get", "download", "--quiet"];
    succeed(Command::new("timeout").args(download).args(packages).current_dir(&downloads))?;
    for entry in fs::read_dir(&downloads)? {
        succeed(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(root))?;
    }
    Ok(fs::remove_dir_all(&downloads)?)
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} can't be run"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Installs packages, and those of `if_known` that this release has, from where libvirt is new enough.
pub(crate) fn add(packages: &[&str], if_known: &[&str]) -> Result<()> {
    println!("installing with apt: {} {}", packages.join(" "), if_known.join(" "));
    let mut target = None;
    if is_old_debian() {
        let (release, backports) = OLD_DEBIAN;
        add_suite(release, backports)?;
        target = Some(backports);
    }
    update()?;
    let mut arguments: Vec<&str> = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(target.iter().flat_map(|suite| ["--target-release", suite]));
    arguments.extend(packages);
    arguments.extend(if_known.iter().filter(|package| is_known(package)));
    apt(arguments)
}

/// Has apt read its sources.
pub(crate) fn update() -> Result<()> {
    apt(["update", "--quiet"])
}

fn apt<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<()> {
    let mut command = privileged("env");
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--option", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    let status = command.status().context("apt-get can't be run; it needs root or sudo")?;
    if !status.success() {
        bail!("apt-get failed: {status}; --offline runs the tests that need no peer");
    }
    Ok(())
}

fn runs(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else { return false };
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn is_known(package: &str) -> bool {
    Command::new("apt-cache").args(["show", package]).output().is_ok_and(|output| output.status.success())
}

/// Whether there is such a program.
pub(crate) fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let standard = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into);
    env::split_paths(&path).chain(standard).any(|dir: std::path::PathBuf| dir.join(program).is_file())
}

fn is_old_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.lines().any(|line| line == format!("VERSION_CODENAME={}", OLD_DEBIAN.0)))
}

/// Makes `suite` known to apt, from the mirror that `release` comes from already.
fn add_suite(release: &str, suite: &str) -> Result<()> {
    let mut sources = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        let kind = entry.path().extension().map(OsStr::to_owned);
        if kind.is_some_and(|kind| kind == "list" || kind == "sources") {
            sources.push(fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    if sources.iter().any(|text| has_suite(text, suite)) {
        return Ok(());
    }
    let mirror = sources.iter().find_map(|text| mirror(text, release)).with_context(|| {
        format!(
            "libvirt 11.3 comes from {suite}, and no mirror of {release} is in apt's sources to take it from"
        )
    })?;
    let file = Path::new("/etc/apt/sources.list.d/nodedev-tests.sources");
    println!("adding {suite} to apt's sources: {}", file.display());
    let text = format!(
        "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    );
    let own = env::temp_dir().join("nodedev-tests.sources");
    fs::write(&own, text)?;
    let status = privileged("install").args(["-m", "644"]).arg(&own).arg(file).status()?;
    fs::remove_file(&own)?;
    if !status.success() {
        bail!("cannot write {}", file.display());
    }
    Ok(())
}

fn has_suite(sources: &str, suite: &str) -> bool {
    sources.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("Suites:" | "deb")) && words.any(|word| word == suite)
    })
}

/// The mirror that sources in either of apt's two formats name for a release.
fn mirror(sources: &str, release: &str) -> Option<String> {
    let one_line = sources.lines().find_map(|line| {
        let words: Vec<&str> =
            line.split_whitespace().filter(|word| !word.starts_with('[') && !word.ends_with(']')).collect();
        match words.as_slice() {
            ["deb", uri, suite, ..] if *suite == release => Some((*uri).to_owned()),
            _ => None,
        }
    });
    one_line.or_else(|| {
        sources.split("\n\n").filter(|stanza| has_suite(stanza, release)).find_map(|stanza| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix("URIs:")?.split_whitespace().next().map(str::to_owned))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "Types: deb\n# http://snapshot.example/debian\nURIs: http://mirror.example/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://mirror.example/security\n\
        Suites: bookworm-security\n";
    const LINES: &str = "# deb http://old.example/debian bookworm main\n\
        deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main\n\
        deb http://mirror.example/debian bookworm-updates main\n";

    #[test]
    fn the_mirror_of_a_release_is_found_in_both_formats() {
        for sources in [STANZAS, LINES] {
            assert_eq!(mirror(sources, "bookworm").as_deref(), Some("http://mirror.example/debian"));
            assert_eq!(mirror(sources, "trixie"), None);
        }
    }

    #[test]
    fn a_suite_is_known_only_if_it_is_not_commented_out() {
        assert!(has_suite(STANZAS, "bookworm-updates") && has_suite(LINES, "bookworm-updates"));
        assert!(
            !has_suite(STANZAS, "bookworm-backports")
                && !has_suite("# deb http://x bookworm-backports", "bookworm-backports")
        );
    }
}
