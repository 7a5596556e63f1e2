mod prolog;
mod scan;
mod tag;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;

use super::syntax::{Place, describe, is_blank};
use super::tree::{Document, NodeData, NodeId, NodeKind};
use super::{MAX_MISTAKES, MAX_TEXT};
use crate::{ErrorCode, ErrorDomain, XmlError};
use tag::local;

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
                domain: ErrorDomain::NODEDEV,
                code: ErrorCode::XML_DETAIL,
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
}
