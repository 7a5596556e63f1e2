//! The keys of the configuration file: those of libvirt's virtnodedevd.conf, and of libvirtd.conf for TCP and TLS.

use super::meaning::Config;
use super::syntax::Value;

/// What a key's value is.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// A number between two others.
    Number(i64, i64, fn(&mut Config, i64)),
    /// 0 or 1.
    Switch(fn(&mut Config, bool)),
    /// A text; the error says what it must be.
    Text(fn(&mut Config, String) -> Result<(), String>),
    /// A list of texts; the error says what they must be.
    List(fn(&mut Config, Vec<String>) -> Result<(), String>),
    /// A key that libvirt's daemons have; what it would do, nodedevd does not. The reason is for the warning.
    Unused(Shape, &'static str),
}

/// What the value of a key looks like that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Number,
    Text,
    List,
}

impl Meaning {
    /// How a value looks, for the error of one that does not.
    pub(super) fn example(self, key: &str) -> String {
        match self {
            Self::Number(least, most, _) => {
                format!("{key} is a number from {least} to {most}, as in {key} = {}", least.max(5).min(most))
            }
            Self::Switch(_) => format!("{key} is 0 or 1, as in {key} = 1"),
            Self::Unused(Shape::Number, _) => format!("{key} is a number, as in {key} = 5"),
            Self::Text(_) | Self::Unused(Shape::Text, _) => {
                format!("{key} is a text in quotes, as in {key} = \"text\"")
            }
            Self::List(_) | Self::Unused(Shape::List, _) => {
                format!("{key} is a list of texts, as in {key} = [ \"text\" ]")
            }
        }
    }

    /// Takes over a value; the error says what is wrong with it.
    pub(super) fn apply(self, key: &str, value: Value, config: &mut Config) -> Result<(), String> {
        match (self, value) {
            (Self::Number(least, most, set), Value::Number(number)) if (least..=most).contains(&number) => {
                set(config, number);
                Ok(())
            }
            (Self::Switch(set), Value::Number(number @ (0 | 1))) => {
                set(config, number == 1);
                Ok(())
            }
            (Self::Text(set), Value::Text(text)) => set(config, text),
            (Self::List(set), Value::List(items)) => set(config, items),
            (Self::Unused(Shape::Number, reason), Value::Number(_))
            | (Self::Unused(Shape::Text, reason), Value::Text(_))
            | (Self::Unused(Shape::List, reason), Value::List(_)) => {
                config.unused.push((key.to_owned(), reason));
                Ok(())
            }
            _ => Err(self.example(key)),
        }
    }
}

const NO_ADMIN: &str = "there is no administration socket";
const NO_AUDIT: &str = "nodedevd writes no audit records";
const NO_SASL: &str = "nodedevd has no SASL logins";
const ON_DEMAND: &str = "nodedevd starts threads when they are needed";
const OTHER_DRIVERS: &str = "it is about drivers that nodedevd does not have";
const RUST_TLS: &str = "rustls chooses protocols and ciphers itself";

/// Most of what a count may be.
const MANY: i64 = 1 << 20;
/// Most seconds.
const LONG: i64 = 1 << 30;

/// Declares the table.
macro_rules! keys {
    ($($key:literal => $meaning:expr;)*) => {
        /// Every key with its meaning.
        pub(super) const KEYS: &[(&str, Meaning)] = &[$(($key, $meaning),)*];
    };
}

use Meaning::{List, Number, Switch, Text, Unused};

