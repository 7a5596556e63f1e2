//! `cargo xtask check-deps`: the invariants of ARCHITECTURE.md that a program can check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What each package may depend on in this workspace; dependencies point down only. Development dependencies may
/// besides be any package that is here to help tests.
const LAYERS: &[(&str, &[&str])] = &[
    ("nodedev-model", &[]),
    ("nodedev-xml", &["nodedev-model"]),
    ("nodedev-threads", &[]),
    ("nodedev-sys", &["nodedev-threads"]),
    ("nodedev-rpc", &["nodedev-model"]),
    ("nodedev-driver", &["nodedev-model", "nodedev-xml"]),
    // It changes a host without an index of its devices, and knows no driver.
    ("nodedev-change", &["nodedev-model", "nodedev-sys"]),
    (
        "nodedev-host",
        &[
            "nodedev-change",
            "nodedev-driver",
            "nodedev-model",
            "nodedev-sys",
            "nodedev-threads",
            "nodedev-xml",
        ],
    ),
    // Nothing but what offers it to programs needs the recorder.
    ("nodedev-record", &["nodedev-change", "nodedev-driver", "nodedev-host", "nodedev-model", "nodedev-sys"]),
    ("nodedev-remote", &["nodedev-driver", "nodedev-model", "nodedev-rpc", "nodedev-threads"]),
    (
        "nodedev",
        &[
            "nodedev-driver",
            "nodedev-host",
            "nodedev-model",
            "nodedev-record",
            "nodedev-remote",
            "nodedev-sys",
            "nodedev-xml",
        ],
    ),
    (
        "nodedev-capi",
        &["nodedev", "nodedev-driver", "nodedev-model", "nodedev-remote", "nodedev-rpc", "nodedev-threads"],
    ),
    ("nodedev-server", &["nodedev-driver", "nodedev-model", "nodedev-rpc"]),
    ("nodedev-cli", &["nodedev"]),
    (
        "nodedevd",
        &["nodedev-driver", "nodedev-host", "nodedev-model", "nodedev-rpc", "nodedev-server", "nodedev-sys"],
    ),
    ("nodedev-testkit", &["nodedev-sys"]),
    (
        "nodedev-interop",
        &[
            "nodedev",
            "nodedev-driver",
            "nodedev-host",
            "nodedev-model",
            "nodedev-remote",
            "nodedev-rpc",
            "nodedev-server",
            "nodedev-sys",
            "nodedev-testkit",
        ],
    ),
    (
        "nodedev-fuzz",
        &[
            "nodedev-change",
            "nodedev-driver",
            "nodedev-host",
            "nodedev-model",
            "nodedev-record",
            "nodedev-rpc",
            "nodedev-sys",
            "nodedev-testkit",
            "nodedev-xml",
        ],
    ),
    (
        "xtask",
        &["nodedev", "nodedev-capi", "nodedev-cli", "nodedev-driver", "nodedev-fuzz", "nodedev-testkit"],
    ),
];
/// Packages that are only here to help tests and people who work on the project.
const FOR_TESTS: &[&str] = &["nodedev-testkit", "nodedev-interop", "nodedev-fuzz", "xtask"];
/// All that the values may be made with: no operating system, no XML, no async runtime.
const MODEL_DEPENDENCIES: &[&str] = &["schemars", "serde", "serde_json"];
/// Where errors may be boxed and anonymous.
const ANYHOW: &[&str] = &["nodedev-cli", "nodedevd", "xtask"];
/// Packages that may hold `unsafe`, each in a place of its own.
const UNSAFE: &[&str] = &["nodedev-sys", "nodedev-capi"];
/// The package that knows where the operating system keeps things.
const NAMES_PATHS: &[&str] = &["nodedev-sys"];
const PATHS: &[&str] = &["/sys", "/run/udev", "/dev", "/proc"];
/// Literals with such a path that are no place to look at: package, literal, reason.
const ALLOWED_LITERALS: &[(&str, &str, &str)] = &[
    ("nodedev-change", "/dev/", NODE_NAMES),
    ("nodedev-host", "/dev", NODE_NAMES),
    ("nodedev-host", "/dev/", NODE_NAMES),
    ("nodedev-host", "/dev/vd", NODE_NAMES),
    ("nodedev-host", "/dev/nvme", NODE_NAMES),
    ("nodedev-host", "/dev/dasd", NODE_NAMES),
    (
        "nodedev-change",
        "--jsonfile=/dev/stdin",
        "an argument of mdevctl, which reads its own input by that name",
    ),
    ("nodedev-remote", ">/dev/null 2>&1", "part of a command that ssh runs on another machine"),
];
const NODE_NAMES: &str =
    "names of device nodes are values, printed and told apart by; nothing is opened by them";
