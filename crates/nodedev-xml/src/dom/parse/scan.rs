//! The text as bytes, characters and names.

use std::borrow::Cow;

use super::{Parser, Step};
use crate::dom::syntax::{is_blank, is_char, is_name, is_name_start};

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> u8 {
        self.byte(0)
    }

    /// A byte ahead; 0 at the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn sees(&self, text: &str) -> bool {
        self.rest().starts_with(text.as_bytes())
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let seen = self.sees(text);
        if seen {
            self.at += text.len();
        }
        seen
    }

    pub(super) fn eat_blanks(&mut self) -> bool {
        let start = self.at;
        while is_blank(self.peek()) {
            self.at += 1;
        }
        self.at > start
    }

    /// The text between two offsets; the caller has checked each character in it.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        std::str::from_utf8(&self.bytes[start..end]).unwrap_or_default()
    }

    /// The character at the current place: `None` at the end of the text.
    pub(super) fn char(&mut self) -> Step<Option<char>> {
        let rest = self.rest();
        let Some(&first) = rest.first() else { return Ok(None) };
        if first < 0x80 {
            return Ok(Some(char::from(first)));
        }
        let longest = &rest[..rest.len().min(4)];
        let valid = match std::str::from_utf8(longest) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&longest[..e.valid_up_to()]).unwrap_or_default(),
        };
        if let Some(c) = valid.chars().next() {
            if !is_char(c) {
                return self.fail(format!("Char 0x{:X} out of allowed range", u32::from(c)));
            }
            return Ok(Some(c));
        }
        match longest {
            [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf, ..] => {
                let code = 0xd000 | u32::from(b & 0x3f) << 6 | u32::from(c & 0x3f);
                self.fail(format!("Char 0x{code:X} out of allowed range"))
            }
            [a, b, c, d] => self.fail(format!(
                "Input is not proper UTF-8, indicate encoding !\nBytes: 0x{a:02X} 0x{b:02X} 0x{c:02X} 0x{d:02X}"
            )),
            _ => self.fail("Input is not proper UTF-8, indicate encoding !"),
        }
    }

    /// A name, colons included; empty where none starts.
    pub(super) fn name(&mut self) -> Step<&'a str> {
        let start = self.at;
        match self.char()? {
            Some(c) if is_name_start(c) || c == ':' => self.at += c.len_utf8(),
            _ => return Ok(""),
        }
        while let Some(c) = self.char()? {
            if !is_name(c) {
                break;
            }
            self.at += c.len_utf8();
        }
        Ok(self.slice(start, self.at))
    }

    /// Text up to a mark, which is passed over; `None` if the mark never comes.
    pub(super) fn until(
        &mut self,
        mark: &str,
        invalid: fn(char) -> Cow<'static, str>,
    ) -> Step<Option<&'a str>> {
        let start = self.at;
        while !self.at_end() {
            if self.sees(mark) {
                let text = self.slice(start, self.at);
                self.at += mark.len();
                return Ok(Some(text));
            }
            match self.char()? {
                Some(c) if is_char(c) => self.at += c.len_utf8(),
                Some(c) => return self.fail(invalid(c)),
                None => break,
            }
        }
        Ok(None)
    }
}
