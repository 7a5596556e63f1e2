//! A caller's list, as the three variables that describe it: where it is, how many parameters it has, how many fit.

use std::ffi::{CStr, c_char, c_int};

use nodedev_driver::{Error, ErrorDomain};

use super::{FIELD_LENGTH, Kind, TypedParameter, TypedParameterValue, Value, invalid};
use crate::c_memory;
use crate::function::Function;

/// A list that can grow.
pub(super) struct List<'a> {
    params: &'a mut *mut TypedParameter,
    count: &'a mut c_int,
    room: &'a mut c_int,
}

impl<'a> List<'a> {
    /// The list of these variables.
    ///
    /// # Errors
    /// If one of them is NULL.
    ///
    /// # Safety
    /// Those that are not NULL point to variables that nobody else uses during `'a`; `*params` is NULL with `*room` 0,
    /// or is memory of the C allocator for `*room` parameters, of which `*count` are set.
    pub(super) unsafe fn new(
        function: Function,
        params: *mut *mut TypedParameter,
        count: *mut c_int,
        room: *mut c_int,
    ) -> Result<Self, Error> {
        // SAFETY: the caller says that they are NULL or good, and nobody else's, during 'a.
        let (params, count, room) = unsafe { (params.as_mut(), count.as_mut(), room.as_mut()) };
        Ok(Self {
            params: params.ok_or_else(|| function.null("params"))?,
            count: count.ok_or_else(|| function.null("nparams"))?,
            room: room.ok_or_else(|| function.null("maxparams"))?,
        })
    }

    /// Adds a parameter. The value is asked for last, when there is room and the name is good, as errors come in that
    /// order.
    pub(super) fn add<'v>(
        &mut self,
        name: &CStr,
        value: impl FnOnce() -> Result<Value<'v>, Error>,
    ) -> Result<(), Error> {
        let index = self.reserve()?;
        let field = field(name)?;
        let (kind, value) = stored(value()?)?;
        // SAFETY: `reserve` made sure that `index` is within the memory; what was there is no parameter yet, so nothing
        // is lost.
        unsafe { self.params.add(index).write(TypedParameter { field, kind, value }) };
        *self.count += 1;
        Ok(())
    }

    /// Makes room for one more, and says where.
    pub(super) fn reserve(&mut self) -> Result<usize, Error> {
        let (Ok(count), Ok(room)) = (usize::try_from(*self.count), usize::try_from(*self.room)) else {
            return Err(invalid(format!("a list of {} parameters in room for {}", self.count, self.room)));
        };
        if count < room && !self.params.is_null() {
            return Ok(count);
        }
        // By half of what there is, as libvirt, so that adding many is not quadratic.
        let wanted = (count + 1).max(room + room / 2);
        let number = c_int::try_from(wanted).map_err(|_| c_memory::no_memory())?;
        let bytes = wanted.checked_mul(size_of::<TypedParameter>()).ok_or_else(c_memory::no_memory)?;
        // SAFETY: the list is NULL or from the C allocator, as `new` was promised; `bytes` is not 0.
        let grown = unsafe { libc::realloc(self.params.cast(), bytes) }.cast::<TypedParameter>();
        if grown.is_null() {
            return Err(c_memory::no_memory());
        }
        // SAFETY: realloc gave room for `wanted` parameters, of which the first `room` were there before.
        unsafe { grown.add(room).write_bytes(0, wanted - room) };
        *self.params = grown;
        *self.room = number;
        Ok(count)
    }
}

/// A name with its NUL.
fn field(name: &CStr) -> Result<[c_char; FIELD_LENGTH], Error> {
    let bytes = name.to_bytes();
    if bytes.len() >= FIELD_LENGTH {
        let detail = format!("Field name '{}' too long", name.to_string_lossy());
        return Err(Error::internal(ErrorDomain::NONE, detail));
    }
    let mut field = [0; FIELD_LENGTH];
    for (place, byte) in field.iter_mut().zip(bytes) {
        *place = c_char::from_ne_bytes([*byte]);
    }
    Ok(field)
}

/// The value as a parameter has it. A text is copied.
fn stored(value: Value<'_>) -> Result<(c_int, TypedParameterValue), Error> {
    // The largest part first: what the others leave must not be uninitialized.
    let mut stored = TypedParameterValue { ul: 0 };
    let kind = match value {
        Value::Int(i) => {
            stored.i = i;
            Kind::Int
        }
        Value::UInt(ui) => {
            stored.ui = ui;
            Kind::UInt
        }
        Value::LLong(l) => {
            stored.l = l;
            Kind::LLong
        }
        Value::ULLong(ul) => {
            stored.ul = ul;
            Kind::ULLong
        }
        Value::Double(d) => {
            stored.d = d;
            Kind::Double
        }
        Value::Boolean(b) => {
            stored.b = b.into();
            Kind::Boolean
        }
        Value::String(s) => {
            stored.s = c_memory::try_copy(s.to_bytes())?;
            Kind::String
        }
    };
    Ok((kind as c_int, stored))
}

/// The parameters of a list that only is looked at; none if it is NULL or its length no length.
///
/// # Safety
/// `params` is NULL or has `count` parameters that nobody changes during `'a`.
pub(super) unsafe fn slice<'a>(params: *const TypedParameter, count: c_int) -> &'a [TypedParameter] {
    match usize::try_from(count) {
        // SAFETY: the caller says that there are so many.
        Ok(count) if !params.is_null() => unsafe { std::slice::from_raw_parts(params, count) },
        _ => &[],
    }
}
