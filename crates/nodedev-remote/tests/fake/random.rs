//! A daemon whose answers are right but for some bytes.

use std::ops::ControlFlow;
use std::time::Duration;

use nodedev_driver::{LibvirtCalls as _, ListFlags, XmlFlags};
use nodedev_rpc::{AllDevices, Array, Call, Names, Number, OptionalText, Reply, Str, Text};

use crate::server::{Peer, Received, Server};

/// Marsaglia's xorshift: the same bytes in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("small")
    }

    /// Changes, removes or adds up to two bytes.
    pub(crate) fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = 0xff,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, 0),
            }
        }
    }
}

fn answer(received: &Received) -> Option<Vec<u8>> {
    let text = |text| Str::new(text).expect("short");
    let names = || Array::new(["pci_a", "pci_b", "net_c"].map(text).to_vec()).expect("few");
    let reply = match received.call() {
        Call::ConnectListAllNodeDevices(_) => {
            Reply::ConnectListAllNodeDevices(AllDevices { devices: names(), count: 3 })
        }
        Call::NodeDeviceGetParent(_) => {
            Reply::NodeDeviceGetParent(OptionalText { text: Some(text("computer")) })
        }
        Call::NodeDeviceGetXmlDesc(_) => Reply::NodeDeviceGetXmlDesc(Text { text: text("<device/>") }),
        Call::NodeDeviceListCaps(_) => Reply::NodeDeviceListCaps(Names { names: names() }),
        Call::NodeDeviceIsActive(_) => Reply::NodeDeviceIsActive(Number { number: 1 }),
        _ => return None,
    };
    let mut out = Vec::new();
    reply.encode(received.header.serial, &mut out).expect("short");
    Some(out)
}

/// Changes, removes or adds bytes of some answers.
fn serve(mut peer: Peer, random: &mut Random) {
    peer.welcome();
    // A client that waits for the rest of a message is not let wait.
    peer.socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    while let Some(mut bytes) = peer.receive().as_ref().and_then(answer) {
        random.corrupt(&mut bytes);
        peer.send(&bytes);
    }
}

#[test]
fn wrong_bytes_anywhere_are_errors_and_never_a_panic() {
    let mut failures = 0;
    for seed in 1..300_u64 {
        let server =
            Server::start(move |peer| serve(peer, &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        let driver = server.open().expect("open");
        failures += u32::from(driver.is_active("pci_a").is_err());
        failures += u32::from(driver.list(ListFlags::empty()).is_err());
        failures += u32::from(driver.capabilities("pci_a", None).is_err());
        let visited = driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |_, xml| {
            failures += u32::from(xml.is_err());
            ControlFlow::Continue(())
        });
        failures += u32::from(visited.is_err());
        drop(driver);
        server.join();
    }
    assert!(failures > 300, "{failures} calls failed");
}
