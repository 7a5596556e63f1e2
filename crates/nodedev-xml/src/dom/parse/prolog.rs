//! The XML declaration, comments and processing instructions.

use super::{Parser, Step};
use crate::dom::tree::NodeKind;

impl<'a> Parser<'a> {
    /// `<?xml version=… encoding=… standalone=…?>`
    pub(super) fn declaration(&mut self) -> Step {
        self.at += "<?xml".len();
        self.eat_blanks();
        if !self.eat("version") {
            return self.fail("Malformed declaration expecting version");
        }
        let version = self.quoted(Self::version_number)?;
        if version.is_empty() {
            return self.fail("Malformed declaration expecting version");
        }
        if !version.starts_with("1.") {
            return self.fail(format!("Unsupported version '{version}'"));
        }
        if self.eat("?>") {
            return Ok(());
        }
        if !self.eat_blanks() {
            return self.fail("Blank needed here");
        }
        if self.eat("encoding") {
            let name = self.quoted(Self::encoding_name)?;
            if !ENCODINGS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return self.fail(format!("Unsupported encoding {name}"));
            }
            if self.eat("?>") {
                return Ok(());
            }
            if !self.eat_blanks() {
                return self.fail("Blank needed here");
            }
        }
        if self.eat("standalone") {
            self.quoted(Self::yes_or_no)?;
            self.eat_blanks();
        }
        if self.eat("?>") { Ok(()) } else { self.fail("parsing XML declaration: '?>' expected") }
    }

    /// `= "value"` of the declaration.
    pub(super) fn quoted(&mut self, value: fn(&mut Self) -> Step) -> Step<&'a str> {
        self.eat_blanks();
        if !self.eat("=") {
            return self.fail("expected '='");
        }
        self.eat_blanks();
        let quote = self.peek();
        if !matches!(quote, b'"' | b'\'') {
            return self.fail("String not started expecting ' or \"");
        }
        self.at += 1;
        let start = self.at;
        value(self)?;
        let value = self.slice(start, self.at);
        if self.peek() != quote {
            return self.fail("String not closed expecting \" or '");
        }
        self.at += 1;
        Ok(value)
    }

    pub(super) fn eat_while(&mut self, allowed: fn(u8) -> bool) {
        while allowed(self.peek()) {
            self.at += 1;
        }
    }

    pub(super) fn version_number(&mut self) -> Step {
        if self.peek().is_ascii_digit() {
            self.at += 1;
            if self.eat(".") {
                self.eat_while(|b| b.is_ascii_digit());
            }
        }
        Ok(())
    }

    pub(super) fn encoding_name(&mut self) -> Step {
        if !self.peek().is_ascii_alphabetic() {
            return self.fail("Invalid XML encoding name");
        }
        self.eat_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        Ok(())
    }

    pub(super) fn yes_or_no(&mut self) -> Step {
        if self.eat("yes") || self.eat("no") {
            return Ok(());
        }
        self.fail("standalone accepts only 'yes' or 'no'")
    }

    /// Comments, processing instructions and blanks outside of the root element.
    pub(super) fn misc(&mut self) -> Step {
        loop {
            self.eat_blanks();
            if self.sees("<?") {
                self.instruction()?;
            } else if self.sees("<!--") {
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn comment(&mut self) -> Step {
        let offset = self.at;
        self.at += "<!--".len();
        let start = self.at;
        let invalid = |c| format!("xmlParseComment: invalid xmlChar value {}", u32::from(c)).into();
        let Some(text) = self.until("--", invalid)? else {
            return match self.read_ahead(start) {
                Some(text) if !self.slice(start, self.at).is_ascii() => {
                    self.fail(format!("Comment not terminated \n<!--{text}"))
                }
                _ => self.fail("Comment not terminated"),
            };
        };
        if self.peek() == b'>' {
            self.at += 1;
            self.append(NodeKind::Comment(text), offset);
            return Ok(());
        }
        let hyphens = self.at - 2;
        let what = match text {
            "" => "Double hyphen within comment".to_owned(),
            text => {
                format!("Double hyphen within comment: <!--{}", text.chars().take(50).collect::<String>())
            }
        };
        self.mistake(what, hyphens, hyphens)?;
        if self.until("-->", invalid)?.is_none() {
            return self.fail("Comment not terminated");
        }
        let text = self.slice(start, self.at - 3);
        self.append(NodeKind::Comment(text), offset);
        Ok(())
    }

    pub(super) fn instruction(&mut self) -> Step {
        let offset = self.at;
        self.at += 2;
        let target = self.name()?;
        if target.is_empty() {
            return self.fail("xmlParsePI : no target name");
        }
        if target == "xml" {
            return self.fail("XML declaration allowed only at the start of the document");
        }
        if target.eq_ignore_ascii_case("xml") {
            return self.fail("Invalid PI name");
        }
        let data = if self.eat("?>") {
            ""
        } else if self.eat_blanks() {
            match self.until("?>", |_| "ParsePI: invalid character".into())? {
                Some(data) => data,
                None => return self.fail(format!("ParsePI: PI {target} never end ...")),
            }
        } else {
            return self.fail(format!("ParsePI: PI {target} space expected"));
        };
        self.append(NodeKind::Instruction { target, data }, offset);
        Ok(())
    }
}

/// Encodings that a document may say it is in; it is read as UTF-8 whichever it says.
const ENCODINGS: [&str; 7] = ["UTF-8", "UTF8", "US-ASCII", "ASCII", "ISO-8859-1", "UTF-16", "UTF16"];
