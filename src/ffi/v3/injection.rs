//! The libinjection in libmodsecurity, which exports its functions. They are looked up in that library by name:
//! ModSecurity 2.9 brings functions of the same names, which the program is linked with.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use nix::libc;

type Sqli = unsafe extern "C" fn(*const c_char, usize, *mut c_char) -> c_int;
type Xss = unsafe extern "C" fn(*const c_char, usize) -> c_int;

static FUNCTIONS: OnceLock<Option<(Sqli, Xss)>> = OnceLock::new();

/// Whether the library has the functions; without them nothing is found.
#[must_use]
pub fn is_there() -> bool {
    functions().is_some()
}

/// Whether libinjection takes `value` for an injection of SQL, as the engine's operator asks.
#[must_use]
pub fn is_sqli(value: &[u8]) -> bool {
    let mut fingerprint = [0; 8];
    // SAFETY: the bytes are live, and the call keeps nothing. It writes at most eight bytes.
    functions().is_some_and(|(sqli, _)| unsafe {
        sqli(value.as_ptr().cast(), value.len(), fingerprint.as_mut_ptr()) != 0
    })
}

/// Whether libinjection takes `value` for a script, as the engine's operator asks.
#[must_use]
pub fn is_xss(value: &[u8]) -> bool {
    // SAFETY: the bytes are live, and the call keeps nothing.
    functions().is_some_and(|(_, xss)| unsafe { xss(value.as_ptr().cast(), value.len()) != 0 })
}

fn functions() -> Option<(Sqli, Xss)> {
    *FUNCTIONS.get_or_init(|| {
        // SAFETY: the name is terminated. The program is linked with this library, so this finds the one in use.
        let library = unsafe { libc::dlopen(c"libmodsecurity.so.3".as_ptr(), libc::RTLD_LAZY) };
        let library = NonNull::new(library)?;
        // SAFETY: the library is open and stays open, and the names are terminated.
        let find =
            |name: &std::ffi::CStr| NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) });
        let (sqli, xss) = (find(c"libinjection_sqli")?, find(c"libinjection_xss")?);
        // SAFETY: these are functions of libinjection with these types (libinjection.h of version 3.9.2; that of 4.0
        // returns an enumeration in place of the number).
        Some(unsafe {
            (
                std::mem::transmute::<*mut c_void, Sqli>(sqli.as_ptr()),
                std::mem::transmute::<*mut c_void, Xss>(xss.as_ptr()),
            )
        })
    })
}
