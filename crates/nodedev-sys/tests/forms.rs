//! A recording reads the same as a folder and as an archive, whatever lies where.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nodedev_sys::{Root, SysError};

/// Entries of a host: a file with content, a link with its target, or a folder.
enum Is {
    File(&'static [u8]),
    Link(&'static str),
    Folder,
}

const ENTRIES: &[(&str, Is)] = &[
    ("sys/devices/a/uevent", Is::File(b"A=1\n")),
    ("sys/devices/a/empty", Is::File(b"")),
    ("sys/devices/a/binary", Is::File(b"\0\xff\n\0")),
    ("sys/devices/a/large", Is::File(&[b'x'; 70_000])),
    ("sys/devices/a/page", Is::File(&[b'y'; 4096])),
    ("sys/devices/a/b/uevent", Is::File(b"B=1\n")),
    ("sys/devices/a/folder", Is::Folder),
    ("sys/devices/a/parent", Is::Link("../a")),
    ("sys/devices/a/up", Is::Link("..")),
    ("sys/devices/a/dot", Is::Link(".")),
    ("sys/devices/a/slash", Is::Link("b/")),
    ("sys/devices/a/to_file", Is::Link("uevent")),
    ("sys/devices/a/through_file", Is::Link("uevent/x")),
    ("sys/devices/a/dangling", Is::Link("nowhere")),
    ("sys/devices/a/loop", Is::Link("loop")),
    ("sys/devices/a/loop1", Is::Link("loop2")),
    ("sys/devices/a/loop2", Is::Link("loop1")),
    ("sys/devices/a/absolute", Is::Link("/sys/devices/a/b")),
    ("sys/devices/a/out", Is::Link("/etc/hostname")),
    ("sys/devices/a/far_out", Is::Link("../../../../../../../../etc/hostname")),
    ("sys/devices/a/top", Is::Link("/sys")),
    ("sys/class/net/a", Is::Link("../../devices/a")),
    ("sys/bus/pci/devices/b", Is::Link("../../../devices/a/b")),
    ("etc/hostname", Is::File(b"of the recording\n")),
];

fn make(root: &Path) {
    for (path, is) in ENTRIES {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match is {
            Is::File(content) => fs::write(path, content).unwrap(),
            Is::Link(target) => symlink(target, path).unwrap(),
            Is::Folder => fs::create_dir_all(path).unwrap(),
        }
    }
}

/// What any call gives, as text; of an error only its kind and path.
fn shown<T: std::fmt::Debug>(result: Result<T, SysError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(SysError::TooLarge { path, limit }) => format!("{path} beyond {limit}"),
        Err(error) => format!("error at {}", error.path()),
    }
}

/// Everything that can be asked about a path.
fn asked(root: &Root, path: &str) -> Vec<String> {
    let bytes = path.as_bytes();
    let mut buffer = vec![b'?'; 3];
    let sorted = |names: Vec<Box<[u8]>>| {
        let mut names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort_unstable();
        names
    };
    let mut answers = vec![
        format!("read {}", shown(root.read(bytes, &mut buffer, 100_000).map(|found| found.map(<[u8]>::len)))),
        format!(
            "read little {}",
            shown(root.read(bytes, &mut buffer, 10).map(|found| found.map(<[u8]>::len)))
        ),
        format!(
            "link {}",
            shown(root.read_link(bytes).map(|to| to.map(|to| String::from_utf8_lossy(&to).into_owned())))
        ),
        format!("exists {}", root.exists(bytes)),
        format!("names {}", shown(root.names(bytes).map(sorted))),
    ];
    let Some(folder) = root.folder(bytes).unwrap() else { return answers };
    for (path, _) in ENTRIES {
        let name = path.rsplit('/').next().unwrap();
        for name in [name.to_owned(), format!("b/{name}"), format!("parent/{name}"), format!("../a/{name}")] {
            let key = name.as_bytes();
            answers.extend([
                format!(
                    "{name}: read {}",
                    shown(folder.read(key, &mut buffer).map(|found| found.map(<[u8]>::len)))
                ),
                format!(
                    "{name}: start {}",
                    shown(folder.read_start(key, &mut buffer, 5).map(|found| found.map(<[u8]>::to_vec)))
                ),
                format!("{name}: basename {}", shown(folder.link_basename(key))),
                format!("{name}: exists {}", folder.exists(key)),
            ]);
        }
    }
    answers.push(format!("names {}", shown(folder.names().map(sorted))));
    answers
}

#[test]
fn a_folder_and_an_archive_of_it_answer_alike() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("host");
    make(&folder);
    let archive = place.path().join("host.tar");
    let mut builder = tar::Builder::new(fs::File::create(&archive).unwrap());
    builder.follow_symlinks(false);
    builder.append_dir_all("", &folder).unwrap();
    builder.finish().unwrap();

    let (folder, archive) = (Root::open(&folder).unwrap(), Root::open(&archive).unwrap());
    let mut paths: Vec<String> = ENTRIES.iter().map(|(path, _)| (*path).to_owned()).collect();
    for (path, _) in ENTRIES {
        paths.push(format!("/{path}"));
        paths.push(format!("{path}/x"));
        paths.push(format!("{path}/../uevent"));
        paths.push(format!("{path}/uevent"));
        paths.push(path.rsplit_once('/').unwrap().0.to_owned());
    }
    paths.extend(
        ["sys", "sys/devices", "sys/class/net/a/b/uevent", "../../etc/hostname", "nothing"]
            .map(str::to_owned),
    );
    for path in paths {
        let (by_folder, by_archive) = (asked(&folder, &path), asked(&archive, &path));
        assert_eq!(by_folder.len(), by_archive.len(), "{path}");
        for (a, b) in by_folder.iter().zip(&by_archive) {
            assert_eq!(a, b, "{path}");
        }
    }
}

#[test]
fn a_recording_never_shows_files_of_the_machine_it_is_read_on() {
    let place = tempfile::tempdir().unwrap();
    make(place.path());
    let root = Root::open(place.path()).unwrap();
    let mut buffer = Vec::new();
    for link in ["out", "far_out"] {
        let path = format!("sys/devices/a/{link}");
        let found = root.read(path.as_bytes(), &mut buffer, 1000).unwrap();
        assert_eq!(found, Some(&b"of the recording\n"[..]), "{link}");
    }
}
