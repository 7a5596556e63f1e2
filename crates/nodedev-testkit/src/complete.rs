//! Whether everything has to be checked. A machine that lacks something leaves out what needs it, and says so; nobody reads
//! that in continuous integration, where it is therefore a failure.

use std::ffi::OsStr;
use std::fmt;

/// Something that has to be checked, and that this machine can't check. Its text says why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}: with CI=true, nothing may be left out")]
pub struct LeftOut(String);

/// Whether nothing may be left out: `CI=true`, which services for continuous integration set.
pub fn is_required() -> bool {
    is_set(std::env::var_os("CI").as_deref())
}

fn is_set(ci: Option<&OsStr>) -> bool {
    ci.is_some_and(|value| value == "true" || value == "1")
}

/// Prints what this machine does not check, and why.
///
/// # Errors
/// [`LeftOut`] where nothing may be left out.
pub fn leave_out(why: impl fmt::Display) -> Result<(), LeftOut> {
    leave_out_unless(is_required(), why)
}

fn leave_out_unless(required: bool, why: impl fmt::Display) -> Result<(), LeftOut> {
    if required {
        return Err(LeftOut(why.to_string()));
    }
    println!("left out: {why}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_required_where_ci_is_true() {
        for (value, required) in [
            (None, false),
            (Some(""), false),
            (Some("false"), false),
            (Some("true"), true),
            (Some("1"), true),
        ] {
            assert_eq!(is_set(value.map(OsStr::new)), required, "{value:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_an_error_only_there() {
        assert!(leave_out_unless(false, "no libvirt").is_ok());
        let error = leave_out_unless(true, "no libvirt").unwrap_err().to_string();
        assert!(error.starts_with("no libvirt: ") && error.contains("CI=true"), "{error}");
    }
}
