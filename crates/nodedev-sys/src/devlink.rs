//! The mode of a network card's embedded switch, asked by devlink over generic netlink.
//!
//! Source: kernel, `Documentation/netlink/specs/devlink.yaml` and `genetlink.yaml`.

use std::cell::RefCell;

use rustix::net::netlink::GENERIC;

use crate::attributes::{Attributes, push, u16_at};
use crate::dump::{Asker, GENERIC_HEADER};

const DEVLINK_CMD_ESWITCH_GET: u8 = 29;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_ESWITCH_MODE: u16 = 25;
const ESWITCH_MODE_SWITCHDEV: u16 = 1;

/// Asks devlink.
#[derive(Debug)]
pub struct Devlink {
    asker: RefCell<Asker>,
    family: u16,
}

impl Devlink {
    /// Finds devlink. `None` if the kernel does not have it, or does not let the caller ask.
    pub fn open() -> Option<Self> {
        let mut asker = Asker::open(Some(GENERIC)).ok()?;
        let family = asker.family(b"devlink").ok()??;
        Some(Self { asker: RefCell::new(asker), family })
    }

    /// Whether the embedded switch of the PCI function at `address` (`0000:03:00.0`) is in switchdev mode. A function
    /// without embedded switch is not, and neither is one of which the kernel does not say it.
    pub fn is_switchdev(&self, address: &[u8]) -> bool {
        let answer = self.asker.borrow_mut().one(self.family, &question(address), mode);
        answer.is_ok_and(|mode| mode == Some(ESWITCH_MODE_SWITCHDEV))
    }
}

fn question(address: &[u8]) -> Vec<u8> {
    let mut body = vec![DEVLINK_CMD_ESWITCH_GET, 1, 0, 0];
    push(&mut body, DEVLINK_ATTR_BUS_NAME, b"pci\0");
    push(&mut body, DEVLINK_ATTR_DEV_NAME, &[address, b"\0"].concat());
    body
}

/// The mode in an answer. `None` if it does not have it.
fn mode(body: &[u8]) -> Option<u16> {
    u16_at(Attributes::behind(body, GENERIC_HEADER).find(DEVLINK_ATTR_ESWITCH_MODE)?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::nested;

    #[test]
    fn a_function_is_asked_for_by_its_address_and_the_mode_is_found_in_the_answer() {
        let question = question(b"0000:03:00.0");
        let asked = Attributes::behind(&question, GENERIC_HEADER);
        assert_eq!(asked.find(DEVLINK_ATTR_DEV_NAME), Some(&b"0000:03:00.0\0"[..]));
        let answer = |value: &[u8]| {
            let attributes = nested(&[(7, b"abc".to_vec()), (DEVLINK_ATTR_ESWITCH_MODE, value.to_vec())]);
            mode(&[vec![0; GENERIC_HEADER], attributes].concat())
        };
        assert_eq!(answer(&1u16.to_ne_bytes()), Some(ESWITCH_MODE_SWITCHDEV));
        assert_eq!((answer(&0u16.to_ne_bytes()), answer(&[1]), mode(&[0; 3])), (Some(0), None, None));
    }
}