keys! {
    "unix_sock_group" => Text(|config, group| { config.unix.group = Some(group); Ok(()) });
    "unix_sock_ro_perms" => Text(|config, mode| super::meaning::mode(&mode).map(|mode| config.unix.read_only_mode = mode));
    "unix_sock_rw_perms" => Text(|config, mode| super::meaning::mode(&mode).map(|mode| config.unix.mode = Some(mode)));
    "unix_sock_admin_perms" => Unused(Shape::Text, NO_ADMIN);
    "unix_sock_dir" => Text(|config, dir| super::meaning::absolute(dir).map(|dir| config.unix.dir = Some(dir)));
    "auth_unix_ro" => Text(|config, auth| super::meaning::auth(&auth).map(|auth| config.unix.read_only_auth = Some(auth)));
    "auth_unix_rw" => Text(|config, auth| super::meaning::auth(&auth).map(|auth| config.unix.auth = Some(auth)));
    "access_drivers" => List(|config, drivers| super::meaning::access(&drivers).map(|polkit| config.access_polkit = polkit));
    "max_clients" => Number(1, MANY, |config, count| config.max_clients = super::meaning::count(count));
    "max_queued_clients" => Number(1, MANY, |config, count| config.max_queued_clients = super::meaning::count(count));
    "max_anonymous_clients" => Number(0, MANY, |config, count| config.max_anonymous_clients = super::meaning::count(count));
    "min_workers" => Unused(Shape::Number, ON_DEMAND);
    "max_workers" => Number(1, 4096, |config, count| config.max_workers = super::meaning::count(count));
    "prio_workers" => Number(1, 4096, |config, count| config.prio_workers = super::meaning::count(count));
    "max_client_requests" => Number(1, MANY, |config, count| config.max_client_requests = super::meaning::count(count));
    // nodedevd's own.
    "max_queued_events" => Number(1, 1 << 30, |config, count| config.max_queued_events = super::meaning::count(count));
    "max_queued_event_bytes" => Number(4096, 1 << 40, |config, count| config.max_queued_event_bytes = super::meaning::count(count));
    "keepalive_interval" => Number(-1, LONG, |config, seconds| config.keepalive_interval = super::meaning::seconds(seconds));
    "keepalive_count" => Number(0, MANY, |config, count| config.keepalive_count = u32::try_from(count).unwrap_or(u32::MAX));
    "log_level" => Number(1, 4, |config, level| config.log.level = Some(super::meaning::level(level)));
    "log_outputs" => Text(|config, outputs| super::meaning::log_output(&outputs).map(|output| config.log.output = output));
    "log_filters" => Unused(Shape::Text, "nodedevd's messages have one level, log_level");
    "audit_level" => Unused(Shape::Number, NO_AUDIT);
    "audit_logging" => Unused(Shape::Number, NO_AUDIT);
    "host_uuid" => Unused(Shape::Text, "the machine's UUID is always read from its firmware");
    "host_uuid_source" => Unused(Shape::Text, "the machine's UUID is always read from its firmware");
    "ovs_timeout" => Unused(Shape::Number, OTHER_DRIVERS);
    "admin_min_workers" => Unused(Shape::Number, NO_ADMIN);
    "admin_max_workers" => Unused(Shape::Number, NO_ADMIN);
    "admin_max_clients" => Unused(Shape::Number, NO_ADMIN);
    "admin_max_queued_clients" => Unused(Shape::Number, NO_ADMIN);
    "admin_max_client_requests" => Unused(Shape::Number, NO_ADMIN);
    "admin_keepalive_interval" => Unused(Shape::Number, NO_ADMIN);
    "admin_keepalive_count" => Unused(Shape::Number, NO_ADMIN);
    "sasl_allowed_username_list" => Unused(Shape::List, NO_SASL);
    "listen_tls" => Switch(|config, on| config.tls.listen = on);
    "listen_tcp" => Switch(|config, on| config.tcp.listen = on);
    "tls_port" => Text(|config, port| super::meaning::port(&port).map(|port| config.tls.port = port));
    "tcp_port" => Text(|config, port| super::meaning::port(&port).map(|port| config.tcp.port = port));
    "listen_addr" => Text(|config, address| super::meaning::address(&address).map(|address| config.listen_addr = address));
    "auth_tcp" => Text(|config, auth| super::meaning::remote_auth("auth_tcp", &auth).map(|()| config.tcp.auth_is_set = true));
    "auth_tls" => Text(|_, auth| super::meaning::remote_auth("auth_tls", &auth));
    "key_file" => Text(|config, path| super::meaning::absolute(path).map(|path| config.tls.key = path));
    "cert_file" => Text(|config, path| super::meaning::absolute(path).map(|path| config.tls.certificate = path));
    "ca_file" => Text(|config, path| super::meaning::absolute(path).map(|path| config.tls.authority = path));
    "crl_file" => Text(|config, path| super::meaning::absolute(path).map(|path| config.tls.revoked = Some(path)));
    "tls_no_verify_certificate" => Switch(|config, on| config.tls.any_client = on);
    "tls_no_sanity_certificate" => Unused(Shape::Number, RUST_TLS);
    "tls_allowed_dn_list" => List(|config, names| { config.tls.allowed_names = Some(names); Ok(()) });
    "tls_priority" => Unused(Shape::Text, RUST_TLS);
    "tcp_min_ssf" => Unused(Shape::Number, NO_SASL);
}
