use fedboot::format::subject_token_format::SubjectTokenFormat;

#[test]
fn tokens_in_either_format() {
    let json = SubjectTokenFormat::Json("t".into());
    assert!(SubjectTokenFormat::Text.token(b" x \n").is_ok() && json.token(b"{\"t\": \"x\"}").is_ok());
    for (format, text, why) in [
        (&SubjectTokenFormat::Text, "\n", "is empty"),
        (&json, "x", "is no JSON"),
        (&json, "{}", "has no string in the field that \"subject_token_field_name\" names"),
    ] {
        assert_eq!(format.token(text.as_bytes()).err().as_deref(), Some(why));
    }
}
