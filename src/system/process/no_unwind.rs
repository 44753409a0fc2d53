//! What the C library's unwinder would do, undone. The shipped binary ends at a panic and has no tables to unwind by, but
//! the standard library comes compiled with calls of the unwinder, and with one that walks the stack and looks its places
//! up in debug information. With these in their place the linker leaves the unwinder out, and the compiler sees that nothing
//! is ever found to be looked up: a tenth of the binary. <https://refspecs.linuxfoundation.org/abi-eh-1.21.html>

use std::ffi::{c_int, c_void};

use crate::system::process::own::abort;

/// There are no further frames on the stack.
const END_OF_STACK: c_int = 5;

/// Walks over nothing.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_: extern "C" fn(*mut c_void, *mut c_void) -> c_int, _: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Nothing is thrown, so nothing goes on.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_: *mut c_void) -> ! {
    abort()
}

/// Defines functions that are called only from frames, of which there are none.
macro_rules! never_called {
    ($($name:ident($($argument:ty),*))*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) -> usize {
            0
        }
    )*};
}

never_called! {
    _Unwind_GetIP(*mut c_void)
    _Unwind_GetIPInfo(*mut c_void, *mut c_int)
    _Unwind_GetCFA(*mut c_void)
    _Unwind_GetLanguageSpecificData(*mut c_void)
    _Unwind_GetRegionStart(*mut c_void)
    _Unwind_GetTextRelBase(*mut c_void)
    _Unwind_GetDataRelBase(*mut c_void)
    _Unwind_SetGR(*mut c_void, c_int, usize)
    _Unwind_SetIP(*mut c_void, usize)
    _Unwind_DeleteException(*mut c_void)
}
