use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fedboot::format::jwt::decode;

fn token(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn reads_claims_of_either_shape() {
    let proof = decode(&token(
        r#"{"iss":"https://accounts.google.com","sub":"1","azp":"1","aud":"a","email":"e@p","exp":5,
        "google":{"compute_engine":{"project_id":"p","instance_name":"i"}},"unknown":[1]}"#,
    ));
    let claims = proof.ok().map(|proof| proof.claims).expect("a token");
    assert_eq!((claims.sub.as_str(), claims.aud.join(","), claims.exp), ("1", "a".to_owned(), 5));
    assert_eq!(claims.google.compute_engine.instance_name.as_deref(), Some("i"));
    let many = decode(&token(r#"{"aud":["a","b"]}"#)).ok().map(|proof| proof.claims.aud);
    assert_eq!(many, Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn says_what_is_wrong_without_the_token() {
    for (text, why) in [
        ("", "is empty"),
        ("secret", "is no JWT: it has not three parts"),
        ("a.b.c.d", "is no JWT: it has not three parts"),
        ("a.!!.c", "is no JWT: its claims are not base64"),
        ("a.c2VjcmV0.c", "is no ID token: its claims are not the expected JSON"),
    ] {
        assert_eq!(decode(text).err(), Some(why), "{text}");
    }
}
