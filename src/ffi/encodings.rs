//! The encodings that the C library converts for libxml2.
//!
//! Where libxml2 was built without ICU (Debian 13), it has the C library convert XML documents, which loads a module for each
//! encoding at its first use. An engine that is confined can load none: it may make no memory executable.

use std::ffi::{CStr, c_char, c_void};

/// The encodings of documents on the Web, beyond those that libxml2 converts by itself (UTF-8, UTF-16, ASCII, ISO-8859-1).
const NAMES: [&CStr; 34] = [
    c"BIG5",
    c"BIG5-HKSCS",
    c"EUC-JP",
    c"EUC-KR",
    c"GB18030",
    c"GBK",
    c"IBM866",
    c"ISO-2022-JP",
    c"ISO-8859-2",
    c"ISO-8859-3",
    c"ISO-8859-4",
    c"ISO-8859-5",
    c"ISO-8859-6",
    c"ISO-8859-7",
    c"ISO-8859-8",
    c"ISO-8859-9",
    c"ISO-8859-10",
    c"ISO-8859-13",
    c"ISO-8859-14",
    c"ISO-8859-15",
    c"ISO-8859-16",
    c"KOI8-R",
    c"KOI8-U",
    c"MACINTOSH",
    c"SHIFT_JIS",
    c"WINDOWS-1250",
    c"WINDOWS-1251",
    c"WINDOWS-1252",
    c"WINDOWS-1253",
    c"WINDOWS-1254",
    c"WINDOWS-1255",
    c"WINDOWS-1256",
    c"WINDOWS-1257",
    c"WINDOWS-1258",
];

unsafe extern "C" {
    // iconv(3). An error is a pointer of all ones.
    fn iconv_open(to: *const c_char, from: *const c_char) -> *mut c_void;
}

/// Loads the modules of these encodings into this process, and so into those that it forks, for good. What the system does not
/// have stays away: a document in such an encoding cannot be parsed, and rules see that in `REQBODY_ERROR`.
pub(crate) fn load() {
    for name in NAMES {
        // SAFETY: both are texts that end in a zero byte and live for ever. The call only reads them, and no other thread of a
        // zygote runs. What it returns is never closed, so that the module stays.
        unsafe { iconv_open(c"UTF-8".as_ptr(), name.as_ptr()) };
    }
}
