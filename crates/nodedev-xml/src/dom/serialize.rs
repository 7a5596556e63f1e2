use super::tree::NodeData;
use super::{Document, NodeId, NodeKind};

impl Document<'_> {
    /// Whether a node is white space between elements, which libxml2 drops where it is told to lay documents out anew.
    /// White space that is an element's only content stays, and so does that behind an element's text.
    pub(crate) fn is_layout(&self, id: NodeId) -> bool {
        let NodeData { kind: NodeKind::Text(text), parent, next, .. } = self.node(id) else { return false };
        if !text.trim_matches([' ', '\t', '\n', '\r']).is_empty() {
            return false;
        }
        match self.node(*parent).first_child {
            Some(first) if first == id => next.is_some(),
            Some(first) => self.is_layout(first) || !matches!(self.kind(first), NodeKind::Text(_)),
            None => true,
        }
    }

    fn shown(&self, mut id: Option<NodeId>) -> Option<NodeId> {
        while let Some(node) = id.filter(|node| self.is_layout(*node)) {
            id = self.node(node).next;
        }
        id
    }

    /// Writes a node and all below it as libxml2 lays out a single node: attributes in double quotes, two blanks a level
    /// from `level` on, elements that hold text on one line, no line break at the end. Without a level all is on one
    /// line.
    pub(crate) fn write_node(&self, out: &mut Vec<u8>, id: NodeId, level: Option<usize>) {
        // Elements whose end tag is still to come, and whether each was on a line of its own.
        let mut open: Vec<(NodeId, bool)> = Vec::new();
        let (mut node, mut on_lines) = (id, level.is_some());
        let level = level.unwrap_or_default();
        loop {
            let child = self.shown(self.node(node).first_child);
            self.write_start(out, node, child.is_none());
            if let Some(child) = child {
                open.push((node, on_lines));
                on_lines = on_lines && !self.holds_text(node);
                new_line(out, on_lines, level + open.len());
                node = child;
                continue;
            }
            loop {
                if node == id {
                    return;
                }
                if let Some(next) = self.shown(self.node(node).next) {
                    new_line(out, on_lines, level + open.len());
                    node = next;
                    break;
                }
                let Some((parent, outer)) = open.pop() else { return };
                new_line(out, on_lines, level + open.len());
                self.write_end(out, parent);
                (node, on_lines) = (parent, outer);
            }
        }
    }

    fn holds_text(&self, id: NodeId) -> bool {
        self.children(id).any(|child| {
            matches!(self.kind(child), NodeKind::Text(_) | NodeKind::Cdata(_)) && !self.is_layout(child)
        })
    }

    fn write_start(&self, out: &mut Vec<u8>, id: NodeId, empty: bool) {
        match self.kind(id) {
            NodeKind::Root => {}
            NodeKind::Element { name } => {
                out.push(b'<');
                out.extend_from_slice(name.as_bytes());
                let (declarations, others): (Vec<_>, Vec<_>) =
                    self.attributes(id).iter().partition(|attribute| attribute.is_declaration());
                for attribute in declarations.into_iter().chain(others) {
                    write_attribute(out, attribute.name, &attribute.value);
                }
                out.extend_from_slice(if empty { b"/>" } else { b">" });
            }
            NodeKind::Text(text) => write_escaped(out, text, false),
            NodeKind::Cdata(text) => write_around(out, "<![CDATA[", text, "]]>"),
            NodeKind::Comment(text) => write_around(out, "<!--", text, "-->"),
            NodeKind::Instruction { target, data } => {
                write_around(out, "<?", target, if data.is_empty() { "" } else { " " });
                write_around(out, "", data, "?>");
            }
        }
    }

    fn write_end(&self, out: &mut Vec<u8>, id: NodeId) {
        if let NodeKind::Element { name } = self.kind(id) {
            write_around(out, "</", name, ">");
        }
    }
}

/// A line break and the blanks of a level, if nodes stand on lines of their own.
pub(crate) fn new_line(out: &mut Vec<u8>, on_lines: bool, level: usize) {
    if on_lines {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * level));
    }
}

fn write_around(out: &mut Vec<u8>, before: &str, text: &str, after: &str) {
    for part in [before, text, after] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes ` name="value"`.
pub(crate) fn write_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    write_escaped(out, value, true);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str, in_attribute: bool) {
    for byte in text.bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' if in_attribute => out.extend_from_slice(b"&quot;"),
            b'\n' if in_attribute => out.extend_from_slice(b"&#10;"),
            b'\t' if in_attribute => out.extend_from_slice(b"&#9;"),
            b'\r' => out.extend_from_slice(b"&#13;"),
            _ => out.push(byte),
        }
    }
}
