//! Names in certificates: how they are written, and the patterns of `tls_allowed_dn_list`.

use rustls::pki_types::CertificateDer;
use wildmatch::WildMatch;
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};

/// Kinds of attributes that GnuTLS has names of its own for, as `virt-pki-query-dn` prints them.
const KINDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "surName"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "givenName"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAIL"),
];

/// The subject as GnuTLS, and so libvirt's list, writes it: `O=…,CN=…`, in the order of the certificate. Nothing if it is
/// empty or can't be read.
pub(crate) fn distinguished_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut parts = Vec::new();
    for part in certificate.subject().iter_rdn() {
        let attributes: Option<Vec<String>> = part.iter().map(written).collect();
        parts.push(attributes?.join("+"));
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// One attribute. Of a kind without a name, the bytes of the certificate are shown.
fn written(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let kind = attribute.attr_type().to_id_string();
    match KINDS.iter().find(|(number, _)| *number == kind) {
        Some((_, name)) => Some(format!("{name}={}", escaped(attribute.as_str().ok()?))),
        None => {
            let bytes = attribute.attr_value().to_der_vec().ok()?;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{kind}=#{hex}"))
        }
    }
}

/// RFC 4514, section 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (at, sign) in text.char_indices() {
        let is_last = at + sign.len_utf8() == text.len();
        let has_meaning = match sign {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || is_last,
            _ => false,
        };
        if has_meaning {
            out.push('\\');
        }
        out.push(sign);
    }
    out
}

/// Whether a name is one that a pattern means: `*` stands for any text, `?` for one character.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_do_in_a_shell() {
        for (pattern, name, expected) in [
            ("CN=host,O=Example", "CN=host,O=Example", true),
            ("CN=host", "CN=host,O=Example", false),
            ("CN=*,O=Example", "CN=a.b,O=Example", true),
            ("CN=*,O=Example", "CN=a,O=Other", false),
            ("CN=h?st*", "CN=hast,O=x", true),
            ("CN=h?st", "CN=hst", false),
            ("*", "", true),
            ("", "x", false),
            ("*a*b", "xaybzb", true),
            ("**c", "c", true),
            ("", "", true),
            ("?", "", false),
            ("CN=?", "CN=\u{fc}", true),
            ("CN=[a]", "CN=a", false),
            ("CN=\\*", "CN=x", false),
            ("cn=host", "CN=host", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_does_not_take_for_ever() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(10_000)));
    }

    #[test]
    fn signs_with_a_meaning_are_escaped() {
        for (text, expected) in [
            ("plain=1", "plain=1"),
            ("a+b;c<d>e,f", r"a\+b\;c\<d\>e\,f"),
            (r#"\ "x""#, r#"\\ \"x\""#),
            ("#a#", r"\#a#"),
            (" a b ", r"\ a b\ "),
            (" ", r"\ "),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
