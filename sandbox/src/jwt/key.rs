//! RS256 and ES384 tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) and the key set that publishes a key
//! ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode, encode};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use serde_json::{Map, Value, json};

use crate::clock::random_hex;
use crate::jwt::ring::RING;

/// A key with the name under which it is published.
pub(crate) struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    pair: Arc<Pair>,
}

struct Pair {
    private: EncodingKey,
    public: DecodingKey,
    /// Kind and numbers of the public half in JSON.
    jwk: Value,
}

/// Why a token is not believed.
#[derive(Debug, PartialEq)]
pub(crate) enum Disbelief {
    Malformed(String),
    UnknownIssuer(String),
    UnknownKey(String),
    BadSignature,
}

/// Google's key in the published set, one for the process: making one takes tenths of a second.
pub(crate) static PUBLISHED: LazyLock<Key> = LazyLock::new(Key::rsa);
/// A key that is in no published set.
pub(crate) static FORGER: LazyLock<Key> = LazyLock::new(Key::rsa);

impl Key {
    fn new(algorithm: Algorithm, private: EncodingKey, public: DecodingKey, jwk: Value) -> Self {
        // If the process has another cryptography already, that one signs.
        let _ = RING.install_default();
        Self { kid: random_hex(40), algorithm, pair: Arc::new(Pair { private, public, jwk }) }
    }

    fn rsa() -> Self {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).expect("the system has randomness");
        let public = private.to_public_key();
        let (n, e) = (public.n().to_bytes_be(), public.e().to_bytes_be());
        Self::new(
            Algorithm::RS256,
            EncodingKey::from_rsa_der(private.to_pkcs1_der().expect("a new key can be written").as_bytes()),
            DecodingKey::from_rsa_der(public.to_pkcs1_der().expect("and its public half").as_bytes()),
            json!({"kty": "RSA", "n": BASE64URL.encode(n), "e": BASE64URL.encode(e)}),
        )
    }

    pub(crate) fn p384() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("the system has randomness");
        let point = rcgen::PublicKeyData::der_bytes(&pair);
        // A byte that says "uncompressed", then both coordinates.
        let (x, y) = point[1..].split_at(48);
        Self::new(
            Algorithm::ES384,
            EncodingKey::from_ec_der(&pair.serialize_der()),
            DecodingKey::from_ec_der(point),
            json!({"kty": "EC", "crv": "P-384", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y)}),
        )
    }

    /// The same numbers under a name of their own: what was signed under one name is not believed under the other,
    /// and nobody waits for another key to be made.
    pub(crate) fn renamed(&self) -> Self {
        Self { kid: random_hex(40), algorithm: self.algorithm, pair: self.pair.clone() }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.kid, claims)
    }

    /// Signs under any key id: a forger claims another's.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.into()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.pair.private).expect("the key is of that algorithm")
    }

    /// The key set of which these are the members.
    pub(crate) fn jwks(keys: &[&Self]) -> Value {
        let jwk = |key: &&Self| {
            let mut jwk = key.pair.jwk.clone();
            (jwk["alg"], jwk["use"], jwk["kid"]) = (json!(key.algorithm), json!("sig"), json!(key.kid));
            jwk
        };
        json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()})
    }
}

/// The claims of a token that one of the keys of the issuer it names has signed. Whether it still holds is for others to
/// say.
pub(crate) fn verify<'k>(token: &str, keys_of: impl FnOnce(&str) -> &'k [Key]) -> Result<Value, Disbelief> {
    let malformed = |why: &dyn ToString| Disbelief::Malformed(why.to_string());
    let read = insecure_decode::<Map<String, Value>>(token);
    let TokenData { header, claims } = read.map_err(|why| malformed(&why))?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES384) {
        return Err(malformed(&"alg is neither RS256 nor ES384"));
    }
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let keys = keys_of(issuer);
    if keys.is_empty() {
        return Err(Disbelief::UnknownIssuer(issuer.into()));
    }
    let kid = header.kid.unwrap_or_default();
    let Some(key) = keys.iter().find(|key| key.kid == kid && key.algorithm == header.alg) else {
        return Err(Disbelief::UnknownKey(kid));
    };
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    decode(token, &key.pair.public, &validation).map(|token| token.claims).map_err(|why| match why.kind() {
        ErrorKind::Base64(_) => malformed(&why),
        _ => Disbelief::BadSignature,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_its_own_signature() {
        let p384 = Key::p384();
        for (key, other) in [(&*PUBLISHED, &*FORGER), (&p384, &*PUBLISHED)] {
            let verify = |token: &str| {
                super::verify(token, |issuer| if issuer == "i" { std::slice::from_ref(key) } else { &[] })
            };
            let claims = json!({"iss": "i", "aud": "a", "sub": "1"});
            let token = key.sign(&claims);
            assert_eq!(verify(&token), Ok(claims.clone()));
            assert_eq!(verify(&other.sign(&claims)), Err(Disbelief::UnknownKey(other.kid.clone())));
            let forged = verify(&other.sign_as(&key.kid, &claims)).unwrap_err();
            assert!(matches!(forged, Disbelief::BadSignature | Disbelief::UnknownKey(_)), "{forged:?}");
            assert_eq!(verify(&key.sign(&json!({"iss": "j"}))), Err(Disbelief::UnknownIssuer("j".into())));
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let (header, _) = signed.split_once('.').unwrap();
            let changed = BASE64URL.encode(r#"{"iss":"i","aud":"b","sub":"1"}"#);
            assert_eq!(verify(&format!("{header}.{changed}.{signature}")), Err(Disbelief::BadSignature));
            let none = BASE64URL.encode(json!({"alg": "none", "kid": &key.kid}).to_string());
            let why = verify(&format!("{none}.{changed}.")).unwrap_err();
            assert!(matches!(why, Disbelief::Malformed(_)), "{why:?}");
            assert!(verify("not a token").is_err());
        }
    }

    #[test]
    fn key_sets_hold_both_kinds() {
        let p384 = Key::p384();
        let keys = Key::jwks(&[&*PUBLISHED, &p384]);
        assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][1]["crv"]), (&json!("RS256"), &json!("P-384")));
        let x = keys["keys"][1]["x"].as_str().unwrap();
        assert_eq!(BASE64URL.decode(x).unwrap().len(), 48);
    }
}
