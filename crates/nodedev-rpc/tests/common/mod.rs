//! The recorded traffic in `tests/captures`.

use std::fs;
use std::path::Path;

/// One recorded message.
pub(crate) struct Recorded {
    /// File and line.
    pub(crate) place: String,
    /// Whether it went to the daemon.
    pub(crate) to_server: bool,
    /// libvirt's name of the procedure.
    pub(crate) name: String,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

/// Every recorded message.
pub(crate) fn recorded() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let [direction, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{place}: three words")
            };
            found.push(Recorded { place, to_server: direction == ">", name: name.into(), bytes: unhex(hex) });
        }
    }
    found
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("digits");
    pairs.map(byte).collect()
}
