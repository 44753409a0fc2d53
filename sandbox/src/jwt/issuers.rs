//! Those whose tokens are believed somewhere: Google, an
//! [EKS cluster](https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html), and AWS STS
//! for [an account](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html).

use std::sync::LazyLock;

use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::clock::hex;
use crate::jwt::key::{self, Disbelief, Key, PUBLISHED};

/// Google, in policies, replies and `iss`.
pub(crate) const GOOGLE: &str = "accounts.google.com";
/// The cluster on which pods run.
pub(crate) const EKS: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/5D0B1F2CA9E84D6F93A7C2E1B8F60D47";
/// The audience of tokens for AWS STS.
pub(crate) const STS_AUDIENCE: &str = "sts.amazonaws.com";
const ACCOUNTS: &str = ".tokens.sts.global.api.aws";

/// The cluster's key.
pub(crate) static EKS_KEY: LazyLock<Key> = LazyLock::new(|| PUBLISHED.renamed());
/// AWS STS's keys, which are the same for every account here: RS256 and ES384.
pub(crate) static AWS_KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| [PUBLISHED.renamed(), Key::p384()]);

/// `https://UUID.tokens.sts.global.api.aws`: what follows from an account's number, always the same.
pub(crate) fn of_account(account: &str) -> String {
    let hex = hex(digest(&SHA256, account.as_bytes()).as_ref());
    format!("https://{}-{}-{}-{}-{}{ACCOUNTS}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// `iss` without `https://`, as policies have it.
pub(crate) fn name(issuer: &str) -> &str {
    issuer.trim_start_matches("https://")
}

/// The claims of a token that its issuer signed. Whether it still holds is for others to say.
pub(crate) fn verify(token: &str) -> Result<Value, Disbelief> {
    key::verify(token, |issuer| match issuer {
        EKS => std::slice::from_ref(&*EKS_KEY),
        _ if name(issuer) == GOOGLE => std::slice::from_ref(&*PUBLISHED),
        _ if issuer.ends_with(ACCOUNTS) => &*AWS_KEYS,
        _ => &[],
    })
}

/// The first or only one of a token's audiences.
pub(crate) fn audience(claims: &Value) -> Option<&str> {
    claims["aud"].as_str().or_else(|| claims["aud"][0].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_speaks_for_its_issuer_alone() {
        let [rs256, es384] = &*AWS_KEYS;
        let account = of_account("123456789012");
        assert_ne!(account, of_account("210987654321"));
        for (key, issuer, good) in [
            (&*PUBLISHED, "https://accounts.google.com", true),
            (&*PUBLISHED, "accounts.google.com", true),
            (&*PUBLISHED, EKS, false),
            (&*EKS_KEY, EKS, true),
            (&*EKS_KEY, "accounts.google.com", false),
            (rs256, &account, true),
            (es384, &account, true),
            (&*EKS_KEY, &account, false),
            (rs256, "https://example.com", false),
        ] {
            assert_eq!(verify(&key.sign(&json!({"iss": issuer}))).is_ok(), good, "{issuer}");
        }
    }
}
