//! How a user at a terminal is asked by those programs that pass `virConnectAuthPtrDefault`.

#![expect(unsafe_code, reason = "structures and functions of C")]

use std::ffi::{c_int, c_uint, c_void};
use std::io::{BufRead as _, Write as _};
use std::ptr;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::c_memory::{copy, text};
use crate::types::{ConnectAuth, ConnectCredential};

/// `virConnectCredentialType`.
const USER_NAME: c_int = 1;
const AUTH_NAME: c_int = 2;
const PASSPHRASE: c_int = 5;
const ECHO_PROMPT: c_int = 6;
const NO_ECHO_PROMPT: c_int = 7;
const REALM: c_int = 8;
const EXTERNAL: c_int = 9;

/// The structure, and what it points to, which programs only read.
#[repr(transparent)]
pub struct Constant<T>(T);

// SAFETY: nobody changes it.
unsafe impl<T> Sync for Constant<T> {}

impl<T> std::fmt::Debug for Constant<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Constant").finish_non_exhaustive()
    }
}

static KINDS: [c_int; 6] = [AUTH_NAME, ECHO_PROMPT, REALM, PASSPHRASE, NO_ECHO_PROMPT, EXTERNAL];

static DEFAULT: Constant<ConnectAuth> = Constant(ConnectAuth {
    credtype: (&raw const KINDS).cast_mut().cast(),
    ncredtype: KINDS.len() as c_uint,
    cb: Some(ask),
    cbdata: ptr::null_mut(),
});

/// Asks at the terminal what a login wants to know.
#[unsafe(no_mangle)]
pub static virConnectAuthPtrDefault: Constant<*mut ConnectAuth> =
    Constant((&raw const DEFAULT).cast_mut().cast());

/// Asks for each answer on the standard output, and reads it from the standard input. Returns -1 if one cannot be had.
unsafe extern "C-unwind" fn ask(
    credentials: *mut ConnectCredential,
    count: c_uint,
    _data: *mut c_void,
) -> c_int {
    if credentials.is_null() {
        return -1;
    }
    for index in 0..count as usize {
        // SAFETY: libvirt's manual promises an array of `count` questions.
        let question = unsafe { &mut *credentials.add(index) };
        // SAFETY: the texts of a question are NULL or texts.
        let (prompt, challenge, default) =
            unsafe { (text(question.prompt), text(question.challenge), text(question.defresult)) };
        if question.kind == EXTERNAL {
            // An agent of polkit asks by itself.
            if challenge != Some(c"PolicyKit") {
                return -1;
            }
            continue;
        }
        // A user name is asked for, though it is not among the kinds that libvirt says it can ask.
        if question.kind != USER_NAME && !KINDS.contains(&question.kind) {
            return -1;
        }
        let hidden = [PASSPHRASE, NO_ECHO_PROMPT].contains(&question.kind);
        let prompt = prompt.unwrap_or_default().to_bytes();
        let Some(answer) = read_line(prompt, hidden) else { return -1 };
        let answer = match default {
            Some(default) if answer.is_empty() => default.to_bytes(),
            _ => &answer,
        };
        question.result = copy(answer);
        if question.result.is_null() {
            return -1;
        }
        question.resultlen = c_uint::try_from(answer.len()).unwrap_or(c_uint::MAX);
    }
    0
}

/// A line from the standard input, which the terminal does not show if it is `hidden`. Empty at the end of the input.
fn read_line(prompt: &[u8], hidden: bool) -> Option<Vec<u8>> {
    let mut output = std::io::stdout().lock();
    output.write_all(prompt).and_then(|()| output.write_all(b": ")).and_then(|()| output.flush()).ok()?;
    let mut input = std::io::stdin().lock();
    let shown = if hidden { tcgetattr(&input).ok() } else { None };
    if let Some(shown) = &shown {
        let mut quiet = shown.clone();
        quiet.local_modes -= LocalModes::ECHO;
        tcsetattr(&input, OptionalActions::Flush, &quiet).ok()?;
    }
    let mut line = Vec::new();
    let read = input.read_until(b'\n', &mut line);
    if let Some(shown) = &shown {
        // The answer counts even if the terminal stays as it is.
        let _ = tcsetattr(&input, OptionalActions::Flush, shown);
        let _ = output.write_all(b"\n");
    }
    read.ok()?;
    line.pop_if(|last| *last == b'\n');
    Some(line)
}
