//! Lists of typed parameters, used as C uses them. What is expected is what libvirt 11.3 did.

#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::ptr::{null, null_mut};

use nodedev_capi::error::{virGetLastErrorCode, virGetLastErrorMessage};
use nodedev_capi::typed_params::add::{
    virTypedParamsAddFromString, virTypedParamsAddInt, virTypedParamsAddString, virTypedParamsAddStringList,
};
use nodedev_capi::typed_params::look::{
    virTypedParamsClear, virTypedParamsFree, virTypedParamsGet, virTypedParamsGetInt,
    virTypedParamsGetString, virTypedParamsGetUInt,
};
use nodedev_capi::typed_params::{FIELD_LENGTH, TypedParameter};

/// The three variables that a caller has.
struct List {
    params: *mut TypedParameter,
    count: c_int,
    room: c_int,
}

impl List {
    fn new() -> Self {
        Self { params: null_mut(), count: 0, room: 0 }
    }

    fn add_int(&mut self, name: &CStr, value: c_int) -> c_int {
        // SAFETY: the variables describe a list of the C allocator's, which this value owns.
        unsafe {
            virTypedParamsAddInt(&mut self.params, &mut self.count, &mut self.room, name.as_ptr(), value)
        }
    }

    fn add_text(&mut self, name: &CStr, value: *const c_char) -> c_int {
        // SAFETY: as above; all texts of these tests end in NUL.
        unsafe {
            virTypedParamsAddString(&mut self.params, &mut self.count, &mut self.room, name.as_ptr(), value)
        }
    }

    fn add_read(&mut self, name: &CStr, kind: c_int, value: *const c_char) -> c_int {
        let List { params, count, room } = self;
        // SAFETY: as above.
        unsafe { virTypedParamsAddFromString(params, count, room, name.as_ptr(), kind, value) }
    }

    fn text(&self, name: &CStr) -> Option<String> {
        let mut found = null();
        // SAFETY: the list has `count` parameters; the text lives as long as it does.
        unsafe {
            let result = virTypedParamsGetString(self.params, self.count, name.as_ptr(), &mut found);
            (result == 1).then(|| CStr::from_ptr(found).to_string_lossy().into_owned())
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list is the C allocator's, and is not used any more.
        unsafe { virTypedParamsFree(self.params, self.count) };
    }
}

fn message() -> String {
    // SAFETY: the message of the thread's last error lasts until the next call.
    unsafe { CStr::from_ptr(virGetLastErrorMessage()) }.to_string_lossy().into_owned()
}

#[test]
fn a_list_grows_by_half() {
    let mut list = List::new();
    let mut rooms = Vec::new();
    for value in 0..100 {
        assert_eq!(list.add_int(c"n", value), 0);
        if rooms.last() != Some(&list.room) {
            rooms.push(list.room);
        }
    }
    assert_eq!(list.count, 100);
    assert_eq!(rooms, [1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94, 141]);
}

#[test]
fn a_value_is_found_by_its_first_name_and_its_type_only() {
    let mut list = List::new();
    assert_eq!(list.add_int(c"n", 7), 0);
    assert_eq!(list.add_text(c"n", c"another".as_ptr()), 0);
    let (mut signed, mut unsigned): (c_int, c_uint) = (0, 9);
    // SAFETY: the list has two parameters, and the numbers may be written.
    unsafe {
        assert_eq!(virTypedParamsGetInt(list.params, list.count, c"n".as_ptr(), &mut signed), 1);
        assert_eq!(virTypedParamsGetInt(list.params, list.count, c"N".as_ptr(), &mut signed), 0);
        assert_eq!(virTypedParamsGetUInt(list.params, list.count, c"n".as_ptr(), &mut unsigned), -1);
    }
    assert_eq!((signed, unsigned, virGetLastErrorCode()), (7, 9, 8));
    assert_eq!(
        message(),
        "invalid argument: Invalid type 'uint' requested for parameter 'n', actual type is 'int'"
    );
}

#[test]
fn texts_are_copies_and_none_is_an_empty_one() {
    let mut list = List::new();
    let own = CString::new("text").expect("it has no NUL");
    assert_eq!(list.add_text(c"a", own.as_ptr()), 0);
    drop(own);
    assert_eq!(list.add_text(c"b", null()), 0);
    assert_eq!((list.text(c"a").as_deref(), list.text(c"b").as_deref()), (Some("text"), Some("")));
    // SAFETY: the list has `count` parameters; it is kept.
    unsafe { virTypedParamsClear(list.params, list.count) };
    // SAFETY: as above.
    let first = unsafe { virTypedParamsGet(list.params, list.count, c"a".as_ptr()).as_ref() };
    // SAFETY: the part is the one of its type.
    assert!(first.is_some_and(|param| unsafe { param.value.s }.is_null()));
}

#[test]
fn an_array_of_texts_is_added_up_to_its_end() {
    let mut list = List::new();
    let mut add = |values: &[*const c_char]| {
        let List { params, count, room } = &mut list;
        let values = if values.is_empty() { null() } else { values.as_ptr() };
        // SAFETY: the variables describe a list; the array ends in NULL, or is NULL itself.
        unsafe { virTypedParamsAddStringList(params, count, room, c"t".as_ptr(), values) }
    };
    assert_eq!(add(&[c"1".as_ptr(), c"2".as_ptr(), null()]), 0);
    assert_eq!(add(&[]), 0);
    // Of an empty array libvirt says that it failed, but not why.
    assert_eq!((add(&[null()]), virGetLastErrorCode()), (-1, 0));
    assert_eq!(list.count, 2);
}

#[test]
fn names_that_do_not_fit_and_values_that_are_none_are_refused() {
    let mut list = List::new();
    let fits = CString::new("n".repeat(FIELD_LENGTH - 1)).expect("it has no NUL");
    let long = CString::new("n".repeat(FIELD_LENGTH)).expect("it has no NUL");
    assert_eq!(list.add_int(&fits, 1), 0);
    assert_eq!((list.add_int(&long, 1), virGetLastErrorCode()), (-1, 1));
    assert!(message().ends_with("n' too long"), "{}", message());
    assert_eq!(list.add_read(c"f", 1, c"x".as_ptr()), -1);
    assert_eq!(message(), "invalid argument: Invalid value for field 'f': expected int");
    assert_eq!(list.add_read(c"f", 1, null()), -1);
    assert_eq!(message(), "invalid argument: NULL value for field 'f'");
    assert_eq!(list.add_read(c"f", 8, c"1".as_ptr()), -1);
    assert_eq!(message(), "internal error: unexpected type 8 for field f");
    assert_eq!(list.count, 1);
}

/// libvirt would crash, or read what is not the list's.
#[test]
fn a_list_that_is_none_is_an_error() {
    let mut list = List::new();
    // SAFETY: NULL is allowed for each.
    let added =
        unsafe { virTypedParamsAddInt(null_mut(), &mut list.count, &mut list.room, c"n".as_ptr(), 1) };
    assert_eq!((added, message().as_str()), (-1, "params in virTypedParamsAddInt must not be NULL"));
    // SAFETY: as above.
    let added = unsafe { virTypedParamsAddInt(&mut list.params, &mut list.count, &mut list.room, null(), 1) };
    assert_eq!((added, message().as_str()), (-1, "name in virTypedParamsAddInt must not be NULL"));
    list.count = -1;
    assert_eq!((list.add_int(c"n", 1), virGetLastErrorCode()), (-1, 8));
    // SAFETY: a negative length is no length.
    assert!(unsafe { virTypedParamsGet(list.params, list.count, c"n".as_ptr()) }.is_null());
    list.count = 0;
}
