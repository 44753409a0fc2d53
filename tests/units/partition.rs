use fedboot::model::partition::{other_partition, region_of};

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
fn regions_of_another_partition() {
    let role = "arn:aws-cn:iam::123456789012:role/a";
    assert_eq!(other_partition(role, "eu-west-1"), Some("aws"));
    assert_eq!(other_partition(role, "cn-northwest-1"), None);
    assert_eq!(other_partition("arn:minio:iam:::role/a", "eu-west-1"), None);
}
