//! RS256 tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) and the key set that publishes the key
//! ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use num_bigint_dig::{BigUint, ModInverse, RandPrime};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::clock::random_hex;

/// An RSA key with the name under which it is published.
pub(crate) struct SigningKey {
    pair: RsaKeyPair,
    kid: String,
    n: Vec<u8>,
    e: Vec<u8>,
}

/// Why a token is not believed.
#[derive(Debug, PartialEq)]
pub(crate) enum Disbelief {
    Malformed(&'static str),
    UnknownKey(String),
    BadSignature,
}

/// The key in the published set, one for the process: making one takes tenths of a second.
pub(crate) fn published() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(SigningKey::generate)
}

/// A key that is not in the published set.
pub(crate) fn forger() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(SigningKey::generate)
}

impl SigningKey {
    fn generate() -> Self {
        // ring refuses what does not fit together, so an unlucky draw is drawn again.
        loop {
            if let Some(key) = Self::try_generate() {
                return key;
            }
        }
    }

    fn try_generate() -> Option<Self> {
        let one = BigUint::from(1u8);
        let e = BigUint::from(65_537u32);
        let mut random = rand::rngs::OsRng;
        let (first, second) = (random.gen_prime(1024), random.gen_prime(1024));
        let (p, q) = if first > second { (first, second) } else { (second, first) };
        let (p1, q1) = (&p - &one, &q - &one);
        let n = &p * &q;
        let d = (&e).mod_inverse(&p1 * &q1)?.to_biguint()?;
        let q_inverse = (&q).mod_inverse(&p)?.to_biguint()?;
        let (n, e) = (n.to_bytes_be(), e.to_bytes_be());
        let pair = RsaKeyPair::from_components(&ring::rsa::KeyPairComponents {
            public_key: RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
            d: d.to_bytes_be().as_slice(),
            p: p.to_bytes_be().as_slice(),
            q: q.to_bytes_be().as_slice(),
            dP: (&d % &p1).to_bytes_be().as_slice(),
            dQ: (&d % &q1).to_bytes_be().as_slice(),
            qInv: q_inverse.to_bytes_be().as_slice(),
        })
        .ok()?;
        let kid = random_hex(40);
        Some(Self { pair, kid, n, e })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.kid, claims)
    }

    /// Signs under any key id: a forger claims another's.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": kid, "typ": "JWT"});
        let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("the buffer has the length of the modulus");
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The key set of which this is the one member.
    pub(crate) fn jwks(&self) -> Value {
        debug_assert_eq!(self.pair.public_key().as_ref()[0], 0x30, "a DER sequence, never the private half");
        json!({"keys": [{
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
            "n": BASE64URL.encode(&self.n), "e": BASE64URL.encode(&self.e),
        }]})
    }

    /// The claims of a token that this key signed.
    pub(crate) fn verify(&self, token: &str) -> Result<Value, Disbelief> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Disbelief::Malformed("no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or(Disbelief::Malformed("fewer than three parts"))?;
        let header = decode(header).ok_or(Disbelief::Malformed("header"))?;
        let claims = decode(claims).ok_or(Disbelief::Malformed("claims"))?;
        let signature = BASE64URL.decode(signature).map_err(|_| Disbelief::Malformed("signature"))?;
        if header["alg"] != "RS256" {
            return Err(Disbelief::Malformed("alg is not RS256"));
        }
        if header["kid"] != self.kid.as_str() {
            return Err(Disbelief::UnknownKey(header["kid"].as_str().unwrap_or("").into()));
        }
        RsaPublicKeyComponents { n: &self.n, e: &self.e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| Disbelief::BadSignature)?;
        Ok(claims)
    }
}

fn decode(part: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&BASE64URL.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_its_own_signature() {
        let (key, other) = (published(), forger());
        let claims = json!({"aud": "a", "sub": "1"});
        let token = key.sign(&claims);
        assert_eq!(key.verify(&token), Ok(claims.clone()));
        assert_eq!(key.verify(&other.sign(&claims)), Err(Disbelief::UnknownKey(other.kid().into())));
        assert_eq!(key.verify(&other.sign_as(key.kid(), &claims)), Err(Disbelief::BadSignature));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let changed = BASE64URL.encode(r#"{"aud":"b","sub":"1"}"#);
        assert_eq!(key.verify(&format!("{header}.{changed}.{signature}")), Err(Disbelief::BadSignature));
        let none = BASE64URL.encode(json!({"alg": "none", "kid": key.kid()}).to_string());
        assert_eq!(key.verify(&format!("{none}.{changed}.")), Err(Disbelief::Malformed("alg is not RS256")));
        assert!(key.verify("not a token").is_err());
    }
}
