use std::borrow::Cow;
use std::ops::Range;

/// A node of a [`Document`]; valid only for the document it came from. Numbers rise in document order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind<'a> {
    /// The document itself.
    Root,
    /// An element.
    Element {
        /// Name with its prefix, as written.
        name: &'a str,
    },
    /// Text outside of CDATA sections, with references replaced.
    Text(Cow<'a, str>),
    /// A CDATA section.
    Cdata(Cow<'a, str>),
    /// A comment.
    Comment(&'a str),
    /// A processing instruction.
    Instruction {
        /// Its target.
        target: &'a str,
        /// What follows the target.
        data: &'a str,
    },
}

/// An attribute, or a namespace declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Name with its prefix, as written.
    pub name: &'a str,
    /// Value with references replaced.
    pub value: Cow<'a, str>,
    /// Namespace of the name's prefix, if it has one that is declared.
    pub(super) namespace: Option<u32>,
    /// Where the name begins, in bytes from the start of the text.
    pub offset: u32,
}

#[derive(Debug)]
pub(super) struct NodeData<'a> {
    pub(super) kind: NodeKind<'a>,
    pub(super) parent: NodeId,
    pub(super) next: Option<NodeId>,
    pub(super) first_child: Option<NodeId>,
    pub(super) last_child: Option<NodeId>,
    pub(super) attributes: Range<u32>,
    /// Index of the element's namespace among `Document::namespaces`.
    pub(super) namespace: Option<u32>,
    pub(super) offset: u32,
}

/// A parsed document. Names and most values are slices of the text it was made from.
#[derive(Debug)]
pub struct Document<'a> {
    pub(super) nodes: Vec<NodeData<'a>>,
    pub(super) attributes: Vec<Attribute<'a>>,
    /// Addresses of the namespaces that were declared.
    pub(super) namespaces: Vec<Cow<'a, str>>,
}

impl<'a> Attribute<'a> {
    /// Whether this is a namespace declaration (`xmlns`, `xmlns:…`).
    pub fn is_declaration(&self) -> bool {
        self.name == "xmlns" || self.name.starts_with("xmlns:")
    }

    /// The name without its prefix, if that is declared; otherwise all of it.
    pub fn local_name(&self) -> &'a str {
        local_name(self.name, self.namespace)
    }
}

/// Prefix and local part of a name.
pub(super) fn split_name(name: &str) -> (Option<&str>, &str) {
    match name.split_once(':') {
        Some((prefix, local)) if !prefix.is_empty() && local.starts_with(super::syntax::is_name_start) => {
            (Some(prefix), local)
        }
        _ => (None, name),
    }
}

fn local_name(name: &str, namespace: Option<u32>) -> &str {
    if namespace.is_some() { split_name(name).1 } else { name }
}

impl<'a> Document<'a> {
    /// The node above all others.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// The outermost element.
    pub fn root_element(&self) -> NodeId {
        self.elements(self.root()).next().unwrap_or(NodeId(0))
    }

    pub(super) fn node(&self, id: NodeId) -> &NodeData<'a> {
        &self.nodes[id.0 as usize]
    }

    /// What a node is.
    pub fn kind(&self, id: NodeId) -> &NodeKind<'a> {
        &self.node(id).kind
    }

    /// The node above; the root's is the root.
    pub fn parent(&self, id: NodeId) -> NodeId {
        self.node(id).parent
    }

    /// Where the node begins, in bytes from the start of the text.
    pub fn offset(&self, id: NodeId) -> usize {
        self.node(id).offset as usize
    }

    /// The nodes directly below, in order.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.node(id).first_child, |&child| self.node(child).next)
    }

    /// The elements directly below, in order.
    pub fn elements(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.children(id).filter(|&child| matches!(self.kind(child), NodeKind::Element { .. }))
    }

    /// The elements directly below that have a name and are in no namespace, as the XPath `./name` finds them.
    pub fn elements_named<'s>(&'s self, id: NodeId, name: &'s str) -> impl Iterator<Item = NodeId> + 's {
        self.elements(id).filter(move |&child| {
            self.node(child).namespace.is_none()
                && matches!(self.kind(child), NodeKind::Element { name: this } if *this == name)
        })
    }

    /// The first element directly below that has a name.
    pub fn element(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.elements_named(id, name).next()
    }

    /// An element's name without a declared prefix; empty for other nodes.
    pub fn local_name(&self, id: NodeId) -> &'a str {
        match self.node(id) {
            NodeData { kind: NodeKind::Element { name }, namespace, .. } => local_name(name, *namespace),
            _ => "",
        }
    }

    /// Address of an element's namespace; absent if it is in none.
    pub fn namespace(&self, id: NodeId) -> Option<&str> {
        self.node(id).namespace.map(|index| &*self.namespaces[index as usize])
    }

    /// Address of the namespace that an attribute's prefix stands for.
    pub fn attribute_namespace(&self, attribute: &Attribute<'_>) -> Option<&str> {
        attribute.namespace.map(|index| &*self.namespaces[index as usize])
    }

    /// An element's attributes and namespace declarations, in order.
    pub fn attributes(&self, id: NodeId) -> &[Attribute<'a>] {
        let range = &self.node(id).attributes;
        &self.attributes[range.start as usize..range.end as usize]
    }

    /// Value of an attribute in whatever namespace, as libxml2's `xmlGetProp` finds it. Absent without that attribute.
    pub fn property(&self, id: NodeId, name: &str) -> Option<&str> {
        self.attributes(id).iter().find(|a| a.local_name() == name && !a.is_declaration()).map(|a| &*a.value)
    }

    /// Value of an attribute in no namespace, as the XPath `./@name` finds it. Absent without that attribute.
    pub fn attribute(&self, id: NodeId, name: &str) -> Option<&str> {
        self.attributes(id).iter().find(|a| a.name == name && a.namespace.is_none()).map(|a| &*a.value)
    }

    /// All text in a node, that in elements below included (XPath's string-value).
    pub fn text(&self, id: NodeId) -> Cow<'_, str> {
        let mut text = Cow::Borrowed("");
        let last = self.last_descendant(id);
        for node in &self.nodes[id.0 as usize..=last.0 as usize] {
            if let NodeKind::Text(part) | NodeKind::Cdata(part) = &node.kind {
                if text.is_empty() { text = Cow::Borrowed(part) } else { text.to_mut().push_str(part) }
            }
        }
        text
    }

    /// Like [`Document::text`], without the white space between elements.
    pub(crate) fn shown_text(&self, id: NodeId) -> String {
        let last = self.last_descendant(id);
        let nodes = (id.0..=last.0).map(NodeId).filter(|node| !self.is_layout(*node));
        nodes
            .filter_map(|node| match self.kind(node) {
                NodeKind::Text(part) | NodeKind::Cdata(part) => Some(&**part),
                _ => None,
            })
            .collect()
    }

    /// The last node, in document order, that is the node itself or below it.
    fn last_descendant(&self, mut id: NodeId) -> NodeId {
        while let Some(last) = self.node(id).last_child {
            id = last;
        }
        id
    }
}
