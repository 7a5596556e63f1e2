//! What an attribute of sysfs says: its content without what ends it.

/// An attribute's value: the content up to a NUL, without trailing line breaks.
pub fn attribute_value(content: &[u8]) -> &[u8] {
    let content = up_to_nul(content);
    let end = content.iter().rposition(|&b| !matches!(b, b'\n' | b'\r')).map_or(0, |at| at + 1);
    &content[..end]
}

/// The content up to a NUL, where every text of libvirt ends.
pub fn up_to_nul(content: &[u8]) -> &[u8] {
    content.split(|&b| b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::attribute_value;

    #[test]
    fn a_value_ends_before_its_line_break_or_at_a_nul() {
        for (content, want) in [
            (&b"e1000\n"[..], &b"e1000"[..]),
            (b"a\nb\r\n\n", b"a\nb"),
            (b"a\n\0b", b"a"),
            (b" a ", b" a "),
            (b"\n", b""),
            (b"", b""),
        ] {
            assert_eq!(attribute_value(content), want);
        }
    }
}
