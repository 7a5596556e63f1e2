use super::SchemaViolation;
use super::pattern::{Choice, Content, Pattern, Rule};
use super::rules::DEVICE;
use super::values::Value;
use crate::dom::{Document, MAX_MISTAKES, NodeId, NodeKind, Place};

/// Holds a document against the rules.
pub(super) fn violations(text: &[u8], doc: &Document<'_>) -> Vec<SchemaViolation> {
    let mut walk = Walk { doc, found: Vec::new() };
    let root = doc.root_element();
    if DEVICE.recognises(doc, root) {
        walk.element(root, &DEVICE);
    } else {
        walk.report(root, format!("the outermost element must be 'device', not '{}'", doc.local_name(root)));
    }
    walk.found.truncate(MAX_MISTAKES);
    walk.found.sort_by_key(|(offset, _)| *offset);
    let mut place = Place::START;
    let located = walk.found.into_iter().map(|(offset, message)| {
        place.advance(text, offset);
        SchemaViolation { line: place.line, column: place.column, message }
    });
    located.collect()
}

impl Rule {
    fn recognises(&self, doc: &Document<'_>, node: NodeId) -> bool {
        self.named(doc, node)
            && match self.choice {
                Choice::Any => true,
                Choice::Has(name) => doc.attribute(node, name).is_some(),
                Choice::Word(name, words) => {
                    doc.attribute(node, name).is_some_and(|value| Value::Word(words).allows(value))
                }
            }
    }

    fn named(&self, doc: &Document<'_>, node: NodeId) -> bool {
        doc.namespace(node).is_none() && doc.local_name(node) == self.name
    }

    /// How the element is called in messages.
    fn title(&self) -> String {
        match self.choice {
            Choice::Word(name, words) => format!("'{}' with {name} {}", self.name, words.join(" or ")),
            Choice::Any | Choice::Has(_) => format!("'{}'", self.name),
        }
    }
}

impl Pattern {
    /// Every rule in it.
    fn rules(&self) -> Vec<&'static Rule> {
        match *self {
            Self::One(rule) | Self::Optional(rule) | Self::Many(rule) | Self::Some(rule) => vec![rule],
            Self::OptionalOf(rules) | Self::ManyOf(rules) => rules.to_vec(),
            Self::Together(parts) | Self::Interleave(parts) => parts.iter().flat_map(Self::rules).collect(),
            Self::Either(first, second) => first.iter().chain(second).flat_map(Self::rules).collect(),
        }
    }
}

/// Children of an element that are not accounted for yet.
struct Children {
    nodes: Vec<NodeId>,
    next: usize,
}

impl Children {
    fn peek(&self) -> Option<NodeId> {
        self.nodes.get(self.next).copied()
    }
}

struct Walk<'d> {
    doc: &'d Document<'d>,
    found: Vec<(usize, String)>,
}

