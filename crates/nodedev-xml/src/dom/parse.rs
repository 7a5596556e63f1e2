use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::syntax::{Place, describe, is_blank, is_char, is_name, is_name_start};
use super::tree::{Attribute, Document, NodeData, NodeId, NodeKind, split_name};
use super::{MAX_DEPTH, MAX_MISTAKES, MAX_TEXT};
use crate::{ErrorCode, ErrorDomain, XmlError};

/// What came of a text.
pub(crate) struct Parsed<'a> {
    /// The tree; absent if a mistake made it impossible to go on.
    pub(crate) document: Option<Document<'a>>,
    /// The mistakes, in the order of their places.
    pub(crate) errors: Vec<XmlError>,
}

/// Reads a text.
///
/// With `collect` the parser goes on after a mistake where it can tell what was meant; otherwise it stops at the first.
pub(crate) fn parse(text: &[u8], collect: bool) -> Parsed<'_> {
    let mut parser = Parser::new(text, collect);
    let complete = parser.document().is_ok();
    let errors = parser.take_errors();
    Parsed { document: complete.then_some(parser.tree), errors }
}

/// The mistake just recorded ends the parse.
struct Stop;

type Step<T = ()> = Result<T, Stop>;

/// A mistake in the markup.
struct Mistake {
    what: Cow<'static, str>,
    /// Where it is.
    offset: usize,
    /// Where libxml2 stands when it notices.
    cursor: usize,
}

