//! Where clients look.

use crate::error::reason::{Reason, reasons};

reasons! {
    CANNOT_WRITE "FB601": "", "name a writable --credentials-file, mount a writable volume, or free some space",
        "The file or its directory cannot be written: a read-only root file system, another owner, a full disk, a limit.",
        "https://man7.org/linux/man-pages/man7/path_resolution.7.html";
    MALFORMED_FILE "FB602": "", "mend or remove the line that is named",
        "The credentials file holds a line that no SDK can read. fedboot changes nothing in it then.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html";
    UNSAFE_PLACE "FB603": "", "name a file in a directory of your own",
        "The directory or the file belongs to somebody else, or others may write there, so what is written could be read or \
         replaced.",
        "SECURITY.md";
}