impl Walk<'_> {
    fn report(&mut self, at: NodeId, message: String) {
        self.report_at(self.doc.offset(at), message);
    }

    fn report_at(&mut self, offset: usize, message: String) {
        if self.found.len() < MAX_MISTAKES {
            self.found.push((offset, message));
        }
    }

    /// Checks an element; the rules are nested a few levels deep, and so is this.
    fn element(&mut self, node: NodeId, rule: &'static Rule) {
        self.attributes(node, rule);
        match rule.content {
            Content::Empty => self.no_elements(node, rule, true),
            Content::Text(value) => {
                self.no_elements(node, rule, false);
                let text = self.doc.text(node);
                if !value.allows(&text) {
                    self.report(node, format!("'{}' must be {}, not '{text}'", rule.name, value.expected()));
                }
            }
            Content::Elements(patterns) => self.elements(node, rule, patterns),
        }
    }

    fn attributes(&mut self, node: NodeId, rule: &Rule) {
        let chosen_by = match rule.choice {
            Choice::Word(name, _) => name,
            Choice::Any | Choice::Has(_) => "",
        };
        for attribute in self.doc.attributes(node).iter().filter(|a| !a.is_declaration()) {
            let known = rule.attributes.iter().find(|known| known.name == attribute.name);
            match known {
                Some(known) if !known.value.allows(&attribute.value) => {
                    let (expected, value) = (known.value.expected(), &attribute.value);
                    let message = format!(
                        "attribute '{}' of '{}' must be {expected}, not '{value}'",
                        known.name, rule.name
                    );
                    self.report_at(attribute.offset as usize, message);
                }
                None if attribute.name != chosen_by => {
                    let message = format!("attribute '{}' is not allowed in '{}'", attribute.name, rule.name);
                    self.report_at(attribute.offset as usize, message);
                }
                _ => {}
            }
        }
        for known in rule.attributes.iter().filter(|known| known.required) {
            if self.doc.attribute(node, known.name).is_none() {
                self.report(node, format!("attribute '{}' is missing in '{}'", known.name, rule.name));
            }
        }
    }

    fn no_elements(&mut self, node: NodeId, rule: &Rule, no_text: bool) {
        for child in self.doc.elements(node) {
            self.not_allowed(child, rule);
        }
        if no_text {
            self.blanks_only(node, rule);
        }
    }

    fn not_allowed(&mut self, child: NodeId, parent: &Rule) {
        let name = self.doc.local_name(child);
        let kind =
            self.doc.attribute(child, "type").map_or_else(String::new, |kind| format!(" of type '{kind}'"));
        self.report(child, format!("'{name}'{kind} is not allowed in {}", parent.title()));
    }

    fn blanks_only(&mut self, node: NodeId, rule: &Rule) {
        for child in self.doc.children(node) {
            if let NodeKind::Text(text) | NodeKind::Cdata(text) = self.doc.kind(child)
                && !text.trim_matches([' ', '\t', '\n', '\r']).is_empty()
            {
                self.report(child, format!("text is not allowed in {}", rule.title()));
                return;
            }
        }
    }

    fn elements(&mut self, node: NodeId, rule: &'static Rule, patterns: &'static [Pattern]) {
        self.blanks_only(node, rule);
        let known: Vec<&Rule> = patterns.iter().flat_map(Pattern::rules).collect();
        let mut nodes = Vec::new();
        for child in self.doc.elements(node) {
            if known.iter().any(|rule| rule.recognises(self.doc, child)) {
                nodes.push(child);
            } else {
                self.not_allowed(child, rule);
            }
        }
        let mut children = Children { nodes, next: 0 };
        for pattern in patterns {
            self.pattern(node, rule, *pattern, &mut children);
        }
        while let Some(child) = children.peek() {
            children.next += 1;
            let name = self.doc.local_name(child);
            self.report(
                child,
                format!("'{name}' is in the wrong place or there once too often in {}", rule.title()),
            );
        }
    }

    fn pattern(&mut self, parent: NodeId, rule: &'static Rule, pattern: Pattern, children: &mut Children) {
        match pattern {
            Pattern::One(one) => {
                self.demand(parent, rule, one, children);
            }
            Pattern::Optional(one) => {
                self.take(&[one], children);
            }
            Pattern::OptionalOf(rules) => {
                self.take(rules, children);
            }
            Pattern::Many(one) => while self.take(&[one], children) {},
            Pattern::ManyOf(rules) => while self.take(rules, children) {},
            Pattern::Some(one) => {
                self.demand(parent, rule, one, children);
                while self.take(&[one], children) {}
            }
            Pattern::Together(parts) => {
                if parts.iter().any(|part| self.is_next(part, children)) {
                    parts.iter().for_each(|part| self.pattern(parent, rule, *part, children));
                }
            }
            Pattern::Either(first, second) => {
                let chosen =
                    if first.iter().any(|part| self.is_next(part, children)) { first } else { second };
                chosen.iter().for_each(|part| self.pattern(parent, rule, *part, children));
            }
            Pattern::Interleave(parts) => self.interleave(parent, rule, parts, children),
        }
    }

    fn is_next(&self, pattern: &Pattern, children: &Children) -> bool {
        children
            .peek()
            .is_some_and(|child| pattern.rules().iter().any(|rule| rule.recognises(self.doc, child)))
    }

    /// Takes the next child if one of the rules recognises it.
    fn take(&mut self, rules: &[&'static Rule], children: &mut Children) -> bool {
        let Some(child) = children.peek() else { return false };
        let Some(rule) = rules.iter().find(|rule| rule.recognises(self.doc, child)) else { return false };
        children.next += 1;
        self.element(child, rule);
        true
    }

    /// Takes the next child if the rule recognises it, or else one further on, which is then in the wrong place.
    fn demand(&mut self, parent: NodeId, rule: &Rule, one: &'static Rule, children: &mut Children) {
        if self.take(&[one], children) {
            return;
        }
        let later =
            children.nodes.iter().skip(children.next).position(|child| one.recognises(self.doc, *child));
        match later {
            Some(ahead) => {
                let child = children.nodes.remove(children.next + ahead);
                self.report(child, format!("'{}' is in the wrong place in {}", one.name, rule.title()));
                self.element(child, one);
            }
            None => self.report(parent, format!("{} is missing in {}", one.title(), rule.title())),
        }
    }

    fn interleave(
        &mut self,
        parent: NodeId,
        rule: &'static Rule,
        parts: &'static [Pattern],
        children: &mut Children,
    ) {
        let mut counts = vec![0_usize; parts.len()];
        while let Some(part) = parts.iter().position(|part| self.is_next(part, children)) {
            counts[part] += 1;
            let child = children.peek();
            if let (Some(child), true, Pattern::One(_) | Pattern::Optional(_) | Pattern::OptionalOf(_)) =
                (child, counts[part] > 1, parts[part])
            {
                let name = self.doc.local_name(child);
                self.report(child, format!("'{name}' is there more than once in {}", rule.title()));
            }
            self.take(&parts[part].rules(), children);
        }
        for (part, count) in parts.iter().zip(counts) {
            if let (Pattern::One(one), 0) = (part, count) {
                self.report(parent, format!("{} is missing in {}", one.title(), rule.title()));
            }
        }
    }
}
