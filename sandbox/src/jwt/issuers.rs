//! Those whose tokens are believed somewhere: Google, an
//! [EKS cluster](https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html), and AWS STS
//! for [an account](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html).

use std::sync::OnceLock;

use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::jwt::key::{self, Disbelief, Key, published};

/// Google, in policies, replies and `iss`.
pub(crate) const GOOGLE: &str = "accounts.google.com";
/// The cluster on which pods run.
pub(crate) const EKS: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/5D0B1F2CA9E84D6F93A7C2E1B8F60D47";
/// The audience of tokens for AWS STS.
pub(crate) const STS_AUDIENCE: &str = "sts.amazonaws.com";
const ACCOUNTS: &str = ".tokens.sts.global.api.aws";

/// The cluster's key.
pub(crate) fn eks() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| published().renamed())
}

/// AWS STS's keys, which are the same for every account here: RS256 and ES384.
pub(crate) fn aws() -> [&'static Key; 2] {
    static KEYS: OnceLock<[Key; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [published().renamed(), Key::p384()]).each_ref()
}

/// `https://UUID.tokens.sts.global.api.aws`: what follows from an account's number, always the same.
pub(crate) fn of_account(account: &str) -> String {
    let hash = digest(&SHA256, account.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("https://{}-{}-{}-{}-{}{ACCOUNTS}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// `iss` without `https://`, as policies have it.
pub(crate) fn name(issuer: &str) -> &str {
    issuer.trim_start_matches("https://")
}

/// The claims of a token that its issuer signed. Whether it still holds is for others to say.
pub(crate) fn verify(token: &str) -> Result<Value, Disbelief> {
    key::verify(token, |issuer| match issuer {
        EKS => vec![eks()],
        _ if name(issuer) == GOOGLE => vec![published()],
        _ if issuer.ends_with(ACCOUNTS) => aws().to_vec(),
        _ => Vec::new(),
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
        let [rs256, es384] = aws();
        let account = of_account("123456789012");
        assert_ne!(account, of_account("210987654321"));
        for (key, issuer, good) in [
            (published(), "https://accounts.google.com", true),
            (published(), "accounts.google.com", true),
            (published(), EKS, false),
            (eks(), EKS, true),
            (eks(), "accounts.google.com", false),
            (rs256, &account, true),
            (es384, &account, true),
            (eks(), &account, false),
            (rs256, "https://example.com", false),
        ] {
            assert_eq!(verify(&key.sign(&json!({"iss": issuer}))).is_ok(), good, "{issuer}");
        }
    }
}
