//! How messages flow: who waits for whom, who is still alive, and what happens to those who send rubbish.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_rpc::*;
use nodedev_server::{Access, Decision, End, Identity as Who, Login, Peer, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{Fake, Server, device, message, peer, text, wait_for};

fn xml(name: &str) -> Call<'_> {
    Call::NodeDeviceGetXmlDesc(DeviceFlags { name: text(name), flags: 0 })
}

#[test]
fn quick_calls_overtake_slow_ones_of_the_same_client_and_of_all_others() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    fake.hold(true);
    let mut others: Vec<_> = (0..40).map(|_| server.open()).collect();
    for other in &mut others {
        other.send(&xml("computer"));
    }
    let mut client = server.open();
    let slow = client.send(&xml("computer"));
    let quick = client.send(&Call::NodeDeviceLookupByName(device("computer")));
    assert_eq!(client.receive().unwrap().header.serial, quick);
    fake.hold(false);
    assert_eq!(client.receive().unwrap().header.serial, slow);
    for other in &mut others {
        other.receive().unwrap().reply();
    }
}

#[test]
fn no_more_calls_are_taken_than_a_client_may_have_open() {
    let fake = Fake::small();
    let mut server = Server::new(Arc::clone(&fake) as _);
    server.settings.max_requests = 2;
    let mut client = server.open();
    fake.hold(true);
    let serials: Vec<u32> = (0..12).map(|_| client.send(&xml("computer"))).collect();
    wait_for("calls begin", || fake.describing.load(Ordering::SeqCst) > 0);
    // Others are served meanwhile, and so is whoever asks this client's last question.
    server.open().call(&Call::NodeDeviceIsActive(device("computer"))).reply();
    assert!(fake.describing.load(Ordering::SeqCst) <= 2);
    fake.hold(false);
    let mut answered: Vec<u32> = serials.iter().map(|_| client.receive().unwrap().header.serial).collect();
    answered.sort_unstable();
    assert_eq!(answered, serials);
}

/// Never decides about some users while it is held.
#[derive(Default)]
struct Undecided {
    released: Mutex<bool>,
    news: Condvar,
    asked: AtomicUsize,
}

impl Undecided {
    fn release(&self, released: bool) {
        *self.released.lock().unwrap() = released;
        self.news.notify_all();
    }
}

impl Access for Undecided {
    fn allows(&self, who: &Who, _: &Permission, _: Option<&str>) -> Result<bool, Error> {
        if who.user_id.is_some_and(|user| (5..8).contains(&user)) {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let released = self.released.lock().unwrap();
            drop(self.news.wait_while(released, |released| !*released).unwrap());
        }
        Ok(true)
    }
}

#[test]
fn users_about_whom_nobody_decides_leave_threads_to_the_others() {
    let access = Arc::new(Undecided::default());
    let server = Server::with_access(Fake::small(), Arc::clone(&access) as _);
    let lookup = Call::NodeDeviceLookupByName(device("computer"));
    let calls = [xml("computer"), lookup, Call::NodeDeviceDestroy(device("computer"))];
    // Opening the connection is itself decided about, so each of these has one call in a thread or before one.
    let mut stuck = Vec::new();
    for user in [5, 5, 5, 5, 5, 5, 6, 7, 7, 7] {
        for _ in 0..6 {
            let (mut client, _) = server.join(peer(Some(user)));
            client.send(&Call::ConnectOpen(Open { name: Some(text("nodedev:///system")), flags: 0 }));
            stuck.push(client);
        }
    }
    wait_for("as many are asked about as may be at once", || access.asked.load(Ordering::SeqCst) == 19);
    for user in [0, 4242] {
        let (mut client, _) = server.join(peer(Some(user)));
        client.open(0);
        for call in &calls {
            client.call(call).reply();
        }
    }
    access.release(true);
    for client in &mut stuck {
        client.receive().unwrap().reply();
    }
    let (mut freed, _) = server.join(peer(Some(5)));
    freed.open(0);
    freed.call(&calls[0]).reply();
}

