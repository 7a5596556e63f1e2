//! Reads a masked recording back and searches it for what it is to hide. It shares with masking what can be spelt how, and
//! nothing of how values are found and replaced.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use aho_corasick::AhoCorasick;
use flate2::bufread::MultiGzDecoder;
use nodedev_model::Text;

use crate::RecordError;
use crate::mask::{Secret, is_public, stands_alone};
use crate::spelling::{View, bytes, digits, is_weak, orders, packings, plain};

/// Fewer letters and digits are met by accident, unless they stand alone.
const LONG: usize = 12;
/// Fewer are met by accident even so.
const SHORTEST: usize = 6;

/// Searches the archive that was written at `written`, and is to be called `archive`.
///
/// # Errors
/// [`RecordError::Revealed`] names the first value that is found; [`RecordError::Write`] if the archive cannot be read.
pub(crate) fn hides(written: &Path, archive: &Path, secrets: &[Secret]) -> Result<(), RecordError> {
    let fail = |source| RecordError::Write { path: archive.to_owned(), source };
    let finder = Finder::new(secrets).map_err(fail)?;
    let file = BufReader::with_capacity(1 << 16, File::open(written).map_err(fail)?);
    let is_plain = archive.extension().is_some_and(|extension| extension == "tar");
    let reader: Box<dyn Read> = if is_plain { Box::new(file) } else { Box::new(MultiGzDecoder::new(file)) };
    let mut reader = tar::Archive::new(reader);
    let mut content = Vec::new();
    for entry in reader.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = entry.path_bytes().into_owned();
        let revealed = |found: Found, of: &[u8]| RecordError::Revealed {
            path: archive.to_owned(),
            file: format!("/{}", Text::from(&*path)),
            key: key(of, found.place),
            secret: secrets[found.secret].source.clone(),
        };
        if is_public(&path) {
            continue;
        }
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        for name in [&path, &target] {
            if let Some(found) = finder.find(name) {
                return Err(revealed(found, b""));
            }
        }
        content.clear();
        entry.read_to_end(&mut content).map_err(fail)?;
        if let Some(found) = finder.find(&content) {
            return Err(revealed(found, &content));
        }
    }
    Ok(())
}

/// What was found: which secret, and where it begins.
struct Found {
    secret: usize,
    place: usize,
}

/// Which property has the byte at an offset.
fn key(content: &[u8], place: usize) -> String {
    let start = content[..place.min(content.len())].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let line = &content[start..];
    let line = &line[..line.iter().position(|&b| b == b'\n').unwrap_or(line.len())];
    match line.iter().position(|&b| b == b'=') {
        Some(equals) if line[..equals].iter().all(|b| matches!(b, b'!'..=b'~')) => {
            Text::from(&line[..equals]).to_string()
        }
        _ if content.is_empty() => "its name or target".to_owned(),
        _ => format!("at byte {place}"),
    }
}

struct Finder {
    long: Patterns,
    alone: Patterns,
    binary: Patterns,
}

struct Patterns {
    automaton: AhoCorasick,
    /// Which secret each pattern is of.
    secrets: Vec<usize>,
}

impl Patterns {
    fn new(patterns: Vec<(Vec<u8>, usize)>) -> io::Result<Self> {
        let (patterns, secrets): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let automaton = AhoCorasick::new(patterns).map_err(io::Error::other)?;
        Ok(Self { automaton, secrets })
    }
}

impl Finder {
    fn new(secrets: &[Secret]) -> io::Result<Self> {
        let (mut long, mut alone, mut binary) = (Vec::new(), Vec::new(), Vec::new());
        for (at, Secret { value, .. }) in secrets.iter().enumerate() {
            let letters = plain(value);
            let has_digit = letters.iter().any(u8::is_ascii_digit);
            // A word says something else elsewhere.
            let is_word = !has_digit && !value.iter().any(|b| matches!(b, b'.' | b':'));
            if !is_word {
                for spelling in [value.clone(), value.to_ascii_lowercase(), value.to_ascii_uppercase()] {
                    alone.push((spelling, at));
                }
                // The digits of an address of the Internet are a small number.
                let joined: Vec<u8> = value.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
                let is_name = value.contains(&b'.') || value.windows(2).any(|pair| pair == b"::");
                if !is_name && joined.len() >= SHORTEST {
                    alone.push((joined, at));
                }
            }
            match bytes(&letters) {
                Some(number) if !is_weak(&number) => {
                    for order in orders(&number) {
                        long.push((digits(&order), at));
                        binary.push((order, at));
                    }
                }
                Some(_) => {}
                None if !is_word => {
                    if letters.len() >= LONG {
                        long.push((letters, at));
                    }
                    long.push((digits(value), at));
                    binary.extend(packings(value).into_iter().skip(1).map(|packed| (packed, at)));
                }
                None => {}
            }
        }
        Ok(Self { long: Patterns::new(long)?, alone: Patterns::new(alone)?, binary: Patterns::new(binary)? })
    }

