//! Who wants to assume a role, and what a policy may call it.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    kind: &'static str,
    names: Vec<String>,
    /// How the name of its provider ends where the account is not known in which that is.
    ending: Option<String>,
}

/// The providers that IAM knows without being told, by their own names.
pub const BUILT_IN: &[&str] =
    &["accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com"];

impl Caller {
    /// Whoever has a token of this issuer, written as in condition keys: without `https://`. `role_arn` tells in which
    /// partition and account the issuer must be a provider.
    pub fn of_issuer(issuer: &str, role_arn: Option<&str>) -> Self {
        if BUILT_IN.contains(&issuer) {
            return Self { kind: "Federated", names: vec![issuer.into()], ending: None };
        }
        let ending = format!("oidc-provider/{issuer}");
        let place = role_arn.and_then(|arn| {
            let mut parts = arn.split(':').skip(1);
            Some((parts.next()?, parts.nth(2).filter(|account| !account.is_empty())?))
        });
        match place {
            Some((partition, account)) => {
                let arn = format!("arn:{partition}:iam::{account}:{ending}");
                Self { kind: "Federated", names: vec![arn], ending: None }
            }
            None => Self {
                kind: "Federated",
                names: vec![format!("arn:aws:iam::ACCOUNT:{ending}")],
                ending: Some(format!(":{ending}")),
            },
        }
    }

    /// An identity of AWS by all its names: a session's are its own ARN, its role's, its account's.
    pub fn of_aws(names: Vec<String>) -> Self {
        Self { kind: "AWS", names, ending: None }
    }

    /// What a policy calls it first.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The kind of principal under which policies name it.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether a policy that names `name` as a principal of `kind` means it. All of AWS are all there are.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        if name == "*" {
            return kind == self.kind || kind == "AWS";
        }
        let ends = || {
            let rest = self.ending.as_deref().and_then(|ending| name.strip_suffix(ending));
            rest.is_some_and(|rest| rest.starts_with("arn:") && rest.contains(":iam::"))
        };
        kind == self.kind && (self.names.iter().any(|own| own == name) || ends())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_its_names() {
        let google = Caller::of_issuer("accounts.google.com", None);
        let github = Caller::of_issuer("token.actions.githubusercontent.com", None);
        let here =
            Caller::of_issuer("token.actions.githubusercontent.com", Some("arn:aws-us-gov:iam::111122223333:role/a:b"));
        let arn = |partition: &str, account: &str| {
            format!("arn:{partition}:iam::{account}:oidc-provider/token.actions.githubusercontent.com")
        };
        let session = Caller::of_aws(vec!["arn:aws:sts::1:assumed-role/r/s".into(), "1".into()]);
        for (caller, kind, name, is) in [
            (&google, "Federated", "accounts.google.com", true),
            (&google, "Federated", "*", true),
            (&google, "AWS", "*", true),
            (&google, "AWS", "accounts.google.com", false),
            (&google, "Service", "*", false),
            (&google, "Federated", "https://accounts.google.com", false),
            (&google, "Federated", "arn:aws:iam::111122223333:oidc-provider/accounts.google.com", false),
            (&github, "Federated", &arn("aws", "111122223333"), true),
            (&github, "Federated", &arn("aws-cn", "444455556666"), true),
            (&github, "Federated", "token.actions.githubusercontent.com", false),
            (&github, "Federated", &format!("{}/acme", arn("aws", "111122223333")), false),
            (&here, "Federated", &arn("aws-us-gov", "111122223333"), true),
            (&here, "Federated", &arn("aws", "111122223333"), false),
            (&here, "Federated", &arn("aws-us-gov", "444455556666"), false),
            (&session, "AWS", "1", true),
            (&session, "AWS", "2", false),
            (&session, "Federated", "*", false),
        ] {
            assert_eq!(caller.is(kind, name), is, "{} as {kind} {name}", caller.name());
        }
    }
}
