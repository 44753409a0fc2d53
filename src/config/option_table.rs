//! The table of verbs and options, the one source: the parser, `--help`, the manual pages, the completions and
//! docs/options.md are made of it.

/// What fedboot can be asked to do: nothing, or the first word.
pub struct Verb {
    /// The first word; empty for what needs none.
    pub name: &'static str,
    /// By which [`Opt::verbs`] names it.
    pub bit: u8,
    /// What else is typed.
    pub usage: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What its exit code says.
    pub exit_code: &'static str,
    /// Command lines, one a line.
    pub examples: &'static str,
}

/// One option: a flag, else `FEDBOOT_<NAME>`, else the ecosystem's variables, else its default.
pub struct Opt {
    /// The name after `--`.
    pub name: &'static str,
    /// What its value is called; empty for a switch.
    pub value: &'static str,
    /// The ecosystem's own variables, first to last.
    pub variables: &'static [&'static str],
    /// Whether a metadata attribute may set it.
    pub attribute: bool,
    /// Whether it may be given more than once; in a variable white space separates the values.
    pub repeatable: bool,
    /// Under which heading it stands.
    pub group: Group,
    /// Whose credentials it helps to get.
    pub cloud: Cloud,
    /// For which verbs it has a meaning, a bit each.
    pub verbs: u8,
    /// What counts where it is not given; empty for nothing.
    pub default: &'static str,
    /// One sentence of help.
    pub help: &'static str,
}

/// What an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Who am I here?
    Identity,
    /// Who do I become on AWS?
    Role,
    /// What do I get for it, and from whom?
    Exchange,
    /// Where do clients look?
    Delivery,
    /// When does fedboot wait, go on or end?
    Conduct,
    /// What does it say of that?
    Logging,
}

/// Whose credentials an option helps to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Google → AWS.
    Aws,
    /// AWS → Google.
    Google,
    /// Either way.
    Either,
}

impl Verb {
    /// What is typed.
    pub fn typed(&self) -> String {
        ["fedboot", self.name, self.usage].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl Opt {
    /// What is typed.
    pub fn typed(&self) -> String {
        ["--", self.name, if self.value.is_empty() { "" } else { " " }, self.value].concat()
    }

    /// The verbs for which it has a meaning.
    pub fn verbs(&self) -> impl Iterator<Item = &'static Verb> {
        VERBS.iter().filter(|verb| self.verbs & verb.bit != 0)
    }
}

impl Group {
    /// Its heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Role => "role",
            Self::Exchange => "exchange",
            Self::Delivery => "delivery",
            Self::Conduct => "conduct",
            Self::Logging => "logging",
        }
    }
}

impl Cloud {
    /// The way there.
    pub fn way(self) -> &'static str {
        match self {
            Self::Aws => "Google → AWS",
            Self::Google => "AWS → Google",
            Self::Either => "either way",
        }
    }
}

/// `fedboot -- COMMAND`.
pub const RUN: u8 = 1;
/// `fedboot agent`.
pub const AGENT: u8 = 2;
/// `fedboot credential-process`.
pub const CREDENTIAL_PROCESS: u8 = 4;
/// `fedboot token`.
pub const TOKEN: u8 = 8;
/// `fedboot status`.
pub const STATUS: u8 = 16;
/// `fedboot env`.
pub const ENV: u8 = 32;
/// `fedboot trust-policy`.
pub const TRUST_POLICY: u8 = 128;
/// `fedboot doctor`.
pub const DOCTOR: u8 = 64;

/// What starts an agent, or tries what one would do.
const STARTS: u8 = RUN | AGENT | DOCTOR;
/// What may get AWS credentials.
const TO_AWS: u8 = STARTS | CREDENTIAL_PROCESS;
/// What may get Google credentials.
const TO_GOOGLE: u8 = STARTS | TOKEN;
/// What may get credentials.
const TO_BOTH: u8 = TO_AWS | TO_GOOGLE;
/// What asks who this is.
const LOOKS: u8 = TO_BOTH | TRUST_POLICY;
const ALL: u8 = TO_BOTH | STATUS | ENV | TRUST_POLICY;

const NO_CREDENTIALS: &str = "0; 1 no credentials, 2 called wrongly";

