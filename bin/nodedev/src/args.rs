//! The definition of the command line. Help texts, man pages and completions come from here.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;
use nodedev::Revision;

use crate::commands::completions::{capability_names, device_names};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Exit status:
  0  done
  1  failed; diff: the two differ; format: the document has mistakes; explain: no, or only by force
  2  wrong usage; diff: any failure
  3  done for some of the devices only

Examples:
  nodedev list --tree                     the devices of this machine
  nodedev dumpxml pci_0000_00_02_0        a device as libvirt's XML
  nodedev show --all --json               everything as one JSON document
  nodedev explain pci_0000_03_00_0        can a guest have it, and if not, why?
  nodedev detach --group pci_0000_03_00_0 take it and its IOMMU group from the host
  nodedev record -o host.tar.gz --mask    a support bundle without serial numbers
  nodedev --root host.tar.gz list         the devices of that bundle";

/// See, compare and hand over the devices of a virtualization host.
///
/// Lists and describes every device of this machine, or of a recording of another one, the way libvirt's node device
/// driver does, and hands PCI devices to guests and back, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "nodedev", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// Options of all commands. (A plain comment: clap takes doc comments as help.)
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Look at a recording, a folder or an archive (.tar, .tar.gz, .tar.zst), in place of this machine
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "connect")]
    pub(crate) root: Option<PathBuf>,
    /// Where the devices come from: nodedev:///system, a daemon (nodedev:///system?socket=PATH, nodedev+ssh://HOST/system
    /// and the like), test:///default, test:///FILE
    #[arg(short, long, global = true, value_name = "URI")]
    pub(crate) connect: Option<String>,
    /// How many threads look at this machine or a recording at once; 1 is none beside the program's own [default: as many as
    /// there are processors, at most 8, and 1 for few devices]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// What to say on standard error besides errors
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log: LogLevel,
}

