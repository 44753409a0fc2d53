//! What a reason is: why something did not work, and what to do.

use std::fmt;

/// One reason. In its texts `{name}` stands for a value of the case at hand.
pub struct Reason {
    /// What stands at the end of a message: `FB` and three digits.
    pub code: &'static str,
    /// What is wrong, to follow "cannot …:"; empty where each place that finds it says so itself.
    pub cause: &'static str,
    /// What to do; empty where each place says so itself.
    pub remedy: &'static str,
    /// What else one should know of it, for the page of reasons.
    pub why: &'static str,
    /// Where that is documented, or was reported.
    pub source: &'static str,
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Reason {
    /// What is wrong, with these values.
    pub fn cause(&self, values: &[(&str, &str)]) -> String {
        filled(self.cause, values)
    }

    /// What to do, with these values.
    pub fn remedy(&self, values: &[(&str, &str)]) -> String {
        filled(self.remedy, values)
    }
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        text += values.iter().find(|(known, _)| *known == name).map_or(name, |(_, value)| value);
        rest = behind;
    }
    text + rest
}

/// Rows of one file.
macro_rules! reasons {
    ($($name:ident $code:literal: $cause:literal, $remedy:literal, $why:literal, $source:literal;)*) => {
        $(
            #[doc = concat!($code, ": ", $cause)]
            pub static $name: Reason =
                Reason { code: $code, cause: $cause, remedy: $remedy, why: $why, source: $source };
        )*
        /// The rows of this file.
        pub(crate) static ALL: &[&Reason] = &[$(&$name),*];
    };
}
pub(crate) use reasons;
