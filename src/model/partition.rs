//! AWS's partitions, and which regions are in which.

use crate::error::{Error, Result};
use crate::system::shown;

/// What tells one AWS partition from another.
pub struct Partition {
    /// As it stands in ARNs.
    pub name: &'static str,
    /// What its regions' names begin with.
    pub region_prefixes: &'static [&'static str],
    /// The region that is asked where none is named.
    pub default_region: &'static str,
    /// What the names of its hosts end with.
    pub suffix: &'static str,
    /// The same for hosts that speak IPv6 too.
    pub dual_stack_suffix: &'static str,
    /// Whether the ordinary host is the FIPS one.
    pub always_fips: bool,
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

/// Ordinary AWS's regions: <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>.
const REGIONS: [&str; 34] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// What to say of a region that ordinary AWS did not have when this was built; none for one that it had.
pub fn doubt(region: &str) -> Option<String> {
    if by_region(region).name != AWS.name || REGIONS.contains(&region) {
        return None;
    }
    let near = REGIONS.iter().map(|known| (strsim::damerau_levenshtein(known, region), known)).min();
    let meant = near.filter(|(distance, _)| *distance <= 2).map(|(_, known)| format!(": did you mean {known}?"));
    Some(format!("{region} is no region that this fedboot knows{}", meant.unwrap_or_default()))
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
        return Err(Error::usage("is no region").advice("it looks like eu-west-1"));
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

fn by_name(name: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.name == name)
}

/// The partition that `region` is in; an unknown one is taken for ordinary AWS's.
pub fn by_region(region: &str) -> &'static Partition {
    PARTITIONS
        .iter()
        .find(|partition| partition.region_prefixes.iter().any(|prefix| region.starts_with(prefix)))
        .unwrap_or(&AWS)
}
