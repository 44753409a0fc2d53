//! What the profile in use says beside who it is: its region, which STS and which instance metadata service are asked.
//!
//! - `services`: the name of a section `[services NAME]` in the config file, with `sts =⏎  endpoint_url = …`; then
//!   `endpoint_url`, for every service; `ignore_configured_endpoint_urls` switches both off, and AWS's variables;
//! - `use_fips_endpoint`, `use_dualstack_endpoint`; `sts_regional_endpoints`: `regional` or `legacy`;
//! - `ec2_metadata_service_endpoint`, `ec2_metadata_service_endpoint_mode`, of old `imds_use_ipv6`.
//!
//! Each stands behind its variable. They are the ones of the profile in use on the whole way, also where the keys are
//! another's (`source_profile`).
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html>,
//! <https://github.com/boto/botocore/blob/develop/botocore/configprovider.py>

use crate::error::Result;
use crate::identity::aws::profile::{Files, Values, chosen};
use crate::system::input::InputValue;
use crate::system::shown;
use crate::system::world::World;

/// See the module.
#[derive(Default)]
pub struct Settings {
    profile: String,
    values: Values,
    /// What its services section says of STS; none where there is no such section.
    sts: Option<Values>,
}

impl Settings {
    /// Those of the profile that was named, else that of `AWS_PROFILE`. What cannot be read says nothing; whoever takes
    /// keys from there says so.
    pub(super) async fn load(world: &World, named: Option<&InputValue>) -> Self {
        let profile = chosen(world, named).map(|named| named.raw().to_string_lossy().into_owned());
        let profile = profile.unwrap_or_else(|| "default".into());
        let Ok(files) = Files::load(world).await else { return Self::default() };
        let values = files.profile(&profile).ok().flatten().unwrap_or_default();
        let sts = values.get("services").and_then(|name| files.services(name, "sts"));
        Self { profile, values, sts }
    }

    /// The region, if it says one.
    pub fn region(&self) -> Option<&str> {
        self.values.get("region").map(String::as_str).filter(|region| !region.is_empty())
    }

    /// A setting.
    pub fn given(&self, name: &str) -> Option<InputValue> {
        let value = self.values.get(name).filter(|value| !value.is_empty())?;
        Some(InputValue::new(format!("{name} of the profile {}", shown::name(&self.profile)), value))
    }

    /// Whether a setting says true.
    pub fn is_true(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The URL of STS.
    ///
    /// # Errors
    /// A usage error where it names services that are nowhere.
    pub fn sts(&self) -> Result<Option<InputValue>> {
        if let Some(services) = self.given("services") {
            let Some(sts) = &self.sts else {
                return Err(services
                    .bad("names a section that is not there")
                    .advice("write [services NAME] into the config file"));
            };
            if let Some(url) = sts.get("endpoint_url").filter(|url| !url.is_empty()) {
                return Ok(Some(InputValue::new(format!("endpoint_url of sts in {}", services.origin()), url)));
            }
        }
        Ok(self.given("endpoint_url"))
    }
}
