//! Parts of a device document by XPath 1.0, printed as virsh prints them.

use std::cell::RefCell;
use std::cmp::Ordering;

use xpath_eval::{EvaluationContext, ExpandedName, Node, NodeKind as XPathKind, Value, evaluate};

use crate::XmlError;
use crate::dom::{Attribute, Document, NodeId, NodeKind, new_line, write_attribute};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 1024;

/// Deepest nesting of parentheses and brackets in an expression.
const MAX_NESTING: usize = 32;

/// An expression that cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XPathError {
    /// The document is not well-formed.
    #[error("the document cannot be read")]
    Document(#[source] XmlError),
    /// The expression is longer than [`MAX_EXPRESSION`] or its parentheses are nested too deeply.
    #[error("the XPath expression is too long or too deeply nested")]
    TooComplex,
    /// The text is no XPath expression.
    #[error("'{expression}' is not an XPath expression: {problem} at character {position}")]
    Syntax {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        problem: String,
        /// Where, in characters from 1.
        position: usize,
    },
    /// A name has a prefix that the document does not declare.
    #[error("the namespace prefix '{0}' is not defined")]
    UnknownPrefix(String),
    /// A function or variable that there is none of, or a function with wrong arguments.
    #[error("the XPath expression '{expression}' cannot be evaluated: {problem}")]
    Evaluate {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The answer is a number, a text or a truth value.
    #[error("Incorrect xpath '{0}'")]
    NotNodes(String),
}

/// The nodes that an expression selects, each followed by a line break; nothing if it selects none.
///
/// The expression starts from the outermost element. Attributes are printed as ` name="value"`. With `wrap` there is
/// one document whose root `<nodes>` holds the nodes; attributes become attributes of it.
///
/// # Errors
/// [`XPathError`] if the document or the expression is faulty, or the answer is not a set of nodes.
pub fn select(text: &[u8], expression: &str, wrap: bool) -> Result<Vec<u8>, XPathError> {
    let document = Document::parse(text).map_err(XPathError::Document)?;
    let nodes = evaluate_on(&document, expression)?;
    Ok(if wrap { wrapped(&document, &nodes) } else { listed(&document, &nodes) })
}

fn evaluate_on<'d>(document: &'d Document<'d>, expression: &str) -> Result<Vec<Item<'d>>, XPathError> {
    let nested = expression.bytes().fold((0_usize, 0), |(now, most), byte| match byte {
        b'(' | b'[' => (now + 1, most.max(now + 1)),
        b')' | b']' => (now.saturating_sub(1), most),
        _ => (now, most),
    });
    if expression.len() > MAX_EXPRESSION || nested.1 > MAX_NESTING {
        return Err(XPathError::TooComplex);
    }
    let parsed = xpath_eval::parse(expression).map_err(|error| XPathError::Syntax {
        expression: expression.to_owned(),
        position: expression.get(..error.position).map_or(0, |before| before.chars().count()) + 1,
        problem: error.message,
    })?;
    let unknown_prefix = RefCell::new(None);
    let prefixes = |prefix: &str| {
        if prefix == "xml" {
            return Some("http://www.w3.org/XML/1998/namespace".to_owned());
        }
        unknown_prefix.borrow_mut().get_or_insert_with(|| prefix.to_owned());
        None
    };
    let mut context = EvaluationContext::new(Item { document, id: document.root_element(), attribute: None });
    context.namespaces = Some(&prefixes);
    let value = evaluate(&parsed, &context);
    if let Some(prefix) = unknown_prefix.take() {
        return Err(XPathError::UnknownPrefix(prefix));
    }
    match value {
        Ok(Value::NodeSet(mut nodes)) => {
            nodes.sort_by(|a, b| a.document_order(*b));
            Ok(nodes)
        }
        Ok(_) => Err(XPathError::NotNodes(expression.to_owned())),
        Err(error) => {
            Err(XPathError::Evaluate { expression: expression.to_owned(), problem: error.to_string() })
        }
    }
}

fn listed(document: &Document<'_>, nodes: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes {
        write_item(document, &mut out, *node, Some(0));
        out.push(b'\n');
    }
    out
}

