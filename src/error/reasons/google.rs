//! Google: the identity of a workload there, the exchange at its STS, impersonation.

use crate::error::reason::{Reason, reasons};

reasons! {
    NOT_ON_GOOGLE "FB101": "", "run on Google Cloud, let the pod reach 169.254.169.254, or name --google-token-file",
        "The metadata server of Google Cloud (169.254.169.254) does not answer as such. Outside of Google Cloud there is none; \
         a network policy, a firewall or `hostNetwork` may keep a pod from it.",
        "https://cloud.google.com/compute/docs/metadata/overview";
    NO_SERVICE_ACCOUNT "FB102": "no service account is attached here", "attach one to the instance, the job \
         (--service_account_email) or the pod: without it there is no identity to show",
        "The metadata server is there, but knows no default service account: an instance that was made with --no-service-account, \
         or a node pool without one.",
        "https://cloud.google.com/compute/docs/access/service-accounts";
    NO_BINDING "FB103": "the pod's Kubernetes service account may not be a Google service account", "bind it, and annotate it \
         with iam.gke.io/gcp-service-account",
        "GKE's metadata server impersonates the Google service account that the Kubernetes account is annotated with; that needs \
         roles/iam.workloadIdentityUser on it.",
        "https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity";
    GOOGLE_TOKEN_FILE "FB104": "", "name a file that holds one ID token, and keep it fresh",
        "The file of --google-token-file must hold one ID token (a JWT), and whoever writes it must keep it fresh.",
        "docs/options.md";
    MAY_NOT_IMPERSONATE "FB105": "the identity here may not be {email}, or there is no such account", "let it mint that account's tokens",
        "generateIdToken needs roles/iam.serviceAccountTokenCreator (iam.serviceAccounts.getOpenIdToken) on the account that is \
         impersonated, for the account that asks. A new binding takes up to some minutes.",
        "https://cloud.google.com/iam/docs/create-short-lived-credentials-direct";
    SCOPES "FB106": "the instance's access scopes do not let it call IAM Credentials", "give the instance the scope \
         https://www.googleapis.com/auth/cloud-platform",
        "An instance's access scopes limit its access tokens whatever IAM allows.",
        "https://cloud.google.com/compute/docs/access/service-accounts#accesscopesiam";
    NO_PROVIDER_THERE "FB401": "the pool or provider {provider} does not exist, is disabled, or was deleted", "look for it",
        "The audience of the external-account file names the provider with the project's *number*. A deleted pool stays for 30 days \
         and refuses meanwhile.",
        "https://cloud.google.com/iam/docs/manage-workload-identity-pools-providers";
    ATTRIBUTE_CONDITION "FB402": "the provider's attribute condition does not admit this identity", "compare its condition with \
         who this is",
        "The provider maps the AWS ARN or the token's claims to attributes, and its condition refuses these.",
        "https://cloud.google.com/iam/docs/workload-identity-federation#conditions";
    OTHER_ACCOUNT "FB403": "the provider is for another AWS account than this one", "look which one it is for (aws.accountId), or \
         run in that account",
        "A provider for AWS admits one account.",
        "https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds";
    PROOF_REFUSED "FB404": "the provider does not accept this proof", "look what it accepts: its kind (aws or oidc), account or \
         issuer, keys and allowed audiences must match",
        "Google could not verify the signed request or the token: the provider is of another kind, or for another issuer, its keys \
         are old, or the token's audience is not among the allowed ones.",
        "https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token";
    SUBJECT_TOO_LONG "FB405": "what the provider maps to google.subject is longer than 127 bytes", "map less: for AWS the role's \
         name instead of the whole session",
        "An assumed-role ARN with a long session name does not fit. A shorter --role-session-name helps as well.",
        "https://cloud.google.com/iam/docs/workload-identity-federation#mapping";
    MAPPING "FB406": "the provider's attribute mapping does not fit what this identity is", "mend the mapping",
        "The mapping is a CEL expression over the proof; a claim that is missing, or a type that does not fit, ends the exchange.",
        "https://cloud.google.com/iam/docs/workload-identity-federation#mapping";
    NOT_IMPERSONATABLE "FB407": "this identity may not be the service account {email}, or there is none", "let it be that account",
        "The federated identity needs roles/iam.workloadIdentityUser on the service account. Google answers the same for an \
         account that does not exist. A new binding takes up to some minutes.",
        "https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#service-account-impersonation";
    LIFETIME "FB408": "an access token may not live for so long", "set --duration 1h, or have the account listed in the organisation \
         policy iam.allowServiceAccountCredentialLifetimeExtension",
        "Access tokens of service accounts live an hour, and up to twelve for accounts that the policy lists.",
        "https://cloud.google.com/iam/docs/create-short-lived-credentials-direct#sa-credentials-oauth";
    NO_SUCH_ACCOUNT "FB409": "there is no service account {email}, or it is disabled", "check its address in \
         --impersonate-service-account or service_account_impersonation_url, and enable it if it is disabled",
        "The account is looked up by the address in the URL.",
        "https://cloud.google.com/iam/docs/service-accounts-disable-enable";
    API_DISABLED "FB410": "the API {service} is not enabled in the project {project}", "enable it; that takes a few minutes",
        "Google names the project whose API is called: the service account's, or the quota project.",
        "https://cloud.google.com/service-usage/docs/enable-disable";
    CLOCK "FB411": "this machine's clock is {skew} the server's", "set the clock right (chronyc makestep, or the host's time service)",
        "Signatures and tokens carry times; clouds bear some minutes of difference.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html";
    QUOTA "FB412": "a quota of the project is used up", "let fewer workers start at once, or have the quota raised",
        "Google answers 429 RESOURCE_EXHAUSTED and names the quota in its details.",
        "https://cloud.google.com/iam/quotas";
    ORGANISATION "FB413": "a policy of the organisation forbids it", "ask whoever keeps the organisation's policies, with what the \
         answer names",
        "VPC Service Controls and organisation policies refuse before IAM is asked.",
        "https://cloud.google.com/vpc-service-controls/docs/troubleshooting";
    SCOPE_REFUSED "FB414": "a scope that is asked for is none", "name scopes with --scope as URLs of Google's list, or leave it out",
        "The default is cloud-platform, which IAM narrows.",
        "https://developers.google.com/identity/protocols/oauth2/scopes";
    KEYS_EXPIRED "FB415": "the AWS keys that signed the proof have expired", "take keys that stand in variables or files away, so \
         that the role of the task, the pod or the instance is used",
        "Google has AWS check the signature, and repeats AWS's answer: ExpiredToken.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp.html";
    KEYS_UNKNOWN "FB416": "AWS does not know the keys that signed the proof", "check the keys, and the region: one that the account \
         has to enable must be enabled",
        "Google has AWS check the signature, and repeats AWS's answer: InvalidClientTokenId.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html";
    GOOGLE_DOWN "FB417": "", "wait: it is tried again; if it lasts, look at https://status.cloud.google.com",
        "Google answered 5xx.",
        "https://status.cloud.google.com";
    BEARER_REFUSED "FB418": "Google does not accept the token that it was shown", "see whether the account that asks still exists \
         and is enabled",
        "Google answered 401 UNAUTHENTICATED: the token was revoked, has expired, or its account is gone.",
        "https://cloud.google.com/apis/design/errors#error_model";
}
