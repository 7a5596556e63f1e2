//! The command that `ssh` is started with: libvirt's, word for word, as what runs on the other machine is its business too.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use nodedev_driver::{Error, ErrorCode, ErrorDomain, RemoteUri, Result, SocketMode, SshProxy};

use super::{Relay, Socket, tcp, unix};
use crate::options::Options;

pub(super) fn connect(uri: &RemoteUri, options: &Options) -> Result<(Socket, Relay)> {
    let is_of_user = unix::Place::of_process().is_of_user(uri);
    let arguments = arguments(uri, options.read_only, is_of_user)?;
    let program = uri.command.as_ref().map_or("ssh".as_ref(), |command| command.as_os_str());
    let mut command = Command::new(program);
    command.args(arguments);
    Relay::start(command)
}

fn arguments(uri: &RemoteUri, read_only: bool, is_of_user: bool) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&std::ffi::OsStr]| arguments.extend(words.iter().map(Into::into));
    if let Some(port) = uri.port {
        add(&["-p".as_ref(), port.to_string().as_ref()]);
    }
    if let Some(user) = &uri.user {
        add(&["-l".as_ref(), user.as_ref()]);
    }
    if let Some(key) = &uri.keyfile {
        add(&["-i".as_ref(), key.as_ref()]);
    }
    add(&["-T", "-e", "none"].map(AsRef::as_ref));
    if uri.no_tty {
        add(&["-o", "BatchMode=yes"].map(AsRef::as_ref));
    }
    if uri.no_verify {
        add(&["-o", "StrictHostKeyChecking=no"].map(AsRef::as_ref));
    }
    let script = script(uri, read_only, is_of_user)?;
    add(&["--".as_ref(), tcp::host(uri).as_ref(), script.as_os_str()]);
    Ok(arguments)
}

/// Where that shell puts what nobody reads.
const NOWHERE: &str = ">/dev/null 2>&1";

/// What the shell on the other machine is to run.
fn script(uri: &RemoteUri, read_only: bool, is_of_user: bool) -> Result<OsString> {
    if uri.mode == SocketMode::Direct && uri.socket.is_none() {
        let detail = "Cannot use direct socket mode for ssh transport";
        let error = Error::new(ErrorDomain::REMOTE, ErrorCode::OPERATION_UNSUPPORTED, detail);
        return Err(error.with_help("name the socket on the other machine with the parameter socket, too"));
    }
    let default = match uri {
        // The path of a user's socket is not known here.
        _ if is_of_user => SshProxy::Native,
        RemoteUri { socket: Some(_), .. } | RemoteUri { netcat: Some(_), .. } => SshProxy::Netcat,
        _ => SshProxy::Auto,
    };
    let socket = uri.socket.clone().unwrap_or_else(|| unix::legacy(read_only));
    let netcat = quoted(uri.netcat.as_deref().unwrap_or("nc").as_bytes());
    let mut netcat_part = format!(
        "if '{netcat}' -q 2>&1 | grep \"requires an argument\" {NOWHERE}; then ARG=-q0;else ARG=;fi;'{netcat}' $ARG -U "
    );
    netcat_part.push_str(&word(socket.as_os_str().as_bytes()));
    let native_part = format!(
        "virt-ssh-helper {}'{}'",
        if read_only { "-r " } else { "" },
        quoted(uri.helper_name().as_bytes())
    );
    let script = match uri.proxy.unwrap_or(default) {
        SshProxy::Native => native_part,
        SshProxy::Netcat => netcat_part,
        SshProxy::Auto => format!(
            "which virt-ssh-helper 1{NOWHERE}; if test $? = 0; then     {native_part}; else    {netcat_part}; fi"
        ),
    };
    Ok(format!("sh -c '{script}'").into())
}

/// Characters that mean something to a shell.
const SPECIAL: &[u8] = b"\r\t\n !\"#$&'()*;<>?[\\]^`{|}~";

/// A word for inside of `'…'` inside of `sh -c '…'`: as it is if nothing in it means anything to a shell. Otherwise in
/// quotes of its own, for the inner shell, which are quoted for the outer.
fn quoted(text: &[u8]) -> String {
    if !text.iter().any(|byte| SPECIAL.contains(byte)) {
        return String::from_utf8_lossy(text).into_owned();
    }
    quote(&quote(&String::from_utf8_lossy(text)))
}

