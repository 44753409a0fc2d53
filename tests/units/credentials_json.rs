use std::time::{Duration, SystemTime};

use fedboot::model::credentials::{Content, Credentials, Keys, Principal};
use fedboot::model::credentials_json::{decode, encode};

#[test]
fn each_kind_comes_back() {
    let role = Principal::Role { arn: "arn".into(), session_name: "me".into() };
    let keys = Keys { access_key_id: "AK".into(), secret_access_key: "s".into(), session_token: "t".into() };
    let issued = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 5);
    for (content, principal) in [
        (Content::Keys(keys), role.clone()),
        (Content::WebIdentityToken("w".into()), role),
        (Content::GoogleToken("g".into()), Principal::Google("a@b".into())),
    ] {
        let credentials = Credentials {
            content,
            expiration: issued + Duration::from_secs(9),
            principal,
            identity: "me (by a test)".into(),
        };
        let json = encode(issued, &credentials);
        let (at, back) = decode(&json).expect("credentials");
        assert_eq!((at, encode(at, &back)), (issued, json.clone()));
        let mut less = json;
        less.remove("Expiration");
        assert!(decode(&less).is_none());
    }
}
