//! The protocol's limits: as much as is allowed is read, one more is not, and a length that can't be is refused before
//! memory is spent on it.

use nodedev_rpc::{Array, Call, Chars, Procedure, Reply, Str, TooLong, XdrError, bounds};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A list of `count` items that all look like `item`, with what surrounds it.
fn list(before: &[u32], count: u32, item: &[u32], after: &[u32]) -> Vec<u8> {
    let mut out = words(before);
    out.extend(count.to_be_bytes());
    out.extend(words(item).repeat(count as usize));
    out.extend(words(after));
    out
}

/// A text of `length` bytes.
fn text(length: usize) -> Vec<u8> {
    let mut out = words(&[length as u32]);
    out.resize(4 + length.next_multiple_of(4), b'a');
    out
}

type Decode = fn(&[u8]) -> Result<(), XdrError>;
/// What it is, how it is read, its limit, and words: those before it, of one item, and after it.
type Row = (&'static str, Decode, u32, &'static [u32], &'static [u32], &'static [u32]);

fn call(procedure: Procedure, payload: &[u8]) -> Result<(), XdrError> {
    Call::decode(procedure, payload).map(drop)
}

fn reply(procedure: Procedure, payload: &[u8]) -> Result<(), XdrError> {
    Reply::decode(procedure, payload).map(drop)
}

#[test]
fn lists_hold_as_much_as_the_protocol_allows() {
    // An empty name is one word; a parameter with an empty name and number 0 is three.
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("devices", |payload| reply(Procedure::NodeListDevices, payload), 65_536, &[], &[0], &[]),
        ("capabilities", |payload| reply(Procedure::NodeDeviceListCaps, payload), 65_536, &[], &[0], &[]),
        ("all devices", |payload| reply(Procedure::ConnectListAllNodeDevices, payload), 65_536, &[], &[0], &[0]),
        ("ways to log in", |payload| reply(Procedure::AuthList, payload), 20, &[], &[1], &[]),
        ("data of SASL's start", |payload| call(Procedure::AuthSaslStart, payload), 65_536, &[0, 0], &[0xffff_fff0], &[]),
        ("data of SASL's step", |payload| call(Procedure::AuthSaslStep, payload), 65_536, &[0], &[7], &[]),
        ("SASL's answer", |payload| reply(Procedure::AuthSaslStep, payload), 65_536, &[1, 0], &[7], &[]),
        ("identity", |payload| call(Procedure::ConnectSetIdentity, payload), 20, &[], &[0, 2, 0], &[0]),
    ];
    for (what, decode, limit, before, item, after) in table {
        let limit = *limit;
        assert_eq!(decode(&list(before, limit, item, after)), Ok(()), "{what}");
        assert_eq!(decode(&list(before, 0, item, after)), Ok(()), "{what}");
        let too_long = TooLong { length: limit as usize + 1, limit: limit as usize };
        assert_eq!(decode(&list(before, limit + 1, item, after)), Err(too_long.into()), "{what}");
        let mut claimed = words(before);
        for (count, accepted) in [(u32::MAX, false), (limit, false), (1, false)] {
            claimed.truncate(4 * before.len());
            claimed.extend(count.to_be_bytes());
            assert_eq!(decode(&claimed).is_ok(), accepted, "{what}: {count} that are not there");
        }
    }
}

#[test]
fn texts_hold_as_much_as_the_protocol_allows() {
    let lookup = |payload: &[u8]| call(Procedure::NodeDeviceLookupByName, payload);
    for length in [0, 1, 2, 3, 4, 5, bounds::STRING_MAX - 1, bounds::STRING_MAX] {
        assert_eq!(lookup(&text(length)), Ok(()), "{length}");
        if length % 4 != 0 {
            assert!(lookup(&text(length)[..4 + length]).is_err(), "{length} without padding");
        }
    }
    let too_long = TooLong { length: bounds::STRING_MAX + 1, limit: bounds::STRING_MAX };
    assert_eq!(lookup(&text(bounds::STRING_MAX + 1)), Err(too_long.into()));
    assert!(matches!(lookup(&words(&[u32::MAX])), Err(XdrError::TooLong(_))));
    assert!(matches!(lookup(&words(&[5, 0])), Err(XdrError::Short { needed: 5, left: 4 })));
}

#[test]
fn values_beyond_the_limits_can_not_be_made() {
    let long = vec![b'a'; bounds::STRING_MAX + 1];
    assert!(Str::new(&long).is_err() && Str::new(&long[1..]).is_ok());
    assert_eq!(Str::truncated(&long).as_bytes().len(), bounds::STRING_MAX);
    assert!(Array::<u32, 20>::new(vec![0; 21]).is_err() && Array::<u32, 20>::new(vec![0; 20]).is_ok());
    assert!(Chars::<3>::new(vec![0; 4]).is_err() && Chars::<3>::new(vec![0; 3]).is_ok());
}

#[test]
fn a_reply_longer_than_a_message_is_refused_and_leaves_nothing_behind() {
    let name = vec![b'a'; bounds::STRING_MAX];
    let names = vec![Str::new(&name).expect("just not too long"); 9];
    let names = Array::new(names).expect("few");
    let reply = Reply::NodeListDevices(nodedev_rpc::Names { names });
    let mut out = b"before".to_vec();
    let error = reply.encode(1, &mut out).expect_err("too long");
    assert_eq!((error.limit, out.as_slice()), (33_554_436, &b"before"[..]));
}

#[test]
fn numbers_and_unions_of_no_known_kind_are_told_apart() {
    let unknown = words(&[0, 2]);
    let Ok(Call::ConnectNodeDeviceEventRegisterAny(_)) =
        Call::decode(Procedure::ConnectNodeDeviceEventRegisterAny, &words(&[77, 0]))
    else {
        panic!("kinds of events are for the driver to judge")
    };
    assert!(call(Procedure::ConnectSetIdentity, &words(&[1, 0, 8, 0, 0])).is_err(), "type 8");
    assert!(matches!(
        call(Procedure::ConnectSetIdentity, &words(&[1, 0, 0, 0, 0])),
        Err(XdrError::ParameterType(0))
    ));
    assert!(call(Procedure::ConnectSetIdentity, &unknown).is_ok(), "no parameters, flags 2");
}

#[test]
fn characters_take_a_word_each_with_their_sign() {
    let step = nodedev_rpc::SaslStep { nil: 0, data: Chars::new(vec![0x80, 0x7f, 0xff]).expect("short") };
    let mut out = Vec::new();
    Call::AuthSaslStep(step.clone()).encode(0, &mut out).expect("short");
    let payload = words(&[0, 3, 0xffff_ff80, 0x7f, u32::MAX]);
    assert_eq!(out[bounds::MESSAGE_MIN..], payload);
    assert_eq!(Call::decode(Procedure::AuthSaslStep, &payload), Ok(Call::AuthSaslStep(step)));
}