/// A word for inside of `sh -c '…'`. libvirt leaves the path of the socket as it is, which the same characters end early.
fn word(text: &[u8]) -> String {
    let quoted = quoted(text);
    if quoted.as_bytes() == text { quoted } else { format!("'{quoted}'") }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use nodedev_driver::ConnectUri;

    use super::*;

    const NC: &str = "if 'nc' -q 2>&1 | grep \"requires an argument\" >/dev/null 2>&1; then ARG=-q0;else ARG=;fi;'nc' $ARG -U ";
    const WHICH: &str = "which virt-ssh-helper 1>/dev/null 2>&1; if test $? = 0; then     ";

    fn told(uri: &str, read_only: bool, is_of_user: bool) -> Result<Vec<String>> {
        let Ok(ConnectUri::Remote(uri)) = uri.parse() else { panic!("{uri}") };
        let arguments = arguments(&uri, read_only, is_of_user)?;
        Ok(arguments.into_iter().map(|argument| argument.into_string().expect("UTF-8")).collect())
    }

    /// What virsh 11.3 started `ssh` with.
    #[test]
    fn ssh_is_started_as_libvirt_starts_it() {
        let auto = |uri: &str, ro: &str| {
            let helper = if ro.is_empty() { "" } else { "-r " };
            format!(
                "-T -e none -- localhost sh -c '{WHICH}virt-ssh-helper {helper}'{uri}'; else    {NC}/var/run/libvirt/libvirt-sock{ro}; fi'"
            )
        };
        for (uri, read_only, want) in [
            ("nodedev+ssh://localhost/system", false, auto("nodedev:///system", "")),
            ("nodedev+ssh:///system", false, auto("nodedev:///system", "")),
            ("nodedev+ssh://localhost/session", false, auto("nodedev:///session", "")),
            ("nodedev+ssh://localhost/system", true, auto("nodedev:///system", "-ro")),
            (
                "nodedev+ssh://user@localhost:2222/system?proxy=native&keyfile=/k&no_tty=1&no_verify=1",
                false,
                "-p 2222 -l user -i /k -T -e none -o BatchMode=yes -o StrictHostKeyChecking=no -- localhost \
                 sh -c 'virt-ssh-helper 'nodedev:///system''"
                    .to_owned(),
            ),
            (
                "nodedev+ssh://localhost/system?proxy=netcat",
                false,
                format!("-T -e none -- localhost sh -c '{NC}/var/run/libvirt/libvirt-sock'"),
            ),
            (
                "nodedev+ssh://localhost/system?socket=/run/libvirt/virtnodedevd-sock",
                false,
                format!("-T -e none -- localhost sh -c '{NC}/run/libvirt/virtnodedevd-sock'"),
            ),
            (
                "nodedev+ssh://localhost/system?proxy=native&mode=direct&socket=/x",
                false,
                r"-T -e none -- localhost sh -c 'virt-ssh-helper '''\''nodedev:///system?mode=direct&socket=%2Fx'\'''''"
                    .to_owned(),
            ),
            (
                "nodedev+ssh://h/system?socket=/x&proxy=auto",
                false,
                format!(
                    r"-T -e none -- h sh -c '{WHICH}virt-ssh-helper '''\''nodedev:///system?socket=%2Fx'\''''; else    {NC}/x; fi'"
                ),
            ),
            (
                "nodedev+ssh://h/system?netcat=/my%20nc&keyfile=/k%20e",
                false,
                format!("-i /k e -T -e none -- h sh -c '{NC}/var/run/libvirt/libvirt-sock'")
                    .replace("'nc'", r"'''\''/my nc'\'''' ".trim_end()),
            ),
            (
                "nodedev+ssh://u%40x@[::1]:22/system?proxy=native",
                false,
                "-p 22 -l u@x -T -e none -- ::1 sh -c 'virt-ssh-helper 'nodedev:///system''".to_owned(),
            ),
            (
                "nodedev+ssh://-oX/system?proxy=native&keyfile=",
                false,
                "-i  -T -e none -- -oX sh -c 'virt-ssh-helper 'nodedev:///system''".to_owned(),
            ),
        ] {
            assert_eq!(told(uri, read_only, false).map(|words| words.join(" ")), Ok(want), "{uri}");
        }
    }

    #[test]
    fn a_users_own_daemon_is_reached_with_the_helper() {
        let words = told("nodedev+ssh://h/session", false, true).expect("arguments");
        assert_eq!(words.last().map(String::as_str), Some("sh -c 'virt-ssh-helper 'nodedev:///session''"));
    }

    #[test]
    fn direct_mode_needs_a_socket() {
        let error = told("nodedev+ssh://h/system?mode=direct", false, false).expect_err("refused");
        assert_eq!(
            error.message(),
            "Operation not supported: Cannot use direct socket mode for ssh transport"
        );
    }

    /// The other machine's shells read the path as it was meant.
    #[test]
    fn a_socket_with_any_characters_arrives_as_it_is() {
        for path in ["/a b'c", "/$(touch x)", "/a;b\"`~{}"] {
            let script = format!("sh -c 'printf %s {}'", word(path.as_bytes()));
            let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&output.stdout), path, "{script}");
        }
    }
}
