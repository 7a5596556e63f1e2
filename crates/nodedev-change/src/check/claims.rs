//! Claims: what the host, its guests and its processes have of devices.
//!
//! They are gathered once for the whole host, from the sources in a table, and then looked up for each function, so that a
//! look at all functions costs no more than one at each device. A source that cannot be asked is a finding too: what is not
//! known refuses.

use std::collections::{HashMap, HashSet};

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};
use nodedev_sys::paths::{CLASS_NET, DEV_CHAR};

use super::lookup::devices_in;
use super::{Scene, consoles, finding, guests, keyboards, memory, network, openers, storage, usbip};
use crate::{OpsError, PciFunction, Result};

/// How many claims on one function are told: nobody reads more.
const MOST_TOLD: usize = 8;

/// What somebody has of a device.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) kind: FindingKind,
    pub(super) effect: Effect,
    /// The device in sysfs, relative to the root.
    pub(super) path: Vec<u8>,
    /// What is so, as the end of a sentence that begins with the function: `is needed by the host: …`.
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Claim {
    /// What the host needs a device for, `why` as it is told: `its default route is through eth0`.
    pub(super) fn needed(kind: FindingKind, why: String, remedy: &str, path: Vec<u8>) -> Self {
        let what = format!("is needed by the host: {why}");
        Self { kind, effect: Effect::RefusedUnlessForced, path, what, remedy: remedy.to_owned() }
    }
}

/// The functions that a source tells something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// Those with block devices.
    Block,
    /// Those with network interfaces.
    Network,
    /// Those with device nodes of any kind.
    Nodes,
    /// All.
    Any,
}

/// A source of claims that could not be asked.
#[derive(Debug)]
struct Unknown {
    concern: Concern,
    /// What could not be found out, and why.
    problem: String,
    remedy: &'static str,
}

/// All claims on the devices of a host.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    all: Vec<Claim>,
    by_function: HashMap<PciAddress, Vec<usize>>,
    /// Devices that have a file system or the like on them.
    storage: HashSet<Vec<u8>>,
    unknown: Vec<Unknown>,
}

