//! The dialects of XML: AWS's, and those of stores that imitate its STS.

use serde::{Deserialize, Serialize};

/// How text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// Escaped only where it must be.
    #[default]
    Plain,
    /// In CDATA sections.
    Cdata,
    /// With `+`, `/` and `=` as character references; session tokens then hold an ampersand, too.
    Entities,
}

/// How an XML reply is written. [`Dialect::aws`] is AWS's own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dialect {
    /// Begins with `<?xml …?>`.
    pub prolog: bool,
    /// A namespace prefix on every element.
    pub prefix: Option<String>,
    /// Indented by two spaces.
    pub pretty: bool,
    /// `Expiration` has nine decimals.
    pub nanoseconds: bool,
    /// How text is written.
    pub text: Text,
    /// Elements left out, by name.
    pub omit: Vec<String>,
    /// Children in the opposite order, everywhere.
    pub reversed: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            prolog: false,
            prefix: None,
            pretty: true,
            nanoseconds: false,
            text: Text::Plain,
            omit: Vec::new(),
            reversed: false,
        }
    }
}

impl Dialect {
    /// AWS: no prolog, indented, whole seconds.
    pub fn aws() -> Self {
        Self::default()
    }

    /// As MinIO writes: a prolog, no white space, nanoseconds.
    pub fn minio() -> Self {
        Self { prolog: true, pretty: false, nanoseconds: true, ..Self::aws() }
    }

    /// All the dialects with a name for a test's table.
    pub fn all() -> Vec<(&'static str, Self)> {
        let omit = |names: &[&str]| Self { omit: names.iter().map(|n| n.to_string()).collect(), ..Self::minio() };
        vec![
            ("aws", Self::aws()),
            ("minio", Self::minio()),
            ("compact", Self { pretty: false, ..Self::aws() }),
            ("prefix", Self { prefix: Some("sts".into()), ..Self::aws() }),
            ("cdata", Self { text: Text::Cdata, ..Self::aws() }),
            ("entities", Self { text: Text::Entities, ..Self::minio() }),
            ("reversed", Self { reversed: true, ..Self::aws() }),
            (
                "sparse",
                omit(&[
                    "SubjectFromWebIdentityToken",
                    "Audience",
                    "Provider",
                    "AssumedRoleUser",
                    "ResponseMetadata",
                    "RequestId",
                ]),
            ),
        ]
    }
}
