//! Which endpoint of AWS STS is asked: one that was named, or the region's, with FIPS or dual stack.

use crate::config::options::Options;
use crate::config::values::switch;
use crate::error::Result;
use crate::exchange::sts::hosts;
use crate::model::partition;
use crate::system::http::Endpoint;
use crate::system::input::InputValue;
use crate::system::world::World;

/// Which STS to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StsConfig {
    /// This one.
    Endpoint(Endpoint),
    /// The region's.
    Regional {
        /// Its FIPS host.
        fips: bool,
        /// Its dual-stack host.
        dual_stack: bool,
    },
}

impl StsConfig {
    /// Reads which one is named, if `own`, by fedboot's own option alone, and how the region's is to be asked.
    ///
    /// # Errors
    /// A usage error that names the option and what is wrong with it.
    pub fn resolve(options: &Options, world: &World, own: bool) -> Result<Self> {
        let Some(url) = sts_url(options, world, own)? else {
            return Ok(Self::Regional {
                fips: world.is_true("AWS_USE_FIPS_ENDPOINT"),
                dual_stack: world.is_true("AWS_USE_DUALSTACK_ENDPOINT"),
            });
        };
        url.endpoint(switch(options, world, "allow-http")?).map(Self::Endpoint)
    }

    /// The region that `given` names, which can be asked there.
    ///
    /// # Errors
    /// A usage error where it cannot.
    pub fn region(&mut self, given: &InputValue) -> Result<String> {
        let (region, is_fips) = partition::region_of(given.text()?);
        let checked = match self {
            Self::Regional { fips, .. } => {
                *fips |= is_fips;
                hosts::regional_url(region, false, false).map(drop)
            }
            // Other clouds name their regions as they like, but it stands in the credentials file too.
            Self::Endpoint(_) => partition::check_region(region),
        };
        checked.map(|()| region.to_owned()).map_err(|error| given.blamed(error))
    }

    /// The STS for `region`.
    ///
    /// # Errors
    /// A usage error where its host cannot be formed.
    pub fn in_region(&self, region: &str) -> Result<Endpoint> {
        match self {
            Self::Endpoint(endpoint) => Ok(endpoint.clone()),
            Self::Regional { fips, dual_stack } => {
                let url = hosts::regional_url(region, *fips, *dual_stack);
                Endpoint::parse(
                    &url.map_err(|error| InputValue::new("what was found for a region", region).blamed(error))?,
                    false,
                )
            }
        }
    }
}

/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` switches the SDKs' own variables off, not fedboot's.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
fn sts_url(options: &Options, world: &World, own: bool) -> Result<Option<InputValue>> {
    let is_ignored = own || world.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    let is_of_sdk = |url: &InputValue| ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].contains(&url.origin());
    Ok(options.text(world, "sts-endpoint")?.filter(|url| !(is_ignored && is_of_sdk(url))))
}
