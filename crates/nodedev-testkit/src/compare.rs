//! Comparing documents, with what a recording can't hold set aside.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// Only orders that the kernel does not define: the addresses of an IOMMU group, mediated device types and the
    /// members of a channel group, which libvirt prints in the order of the directory.
    Order,
    /// Besides, the features of network devices: they are answers of a live kernel and in no recording.
    Recording,
}

/// ethtool's features, as libvirt names them. The other features come from sysfs or devlink.
const ETHTOOL_FEATURES: &[&str] =
    &["rx", "tx", "sg", "tso", "gso", "gro", "lro", "rxvlan", "txvlan", "ntuple", "rxhash", "txudptnl"];

/// Lists in documents whose elements have no defined order: first and last line of the list, first and last line of an
/// element. All are compared by what they start or end with, after the indentation.
const UNORDERED: &[[&str; 4]] = &[
    ["<iommuGroup ", "</iommuGroup>", "<address ", "/>"],
    ["<capability type='mdev_types'>", "</capability>", "<type ", "</type>"],
    ["<members>", "</members>", "<ccw_device ", "</ccw_device>"],
];

/// How a mistake in an empty line of a document ends in libvirt's words until its fix of CVE-2026-61478, and since: as it is, and
/// as Python and Rust print a text that holds it.
const EMPTY_LINE: [[&str; 2]; 2] = [["\n(null)\n^", "\n"], ["\\n(null)\\n^", "\\n"]];

/// What nodedev said, in the words of the libvirt that said `libvirts`. nodedev shows an empty line as libvirt 11.3 did when it
/// came out; distributions have mended that one, so the version does not tell which it is.
pub fn in_words_of<'a>(libvirts: &str, nodedevs: &'a str) -> Cow<'a, str> {
    if EMPTY_LINE.iter().any(|[before, _]| libvirts.contains(before)) {
        return nodedevs.into();
    }
    EMPTY_LINE.iter().fold(nodedevs.into(), |text, [before, since]| text.replace(before, since).into())
}

/// `document` with everything that `tolerance` sets aside removed or sorted.
pub fn normalized(document: &[u8], tolerance: Tolerance) -> Vec<u8> {
    let lines: Vec<&[u8]> = document.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out = Vec::with_capacity(document.len());
    let mut at = 0;
    while at < lines.len() {
        if let Some(kind) = UNORDERED.iter().find(|kind| text(lines[at]).starts_with(kind[0])) {
            out.extend_from_slice(lines[at]);
            at = sorted(&lines, at + 1, kind, &mut out);
        } else {
            if !(tolerance == Tolerance::Recording && is_ethtool_feature(lines[at])) {
                out.extend_from_slice(lines[at]);
            }
            at += 1;
        }
    }
    out
}

/// Copies the list that starts at `at` with its elements sorted; returns where its last line is.
fn sorted(lines: &[&[u8]], mut at: usize, kind: &[&str; 4], out: &mut Vec<u8>) -> usize {
    let [_, end_of_list, element, end_of_element] = kind;
    let mut elements = Vec::new();
    while at < lines.len() && !text(lines[at]).starts_with(end_of_list) {
        let start = at;
        if text(lines[at]).starts_with(element) {
            while at < lines.len() && !text(lines[at]).ends_with(end_of_element) {
                at += 1;
            }
        }
        at = (at + 1).min(lines.len());
        elements.push(lines[start..at].concat());
    }
    elements.sort();
    out.extend(elements.concat());
    at
}

fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line.trim_ascii())
}

fn is_ethtool_feature(line: &[u8]) -> bool {
    let line = text(line);
    line.strip_prefix("<feature name='")
        .and_then(|rest| rest.strip_suffix("'/>"))
        .is_some_and(|name| ETHTOOL_FEATURES.contains(&name))
}

/// How the documents `found` differ from those `expected`, as text for a person; empty when they do not.
pub fn differences(
    expected: &BTreeMap<String, Vec<u8>>,
    found: &BTreeMap<String, Vec<u8>>,
    tolerance: Tolerance,
) -> String {
    let mut report = String::new();
    for name in expected.keys().filter(|name| !found.contains_key(*name)) {
        let _ = writeln!(report, "missing: {name}");
    }
    for name in found.keys().filter(|name| !expected.contains_key(*name)) {
        let _ = writeln!(report, "extra: {name}");
    }
    for (name, document) in expected {
        let Some(other) = found.get(name) else { continue };
        let (a, b) = (normalized(document, tolerance), normalized(other, tolerance));
        if a != b {
            let (a, b) = (String::from_utf8_lossy(&a), String::from_utf8_lossy(&b));
            let _ = writeln!(report, "differs: {name}\n{}", diff(&a, &b));
        }
    }
    report
}