/// The package whose C interface needs process-wide state.
const GLOBAL_STATE: &[&str] = &["nodedev-capi"];
/// Packages that run in other people's programs, where a thread must take no signal, and the one that starts such threads.
const OTHERS_PROGRAMS: &[&str] = &[
    "nodedev",
    "nodedev-capi",
    "nodedev-change",
    "nodedev-driver",
    "nodedev-host",
    "nodedev-model",
    "nodedev-record",
    "nodedev-remote",
    "nodedev-rpc",
    "nodedev-sys",
    "nodedev-xml",
];
const STARTS_THREADS: &[&str] = &["thread::spawn(", "thread::Builder", "Builder::new().name("];
const GLOBALS: &[&str] = &["Mutex", "RwLock", "OnceLock", "LazyLock", "OnceCell", "Atomic"];

struct Package {
    name: String,
    dir: PathBuf,
    manifest: String,
    dependencies: Vec<(String, bool)>,
}

/// Checks every invariant of the workspace in `root`.
pub(crate) fn check(root: &Path) -> Result<()> {
    let packages = packages(root)?;
    let mut broken = Vec::new();
    for package in &packages {
        dependencies(package, &packages, &mut broken);
        lints(package, &mut broken);
        if !FOR_TESTS.contains(&package.name.as_str()) {
            for (file, source) in sources(&package.dir)? {
                let at = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                literals(package, &at, &source, &mut broken);
                globals(package, &at, &source, &mut broken);
                error_numbers(&at, &source, &mut broken);
                threads(package, &at, &source, &mut broken);
            }
        }
    }
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    if !workspace.contains("unsafe_code = \"forbid\"") {
        broken.push("Cargo.toml: the workspace's lints do not forbid unsafe code".into());
    }
    if broken.is_empty() {
        println!("{} packages keep the invariants of ARCHITECTURE.md", packages.len());
        return Ok(());
    }
    bail!("{} broken:\n{}", broken.len(), broken.join("\n"))
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cargo metadata can't be run")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let path = PathBuf::from(text(&package["manifest_path"]));
        let listed = package["dependencies"].as_array().into_iter().flatten();
        packages.push(Package {
            name: text(&package["name"]),
            manifest: fs::read_to_string(&path)?,
            dir: path.parent().unwrap_or(root).to_owned(),
            dependencies: listed
                .map(|other| (text(&other["name"]), other["kind"].as_str() == Some("dev")))
                .collect(),
        });
    }
    Ok(packages)
}

fn dependencies(package: &Package, packages: &[Package], broken: &mut Vec<String>) {
    let name = package.name.as_str();
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        broken.push(format!("{name}: its place among the layers is not known to xtask/src/deps.rs"));
        return;
    };
    for (other, is_dev) in &package.dependencies {
        let other = other.as_str();
        let ours = packages.iter().any(|package| package.name == other);
        let for_tests = *is_dev && (FOR_TESTS.contains(&other) || other == name);
        if ours && !for_tests && !allowed.contains(&other) {
            broken.push(format!("{name} depends on {other}, which is not below it"));
        }
        if other == "anyhow" && !is_dev && !ANYHOW.contains(&name) {
            broken.push(format!("{name}: anyhow belongs in programs, libraries have errors of their own"));
        }
        if name == "nodedev-model" && !is_dev && !MODEL_DEPENDENCIES.contains(&other) {
            broken.push(format!("nodedev-model depends on {other}, and should be values only"));
        }
    }
}

fn lints(package: &Package, broken: &mut Vec<String>) {
    let name = package.name.as_str();
    let manifest = &package.manifest;
    if UNSAFE.contains(&name) {
        for lint in ["undocumented_unsafe_blocks = \"deny\"", "unsafe_op_in_unsafe_fn = \"deny\""] {
            if !manifest.contains(lint) {
                broken.push(format!("{name}: its lints lack {lint}"));
            }
        }
    } else if !manifest.contains("[lints]\nworkspace = true") {
        broken.push(format!("{name}: does not take the workspace's lints, which forbid unsafe code"));
    }
}

/// The sources of a package's library and programs, without what is only compiled for tests.
fn sources(dir: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.join("src")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path)?;
                found.insert(path, without_tests(&text));
            }
        }
    }
    Ok(found)
}

/// `source` up to its test module, which is always last, and without comments of whole lines.
fn without_tests(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or(source);
    code.lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn literals(package: &Package, at: &str, source: &str, broken: &mut Vec<String>) {
    let name = package.name.as_str();
    if NAMES_PATHS.contains(&name) {
        return;
    }
    for (number, line) in source.lines().enumerate() {
        for literal in line.split('"').skip(1).step_by(2) {
            let names_path = PATHS.iter().any(|path| {
                literal.match_indices(path).any(|(start, _)| {
                    let after = literal[start + path.len()..].chars().next();
                    let before = literal[..start].chars().next_back();
                    after.is_none_or(|c| !c.is_ascii_alphanumeric())
                        && before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '.')
                })
            });
            let allowed =
                ALLOWED_LITERALS.iter().any(|(package, text, _)| *package == name && *text == literal);
            if names_path && !allowed {
                broken.push(format!(
                    "{at}:{}: \"{literal}\" names a place that only nodedev-sys knows",
                    number + 1
                ));
            }
        }
    }
}

