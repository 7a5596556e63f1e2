//! Interfaces that the kernel writes its log through (netconsole).
//!
//! Source: kernel, `Documentation/networking/netconsole.rst`.

use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{COMMAND_LINE, CONSOLES, NETCONSOLE, join};

use crate::Result;

const SMALL: usize = 4096;
const LIMIT: usize = 1 << 20;
/// What its consoles are called: `netcon0`, and `netcon_ext0` where a target has messages with a header.
const CONSOLE: &[u8] = b"netcon";
const EXTENDED: &[u8] = b"netcon_ext";
/// The parameter on the kernel's command line, of one that is built in and of a module.
const PARAMETERS: [&[u8]; 2] = [b"netconsole=", b"netconsole.netconsole="];
/// The interface where the parameter names none.
const FIRST: &[u8] = b"eth0";

/// Whom messages are sent to.
struct Target {
    /// The interface, or its hardware address, that they are sent through.
    name: Vec<u8>,
    is_extended: bool,
}

/// Interfaces that are written through, which need not be here, as where udev has renamed them since; `None` if that is done, and
/// nobody says through which.
pub(super) fn interfaces(host: &dyn HostAccess) -> Result<Option<Vec<Vec<u8>>>> {
    let mut targets = Vec::new();
    for target in host.names(NETCONSOLE.as_bytes())?.unwrap_or_default() {
        let folder = join(NETCONSOLE.as_bytes(), &target);
        let value = |file: &str| -> Result<Vec<u8>> {
            let value = host.read(&join(&folder, file.as_bytes()), SMALL)?.unwrap_or_default();
            Ok(attribute_value(&value).to_vec())
        };
        if value("enabled")? == b"1" {
            targets.push(Target { name: value("dev_name")?, is_extended: value("extended")? == b"1" });
        }
    }
    let consoles = host.read(CONSOLES.as_bytes(), LIMIT)?.unwrap_or_default();
    let has = |name: &[u8]| consoles.split(|&b| b == b'\n').any(|line| line.starts_with(name));
    if has(CONSOLE) {
        // What a parameter asked for is no folder.
        targets.extend(of_parameters(&host.read(COMMAND_LINE.as_bytes(), LIMIT)?.unwrap_or_default()));
        if targets.is_empty() || has(EXTENDED) && !targets.iter().any(|target| target.is_extended) {
            return Ok(None);
        }
    }
    let mut names: Vec<Vec<u8>> = targets.into_iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    Ok(Some(names))
}

/// What the command line names, in targets such as `4444@10.0.0.1/eth1,9353@10.0.0.2/12:34:56:78:9a:bc`.
fn of_parameters(line: &[u8]) -> Vec<Target> {
    let words = line.split(u8::is_ascii_whitespace);
    let values = words.filter_map(|word| PARAMETERS.iter().find_map(|name| word.strip_prefix(*name)));
    let targets = values.flat_map(|value| value.split(|&b| b == b';')).filter(|target| !target.is_empty());
    let target = |target: &[u8]| {
        let source = target.split(|&b| b == b',').next().unwrap_or_default();
        let name = source.splitn(2, |&b| b == b'/').nth(1).filter(|name| !name.is_empty());
        Target { name: name.unwrap_or(FIRST).to_vec(), is_extended: target.starts_with(b"+") }
    };
    targets.map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::of_parameters;

    #[test]
    fn interfaces_of_parameters_are_read() {
        for (line, want) in [
            ("quiet netconsole=4444@10.0.0.1/eth1,9353@10.0.0.2/12:34:56:78:9a:bc", &["eth1"][..]),
            ("netconsole.netconsole=@/bond0,@10.0.0.2/\n", &["bond0"]),
            ("netconsole=@/eth1,@10.0.0.2/;+r@/eth2,@10.0.0.3/", &["eth1", "+eth2"]),
            ("netconsole=@,@10.0.0.2/ netconsole=", &["eth0"]),
            ("netconsole=@/../x,@10.0.0.2/", &["../x"]),
            ("netconsole=@/12:34:56:78:9a:bc,@10.0.0.2/", &["12:34:56:78:9a:bc"]),
            ("xnetconsole=@/eth1,@/ root=/dev/sda", &[]),
        ] {
            let targets = of_parameters(line.as_bytes()).into_iter();
            let told = targets.map(|target| {
                format!(
                    "{}{}",
                    if target.is_extended { "+" } else { "" },
                    String::from_utf8_lossy(&target.name)
                )
            });
            assert_eq!(told.collect::<Vec<_>>(), want, "{line}");
        }
    }
}