/// A readable difference of two texts: lines only in `expected` after `-`, lines only in `found` after `+`, and the
/// line before each place where they part.
///
/// Meant for documents of some hundred lines: the common part is searched line by line, not optimally.
pub fn diff(expected: &str, found: &str) -> String {
    const LOOK_AHEAD: usize = 200;
    const MOST: usize = 60;
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let (mut i, mut j) = (0, 0);
    let mut out: Vec<String> = Vec::new();
    let mut apart = false;
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            apart = false;
            i += 1;
            j += 1;
            continue;
        }
        if !apart && i > 0 {
            out.push(format!("   {}", a[i - 1]));
        }
        apart = true;
        // The nearest line of either side that the other side has too.
        let meeting = (1..LOOK_AHEAD).flat_map(|sum| (0..=sum).map(move |left| (left, sum - left))).find(
            |(left, right)| {
                matches!((a.get(i + left), b.get(j + right)), (Some(x), Some(y)) if x == y)
                    || (i + left == a.len() && j + right == b.len())
            },
        );
        let (left, right) = meeting.unwrap_or((a.len() - i, b.len() - j));
        out.extend(a[i..i + left].iter().map(|line| format!("  -{line}")));
        out.extend(b[j..j + right].iter().map(|line| format!("  +{line}")));
        i += left;
        j += right;
    }
    if out.len() > MOST {
        let more = out.len() - MOST;
        out.truncate(MOST);
        out.push(format!("  ({more} more lines)"));
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "  <iommuGroup number='1'>\n    <address domain='0x0000' bus='0x02'/>\n    \
                         <address domain='0x0000' bus='0x01'/>\n  </iommuGroup>\n";

    #[test]
    fn order_of_an_iommu_group_is_set_aside() {
        let lines: Vec<&str> = GROUP.split_inclusive('\n').collect();
        let swapped = [lines[0], lines[2], lines[1], lines[3]].concat();
        assert_ne!(GROUP, swapped);
        assert_eq!(
            normalized(GROUP.as_bytes(), Tolerance::Order),
            normalized(swapped.as_bytes(), Tolerance::Order)
        );
    }

    #[test]
    fn a_missing_member_of_an_iommu_group_is_seen() {
        let less = GROUP.replace("    <address domain='0x0000' bus='0x02'/>\n", "");
        assert_ne!(
            normalized(GROUP.as_bytes(), Tolerance::Recording),
            normalized(less.as_bytes(), Tolerance::Recording)
        );
    }

    #[test]
    fn types_are_sorted_as_wholes() {
        let types = |a: &str, b: &str| {
            format!(
                "  <capability type='mdev_types'>\n    <type id='{a}'>\n      <name>{a}</name>\n    </type>\n    \
                 <type id='{b}'>\n      <name>{b}</name>\n    </type>\n  </capability>\n"
            )
        };
        let normal = |text: String| normalized(text.as_bytes(), Tolerance::Order);
        assert_eq!(normal(types("a", "b")), normal(types("b", "a")));
        assert_ne!(normal(types("a", "b")), normal(types("a", "c")));
    }

    #[test]
    fn only_features_of_ethtool_are_set_aside_and_only_in_recordings() {
        let text = b"  <feature name='tso'/>\n  <feature name='rdma'/>\n";
        assert_eq!(normalized(text, Tolerance::Recording), b"  <feature name='rdma'/>\n");
        assert_eq!(normalized(text, Tolerance::Order), text);
    }

    #[test]
    fn a_diff_shows_what_changed_and_only_that() {
        assert_eq!(diff("a\nb\nc\nd\n", "a\nx\nc\nd\ne\n"), "   a\n  -b\n  +x\n   d\n  +e");
        assert_eq!(diff("a\n", "a\n"), "");
    }

    #[test]
    fn only_an_empty_line_may_be_shown_as_libvirt_showed_it_before() {
        let before = "at line 1: Document is empty\n(null)\n^";
        let since = "at line 1: Document is empty\n";
        assert_eq!(in_words_of(before, before), before);
        assert_eq!(in_words_of(since, before), since);
        assert_eq!(in_words_of(before, since), since, "a difference where libvirt shows it");
        assert_eq!(in_words_of(&format!("{since:?}"), &format!("{before:?}")), format!("{since:?}"));
        let other = "at line 1: no name\n<a>&\n----^";
        assert_eq!(in_words_of(since, other), other);
    }

    #[test]
    fn names_only_on_one_side_are_reported() {
        let one = |name: &str| BTreeMap::from([(name.to_owned(), b"x".to_vec())]);
        assert_eq!(differences(&one("a"), &one("b"), Tolerance::Order), "missing: a\nextra: b\n");
        assert_eq!(differences(&one("a"), &one("a"), Tolerance::Order), "");
    }
}
