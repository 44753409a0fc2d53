//! What conditions are compared with: the
//! [request context](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html#AccessPolicyLanguage_RequestContext).

use std::collections::BTreeMap;

/// What a condition key has in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These values.
    Values(Vec<String>),
    /// The request has no such key.
    Absent,
    /// It may have it; nobody here can tell.
    Unknown,
}

/// The keys of one request. Their names are compared without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Context {
    keys: BTreeMap<String, Found>,
    /// AWS may know more than what was set.
    is_open: bool,
}

impl Context {
    /// A request of which all is known that will be set.
    pub fn closed() -> Self {
        Self::default()
    }

    /// A request to AWS itself, which knows more of it than who asks: from where it comes, through which network, what the
    /// role is tagged with.
    pub fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// Gives `key` one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.insert(key, Found::Values(vec![value.into()]));
    }

    /// Gives `key` what was found.
    pub fn insert(&mut self, key: &str, found: Found) {
        self.keys.insert(key.to_lowercase(), found);
    }

    /// What the request has under `key`.
    pub fn find(&self, key: &str) -> Found {
        let key = key.to_lowercase();
        match self.keys.get(&key) {
            Some(found) => found.clone(),
            None if self.is_open && may_be_there(&key) => Found::Unknown,
            None => Found::Absent,
        }
    }

    /// The value of a key that has one.
    pub fn single(&self, key: &str) -> Option<String> {
        match self.find(key) {
            Found::Values(values) => <[String; 1]>::try_from(values).ok().map(|[value]| value),
            _ => None,
        }
    }
}

/// Whether an unsigned request to AWS STS may have this key, which is in small letters. The
/// [global keys](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html) say of
/// themselves when they are there: what describes who signed, or a service that calls for somebody, is not.
fn may_be_there(key: &str) -> bool {
    const ABSENT: &[&str] = &[
        "aws:assumedroot",
        "aws:calledvia",
        "aws:chatbotsourcearn",
        "aws:ec2instancesource",
        "aws:federatedprovider",
        "aws:multifactorauth",
        "aws:principal",
        "aws:referer",
        "aws:requesttag/",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceidentity",
        "aws:sourceorg",
        "aws:tagkeys",
        "aws:tokenissuetime",
        "aws:userid",
        "aws:username",
        "sts:awsservicename",
        "sts:durationseconds",
        "sts:externalid",
        "sts:sourceidentity",
        "sts:transitivetagkeys",
    ];
    let is_of_aws = ["aws:", "sts:", "iam:resourcetag/"].iter().any(|prefix| key.starts_with(prefix));
    is_of_aws && !ABSENT.iter().any(|absent| key.starts_with(absent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said() {
        let (closed, mut open) = (Context::closed(), Context::open());
        open.set("aws:SourceIp", "203.0.113.7");
        for (key, found) in [
            ("AWS:sourceIP", Found::Values(vec!["203.0.113.7".into()])),
            ("aws:SourceVpce", Found::Unknown),
            ("aws:ResourceTag/team", Found::Unknown),
            ("iam:ResourceTag/team", Found::Unknown),
            ("sts:RoleSessionName", Found::Unknown),
            ("aws:PrincipalArn", Found::Absent),
            ("aws:PrincipalTag/team", Found::Absent),
            ("aws:MultiFactorAuthPresent", Found::Absent),
            ("sts:ExternalId", Found::Absent),
            ("saml:aud", Found::Absent),
            ("accounts.google.com:hd", Found::Absent),
        ] {
            assert_eq!(open.find(key), found, "{key}");
            assert_eq!(closed.find(key), Found::Absent, "{key}");
        }
    }
}
