//! Which connections are opened.

use nodedev_driver::{Error, ErrorDomain, Scope};
use nodedev_rpc::Str;

/// Whether the name that a client wants to open is the one that is served.
pub(crate) fn check(name: Str<'_>, scope: Scope) -> Result<(), Error> {
    let uri = name.to_string_lossy();
    if uri.is_empty() {
        return Err(Error::no_connect("<null>"));
    }
    let path = match uri.split_once(':') {
        Some(("nodedev", rest)) => path(rest),
        Some(_) => None,
        None => {
            return Err(Error::no_connect(&format!("URI '{uri}' does not include a driver name")));
        }
    };
    // Another scheme, or another server.
    let path = path.ok_or_else(|| Error::no_connect(&uri))?;
    if path.strip_prefix('/') != Some(&scope.to_string()) {
        let detail = format!("unexpected nodedev URI path '{path}', try nodedev:///{scope}");
        return Err(Error::internal(ErrorDomain::NONE, detail));
    }
    Ok(())
}

/// The path of a URI without server, given what follows the scheme.
fn path(rest: &str) -> Option<&str> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.strip_prefix("//") {
        Some(rest) => rest.starts_with('/').then_some(rest).or_else(|| rest.is_empty().then_some("")),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_path_of_the_scheme_is_opened() {
        let refused = |name: &str| {
            let error = check(Str::truncated(name), Scope::System).err()?;
            Some((error.code().0, error.domain().0, error.message().to_owned()))
        };
        for name in
            ["nodedev:///system", "nodedev:/system", "nodedev:///system?foo=bar", "nodedev:///system#x"]
        {
            assert_eq!(refused(name), None, "{name}");
        }
        for name in ["nodedev:///session", "nodedev:///", "nodedev:///system/", "nodedev://", "nodedev:"] {
            let path = path(name.strip_prefix("nodedev:").unwrap()).unwrap();
            let text = format!("internal error: unexpected nodedev URI path '{path}', try nodedev:///system");
            assert_eq!(refused(name), Some((1, 0, text)), "{name}");
        }
        for name in ["qemu:///system", "NODEDEV:///system", "nodedev+unix:///system", "nodedev://host/system"]
        {
            let text = format!("no connection driver available for {name}");
            assert_eq!(refused(name), Some((5, 0, text)), "{name}");
        }
        let text = "no connection driver available for <null>".to_owned();
        assert_eq!(refused(""), Some((5, 0, text)));
        let text =
            "no connection driver available for URI 'nodedev' does not include a driver name".to_owned();
        assert_eq!(refused("nodedev"), Some((5, 0, text)));
        assert!(check(Str::truncated("nodedev:///session"), Scope::Session).is_ok());
    }
}
