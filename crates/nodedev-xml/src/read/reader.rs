use std::borrow::Cow;

use nodedev_model::Text;

use super::number::{signed, unsigned};
use super::{Dialect, ParseOptions};
use crate::dom::{Document, MAX_MISTAKES, NodeId, Place};
use crate::{ErrorCode, ErrorDomain, XmlError};

/// The mistake just recorded ends the reading.
#[derive(Debug)]
pub(super) struct Stop;

/// A step of the reading. Where mistakes are collected it succeeds after one, with a stand-in for the value.
pub(super) type Step<T = ()> = Result<T, Stop>;

/// A document being read, and the mistakes found in it.
pub(super) struct Reader<'d, 'o> {
    pub(super) doc: &'d Document<'d>,
    pub(super) options: ParseOptions<'o>,
    /// Name of the device, for messages; [`Reader::set_name`] sets it.
    pub(super) name: String,
    collect: bool,
    mistakes: Vec<(usize, XmlError)>,
}

impl<'d, 'o> Reader<'d, 'o> {
    pub(super) fn new(doc: &'d Document<'d>, options: ParseOptions<'o>, collect: bool) -> Self {
        Self { doc, options, name: String::new(), collect, mistakes: Vec::new() }
    }

    /// Sets the name for messages. Where there may be many, a long name is cut, or it would be copied often.
    pub(super) fn set_name(&mut self, name: &str) {
        const LONGEST: usize = 256;
        name.clone_into(&mut self.name);
        if self.collect && name.len() > LONGEST {
            self.name = name.chars().take(LONGEST).chain(['…']).collect();
        }
    }

    // ---- mistakes

    /// The mistakes, in the order of their places.
    pub(super) fn into_errors(mut self, text: &[u8]) -> Vec<XmlError> {
        self.mistakes.sort_by_key(|(offset, _)| *offset);
        let mut place = Place::START;
        let located = self.mistakes.into_iter().map(|(offset, error)| {
            place.advance(text, offset);
            XmlError { line: place.line, column: place.column, ..error }
        });
        located.collect()
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.mistakes.is_empty()
    }

    fn record(&mut self, offset: usize, domain: ErrorDomain, code: ErrorCode, detail: String) {
        self.mistakes.push((offset, XmlError { domain, code, detail, line: 0, column: 0 }));
    }

    fn go_on(&self) -> Step {
        if self.collect && self.mistakes.len() < MAX_MISTAKES { Ok(()) } else { Err(Stop) }
    }

    /// Records a mistake; goes on if mistakes are being collected.
    pub(super) fn mistake(
        &mut self,
        at: NodeId,
        domain: ErrorDomain,
        code: ErrorCode,
        detail: impl Into<String>,
    ) -> Step {
        self.record(self.doc.offset(at), domain, code, detail.into());
        self.go_on()
    }

    /// Records a mistake after which nothing can be made of the rest.
    pub(super) fn stop<T>(
        &mut self,
        at: NodeId,
        domain: ErrorDomain,
        code: ErrorCode,
        detail: impl Into<String>,
    ) -> Step<T> {
        self.record(self.doc.offset(at), domain, code, detail.into());
        Err(Stop)
    }

    /// Records something unsupported that libvirt logs and passes over: it counts only where mistakes are collected.
    pub(super) fn remark(&mut self, at: NodeId, what: &str) -> Step {
        if !self.collect {
            return Ok(());
        }
        self.mistake(at, ErrorDomain::NODEDEV, ErrorCode::CONFIG_UNSUPPORTED, what)
    }

    /// A mistake that libvirt calls an internal error; `… for 'NAME'` is added to the text.
    pub(super) fn internal(&mut self, at: NodeId, what: impl AsRef<str>) -> Step {
        let detail = self.about(what);
        self.mistake(at, ErrorDomain::NODEDEV, ErrorCode::INTERNAL_ERROR, detail)
    }

