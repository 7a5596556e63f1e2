//! The protocol's limits. libvirt's names of them are in brackets.

/// Bytes of a text (`REMOTE_STRING_MAX`).
pub const STRING_MAX: usize = 4_194_304;
/// Names in a list of node devices (`REMOTE_NODE_DEVICE_LIST_MAX`).
pub const NODE_DEVICE_LIST_MAX: usize = 65_536;
/// Names in a list of capabilities (`REMOTE_NODE_DEVICE_CAPS_LIST_MAX`).
pub const NODE_DEVICE_CAPS_LIST_MAX: usize = 65_536;
/// Devices in a snapshot of program NODEDEV; no more fit into a message.
pub const NATIVE_LIST_MAX: usize = 1 << 20;
/// Most bytes of JSON in a request of program NODEDEV (`NAMED_CALL`).
pub const REQUEST_MAX: usize = 4 << 20;
/// Most bytes of JSON in the reply to it.
pub const REPLY_MAX: usize = 32 << 20;
/// Ways to log in that a server offers (`REMOTE_AUTH_TYPE_LIST_MAX`).
pub const AUTH_TYPE_LIST_MAX: usize = 20;
/// Bytes of one step of a SASL login (`REMOTE_AUTH_SASL_DATA_MAX`).
pub const AUTH_SASL_DATA_MAX: usize = 65_536;
/// Parameters of a client's identity (`REMOTE_CONNECT_IDENTITY_PARAMS_MAX`).
pub const IDENTITY_PARAMS_MAX: usize = 20;
/// Bytes of the CPU's model in [`NodeInfo`](crate::NodeInfo).
pub const NODE_INFO_MODEL: usize = 32;

/// Bytes of a message's length word, which it counts itself.
pub const LENGTH_SIZE: usize = 4;
/// Bytes of a message's header, without the length word.
pub const HEADER_SIZE: usize = 24;
/// Fewest bytes of a message, with its length word: one without arguments.
pub const MESSAGE_MIN: usize = LENGTH_SIZE + HEADER_SIZE;
/// Most bytes of a message, with its length word (`VIR_NET_MESSAGE_MAX` counts without). It holds before the login, too:
/// a server that wants less then gives its [`Decoder`](crate::Decoder) a limit of its own.
pub const MESSAGE_MAX: usize = LENGTH_SIZE + 33_554_432;
/// Descriptors that may come with one message (`VIR_NET_MESSAGE_NUM_FDS_MAX`).
pub const DESCRIPTORS_MAX: u32 = 32;
