//! What Google's clients would find before the metadata server, and gcloud before an access token file.

use std::path::Path;

use fedboot::delivery::shadowed_variables::{GCLOUD, GOOGLE};

use crate::common::{Stage, write};
use crate::{ACCOUNT, hold, simple, variable};

/// What stands where, with which variable, and what the warning says of it.
struct Row<'a> {
    file: &'a str,
    content: &'a str,
    variable: Option<(&'a str, &'a str)>,
    delivery: &'a str,
    warned: Option<&'a str>,
}

fn row<'a>(file: &'a str, content: &'a str, warned: Option<&'a str>) -> Row<'a> {
    Row { file, content, variable: None, delivery: "metadata", warned }
}

impl<'a> Row<'a> {
    fn with(self, variable: &'a str, value: &'a str) -> Self {
        Self { variable: Some((variable, value)), ..self }
    }

    fn by(self, delivery: &'a str) -> Self {
        Self { delivery, ..self }
    }
}

/// One warning for a file that wins, which names it and what is found in it; none for one that does not.
#[test]
fn files() {
    const ADC: &str = "home/.config/gcloud/application_default_credentials.json";
    const DEFAULT: &str = "home/.config/gcloud/configurations/config_default";
    const WORK: &str = "home/.config/gcloud/configurations/config_work";
    const NAME: &str = "CLOUDSDK_ACTIVE_CONFIG_NAME";
    let own = format!("[core]\naccount = {ACCOUNT}\n");
    let both = "[auth]\nimpersonate_service_account = a@b.example\n[core]\naccount = me@b.example\n";
    let token = "[auth]\naccess_token_file = /x\ncredential_file_override = /y\n[core]\naccount = me@b.example\n";
    let refresh = "[Credentials]\ngs_oauth2_refresh_token = hunter2\n";
    for row in [
        // The file that `gcloud auth application-default login` leaves, wherever clients look for it.
        row(ADC, "{}", Some("Google's clients find it first")),
        row(ADC, "{}", None).by("access-token-file"),
        row("else/application_default_credentials.json", "{}", Some("first")).with("CLOUDSDK_CONFIG", "else"),
        row(ADC, "{}", Some("first")).with("CLOUDSDK_CONFIG", "else"),
        row("else/gcloud/application_default_credentials.json", "{}", Some("first")).with("XDG_CONFIG_HOME", "else"),
        row("home/.config/gcloud/other.json", "{}", None),
        // gcloud's configuration that is active, each property alone.
        row(DEFAULT, "[core]\naccount = me@b.example\n", Some("sets account, and gcloud")),
        row(DEFAULT, "[core]\nACCOUNT : me@b.example\n", Some("sets account")),
        row(DEFAULT, &own, None),
        row(DEFAULT, "[core]\naccount =\n", None),
        row(DEFAULT, "[other]\naccount = me@b.example\n", None),
        row(DEFAULT, "[core]\nproject = p\n[compute]\nzone = z\n", None),
        row(DEFAULT, "[core]\ncheck_gce_metadata = False\n", Some("sets check_gce_metadata")),
        row(DEFAULT, "[core]\ncheck_gce_metadata = true\n", None),
        row(DEFAULT, "[auth]\nimpersonate_service_account = a@b.example\n", Some("sets impersonate_service_account")),
        row(DEFAULT, "[auth]\ncredential_file_override = /x\n", Some("sets credential_file_override")),
        row(DEFAULT, "[auth]\naccess_token_file = /x\n", Some("sets access_token_file")),
        row(DEFAULT, "[auth]\ndisable_credentials = yes\n", Some("sets disable_credentials")),
        row(DEFAULT, "[auth]\ndisable_credentials = False\n", None),
        row(DEFAULT, both, Some("sets account, impersonate_service_account,")),
        row(DEFAULT, "no configuration\n", None),
        // Which one is active.
        row(WORK, both, None),
        row(WORK, both, Some("config_work sets account")).with(NAME, "work"),
        row(DEFAULT, both, None).with(NAME, "work"),
        row(DEFAULT, both, None).with(NAME, "NONE"),
        row(DEFAULT, both, Some("first")).with(NAME, ""),
        row("home/.config/config_x", both, None).with(NAME, "../../../config_x"),
        row("else/configurations/config_default", both, Some("first")).with("CLOUDSDK_CONFIG", "else"),
        row(DEFAULT, both, None).with("CLOUDSDK_CONFIG", "else"),
        // A token file comes before accounts and other files, not before impersonation.
        row(DEFAULT, token, Some("sets access_token_file, account, credential_file_override")),
        row(DEFAULT, token, None).by("metadata,access-token-file"),
        row(DEFAULT, token, None).by("access-token-file"),
        row(DEFAULT, both, Some("sets impersonate_service_account, and")).by("access-token-file"),
        row(DEFAULT, both, Some("sets impersonate_service_account, and")).by("access-token-file,metadata"),
        // gsutil's keys.
        row("home/.boto", refresh, Some("holds gs_oauth2_refresh_token, and gsutil")),
        row("home/.boto", refresh, None).by("access-token-file"),
        row("home/.boto", "[Credentials]\ngs_service_key_file = /x\n", Some("holds gs_service_key_file")),
        row("home/.boto", "[Credentials]\ngs_access_key_id = A\ngs_secret_access_key = hunter2\n", Some("gs_secret")),
        row("home/.boto", "[Credentials]\ngs_external_account_file = /x\naws_access_key_id = A\n", None),
        row("home/.boto", "[Boto]\n#gs_oauth2_refresh_token = hunter2\n", None),
        row("home/.boto", refresh, None).with("BOTO_CONFIG", "else"),
        row("else", refresh, Some("gsutil")).with("BOTO_CONFIG", "else"),
        row("else", refresh, Some("gsutil")).with("BOTO_PATH", "/nowhere:else"),
        // What only a variable says.
        row("key.json", "{}", Some("SERVICE_ACCOUNT names a file")).with("SERVICE_ACCOUNT", "key.json"),
        row("x", "", None).with("SERVICE_ACCOUNT", "worker@demo-project.iam.gserviceaccount.com"),
        row("x", "", Some("GOOGLE_SKIP_SIGNATURE is set")).with("GOOGLE_SKIP_SIGNATURE", "true"),
        row("x", "", None).with("GOOGLE_SKIP_SIGNATURE", "false"),
        row("x", "", Some("GS_NO_SIGN_REQUEST is set")).with("GS_NO_SIGN_REQUEST", "YES"),
    ] {
        let mut stage = simple();
        let place = |name: &str| stage.directory.path().join(name).display().to_string();
        let file = place(row.file);
        write(Path::new(&file), row.content);
        if let Some((name, value)) = row.variable {
            let value = match value.rsplit_once(':') {
                Some((before, last)) => format!("{before}:{}", place(last)),
                None if row.file.starts_with(value) && !value.is_empty() || value == "else" => place(value),
                None => value.into(),
            };
            stage.set(name, value);
        }
        let warnings = warnings(&stage, row.delivery);
        let about = format!("{} {} {:?} {}: {warnings:?}", row.file, row.content, row.variable, row.delivery);
        assert_eq!(warnings.len(), usize::from(row.warned.is_some()), "{about}");
        if let (Some(words), [warning]) = (row.warned, &warnings[..]) {
            assert!(warning.contains(words), "{about}");
            assert!(warning.contains(&file) || row.file == "x" || row.file == "key.json", "{about}");
            assert!(!warning.contains("hunter2"), "{about}");
        }
    }
}

fn warnings(stage: &Stage, delivery: &str) -> Vec<String> {
    let outcome = stage.run_shell(&["--delivery", delivery], "exit 0");
    outcome.assert_succeeded();
    let events = outcome.events().into_iter().filter(|event| event.severity() == "WARNING");
    events.map(|event| event.message().to_owned()).collect()
}

/// What gcloud looks at before an access token file goes, all else stays.
#[test]
fn variables_beside_an_access_token_file() {
    assert!(GCLOUD.iter().all(|name| GOOGLE.contains(name)));
    let mut stage = simple();
    for name in GOOGLE.iter().filter(|name| **name != "GOOGLE_APPLICATION_CREDENTIALS") {
        stage.set(name, "mine");
    }
    let held = hold(&stage, "--delivery access-token-file");
    for name in GOOGLE.iter().filter(|name| **name != "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE") {
        assert_eq!(variable(&held, name).is_none(), GCLOUD.contains(name), "{name}");
    }
    held.release(&stage).assert_succeeded();
}
