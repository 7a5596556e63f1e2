//! How one value can be spelt: with and without separators, in either case, as bytes, in either order of the bytes.

/// What may stand between the digits of a number, or in the place of a blank.
const SEPARATORS: &[u8] = b":-._ \0";
/// What stands in a [`View`] for all else that is no letter or digit.
const BREAK: u8 = b' ';
/// A blank, a dash or a colon as udev writes it in the name of a link.
const ESCAPES: [&[u8]; 3] = [b"\\x20", b"\\x2d", b"\\x3a"];

/// In bytes. A shorter number is met by accident.
const SHORTEST_NUMBER: usize = 6;

/// The letters and digits of a text in lower case, without the separators between them, and where each stands.
pub(crate) struct View {
    pub(crate) letters: Vec<u8>,
    pub(crate) places: Vec<usize>,
}

impl View {
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut view =
            Self { letters: Vec::with_capacity(text.len()), places: Vec::with_capacity(text.len()) };
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if byte.is_ascii_alphanumeric() {
                view.push(byte.to_ascii_lowercase(), at);
                at += 1;
            } else if let Some(escape) = ESCAPES.iter().find(|escape| text[at..].starts_with(escape)) {
                at += escape.len();
            } else {
                if !SEPARATORS.contains(&byte) && view.letters.last() != Some(&BREAK) {
                    view.push(BREAK, at);
                }
                at += 1;
            }
        }
        view
    }

    fn push(&mut self, letter: u8, place: usize) {
        self.letters.push(letter);
        self.places.push(place);
    }
}

/// The letters and digits of a value in lower case: what all its spellings have in common. A number goes without its `0x`.
pub(crate) fn plain(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"0x").or(value.strip_prefix(b"0X")).unwrap_or(value);
    let letters = View::new(digits).letters;
    if letters.iter().all(u8::is_ascii_hexdigit) { letters } else { View::new(value).letters }
}

/// The bytes that pairs of digits stand for. `None` if the value is no such number.
pub(crate) fn bytes(plain: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = plain.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Whether a number is mostly zeros or ones, and so met by accident where it means something else.
pub(crate) fn is_weak(number: &[u8]) -> bool {
    let mut telling: Vec<u8> = number.iter().copied().filter(|byte| !matches!(byte, 0 | 0xff)).collect();
    telling.sort_unstable();
    telling.dedup();
    number.len() < SHORTEST_NUMBER || telling.len() < 3
}

/// The digits of bytes.
pub(crate) fn digits(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|digit| b"0123456789abcdef"[usize::from(digit)])
        .collect()
}

/// The other orders that the bytes of a number are found in: backwards; of a hardware address the 64-bit identifiers that are
/// made of it; of a GUID the one with little-endian fields. A function of one number only: the same orders for two numbers of
/// the same length come out in the same sequence.
pub(crate) fn orders(number: &[u8]) -> Vec<Vec<u8>> {
    let mut orders = vec![number.to_vec()];
    match number {
        [a, b, c, d, e, f] => {
            // EUI-64 of the PCIe serial number, of IPv6, and the older one.
            orders.push(vec![*a, *b, *c, 0xff, 0xfe, *d, *e, *f]);
            orders.push(vec![*a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f]);
            orders.push(vec![*a, *b, *c, 0xff, 0xff, *d, *e, *f]);
        }
        _ if number.len() == 16 => {
            let mut mixed = number.to_vec();
            mixed[0..4].reverse();
            mixed[4..6].reverse();
            mixed[6..8].reverse();
            orders.push(mixed);
        }
        _ => {}
    }
    let backwards: Vec<_> = orders.iter().map(|order| order.iter().rev().copied().collect()).collect();
    orders.extend(backwards);
    orders
}

/// The ways in which a text is found in binary data: as it is, backwards, with the bytes of each pair exchanged (ATA), and as
/// UTF-16.
pub(crate) fn packings(text: &[u8]) -> [Vec<u8>; 4] {
    let backwards = text.iter().rev().copied().collect();
    let mut exchanged = text.to_vec();
    exchanged.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    let wide = text.iter().flat_map(|byte| [*byte, 0]).collect();
    [text.to_vec(), backwards, exchanged, wide]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_number_are_the_same_letters() {
        for spelling in
            ["52:54:00:aa:0F:10", "52-54-00-AA-0F-10", "525400aa0f10", "5254.00aa.0f10", "0x525400AA0F10"]
        {
            assert_eq!(plain(spelling.as_bytes()), b"525400aa0f10", "{spelling}");
        }
        assert_eq!(plain(b"S3X 8NB_0K"), plain(b"S3X\\x208NB0K"));
        assert_eq!(View::new(b"a/b:c").letters, b"a bc");
        assert_eq!(View::new(b"a/b:c").places, [0, 1, 2, 4]);
    }

    #[test]
    fn numbers_that_are_met_by_accident_are_weak() {
        for (number, weak) in
            [("525400000010", false), ("020000000100", true), ("1a2b3c4d", true), ("ffffffffff01", true)]
        {
            assert_eq!(is_weak(&bytes(number.as_bytes()).unwrap()), weak, "{number}");
        }
    }

    #[test]
    fn orders_of_two_numbers_belong_to_each_other() {
        let (one, two) = (orders(&[0, 1, 2, 3, 4, 5]), orders(&[9, 8, 7, 6, 5, 4]));
        assert_eq!(one.len(), 8);
        assert!(one.iter().zip(&two).all(|(one, two)| one.len() == two.len()));
        assert!(one.contains(&vec![5, 4, 3, 0xfe, 0xff, 2, 1, 0]));
        assert_eq!(bytes(b"00ff"), Some(vec![0, 0xff]));
        assert_eq!((bytes(b"00f"), bytes(b"zz")), (None, None));
        assert_eq!(digits(&[0, 0xfa]), b"00fa");
        let guid = orders(&core::array::from_fn::<u8, 16, _>(|at| at as u8));
        assert!(guid.contains(&vec![3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]));
    }
}