fn globals(package: &Package, at: &str, source: &str, broken: &mut Vec<String>) {
    if GLOBAL_STATE.contains(&package.name.as_str()) {
        return;
    }
    for (number, line) in source.lines().enumerate() {
        let item = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        let is_static = item.starts_with("static ") && GLOBALS.iter().any(|name| item.contains(name));
        if is_static || item.starts_with("static mut ") || item.starts_with("thread_local!") {
            broken.push(format!("{at}:{}: process-wide state", number + 1));
        }
    }
}

/// libvirt's numbers of errors have names, all in `nodedev-model`'s table of them.
fn error_numbers(at: &str, source: &str, broken: &mut Vec<String>) {
    for (number, line) in source.lines().enumerate() {
        let is_naked = ["ErrorCode(", "ErrorDomain("].iter().any(|name| {
            line.split(name)
                .skip(1)
                .any(|behind| behind.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
        });
        if is_naked {
            broken.push(format!("{at}:{}: a number of an error without a name", number + 1));
        }
    }
}

/// Threads that are started without care for the program's signals.
fn threads(package: &Package, at: &str, source: &str, broken: &mut Vec<String>) {
    if !OTHERS_PROGRAMS.contains(&package.name.as_str()) {
        return;
    }
    for (number, line) in source.lines().enumerate() {
        if STARTS_THREADS.iter().any(|start| line.contains(start)) {
            broken.push(format!(
                "{at}:{}: threads are started by nodedev-threads, so that they take no signal",
                number + 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies.iter().map(|(name, is_dev)| ((*name).to_owned(), *is_dev)).collect();
        Package { name: name.into(), dir: PathBuf::new(), manifest: String::new(), dependencies }
    }

    #[test]
    fn a_dependency_that_points_up_is_found() {
        let all =
            [package("nodedev-model", &[]), package("nodedev-xml", &[]), package("nodedev-testkit", &[])];
        for (name, dependency, count) in [
            ("nodedev-model", ("nodedev-xml", false), 2),
            ("nodedev-model", ("nodedev-xml", true), 1),
            ("nodedev-model", ("nodedev-testkit", true), 0),
            ("nodedev-model", ("tokio", false), 1),
            ("nodedev-xml", ("nodedev-model", false), 0),
            ("nodedev-xml", ("anyhow", false), 1),
            ("nodedev-new", ("serde", false), 1),
        ] {
            let mut broken = Vec::new();
            super::dependencies(&package(name, &[dependency]), &all, &mut broken);
            assert_eq!(broken.len(), count, "{name} {dependency:?}: {broken:?}");
        }
    }

    #[test]
    fn only_whole_paths_in_code_count() {
        let source = "let a = \"/sys/bus\";\nlet b = \"no/system\";\n// \"/dev\"\nlet c = \"/device\";\nlet d = \"/dev\";\n\
                      #[cfg(test)]\nmod tests { const X: &str = \"/proc\"; }\n";
        let mut broken = Vec::new();
        literals(&package("nodedev-xml", &[]), "x.rs", &without_tests(source), &mut broken);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with("x.rs:1:") && broken[1].starts_with("x.rs:5:"));
    }

    #[test]
    fn process_wide_state_is_found() {
        let source =
            "static A: &[u8] = b\"x\";\n    static B: OnceLock<u8> = OnceLock::new();\nthread_local! {}\n";
        let mut broken = Vec::new();
        globals(&package("nodedev-host", &[]), "x.rs", source, &mut broken);
        assert_eq!(broken.len(), 2, "{broken:?}");
    }

    #[test]
    fn numbers_of_errors_have_names() {
        let source =
            "Error::raw(ErrorDomain(60), code, x);\nErrorCode(error.code);\nErrorCode::RPC;\nErrorCode(-1)\n";
        let mut broken = Vec::new();
        error_numbers("x.rs", source, &mut broken);
        assert_eq!(broken.len(), 2, "{broken:?}");
    }

    #[test]
    fn threads_that_take_signals_are_found_where_programs_are_not_ours() {
        let source = "std::thread::spawn(f);\nnodedev_threads::spawn(n, f);\nthread::Builder::new();\n";
        for (name, count) in [("nodedev-remote", 2), ("nodedev-server", 0), ("nodedev-threads", 0)] {
            let mut broken = Vec::new();
            threads(&package(name, &[]), "x.rs", source, &mut broken);
            assert_eq!(broken.len(), count, "{name}: {broken:?}");
        }
    }
}
