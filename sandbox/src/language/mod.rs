//! The two languages in which people write to the clouds who may do what.

pub(crate) mod cel;
