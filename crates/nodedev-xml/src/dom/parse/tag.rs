//! Start tags with their attributes and namespaces, and end tags.

use std::borrow::Cow;
use std::collections::HashSet;

use super::text::push;
use super::{Open, Parser, Step};
use crate::dom::MAX_DEPTH;
use crate::dom::syntax::is_blank;
use crate::dom::tree::{Attribute, NodeId, NodeKind, split_name};

impl<'a> Parser<'a> {
    pub(super) fn start_tag(&mut self) -> Step {
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

    pub(super) fn attributes(&mut self) -> Step {
        self.eat_blanks();
        loop {
            match self.peek() {
                b'>' => return Ok(()),
                b'/' if self.byte(1) == b'>' => return Ok(()),
                b if b < b' ' && !is_blank(b) => return Ok(()),
                _ => {}
            }
            let offset = self.at as u32;
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
            self.tree.attributes.push(Attribute { name, value, namespace: None, offset });
            let done = self.peek() == b'>' || self.sees("/>");
            if !done && !self.eat_blanks() {
                return self.fail("attributes construct error");
            }
        }
    }

    pub(super) fn attribute_value(&mut self) -> Step<Cow<'a, str>> {
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
    pub(super) fn check_duplicates(&mut self, first: usize, cursor: usize) -> Step {
        let count = self.tree.attributes.len() - first;
        if count < 2 {
            return Ok(());
        }
        let mut seen = HashSet::with_capacity(count);
        let mut again = Vec::new();
        for attribute in &self.tree.attributes[first..] {
            if !seen.insert(attribute.name) {
                again.push((attribute.name, attribute.offset as usize));
            }
        }
        for (name, offset) in again {
            self.mistake(format!("Attribute {name} redefined"), offset, cursor)?;
        }
        Ok(())
    }

    pub(super) fn declare_namespaces(&mut self, first: usize) -> Vec<&'a str> {
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

    pub(super) fn forget(&mut self, declared: &[&'a str]) {
        for prefix in declared {
            if let Some(stack) = self.scope.get_mut(prefix) {
                stack.pop();
            }
        }
    }

    pub(super) fn lookup(&mut self, prefix: &'a str) -> Option<u32> {
        if prefix == "xml" && !self.scope.contains_key("xml") {
            self.tree.namespaces.push(Cow::Borrowed("http://www.w3.org/XML/1998/namespace"));
            self.scope.insert("xml", vec![Some((self.tree.namespaces.len() - 1) as u32)]);
        }
        self.scope.get(prefix).and_then(|stack| stack.last().copied().flatten())
    }

    /// Finds the namespaces of an element and of its attributes.
    pub(super) fn resolve(&mut self, node: NodeId, name: &'a str, first: usize) {
        let namespace = self.lookup(split_name(name).0.unwrap_or(""));
        self.tree.nodes[node.0 as usize].namespace = namespace;
        for index in first..self.tree.attributes.len() {
            if let (Some(prefix), _) = split_name(self.tree.attributes[index].name) {
                self.tree.attributes[index].namespace = self.lookup(prefix);
            }
        }
    }

    pub(super) fn end_tag(&mut self) -> Step {
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

    pub(super) fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.forget(&open.declared);
        }
    }
}

/// A name without its prefix.
pub(super) fn local(name: &str) -> &str {
    split_name(name).1
}