/// Values of `--log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing
    Error,
    /// What is odd
    Warn,
    /// Also what is looked at, and how long it took
    Info,
    /// Also every value of the host that could not be read
    Debug,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List devices
    ///
    /// On a terminal: name, type and parent in columns. In a pipe: one name a line, as virsh nodedev-list prints them.
    List(ListArgs),
    /// Print devices as libvirt's XML
    Dumpxml(DumpxmlArgs),
    /// Print name, parent and state of devices
    Info(NamesArgs),
    /// Show all that is known of devices, also what libvirt's XML has no room for
    Show(ShowArgs),
    /// Print the names of devices' parents, one a line; the line of computer is empty
    Parent(NamesArgs),
    /// Print the capability types of devices; without a name, how many devices have each type
    Caps(CapsArgs),
    /// Wait for events and print them as virsh nodedev-event does
    ///
    /// Ends after the first event, or goes on with --loop; status 1 if there was none.
    Event(EventArgs),
    /// Follow every change of the devices, also of those that libvirt leaves out
    ///
    /// Each line has a revision in its JSON form, from which a later watch of the same daemon goes on with --since.
    Watch(WatchArgs),
    /// Take PCI devices from the host, so that guests can have them
    ///
    /// What the host needs, or a guest has, is refused; what was there before is remembered, and given back by reattach.
    #[command(aliases = ["nodedev-detach", "nodedev-dettach"])]
    Detach(DetachArgs),
    /// Give detached PCI devices back to the host, as they were
    #[command(alias = "nodedev-reattach")]
    Reattach(ReattachArgs),
    /// Reset PCI devices that nobody uses
    #[command(alias = "nodedev-reset")]
    Reset(ResetArgs),
    /// Say whether guests can have PCI devices, and if not, why, and what would help
    Explain(ExplainArgs),
    /// Make a mediated device or a virtual port as a document says
    #[command(alias = "nodedev-create")]
    Create(DocumentArgs),
    /// Define a mediated device, or change its definition, as a document says
    #[command(alias = "nodedev-define")]
    Define(DocumentArgs),
    /// Start mediated devices that are defined
    #[command(alias = "nodedev-start")]
    Start(ActArgs),
    /// Change a mediated device as a document says
    ///
    /// Without --live and --config, the device if it is active, else its definition.
    #[command(alias = "nodedev-update")]
    Update(UpdateArgs),
    /// Remove mediated devices and virtual ports; definitions stay
    #[command(alias = "nodedev-destroy")]
    Destroy(ActArgs),
    /// Remove definitions of mediated devices
    #[command(alias = "nodedev-undefine")]
    Undefine(ActArgs),
    /// Have mediated devices start with the host
    #[command(alias = "nodedev-autostart")]
    Autostart(AutostartArgs),
    /// See and mend what is remembered of detached devices
    #[command(subcommand)]
    Handover(HandoverCommand),
    /// Record what nodedev reads of this machine, for --root, support and tests
    Record(RecordArgs),
    /// Compare the devices of two recordings, or of a recording and this machine
    ///
    /// Prints added devices (+), removed ones (-), and changed ones (~) with each value that differs. Features of network
    /// interfaces, which no recording holds, are not compared with those of this machine.
    Diff(DiffArgs),
    /// Check a node device document and print it as libvirt would
    Format(FormatArgs),
    /// Print the JSON Schema of a command's JSON
    Schema(SchemaArgs),
    /// Print a script that completes the command line in a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// The exit code of a failure.
    pub(crate) fn on_trouble(&self) -> Exit {
        if matches!(self, Self::Diff(_)) { Exit::Usage } else { Exit::Failed }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Draw the tree of devices; in a pipe as virsh does
    #[arg(long, conflicts_with_all = ["cap", "inactive", "persistent", "transient", "issues", "json"])]
    pub(crate) tree: bool,
    /// Devices with one of these capabilities, active or not (repeat, or separate by commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = ArgValueCandidates::new(capability_names))]
    pub(crate) cap: Vec<String>,
    /// Devices that exist now (the default without --cap)
    #[arg(long, conflicts_with_all = ["inactive", "all"])]
    pub(crate) active: bool,
    /// Only devices that are defined and not started
    #[arg(long, conflicts_with = "all")]
    pub(crate) inactive: bool,
    /// Active and inactive devices
    #[arg(long)]
    pub(crate) all: bool,
    /// Only devices that have a definition
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Only devices that have no definition
    #[arg(long, conflicts_with_all = ["persistent", "inactive"])]
    pub(crate) transient: bool,
    /// Also the devices that libvirt leaves out: bridges, bonds, loop and dm devices, NVMe controllers, TPMs …
    #[arg(long)]
    pub(crate) extended: bool,
    /// List what could not be read of the host instead of devices
    #[arg(long, conflicts_with_all = ["cap", "active", "inactive", "all", "persistent", "transient", "extended"])]
    pub(crate) issues: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpxmlArgs {
    #[command(flatten)]
    pub(crate) devices: Devices,
    /// Definitions in place of the present state; with --all, every persistent device
    #[arg(long)]
    pub(crate) inactive: bool,
    /// Write one file NAME.xml for each device into this folder, which is created if necessary
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Print only the nodes that an XPath 1.0 expression selects
    #[arg(long, value_name = "EXPR")]
    pub(crate) xpath: Option<String>,
    /// Put the nodes that --xpath selects into one element <nodes>
    #[arg(long, requires = "xpath")]
    pub(crate) wrap: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) devices: Devices,
    /// As JSON; `nodedev schema` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

// Names of devices, or all of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Devices {
    /// Name of a device
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(device_names))]
    pub(crate) names: Vec<String>,
    /// Every device, inactive ones too
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Name of a device
    #[arg(value_name = "NAME", required = true, add = ArgValueCandidates::new(device_names))]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct FunctionsArgs {
    /// Name of a device
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(device_names))]
    pub(crate) names: Vec<String>,
    /// All PCI functions; the host is looked at once
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CapsArgs {
    /// Name of a device
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(device_names))]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    /// Only events of this device
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(device_names))]
    pub(crate) device: Option<String>,
    /// Which events to wait for
    #[arg(long, value_name = "EVENT", required_unless_present = "list")]
    pub(crate) event: Option<EventKind>,
    /// Go on until the timeout or Ctrl-C, not only until the first event
    #[arg(long)]
    pub(crate) r#loop: bool,
    /// Wait no longer than that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    pub(crate) timeout: Option<u32>,
    /// List the kinds of events
    #[arg(long)]
    pub(crate) list: bool,
    /// Print the time with each event
    #[arg(long)]
    pub(crate) timestamp: bool,
}

/// virsh's limit: milliseconds have to fit a C int.
const MOST_SECONDS: i64 = i32::MAX as i64 / 1000;