/// Every verb, in the order of `--help`.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "",
        bit: RUN,
        usage: "[OPTIONS] -- COMMAND [ARG…]",
        help: "credentials first, then COMMAND; they stay fresh beside it",
        exit_code: "COMMAND's own; 125 fedboot failed, 126 COMMAND is not executable, 127 there is none",
        examples: "fedboot --role-arn arn:aws:iam::123456789012:role/worker --region eu-west-1 -- python app.py\n\
                   fedboot --external-account google.json --timeout 2m -- python app.py",
    },
    Verb {
        name: "agent",
        bit: AGENT,
        usage: "[OPTIONS]",
        help: "the same without COMMAND",
        exit_code: NO_CREDENTIALS,
        examples: "eval \"$(fedboot agent)\" || exit",
    },
    Verb {
        name: "credential-process",
        bit: CREDENTIAL_PROCESS,
        usage: "[OPTIONS]",
        help: "one answer, for credential_process in an AWS profile",
        exit_code: NO_CREDENTIALS,
        examples: "fedboot credential-process --role-arn arn:aws:iam::123456789012:role/worker",
    },
    Verb {
        name: "token",
        bit: TOKEN,
        usage: "access|id|subject [OPTIONS]",
        help: "a Google token; subject answers google-auth's executable source",
        exit_code: NO_CREDENTIALS,
        examples: "fedboot token id --audience https://service.example --format json",
    },
    Verb {
        name: "status",
        bit: STATUS,
        usage: "[OPTIONS]",
        help: "what the agent has",
        exit_code: "0 fresh, 1 stale, 2 none or called wrongly",
        examples: "fedboot status --format json",
    },
    Verb {
        name: "env",
        bit: ENV,
        usage: "[OPTIONS]",
        help: "what the agent's command was given, for another shell",
        exit_code: "0; 1 nothing to say yet, 2 no agent or called wrongly",
        examples: "eval \"$(fedboot env)\" || exit",
    },
    Verb {
        name: "trust-policy",
        bit: TRUST_POLICY,
        usage: "[OPTIONS]",
        help: "what must be granted for this workload, or whether a policy admits it",
        exit_code: "0; 1 no identity, 2 called wrongly; with --check: 0 admitted, 1 not, 2 not to be judged",
        examples: "fedboot trust-policy --check policy.json --service-account-unique-id 117739419398126000111",
    },
    Verb {
        name: "doctor",
        bit: DOCTOR,
        usage: "[OPTIONS] [-- COMMAND [ARG…]]",
        help: "tries every step of a boot and starts nothing: what works, what does not, what to do",
        exit_code: "0; 1 warnings and --strict, 2 failures or called wrongly",
        examples: "fedboot doctor --role-arn arn:aws:iam::123456789012:role/worker -- python app.py",
    },
    Verb {
        name: "help",
        bit: 0,
        usage: "[VERB]",
        help: "the options of a verb, as VERB --help",
        exit_code: "",
        examples: "",
    },
];

use Cloud::{Aws, Either, Google};
use Group::{Conduct, Delivery, Exchange, Identity, Logging, Role};

const fn opt(
    name: &'static str,
    value: &'static str,
    group: Group,
    cloud: Cloud,
    verbs: u8,
    default: &'static str,
) -> Opt {
    Opt { name, value, variables: &[], attribute: false, repeatable: false, group, cloud, verbs, default, help: "" }
}

