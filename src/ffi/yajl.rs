//! JSON as the engines read it: with yajl, of which both are users. It takes much that other parsers refuse, and the
//! events are what the engines make arguments of.

use std::any::Any;
use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    non_snake_case,
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all
)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/yajl.rs"));
}

/// What yajl finds in a text, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as it is written.
    Number(&'a [u8]),
    /// A string, with its escapes decoded.
    String(&'a [u8]),
    /// `{`
    StartMap,
    /// A name in a map.
    Key(&'a [u8]),
    /// `}`
    EndMap,
    /// `[`
    StartArray,
    /// `]`
    EndArray,
}

/// The receiver of events during one call, and the panic that ended it, if there was one.
struct Context<'a> {
    on_event: &'a mut dyn FnMut(Event<'_>) -> bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// Parses a whole text. `on_event` is called for each event until it returns false. Returns whether the text is valid, and
/// no event was refused.
pub(crate) fn parse(text: &[u8], on_event: &mut dyn FnMut(Event<'_>) -> bool) -> bool {
    static CALLBACKS: sys::yajl_callbacks = sys::yajl_callbacks {
        yajl_null: Some(null),
        yajl_boolean: Some(boolean),
        yajl_integer: None,
        yajl_double: None,
        yajl_number: Some(number),
        yajl_string: Some(string),
        yajl_start_map: Some(start_map),
        yajl_map_key: Some(map_key),
        yajl_end_map: Some(end_map),
        yajl_start_array: Some(start_array),
        yajl_end_array: Some(end_array),
    };
    let mut context = Context { on_event, panic: None };
    // SAFETY: the callbacks are static, NULL asks for malloc, and the context outlives the handle, which is freed below.
    let handle = unsafe { sys::yajl_alloc(&CALLBACKS, std::ptr::null_mut(), (&raw mut context).cast()) };
    if handle.is_null() {
        return false;
    }
    // SAFETY: the handle is live and used by this thread alone; the text is live during the calls. The callbacks use the
    // context alone, which nobody else does until the handle is freed, once.
    let is_valid = unsafe {
        let parsed = sys::yajl_parse(handle, text.as_ptr(), text.len()) == sys::yajl_status_yajl_status_ok;
        let is_valid = parsed && sys::yajl_complete_parse(handle) == sys::yajl_status_yajl_status_ok;
        sys::yajl_free(handle);
        is_valid
    };
    match context.panic {
        Some(panic) => resume_unwind(panic),
        None => is_valid,
    }
}

/// Hands one event on. A panic must not unwind through C: it is kept, and yajl is told to stop.
///
/// # Safety
/// `context` is that of a call of [`parse`] that has not returned.
unsafe fn hand_on(context: *mut c_void, event: Event<'_>) -> c_int {
    // SAFETY: the caller promises a live context, and yajl calls one callback at a time.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    match catch_unwind(AssertUnwindSafe(|| (context.on_event)(event))) {
        Ok(goes_on) => goes_on.into(),
        Err(panic) => {
            context.panic = Some(panic);
            0
        }
    }
}

/// The bytes of a text of yajl's.
///
/// # Safety
/// `start` is that of `length` live bytes; it may be NULL when `length` is 0.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller promises that many live bytes.
    unsafe { std::slice::from_raw_parts(start, length) }
}

unsafe extern "C" fn null(context: *mut c_void) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::Null) }
}

unsafe extern "C" fn boolean(context: *mut c_void, value: c_int) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::Boolean(value != 0)) }
}

unsafe extern "C" fn number(context: *mut c_void, start: *const c_char, length: usize) -> c_int {
    // SAFETY: yajl passes the context of the call, and a text that lives as long as the callback runs.
    unsafe { hand_on(context, Event::Number(bytes(start.cast(), length))) }
}

unsafe extern "C" fn string(context: *mut c_void, start: *const c_uchar, length: usize) -> c_int {
    // SAFETY: yajl passes the context of the call, and a text that lives as long as the callback runs.
    unsafe { hand_on(context, Event::String(bytes(start, length))) }
}

unsafe extern "C" fn start_map(context: *mut c_void) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::StartMap) }
}

unsafe extern "C" fn map_key(context: *mut c_void, start: *const c_uchar, length: usize) -> c_int {
    // SAFETY: yajl passes the context of the call, and a text that lives as long as the callback runs.
    unsafe { hand_on(context, Event::Key(bytes(start, length))) }
}

unsafe extern "C" fn end_map(context: *mut c_void) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::EndMap) }
}

unsafe extern "C" fn start_array(context: *mut c_void) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::StartArray) }
}

unsafe extern "C" fn end_array(context: *mut c_void) -> c_int {
    // SAFETY: yajl passes the context of the call.
    unsafe { hand_on(context, Event::EndArray) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &[u8]) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let is_valid = parse(text, &mut |event| {
            seen.push(format!("{event:?}"));
            true
        });
        (seen, is_valid)
    }

    #[test]
    fn events_come_in_the_order_of_the_text() {
        let (seen, is_valid) = events(br#"{"a":[null,true,-1.5e3,"\u0041"]}"#);
        let expected = [
            "StartMap",
            "Key([97])",
            "StartArray",
            "Null",
            "Boolean(true)",
            "Number([45, 49, 46, 53, 101, 51])",
            "String([65])",
            "EndArray",
            "EndMap",
        ];
        assert_eq!(seen, expected);
        assert!(is_valid);
    }

    #[test]
    fn what_is_cut_or_refused_is_not_valid() {
        assert!(!events(br#"{"a":1"#).1);
        assert!(!events(b"").1);
        assert!(!parse(b"[1,2]", &mut |event| event != Event::Number(b"2")));
    }

    #[test]
    fn a_panic_goes_on_once_the_call_has_returned() {
        let panics = catch_unwind(|| parse(b"[1]", &mut |_| panic!("of the receiver")));
        assert_eq!(panics.unwrap_err().downcast_ref::<&str>(), Some(&"of the receiver"));
    }
}
