use fedboot::model::partition::default_region;
use fedboot::model::role::{check_role_arn, clean_session_name};

#[test]
fn role_arns() {
    for (arn, region) in [
        ("arn:aws:iam::123456789012:role/a/b", "us-east-1"),
        ("arn:aws-cn:iam::123456789012:role/a", "cn-north-1"),
        ("arn:aws-us-gov:iam::123456789012:role/a", "us-gov-west-1"),
        ("arn:minio:iam:::role/idmp-x", "us-east-1"),
    ] {
        check_role_arn("role-arn", arn).expect(arn);
        assert_eq!(default_region(arn), region);
    }
    for arn in [
        "",
        "role",
        "arn:aws:iam::123456789012:user/a",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/a ",
        "arn:aws:s3:::role/a",
        "arn:aws:iam:123456789012:role/a",
        "arn::iam::1:role/a",
        "arn:aws:iam::1:role/a?token=b",
    ] {
        check_role_arn("role-arn", arn).expect_err(arn);
    }
}

#[test]
fn session_names() {
    for (name, clean) in [
        ("worker-1.eu", "worker-1.eu"),
        ("a b/ü", "a-b--"),
        ("", "--"),
        ("x", "x-"),
        (&"n".repeat(70), &"n".repeat(64)),
    ] {
        assert_eq!(clean_session_name(name), clean);
    }
}