/// What is asked: what it tells of, and how.
type Source = (Concern, fn(&Scene<'_>, &mut Claims) -> Result<()>);

const SOURCES: &[Source] = &[
    (Concern::Block, storage::mounted),
    (Concern::Block, storage::mounted_elsewhere),
    (Concern::Block, storage::file_systems),
    (Concern::Block, storage::swap_spaces),
    (Concern::Block, storage::targets),
    (Concern::Block, storage::pools),
    (Concern::Block, storage::hibernation),
    (Concern::Network, network::claims),
    (Concern::Network, network::consoles),
    (Concern::Network, network::bridges_of_guests),
    (Concern::Any, network::remote_devices),
    (Concern::Any, openers::claims),
    (Concern::Any, guests::groups),
    (Concern::Nodes, usbip::claims),
    (Concern::Nodes, |scene, claims| claims.extend(consoles::claims(scene.host)?)),
    (Concern::Nodes, |scene, claims| claims.extend(keyboards::claims(scene.host)?)),
    (Concern::Any, |scene, claims| claims.extend(memory::claims(scene.host)?)),
];

impl Claims {
    /// Asks all sources.
    pub(super) fn gather(scene: &Scene<'_>) -> Self {
        let mut claims = Self::default();
        for (concern, ask) in SOURCES {
            if let Err(error) = ask(scene, &mut claims) {
                // A recording leaves out what its note says.
                if matches!(error, OpsError::NotTold { .. }) && !scene.host.is_changeable() {
                    continue;
                }
                claims.unknown(
                    *concern,
                    error.message(),
                    "mend that; --force takes the device without knowing",
                );
            }
        }
        claims
    }

    /// Adds a claim on a device, which counts for each PCI function that the device is below.
    pub(super) fn add(&mut self, claim: Claim) {
        if claim.kind == FindingKind::HostStorage {
            self.storage.insert(claim.path.clone());
        }
        let functions: Vec<PciAddress> = functions_above(&claim.path).collect();
        if functions.is_empty() {
            return;
        }
        for function in functions {
            self.by_function.entry(function).or_default().push(self.all.len());
        }
        self.all.push(claim);
    }

    fn extend(&mut self, claims: Vec<Claim>) -> Result<()> {
        claims.into_iter().for_each(|claim| self.add(claim));
        Ok(())
    }

    /// Whether it is known already what a device is needed for as storage.
    pub(super) fn has_storage(&self, path: &[u8]) -> bool {
        self.storage.contains(path)
    }

    /// Adds what could not be found out.
    pub(super) fn unknown(&mut self, concern: Concern, problem: String, remedy: &'static str) {
        self.unknown.push(Unknown { concern, problem, remedy });
    }

    /// Claims on a function.
    pub(super) fn on(&self, function: &PciFunction) -> impl Iterator<Item = &Claim> {
        let places = self.by_function.get(&function.address).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|place| &self.all[*place])
    }

    /// What claims on a function mean, of those with one of some effects.
    fn findings(&self, function: &PciFunction, wanted: fn(Effect) -> bool) -> Vec<Finding> {
        let mut told = HashSet::new();
        let claims =
            self.on(function).filter(|claim| wanted(claim.effect) && told.insert(claim.what.as_str()));
        let as_finding = |claim: &Claim| Finding {
            kind: claim.kind,
            effect: claim.effect,
            problem: format!("PCI device {} {}", function.address, claim.what),
            remedy: Some(claim.remedy.clone()),
        };
        claims.take(MOST_TOLD).map(as_finding).collect()
    }
}

/// What guests have of a function or of what is below it: nobody can take it away.
pub(super) fn of_guests(scene: &Scene<'_>, intent: &super::Intent<'_>) -> Result<Vec<Finding>> {
    Ok(scene.claims().findings(intent.function, |effect| effect == Effect::Refused))
}

/// What the host and its processes have of a function or of what is below it.
pub(super) fn of_host(scene: &Scene<'_>, intent: &super::Intent<'_>) -> Result<Vec<Finding>> {
    Ok(scene.claims().findings(intent.function, |effect| effect != Effect::Refused))
}

/// What could not be found out, as far as it can matter to a function.
pub(super) fn not_known(scene: &Scene<'_>, intent: &super::Intent<'_>) -> Result<Vec<Finding>> {
    let claims = scene.claims();
    let (mut findings, mut told) = (Vec::new(), HashSet::new());
    for unknown in &claims.unknown {
        if findings.len() == MOST_TOLD {
            break;
        }
        let is_new = !told.contains(unknown.problem.as_str());
        if is_new && scene.concerns(intent.function, unknown.concern)? {
            told.insert(unknown.problem.as_str());
            let function = intent.function.address;
            findings.push(finding(
                FindingKind::Unknown,
                Effect::RefusedUnlessForced,
                format!("it is not known whether PCI device {function} is in use: {}", unknown.problem),
                unknown.remedy,
            ));
        }
    }
    Ok(findings)
}

/// What the devices below functions are.
#[derive(Debug, Default)]
pub(crate) struct Below {
    block: HashMap<PciAddress, Vec<Vec<u8>>>,
    network: HashSet<PciAddress>,
    nodes: HashSet<PciAddress>,
}

impl Below {
    pub(super) fn of(scene: &Scene<'_>) -> Result<Self> {
        let mut below = Self::default();
        for path in scene.blocks()?.paths() {
            for function in scene.blocks()?.functions_of(scene.host, path)? {
                below.block.entry(function).or_default().push(path.clone());
            }
        }
        for (folder, into) in [(CLASS_NET, &mut below.network), (DEV_CHAR, &mut below.nodes)] {
            for path in devices_in(scene.host, folder)? {
                into.extend(functions_above(&path));
            }
        }
        Ok(below)
    }

    /// Block devices of a function, partitions among them.
    pub(super) fn block_devices(&self, function: &PciFunction) -> &[Vec<u8>] {
        self.block.get(&function.address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn has(&self, function: &PciFunction, concern: Concern) -> bool {
        let address = &function.address;
        match concern {
            Concern::Block => self.block.contains_key(address),
            Concern::Network => self.network.contains(address),
            Concern::Nodes => self.nodes.contains(address) || self.block.contains_key(address),
            Concern::Any => true,
        }
    }
}

/// The PCI functions in the path of a device.
pub(super) fn functions_above(path: &[u8]) -> impl Iterator<Item = PciAddress> {
    PciAddress::in_path(path)
}

/// The text of an error, where something else can go on without it.
pub(super) fn told(error: &OpsError) -> String {
    error.message()
}
