use std::rc::Rc;

use fedboot::identity::aws::{AwsWorkload, Source};
use fedboot::model::aws_identity::AwsBaseIdentity;
use fedboot::system::http::{Endpoint, Http};
use fedboot::system::input::InputValue;

use crate::world;

/// The identity of a profile in a configuration file, in words. Variables have keys too, for `credential_source`.
async fn found(config: &str, profile: Option<&str>) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    std::fs::write(&file, config).expect("a file");
    let missing = directory.path().join("missing");
    let world = Rc::new(world(&[
        ("AWS_CONFIG_FILE", file.to_str().expect("text")),
        ("AWS_SHARED_CREDENTIALS_FILE", missing.to_str().expect("text")),
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ]));
    let http = Http::new(&world);
    let profile = profile.map(|name| InputValue::new("--aws-profile", name));
    let workload = AwsWorkload { world, only: Some(Source::Profile), profile, imdsv1: false };
    let nowhere = Endpoint::parse("http://127.0.0.1:1", true).expect("an endpoint");
    match workload.identify(&http, &nowhere).await {
        Ok(identity) => {
            let AwsBaseIdentity::Keys(keys) = identity.start else { return "token".into() };
            let name = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
            identity.roles.iter().fold(keys.access_key_id().into(), |all, role| all + " > " + &name(&role.arn))
        }
        Err(error) => error.to_string(),
    }
}

/// `r` stands for a role of that name.
fn with_arns(config: &str) -> String {
    let role = |name: &str| format!("role_arn=arn:aws:iam::123456789012:role/{name}\n");
    ["r", "r1", "r2"]
        .iter()
        .fold(config.to_owned(), |config, name| config.replace(&format!("role_arn={name}\n"), &role(name)))
}

/// How sections and settings may be written; what they mean is in `tests/to_google/identity.rs`.
#[tokio::test]
async fn profiles() {
    let keys = "aws_access_key_id = AK\naws_secret_access_key = s\n";
    for (config, profile, expected) in [
        ("[default]\nrole_arn=r1\ncredential_source=Environment\n".into(), None, "ENV > r1"),
        ("[default]\n  region = x\n  role_arn=r1\n  credential_source = Environment\n".into(), None, "ENV > r1"),
        (
            format!(
                "[profile a]\nrole_arn=r1\nsource_profile=b\n[profile b]\nrole_arn=r2\nsource_profile=c\n[profile c]\n{keys}"
            ),
            Some("a"),
            "AK > r2 > r1",
        ),
        (
            format!(
                "[profile a]\nrole_arn=r1\nsource_profile=b\n[profile b]\nrole_arn=r2\nsource_profile=c\n{keys}[profile c]\n{keys}"
            ),
            Some("a"),
            "AK > r1",
        ),
        (format!("[profile \"etl\"]\n{keys}"), Some("etl"), "AK"),
        (format!("[profile 'my profile']\n{keys}"), Some("my profile"), "AK"),
        (format!("[profile\tfoo]\n{keys}"), Some("foo"), "AK"),
        (format!("[ profile   foo ] # [x]\n{keys}"), Some("foo"), "AK"),
        ("[default]\naws_access_key_id = 'AK'\naws_secret_access_key = \"s\"\n".into(), None, "AK"),
    ] {
        assert_eq!(found(&with_arns(&config), profile).await, expected, "{config}");
    }
    for (config, profile, part) in [
        // The next source would be asked.
        ("", None, "cannot find out who this workload is on AWS: there is no profile"),
        (
            "[default]\nregion = eu-west-1\n",
            None,
            "cannot find out who this workload is on AWS: the profile default has no credentials",
        ),
        ("[profile a]\nrole_arn=r\nsource_profile=b\n", Some("a"), "the source_profile of a is not in"),
        ("[profile a]\nrole_arn=r\ncredential_source=Moon\n", Some("a"), "none of Environment"),
        ("[profile a]\nrole_arn=hunter2\nsource_profile=a\n", Some("a"), "role_arn is no role ARN"),
        ("[profile a]\naws_secret_access_key=x\n", Some("a"), "aws_access_key_id"),
        ("[default]\nweb_identity_token_file=x\n", None, "role_arn"),
        ("[default]\nsource_profile=x\n", None, "role_arn"),
        ("[default]\naws_session_token=x\n", None, "aws_access_key_id"),
        ("[default]\noutput = json\n  role_arn = r\n", None, "line 3"),
        ("[profile foobar]\n[profilefoo]\n[profile foo bar]\n[profile \"foo]\n", Some("foo"), "not in"),
        ("[profile a]\ncredential_process='\n", Some("a"), "quotes"),
    ] {
        let config = with_arns(config);
        let found = found(&config, profile).await;
        assert!(found.contains(part), "{config}: {found}");
    }
}
