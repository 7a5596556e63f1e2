use nodedev_model::DeviceName;

/// How many names are suggested at most.
const MOST: usize = 3;

/// The names that somebody probably meant: up to three of the candidates, the nearest first.
///
/// Near is a name with few changes to it (letters added, left out, replaced), or one that contains what was written.
/// The work is linear in the candidates, and bounded for each by the length of the longest one that can be near.
pub fn near_matches<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a DeviceName>,
) -> Vec<&'a DeviceName> {
    let wanted = wanted.as_bytes();
    if wanted.is_empty() || wanted.len() > 255 {
        return Vec::new();
    }
    let limit = (wanted.len() / 4).clamp(1, 5);
    let mut best: Vec<(usize, &DeviceName)> = Vec::with_capacity(MOST + 1);
    for name in candidates {
        let text = name.as_str().as_bytes();
        let distance = match distance_within(wanted, text, limit) {
            Some(distance) => distance,
            None if wanted.len() >= 3 && contains(text, wanted) => limit + 1,
            None => continue,
        };
        let place = best.partition_point(|(other, _)| *other <= distance);
        if place < MOST {
            best.insert(place, (distance, name));
            best.truncate(MOST);
        }
    }
    best.into_iter().map(|(_, name)| name).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Levenshtein distance, case ignored, if it is at most `limit`: only the diagonal band of the matrix is computed.
fn distance_within(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let far = limit + 1;
    let mut row: Vec<usize> = (0..=b.len()).map(|j| j.min(far)).collect();
    for (i, x) in a.iter().enumerate() {
        let (from, to) = ((i + 1).saturating_sub(limit).max(1), (i + 1 + limit).min(b.len()));
        let mut diagonal = row[from - 1];
        row[from - 1] = if from == 1 { (i + 1).min(far) } else { far };
        let mut nearest = row[from - 1];
        for j in from..=to {
            let above = row[j];
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&b[j - 1]));
            row[j] = replaced.min(above + 1).min(row[j - 1] + 1).min(far);
            diagonal = above;
            nearest = nearest.min(row[j]);
        }
        if let Some(beyond) = row.get_mut(to + 1) {
            *beyond = far;
        }
        if nearest > limit {
            return None;
        }
    }
    (row[b.len()] <= limit).then_some(row[b.len()])
}

#[cfg(test)]
mod tests {
    use nodedev_model::DeviceName;

    use super::{distance_within, near_matches};

    fn full_distance(a: &[u8], b: &[u8]) -> usize {
        let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                rows[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    (rows[i - 1][j] + 1)
                        .min(rows[i][j - 1] + 1)
                        .min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                };
            }
        }
        rows[a.len()][b.len()]
    }

    #[test]
    fn the_band_gives_the_same_distances_as_the_whole_matrix() {
        let words =
            ["", "a", "ab", "ba", "abc", "acb", "xabc", "abcd", "bcda", "kitten", "sitting", "aaaaaaa"];
        for a in words {
            for b in words {
                for limit in 1..5 {
                    let want = full_distance(a.as_bytes(), b.as_bytes());
                    let got = distance_within(a.as_bytes(), b.as_bytes(), limit);
                    assert_eq!(got, (want <= limit).then_some(want), "{a} {b} {limit}");
                }
            }
        }
    }

    #[test]
    fn misspelled_and_shortened_names_find_the_device() {
        let names: Vec<DeviceName> = [
            "computer",
            "net_eth0_52_54_00_aa_bb_cc",
            "pci_0000_00_02_0",
            "pci_0000_00_03_0",
            "pci_0000_00_1f_2",
        ]
        .map(|name| name.parse().unwrap())
        .to_vec();
        for (wanted, first) in [
            ("compuetr", Some("computer")),
            ("COMPUTER", Some("computer")),
            ("eth0", Some("net_eth0_52_54_00_aa_bb_cc")),
            ("pci_0000:00:02.0", Some("pci_0000_00_02_0")),
            ("pci_0000_00_03_1", Some("pci_0000_00_03_0")),
            ("scsi_host1", None),
            ("", None),
        ] {
            let near = near_matches(wanted, &names);
            assert_eq!(near.first().map(|name| name.as_str()), first, "{wanted}");
            assert!(near.len() <= 3);
        }
    }
}
