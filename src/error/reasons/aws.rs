//! AWS: its STS, and the identity of a workload there.

use crate::error::reason::{Reason, reasons};

reasons! {
    ROLE_REFUSES_TOKEN "FB201": "its trust policy does not let this workload in, or there is no such role",
        "if it exists, its trust policy needs this statement",
        "AWS answers AccessDenied alike for a role that does not exist and for one whose trust policy does not admit the token. \
         For Google `aud` in a policy is matched against the token's `azp`, and `oaud` against its audience; `sub` is the service \
         account's numeric id. `fedboot trust-policy --check FILE` says which condition fails.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif";
    EXPLICIT_DENY "FB202": "a policy denies it explicitly ({policy})", "have that policy changed: no trust policy can overrule an \
         explicit deny",
        "A service control policy, a resource control policy, a permissions boundary, a session policy or a Deny in the trust \
         policy. AWS names which kind.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html";
    PROVIDER_FOR_GOOGLE "FB203": "AWS does not accept this Google token", "delete the IAM OIDC provider for accounts.google.com, if \
         the account has one: AWS knows Google by itself, and such a provider breaks the exchange",
        "With an OIDC provider for accounts.google.com AWS takes that one's client ids instead of its own rule. `aws iam \
         list-open-id-connect-providers` lists them.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html";
    NO_OIDC_PROVIDER "FB204": "AWS knows no issuer {provider} with this audience", "make an IAM OIDC provider for it in the account \
         {account}, with the token's audience as client id",
        "A token of another issuer than Google's needs a provider in the account of the role.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html";
    TOKEN_EXPIRED "FB205": "AWS takes the token for expired", "check this machine's clock, and who keeps the token file fresh if \
         there is one",
        "The token's end has passed by AWS's clock.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors";
    DURATION "FB206": "{duration} is no length that the role's sessions may have", "set --duration between 15m and the role's \
         maximum session duration (an hour, unless it was raised)",
        "A role's sessions last up to its MaxSessionDuration (an hour, unless it was raised, twelve at most), a second role's an \
         hour at most.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_view-role-max-session.html";
    STS_VALIDATION "FB207": "AWS does not accept a value", "check --role-arn, --role-session-name and --duration (15m and more)",
        "The message of AWS names the field and what it may be.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html";
    REGION_DISABLED "FB208": "STS is not active for this account in {region}", "activate it in the account's settings (IAM, Account \
         settings), or name another --region",
        "Newer regions must be enabled before their STS answers for an account.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html";
    SESSION_POLICY "FB209": "AWS does not accept the session policy", "check --session-policy and --policy-arn",
        "A session policy is an identity policy: no Principal, the size that AWS names, managed policies by their ARNs.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session";
    PACKED_POLICY "FB210": "session policies and tags are more than AWS can pack", "shorten --session-policy, or name fewer \
         --policy-arn or --session-tag",
        "AWS packs both into the session token, and names how full it is.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html";
    THROTTLED "FB211": "too many calls of this account at once", "let fewer workers start together, or raise --timeout",
        "AWS limits the calls of an account a second; fedboot tries again with growing waits.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html";
    ISSUER_UNREACHABLE "FB212": "AWS could not reach the token's issuer", "wait, or see that the issuer's keys can be had from the \
         internet",
        "AWS fetches the issuer's keys itself.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors";
    SECOND_ROLE "FB213": "{caller} may not assume {role}, or there is no such role", "a policy of {caller} must allow {actions} \
         on it, and its trust policy needs this statement{external}",
        "Both sides must allow it where the roles are of two accounts. A role with an external id wants --external-id.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html";
    REQUEST_EXPIRED "FB214": "AWS does not accept the signature's time or value", "check this machine's clock, and that nothing \
         changes requests on their way",
        "A signature is good for five minutes around its time.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html";
    STS_DOWN "FB215": "STS is in trouble", "if it lasts, name another --region",
        "AWS answered 5xx; fedboot tries again until the time is up.",
        "https://health.aws.amazon.com/health/status";
    NOT_STS "FB216": "what answers there is not AWS STS", "check --region or --sts-endpoint, and what stands between (a proxy, a \
         captive portal)",
        "The answer is not what STS sends.",
        "https://docs.aws.amazon.com/general/latest/gr/sts.html";
    NO_OUTBOUND "FB217": "the account does not let its roles get tokens for others", "switch outbound federation on",
        "GetWebIdentityToken needs outbound federation enabled in the account, and sts:GetWebIdentityToken allowed to the role.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html";
    CLAIM_REJECTED "FB218": "the issuer no longer stands by this token", "see whether the service account was deleted or disabled",
        "IDPRejectedClaim: the issuer has withdrawn the token or the account.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors";
    TOKEN_REFUSED "FB219": "no policy of this identity allows it", "attach a policy with this statement to its role",
        "An identity needs sts:GetWebIdentityToken to get a token that names it.",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html";
    NO_AWS_IDENTITY "FB301": "", "give the task, pod or instance a role, or name a source with --identity",
        "No source of AWS credentials is configured here, in the order of the SDKs: environment, profile, web identity, container, \
         instance.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html";
    IMDS_HOPS "FB302": "", "raise the hop limit to 2, or better give the task or pod a role of its own",
        "The instance's metadata service sends its answers only so many network hops far: one, unless it was raised, and a \
         container is one farther.",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html";
    IMDS_OFF "FB303": "", "switch the service on in the metadata options of the instance; --imdsv1 accepts its first version",
        "The instance's metadata options have switched the service off, or something between refuses.",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html";
    IMDS_ROLE "FB304": "", "attach an instance profile whose role trusts ec2.amazonaws.com",
        "The instance has no role, or its role cannot be assumed by EC2 any more.",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html";
    CONTAINER_ROLE "FB305": "", "give the task definition a task role, or associate the service account of the pod with a role",
        "The endpoint of the task's or the pod's role (ECS, EKS Pod Identity) does not give credentials: is there a task role, an \
         association of the service account, and does the role trust ecs-tasks.amazonaws.com or pods.eks.amazonaws.com? These are what it needs.",
        "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html";
    WEB_IDENTITY_FILE "FB306": "", "annotate the Kubernetes service account with eks.amazonaws.com/role-arn",
        "A token file (IRSA) must hold one fresh token, and AWS_ROLE_ARN the role; EKS sets both where the service account is \
         annotated with eks.amazonaws.com/role-arn.",
        "https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html";
    PROFILE "FB307": "", "mend what the message names in ~/.aws/config or ~/.aws/credentials",
        "What a profile of ~/.aws says cannot be followed to credentials.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html";
    HALF_KEYS "FB308": "", "set both, or none",
        "A key id without its secret, or the other way round, stops the search for an identity.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html";
    DEAD_KEYS "FB309": "", "take them away, so that the role of the task, the pod or the instance is used",
        "Temporary keys that stand in variables or in a file end, and nobody renews them.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp.html";
    NODE_ROLE "FB310": "", "give the task or pod its own role, or say --identity imds if that of the node is meant",
        "A task or pod without a role of its own finds the instance's, and so everything on that node has the same identity.",
        "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html";
}
