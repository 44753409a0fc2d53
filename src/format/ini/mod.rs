//! AWS's configuration files, read as botocore reads them (Python's configparser): one reading for whoever looks for an
//! identity and for whoever edits.
//!
//! - A line that is indented deeper than the setting above it goes on with that setting's value; else it is a setting or a
//!   section's header, however far it is indented.
//! - The first `=` or `:` ends a setting's name, which is in small letters; `#` and `;` begin a comment line.
//!
//! Go's SDK differs where what botocore takes for part of a value looks like a header or like a setting: it takes them for
//! what they look like. There an edit keeps both readings, or refuses; whoever looks for credentials is told the line.
//! Where an SDK reads what another cannot, the file is read: behind ` #` stands a comment (not in botocore), a value in
//! quotes is what they enclose (Go), a header's name has no blanks around it (Go).
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>,
//! <https://github.com/python/cpython/blob/3.13/Lib/configparser.py>,
//! <https://github.com/boto/botocore/blob/develop/botocore/configloader.py>,
//! <https://github.com/aws/aws-sdk-go-v2/blob/main/config/internal/ini>

mod aside;
mod carried;
mod edit;
mod lines;
mod nested;
mod read;
mod section;
mod settings;

pub use aside::{has_aside, newly_aside, put_back};
pub use carried::Carried;
pub use edit::edit;
pub use lines::Malformed;
pub use nested::{block, is_services};
pub use read::{OTHER_SOURCES, STATIC_KEYS, for_all, is_profile, is_profile_or_default, malformed, read};
pub use section::Section;
pub use settings::{Settings, settings};
