//! Who am I here? One file a source; each makes a proof of it: a [`Proof`](crate::model::proof::Proof) on Google, and an
//! [`AwsIdentity`](crate::model::aws_identity::AwsIdentity) or a [`SubjectToken`](crate::model::proof::SubjectToken) on AWS.

use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::fact::Fact;
use crate::model::proof::Proof;
use crate::system::http::Http;

pub mod aws;
pub mod google;
pub mod subject_token;

/// Who am I here?
pub trait Identity {
    /// Mints or reads an ID token.
    fn prove<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Result<Proof>>;

    /// Where it is found, in words.
    fn source(&self) -> &'static str;

    /// Looks a fact up that the claims do not hold. `None`: there is no such thing here.
    fn fact<'a>(&'a self, http: &'a Http, fact: &'a Fact) -> BoxFuture<'a, Result<Option<String>>>;
}
