//! `cargo xtask install`: the programs, the C library, and what they need around them, below a prefix.
//!
//! Nothing is written outside of the prefix, and no service is started: a package or an administrator does that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::{repository, target};

use crate::abi::{self, Library};
use crate::man;

/// How `cargo xtask install` is run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where everything will be used: /usr/local, /opt/nodedev, /usr for a package
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// A folder to put it into that stands for /, for making packages
    #[arg(long)]
    destdir: Option<PathBuf>,
    /// Folder of the C library [default: PREFIX/lib]
    #[arg(long)]
    libdir: Option<PathBuf>,
    /// Folder with libvirt's own headers, for the pkg-config file
    #[arg(long, default_value = "/usr/include")]
    includedir: PathBuf,
    /// Install what `cargo build` makes, without optimization
    #[arg(long)]
    debug: bool,
}

/// Files of the repository, where they go below the prefix, and what is written in them in place of what.
const FILES: &[(&str, &str)] = &[
    ("packaging/systemd/nodedevd.service", "lib/systemd/system"),
    ("packaging/systemd/nodedevd.socket", "lib/systemd/system"),
    ("packaging/systemd/nodedevd-ro.socket", "lib/systemd/system"),
    ("packaging/polkit/50-nodedevd.rules", "share/polkit-1/rules.d"),
    ("packaging/polkit/org.nodedev.policy", "share/polkit-1/actions"),
    // Nothing but defaults, in comments: an example, so that a file of the administrator's is never in the way.
    ("packaging/nodedevd.conf", "share/doc/nodedev"),
    ("docs/c-library.md", "share/doc/nodedev"),
    ("docs/daemon.md", "share/doc/nodedev"),
    ("docs/operations.md", "share/doc/nodedev"),
    ("docs/remote.md", "share/doc/nodedev"),
];
/// Where polkit's actions are, below the prefix.
const ACTIONS: &str = "share/polkit-1/actions";
/// Files with actions of libvirt's, and the file of libvirt's own that has them where libvirt is installed.
const POLICIES: &[(&str, &str)] = &[
    ("packaging/polkit/org.libvirt.unix.policy", "org.libvirt.unix.policy"),
    ("packaging/polkit/org.libvirt.api.nodedev.policy", "org.libvirt.api.policy"),
];
/// What is in our files of that name and not in libvirt's.
const OURS: &str = "nodedevd";
/// Programs: package, name, folder below the prefix.
const PROGRAMS: &[(&str, &str, &str)] =
    &[("nodedev-cli", "nodedev", "bin"), ("nodedevd", "nodedevd", "sbin")];
/// Where units of this repository say that programs are.
const UNIT_PREFIX: &str = "/usr/sbin/";
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// Builds and installs.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.prefix.is_absolute() {
        bail!(
            "--prefix {}: what is installed has to know its place; give it from / on",
            options.prefix.display()
        );
    }
    let place = Place { options };
    programs(&place)?;
    for (file, folder) in FILES {
        let source = repository().join(file);
        let text =
            fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let name = source.file_name().context("a file has a name")?;
        let sbin = format!("{}/", options.prefix.join("sbin").display());
        place.write(&options.prefix.join(folder).join(name), text.replace(UNIT_PREFIX, &sbin).as_bytes())?;
    }
    policies(&place)?;
    let pages = tempfile::tempdir()?;
    for page in man::make(pages.path())? {
        let name = page.file_name().context("a page has a name")?.to_owned();
        place.copy(&page, &options.prefix.join("share/man/man1").join(name), FILE)?;
    }
    libraries(&place)
}

/// polkit's actions, but for those that libvirt has installed itself.
fn policies(place: &Place<'_>) -> Result<()> {
    let folder = place.options.prefix.join(ACTIONS);
    for (file, of_libvirt) in POLICIES {
        let source = repository().join(file);
        let libvirts = place.under_root(&folder.join(of_libvirt));
        if fs::read_to_string(&libvirts).is_ok_and(|text| !text.contains(OURS)) {
            println!("{} is there; {file} is not needed", libvirts.display());
            continue;
        }
        let name = source.file_name().context("a file has a name")?;
        place.copy(&source, &folder.join(name), FILE)?;
    }
    Ok(())
}

fn programs(place: &Place<'_>) -> Result<()> {
    let options = place.options;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).current_dir(repository());
    for (package, ..) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    if !options.debug {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        bail!("the programs can't be built");
    }
    let built = target().join(if options.debug { "debug" } else { "release" });
    for (_, name, folder) in PROGRAMS {
        place.copy(&built.join(name), &options.prefix.join(folder).join(name), PROGRAM)?;
    }
    Ok(())
}

/// The C libraries, each under its three names, and how pkg-config finds them.
fn libraries(place: &Place<'_>) -> Result<()> {
    let options = place.options;
    let libdir = options.libdir.clone().unwrap_or_else(|| options.prefix.join("lib"));
    let built = abi::make(if options.debug { Library::Development } else { Library::Release })?;
    for name in abi::Name::all() {
        place.copy(&built.file(name), &libdir.join(name.file()), FILE)?;
        place.link(&name.file(), &libdir.join(name.soname()))?;
        place.link(&name.soname(), &libdir.join(name.link_name()))?;
        let template = repository().join("packaging").join(format!("{}.pc.in", name.0));
        let mut text = fs::read_to_string(template)?;
        for (word, value) in [
            ("@PREFIX@", options.prefix.display().to_string()),
            ("@LIBDIR@", libdir.display().to_string()),
            ("@INCLUDEDIR@", options.includedir.display().to_string()),
            ("@VERSION@", abi::VERSION.to_owned()),
        ] {
            text = text.replace(word, &value);
        }
        place.write(&libdir.join("pkgconfig").join(format!("{}.pc", name.0)), text.as_bytes())?;
    }
    Ok(())
}

/// Where files go.
struct Place<'a> {
    options: &'a Options,
}

impl Place<'_> {
    /// `path` below the folder that stands for `/`.
    fn under_root(&self, path: &Path) -> PathBuf {
        match &self.options.destdir {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// The same, with its directory made and free for a new file.
    fn at(&self, path: &Path) -> Result<PathBuf> {
        let at = self.under_root(path);
        let folder = at.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // A library or program that runs keeps its file; what is written is a new one.
        if at.symlink_metadata().is_ok() {
            fs::remove_file(&at).with_context(|| format!("cannot replace {}", at.display()))?;
        }
        println!("{}", at.display());
        Ok(at)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let at = self.at(path)?;
        fs::write(&at, content).with_context(|| format!("cannot write {}", at.display()))?;
        set_mode(&at, FILE)
    }

    fn copy(&self, source: &Path, path: &Path, mode: u32) -> Result<()> {
        let at = self.at(path)?;
        fs::copy(source, &at)
            .with_context(|| format!("cannot copy {} to {}", source.display(), at.display()))?;
        set_mode(&at, mode)
    }

    fn link(&self, target: &str, path: &Path) -> Result<()> {
        let at = self.at(path)?;
        std::os::unix::fs::symlink(target, &at)
            .with_context(|| format!("cannot make the link {}", at.display()))
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
