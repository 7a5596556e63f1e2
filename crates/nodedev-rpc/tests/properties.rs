//! Promises that hold for any value and any bytes.

use nodedev_rpc::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

type Bytes = Vec<u8>;

fn name() -> impl Strategy<Value = Bytes> {
    vec(1_u8.., 0..40)
}

fn str(bytes: &[u8]) -> Str<'_> {
    Str::new(bytes).expect("short")
}

fn optional(bytes: &Option<Bytes>) -> Option<Str<'_>> {
    bytes.as_deref().map(str)
}

/// Writes a call and reads it again.
fn call_again(call: &Call<'_>, serial: u32) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    call.encode(serial, &mut out).expect("short");
    let packet = Packet::parse(&out).expect("whole");
    prop_assert_eq!(packet.header, Header::call(call.procedure().number(), serial));
    prop_assert_eq!(Request::of(&packet.header), Request::Call(call.procedure()));
    let again = Call::decode(call.procedure(), packet.payload);
    prop_assert_eq!(again.as_ref(), Ok(call));
    Ok(())
}

/// Writes a reply and reads it again.
fn reply_again(reply: &Reply<'_>, serial: u32) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    reply.encode(serial, &mut out).expect("short");
    let packet = Packet::parse(&out).expect("whole");
    prop_assert_eq!(packet.response(), Ok(Response::Reply(Header::call(0, serial).key())));
    let again = Reply::decode(reply.procedure(), packet.payload);
    prop_assert_eq!(again.as_ref(), Ok(reply));
    Ok(())
}

