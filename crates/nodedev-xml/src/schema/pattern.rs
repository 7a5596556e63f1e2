//! The form that the rules have.

use super::values::Value;

/// What is known of an element.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Tells elements of the same name apart.
    pub(super) choice: Choice,
    pub(super) attributes: &'static [Attribute],
    pub(super) content: Content,
}

/// How an element is recognised, besides by its name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// By its name only.
    Any,
    /// By an attribute that has one of some words.
    Word(&'static str, &'static [&'static str]),
    /// By an attribute that is there.
    Has(&'static str),
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Nothing but blanks.
    Empty,
    /// Text and no elements.
    Text(Value),
    /// Elements, in this order.
    Elements(&'static [Pattern]),
}

/// A part of an element's content.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pattern {
    /// Exactly one.
    One(&'static Rule),
    /// One or none.
    Optional(&'static Rule),
    /// One or none, of either kind.
    OptionalOf(&'static [&'static Rule]),
    /// Any number.
    Many(&'static Rule),
    /// Any number, of any of these kinds.
    ManyOf(&'static [&'static Rule]),
    /// At least one.
    Some(&'static Rule),
    /// All or none; which of both is told by the first.
    Together(&'static [Pattern]),
    /// The first list if its first element is there, else the second.
    Either(&'static [Pattern], &'static [Pattern]),
    /// These in any order.
    Interleave(&'static [Pattern]),
}
