//! libvirt's numbers of errors: kinds of failure and the parts of libvirt that they come from (`virterror.h`). The one table of
//! them, for documents, drivers, the wire and the C library.

/// Declares an open set of numbers with names: values outside of it can arrive from a daemon.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($const:ident = $number:literal, $vdoc:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(
            /// libvirt's number.
            pub i32,
        );

        impl $name {
            $(#[doc = $vdoc] pub const $const: Self = Self($number);)*
        }
    };
}

numbers! {
    /// Part of libvirt that an error comes from (`virErrorDomain`).
    ErrorDomain {
        NONE = 0, "No part in particular: helpers for PCI, mdev, vHBA, files.";
        XML = 5, "XML property helpers and schema validation.";
        DOM = 6, "Virtual machines, as objects.";
        RPC = 7, "Dispatch of the daemon.";
        QEMU = 10, "QEMU driver.";
        TEST = 12, "Test driver.";
        REMOTE = 13, "Remote driver.";
        STORAGE = 18, "Storage pools and volumes.";
        NETWORK = 19, "Virtual networks.";
        DOMAIN = 20, "Virtual machines, the host, and detach helpers of the hypervisor drivers.";
        NODEDEV = 22, "Node device API, configuration and host driver.";
        INTERFACE = 26, "Network interfaces of the host.";
        SECRET = 30, "Secrets.";
        NWFILTER = 33, "Network filters.";
        DOMAIN_SNAPSHOT = 35, "Snapshots of virtual machines.";
        STREAMS = 38, "Streams.";
        EVENT = 40, "Event loop.";
        LIBXL = 41, "Xen driver.";
        URI = 45, "Reading of URIs.";
        DBUS = 47, "The message bus.";
        DEVICE = 49, "PCI addresses in XML.";
        ACCESS = 55, "Access control.";
        POLKIT = 60, "Logins that polkit decides about.";
        DOMAIN_CHECKPOINT = 69, "Checkpoints of virtual machines.";
    }
}

/// The table of error codes: name, libvirt's number and the template of the message.
macro_rules! codes {
    ($($const:ident = $number:literal, $template:literal, $doc:literal;)*) => {
        numbers! {
            /// What kind of failure an error is (`virErrorNumber`).
            ErrorCode { $($const = $number, $doc;)* }
        }

        impl ErrorCode {
            /// The message of the code, `%s` standing for the detail. A code that is not in the table has the detail
            /// alone.
            pub const fn template(self) -> &'static str {
                match self.0 { $($number => $template,)* _ => "%s" }
            }
        }
    };
}

codes! {
    INTERNAL_ERROR = 1, "internal error: %s", "Anything without a code of its own.";
    NO_MEMORY = 2, "out of memory", "There is no more memory.";
    NO_SUPPORT = 3, "this function is not supported by the connection driver: %s", "The driver lacks the call.";
    NO_CONNECT = 5, "no connection driver available for %s", "No driver serves the URI.";
    INVALID_CONN = 6, "invalid connection pointer in %s", "Not a connection.";
    INVALID_DOMAIN = 7, "invalid domain pointer in %s", "Not a virtual machine.";
    INVALID_ARG = 8, "invalid argument: %s", "An argument is out of its range.";
    OPERATION_FAILED = 9, "operation failed: %s", "The operation failed.";
    NO_NAME = 21, "missing name information in %s", "A document has no name.";
    XML_ERROR = 27, "XML error: %s", "A document says something that is not allowed.";
    OPERATION_DENIED = 29, "operation forbidden: %s", "A read-only connection was asked for a change.";
    PARSE_FAILED = 32, "failed to parse configuration file %s", "A configuration file is malformed.";
    XML_DETAIL = 35, "%s", "A document is not well-formed.";
    INVALID_NETWORK = 36, "invalid network pointer in %s", "Not a virtual network.";
    SYSTEM_ERROR = 38, "%s", "A system call failed.";
    RPC = 39, "%s", "The wire protocol was violated.";
    AUTH_FAILED = 45, "authentication failed: %s", "Nobody is let in this way.";
    INVALID_STORAGE_POOL = 46, "invalid storage pool pointer in %s", "Not a storage pool.";
    INVALID_STORAGE_VOL = 47, "invalid storage volume pointer in %s", "Not a storage volume.";
    INVALID_NODE_DEVICE = 52, "invalid node device pointer in %s", "Not a node device.";
    NO_NODE_DEVICE = 53, "Node device not found: %s", "There is no such device.";
    OPERATION_INVALID = 55, "Requested operation is not valid: %s", "Not possible in the device's present state.";
    INVALID_INTERFACE = 58, "invalid interface pointer in %s", "Not an interface of the host.";
    INVALID_NWFILTER = 61, "Invalid network filter: %s", "Not a network filter.";
    INVALID_SECRET = 65, "Invalid secret: %s", "Not a secret.";
    CONFIG_UNSUPPORTED = 67, "unsupported configuration: %s", "Not possible for such a device.";
    OPERATION_TIMEOUT = 68, "Timed out during operation: %s", "It takes longer than was waited for.";
    INVALID_DOMAIN_SNAPSHOT = 71, "Invalid domain snapshot: %s", "Not a snapshot of a virtual machine.";
    INVALID_STREAM = 73, "invalid stream pointer in %s", "Not a stream.";
    ARGUMENT_UNSUPPORTED = 74, "argument unsupported: %s", "An argument is not supported.";
    AUTH_CANCELLED = 79, "authentication cancelled: %s", "Whoever was asked said no.";
    OVERFLOW = 82, "numerical overflow: %s", "A number is too big.";
    OPERATION_UNSUPPORTED = 84, "Operation not supported: %s", "Never possible for such a device.";
    ACCESS_DENIED = 88, "access denied: %s", "Access control refused the call.";
    DBUS_SERVICE = 89, "error from service: %s", "A service on the message bus answers with an error.";
    XML_INVALID_SCHEMA = 92, "XML document failed to validate against schema: %s", "A document violates the schema.";
    AUTH_UNAVAILABLE = 94, "authentication unavailable: %s", "Nobody is there to be asked.";
    DEVICE_MISSING = 99, "device not found: %s", "A device is gone.";
    INVALID_NWFILTER_BINDING = 100, "Invalid network filter binding: %s", "Not a binding of a network filter.";
    INVALID_DOMAIN_CHECKPOINT = 102, "Invalid domain checkpoint: %s", "Not a checkpoint of a virtual machine.";
    INVALID_NETWORK_PORT = 105, "Invalid network port pointer: %s", "Not a port of a virtual network.";
}

impl ErrorCode {
    /// The message of the code with a detail, and the template as libvirt has it among an error's strings.
    ///
    /// ```
    /// use nodedev_model::ErrorCode;
    /// let (message, template) = ErrorCode::XML_ERROR.message("no such thing");
    /// assert_eq!((message.as_str(), template.as_str()), ("XML error: no such thing", "XML error: %1$s"));
    /// ```
    pub fn message(self, detail: &str) -> (String, String) {
        match self.template() {
            "%s" => (detail.to_owned(), "%s".to_owned()),
            template => (template.replacen("%s", detail, 1), template.replacen("%s", "%1$s", 1)),
        }
    }
}