#[test]
fn clients_of_one_user_that_read_nothing_hold_up_no_other_user() {
    let server = Server::new(Fake::small());
    let long = "x".repeat(60_000);
    let missing = Call::NodeDeviceLookupByName(device(&long));
    let join = |_| server.join(Peer { read_only: true, ..peer(Some(5)) }).0;
    let mut deaf: Vec<_> = (0..200).map(join).collect();
    deaf.iter_mut().for_each(|client| client.open(0));
    let mut message = Vec::new();
    missing.encode(0, &mut message).unwrap();
    // The errors repeat the name more than once: some time these clients are not read any more.
    let refused = deaf.iter_mut().filter(|client| {
        client.stream.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        (0..8).any(|_| (&client.stream).write_all(&message).is_err())
    });
    assert!(refused.count() > 100, "all is read");
    for user in [0, 6] {
        let (mut client, _) = server.join(peer(Some(user)));
        client.open(0);
        client.call(&xml("computer")).reply();
    }
    drop(deaf);
    let (mut same, _) = server.join(peer(Some(5)));
    same.open(0);
    same.call(&xml("computer")).reply();
}

#[test]
fn a_driver_that_panics_costs_one_client_its_connection_and_nobody_else() {
    let fake = Fake::new(["panic".to_owned(), "computer".to_owned()], 10);
    let server = Server::new(fake);
    for _ in 0..30 {
        let (mut client, served) = server.join(peer(Some(0)));
        client.open(0);
        client.send(&xml("panic"));
        assert_eq!(client.receive(), None);
        assert_eq!(server.runtime.block_on(served).unwrap(), End::Broken);
    }
    server.open().call(&xml("computer")).reply();
}

#[test]
fn a_large_reply_to_a_client_that_does_not_read_holds_nobody_up() {
    let server = Server::new(Fake::new((0..60_000).map(|number| format!("net_{number:05}")), 10));
    let all = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 });
    let mut deaf: Vec<_> = (0..8).map(|_| server.open()).collect();
    for client in &mut deaf {
        for _ in 0..5 {
            client.send(&all);
        }
    }
    let mut client = server.open();
    for _ in 0..5 {
        assert_eq!(client.names(0).len(), 60_000);
    }
    // They get theirs, whole, when they read after all.
    for client in &mut deaf {
        for _ in 0..5 {
            let answer = client.receive().unwrap();
            let Reply::ConnectListAllNodeDevices(list) = answer.reply() else { panic!("{answer:?}") };
            assert_eq!(list.devices.len(), 60_000);
        }
    }
}

#[test]
fn a_client_that_is_thrown_out_while_a_large_reply_is_written_to_it_is_let_go() {
    let server = Server::new(Fake::new((0..60_000).map(|number| format!("net_{number:05}")), 10));
    let (mut client, served) = server.join(peer(Some(0)));
    client.open(0);
    client.send(&Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 }));
    // The reply begins to come, and does not fit.
    std::io::Read::read_exact(&mut client.stream, &mut [0; 4]).unwrap();
    client.write(b"\xff\xff\xff\xff");
    assert!(matches!(server.runtime.block_on(served).unwrap(), End::Malformed(_)));
    // Nobody holds the other end any more, though nothing of the reply was read.
    wait_for("the connection is closed", || std::io::Write::write_all(&mut &client.stream, b"x").is_err());
}

/// A client and its server in paused time: nothing sleeps.
struct Timed {
    client: tokio::io::DuplexStream,
    served: tokio::task::JoinHandle<End>,
    start: tokio::time::Instant,
}

impl Timed {
    fn new(settings: Settings, peer: Peer) -> Self {
        Self::of(Arc::new(nodedev_server::AllowAll), settings, peer)
    }

    fn of(access: Arc<dyn Access>, settings: Settings, peer: Peer) -> Self {
        let options = nodedev_server::Options {
            scope: nodedev_driver::Scope::System,
            user: 0,
            is_recording: false,
            workers: nodedev_server::Workers::default(),
        };
        let service = nodedev_server::Service::new(Fake::small(), access, options);
        let (client, server) = tokio::io::duplex(1 << 16);
        let served =
            tokio::spawn(
                async move { nodedev_server::serve(&service, server, peer, &settings, || ()).await },
            );
        Self { client, served, start: tokio::time::Instant::now() }
    }

    async fn send(&mut self, call: &Call<'_>) {
        let mut out = Vec::new();
        call.encode(0, &mut out).unwrap();
        self.client.write_all(&out).await.unwrap();
    }

    /// The next message's header, and after how many seconds it came.
    async fn receive(&mut self) -> Option<(Header, u64)> {
        let length = self.client.read_u32().await.ok()?;
        let mut message = vec![0; length as usize - 4];
        self.client.read_exact(&mut message).await.unwrap();
        let header = Header::decode(&mut Reader::new(&message)).unwrap();
        Some((header, self.start.elapsed().as_secs()))
    }
}

const QUESTION: Call<'static> = Call::ConnectSupportsFeature(FeatureQuestion { feature: Feature::Keepalive });

