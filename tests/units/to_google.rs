use fedboot::config::to_google::ToGoogleConfig;
use fedboot::error::Result;

use crate::{options, world};

fn resolve(flags: &str, variables: &[(&str, &str)]) -> Result<ToGoogleConfig> {
    ToGoogleConfig::resolve(&options(flags)?, &world(variables), false)
}

const PROVIDER: &str = "projects/7/locations/global/workloadIdentityPools/p/providers/q";

#[test]
fn options_instead_of_a_file() {
    let flags = format!(
        "--workload-identity-provider {PROVIDER} --impersonate-service-account sa@proj.iam.gserviceaccount.com \
         --duration 12h --scope https://b --scope https://a"
    );
    let config = resolve(&flags, &[("AWS_REGION", "eu-west-1")]).expect("a config");
    assert_eq!(config.exchange.audience, format!("//iam.googleapis.com/{PROVIDER}"));
    assert_eq!(config.exchange.sts.0.url(&config.exchange.sts.1), "https://sts.googleapis.com/v1/token");
    assert_eq!(config.exchange.scopes, ["https://a", "https://b"]);
    assert_eq!((config.project.id.as_deref(), config.project.number), (Some("proj"), Some(7)));
    assert_eq!(config.exchange.pool(), "projects/7/locations/global/workloadIdentityPools/p");
}
