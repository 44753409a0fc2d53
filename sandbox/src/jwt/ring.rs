//! The cryptography of `jsonwebtoken`, by ring. Of the backends that it brings along, RustCrypto takes four times as long
//! for a signature, which benchmarks would see, and aws-lc a C compiler.

use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};

pub(crate) static RING: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Ring(*algorithm, key.as_bytes().to_vec()))),
    verifier_factory: |algorithm, key| Ok(Box::new(Ring(*algorithm, key.try_get_as_bytes()?.to_vec()))),
    key_utils: KeyUtils::new_unimplemented(),
};

/// RS256 or ES384 with a key in DER.
struct Ring(Algorithm, Vec<u8>);

fn failed<E>(_: E) -> Error {
    Error::new()
}

impl Signer<Vec<u8>> for Ring {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        if self.0 == Algorithm::RS256 {
            let pair = RsaKeyPair::from_der(&self.1).map_err(failed)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
            return Ok(signature);
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &self.1, &random);
        let signature = pair.map_err(failed)?.sign(&random, message);
        Ok(signature.map_err(failed)?.as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let rsa = self.0 == Algorithm::RS256;
        let algorithm: &dyn VerificationAlgorithm =
            if rsa { &RSA_PKCS1_2048_8192_SHA256 } else { &ECDSA_P384_SHA384_FIXED };
        UnparsedPublicKey::new(algorithm, &self.1).verify(message, signature).map_err(failed)
    }
}

impl JwtSigner for Ring {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}
