//! What stands in files, or in variables that say more than this, and is found first: named in a warning with its remedy.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::format::ini;
use crate::system::shown;
use crate::system::world::{self, World};

/// Warnings about what AWS's clients find before what was delivered; some only where they have to ask the endpoint.
pub fn of_aws(world: &World, has_endpoint: bool) -> Vec<String> {
    let home = |name: &str| world.home.as_ref().map(|home| home.join(name));
    let named = |variable: &str| world.variable(variable).map(PathBuf::from);
    // <https://github.com/boto/botocore/blob/develop/botocore/credentials.py>: behind the profile, before the endpoint.
    let boto = [Some(PathBuf::from("/etc/boto.cfg")), home(".boto")].map(|file| (file.filter(|_| has_endpoint), BOTO));
    // <https://github.com/s3tools/s3cmd/blob/master/S3/Config.py>
    let s3cmd = (named("S3CMD_CONFIG").or_else(|| home(".s3cfg")), S3CMD);
    // <https://github.com/apache/hadoop/blob/trunk/hadoop-tools/hadoop-aws/src/main/java/org/apache/hadoop/fs/s3a/SimpleAWSCredentialsProvider.java>
    let hadoop = (named("HADOOP_CONF_DIR").map(|directory| directory.join("core-site.xml")), S3A);
    let spark = named("SPARK_CONF_DIR").or_else(|| Some(named("SPARK_HOME")?.join("conf")));
    let spark = (spark.map(|directory| directory.join("spark-defaults.conf")), S3A);
    let files = boto.into_iter().chain([s3cmd, hadoop, spark]).filter_map(|(file, what)| Some((file?, what)));
    let mut warnings: Vec<String> = files
        .filter(|(file, (holds, _))| world::read_file(file).is_ok_and(|text| holds(&text)))
        .map(|(file, (_, words))| format!("{} holds AWS keys, and {words}", shown::path(&file)))
        .collect();
    // A virtual machine takes options from these: <https://docs.oracle.com/en/java/javase/21/troubleshoot/environment-variables-and-system-properties.html>.
    for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"] {
        if world.text_variable(name).is_some_and(|options| options.contains("-Daws.accessKeyId=")) {
            warnings
                .push(format!("{name} holds AWS keys, and Java finds them first: take -Daws.accessKeyId out of it"));
        }
    }
    // Who wants to read what is public may well mean it:
    // <https://github.com/OSGeo/gdal/blob/master/port/cpl_aws.cpp>, <https://github.com/apache/arrow-rs-object-store>.
    for (name, who) in [("AWS_NO_SIGN_REQUEST", "GDAL"), ("AWS_SKIP_SIGNATURE", "object_store")] {
        warnings.extend(unsigned(world, name, who));
    }
    warnings
}

