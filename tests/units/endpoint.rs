use fedboot::system::http::percent_decoded;

#[test]
fn paths() {
    for path in ["%", "%%", "%f", "%ff", "%00", "+", "%2", "/%C3%28/", "=&=&"] {
        assert!(!percent_decoded(path).is_empty(), "{path}");
    }
    assert_eq!(percent_decoded("/a+b%2Bc"), "/a+b+c");
}