fn write_item(document: &Document<'_>, out: &mut Vec<u8>, item: Item<'_>, level: Option<usize>) {
    match (item.attribute(), document.kind(item.id)) {
        (Some(attribute), _) => write_attribute(out, attribute.name, &attribute.value),
        (None, NodeKind::Root) => {
            out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
            for child in document.children(item.id) {
                document.write_node(out, child, Some(0));
                out.push(b'\n');
            }
        }
        (None, _) => document.write_node(out, item.id, level),
    }
}

fn wrapped(document: &Document<'_>, nodes: &[Item<'_>]) -> Vec<u8> {
    let (attributes, others): (Vec<Item<'_>>, Vec<Item<'_>>) =
        nodes.iter().partition(|item| item.attribute.is_some());
    let mut out = b"<nodes".to_vec();
    // An element has one attribute of a name: the last of them.
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<_> =
        attributes.iter().rev().filter_map(|item| item.attribute()).filter(|a| seen.insert(a.name)).collect();
    kept.reverse();
    for attribute in kept {
        write_attribute(&mut out, attribute.name, &attribute.value);
    }
    if others.is_empty() {
        out.extend_from_slice(b"/>\n");
        return out;
    }
    out.push(b'>');
    let is_text = |item: &Item<'_>| matches!(item.kind(), XPathKind::Text);
    let on_lines = !others.iter().any(is_text);
    for item in others {
        let is_document = matches!(item.kind(), XPathKind::Root);
        new_line(&mut out, on_lines, usize::from(!is_document));
        write_item(document, &mut out, item, on_lines.then_some(1));
    }
    new_line(&mut out, on_lines, 0);
    out.extend_from_slice(b"</nodes>\n");
    out
}

/// A node or an attribute of a document, as XPath sees it: without the white space between elements, and without
/// namespace nodes.
#[derive(Clone, Copy)]
struct Item<'d> {
    document: &'d Document<'d>,
    /// The node, or the element that the attribute belongs to.
    id: NodeId,
    /// Position of the attribute among those of the element.
    attribute: Option<usize>,
}

impl<'d> Item<'d> {
    fn attribute(self) -> Option<&'d Attribute<'d>> {
        self.document.attributes(self.id).get(self.attribute?)
    }

    fn node(self, id: NodeId) -> Self {
        Self { id, attribute: None, ..self }
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.attribute) == (other.id, other.attribute)
    }
}

impl Eq for Item<'_> {}

impl<'d> Node<'d> for Item<'d> {
    fn kind(self) -> XPathKind {
        if self.attribute.is_some() {
            return XPathKind::Attribute;
        }
        match self.document.kind(self.id) {
            NodeKind::Root => XPathKind::Root,
            NodeKind::Element { .. } => XPathKind::Element,
            NodeKind::Text(_) | NodeKind::Cdata(_) => XPathKind::Text,
            NodeKind::Comment(_) => XPathKind::Comment,
            NodeKind::Instruction { .. } => XPathKind::ProcessingInstruction,
        }
    }

    fn parent(self) -> Option<Self> {
        match (self.attribute, self.document.root() == self.id) {
            (Some(_), _) => Some(self.node(self.id)),
            (None, true) => None,
            (None, false) => Some(self.node(self.document.parent(self.id))),
        }
    }

    fn children(self) -> impl Iterator<Item = Self> + 'd {
        let none = self.attribute.is_some();
        let children = self.document.children(self.id).filter(move |_| !none);
        children.filter(move |child| !self.document.is_layout(*child)).map(move |child| self.node(child))
    }

    fn attributes(self) -> impl Iterator<Item = Self> + 'd {
        let of_node = if self.attribute.is_none() { self.document.attributes(self.id) } else { &[] };
        let numbered = of_node.iter().enumerate().filter(|(_, attribute)| !attribute.is_declaration());
        numbered.map(move |(position, _)| Self { attribute: Some(position), ..self })
    }

    fn namespaces(self) -> impl Iterator<Item = Self> + 'd {
        std::iter::empty()
    }

    fn expanded_name(self) -> Option<ExpandedName> {
        if let Some(attribute) = self.attribute() {
            return Some(ExpandedName {
                namespace_uri: self.document.attribute_namespace(attribute).map(str::to_owned),
                local_name: attribute.local_name().to_owned(),
            });
        }
        match self.document.kind(self.id) {
            NodeKind::Element { .. } => Some(ExpandedName {
                namespace_uri: self.document.namespace(self.id).map(str::to_owned),
                local_name: self.document.local_name(self.id).to_owned(),
            }),
            NodeKind::Instruction { target, .. } => {
                Some(ExpandedName { namespace_uri: None, local_name: (*target).to_owned() })
            }
            _ => None,
        }
    }

    fn string_value(self) -> String {
        if let Some(attribute) = self.attribute() {
            return attribute.value.to_string();
        }
        match self.document.kind(self.id) {
            NodeKind::Comment(text) | NodeKind::Instruction { data: text, .. } => (*text).to_owned(),
            NodeKind::Text(text) | NodeKind::Cdata(text) => text.to_string(),
            NodeKind::Root | NodeKind::Element { .. } => self.document.shown_text(self.id),
        }
    }

    fn document_order(self, other: Self) -> Ordering {
        (self.id, self.attribute).cmp(&(other.id, other.attribute))
    }
}

