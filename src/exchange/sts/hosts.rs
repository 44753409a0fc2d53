//! Which AWS STS to ask: role ARNs, partitions, regional host names.
//!
//! <https://docs.aws.amazon.com/general/latest/gr/sts.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.

use crate::error::{Error, Result};
use crate::system::shown;

/// What tells one AWS partition from another.
struct Partition {
    name: &'static str,
    /// What its regions' names begin with.
    region_prefixes: &'static [&'static str],
    default_region: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
    /// Whether the ordinary host is the FIPS one.
    always_fips: bool,
}

const PARTITIONS: &[Partition] = &[
    Partition {
        name: "aws-cn",
        region_prefixes: &["cn-"],
        default_region: "cn-north-1",
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
        always_fips: false,
    },
    Partition {
        name: "aws-us-gov",
        region_prefixes: &["us-gov-"],
        default_region: "us-gov-west-1",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        always_fips: true,
    },
    Partition {
        name: "aws-iso",
        region_prefixes: &["us-iso-"],
        default_region: "us-iso-east-1",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        always_fips: false,
    },
    Partition {
        name: "aws-iso-b",
        region_prefixes: &["us-isob-"],
        default_region: "us-isob-east-1",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        always_fips: false,
    },
    Partition {
        name: "aws-iso-e",
        region_prefixes: &["eu-isoe-"],
        default_region: "eu-isoe-west-1",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        always_fips: false,
    },
    Partition {
        name: "aws-iso-f",
        region_prefixes: &["us-isof-"],
        default_region: "us-isof-south-1",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        always_fips: false,
    },
    Partition {
        name: "aws-eusc",
        region_prefixes: &["eusc-"],
        default_region: "eusc-de-east-1",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        always_fips: false,
    },
    AWS,
];

/// What begins with nothing special is ordinary AWS.
const AWS: Partition = Partition {
    name: "aws",
    region_prefixes: &[],
    default_region: "us-east-1",
    suffix: "amazonaws.com",
    dual_stack_suffix: "api.aws",
    always_fips: false,
};

/// Checks that `arn`, which was said by `by`, is one of a role. Partition and account are free: compatible stores write
/// `arn:minio:iam:::role/name`.
///
/// # Errors
/// A usage error that says what is wrong with it.
pub fn check_role_arn(by: &str, arn: &str) -> Result<()> {
    let bad = |why: &str| {
        Error::usage(format!("{by} is no role ARN: {why}; it looks like arn:aws:iam::123456789012:role/NAME"))
    };
    if arn.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("it has white space in it"));
    }
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, _, _, resource] = parts[..] else {
        return Err(bad("it has not six parts between colons"));
    };
    if prefix != "arn" || partition.is_empty() {
        return Err(bad("it does not begin with arn: and a partition"));
    }
    if service != "iam" && service != "sts" {
        return Err(bad("its service is not iam"));
    }
    match resource.strip_prefix("role/") {
        Some(name) if name.is_empty() || name.ends_with('/') => Err(bad("its resource is not role/NAME")),
        None => Err(bad("its resource is not role/NAME")),
        _ if !shown::is_arn(arn) => Err(bad("it holds characters that no role has")),
        _ => Ok(()),
    }
}

/// The region whose STS to ask for a role of this ARN when none is configured.
pub fn default_region(role_arn: &str) -> &'static str {
    let name = role_arn.split(':').nth(1).unwrap_or_default();
    by_name(name).map_or("us-east-1", |partition| partition.default_region)
}

/// The partition that `region` is in, if the role's ARN is of another known one: AWS would refuse.
pub fn other_partition(role_arn: &str, region: &str) -> Option<&'static str> {
    let of_role = by_name(role_arn.split(':').nth(1)?)?;
    let of_region = by_region(region);
    (of_role.name != of_region.name).then_some(of_region.name)
}

/// Checks that `region` is one word.
///
/// # Errors
/// A usage error where it is not, to follow the name of what said it.
pub fn check_region(region: &str) -> Result<()> {
    let is_word = region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !(1..=64).contains(&region.len()) || !is_word || shown::is_opaque(region) {
        return Err(Error::usage("is no region; it looks like eu-west-1"));
    }
    Ok(())
}

