use fedboot::exchange::sts::hosts::regional_url;

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
