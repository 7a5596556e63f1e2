//! Text between tags: characters, references and CDATA sections.

use std::borrow::Cow;

use super::{Parser, Step};
use crate::dom::syntax::is_char;
use crate::dom::tree::NodeKind;

impl<'a> Parser<'a> {
    pub(super) fn character_data(&mut self) -> Step {
        let offset = self.at;
        let mut text = Cow::Borrowed("");
        let mut start = self.at;
        while !self.at_end() {
            match self.peek() {
                b'<' => break,
                b'&' => {
                    push(&mut text, self.slice(start, self.at));
                    if let Some(c) = self.reference()? {
                        text.to_mut().push(c);
                    }
                    start = self.at;
                }
                b'\r' => {
                    push(&mut text, self.slice(start, self.at));
                    self.at += if self.sees("\r\n") { 2 } else { 1 };
                    text.to_mut().push('\n');
                    start = self.at;
                }
                b']' if self.sees("]]>") => {
                    // libxml2 points at the start of the text, as it has not yet moved on.
                    let run = &self.bytes[start..self.at];
                    let moved = run.contains(&b'\n') || !run.is_ascii();
                    let cursor = if moved { self.at } else { start };
                    self.mistake("Sequence ']]>' not allowed in content", self.at, cursor)?;
                    self.at += 3;
                }
                b'\t' | b'\n' | b' '..0x80 => self.at += 1,
                b @ ..b' ' => return self.fail(format!("PCDATA invalid Char value {b}")),
                _ => self.at += self.char()?.map_or(0, char::len_utf8),
            }
        }
        push(&mut text, self.slice(start, self.at));
        self.append(NodeKind::Text(text), offset);
        Ok(())
    }

    /// A character or entity reference. `None`: there is none, or it is a mistake that has been recorded.
    pub(super) fn reference(&mut self) -> Step<Option<char>> {
        if self.byte(1) == b'#' {
            return self.character_reference();
        }
        let start = self.at;
        self.at += 1;
        let name = self.name()?;
        if name.is_empty() {
            self.mistake("xmlParseEntityRef: no name", start, self.at)?;
            return Ok(None);
        }
        if self.peek() != b';' {
            self.mistake("EntityRef: expecting ';'", start, self.at)?;
            return Ok(None);
        }
        self.at += 1;
        let c = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                self.mistake(format!("Entity '{name}' not defined"), start, self.at)?;
                return Ok(None);
            }
        };
        Ok(Some(c))
    }

    pub(super) fn character_reference(&mut self) -> Step<Option<char>> {
        let start = self.at;
        let (base, skip, bad) = if self.byte(2) == b'x' {
            (16, 3, "CharRef: invalid hexadecimal value")
        } else {
            (10, 2, "CharRef: invalid decimal value")
        };
        self.at += skip;
        let mut value: u32 = 0;
        let mut good = true;
        while good && self.peek() != b';' {
            match char::from(self.peek()).to_digit(base) {
                Some(digit) => {
                    value = (value * base + digit).min(0x11_0000);
                    self.at += 1;
                }
                None => {
                    self.mistake(bad, start, self.at)?;
                    good = false;
                }
            }
        }
        if !good {
            return Ok(None);
        }
        self.at += 1;
        match char::from_u32(value).filter(|c| is_char(*c)) {
            Some(c) => return Ok(Some(c)),
            None if value >= 0x11_0000 => {
                self.mistake("xmlParseCharRef: character reference out of bounds", start, self.at)?;
            }
            None => {
                self.mistake(format!("xmlParseCharRef: invalid xmlChar value {value}"), start, self.at)?
            }
        }
        Ok(None)
    }

    /// What libxml2 has in its buffer when a section ends too early: all but the last two characters, at most 50
    /// bytes. `None` if there were no two characters.
    pub(super) fn read_ahead(&self, start: usize) -> Option<&'a str> {
        let text = self.slice(start, self.at);
        let (end, _) = text.char_indices().nth_back(1)?;
        let text = &text[..end];
        Some(text.get(..50).unwrap_or(text))
    }

    pub(super) fn cdata(&mut self) -> Step {
        let offset = self.at;
        self.at += "<![CDATA[".len();
        let start = self.at;
        let Some(text) = self.until("]]>", |_| "CData section not finished".into())? else {
            return match self.read_ahead(start) {
                Some(text) => self.fail(format!("CData section not finished\n{text}")),
                None => self.fail("Unregistered error message"),
            };
        };
        let text = if text.contains('\r') {
            Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(text)
        };
        self.append(NodeKind::Cdata(text), offset);
        Ok(())
    }
}

/// Adds to a text, which stays borrowed as long as it is one piece.
pub(super) fn push<'a>(text: &mut Cow<'a, str>, part: &'a str) {
    if part.is_empty() {
    } else if text.is_empty() {
        *text = Cow::Borrowed(part);
    } else {
        text.to_mut().push_str(part);
    }
}
