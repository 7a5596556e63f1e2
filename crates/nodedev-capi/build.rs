//! Makes of `symbols.toml`, in `OUT_DIR`:
//!
//! - `stubs.rs`: the functions that fail;
//! - `addresses.rs`: the address of each symbol, for the test that all are there;
//! - `libvirt.map` and `undefined`: the version script and the options for the linker that make `libvirt.so.0` of the static
//!   library (`cargo xtask c-library`);
//! - `symbols.h`: each function as `SYMBOL(RETURN, NAME, (ARGUMENTS))`, for C programs that check or call them all.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

/// Types of objects, what their kind is called in `src/stubs.rs`, in the order in which one is looked for.
const OBJECTS: &[(&str, &str)] = &[
    ("virDomainPtr *", "DomainList"),
    ("virDomainPtr ", "Domain"),
    ("virDomainCheckpointPtr ", "DomainCheckpoint"),
    ("virDomainSnapshotPtr ", "DomainSnapshot"),
    ("virInterfacePtr ", "Interface"),
    ("virNetworkPtr ", "Network"),
    ("virNetworkPortPtr ", "NetworkPort"),
    ("virNWFilterPtr ", "NwFilter"),
    ("virNWFilterBindingPtr ", "NwFilterBinding"),
    ("virSecretPtr ", "Secret"),
    ("virStoragePoolPtr ", "StoragePool"),
    ("virStorageVolPtr ", "StorageVolume"),
    ("virStreamPtr ", "Stream"),
];
/// Modules that have functions of a connection, and the domain of their errors (`virErrorDomain`).
const DOMAINS: &[(&str, i32)] = &[
    ("host", 20),
    ("domain", 20),
    ("network", 19),
    ("storage", 18),
    ("interface", 26),
    ("nwfilter", 33),
    ("secret", 30),
    ("stream", 38),
];
/// C's types, ours, and what a function that returns one returns when it fails. Any other type is a pointer.
const NUMBERS: &[(&str, &str, &str)] = &[
    ("int", "c_int", "-1"),
    ("unsigned int", "c_uint", "c_uint::MAX"),
    ("unsigned long", "c_ulong", "0"),
    ("long long", "c_longlong", "-1"),
    ("unsigned long long", "c_ulonglong", "0"),
    ("size_t", "usize", "0"),
];

/// A line of `symbols.toml`.
struct Symbol<'a> {
    name: &'a str,
    module: &'a str,
    kind: &'a str,
    returns: &'a str,
    /// With their parentheses; empty for a variable.
    arguments: &'a str,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=symbols.toml");
    println!("cargo::rerun-if-changed=build.rs");
    let table: toml::Table = fs::read_to_string("symbols.toml")?.parse()?;
    let (mut stubs, mut addresses, mut map) = (String::new(), String::new(), String::new());
    let (mut undefined, mut header) = (String::new(), String::new());
    let mut parent = None;
    for (node, symbols) in &table {
        writeln!(map, "{node} {{\nglobal:")?;
        for (name, line) in symbols.as_table().into_iter().flatten() {
            let line = line.as_str().and_then(|line| Symbol::parse(name, line));
            let symbol = line.ok_or_else(|| format!("symbols.toml: {node}: {name} is malformed"))?;
            writeln!(map, "  {name};")?;
            writeln!(undefined, "-Wl,-u,{name}")?;
            writeln!(addresses, "{name},")?;
            stubs.push_str(&symbol.stub()?);
            if !symbol.arguments.is_empty() {
                writeln!(header, "SYMBOL({}, {name}, {})", symbol.returns, symbol.arguments)?;
            }
        }
        // What no node names stays inside.
        let hidden = if parent.is_none() { "local: *;\n" } else { "" };
        writeln!(map, "{hidden}}}{};", parent.map(|parent| format!(" {parent}")).unwrap_or_default())?;
        parent = Some(node);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("stubs.rs"), stubs)?;
    fs::write(out.join("addresses.rs"), format!("addresses! {{\n{addresses}}}\n"))?;
    fs::write(out.join("libvirt.map"), map)?;
    fs::write(out.join("undefined"), undefined)?;
    fs::write(out.join("symbols.h"), header)?;
    Ok(())
}

impl<'a> Symbol<'a> {
    fn parse(name: &'a str, line: &'a str) -> Option<Self> {
        let (module, rest) = line.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let split = rest.find('(').unwrap_or(rest.len());
        let (returns, arguments) = rest.split_at(split);
        let whole = if kind == "data" { arguments.is_empty() } else { arguments.ends_with(')') };
        whole.then_some(Self { name, module, kind, returns, arguments })
    }

    /// What `src/stubs.rs` makes a function of; nothing if the function is written by hand.
    fn stub(&self) -> Result<String, String> {
        let (name, lacks) = match self.kind.split_once(':') {
            Some(("stub" | "change", other)) => (self.name, other),
            Some(("as" | "change-as", other)) => (other, other),
            None if ["stub", "change"].contains(&self.kind) => (self.name, self.name),
            None if self.kind == "free" => return Ok(format!("free!({});\n", self.name)),
            None if ["real", "data"].contains(&self.kind) => return Ok(String::new()),
            _ => return Err(format!("symbols.toml: {}: what is '{}'?", self.name, self.kind)),
        };
        let arguments = self.arguments.trim_matches(['(', ')']);
        let (object, others) = arguments.split_once(", ").unwrap_or((arguments, ""));
        let others: Vec<String> = others
            .split(", ")
            .filter(|argument| !argument.is_empty())
            .enumerate()
            .map(|(index, argument)| format!("_{index}: {}", argument_type(argument)))
            .collect();
        let (returns, failed) = self.failure();
        let changes = self.kind.starts_with("change");
        let (symbol, object, others) = (self.name, self.object(object)?, others.join(", "));
        Ok(format!(
            "stub!({symbol}, \"{name}\", \"{lacks}\", {changes}, {object}, ({others}) -> {returns}, {failed});\n"
        ))
    }

    /// The kind of object that the function is of.
    fn object(&self, first: &str) -> Result<String, String> {
        if first.starts_with("virConnectPtr ") {
            let domain = DOMAINS.iter().find(|(module, _)| *module == self.module);
            let (_, domain) = domain.ok_or_else(|| {
                format!("symbols.toml: {}: no domain of '{}' is known", self.name, self.module)
            })?;
            return Ok(format!("Object::Connection(ErrorDomain({domain}))"));
        }
        let object = OBJECTS.iter().find(|(name, _)| first.starts_with(name));
        let (_, object) =
            object.ok_or_else(|| format!("symbols.toml: {}: '{first}' is no object", self.name))?;
        Ok(format!("Object::{object}"))
    }

    /// The type of what it returns, and the value of it that tells of a failure.
    fn failure(&self) -> (&'static str, &'static str) {
        let number = NUMBERS.iter().find(|(c, ..)| *c == self.returns);
        match self.returns {
            "void" => ("()", "()"),
            _ => number.map_or(("*mut c_void", "null_mut()"), |(_, rust, failed)| (rust, failed)),
        }
    }
}

/// The type of an argument, which in C stands before its name.
fn argument_type(argument: &str) -> &'static str {
    let c =
        argument.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_').trim_end();
    NUMBERS.iter().find(|(number, ..)| *number == c).map_or("*const c_void", |(_, rust, _)| rust)
}