/// The region that is meant by a name that the SDKs take for one, and whether its FIPS hosts are: `aws-global` stands for
/// a partition, `fips-us-east-1` and `us-east-1-fips` are of the time before there was a switch for them.
/// <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>,
/// <https://github.com/aws/aws-sdk-go-v2/blob/main/internal/endpoints/v2/endpoints.go>.
pub fn region_of(name: &str) -> (&str, bool) {
    if let Some(partition) = name.strip_suffix("-global").and_then(by_name) {
        return (partition.default_region, false);
    }
    let plain = name.strip_prefix("fips-").or_else(|| name.strip_suffix("-fips"));
    (plain.unwrap_or(name), plain.is_some())
}

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

fn by_name(name: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.name == name)
}

fn by_region(region: &str) -> &'static Partition {
    PARTITIONS
        .iter()
        .find(|partition| partition.region_prefixes.iter().any(|prefix| region.starts_with(prefix)))
        .unwrap_or(&AWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (region, fips, dual_stack, url) in [
            ("eu-west-1", false, false, "https://sts.eu-west-1.amazonaws.com/"),
            ("us-east-1", true, false, "https://sts-fips.us-east-1.amazonaws.com/"),
            ("us-east-1", false, true, "https://sts.us-east-1.api.aws/"),
            ("us-east-1", true, true, "https://sts-fips.us-east-1.api.aws/"),
            ("cn-north-1", false, false, "https://sts.cn-north-1.amazonaws.com.cn/"),
            ("cn-north-1", false, true, "https://sts.cn-north-1.api.amazonwebservices.com.cn/"),
            ("us-gov-west-1", true, false, "https://sts.us-gov-west-1.amazonaws.com/"),
            ("us-iso-east-1", false, false, "https://sts.us-iso-east-1.c2s.ic.gov/"),
            ("us-isob-east-1", false, false, "https://sts.us-isob-east-1.sc2s.sgov.gov/"),
            ("eusc-de-east-1", false, false, "https://sts.eusc-de-east-1.amazonaws.eu/"),
        ] {
            assert_eq!(regional_url(region, fips, dual_stack).expect(region), url);
        }
        for region in ["", "eu west", "EU-WEST-1", "eu.evil.com/", "hunter2"] {
            regional_url(region, false, false).expect_err(region);
        }
    }

    #[test]
    fn names_of_regions() {
        for (name, region, fips) in [
            ("eu-west-1", "eu-west-1", false),
            ("aws-global", "us-east-1", false),
            ("aws-cn-global", "cn-north-1", false),
            ("aws-us-gov-global", "us-gov-west-1", false),
            ("my-global", "my-global", false),
            ("fips-us-east-1", "us-east-1", true),
            ("us-gov-west-1-fips", "us-gov-west-1", true),
        ] {
            assert_eq!(region_of(name), (region, fips), "{name}");
        }
    }

    #[test]
    fn role_arns() {
        for (arn, region) in [
            ("arn:aws:iam::123456789012:role/a/b", "us-east-1"),
            ("arn:aws-cn:iam::123456789012:role/a", "cn-north-1"),
            ("arn:aws-us-gov:iam::123456789012:role/a", "us-gov-west-1"),
            ("arn:minio:iam:::role/idmp-x", "us-east-1"),
        ] {
            check_role_arn("role-arn", arn).expect(arn);
            assert_eq!(default_region(arn), region);
        }
        for arn in [
            "",
            "role",
            "arn:aws:iam::123456789012:user/a",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a ",
            "arn:aws:s3:::role/a",
            "arn:aws:iam:123456789012:role/a",
            "arn::iam::1:role/a",
            "arn:aws:iam::1:role/a?token=b",
        ] {
            check_role_arn("role-arn", arn).expect_err(arn);
        }
    }

    #[test]
    fn regions_of_another_partition() {
        let role = "arn:aws-cn:iam::123456789012:role/a";
        assert_eq!(other_partition(role, "eu-west-1"), Some("aws"));
        assert_eq!(other_partition(role, "cn-northwest-1"), None);
        assert_eq!(other_partition("arn:minio:iam:::role/a", "eu-west-1"), None);
    }
}
