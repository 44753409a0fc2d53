//! Providers of workload identity pools by name.

use crate::system::shown;

/// A workload's provider, or a person's, in an audience: what stands behind the name of the service.
pub fn provider_in(audience: &str) -> Option<&str> {
    let path = audience.strip_prefix("//iam.googleapis.com/")?;
    let parts: Vec<&str> = path.split('/').collect();
    let names = match parts[..] {
        ["projects", number, "locations", place, "workloadIdentityPools", pool, "providers", provider] => {
            vec![number, place, pool, provider]
        }
        ["locations", place, "workforcePools", pool, "providers", provider] => vec![place, pool, provider],
        _ => return None,
    };
    are_names(&names).then_some(path)
}

/// Whoever has this role of AWS, by the usual mapping, in a pool.
/// <https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#mappings-and-conditions>
pub fn member_of_role(pool: &str, role: &str) -> String {
    format!("principalSet://iam.googleapis.com/{pool}/attribute.aws_role/{role}")
}

/// Whether these can be names of projects, pools and providers.
pub fn are_names(names: &[&str]) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    names.iter().all(|name| (1..=64).contains(&name.len()) && name.bytes().all(is_letter) && !shown::is_opaque(name))
}
