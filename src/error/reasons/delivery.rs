//! Where clients look.

use crate::error::reason::{Reason, reasons};

reasons! {
    CANNOT_WRITE "FB601": "", "",
        "The file or its directory cannot be written: a read-only root file system, another owner, a full disk, a limit.",
        "https://man7.org/linux/man-pages/man7/path_resolution.7.html";
    MALFORMED_FILE "FB602": "", "",
        "The credentials file holds a line that no SDK can read. fedboot changes nothing in it then.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html";
    UNSAFE_PLACE "FB603": "", "",
        "The directory or the file belongs to somebody else, or others may write there, so what is written could be read or \
         replaced.",
        "SECURITY.md";
}
