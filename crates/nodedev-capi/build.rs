//! Makes of the tables in `symbols`, in `OUT_DIR`:
//!
//! - `stubs.rs`: the functions of `libvirt.so.0` that fail;
//! - `addresses.rs`: the address of each of its symbols, for the test that all are there;
//! - `libvirt.map` and `undefined`: the version script and the options for the linker that make `libvirt.so.0` of the static
//!   library (`cargo xtask c-library`);
//! - `NAME.c` and `NAME.map` of each library beside it, and `refusals.rs`, which are the functions that these have;
//! - `symbols.h`: each function of all as `SYMBOL(RETURN, NAME, (ARGUMENTS))`, for C programs that check or call them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where the tables are, one of a name for each library.
const TABLES: &str = "symbols";
/// Libraries that have stubs only, and have them call `libvirt.so.0`, where the last error is.
const BESIDE: &[&str] = &["libvirt-qemu", "libvirt-lxc"];
/// What they call, and the version node that it is on: a name of ours, so that neither finds the other one in libvirt's.
const REFUSE: &str = "nodedevRefuse";
const PRIVATE: &str = "NODEDEV_PRIVATE";

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
    ("virSecurityModelPtr ", "Value"),
];
/// Modules that have functions of a connection, and the domain of their errors (`virErrorDomain`).
const DOMAINS: &[(&str, &str)] = &[
    ("host", "DOMAIN"),
    ("domain", "DOMAIN"),
    ("network", "NETWORK"),
    ("storage", "STORAGE"),
    ("interface", "INTERFACE"),
    ("nwfilter", "NWFILTER"),
    ("secret", "SECRET"),
    ("stream", "STREAMS"),
    ("qemu", "NONE"),
    ("lxc", "NONE"),
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

/// A library's table: its version nodes, oldest first, each with its symbols.
struct Library {
    table: toml::Table,
    /// Where it was read, for messages.
    file: PathBuf,
}

/// A line of a table.
struct Symbol<'a> {
    name: &'a str,
    module: &'a str,
    kind: &'a str,
    returns: &'a str,
    /// With their parentheses; empty for a variable.
    arguments: &'a str,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLES}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut header = String::new();

    let library = Library::read("libvirt")?;
    let (mut stubs, mut addresses, mut undefined) = (String::new(), String::new(), String::new());
    for (_, symbol) in library.symbols()? {
        writeln!(undefined, "-Wl,-u,{}", symbol.name)?;
        writeln!(addresses, "{},", symbol.name)?;
        stubs.push_str(&symbol.stub()?);
        header.push_str(&symbol.declaration());
    }
    writeln!(undefined, "-Wl,-u,{REFUSE}")?;
    let private = format!("{PRIVATE} {{\nglobal:\n  {REFUSE};\n}};\n");
    fs::write(out.join("stubs.rs"), stubs)?;
    fs::write(out.join("addresses.rs"), format!("addresses! {{\n{addresses}}}\n"))?;
    fs::write(out.join("undefined"), undefined)?;
    fs::write(out.join("libvirt.map"), library.version_script()? + &private)?;

    let mut refusals = String::new();
    for name in BESIDE {
        let library = Library::read(name)?;
        let mut code = format!("void {REFUSE}(const char *, void *);\n");
        for (_, symbol) in library.symbols()? {
            writeln!(refusals, "{},", symbol.refusal()?)?;
            code.push_str(&symbol.definition()?);
            header.push_str(&symbol.declaration());
        }
        fs::write(out.join(format!("{name}.c")), code)?;
        fs::write(out.join(format!("{name}.map")), library.version_script()?)?;
    }
    fs::write(out.join("refusals.rs"), format!("[\n{refusals}]\n"))?;
    fs::write(out.join("symbols.h"), header)?;
    Ok(())
}

impl Library {
    fn read(name: &str) -> Result<Self, Box<dyn Error>> {
        let file = Path::new(TABLES).join(name).with_extension("toml");
        Ok(Self { table: fs::read_to_string(&file)?.parse()?, file })
    }

    /// All symbols, each with its node.
    fn symbols(&self) -> Result<Vec<(&str, Symbol<'_>)>, String> {
        let mut all = Vec::new();
        for (node, symbols) in &self.table {
            for (name, line) in symbols.as_table().into_iter().flatten() {
                let symbol = line.as_str().and_then(|line| Symbol::parse(name, line));
                let symbol =
                    symbol.ok_or_else(|| format!("{}: {node}: {name} is malformed", self.file.display()))?;
                all.push((node.as_str(), symbol));
            }
        }
        Ok(all)
    }

