//! Which AWS STS to ask: regional host names.
//!
//! <https://docs.aws.amazon.com/general/latest/gr/sts.html>

use crate::error::{Error, Result};
use crate::model::partition::by_region;
use crate::system::shown;

/// The STS for all regions, which botocore asked for those that it knew then, and asks where it is told to.
pub const GLOBAL: &str = "https://sts.amazonaws.com";
const OF_GLOBAL: &[&str] = &[
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Whether it serves this region.
/// <https://github.com/boto/botocore/blob/develop/botocore/args.py>, `LEGACY_GLOBAL_STS_REGIONS`.
pub fn has_global(region: &str) -> bool {
    OF_GLOBAL.contains(&region)
}

/// The URL of the regional STS.
///
/// # Errors
/// A usage error where `region` is none of AWS's, to follow the name of what said it.
pub fn regional_url(region: &str, fips: bool, dual_stack: bool) -> Result<String> {
    let is_label = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !(1..=32).contains(&region.len()) || !is_label || !region.contains('-') || shown::is_opaque(region) {
        return Err(Error::usage("is no AWS region; it looks like eu-west-1"));
    }
    let partition = by_region(region);
    let service = if fips && (dual_stack || !partition.always_fips) { "sts-fips" } else { "sts" };
    let suffix = if dual_stack { partition.dual_stack_suffix } else { partition.suffix };
    Ok(format!("https://{service}.{region}.{suffix}/"))
}