impl Opt {
    const fn from(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    const fn or_attribute(self) -> Self {
        Self { attribute: true, ..self }
    }

    const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    const fn says(self, help: &'static str) -> Self {
        Self { help, ..self }
    }
}

/// Every option, in the order of `--help`.
pub const OPTIONS: &[Opt] = &[
    opt("google-token-file", "FILE", Identity, Aws, TO_AWS | TRUST_POLICY, "the metadata server")
        .says("read the Google ID token from FILE"),
    opt("service-account-unique-id", "ID", Identity, Aws, TRUST_POLICY, "")
        .says("what AWS would see of the tokens of the service account with this number"),
    opt("claims", "FILE", Identity, Aws, TRUST_POLICY, "")
        .says("what AWS would see of the token in FILE, a JWT or its claims as JSON"),
    opt("identity", "SOURCE", Identity, Google, TO_GOOGLE | TRUST_POLICY, "the first that is configured")
        .says("who this is on AWS: environment, profile, web-identity, container or imds"),
    opt("aws-role", "ARN", Identity, Google, TRUST_POLICY, "this workload's own")
        .says("whom to let in: a role on AWS, or a session of one"),
    opt("imdsv1", "", Identity, Google, TO_GOOGLE | TRUST_POLICY, "")
        .says("accept version 1 of the instance metadata service too"),
    opt("impersonate-service-account", "EMAIL", Identity, Either, LOOKS, "the workload's own; for Google the file's")
        .says("be this Google service account"),
    opt("iam-credentials-endpoint", "URL", Identity, Either, LOOKS, "https://iamcredentials.googleapis.com")
        .from(&["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"])
        .says("another IAM Credentials"),
    opt("role-arn", "[PROFILE=]ARN", Role, Aws, TO_AWS | TRUST_POLICY, "required")
        .from(&["AWS_ROLE_ARN"])
        .or_attribute()
        .repeatable()
        .says("the AWS role to assume (template); further ones each for a profile"),
    opt("then-role-arn", "[PROFILE=]ARN", Role, Aws, TO_AWS, "")
        .repeatable()
        .says("a second role, assumed with the first one's credentials (template)"),
    opt("session-policy", "FILE", Role, Aws, TO_AWS, "").says("JSON policy that limits the session"),
    opt("policy-arn", "ARN", Role, Aws, TO_AWS, "").repeatable().says("managed policy that limits the session"),
    opt("check", "FILE|-", Role, Aws, TRUST_POLICY, "")
        .says("whether the trust policy in FILE, or what aws iam get-role prints, admits the token"),
    opt("context", "KEY=VALUE", Role, Aws, TRUST_POLICY, "")
        .repeatable()
        .says("a condition key that only AWS can know, as aws:SourceIp=203.0.113.7"),
    opt("assume-role-arn", "ARN", Role, Google, TO_GOOGLE | TRUST_POLICY, "")
        .says("a second role, assumed before Google is asked"),
    opt("role-session-name", "NAME", Role, Either, LOOKS, "{hostname}")
        .from(&["AWS_ROLE_SESSION_NAME"])
        .or_attribute()
        .says("session name in CloudTrail (template)"),
    opt("external-id", "ID", Role, Either, LOOKS, "").says("what the second role's trust policy asks for"),
    opt("source-identity", "NAME", Role, Either, TO_BOTH, "").says("source identity of the second role's session"),
    opt("session-tag", "KEY=VALUE", Role, Either, TO_BOTH, "").repeatable().says("a tag of the second role's session"),
    opt("external-account", "FILE", Exchange, Google, TO_GOOGLE | TRUST_POLICY, "required")
        .from(&["GOOGLE_APPLICATION_CREDENTIALS"])
        .says("the file that gcloud wrote for a workload identity pool"),
    opt("workload-identity-provider", "NAME", Exchange, Google, TO_GOOGLE | TRUST_POLICY, "the file's")
        .says("instead of a file: projects/N/locations/global/workloadIdentityPools/…"),
    opt("scope", "SCOPE", Exchange, Google, TO_GOOGLE, "https://www.googleapis.com/auth/cloud-platform")
        .repeatable()
        .says("scope of the Google access token"),
    opt("proof", "KIND", Exchange, Google, TO_GOOGLE, "by the file")
        .says("signed-request or web-identity-token (of AWS STS)"),
    opt("subject-token-audience", "AUDIENCE", Exchange, Google, TO_GOOGLE, "https:, then the provider")
        .says("audience of that web identity token"),
    opt("google-sts-endpoint", "URL", Exchange, Google, TO_GOOGLE, "the file's, https://sts.googleapis.com")
        .says("another Google STS"),
    opt("audience", "AUDIENCE", Exchange, Either, LOOKS, "sts.amazonaws.com")
        .or_attribute()
        .says("audience of the Google ID token; token id has no default"),
    opt("duration", "TIME", Exchange, Either, TO_BOTH, "1h; for Google the file's")
        .or_attribute()
        .says("lifetime of the credentials: 3600, 90m, 12h"),
    opt("region", "REGION", Exchange, Either, LOOKS, "by the role's partition")
        .from(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        .or_attribute()
        .says("AWS region whose STS is asked"),
    opt("sts-endpoint", "URL", Exchange, Either, LOOKS, "the region's")
        .from(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"])
        .says("another AWS STS"),
    opt("allow-http", "", Exchange, Either, LOOKS, "")
        .says("accept http: endpoints that are not on loopback or link-local"),
    opt("credentials-file", "FILE", Delivery, Aws, STARTS | STATUS | ENV, "~/.aws/credentials")
        .from(&["AWS_SHARED_CREDENTIALS_FILE"])
        .says("where credentials are written; tells agents apart, too"),
    opt("web-identity-token-file", "FILE", Delivery, Aws, STARTS, "a new one beside the credentials file")
        .says("where delivery token-file writes"),
    opt("cache-file", "FILE", Delivery, Aws, TO_AWS, "by the other options, in ~/.cache/fedboot")
        .says("what credential-process answers from"),
    opt("metadata-port", "PORT", Delivery, Google, STARTS, "any free one").says("port of the metadata server"),
    opt("allow-uid", "UID,…|any", Delivery, Google, STARTS, "beside COMMAND, unless as root: nobody else; any")
        .says("who may ask the metadata server, beside root and the agent's user"),
    opt("access-token-file", "FILE", Delivery, Google, STARTS, "a new one in ~/.cache/fedboot")
        .says("where delivery access-token-file writes"),
    opt("project", "ID", Delivery, Google, STARTS, "the file's quota project, the service account's, the pool's")
        .from(&["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"])
        .says("the project that clients are told"),
    opt("delivery", "LIST", Delivery, Either, STARTS, "file,endpoint; for Google metadata").says(
        "file,endpoint; or file, endpoint, process, token-file, env alone; or file with process or env; for Google \
             metadata, access-token-file, or both",
    ),
    opt(
        "aws-profile",
        "NAME|none",
        Delivery,
        Either,
        TO_GOOGLE | TRUST_POLICY,
        "fedboot, where the delivery needs one",
    )
    .says("the profile that clients use; for Google: that is read"),
    opt("file-mode", "MODE", Delivery, Either, TO_GOOGLE, "0600").says("who may read what is written, as in chmod"),
    opt("owner", "USER[:GID]", Delivery, Either, ALL, "who starts fedboot")
        .says("as root: whose what is written is, at that user's home; COMMAND is still root's"),
    opt("require", "PROFILE,…", Conduct, Aws, STARTS, "").says("further roles that COMMAND waits for as well"),
    opt("on-failure", "exit|run", Conduct, Either, STARTS, "exit")
        .says("what to do when there are no credentials in time"),
    opt("timeout", "TIME", Conduct, Either, LOOKS | ENV, "60s").says("how long credentials are waited for"),
    opt("no-refresh", "", Conduct, Either, STARTS, "").says("credentials once, never again"),
    opt(FLAGS_ONLY, "", Conduct, Either, ALL, "").says("read no variable for any option"),
    opt("foreground", "", Conduct, Either, AGENT, "").says("stay in front"),
    opt("follow-pid", "PID|FILE", Conduct, Either, AGENT, "")
        .says("end with this process, or with the one whose pid comes to stand in FILE"),
    opt("strict", "", Conduct, Either, DOCTOR, "").says("exit with 1 for warnings, too"),
    opt("offline", "", Conduct, Either, DOCTOR, "").says("only what needs no network, as where an image is built"),
    opt("clients", "", Conduct, Either, DOCTOR, "")
        .says("look for SDKs on this machine, and whether their versions take what is delivered"),
    opt("format", "text|token|json", Conduct, Either, TOKEN | STATUS | TRUST_POLICY | DOCTOR, "text; of token: token")
        .says("text or json; of token: token or json"),
    opt("log-file", "FILE", Logging, Either, AGENT, "stderr; in the background unless that is a pipe")
        .says("append the log to FILE"),
    opt("log-format", "auto|text|json", Logging, Either, ALL, "auto; where no agent is started, text")
        .says("auto: text on a terminal, else JSON"),
    opt("log-level", "LEVEL", Logging, Either, ALL, "info; before COMMAND on a terminal warning")
        .says("debug, info, warning, error or critical"),
];

/// What is said only when a second role is assumed.
pub const OF_A_SECOND_ROLE: &[&str] = &["then-role-arn", "external-id", "source-identity", "session-tag"];

/// The switch that leaves all variables unread.
pub const FLAGS_ONLY: &str = "flags-only";

/// The option of this name.
pub fn option(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.name == name)
}
