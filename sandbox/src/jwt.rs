//! RS256 and ES384 tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) and the key set that publishes a key
//! ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use num_bigint_dig::{BigUint, ModInverse, RandPrime};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::clock::random_hex;

/// A key with the name under which it is published.
pub(crate) struct Key {
    kid: String,
    pair: Pair,
}

#[derive(Clone, Copy)]
enum Pair {
    Rsa(&'static RsaPair),
    P384(&'static EcdsaKeyPair),
}

struct RsaPair {
    pair: RsaKeyPair,
    n: Vec<u8>,
    e: Vec<u8>,
}

/// Why a token is not believed.
#[derive(Debug, PartialEq)]
pub(crate) enum Disbelief {
    Malformed(&'static str),
    UnknownIssuer(String),
    UnknownKey(String),
    BadSignature,
}

/// Google's key in the published set, one for the process: making one takes tenths of a second.
pub(crate) fn published() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(Key::rsa)
}

/// A key that is in no published set.
pub(crate) fn forger() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(Key::rsa)
}

impl Key {
    fn rsa() -> Self {
        // ring refuses what does not fit together, so an unlucky draw is drawn again.
        let pair = std::iter::repeat_with(RsaPair::try_generate).flatten().next().expect("there is no end of draws");
        Self { kid: random_hex(40), pair: Pair::Rsa(Box::leak(Box::new(pair))) }
    }

    /// The same numbers under a name of their own: what was signed under one name is not believed under the other,
    /// and nobody waits for another key to be made.
    pub(crate) fn renamed(&self) -> Self {
        Self { kid: random_hex(40), pair: self.pair }
    }

    pub(crate) fn p384() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random);
        let pair = document
            .and_then(|document| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random)
                    .map_err(|_| ring::error::Unspecified)
            })
            .expect("ring reads what it wrote");
        Self { kid: random_hex(40), pair: Pair::P384(Box::leak(Box::new(pair))) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P384(_) => "ES384",
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.kid, claims)
    }

    /// Signs under any key id: a forger claims another's.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": kid, "typ": "JWT"});
        let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self.pair {
            Pair::Rsa(RsaPair { pair, .. }) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                    .expect("the buffer has the length of the modulus");
                signature
            }
            Pair::P384(pair) => {
                pair.sign(&random, signed.as_bytes()).expect("the system has randomness").as_ref().to_vec()
            }
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The key set of which these are the members.
    pub(crate) fn jwks(keys: &[&Self]) -> Value {
        json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }

    fn jwk(&self) -> Value {
        match self.pair {
            Pair::Rsa(RsaPair { n, e, .. }) => json!({
                "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
                "n": BASE64URL.encode(n), "e": BASE64URL.encode(e),
            }),
            Pair::P384(pair) => {
                // A byte that says "uncompressed", then both coordinates.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
                json!({
                    "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": self.kid,
                    "x": BASE64URL.encode(x), "y": BASE64URL.encode(y),
                })
            }
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self.pair {
            Pair::Rsa(RsaPair { n, e, .. }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            Pair::P384(pair) => {
                let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, pair.public_key());
                key.verify(signed, signature).is_ok()
            }
        }
    }
}

impl RsaPair {
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
        Some(Self { pair, n, e })
    }
}

/// The claims of a token that one of the keys of the issuer it names has signed.
pub(crate) fn verify<'k>(token: &str, keys_of: impl FnOnce(&str) -> Vec<&'k Key>) -> Result<Value, Disbelief> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Disbelief::Malformed("no signature"))?;
    let (header, claims) = signed.split_once('.').ok_or(Disbelief::Malformed("fewer than three parts"))?;
    let header = decode(header).ok_or(Disbelief::Malformed("header"))?;
    let claims = decode(claims).ok_or(Disbelief::Malformed("claims"))?;
    let signature = BASE64URL.decode(signature).map_err(|_| Disbelief::Malformed("signature"))?;
    let algorithm = header["alg"].as_str().unwrap_or("");
    if !matches!(algorithm, "RS256" | "ES384") {
        return Err(Disbelief::Malformed("alg is neither RS256 nor ES384"));
    }
    let issuer = claims["iss"].as_str().unwrap_or("");
    let keys = keys_of(issuer);
    if keys.is_empty() {
        return Err(Disbelief::UnknownIssuer(issuer.into()));
    }
    let key = keys.into_iter().find(|key| header["kid"] == key.kid.as_str() && algorithm == key.algorithm());
    let Some(key) = key else {
        return Err(Disbelief::UnknownKey(header["kid"].as_str().unwrap_or("").into()));
    };
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(Disbelief::BadSignature);
    }
    Ok(claims)
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
        let p384 = Key::p384();
        for (key, other) in [(published(), forger()), (&p384, published())] {
            let verify = |token: &str| super::verify(token, |issuer| if issuer == "i" { vec![key] } else { vec![] });
            let claims = json!({"iss": "i", "aud": "a", "sub": "1"});
            let token = key.sign(&claims);
            assert_eq!(verify(&token), Ok(claims.clone()));
            assert_eq!(verify(&other.sign(&claims)), Err(Disbelief::UnknownKey(other.kid().into())));
            let forged = verify(&other.sign_as(key.kid(), &claims)).unwrap_err();
            assert!(matches!(forged, Disbelief::BadSignature | Disbelief::UnknownKey(_)), "{forged:?}");
            assert_eq!(verify(&key.sign(&json!({"iss": "j"}))), Err(Disbelief::UnknownIssuer("j".into())));
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let (header, _) = signed.split_once('.').unwrap();
            let changed = BASE64URL.encode(r#"{"iss":"i","aud":"b","sub":"1"}"#);
            assert_eq!(verify(&format!("{header}.{changed}.{signature}")), Err(Disbelief::BadSignature));
            let none = BASE64URL.encode(json!({"alg": "none", "kid": key.kid()}).to_string());
            let why = Disbelief::Malformed("alg is neither RS256 nor ES384");
            assert_eq!(verify(&format!("{none}.{changed}.")), Err(why));
            assert!(verify("not a token").is_err());
        }
    }

    #[test]
    fn a_renamed_key_does_not_speak_for_the_first() {
        let (key, renamed) = (published(), published().renamed());
        let token = renamed.sign(&json!({"iss": "i"}));
        assert_eq!(verify(&token, |_| vec![key]), Err(Disbelief::UnknownKey(renamed.kid().into())));
        assert!(verify(&token, |_| vec![key, &renamed]).is_ok());
    }

    #[test]
    fn key_sets_hold_both_kinds() {
        let p384 = Key::p384();
        let keys = Key::jwks(&[published(), &p384]);
        assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][1]["crv"]), (&json!("RS256"), &json!("P-384")));
        let x = keys["keys"][1]["x"].as_str().unwrap();
        assert_eq!(BASE64URL.decode(x).unwrap().len(), 48);
    }
}