#[cfg(test)]
mod tests {
    use super::{XPathError, select};

    const DOCUMENT: &[u8] = b"<device>\n  <name>a&amp;b</name>\n  <capability type='x'>\n    <n a='1' b='2'/>\n    <n a='3'/>\n  \
        </capability>\n  <empty>\n  </empty>\n</device>\n";

    fn print(expression: &str, wrap: bool) -> String {
        String::from_utf8(select(DOCUMENT, expression, wrap).unwrap()).unwrap()
    }

    // Expectations: virsh 11.3 on documents of the test driver, and xmllint for what those do not hold.
    #[test]
    fn nodes_are_printed_as_libxml2_lays_them_out() {
        for (expression, want) in [
            ("//nothing", ""),
            ("name", "<name>a&amp;b</name>\n"),
            ("/device/name/text()", "a&amp;b\n"),
            ("//n/@a", " a=\"1\"\n a=\"3\"\n"),
            (
                "capability",
                "<capability type=\"x\">\n  <n a=\"1\" b=\"2\"/>\n  <n a=\"3\"/>\n</capability>\n",
            ),
            ("//empty", "<empty>\n  </empty>\n"),
            ("//n[2] | //name", "<name>a&amp;b</name>\n<n a=\"3\"/>\n"),
        ] {
            assert_eq!(print(expression, false), want, "{expression}");
        }
    }

    #[test]
    fn wrapped_nodes_are_one_document() {
        for (expression, want) in [
            ("//nothing", "<nodes/>\n"),
            ("//n", "<nodes>\n  <n a=\"1\" b=\"2\"/>\n  <n a=\"3\"/>\n</nodes>\n"),
            ("//n/@*", "<nodes b=\"2\" a=\"3\"/>\n"),
            ("//name/text()", "<nodes>a&amp;b</nodes>\n"),
            ("//name/text() | capability/n", "<nodes>a&amp;b<n a=\"1\" b=\"2\"/><n a=\"3\"/></nodes>\n"),
            (
                "capability",
                "<nodes>\n  <capability type=\"x\">\n    <n a=\"1\" b=\"2\"/>\n    <n a=\"3\"/>\n  </capability>\n</nodes>\n",
            ),
        ] {
            assert_eq!(print(expression, true), want, "{expression}");
        }
    }

    #[test]
    fn the_document_itself_is_printed_with_its_declaration() {
        let text = print("/", false);
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<device>\n  <name>"), "{text}");
        assert!(text.ends_with("</device>\n\n"), "{text}");
    }

    #[test]
    fn faulty_expressions_are_refused() {
        let error = |expression: &str| select(DOCUMENT, expression, false).unwrap_err();
        assert!(matches!(error("//*["), XPathError::Syntax { .. }));
        assert!(matches!(error("//p:n"), XPathError::UnknownPrefix(prefix) if prefix == "p"));
        assert!(matches!(error("nofunction()"), XPathError::Evaluate { .. }));
        assert!(matches!(error("$variable"), XPathError::Evaluate { .. }));
        assert_eq!(error("count(//n)").to_string(), "Incorrect xpath 'count(//n)'");
        for deep in ["(", "[", "//a["] {
            assert!(matches!(error(&deep.repeat(300)), XPathError::TooComplex));
        }
        for long in ["-", "1+", "a/", "not(1) or "] {
            assert!(select(DOCUMENT, &long.repeat(100), false).is_err());
        }
    }
}