    /// What the linker gives the symbols their versions by.
    fn version_script(&self) -> Result<String, Box<dyn Error>> {
        let symbols = self.symbols()?;
        let mut script = String::new();
        let mut parent = String::new();
        for node in self.table.keys() {
            writeln!(script, "{node} {{\nglobal:")?;
            for (_, symbol) in symbols.iter().filter(|(of, _)| of == node) {
                writeln!(script, "  {};", symbol.name)?;
            }
            // What no node names stays inside.
            let hidden = if parent.is_empty() { "local: *;\n" } else { "" };
            writeln!(script, "{hidden}}}{parent};")?;
            parent = format!(" {node}");
        }
        Ok(script)
    }
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

    /// The line of `symbols.h`; none of a variable.
    fn declaration(&self) -> String {
        match self.arguments {
            "" => String::new(),
            arguments => format!("SYMBOL({}, {}, {arguments})\n", self.returns, self.name),
        }
    }

    /// What `src/stubs.rs` makes a function of; nothing if the function is written by hand.
    fn stub(&self) -> Result<String, String> {
        let (name, lacks) = match self.kind.split_once(':') {
            Some(("stub" | "change", other)) => (self.name, other),
            Some(("as" | "change-as", other)) => (other, other),
            None if ["stub", "change"].contains(&self.kind) => (self.name, self.name),
            None if self.kind == "free" => return Ok(format!("free!({});\n", self.name)),
            None if ["real", "data"].contains(&self.kind) => return Ok(String::new()),
            _ => return Err(format!("symbols: {}: what is '{}'?", self.name, self.kind)),
        };
        let (object, others) = self.split_arguments();
        let others: Vec<String> = others
            .iter()
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

    /// What `src/stubs.rs` has to know of a function of a library beside: name, whether it changes something, object.
    fn refusal(&self) -> Result<String, String> {
        let changes = match self.kind {
            "stub" => false,
            "change" => true,
            _ => return Err(format!("symbols: {}: '{}' is not known in this library", self.name, self.kind)),
        };
        let (object, _) = self.split_arguments();
        Ok(format!("(\"{}\", {changes}, {})", self.name, self.object(object)?))
    }

    /// The same function in C, which has `libvirt.so.0` refuse. Types are those that are passed alike.
    fn definition(&self) -> Result<String, String> {
        let (_, others) = self.split_arguments();
        let others: String = others
            .iter()
            .enumerate()
            .map(|(index, argument)| format!(", {} a{index}", number(argument).unwrap_or("const void *")))
            .collect();
        let (returns, failed) = match self.returns {
            "int" => ("int", "-1"),
            pointer if pointer.ends_with("Ptr") || pointer.ends_with('*') => ("void *", "0"),
            other => return Err(format!("symbols: {}: how does '{other}' fail?", self.name)),
        };
        let name = self.name;
        Ok(format!(
            "{returns} {name}(void *object{others})\n{{\n    {REFUSE}(\"{name}\", object);\n    return {failed};\n}}\n"
        ))
    }

    /// The first argument, and the others.
    fn split_arguments(&self) -> (&'a str, Vec<&'a str>) {
        let mut arguments = self.arguments.trim_matches(['(', ')']).split(", ");
        (arguments.next().unwrap_or_default(), arguments.collect())
    }

    /// The kind of object that the function is of.
    fn object(&self, first: &str) -> Result<String, String> {
        if first.starts_with("virConnectPtr ") {
            let domain = DOMAINS.iter().find(|(module, _)| *module == self.module);
            let (_, domain) = domain
                .ok_or_else(|| format!("symbols: {}: no domain of '{}' is known", self.name, self.module))?;
            return Ok(format!("Object::Connection(ErrorDomain::{domain})"));
        }
        let object = OBJECTS.iter().find(|(name, _)| first.starts_with(name));
        let (_, object) = object.ok_or_else(|| format!("symbols: {}: '{first}' is no object", self.name))?;
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
    let rust = |c| NUMBERS.iter().find(|(number, ..)| *number == c).map(|(_, rust, _)| *rust);
    number(argument).and_then(rust).unwrap_or("*const c_void")
}

/// C's type of an argument that is a number.
fn number(argument: &str) -> Option<&'static str> {
    let c =
        argument.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_').trim_end();
    NUMBERS.iter().find(|(number, ..)| *number == c).map(|(number, ..)| *number)
}
