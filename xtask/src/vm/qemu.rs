//! The virtual machine, and its serial console line by line.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::qmp::Control;
use super::report::PREFIX;

pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Of the NVMe disk: room for a file system and for swap space.
const DISK_BYTES: u64 = 64 << 20;
const MEMORY_MIB: &str = "2048";
/// A guest whose processor does not answer any more ends, instead of being waited for.
const KERNEL_OPTIONS: &str =
    "console=ttyS0 quiet loglevel=3 panic=-1 sysctl.kernel.panic_on_rcu_stall=1 intel_iommu=on";
/// A line of the console is cut off here.
const LONGEST_LINE: usize = 4096;
/// The devices, at the addresses that `tests/vm/lib.sh` has names for. Without ROMs: the firmware would look for an operating
/// system on each network card.
const DEVICES: &[&str] = &[
    "intel-iommu,intremap=off",
    "pcie-root-port,id=port1,chassis=1,slot=1,addr=2.0",
    "pcie-root-port,id=port2,chassis=2,slot=2,addr=3.0",
    "pcie-root-port,id=port3,chassis=3,slot=3,addr=4.0",
    "pcie-root-port,id=port4,chassis=4,slot=4,addr=6.0",
    "e1000e,bus=port1,romfile=,netdev=here",
    "igb,bus=port2,romfile=",
    "nvme,drive=disk,serial=nodedev,bus=port3",
    // Two functions of one slot, the first of which no driver here serves.
    "e1000,addr=5.0,multifunction=on,romfile=",
    "e1000e,addr=5.1,romfile=,netdev=there",
    // A conventional bus: all behind the bridge is one IOMMU group.
    "pcie-pci-bridge,id=conventional,bus=port4",
    "e1000,bus=conventional,addr=1.0,romfile=",
    "e1000,bus=conventional,addr=2.0,romfile=",
    // A screen that nobody looks at.
    "bochs-display,addr=9.0",
    // For what is plugged in and out.
    "pcie-root-port,id=plug1,chassis=5,slot=5,addr=7.0",
    "pcie-root-port,id=plug2,chassis=6,slot=6,addr=8.0",
];
/// A wire between two of the network cards.
const WIRE: &[&str] = &["hubport,id=here,hubid=0", "hubport,id=there,hubid=0"];
/// Of the NVMe that is plugged in.
const PLUGGED_DISK: &str = "driver=null-co,node-name=blank,size=16777216,read-zeroes=on";
/// Begins a line of the console that is a command for QEMU: the guest has devices plugged in and out.
const COMMAND: &str = "nodedev-vm: QMP ";

/// What a guest is started with.
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    /// Folder of its own.
    pub(super) folder: PathBuf,
    /// For the environment of its first program.
    pub(super) variables: [(&'static str, String); 2],
    pub(super) patience: Duration,
}

impl Guest<'_> {
    /// Runs it until it powers itself off, and gives each line of its console to `take`.
    pub(super) fn run(&self, mut take: impl FnMut(&str)) -> Result<()> {
        let accelerated = has_kvm();
        println!(
            "starting a guest with {}; it has {} s",
            if accelerated { "KVM" } else { "emulation: there is no KVM here" },
            self.patience.as_secs()
        );
        File::create(self.disk())?.set_len(DISK_BYTES)?;
        let start = Instant::now();
        let errors = self.folder.join("errors");
        let mut machine = Machine(self.command(accelerated).stderr(File::create(&errors)?).spawn()?);
        let console = machine.0.stdout.take().context("QEMU has no console")?;
        let (send, lines) = mpsc::sync_channel(64);
        let reader = thread::spawn(move || {
            let mut console = BufReader::new(console);
            let mut line = Vec::new();
            while console.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                line.truncate(LONGEST_LINE);
                if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let mut in_time = true;
        let mut control = None;
        loop {
            match lines.recv_timeout(self.patience.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    take(&line);
                    if let Some((_, command)) = line.split_once(COMMAND)
                        && let Err(error) = self.control(&mut control, command)
                    {
                        take(&format!("{PREFIX}FAIL QEMU does as it is told: {error:#}"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    in_time = false;
                    break;
                }
            }
        }
        if !in_time {
            bail!("the guest did not end within {} s", self.patience.as_secs());
        }
        let status = machine.0.wait()?;
        // The console has ended with the machine.
        let _ = reader.join();
        if !status.success() {
            bail!("QEMU failed: {status}: {}", fs::read_to_string(&errors)?.trim());
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("qmp")
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn control(&self, control: &mut Option<Control>, command: &str) -> Result<()> {
        let control = match control {
            Some(control) => control,
            None => control.insert(Control::connect(&self.socket())?),
        };
        control.execute(command)
    }

    fn command(&self, accelerated: bool) -> Command {
        let variables: String =
            self.variables.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        // If this program is killed, the machine is not to stay.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
        // With a thread for each processor, a processor of the guest got no more timer interrupts in one run of about twelve.
        let acceleration = if accelerated { ["kvm", "host"] } else { ["tcg,thread=single", "qemu64"] };
        command.args([
            "-machine",
            "q35,kernel-irqchip=split",
            "-accel",
            acceleration[0],
            "-cpu",
            acceleration[1],
        ]);
        command.args([
            "-smp",
            "2",
            "-m",
            MEMORY_MIB,
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-net",
            "none",
        ]);
        command.args(["-serial", "stdio", "-monitor", "none"]);
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initrd);
        command.arg("-append").arg(format!("{KERNEL_OPTIONS}{variables}"));
        command.arg("-drive").arg(format!("file={},if=none,id=disk,format=raw", self.disk().display()));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", self.socket().display()));
        command.args(["-blockdev", PLUGGED_DISK]);
        for end in WIRE {
            command.args(["-netdev", end]);
        }
        for device in DEVICES {
            command.args(["-device", device]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// A QEMU that ends with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It has ended already where this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the processor itself runs guests. Where only software does (kvm-pvm), kernels of Debian do not start.
fn has_kvm() -> bool {
    let device = File::options().read(true).write(true).open("/dev/kvm");
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    device.is_ok() && processor.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
}