/// Whether a file holds keys, and who finds them and what to do.
type Keys = (fn(&[u8]) -> bool, &'static str);

const BOTO: Keys =
    (|text| section(text, &["Credentials"]).contains_key("aws_access_key_id"), "boto3 finds them first: remove them");

/// Somebody else's service has keys of its own.
const S3CMD: Keys = (
    |text| {
        let settings = section(text, &["default"]);
        let is_aws = settings.get("host_base").is_none_or(|host| host.contains("amazonaws.com"));
        is_aws && settings.get("access_key").is_some_and(|key| !key.is_empty())
    },
    "s3cmd finds them first: remove access_key and secret_key",
);

const S3A: Keys = (
    |text| {
        let text = String::from_utf8_lossy(text);
        let elsewhere = ["endpoint</name>", "endpoint ", "endpoint=", "endpoint\t"].iter().any(|it| text.contains(it));
        text.contains("fs.s3a.access.key") && (!elsewhere || text.contains("amazonaws.com"))
    },
    "Hadoop finds them first: remove fs.s3a.access.key and fs.s3a.secret.key",
);

/// Warnings about what Google's clients find before the metadata server of the account `email`, or, where there is none,
/// before an access token file.
pub fn of_google(world: &World, email: Option<&str>, has_token_file: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let home = world.home.as_ref().map(|home| home.join(".config"));
    let gcloud = |directory: PathBuf| directory.join("gcloud");
    let configured = world.variable("CLOUDSDK_CONFIG").map(|directory| world.absolute(directory));
    if email.is_some() {
        // Python, Java and gcloud look where CLOUDSDK_CONFIG says, the others in the home directory, OpenDAL where XDG's
        // variable says; Ruby also for the machine's own:
        // <https://github.com/googleapis/google-auth-library-ruby/blob/main/lib/googleauth/credentials_loader.rb>,
        // <https://github.com/apache/opendal-reqsign/blob/main/services/google/src/provide_credential/default.rs>.
        let xdg = world.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let directories =
            [configured.clone(), xdg.map(gcloud), home.clone().map(gcloud), Some("/etc/google/auth".into())];
        for directory in directories.into_iter().flatten() {
            let file = directory.join("application_default_credentials.json");
            let warning = format!("{} is there, and Google's clients find it first: remove it", shown::path(&file));
            if file.is_file() && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        for file in boto_files(world) {
            let settings = section(&world::read_file(&file).unwrap_or_default(), &["Credentials"]);
            if let Some(name) = GSUTIL.iter().find(|name| settings.contains_key(**name)) {
                let file = shown::path(&file);
                warnings.push(format!("{file} holds {name}, and gsutil finds it first: remove it"));
            }
        }
        warnings.extend(unsigned(world, "GOOGLE_SKIP_SIGNATURE", "object_store"));
        warnings.extend(unsigned(world, "GS_NO_SIGN_REQUEST", "GDAL"));
        // A name that others use for other things.
        if world.variable("SERVICE_ACCOUNT").is_some_and(|file| Path::new(&file).is_file()) {
            warnings.push("SERVICE_ACCOUNT names a file, and object_store takes it for a key: unset it".into());
        }
    }
    if let Some(directory) = configured.or_else(|| home.map(gcloud)) {
        warnings.extend(of_gcloud(world, &directory, email, has_token_file));
    }
    warnings
}

/// What gsutil looks for before it asks the metadata server:
/// <https://github.com/GoogleCloudPlatform/gsutil/blob/master/gslib/gcs_json_credentials.py>,
/// <https://github.com/GoogleCloudPlatform/gsutil/blob/master/gslib/utils/boto_util.py>.
const GSUTIL: &[&str] = &["gs_oauth2_refresh_token", "gs_service_key_file", "gs_secret_access_key"];

/// The files that gsutil reads: <https://github.com/boto/boto/blob/develop/boto/pyami/config.py>.
fn boto_files(world: &World) -> Vec<PathBuf> {
    if let Some(file) = world.variable("BOTO_CONFIG") {
        return vec![file.into()];
    }
    if let Some(files) = world.text_variable("BOTO_PATH") {
        return files.split(':').map(PathBuf::from).collect();
    }
    [Some(PathBuf::from("/etc/boto.cfg")), world.home.as_ref().map(|home| home.join(".boto"))]
        .into_iter()
        .flatten()
        .collect()
}

/// Where packages and images put gcloud: <https://cloud.google.com/sdk/docs/install>, <https://hub.docker.com/r/google/cloud-sdk>.
const INSTALLATIONS: &[&str] = &["/usr/lib/google-cloud-sdk", "/google-cloud-sdk", "/opt/google-cloud-sdk"];

/// What gcloud heeds before the metadata server.
const PROPERTIES: &[&str] = &[
    "access_token_file",
    "account",
    "check_gce_metadata",
    "credential_file_override",
    "disable_credentials",
    "impersonate_service_account",
];

/// What gcloud reads in its active configuration, and for the whole installation: `lib/googlecloudsdk/core` in
/// <https://cloud.google.com/sdk/docs/install>, `configurations/named_configs.py` and `credentials/store.py`.
fn of_gcloud(world: &World, directory: &Path, email: Option<&str>, has_token_file: bool) -> Vec<String> {
    let read = |file: &Path| world::read_file(file).unwrap_or_default();
    let activated = || String::from_utf8_lossy(&read(&directory.join("active_config"))).into_owned();
    let is_name = |name: &String| name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    let mut name = world.text_variable("CLOUDSDK_ACTIVE_CONFIG_NAME").unwrap_or_else(activated);
    if name.is_empty() {
        name.push_str("default");
    }
    // The one that is called NONE has no file.
    let active = Some(name).filter(is_name).map(|name| directory.join("configurations/config_".to_owned() + &name));
    let installed =
        INSTALLATIONS.iter().map(|directory| Path::new(directory).join("properties")).find(|it| it.is_file());
    let is_before = |name: &str, value: &str| {
        let is_last = || !has_token_file && email.is_some();
        match name {
            "impersonate_service_account" => true,
            "disable_credentials" => is_true(value),
            // Of the accounts that it knows gcloud takes the metadata server's where no other is chosen.
            "account" => is_last() && email != Some(value),
            "check_gce_metadata" => is_last() && !is_true(value),
            _ => is_last(),
        }
    };
    let mut warnings = Vec::new();
    let mut active_values = HashMap::new();
    for file in [active, installed].into_iter().flatten() {
        let values = section(&read(&file), &["core", "auth"]);
        let wins = |name: &&&str| {
            let is_open = !active_values.contains_key(**name);
            is_open && values.get(**name).is_some_and(|value| !value.is_empty() && is_before(name, value))
        };
        let names: Vec<&str> = PROPERTIES.iter().filter(wins).copied().collect();
        if !names.is_empty() {
            let (file, names) = (shown::path(&file), names.join(", "));
            warnings.push(format!("{file} sets {names}, and gcloud heeds that first: remove it there"));
        }
        active_values = values;
    }
    warnings
}

/// As gcloud, GDAL and `object_store` have it, in any case.
fn is_true(value: &str) -> bool {
    ["true", "yes", "on", "1", "y"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn unsigned(world: &World, name: &str, who: &str) -> Option<String> {
    let is_set = world.text_variable(name).is_some_and(|value| is_true(&value));
    is_set.then(|| format!("{name} is set, and {who} signs nothing: unset it where it shall"))
}

/// The settings in these sections; none where nobody could read the file.
fn section(text: &[u8], names: &[&str]) -> HashMap<String, String> {
    ini::read(text, &|found| names.contains(&found)).ok().flatten().unwrap_or_default()
}
