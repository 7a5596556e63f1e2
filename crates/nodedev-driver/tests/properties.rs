//! Promises that hold for any input.

use nodedev_driver::{ConnectUri, ListFlags, near_matches};
use nodedev_model::{DeviceName, DeviceState};
use proptest::prelude::*;

fn escaped(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn no_uri_makes_the_parser_panic_and_refusals_say_what_is_served(text in "(nodedev|test|qemu)?(\\+ssh)?:?/{0,3}.{0,40}") {
        if let Err(error) = text.parse::<ConnectUri>() {
            prop_assert!(error.help().is_some(), "{}", error);
        }
    }

    #[test]
    fn any_path_of_a_recording_can_be_written_as_a_uri(path in "/[^\0]{1,40}") {
        let uri: ConnectUri = format!("nodedev:///system?root={}", escaped(&path)).parse().expect("served");
        let ConnectUri::Host { root, .. } = uri else { panic!("a host") };
        prop_assert_eq!(root, Some(path.into()));
    }

    #[test]
    fn suggestions_are_few_known_names_and_a_known_name_is_its_own_first(
        names in prop::collection::btree_set("[a-z]{1,3}_[0-9a-f]{1,12}", 1..30),
        wanted in "[a-z_0-9]{0,20}",
    ) {
        let names: Vec<DeviceName> = names.iter().map(|name| name.parse().expect("not empty")).collect();
        let near = near_matches(&wanted, &names);
        prop_assert!(near.len() <= 3 && near.iter().all(|name| names.contains(name)));
        for name in &names {
            prop_assert_eq!(near_matches(name.as_str(), &names).first().copied(), Some(name));
        }
    }

    #[test]
    fn more_capability_flags_select_more_and_other_groups_select_less(
        bits: u32, more: u32, capabilities: u32, active: bool, persistent: bool,
    ) {
        let state = DeviceState { active, persistent, autostart: false };
        let flags = ListFlags::from_bits_truncate(bits);
        let wider = flags | (ListFlags::from_bits_truncate(more) & ListFlags::CAPABILITIES);
        if flags.intersects(ListFlags::CAPABILITIES) && flags.selects(capabilities, state) {
            prop_assert!(wider.selects(capabilities, state));
        }
        let without = flags.difference(ListFlags::STATES | ListFlags::PERSISTENCES);
        if flags.selects(capabilities, state) {
            prop_assert!(without.selects(capabilities, state));
        }
    }
}
