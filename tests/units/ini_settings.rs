use fedboot::format::ini::{Settings, settings};

#[test]
fn without_credentials() {
    let text = b"[a]\nRegion = eu-west-1 # here\nrole_arn = arn\n  more\nmfa_serial=1\ns3 =\n  addressing_style = path\n\n  # why\n    max = 1\nretry_mode=standard\noutput = json\n  yaml\nbad = v\n  aws_access_key_id = A\nworse =\n  [b]\nline =\n  garbage\nregion = x\n[b]\nk = v\n";
    let read = |section: &str| settings(text, &|name| name == section).expect("a file");
    let expected = [
        ("s3", "\naddressing_style = path\nmax = 1"),
        ("retry_mode", "standard"),
        ("output", "json\nyaml"),
        ("region", "x"),
    ];
    assert_eq!(read("a"), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(read("c"), Settings::new());
    assert!(settings(b"garbage", &|_| true).is_err());
}
