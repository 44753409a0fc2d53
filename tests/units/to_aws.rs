use fedboot::config::sts::StsConfig;
use fedboot::config::to_aws::ToAwsConfig;
use fedboot::error::Result;
use fedboot::system::http::Endpoint;

use crate::{options, world};

fn resolve(flags: &str, variables: &[(&str, &str)], attributes: &[(&str, &str)]) -> Result<ToAwsConfig> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    ToAwsConfig::resolve(&options(flags)?, &world(variables), &attributes)
}

const ROLE: &str = "arn:aws:iam::123456789012:role/a";

#[test]
fn flag_then_own_variable_then_the_ecosystems_then_attribute() {
    let role = |flags: &str, variables: &[(&str, &str)], attributes: &[(&str, &str)]| {
        resolve(flags, variables, attributes).expect("a config").roles[0].role_arn.literal().expect("a literal")
    };
    let arn = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let [flag, own, aws, attribute] = ["flag", "own", "aws", "attribute"].map(arn);
    let attributes = [("fedboot-role-arn", attribute.as_str())];
    let both = [("AWS_ROLE_ARN", aws.as_str()), ("FEDBOOT_ROLE_ARN", own.as_str())];
    assert_eq!(role(&format!("--role-arn {flag}"), &both, &attributes), flag);
    assert_eq!(role("", &both, &attributes), own);
    assert_eq!(role("", &both[..1], &attributes), aws);
    assert_eq!(role("", &[("FEDBOOT_ROLE_ARN", "")], &attributes), attribute);
}

#[test]
fn nothing_that_could_send_a_token_elsewhere_comes_from_an_attribute() {
    let config = resolve(
        "",
        &[],
        &[("fedboot-role-arn", ROLE), ("fedboot-sts-endpoint", "https://evil.example"), ("fedboot-delivery", "x")],
    );
    assert_eq!(config.expect("a config").sts, StsConfig::Regional { fips: false, dual_stack: false });
}

#[test]
fn endpoints() {
    let sts = |flags: &str, variables: &[(&str, &str)]| {
        let variables: Vec<_> = [("AWS_ROLE_ARN", ROLE)].iter().chain(variables).copied().collect();
        resolve(flags, &variables, &[]).expect("a config").sts
    };
    let at = |url: &str| StsConfig::Endpoint(Endpoint::parse(url, true).expect(url));
    let sdk = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000");
    assert_eq!(sts("", &[sdk]), at("http://127.0.0.1:9000"));
    assert_eq!(sts("", &[sdk, ("AWS_ENDPOINT_URL_STS", "https://sts.example/x/")]), at("https://sts.example/x"));
    let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    assert_eq!(sts("", &[sdk, ignored]), StsConfig::Regional { fips: false, dual_stack: false });
    assert_eq!(sts("--sts-endpoint https://b", &[sdk, ignored]), at("https://b"));
    assert_eq!(sts("--allow-http --sts-endpoint http://b", &[]), at("http://b"));
    let modern = [("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")];
    assert_eq!(sts("", &modern), StsConfig::Regional { fips: true, dual_stack: true });
}