#[tokio::test(start_paused = true)]
async fn a_mute_client_gets_five_pings_and_is_closed_as_by_libvirt() {
    let mut timed = Timed::new(Settings::default(), peer(Some(0)));
    timed.send(&QUESTION).await;
    timed.receive().await.expect("the answer");
    let mut times = Vec::new();
    while let Some((header, seconds)) = timed.receive().await {
        assert_eq!(Keepalive::from_header(&header), Some(Keepalive::Ping));
        times.push(seconds);
    }
    assert_eq!(times, [5, 10, 15, 20, 25]);
    assert_eq!(timed.start.elapsed().as_secs(), 30);
    assert_eq!(timed.served.await.unwrap(), End::Mute);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_stays_and_one_that_never_asked_gets_no_ping() {
    let mut timed = Timed::new(Settings::default(), peer(Some(0)));
    timed.send(&QUESTION).await;
    timed.receive().await.expect("the answer");
    for round in 1..=20 {
        let (header, seconds) = timed.receive().await.expect("still there");
        assert_eq!((Keepalive::from_header(&header), seconds), (Some(Keepalive::Ping), 5 * round));
        let mut pong = Vec::new();
        Keepalive::Pong.encode(&mut pong);
        timed.client.write_all(&pong).await.unwrap();
    }
    let mut silent = Timed::new(Settings::default(), peer(Some(0)));
    let nothing = tokio::time::timeout(Duration::from_secs(1000), silent.receive()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    // Without an interval nobody is pinged, and PING is still answered.
    let settings = Settings { keepalive_interval: None, ..Settings::default() };
    let mut never = Timed::new(settings, peer(Some(0)));
    never.send(&QUESTION).await;
    never.receive().await.expect("the answer");
    assert!(tokio::time::timeout(Duration::from_secs(1000), never.receive()).await.is_err());
    let mut ping = Vec::new();
    Keepalive::Ping.encode(&mut ping);
    never.client.write_all(&ping).await.unwrap();
    let (header, _) = never.receive().await.expect("PONG");
    assert_eq!(Keepalive::from_header(&header), Some(Keepalive::Pong));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_looked_at_is_not_mute_as_long_as_it_reads() {
    let open = Call::ConnectOpen(Open { name: Some(text("nodedev:///system")), flags: 0 });
    // What takes its time: opening the connection, before which no other message is looked at, or as many calls as are taken.
    let cases: [(&[Call<'_>], &[Call<'_>]); 2] =
        [(&[QUESTION], std::slice::from_ref(&open)), (&[open.clone(), QUESTION], &[xml("computer")])];
    for (before, slow) in cases {
        let access = Arc::new(Undecided::default());
        let settings = Settings { max_requests: 1, ..Settings::default() };
        let mut timed = Timed::of(Arc::clone(&access) as _, settings, peer(Some(5)));
        access.release(true);
        for call in before {
            timed.send(call).await;
            timed.receive().await.expect("an answer");
        }
        access.release(false);
        let asked = access.asked.load(Ordering::SeqCst);
        for call in slow {
            timed.send(call).await;
        }
        while access.asked.load(Ordering::SeqCst) < asked + slow.len() {
            tokio::task::yield_now().await;
        }
        for _ in 0..200 {
            tokio::time::advance(Duration::from_secs(5)).await;
            tokio::task::yield_now().await;
        }
        assert!(!timed.served.is_finished(), "{slow:?}");
        access.release(true);
        for _ in slow {
            let (header, _) = timed.receive().await.expect("still there");
            assert_eq!(Keepalive::from_header(&header), None, "{slow:?}");
        }
        while timed.receive().await.is_some() {}
        assert_eq!(timed.served.await.unwrap(), End::Mute);
    }
}

/// Lets in those of one user, and says for whom an agent would be needed.
struct Doorman;

impl Login for Doorman {
    fn login<'a>(&'a self, identity: &'a Who, read_only: bool) -> Decision<'a> {
        Box::pin(async move {
            match identity.user_id {
                Some(1000) => Ok(()),
                _ if read_only => Ok(()),
                _ => Err(Error::raw(ErrorDomain(60), ErrorCode(94), "nobody to ask")),
            }
        })
    }
}

#[test]
fn nothing_is_served_before_the_login_but_the_login() {
    let server = Server::new(Fake::small());
    let guarded = |user, read_only| Peer { read_only, login: Some(Arc::new(Doorman)), ..peer(Some(user)) };
    let required = (39, 7, "authentication required".to_owned());
    let (mut client, _) = server.join(guarded(1000, false));
    for call in [QUESTION, Call::ConnectClose(Void), Call::ConnectGetType(Void)] {
        assert_eq!(client.call(&call).error(), required, "{call:?}");
    }
    let unknown = client.raw(Header::call(999, 0), &[]);
    assert_eq!(unknown.error().2, "unknown procedure: 999");
    let types = |auth| Reply::AuthList(AuthTypes { types: Array::new(vec![auth]).unwrap() });
    assert_eq!(client.call(&Call::AuthList(Void)).reply(), types(AuthType::Polkit));
    assert_eq!(
        client.call(&Call::AuthSaslInit(Void)).error(),
        (45, 7, "authentication failed: authentication failed".into())
    );
    assert_eq!(client.call(&Call::AuthPolkit(Void)).reply(), Reply::AuthPolkit(Number { number: 1 }));
    assert_eq!(client.call(&Call::AuthList(Void)).reply(), types(AuthType::None));
    client.open(0);
    client.call(&Call::ConnectGetType(Void)).reply();
    // root need not ask, but has to say hello.
    let (mut root, _) = server.join(guarded(0, false));
    assert_eq!(root.call(&QUESTION).error(), required);
    assert_eq!(root.call(&Call::AuthList(Void)).reply(), types(AuthType::None));
    root.open(0);
    // Refused, and asked again.
    let (mut stranger, _) = server.join(guarded(1001, false));
    stranger.call(&Call::AuthList(Void)).reply();
    for _ in 0..2 {
        assert_eq!(stranger.call(&Call::AuthPolkit(Void)).error(), (94, 60, "nobody to ask".into()));
    }
    assert_eq!(stranger.call(&QUESTION).error(), required);
    let (mut looker, _) = server.join(guarded(1001, true));
    looker.call(&Call::AuthPolkit(Void)).reply();
    looker.open(0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_is_shown_the_door() {
    let timed = Timed::new(Settings::default(), Peer { login: Some(Arc::new(Doorman)), ..peer(Some(5)) });
    assert_eq!(timed.served.await.unwrap(), End::NoLogin);
    assert_eq!(timed.start.elapsed().as_secs(), 60);
}

/// Asks somebody who never answers.
struct Absent;

impl Login for Absent {
    fn login<'a>(&'a self, _identity: &'a Who, _read_only: bool) -> Decision<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_end_and_reads_nothing_is_shown_the_door() {
    let guarded = Peer { login: Some(Arc::new(Doorman)), ..peer(Some(5)) };
    let Timed { mut client, served, start } = Timed::new(Settings::default(), guarded);
    let mut question = Vec::new();
    QUESTION.encode(0, &mut question).unwrap();
    // Until the replies have filled one direction, and so calls the other.
    tokio::spawn(async move { while client.write_all(&question).await.is_ok() {} });
    assert_eq!(served.await.unwrap(), End::NoLogin);
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_nobody_decides_ends_in_time_or_with_its_client() {
    let guarded = || Peer { login: Some(Arc::new(Absent)), ..peer(Some(5)) };
    let mut waits = Timed::new(Settings::default(), guarded());
    waits.send(&Call::AuthPolkit(Void)).await;
    assert_eq!(waits.served.await.unwrap(), End::NoLogin);
    assert_eq!(waits.start.elapsed().as_secs(), 360);
    let mut goes = Timed::new(Settings::default(), guarded());
    goes.send(&Call::AuthPolkit(Void)).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    drop(goes.client);
    assert_eq!(goes.served.await.unwrap(), End::Gone);
    assert_eq!(goes.start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn only_those_who_may_change_something_send_long_messages() {
    let stranger = Peer { login: Some(Arc::new(Doorman)), ..peer(Some(5)) };
    let looker = Peer { read_only: true, ..peer(Some(5)) };
    for (who, length, is_taken) in [
        (stranger.clone(), 65_536, true),
        (stranger, 65_537, false),
        (looker.clone(), 65_536, true),
        (looker, 65_537, false),
        (peer(Some(5)), 32 << 20, true),
    ] {
        let mut timed = Timed::new(Settings::default(), who);
        // The beginning of a message, and no more.
        timed.client.write_u32(length).await.unwrap();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), timed.served).await;
        match is_taken {
            true => assert!(ended.is_err(), "{length}"),
            false => assert!(matches!(ended.unwrap().unwrap(), End::Malformed(_)), "{length}"),
        }
    }
}

/// Broken messages of many kinds, and random ones that begin like real ones.
fn rubbish() -> Vec<Vec<u8>> {
    let call = Header::call(113, 0);
    let mut all =
        vec![vec![], vec![0], vec![0; 3], b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 64], vec![0; 64]];
    for length in [0_u32, 3, 4, 20, 27, 28, 29, 33_554_436, 33_554_437, u32::MAX] {
        let mut bytes = message(call, &[0; 8]);
        bytes.splice(..4, length.to_be_bytes());
        all.push(bytes);
    }
    for procedure in Procedure::ALL {
        let header = Header::call(procedure.number(), 0);
        for payload in [&[][..], &[0xff; 4], &[0xff; 64], &[0; 200], &[0, 0, 0, 1, 0xff, 0xff]] {
            all.push(message(header, payload));
        }
        let whole = message(header, &[0; 40]);
        all.extend((0..whole.len()).step_by(5).map(|end| whole[..end].to_vec()));
    }
    for count in [0_u32, 1, 32, 33, u32::MAX] {
        let header = Header { kind: MessageType::CallWithDescriptors, ..call };
        all.push(message(header, &count.to_be_bytes()));
    }
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..500 {
        let mut bytes = message(call, &[]);
        for _ in 0..60 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let random = state.to_le_bytes();
            match random[0] % 3 {
                0 => bytes.push(random[1]),
                1 => {
                    let place = usize::from(random[2]) % bytes.len();
                    bytes[place] = random[1];
                }
                _ => bytes.extend([0, 0, 0, random[1] % 4]),
            }
        }
        all.push(bytes);
    }
    all
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn rubbish_is_answered_or_ends_its_connection_and_the_server_goes_on() {
    let server = Server::new(Fake::small());
    let mut steady = server.open();
    let mut served = Vec::new();
    for (number, bytes) in rubbish().into_iter().enumerate() {
        let (mut client, task) = server.join(peer(Some(0)));
        if number % 2 == 0 {
            client.open(0);
        }
        // The server may have closed already.
        let _ = client.stream.write_all(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let end = Instant::now() + crate::common::PATIENCE;
        while std::io::Read::read(&mut client.stream, &mut [0; 4096]).is_ok_and(|count| count > 0) {
            assert!(Instant::now() < end, "endless answer to {}", bytes.escape_ascii());
        }
        served.push(task);
        if number % 50 == 0 {
            steady.call(&Call::NodeDeviceIsActive(device("computer"))).reply();
        }
    }
    for task in served {
        let end = server.runtime.block_on(task).unwrap();
        assert!(matches!(end, End::Gone | End::Closed | End::Malformed(_)), "{end:?}");
    }
    steady.call(&Call::NodeDeviceIsActive(device("computer"))).reply();
}

#[test]
fn clients_that_come_and_vanish_leave_no_descriptor_behind() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let come_and_go = || {
        for number in 0..200 {
            let (mut client, _) = server.join(peer(Some(0)));
            match number % 4 {
                0 => {}
                1 => client.open(0),
                2 => {
                    client.open(0);
                    client.register(0, None);
                }
                _ => {
                    client.send(&xml("computer"));
                }
            }
        }
    };
    come_and_go();
    // Tests run side by side in this process, so a single count says little.
    let settled = |what: &str, limit: usize| wait_for(what, || descriptors() <= limit);
    let before = descriptors();
    for _ in 0..5 {
        come_and_go();
    }
    settled("descriptors are closed", before + 150);
    fake.add("net_a");
    wait_for("every client is counted", || server.service.clients_served() == 1200);
}

/// What real clients sent, with what they were answered by the real daemon: ours answers each call, and with the same
/// status where the answer does not depend on the devices.
#[test]
fn recorded_clients_are_served() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nodedev-rpc/tests/captures");
    let mut calls = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "txt") || file.starts_with("sasl") {
            continue;
        }
        let server = Server::new(Fake::small());
        let mut client = server.connect();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let [">", name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let sent = Packet::parse(&bytes).unwrap().header;
            if name == "CONNECT_OPEN" {
                // Recordings keep each message once, so some begin with an odd one: each has a connection of its own.
                client = server.connect();
            }
            client.write(&bytes);
            if sent.kind != MessageType::Call {
                continue;
            }
            let answer = loop {
                let message =
                    client.receive().unwrap_or_else(|| panic!("{file}: {name} ended the connection"));
                if message.header.kind == MessageType::Reply {
                    break message;
                }
            };
            assert_eq!(answer.header.serial, sent.serial, "{file}: {name}");
            calls += 1;
            if name == "CONNECT_CLOSE" {
                client = server.connect();
            }
        }
    }
    assert!(calls > 100, "{calls}");
}
