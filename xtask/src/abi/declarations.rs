//! Prototypes, layouts and constants, beside libvirt's headers: a C compiler decides.
//!
//! Every value that is compared is what our library is compiled with; none is written down here a second time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nodedev_capi::typed_params::{TypedParameter, TypedParameterValue};
use nodedev_capi::types::{ConnectAuth, ConnectCredential, NodeInfo, VirError};
use nodedev_driver::{CreateFlags, ErrorCode, ErrorDomain, ErrorLevel, ListFlags, UpdateFlags, XmlFlags};

const HEADERS: &str = "#define VIR_ENUM_SENTINELS\n#include <stddef.h>\n#include <libvirt/libvirt.h>\n\
    #include <libvirt/virterror.h>\n#include <libvirt/libvirt-qemu.h>\n#include <libvirt/libvirt-lxc.h>\n";
/// A function is as declared only if it is declared at all, which a second declaration would not tell.
const PROTOTYPES: &str = "#define SYMBOL(returns, name, arguments) \\\n    _Static_assert(__builtin_types_compatible_p(\
    __typeof__(name), returns arguments), \"another prototype: \" #name);\n";

/// The C program, a line for each thing that has to be so.
#[derive(Default)]
struct Program {
    text: String,
    structures: usize,
    constants: usize,
}

/// The size and the fields of a structure, `=` before C's name of a field where ours is another.
macro_rules! structure {
    ($program:ident, $type:ty as $c:literal { $($field:ident $(= $other:literal)?),* }) => {
        $program.structure($c, size_of::<$type>(), &[
            $((
                [$($other,)? stringify!($field)][0],
                offset_of!($type, $field),
                size_of_field(|whole: &$type| &raw const whole.$field),
            )),*
        ]);
    };
}

/// Constants of libvirt with a prefix, ours without.
macro_rules! constants {
    ($program:ident, $prefix:literal, $type:ident: $($name:ident)*) => {
        $($program.constant(concat!($prefix, stringify!($name)), i64::from($type::$name.0));)*
    };
}

/// Compiles the program.
pub(super) fn check(symbols: &Path) -> Result<String> {
    let mut program = Program::default();
    structures(&mut program);
    errors(&mut program);
    flags(&mut program);
    let text = format!("{HEADERS}{PROTOTYPES}#include \"{}\"\n{}", symbols.display(), program.text);
    let options = ["-fsyntax-only", "-Wno-deprecated-declarations", "-x", "c", "-"];
    let mut compiler = Command::new("cc")
        .args(options)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cc can't be run")?;
    compiler.stdin.take().context("cc has no input")?.write_all(text.as_bytes())?;
    let output = compiler.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("not as libvirt's headers have it (libvirt-dev; `cargo xtask peers` installs it):\n{said}");
    }
    let functions = std::fs::read_to_string(symbols)?.lines().count();
    let Program { structures, constants, .. } = program;
    Ok(format!(
        "{functions} prototypes, {structures} structures and {constants} constants are those of the headers"
    ))
}

impl Program {
    fn structure(&mut self, name: &str, size: usize, fields: &[(&str, usize, usize)]) {
        self.structures += 1;
        self.line(&format!("sizeof({name}) == {size}"), name);
        for (field, offset, size) in fields {
            self.line(
                &format!("offsetof({name}, {field}) == {offset}"),
                &format!("offset of {name}.{field}"),
            );
            self.line(
                &format!("sizeof((({name} *)0)->{field}) == {size}"),
                &format!("size of {name}.{field}"),
            );
        }
    }

    fn constant(&mut self, name: &str, value: i64) {
        self.constants += 1;
        self.line(&format!("(int)({name}) == (int){value}LL"), name);
    }

    fn line(&mut self, condition: &str, what: &str) {
        let _ = writeln!(self.text, "_Static_assert({condition}, \"{what}\");");
    }
}

fn size_of_field<Whole, Field>(_field: fn(&Whole) -> *const Field) -> usize {
    size_of::<Field>()
}

fn structures(program: &mut Program) {
    structure!(program, VirError as "virError" {
        code, domain, message, level, conn, dom, str1, str2, str3, int1, int2, net
    });
    structure!(program, ConnectCredential as "virConnectCredential" {
        kind = "type", prompt, challenge, defresult, result, resultlen
    });
    structure!(program, ConnectAuth as "virConnectAuth" { credtype, ncredtype, cb, cbdata });
    structure!(program, NodeInfo as "virNodeInfo" { model, memory, cpus, mhz, nodes, sockets, cores, threads });
    structure!(program, TypedParameter as "virTypedParameter" { field, kind = "type", value });
    // The union has no name of its own.
    program.line(
        &format!("sizeof(((virTypedParameter *)0)->value) == {}", size_of::<TypedParameterValue>()),
        "value of a typed parameter",
    );
}

fn errors(program: &mut Program) {
    constants!(program, "VIR_FROM_", ErrorDomain: NONE XML RPC QEMU TEST REMOTE DOMAIN NODEDEV LIBXL URI DEVICE ACCESS);
    constants!(program, "VIR_ERR_", ErrorCode: INTERNAL_ERROR NO_SUPPORT INVALID_CONN INVALID_ARG OPERATION_FAILED
        NO_CONNECT NO_NAME XML_ERROR OPERATION_DENIED PARSE_FAILED XML_DETAIL SYSTEM_ERROR RPC INVALID_NODE_DEVICE
        NO_NODE_DEVICE OPERATION_INVALID CONFIG_UNSUPPORTED ARGUMENT_UNSUPPORTED OVERFLOW OPERATION_UNSUPPORTED
        ACCESS_DENIED XML_INVALID_SCHEMA DEVICE_MISSING);
    for (name, level) in [
        ("VIR_ERR_NONE", ErrorLevel::None),
        ("VIR_ERR_WARNING", ErrorLevel::Warning),
        ("VIR_ERR_ERROR", ErrorLevel::Error),
    ] {
        program.constant(name, level as i64);
    }
}

fn flags(program: &mut Program) {
    let list = ListFlags::all()
        .iter_names()
        .map(|(name, flag)| ("VIR_CONNECT_LIST_NODE_DEVICES_", name, flag.bits()));
    let xml = XmlFlags::all().iter_names().map(|(name, flag)| ("VIR_NODE_DEVICE_XML_", name, flag.bits()));
    let create =
        |prefix| CreateFlags::all().iter_names().map(move |(name, flag)| (prefix, name, flag.bits()));
    let update = UpdateFlags::all()
        .iter_names()
        .map(|(name, flag)| ("VIR_NODE_DEVICE_UPDATE_AFFECT_", name, flag.bits()));
    let all = list
        .chain(xml)
        .chain(create("VIR_NODE_DEVICE_CREATE_XML_"))
        .chain(create("VIR_NODE_DEVICE_DEFINE_XML_"))
        .chain(update);
    for (prefix, name, bits) in all {
        program.constant(&format!("{prefix}{name}"), i64::from(bits.cast_signed()));
    }
}