/// Words such as they are in payloads: lengths that fit, flags, and texts.
fn payload() -> impl Strategy<Value = Bytes> {
    let word = prop_oneof![
        4 => (0_u32..4).prop_map(|word| word.to_be_bytes().to_vec()),
        1 => any::<u32>().prop_map(|word| word.to_be_bytes().to_vec()),
        4 => name().prop_map(|text| {
            let mut out = (text.len() as u32).to_be_bytes().to_vec();
            out.extend(&text);
            out.resize(4 + text.len().next_multiple_of(4), 0);
            out
        }),
        1 => vec(any::<u8>(), 0..7),
    ];
    vec(word, 0..8).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn calls_are_read_as_they_were_written(
        (one, two, maybe) in (name(), name(), of(name())),
        (number, flags, serial) in (any::<i32>(), any::<u32>(), any::<u32>()),
    ) {
        let (one, two, maybe) = (str(&one), str(&two), optional(&maybe));
        let calls = [
            Call::ConnectOpen(Open { name: maybe, flags }),
            Call::ConnectClose(Void),
            Call::ConnectSupportsFeature(FeatureQuestion { feature: number.into() }),
            Call::ConnectGetMaxVcpus(OptionalText { text: maybe }),
            Call::ConnectGetSysinfo(Flags { flags }),
            Call::NodeNumOfDevices(CountDevices { capability: maybe, flags }),
            Call::NodeListDevices(ListDevices { capability: maybe, max_names: number, flags }),
            Call::NodeDeviceLookupByName(Device { name: one }),
            Call::NodeDeviceGetXmlDesc(DeviceFlags { name: one, flags }),
            Call::NodeDeviceListCaps(ListCapabilities { name: one, max_names: number }),
            Call::NodeDeviceCreateXml(Document { xml: one, flags }),
            Call::ConnectListAllNodeDevices(ListAllDevices { need_results: number, flags }),
            Call::NodeDeviceLookupScsiHostByWwn(WorldWideNames { wwnn: one, wwpn: two, flags }),
            Call::NodeDeviceDetachFlags(Detach { name: one, driver: maybe, flags }),
            Call::ConnectNodeDeviceEventRegisterAny(EventRegistration { event: number.into(), device: maybe }),
            Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: number }),
            Call::NodeDeviceSetAutostart(Autostart { name: one, autostart: number }),
            Call::NodeDeviceUpdate(Update { name: one, xml: two, flags }),
        ];
        for call in &calls {
            call_again(call, serial)?;
        }
    }

    #[test]
    fn logins_and_identities_are_read_as_they_were_written(
        data in vec(any::<u8>(), 0..100),
        nil in any::<i32>(),
        fields in vec((name(), 0..7, any::<i64>(), name()), 0..=20),
        types in vec(any::<i32>(), 0..=20),
    ) {
        let chars = Chars::new(data.clone()).expect("short");
        call_again(&Call::AuthSaslStep(SaslStep { nil, data: chars.clone() }), 1)?;
        call_again(&Call::AuthSaslStart(SaslStart { mechanism: str(b"PLAIN"), nil, data: chars.clone() }), 1)?;
        reply_again(&Reply::AuthSaslStep(SaslReply { complete: 1, nil, data: chars }), 1)?;
        let types = types.into_iter().map(AuthType::from).collect();
        reply_again(&Reply::AuthList(AuthTypes { types: Array::new(types).expect("few") }), 1)?;
        let parameters = fields.iter().map(|(field, kind, number, text)| TypedParameter {
            field: str(field),
            value: match kind {
                0 => TypedValue::Int(*number as i32),
                1 => TypedValue::UInt(*number as u32),
                2 => TypedValue::LLong(*number),
                3 => TypedValue::ULLong(*number as u64),
                4 => TypedValue::Double(*number as f64 / 3.0),
                5 => TypedValue::Boolean(*number % 2 == 0),
                _ => TypedValue::String(str(text)),
            },
        });
        let parameters = Array::new(parameters.collect()).expect("few");
        call_again(&Call::ConnectSetIdentity(Identity { parameters, flags: 0 }), 1)?;
    }

    #[test]
    fn replies_are_read_as_they_were_written(
        names in vec(name(), 0..50),
        (one, maybe) in (name(), of(name())),
        (number, count, version, serial) in (any::<i32>(), any::<u32>(), any::<u64>(), any::<u32>()),
    ) {
        let list = || Array::new(names.iter().map(|name| str(name)).collect()).expect("few");
        let text = str(&one);
        let replies = [
            Reply::ConnectOpen(Void),
            Reply::ConnectGetType(Text { text }),
            Reply::ConnectGetVersion(Version { version }),
            Reply::NodeGetInfo(NodeInfo {
                model: FixedChars::truncated(&one),
                memory_kib: version,
                cpus: number,
                mhz: 1,
                nodes: 2,
                sockets: 3,
                cores: 4,
                threads: 5,
            }),
            Reply::NodeNumOfDevices(Number { number }),
            Reply::NodeListDevices(Names { names: list() }),
            Reply::NodeDeviceLookupByName(Device { name: text }),
            Reply::NodeDeviceGetParent(OptionalText { text: optional(&maybe) }),
            Reply::ConnectListAllNodeDevices(AllDevices { devices: list(), count }),
            Reply::ConnectNodeDeviceEventRegisterAny(Callback { callback: number }),
        ];
        for reply in &replies {
            reply_again(reply, serial)?;
        }
    }

    #[test]
    fn events_and_errors_are_read_as_they_were_written(
        (one, two, maybe) in (name(), name(), of(name())),
        (a, b, c) in (any::<i32>(), any::<i32>(), any::<i32>()),
        uuid in any::<[u8; 16]>(),
    ) {
        let device = str(&one);
        for event in [
            Event::ConnectionClosed(ConnectionClosed { reason: a.into() }),
            Event::Lifecycle(LifecycleEvent { callback: a, device, kind: b.into(), detail: c }),
            Event::Update(UpdateEvent { callback: a, device }),
            Event::Unknown { number: 1000, payload: &two },
        ] {
            let mut out = Vec::new();
            event.encode(&mut out).expect("short");
            let packet = Packet::parse(&out).expect("whole");
            prop_assert_eq!((packet.header.kind, packet.header.serial), (MessageType::Message, 1));
            prop_assert_eq!(packet.response(), Ok(Response::Event(event)));
        }
        for guest in [None, Some(GuestReference { name: device, uuid, id: b })] {
            let error = ErrorObject {
                code: a,
                domain: b,
                message: optional(&maybe),
                level: c,
                guest,
                str1: Some(device),
                str2: None,
                str3: optional(&maybe),
                int1: a,
                int2: b,
                network: maybe.is_some().then_some(NetworkReference { name: device, uuid }),
            };
            let mut out = Vec::new();
            error.encode_reply(&Header::call(113, 9), &mut out).expect("short");
            let reply = Packet::parse(&out).expect("whole").reply::<calls::NodeDeviceLookupByName>();
            prop_assert_eq!(reply, Ok(Err(Box::new(error))));
        }
    }

    #[test]
    fn whatever_can_be_read_is_read_the_same_once_it_was_written(payload in payload()) {
        for procedure in Procedure::ALL {
            // Bytes are compared, as a floating-point number need not equal itself.
            if let Ok(call) = Call::decode(*procedure, &payload) {
                let (mut once, mut twice) = (Vec::new(), Vec::new());
                call.encode(3, &mut once).expect("short");
                let again = Call::decode(*procedure, &once[bounds::MESSAGE_MIN..]).expect("canonical");
                again.encode(3, &mut twice).expect("short");
                prop_assert_eq!(once, twice);
            }
            if let Ok(reply) = Reply::decode(*procedure, &payload) {
                let (mut once, mut twice) = (Vec::new(), Vec::new());
                reply.encode(3, &mut once).expect("short");
                let again = Reply::decode(*procedure, &once[bounds::MESSAGE_MIN..]).expect("canonical");
                again.encode(3, &mut twice).expect("short");
                prop_assert_eq!(once, twice);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_lose_its_place(
        bytes in vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..200),
        length in 28_u32..120,
        chunk in 1_usize..64,
    ) {
        let mut stream = length.to_be_bytes().to_vec();
        stream.extend(&bytes);
        let run = |chunk: usize| {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in stream.chunks(chunk) {
                let mut part = part;
                while !part.is_empty() {
                    part = &part[decoder.feed(part)..];
                    loop {
                        match decoder.next_packet() {
                            Ok(Some(packet)) => found.push((packet.header, packet.payload.to_vec())),
                            Ok(None) => break,
                            Err(error) => return (found, Some(error)),
                        }
                    }
                }
            }
            (found, None)
        };
        prop_assert_eq!(run(chunk), run(1));
    }
}
