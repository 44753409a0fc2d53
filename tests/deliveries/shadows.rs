//! What AWS's clients would find before what was delivered.

use std::path::Path;

use fedboot::delivery::shadowed_variables::AWS;

use crate::common::{Stage, write};
use crate::{hold, variable};

/// What stands where, with which variable, the delivery, and what the warning says of it.
type Row<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>, &'a str, Option<&'a str>);

/// One warning for a file, or a variable, that wins with this delivery, and none of its secrets in it.
#[test]
fn files() {
    const KEYS: &str = "[Credentials]\naws_access_key_id = AKIAOLD\naws_secret_access_key = hunter2\n";
    const S3CFG: &str = "[default]\naccess_key = AKIAOLD\nsecret_key = hunter2\nhost_base = s3.amazonaws.com\n";
    let xml = |more: &str| {
        let key = |name: &str, value: &str| format!("<property><name>{name}</name><value>{value}</value></property>\n");
        let keys = key("fs.s3a.access.key", "AKIAOLD") + &key("fs.s3a.secret.key", "hunter2");
        let more = more.split_once('=').map(|(name, value)| key(name, value)).unwrap_or_default();
        format!("<configuration>\n{keys}{more}</configuration>\n")
    };
    let minio = S3CFG.replace("s3.amazonaws.com", "minio.example:9000");
    let empty = S3CFG.replace("AKIAOLD", "");
    let (own, region, other) =
        (xml(""), xml("fs.s3a.endpoint.region=eu-west-1"), xml("fs.s3a.endpoint=minio.example:9000"));
    let regional = xml("fs.s3a.endpoint=s3.eu-west-1.amazonaws.com");
    let spark = "spark.hadoop.fs.s3a.access.key AKIAOLD\nspark.hadoop.fs.s3a.secret.key hunter2\n";
    let java = "-Xmx1g -Daws.accessKeyId=AKIAOLD -Daws.secretAccessKey=hunter2";
    let rows: &[Row] = &[
        ("home/.boto", KEYS, None, "file,endpoint", Some("boto3")),
        ("home/.boto", KEYS, None, "endpoint", Some("boto3")),
        ("home/.boto", KEYS, None, "file", None),
        ("home/.boto", KEYS, None, "process", None),
        ("home/.boto", KEYS, None, "env", None),
        ("home/.boto", "[Boto]\nproxy = x\n#aws_access_key_id = AKIAOLD\n", None, "endpoint", None),
        ("home/.boto", "[Other]\naws_access_key_id = AKIAOLD\n", None, "endpoint", None),
        ("home/.s3cfg", S3CFG, None, "file,endpoint", Some("s3cmd")),
        ("home/.s3cfg", S3CFG, None, "env", Some("s3cmd")),
        ("home/.s3cfg", &minio, None, "env", None),
        ("home/.s3cfg", &empty, None, "env", None),
        ("else", S3CFG, Some(("S3CMD_CONFIG", "else")), "file", Some("s3cmd")),
        ("home/.s3cfg", S3CFG, Some(("S3CMD_CONFIG", "else")), "file", None),
        ("else/core-site.xml", &own, Some(("HADOOP_CONF_DIR", "else")), "file,endpoint", Some("Hadoop")),
        ("else/core-site.xml", &region, Some(("HADOOP_CONF_DIR", "else")), "file,endpoint", Some("Hadoop")),
        ("else/core-site.xml", &regional, Some(("HADOOP_CONF_DIR", "else")), "file,endpoint", Some("Hadoop")),
        ("else/core-site.xml", &other, Some(("HADOOP_CONF_DIR", "else")), "file,endpoint", None),
        ("else/core-site.xml", &own, None, "file,endpoint", None),
        ("else/spark-defaults.conf", spark, Some(("SPARK_CONF_DIR", "else")), "endpoint", Some("Hadoop")),
        ("else/conf/spark-defaults.conf", spark, Some(("SPARK_HOME", "else")), "endpoint", Some("Hadoop")),
        ("x", "", Some(("JAVA_TOOL_OPTIONS", java)), "file,endpoint", Some("JAVA_TOOL_OPTIONS holds AWS keys")),
        ("x", "", Some(("JDK_JAVA_OPTIONS", java)), "env", Some("JDK_JAVA_OPTIONS holds")),
        ("x", "", Some(("JAVA_TOOL_OPTIONS", "-Daws.region=eu-west-1")), "file,endpoint", None),
        ("x", "", Some(("AWS_NO_SIGN_REQUEST", "YES")), "file,endpoint", Some("GDAL signs nothing")),
        ("x", "", Some(("AWS_NO_SIGN_REQUEST", "NO")), "file,endpoint", None),
        ("x", "", Some(("AWS_SKIP_SIGNATURE", "true")), "endpoint", Some("object_store signs nothing")),
    ];
    for row @ (file, content, variable, delivery, warned) in rows {
        let mut stage = Stage::new();
        let place = |name: &str| stage.directory.path().join(name).display().to_string();
        let file = place(file);
        write(Path::new(&file), content);
        if let Some((name, value)) = variable {
            let value = if *value == "else" { place(value) } else { (*value).to_owned() };
            stage.set(name, value);
        }
        let outcome = stage.run_shell(&["--delivery", delivery], "exit 0");
        outcome.assert_succeeded();
        // Variables alone are never refreshed, which is a warning of its own.
        let is_ours = |message: &str| !message.contains("not refreshed");
        let events = outcome.events().into_iter().filter(|event| event.severity() == "WARNING");
        let warnings: Vec<_> = events.map(|event| event.message().to_owned()).filter(|it| is_ours(it)).collect();
        assert_eq!(warnings.len(), usize::from(warned.is_some()), "{row:?}: {}", outcome.stderr);
        if let (Some(words), [warning]) = (warned, &warnings[..]) {
            assert!(warning.contains(words), "{row:?}: {warning}");
            assert!(warning.contains(&file) || row.0 == "x", "{row:?}: {warning}");
        }
        for text in ["AKIAOLD", "hunter2"] {
            assert!(!outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
        }
    }
}

/// Whatever is delivered, the command keeps of these only what the delivery sets.
#[test]
fn variables() {
    for (delivery, set) in [
        ("file,endpoint", &["AWS_PROFILE"][..]),
        ("endpoint", &[]),
        ("file", &[]),
        ("process", &["AWS_PROFILE"]),
        ("token-file", &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"]),
        ("env", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]),
    ] {
        let mut stage = Stage::new();
        // Those that are fedboot's own say which role, and whose settings live on.
        for name in AWS.iter().filter(|name| !["AWS_ROLE_ARN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"].contains(name)) {
            stage.set(name, "/old");
        }
        let held = hold(&stage, &format!("--delivery {delivery}"));
        for name in AWS {
            let found = variable(&held, name);
            assert_eq!(found.is_some(), set.contains(name), "{delivery}: {name}");
            assert_ne!(found.as_deref(), Some("/old"), "{delivery}: {name}");
        }
        held.release(&stage).assert_succeeded();
    }
}