    /// A mistake that libvirt calls unsupported; `… for 'NAME'` is added to the text.
    pub(super) fn unsupported(&mut self, at: NodeId, what: impl AsRef<str>) -> Step {
        let detail = self.about(what);
        self.mistake(at, ErrorDomain::NODEDEV, ErrorCode::CONFIG_UNSUPPORTED, detail)
    }

    /// A mistake that libvirt calls an XML error.
    pub(super) fn xml(&mut self, at: NodeId, what: impl Into<String>) -> Step {
        self.mistake(at, ErrorDomain::NODEDEV, ErrorCode::XML_ERROR, what)
    }

    pub(super) fn about(&self, what: impl AsRef<str>) -> String {
        format!("{} for '{}'", what.as_ref(), self.name)
    }

    pub(super) fn lossless(&self) -> bool {
        self.options.dialect == Dialect::Lossless
    }

    // ---- elements

    pub(super) fn elements(
        &self,
        node: NodeId,
        name: &'static str,
    ) -> impl Iterator<Item = NodeId> + use<'d> {
        self.doc.elements_named(node, name)
    }

    /// Text of an element; absent if it is empty.
    pub(super) fn content(&self, node: NodeId) -> Option<Cow<'d, str>> {
        Some(self.doc.text(node)).filter(|text| !text.is_empty())
    }

    /// Text of the first element of a name; absent if that is missing or empty.
    pub(super) fn text(&self, node: NodeId, child: &str) -> Option<Cow<'d, str>> {
        self.content(self.doc.element(node, child)?)
    }

    /// Like [`Reader::text`], for the model.
    pub(super) fn string(&self, node: NodeId, child: &str) -> Option<Text> {
        self.text(node, child).map(|text| Text::from(&*text))
    }

    /// Text that may be missing, for the model. Where it is an empty element, libvirt takes it for absent, although it
    /// prints an empty text as such an element.
    pub(super) fn optional(&self, node: NodeId, child: &str) -> Option<Text> {
        self.optional_content(self.doc.element(node, child)?)
    }

    fn optional_content(&self, element: NodeId) -> Option<Text> {
        Some(Text::from(&*self.doc.text(element))).filter(|text| self.lossless() || !text.is_empty())
    }

    /// Like [`Reader::optional`], for `outer/inner[1]`: of the first inner element of whichever outer element has one.
    pub(super) fn optional_below(&self, node: NodeId, outer: &'static str, inner: &str) -> Option<Text> {
        let inner = self.elements(node, outer).find_map(|outer| self.doc.element(outer, inner))?;
        self.optional_content(inner)
    }

    /// A text that only [`Dialect::Lossless`] keeps.
    pub(super) fn extra(&self, text: Option<Text>) -> Option<Text> {
        text.filter(|_| self.lossless())
    }

    /// Value of an attribute; absent if that is missing or empty.
    pub(super) fn attribute(&self, node: NodeId, name: &str) -> Option<&'d str> {
        self.doc.attribute(node, name).filter(|value| !value.is_empty())
    }

    // ---- numbers in elements

    /// A decimal number in an element, or a mistake named by what it is.
    pub(super) fn required_number<T: TryFrom<u64> + Default>(
        &mut self,
        node: NodeId,
        child: &str,
        what: &str,
    ) -> Step<T> {
        let element = self.doc.element(node, child);
        match element.and_then(|element| self.content(element)) {
            None => self.internal(element.unwrap_or(node), format!("no {what} supplied"))?,
            Some(text) => match unsigned(&text, 10) {
                Some(number) => return Ok(number),
                None => self.internal(element.unwrap_or(node), format!("invalid {what} supplied"))?,
            },
        }
        Ok(T::default())
    }

    /// A decimal number in an element, which fits C's `int`; absent if that is missing, empty or negative.
    pub(super) fn optional_int(
        &mut self,
        at: NodeId,
        text: Option<&str>,
        base: u32,
        what: &str,
    ) -> Step<Option<u32>> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        match signed(text, base) {
            Some(number) => return Ok(u32::try_from(number).ok()),
            None => self.internal(at, format!("invalid {what} supplied"))?,
        }
        Ok(None)
    }

    /// A number that only [`Dialect::Lossless`] reads; 0 if it is missing.
    pub(super) fn extra_number<T: TryFrom<u64> + Default>(&mut self, node: NodeId, child: &str) -> Step<T> {
        let Some(element) = self.doc.element(node, child).filter(|_| self.lossless()) else {
            return Ok(T::default());
        };
        let text = self.doc.text(element);
        match unsigned(&text, 10) {
            Some(number) => Ok(number),
            None => {
                self.internal(element, format!("invalid {child} supplied"))?;
                Ok(T::default())
            }
        }
    }

    // ---- attributes, with the texts of libvirt's helpers

    fn invalid_attribute(&mut self, node: NodeId, name: &str, value: &str, expected: &str) -> Step {
        let element = self.doc.local_name(node);
        let detail =
            format!("Invalid value for attribute '{name}' in element '{element}': '{value}'.{expected}");
        let attribute = self.doc.attributes(node).iter().find(|attribute| attribute.local_name() == name);
        let offset = attribute.map_or(self.doc.offset(node), |attribute| attribute.offset as usize);
        self.record(offset, ErrorDomain::XML, ErrorCode::XML_ERROR, detail);
        self.go_on()
    }

    pub(super) fn missing_attribute(&mut self, node: NodeId, name: &str) -> Step {
        let detail =
            format!("Missing required attribute '{name}' in element '{}'", self.doc.local_name(node));
        self.mistake(node, ErrorDomain::XML, ErrorCode::XML_ERROR, detail)
    }

    /// An attribute with a word; `None` after a mistake that was collected.
    pub(super) fn required_word<T>(
        &mut self,
        node: NodeId,
        name: &str,
        word: impl FnOnce(&str) -> Option<T>,
    ) -> Step<Option<T>> {
        let Some(value) = self.doc.property(node, name) else {
            self.missing_attribute(node, name)?;
            return Ok(None);
        };
        let word = word(value);
        if word.is_none() {
            self.invalid_attribute(node, name, value, "")?;
        }
        Ok(word)
    }

    /// An attribute with a word; absent if that is missing or empty.
    pub(super) fn optional_word<T>(
        &mut self,
        node: NodeId,
        name: &str,
        word: impl FnOnce(&str) -> Option<T>,
    ) -> Step<Option<T>> {
        let Some(value) = self.doc.property(node, name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let word = word(value);
        if word.is_none() {
            self.invalid_attribute(node, name, value, "")?;
        }
        Ok(word)
    }

    /// An attribute with a number; absent if that is missing.
    pub(super) fn number_attribute(&mut self, node: NodeId, name: &str, base: u32) -> Step<Option<u32>> {
        let Some(value) = self.doc.property(node, name) else { return Ok(None) };
        let number = unsigned(value, base);
        if number.is_none() {
            self.invalid_attribute(node, name, value, " Expected non-negative integer value")?;
        }
        Ok(number)
    }

    /// An attribute with a number that may not be missing.
    pub(super) fn required_number_attribute(&mut self, node: NodeId, name: &str, base: u32) -> Step<u32> {
        if self.doc.property(node, name).is_none() {
            self.missing_attribute(node, name)?;
        }
        Ok(self.number_attribute(node, name, base)?.unwrap_or_default())
    }

    /// An attribute with C's `int`; absent if that is missing or negative.
    pub(super) fn int_attribute(&mut self, node: NodeId, name: &str) -> Step<Option<u32>> {
        let Some(value) = self.doc.property(node, name) else { return Ok(None) };
        let number = signed(value, 10);
        if number.is_none() {
            self.invalid_attribute(node, name, value, " Expected integer value")?;
        }
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }
}
