//! libvirt's public types, laid out as its headers have them (`libvirt/libvirt.h`, `libvirt/virterror.h`).

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

/// What a [`ConnectPtr`] points to; nothing is known of it outside.
#[derive(Debug)]
#[repr(C)]
pub struct Connect {
    _private: [u8; 0],
}

/// What a [`NodeDevicePtr`] points to; nothing is known of it outside.
#[derive(Debug)]
#[repr(C)]
pub struct NodeDevice {
    _private: [u8; 0],
}

/// `virConnectPtr`.
pub type ConnectPtr = *mut Connect;
/// `virNodeDevicePtr`.
pub type NodeDevicePtr = *mut NodeDevice;

/// `virError`.
#[derive(Debug)]
#[repr(C)]
pub struct VirError {
    /// `virErrorNumber`; 0: no error.
    pub code: c_int,
    /// `virErrorDomain`.
    pub domain: c_int,
    /// The message, from the C allocator; NULL if there is none.
    pub message: *mut c_char,
    /// `virErrorLevel`.
    pub level: c_int,
    /// Always NULL, as in libvirt since 0.1.4.
    pub conn: ConnectPtr,
    /// Always NULL.
    pub dom: *mut c_void,
    /// Template of the message, or the function's name; from the C allocator.
    pub str1: *mut c_char,
    /// Detail of the message, or the argument's name; from the C allocator.
    pub str2: *mut c_char,
    /// From the C allocator.
    pub str3: *mut c_char,
    /// A number that depends on the code, for instance `errno`.
    pub int1: c_int,
    /// A number that depends on the code.
    pub int2: c_int,
    /// Always NULL.
    pub net: *mut c_void,
}

/// `virErrorFunc`: what is told of an error.
pub type ErrorFunc = unsafe extern "C-unwind" fn(user: *mut c_void, error: *mut VirError);
/// `virFreeCallback`: frees what was given with a callback.
pub type FreeCallback = unsafe extern "C-unwind" fn(opaque: *mut c_void);
/// `virConnectCloseFunc`: a connection has ended, and why (`virConnectCloseReason`).
pub type CloseFunc = unsafe extern "C-unwind" fn(connection: ConnectPtr, reason: c_int, opaque: *mut c_void);
/// `virConnectNodeDeviceEventGenericCallback`; what is really called depends on the kind of event.
pub type NodeDeviceEventCallback =
    unsafe extern "C-unwind" fn(connection: ConnectPtr, device: NodeDevicePtr, opaque: *mut c_void);
/// `virConnectNodeDeviceEventLifecycleCallback`.
pub type NodeDeviceLifecycleCallback = unsafe extern "C-unwind" fn(
    connection: ConnectPtr,
    device: NodeDevicePtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
);

/// `virEventHandleCallback`: something happened on a file descriptor.
pub type HandleCallback =
    unsafe extern "C-unwind" fn(watch: c_int, fd: c_int, events: c_int, opaque: *mut c_void);
/// `virEventTimeoutCallback`: a time has come.
pub type TimeoutCallback = unsafe extern "C-unwind" fn(timer: c_int, opaque: *mut c_void);
/// `virEventAddHandleFunc`.
pub type AddHandleFunc = unsafe extern "C-unwind" fn(
    fd: c_int,
    events: c_int,
    callback: Option<HandleCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int;
/// `virEventUpdateHandleFunc`.
pub type UpdateHandleFunc = unsafe extern "C-unwind" fn(watch: c_int, events: c_int);
/// `virEventRemoveHandleFunc`.
pub type RemoveHandleFunc = unsafe extern "C-unwind" fn(watch: c_int) -> c_int;
/// `virEventAddTimeoutFunc`.
pub type AddTimeoutFunc = unsafe extern "C-unwind" fn(
    milliseconds: c_int,
    callback: Option<TimeoutCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int;
/// `virEventUpdateTimeoutFunc`.
pub type UpdateTimeoutFunc = unsafe extern "C-unwind" fn(timer: c_int, milliseconds: c_int);
/// `virEventRemoveTimeoutFunc`.
pub type RemoveTimeoutFunc = unsafe extern "C-unwind" fn(timer: c_int) -> c_int;

/// `virConnectCredential`: a question to the user, and the answer.
#[derive(Debug)]
#[repr(C)]
pub struct ConnectCredential {
    /// `virConnectCredentialType`.
    pub kind: c_int,
    /// What to say.
    pub prompt: *const c_char,
    /// What the other side said.
    pub challenge: *const c_char,
    /// The answer if the user gives none.
    pub defresult: *const c_char,
    /// The answer, from the C allocator.
    pub result: *mut c_char,
    /// Its length, bytes.
    pub resultlen: c_uint,
}

/// `virConnectAuthCallbackPtr`: asks the user.
pub type AuthCallback = unsafe extern "C-unwind" fn(
    credentials: *mut ConnectCredential,
    count: c_uint,
    data: *mut c_void,
) -> c_int;

/// `virConnectAuth`: how the user is asked.
#[derive(Debug)]
#[repr(C)]
pub struct ConnectAuth {
    /// Kinds of questions that can be asked.
    pub credtype: *mut c_int,
    /// How many these are.
    pub ncredtype: c_uint,
    /// Asks.
    pub cb: Option<AuthCallback>,
    /// For `cb`.
    pub cbdata: *mut c_void,
}

/// `virNodeInfo`.
#[derive(Debug)]
#[repr(C)]
pub struct NodeInfo {
    /// Architecture, ending in NUL.
    pub model: [c_char; 32],
    /// Memory, KiB.
    pub memory: c_ulong,
    /// Processors that are online.
    pub cpus: c_uint,
    /// Their clock, MHz.
    pub mhz: c_uint,
    /// NUMA nodes.
    pub nodes: c_uint,
    /// Sockets of each node.
    pub sockets: c_uint,
    /// Cores of each socket.
    pub cores: c_uint,
    /// Threads of each core.
    pub threads: c_uint,
}
