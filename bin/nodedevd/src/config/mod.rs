//! The configuration file: first what is written ([`syntax`]), then what it means ([`meaning`]).

mod keys;
mod meaning;
mod syntax;

use std::path::Path;

pub(crate) use meaning::{Auth, Config, LogOutput, Tls};

use crate::exit::{Exit, Fatal};

/// Larger files are none of ours.
const SIZE_MAX: u64 = 1 << 20;

/// Reads a file. One that is not there is an empty one, if it `may_be_absent`.
pub(crate) fn read(path: &Path, may_be_absent: bool) -> Result<Config, Fatal> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::PermissionDenied {
            Exit::NoPermission
        } else {
            Exit::Config
        };
        Fatal::new(exit, format!("cannot read {shown}: {error}"))
            .help("check the path given with --config, and that the daemon's user may read it")
    };
    let text = match std::fs::metadata(path).and_then(|file| Ok((file.len(), std::fs::read(path)?))) {
        Ok((length, _)) if length > SIZE_MAX => {
            return Err(Fatal::new(Exit::Config, format!("{shown} is larger than {SIZE_MAX} bytes")));
        }
        Ok((_, bytes)) => bytes,
        Err(error) if may_be_absent && error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    let text = String::from_utf8(text).map_err(|_| {
        Fatal::new(Exit::Config, format!("{shown} is not UTF-8")).help("save it as UTF-8, or as plain ASCII")
    })?;
    parse(&text).map_err(|mistake| {
        Fatal::new(Exit::Config, format!("{shown}:{}: {}", mistake.line, mistake.what))
            .help("`nodedevd --help` names the example; every key is explained in it")
    })
}

/// Reads the text of a file.
pub(crate) fn parse(text: &str) -> Result<Config, syntax::Mistake> {
    let settings = syntax::parse(text)?;
    let mut config = Config::default();
    for syntax::Setting { line, key, value } in &settings {
        let mistake = |what| syntax::Mistake { line: *line, what };
        let Some((_, meaning)) = keys::KEYS.iter().find(|(known, _)| known == key) else {
            return Err(mistake(unknown(key)));
        };
        meaning.apply(key, value.clone(), &mut config).map_err(mistake)?;
    }
    config.check().map_err(|(key, what)| {
        let line = settings.iter().rev().find(|setting| setting.key == key).map_or(1, |setting| setting.line);
        syntax::Mistake { line, what }
    })?;
    Ok(config)
}

fn unknown(key: &str) -> String {
    let names = keys::KEYS.iter().map(|(name, _)| *name);
    let near = names.filter(|name| name.starts_with(key) || key.starts_with(name)).collect::<Vec<_>>();
    match near.as_slice() {
        [] => format!("unknown key {key}; take the line out, or put a # before it"),
        near => format!("unknown key {key}; did you mean {}?", near.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_key_is_read_with_its_type_and_refused_with_another() {
        for (key, meaning) in keys::KEYS {
            let example = meaning.example(key);
            let line = example.split(", as in ").nth(1).unwrap();
            if let Err(mistake) = parse(line) {
                // A value of the right type can still be none of those that are allowed, or need another setting.
                let refused = ["\"text\"", "write one output", "must not be less", "needs auth_tcp"];
                assert!(refused.iter().any(|text| mistake.what.contains(text)), "{line}: {}", mistake.what);
            }
            let wrong = if line.contains('[') { "1" } else { "[ \"x\" ]" };
            let mistake = parse(&format!("\n{key} = {wrong}")).unwrap_err();
            assert_eq!((mistake.line, mistake.what.starts_with(key)), (2, true), "{key}: {}", mistake.what);
        }
    }

    #[test]
    fn values_arrive_where_they_belong() {
        let config = parse(
            "unix_sock_group = \"libvirt\"\nunix_sock_rw_perms = \"0770\"\nunix_sock_dir = \"/x\"\n\
             auth_unix_rw = \"none\"\naccess_drivers = [ \"polkit\" ]\nmax_clients = 30\nkeepalive_interval = -1\n\
             tls_port = \"1\"\nlisten_addr = \"::1\"\nlog_level = 1\nlog_outputs = \"1:file:/tmp/l\"\nmin_workers = 1\n\
             max_workers = 7\nprio_workers = 2\nlisten_tcp = 1\nauth_tcp = \"none\"\n",
        )
        .unwrap();
        assert_eq!(config.unix.group.as_deref(), Some("libvirt"));
        assert_eq!((config.unix.mode, config.unix.read_only_mode), (Some(0o770), 0o777));
        assert_eq!(config.unix.dir.as_deref(), Some(Path::new("/x")));
        assert_eq!((config.unix.auth, config.unix.read_only_auth), (Some(Auth::None), None));
        assert!(config.access_polkit && config.tcp.listen && !config.tls.listen);
        assert_eq!((config.max_clients, config.max_workers, config.prio_workers), (30, 7, 2));
        assert_eq!((config.keepalive_interval, config.keepalive_count), (None, 5));
        assert_eq!(Config::default().keepalive_interval, Some(Duration::from_secs(5)));
        assert_eq!((config.tls.port, config.listen_addr), (1, "::1".parse().ok()));
        assert_eq!(config.log.output, LogOutput::File("/tmp/l".into()));
        assert_eq!(config.unused, [("min_workers".into(), "nodedevd starts threads when they are needed")]);
    }

    #[test]
    fn mistakes_in_meaning_are_told_with_line_and_cure() {
        for (text, line, what) in [
            ("\nmax_client = 5", 2, "did you mean max_clients or max_client_requests?"),
            ("colour = 1", 1, "unknown key colour; take the line out"),
            ("max_clients = \"5\"", 1, "max_clients is a number from 1"),
            ("max_clients = 0", 1, "max_clients is a number from 1"),
            ("max_workers = -1", 1, "max_workers is a number from 1"),
            ("listen_tls = 2", 1, "listen_tls is 0 or 1"),
            ("unix_sock_rw_perms = \"rwx\"", 1, "no mode of a file"),
            ("unix_sock_rw_perms = \"01777\"", 1, "no mode of a file"),
            ("unix_sock_rw_perms = 777", 1, "is a text in quotes"),
            ("unix_sock_dir = \"run\"", 1, "no path that begins with /"),
            ("auth_unix_rw = \"sasl\"", 1, "SASL logins are not available"),
            ("auth_unix_ro = \"yes\"", 1, "write \"polkit\" or \"none\""),
            ("access_drivers = [ \"nop\" ]", 1, "there are \"polkit\" and \"none\""),
            ("access_drivers = \"polkit\"", 1, "is a list of texts"),
            ("tls_port = \"port\"", 1, "is no port"),
            ("listen_addr = \"host\"", 1, "is no IP address"),
            ("log_outputs = \"1:syslog:x\"", 1, "write one output"),
            ("log_level = 5", 1, "from 1 to 4"),
            ("\nmax_clients = 10\n", 2, "must not be less than max_anonymous_clients (20)"),
            ("#\nlisten_tcp = 1\n", 2, "needs auth_tcp = \"none\""),
            ("auth_tls = \"polkit\"", 1, "can only be \"none\""),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.what.contains(what), "{text:?}: {}", mistake.what);
            assert_eq!(mistake.line, line, "{text:?}");
        }
    }
}