/// Values of `event --event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventKind {
    /// Devices that come, go, are defined or undefined
    Lifecycle,
    /// Devices that change
    Update,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// As JSON, a line for each change, after a complete picture; `nodedev schema watch` describes it
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on after this revision of an earlier watch; fails if the changes since are not known any more
    #[arg(long, value_name = "REVISION")]
    pub(crate) since: Option<Revision>,
    /// Stop after that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    pub(crate) timeout: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    #[command(flatten)]
    pub(crate) devices: NamesArgs,
    /// Kernel driver that is to have it; without one, the driver for VFIO that fits it
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: Option<String>,
    /// Everything in its IOMMU group that can be detached, or nothing
    #[arg(long)]
    pub(crate) group: bool,
    /// Also if the host needs it, or its IOMMU group; the log says what was skipped
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) telling: TellingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReattachArgs {
    #[command(flatten)]
    pub(crate) devices: NamesArgs,
    /// Everything in its IOMMU group that is detached, or nothing
    #[arg(long)]
    pub(crate) group: bool,
    #[command(flatten)]
    pub(crate) telling: TellingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) devices: NamesArgs,
    /// Also while the host uses it; the log says what was skipped
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) telling: TellingArgs,
}

// How much is told of a change, and whether it is made.
#[derive(Debug, Args)]
pub(crate) struct TellingArgs {
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what is written as JSON, a line for each device; `nodedev schema plan` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

impl TellingArgs {
    /// Whether something is asked for that libvirt's calls do not give.
    pub(crate) fn is_native(&self) -> bool {
        self.dry_run || self.json
    }
}

#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// The document; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Also check it against the rules of libvirt's schema
    #[arg(long)]
    pub(crate) validate: bool,
    #[command(flatten)]
    pub(crate) planning: PlanningArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    #[command(flatten)]
    pub(crate) devices: NamesArgs,
    #[command(flatten)]
    pub(crate) planning: PlanningArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AutostartArgs {
    #[command(flatten)]
    pub(crate) act: ActArgs,
    /// Have them not start with the host
    #[arg(long)]
    pub(crate) disable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Name of the device
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(device_names))]
    pub(crate) name: String,
    /// The document; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The device as it runs
    #[arg(long)]
    pub(crate) live: bool,
    /// Its definition
    #[arg(long)]
    pub(crate) config: bool,
    #[command(flatten)]
    pub(crate) planning: PlanningArgs,
}

// Whether a change is made, or told.
#[derive(Debug, Args)]
pub(crate) struct PlanningArgs {
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print that as JSON, a line for each device; `nodedev schema change` describes it
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) devices: FunctionsArgs,
    /// Kernel driver that would have it; without one, the driver for VFIO that fits it
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: Option<String>,
    /// As JSON, a line for each device; `nodedev schema explain` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HandoverCommand {
    /// List the devices that were taken from the host, and what they are given back
    List {
        /// As JSON; `nodedev schema handover` describes it
        #[arg(long)]
        json: bool,
    },
    /// Forget what is to be given back; the devices stay as they are
    Forget {
        /// Name or PCI address of a device
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The archive to write; its name ends in .tar or .tar.gz
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace serial numbers, hardware addresses, World Wide Names, UUIDs and labels by invented ones
    #[arg(long)]
    pub(crate) mask: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The recording before
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,
    /// The recording after; this machine (or what --root or --connect names) if left out
    #[arg(value_name = "B")]
    pub(crate) after: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// The document; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Also check it against the rules of libvirt's schema
    #[arg(long)]
    pub(crate) validate: bool,
    /// It is for a call that makes a device, which fills in what is left out: name, UUID, World Wide Names
    #[arg(long = "for", value_name = "CALL")]
    pub(crate) purpose: Option<Purpose>,
}

/// Values of `format --for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// A mediated device or a virtual port that is started (virNodeDeviceCreateXML)
    Create,
    /// A mediated device that is defined (virNodeDeviceDefineXML)
    Define,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The command
    #[arg(value_name = "COMMAND", default_value = "show")]
    pub(crate) document: Document,
}

/// Values of the argument of `schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// show --json
    Show,
    /// list --json
    List,
    /// list --issues --json
    Issues,
    /// watch --json: a line
    Watch,
    /// detach, reattach and reset --json: a line
    Plan,
    /// create, define, start, update, destroy, undefine and autostart --dry-run --json: a line
    Change,
    /// explain --json: a line
    Explain,
    /// handover list --json
    Handover,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}
