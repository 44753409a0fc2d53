//! What the profile in use says of the way: which STS and which instance metadata service are asked.

use fedboot_sandbox::{AwsPlace, Role, Sandbox};

use super::{ASSUME, arn, configure, keys, without_keys};
use crate::common::NOBODY;
use crate::{EXCHANGE, actions, at_with, last, side_by_side, with_account};

type Row = (&'static str, &'static str, &'static str, &'static str, Result<(), &'static str>);

/// In a row: what the profile says beside its role, what stands elsewhere in its file, variables; and whether AWS was asked
/// for the role, else what fedboot says. All that is not on this machine is behind a proxy that is not there.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn of_the_profile_in_use() {
    let role = "role_arn = {second}\nsource_profile = keys\n";
    let of_instance = "role_arn = {second}\ncredential_source = Ec2InstanceMetadata\nendpoint_url = {sts}\n";
    let nested = "[services mine]\ns3 =\n  endpoint_url = {nobody}\nsts =\n  endpoint_url = {sts}\n";
    let wrong = "[services mine]\nsts =\n  endpoint_url = {nobody}\n";
    let regional = Err("https://sts.us-west-2.amazonaws.com");
    let rows: &[Row] = &[
        (role, "", "", "", regional),
        (role, "endpoint_url = {sts}", "", "", Ok(())),
        (role, "endpoint_url = \"{sts}\" # here", "", "", Ok(())),
        (role, "services = mine\nendpoint_url = {nobody}", nested, "", Ok(())),
        (role, "services = mine\nendpoint_url = {sts}", wrong, "", Err("https://127.0.0.1:1")),
        (role, "services = mine\nendpoint_url = {sts}", "[services mine]\ns3 =\n  endpoint_url = x\n", "", Ok(())),
        (role, "services = mine", "[services \"other\"]\n", "", Err("services of the profile default names a section")),
        (role, "endpoint_url = {nobody}", "", "AWS_ENDPOINT_URL={sts}", Ok(())),
        (role, "services = mine", wrong, "AWS_ENDPOINT_URL={sts}", Ok(())),
        (role, "services = mine", wrong, "AWS_ENDPOINT_URL_STS={sts}", Ok(())),
        (role, "services = mine", wrong, "--sts-endpoint={sts}", Ok(())),
        (role, "endpoint_url = {sts}\nignore_configured_endpoint_urls = True", "", "", regional),
        (role, "ignore_configured_endpoint_urls = true", "", "AWS_ENDPOINT_URL_STS={sts}", regional),
        (role, "ignore_configured_endpoint_urls = true", "", "--sts-endpoint={sts}", Ok(())),
        (role, "endpoint_url = {sts}", "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", regional),
        (
            role,
            "endpoint_url = {sts}\nignore_configured_endpoint_urls = true",
            "",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=false",
            Ok(()),
        ),
        (role, "use_fips_endpoint = true", "", "", Err("https://sts-fips.us-west-2.amazonaws.com")),
        (role, "use_fips_endpoint = true", "", "AWS_USE_FIPS_ENDPOINT=false", regional),
        (role, "use_fips_endpoint = false", "", "AWS_USE_FIPS_ENDPOINT=true", Err("https://sts-fips.us-west-2.")),
        (role, "use_dualstack_endpoint = true", "", "", Err("https://sts.us-west-2.api.aws")),
        (role, "use_dualstack_endpoint = true", "", "AWS_USE_DUALSTACK_ENDPOINT=false", regional),
        (role, "use_fips_endpoint = true\nendpoint_url = {sts}", "", "", Ok(())),
        (role, "sts_regional_endpoints = legacy", "", "", Err("https://sts.amazonaws.com")),
        (role, "sts_regional_endpoints = regional", "", "", regional),
        (role, "sts_regional_endpoints = legacy", "", "AWS_STS_REGIONAL_ENDPOINTS=regional", regional),
        (role, "sts_regional_endpoints = legacy\nuse_fips_endpoint = true", "", "", Err("https://sts-fips.us-west-2.")),
        (role, "sts_regional_endpoints = global", "", "", Err("none of regional, legacy")),
        (role, "region = fips-us-east-2", "", "AWS_REGION=", Err("https://sts-fips.us-east-2.amazonaws.com")),
        (role, "region = aws-global", "", "AWS_REGION=", Err("https://sts.us-east-1.amazonaws.com")),
        // Of another profile they mean nothing.
        (role, "", "[profile b]\nendpoint_url = {sts}\n", "", regional),
        ("role_arn = {second}\nsource_profile = b\n", "", "[profile b]\nendpoint_url = {sts}\n{keys}", "", regional),
        (role, "endpoint_url = ftp://x", "", "", Err("endpoint_url of the profile default is no endpoint")),
        (of_instance, "ec2_metadata_service_endpoint = {imds}", "", "", Ok(())),
        (of_instance, "ec2_metadata_service_endpoint = {imds}/", "", "", Ok(())),
        (
            of_instance,
            "ec2_metadata_service_endpoint = {nobody}",
            "",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT={imds}",
            Ok(()),
        ),
        (of_instance, "ec2_metadata_service_endpoint = {nobody}", "", "", Err("127.0.0.1:1")),
        (of_instance, "ec2_metadata_service_endpoint_mode = IPv6", "", "", Err("[fd00:ec2::254]")),
        (of_instance, "imds_use_ipv6 = true", "", "", Err("[fd00:ec2::254]")),
        (of_instance, "", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=ipv6", Err("[fd00:ec2::254]")),
        (of_instance, "ec2_metadata_service_endpoint_mode = moon", "", "", Err("none of ipv4, ipv6")),
    ];
    side_by_side(rows, |(role, more, elsewhere, variable, expected)| {
        let name = format!("{more} {elsewhere} {variable}");
        let second = Role::trusting_role(arn("second"), super::DEMO, None);
        let demo = Role::for_workload(super::DEMO, "system:serviceaccount:default:app");
        let builder = Sandbox::builder().role(demo).role(second);
        let builder = builder.workload_identity_user(format!("principalSet://iam.googleapis.com/{}/*", crate::POOL));
        let builder = builder.settings(|settings| settings.instance_role = Some(super::DEMO.into()));
        let mut stage = at_with(AwsPlace::Environment, builder);
        let text = |text: &str, stage: &crate::Stage| {
            text.replace("{keys}", &keys(stage))
                .replace("{second}", &arn("second"))
                .replace("{sts}", &stage.sandbox.sts_url())
                .replace("{imds}", &stage.sandbox.imds_url())
                .replace("{nobody}", &format!("https://{NOBODY}"))
        };
        let config = text(&format!("[default]\n{role}{more}\n[profile keys]\n{{keys}}{elsewhere}"), &stage);
        configure(&mut stage, &config);
        without_keys(&mut stage).unset("AWS_ENDPOINT_URL_STS").unset("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        // As gcloud writes it.
        with_account(&mut stage, |account| {
            for field in ["url", "region_url"] {
                account["credential_source"][field] = "http://169.254.169.254/latest/meta-data/x".into();
            }
        });
        stage
            .set("AWS_REGION", "us-west-2")
            .set("HTTPS_PROXY", format!("http://{NOBODY}"))
            .set("NO_PROXY", "127.0.0.1");
        let mut words = vec!["token".to_owned(), "access".into(), "--timeout=10".into()];
        match text(variable, &stage) {
            flag if flag.starts_with("--") => words.push(flag),
            pair => {
                if let Some((name, value)) = pair.split_once('=') {
                    stage.set(name, value);
                }
            }
        }
        let outcome = stage.run(&words);
        match expected {
            Ok(()) => {
                assert_eq!(outcome.code(), Some(0), "{name}: {}", outcome.stderr);
                assert!(actions(&stage).contains(&ASSUME.to_owned()), "{name}");
                // What Google sends on is for AWS itself.
                let request = last(&stage, EXCHANGE);
                let (url, _) = super::signed(request.param("subject_token").expect("a token"));
                assert!(url.starts_with("https://sts.us-west-2.amazonaws.com"), "{name}: {url}");
            }
            Err(part) => {
                assert!(outcome.code() != Some(0) && outcome.stderr.contains(part), "{name}: {}", outcome.stderr);
            }
        }
    });
}