/// An element whose end tag has not come yet.
struct Open<'a> {
    node: NodeId,
    name: &'a str,
    line: u32,
    /// Prefixes declared by it, to be forgotten at its end.
    declared: Vec<&'a str>,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    collect: bool,
    tree: Document<'a>,
    open: Vec<Open<'a>>,
    /// Namespaces in force, innermost last, by prefix (the empty one is the default).
    scope: HashMap<&'a str, Vec<Option<u32>>>,
    /// Line of the last start tag.
    place: Place,
    mistakes: Vec<Mistake>,
}

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8], collect: bool) -> Self {
        let mut parser = Self {
            bytes,
            at: 0,
            collect,
            tree: Document { nodes: Vec::new(), attributes: Vec::new(), namespaces: Vec::new() },
            open: Vec::new(),
            scope: HashMap::new(),
            place: Place::START,
            mistakes: Vec::new(),
        };
        parser.tree.nodes.push(NodeData {
            kind: NodeKind::Root,
            parent: NodeId(0),
            next: None,
            first_child: None,
            last_child: None,
            attributes: 0..0,
            namespace: None,
            offset: 0,
        });
        parser
    }

    fn take_errors(&mut self) -> Vec<XmlError> {
        let mut mistakes = std::mem::take(&mut self.mistakes);
        mistakes.sort_by_key(|m| m.offset);
        let (mut place, mut cursor) = (Place::START, Place::START);
        let mut errors = Vec::with_capacity(mistakes.len());
        for Mistake { what, offset, cursor: stood } in mistakes {
            place.advance(self.bytes, offset);
            // Only the first carries a line of the document, or a long line with many mistakes would be copied often.
            let detail = if errors.is_empty() {
                cursor.advance(self.bytes, stood);
                describe(self.bytes, cursor.line, &what, stood)
            } else {
                format!("at line {}: {what}", place.line)
            };
            errors.push(XmlError {
                domain: ErrorDomain::NodeDevice,
                code: ErrorCode::NotWellFormed,
                detail,
                line: place.line,
                column: place.column,
            });
        }
        errors
    }

    /// Records a mistake after which the parse can go on, if mistakes are being collected.
    fn mistake(&mut self, what: impl Into<Cow<'static, str>>, offset: usize, cursor: usize) -> Step {
        self.mistakes.push(Mistake { what: what.into(), offset, cursor });
        if self.collect && self.mistakes.len() < MAX_MISTAKES { Ok(()) } else { Err(Stop) }
    }

    /// Records a mistake that ends the parse, at the current place.
    fn fail<T>(&mut self, what: impl Into<Cow<'static, str>>) -> Step<T> {
        self.fail_at(what, self.at, self.at)
    }

    fn fail_at<T>(&mut self, what: impl Into<Cow<'static, str>>, offset: usize, cursor: usize) -> Step<T> {
        self.mistakes.push(Mistake { what: what.into(), offset, cursor });
        Err(Stop)
    }

    // ---- the text as bytes and characters

    fn peek(&self) -> u8 {
        self.byte(0)
    }

    /// A byte ahead; 0 at the end.
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn sees(&self, text: &str) -> bool {
        self.rest().starts_with(text.as_bytes())
    }

    fn eat(&mut self, text: &str) -> bool {
        let seen = self.sees(text);
        if seen {
            self.at += text.len();
        }
        seen
    }

    fn eat_blanks(&mut self) -> bool {
        let start = self.at;
        while is_blank(self.peek()) {
            self.at += 1;
        }
        self.at > start
    }

    /// The text between two offsets; the caller has checked each character in it.
    fn slice(&self, start: usize, end: usize) -> &'a str {
        std::str::from_utf8(&self.bytes[start..end]).unwrap_or_default()
    }

    /// The character at the current place: `None` at the end of the text.
    fn char(&mut self) -> Step<Option<char>> {
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
    fn name(&mut self) -> Step<&'a str> {
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

    // ---- the document

    fn document(&mut self) -> Step {
        if self.bytes.len() > MAX_TEXT {
            return self.fail(format!("the document is longer than {MAX_TEXT} bytes"));
        }
        self.eat("\u{feff}");
        if let [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [b'<', 0, ..] = self.rest() {
            return self.fail("the document is not in UTF-8");
        }
        if self.at_end() {
            return self.fail("Document is empty");
        }
        if self.sees("<?xml") && is_blank(self.byte(5)) {
            self.declaration()?;
        }
        self.misc()?;
        if self.sees("<!DOCTYPE") {
            return self.fail("a document type declaration is not allowed");
        }
        if self.peek() != b'<' {
            return self.fail("Start tag expected, '<' not found");
        }
        self.start_tag()?;
        self.content()?;
        self.misc()?;
        if self.at_end() { Ok(()) } else { self.fail("Extra content at the end of the document") }
    }

    /// `<?xml version=… encoding=… standalone=…?>`
    fn declaration(&mut self) -> Step {
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
    fn quoted(&mut self, value: fn(&mut Self) -> Step) -> Step<&'a str> {
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

    fn eat_while(&mut self, allowed: fn(u8) -> bool) {
        while allowed(self.peek()) {
            self.at += 1;
        }
    }

    fn version_number(&mut self) -> Step {
        if self.peek().is_ascii_digit() {
            self.at += 1;
            if self.eat(".") {
                self.eat_while(|b| b.is_ascii_digit());
            }
        }
        Ok(())
    }

    fn encoding_name(&mut self) -> Step {
        if !self.peek().is_ascii_alphabetic() {
            return self.fail("Invalid XML encoding name");
        }
        self.eat_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        Ok(())
    }

    fn yes_or_no(&mut self) -> Step {
        if self.eat("yes") || self.eat("no") {
            return Ok(());
        }
        self.fail("standalone accepts only 'yes' or 'no'")
    }

    /// Comments, processing instructions and blanks outside of the root element.
    fn misc(&mut self) -> Step {
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

    /// Everything up to the root element's end.
    fn content(&mut self) -> Step {
        while !self.open.is_empty() {
            match (self.peek(), self.byte(1)) {
                _ if self.at_end() => {
                    let Some(open) = self.open.last() else { break };
                    let what =
                        format!("Premature end of data in tag {} line {}", local(open.name), open.line);
                    return self.fail(what);
                }
                (b'<', b'/') => self.end_tag()?,
                (b'<', b'?') => self.instruction()?,
                (b'<', b'!') if self.sees("<![CDATA[") => self.cdata()?,
                (b'<', b'!') if self.sees("<!--") => self.comment()?,
                (b'<', _) => self.start_tag()?,
                _ => self.character_data()?,
            }
        }
        Ok(())
    }

    fn append(&mut self, kind: NodeKind<'a>, offset: usize) -> NodeId {
        let id = NodeId(u32::try_from(self.tree.nodes.len()).unwrap_or(u32::MAX));
        let parent = self.open.last().map_or(NodeId(0), |open| open.node);
        self.tree.nodes.push(NodeData {
            kind,
            parent,
            next: None,
            first_child: None,
            last_child: None,
            attributes: 0..0,
            namespace: None,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
        });
        let previous = self.tree.nodes[parent.0 as usize].last_child.replace(id);
        match previous {
            Some(previous) => self.tree.nodes[previous.0 as usize].next = Some(id),
            None => self.tree.nodes[parent.0 as usize].first_child = Some(id),
        }
        id
    }

    // ---- elements

    fn start_tag(&mut self) -> Step {
        let start = self.at;
        if self.open.len() > MAX_DEPTH {
            return self.fail(format!("Excessive depth in document: {MAX_DEPTH} use XML_PARSE_HUGE option"));
        }
        self.at += 1;
        let name = self.name()?;
        if name.is_empty() {
            return self.fail("StartTag: invalid element name");
        }
        self.place.advance(self.bytes, start);
        let line = self.place.line;
        let node = self.append(NodeKind::Element { name }, start);
        let first = self.tree.attributes.len();
        self.attributes()?;
        let end = self.at;
        self.check_duplicates(first, end)?;
        let declared = self.declare_namespaces(first);
        self.resolve(node, name, first);
        let range = first as u32..self.tree.attributes.len() as u32;
        self.tree.nodes[node.0 as usize].attributes = range;
        if self.eat("/>") {
            self.forget(&declared);
        } else if self.eat(">") {
            self.open.push(Open { node, name, line, declared });
        } else {
            return self.fail(format!("Couldn't find end of Start Tag {} line {line}", local(name)));
        }
        Ok(())
    }

    fn attributes(&mut self) -> Step {
        self.eat_blanks();
        loop {
            match self.peek() {
                b'>' => return Ok(()),
                b'/' if self.byte(1) == b'>' => return Ok(()),
                b if b < b' ' && !is_blank(b) => return Ok(()),
                _ => {}
            }
            let name = self.name()?;
            if name.is_empty() {
                return self.fail("error parsing attribute name");
            }
            let after_name = self.at;
            self.eat_blanks();
            if self.peek() != b'=' {
                let what = format!("Specification mandates value for attribute {}", local(name));
                return self.fail_at(what, after_name, self.at);
            }
            self.at += 1;
            self.eat_blanks();
            let value = self.attribute_value()?;
            self.tree.attributes.push(Attribute { name, value, namespace: None });
            let done = self.peek() == b'>' || self.sees("/>");
            if !done && !self.eat_blanks() {
                return self.fail("attributes construct error");
            }
        }
    }

    fn attribute_value(&mut self) -> Step<Cow<'a, str>> {
        let quote = self.peek();
        if !matches!(quote, b'"' | b'\'') {
            return self.fail("AttValue: \" or ' expected");
        }
        self.at += 1;
        let mut value = Cow::Borrowed("");
        let mut start = self.at;
        loop {
            let b = self.peek();
            match b {
                _ if b == quote || self.at_end() || matches!(b, b'<' | b'&') => {
                    push(&mut value, self.slice(start, self.at));
                }
                b'\t' | b'\n' | b'\r' => {
                    push(&mut value, self.slice(start, self.at));
                    self.at += if self.sees("\r\n") { 2 } else { 1 };
                    value.to_mut().push(' ');
                    start = self.at;
                    continue;
                }
                ..b' ' => return self.fail("invalid character in attribute value"),
                b' '..0x80 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.at += self.char()?.map_or(0, char::len_utf8);
                    continue;
                }
            }
            if self.at_end() {
                return self.fail("AttValue: ' expected");
            }
            match b {
                b'<' => {
                    self.mistake("Unescaped '<' not allowed in attributes values", self.at, self.at)?;
                    start = self.at;
                    self.at += 1;
                }
                b'&' => {
                    if let Some(c) = self.reference()? {
                        value.to_mut().push(c);
                    }
                    start = self.at;
                }
                _ => {
                    self.at += 1;
                    return Ok(value);
                }
            }
        }
    }

    /// Reports attributes of one element that have the same name; they are those from `first` on.
    fn check_duplicates(&mut self, first: usize, cursor: usize) -> Step {
        let count = self.tree.attributes.len() - first;
        if count < 2 {
            return Ok(());
        }
        let mut seen = HashSet::with_capacity(count);
        let mut again: Vec<&'a str> = Vec::new();
        for attribute in &self.tree.attributes[first..] {
            if !seen.insert(attribute.name) {
                again.push(attribute.name);
            }
        }
        for name in again {
            self.mistake(format!("Attribute {name} redefined"), cursor, cursor)?;
        }
        Ok(())
    }

    fn declare_namespaces(&mut self, first: usize) -> Vec<&'a str> {
        let mut declared = Vec::new();
        for attribute in &self.tree.attributes[first..] {
            let prefix = match split_name(attribute.name) {
                (None, "xmlns") => "",
                (Some("xmlns"), prefix) if prefix != "xml" && !attribute.value.is_empty() => prefix,
                _ => continue,
            };
            let namespace = (!attribute.value.is_empty()).then(|| {
                self.tree.namespaces.push(attribute.value.clone());
                (self.tree.namespaces.len() - 1) as u32
            });
            self.scope.entry(prefix).or_default().push(namespace);
            declared.push(prefix);
        }
        declared
    }

    fn forget(&mut self, declared: &[&'a str]) {
        for prefix in declared {
            if let Some(stack) = self.scope.get_mut(prefix) {
                stack.pop();
            }
        }
    }

    fn lookup(&mut self, prefix: &'a str) -> Option<u32> {
        if prefix == "xml" && !self.scope.contains_key("xml") {
            self.tree.namespaces.push(Cow::Borrowed("http://www.w3.org/XML/1998/namespace"));
            self.scope.insert("xml", vec![Some((self.tree.namespaces.len() - 1) as u32)]);
        }
        self.scope.get(prefix).and_then(|stack| stack.last().copied().flatten())
    }

    /// Finds the namespaces of an element and of its attributes.
    fn resolve(&mut self, node: NodeId, name: &'a str, first: usize) {
        let namespace = self.lookup(split_name(name).0.unwrap_or(""));
        self.tree.nodes[node.0 as usize].namespace = namespace;
        for index in first..self.tree.attributes.len() {
            if let (Some(prefix), _) = split_name(self.tree.attributes[index].name) {
                self.tree.attributes[index].namespace = self.lookup(prefix);
            }
        }
    }

    fn end_tag(&mut self) -> Step {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        self.eat_blanks();
        if self.peek() != b'>' {
            return self.fail("expected '>'");
        }
        self.at += 1;
        let Some(open) = self.open.last() else { return Ok(()) };
        if open.name != name {
            let shown = match (split_name(open.name), split_name(name)) {
                _ if name.is_empty() => "unparsable",
                ((Some(_), _), (_, local)) => local,
                _ => name,
            };
            let what = format!(
                "Opening and ending tag mismatch: {} line {} and {shown}",
                local(open.name),
                open.line
            );
            self.mistake(what, start, self.at)?;
            // The end tag of an element further out ends those within it, too.
            if let Some(outer) = self.open.iter().rposition(|open| open.name == name) {
                while self.open.len() > outer + 1 {
                    self.close();
                }
            }
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.forget(&open.declared);
        }
    }

    // ---- what stands between tags

    fn character_data(&mut self) -> Step {
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
    fn reference(&mut self) -> Step<Option<char>> {
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

    fn character_reference(&mut self) -> Step<Option<char>> {
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

    /// Text up to a mark, which is passed over; `None` if the mark never comes.
    fn until(&mut self, mark: &str, invalid: fn(char) -> Cow<'static, str>) -> Step<Option<&'a str>> {
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

    /// What libxml2 has in its buffer when a section ends too early: all but the last two characters, at most 50
    /// bytes. `None` if there were no two characters.
    fn read_ahead(&self, start: usize) -> Option<&'a str> {
        let text = self.slice(start, self.at);
        let (end, _) = text.char_indices().nth_back(1)?;
        let text = &text[..end];
        Some(text.get(..50).unwrap_or(text))
    }

    fn cdata(&mut self) -> Step {
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

    fn comment(&mut self) -> Step {
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

    fn instruction(&mut self) -> Step {
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

fn push<'a>(text: &mut Cow<'a, str>, part: &'a str) {
    if part.is_empty() {
    } else if text.is_empty() {
        *text = Cow::Borrowed(part);
    } else {
        text.to_mut().push_str(part);
    }
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    split_name(name).1
}