    fn find(&self, text: &[u8]) -> Option<Found> {
        if text.is_empty() {
            return None;
        }
        let view = View::new(text);
        let Patterns { automaton, secrets } = &self.long;
        if let Some(found) = automaton.find(&view.letters) {
            return Some(Found { secret: secrets[found.pattern()], place: view.places[found.start()] });
        }
        let Patterns { automaton, secrets } = &self.binary;
        if let Some(found) = automaton.find(text) {
            return Some(Found { secret: secrets[found.pattern()], place: found.start() });
        }
        let Patterns { automaton, secrets } = &self.alone;
        let found =
            automaton.find_overlapping_iter(text).find(|hit| stands_alone(text, hit.start(), hit.end()))?;
        Some(Found { secret: secrets[found.pattern()], place: found.start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;

    fn found(secret: &str, text: &[u8]) -> bool {
        let secrets = [Secret { value: secret.as_bytes().to_vec(), source: "a test".to_owned() }];
        Finder::new(&secrets).unwrap().find(text).is_some()
    }

    #[test]
    fn a_value_is_found_in_all_its_spellings() {
        let mac = "00:16:3e:4a:5b:6c";
        for text in [
            &b"E:X=enx00163E4A5B6C"[..],
            b"0016.3e4a.5b6c",
            b"00-16-3e-ff-fe-4a-5b-6c",
            b"6c:5b:4a:3e:16:00",
            b"\0\0\0\x16\x3e\x4a\x5b\x6c",
            b"x\x6c\x5b\x4a\xff\xff\x3e\x16\0",
        ] {
            assert!(found(mac, text), "{}", text.escape_ascii());
        }
        for text in [&b"00:16:3e:4a:5b:6d"[..], b"", b"\x16\x3e\x4a\x5b\x6c"] {
            assert!(!found(mac, text), "{}", text.escape_ascii());
        }
        for text in [
            &b"S3X-8NB0K"[..],
            b"s3x-8nb0k_1",
            b"S3X8NB0K",
            b"5333582d384e42304b",
            b"K0BN8-X3S",
            b"3S-XN80BK",
        ] {
            assert!(found("S3X-8NB0K", text), "{}", text.escape_ascii());
        }
        assert!(!found("S3X8NB", b"XS3X8NBX"), "part of a word");
        assert!(found("10.0.0.1", b"ip-10.0.0.1:3260") && !found("10.0.0.1", b"10.0.0.12"));
        assert!(!found("10.0.0.1", b"10001") && !found("fd00::12:5", b"fd00125"));
        let guid = "7452791a-1836-4f24-86aa-6ed9fd3712f5";
        assert!(found(guid, b"\x1a\x79\x52\x74\x36\x18\x24\x4f\x86\xaa\x6e\xd9\xfd\x37\x12\xf5"));
    }

    #[test]
    fn an_archive_that_tells_a_secret_is_refused_with_file_and_property() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = [Secret { value: b"S3X8NB0K".to_vec(), source: "serial of /sys/x".to_owned() }];
        for (name, file, content, key) in [
            ("a.tar", "run/udev/data/b8:0", "E:ID_TYPE=disk\nE:ID_NEW=S3X8NB0K\n", "(E:ID_NEW)"),
            ("b.tar", "sys/S3X8NB0K/uevent", "", "(its name or target)"),
            ("c.tar.gz", "sys/model", "s3x8nb0k", "(at byte 0)"),
        ] {
            let path = folder.path().join(name);
            let mut output = Output::create(&path).unwrap();
            output.file(file.as_bytes(), content.as_bytes()).unwrap();
            let error = output.finish(|written| hides(written, &path, &secrets)).unwrap_err().to_string();
            for part in [file, key, "serial of /sys/x", name] {
                assert!(error.contains(part), "{part} in {error}");
            }
            assert!(!path.exists(), "nothing is kept");
        }
    }

    #[test]
    fn the_property_of_a_hit_is_told() {
        assert_eq!(key(b"A=1\nE:ID_X=abc\n", 12), "E:ID_X");
        assert_eq!(key(b"\0\x01abc", 2), "at byte 2");
        assert_eq!(key(b"", 0), "its name or target");
    }
}
