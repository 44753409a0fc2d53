# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fedboot_global_optspecs
    string join \n google-token-file= identity= imdsv1 impersonate-service-account= iam-credentials-endpoint= role-arn= then-role-arn= session-policy= policy-arn= assume-role-arn= role-session-name= external-id= source-identity= session-tag= external-account= workload-identity-provider= scope= proof= subject-token-audience= google-sts-endpoint= audience= duration= region= sts-endpoint= allow-http credentials-file= web-identity-token-file= cache-file= metadata-port= allow-uid= access-token-file= project= delivery= aws-profile= file-mode= owner= require= on-failure= timeout= no-refresh flags-only log-format= log-level= help version
end

function __fish_fedboot_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    contains -- -- $cmd
    and return 1
    argparse -s (__fish_fedboot_global_optspecs) -- $cmd 2>/dev/null
    or return 0
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fedboot_using_subcommand
    set -l cmd (__fish_fedboot_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fedboot -n "__fish_fedboot_needs_command" -l google-token-file -d 'read the Google ID token from FILE' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l identity -d 'who this is on AWS: environment, profile, web-identity, container or imds' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l role-arn -d 'the AWS role to assume (template); further ones each for a profile' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l then-role-arn -d 'a second role, assumed with the first one\'s credentials (template)' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l session-policy -d 'JSON policy that limits the session' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l policy-arn -d 'managed policy that limits the session' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l assume-role-arn -d 'a second role, assumed before Google is asked' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l source-identity -d 'source identity of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l session-tag -d 'a tag of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l external-account -d 'the file that gcloud wrote for a workload identity pool' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l workload-identity-provider -d 'instead of a file: projects/N/locations/global/workloadIdentityPools/…' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l scope -d 'scope of the Google access token' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l proof -d 'signed-request or web-identity-token (of AWS STS)' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l subject-token-audience -d 'audience of that web identity token' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l google-sts-endpoint -d 'another Google STS' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l duration -d 'lifetime of the credentials: 3600, 90m, 12h' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l credentials-file -d 'where credentials are written; tells agents apart, too' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l web-identity-token-file -d 'where delivery token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l cache-file -d 'what credential-process answers from' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l metadata-port -d 'port of the metadata server' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l allow-uid -d 'who may ask the metadata server, beside root and the agent\'s user' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l access-token-file -d 'where delivery access-token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_needs_command" -l project -d 'the project that clients are told' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l delivery -d 'file,endpoint; or file, endpoint, process, token-file, env alone; or file with process or env; for Google metadata, access-token-file, or both' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l aws-profile -d 'the profile that clients use; for Google: that is read' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l file-mode -d 'who may read what is written, as in chmod' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_needs_command" -l require -d 'further roles that COMMAND waits for as well' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l on-failure -d 'what to do when there are no credentials in time' -r -f -a "exit\t''
run\t''"
complete -c fedboot -n "__fish_fedboot_needs_command" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_needs_command" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_needs_command" -l imdsv1 -d 'accept version 1 of the instance metadata service too'
complete -c fedboot -n "__fish_fedboot_needs_command" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_needs_command" -l no-refresh -d 'credentials once, never again'
complete -c fedboot -n "__fish_fedboot_needs_command" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_needs_command" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_needs_command" -l version -d 'the version'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "agent" -d 'the same without COMMAND'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "credential-process" -d 'one answer, for credential_process in an AWS profile'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "token" -d 'a Google token; subject answers google-auth\'s executable source'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "status" -d 'what the agent has'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "env" -d 'what the agent\'s command was given, for another shell'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "trust-policy" -d 'what must be granted for this workload, or whether a policy admits it'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "doctor" -d 'tries every step of a boot and starts nothing: what works, what does not, what to do'
complete -c fedboot -n "__fish_fedboot_needs_command" -f -a "help" -d 'the options of a verb, as VERB --help'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l google-token-file -d 'read the Google ID token from FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l identity -d 'who this is on AWS: environment, profile, web-identity, container or imds' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l role-arn -d 'the AWS role to assume (template); further ones each for a profile' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l then-role-arn -d 'a second role, assumed with the first one\'s credentials (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l session-policy -d 'JSON policy that limits the session' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l policy-arn -d 'managed policy that limits the session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l assume-role-arn -d 'a second role, assumed before Google is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l source-identity -d 'source identity of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l session-tag -d 'a tag of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l external-account -d 'the file that gcloud wrote for a workload identity pool' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l workload-identity-provider -d 'instead of a file: projects/N/locations/global/workloadIdentityPools/…' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l scope -d 'scope of the Google access token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l proof -d 'signed-request or web-identity-token (of AWS STS)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l subject-token-audience -d 'audience of that web identity token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l google-sts-endpoint -d 'another Google STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l duration -d 'lifetime of the credentials: 3600, 90m, 12h' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l credentials-file -d 'where credentials are written; tells agents apart, too' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l web-identity-token-file -d 'where delivery token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l cache-file -d 'what credential-process answers from' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l metadata-port -d 'port of the metadata server' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l allow-uid -d 'who may ask the metadata server, beside root and the agent\'s user' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l access-token-file -d 'where delivery access-token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l project -d 'the project that clients are told' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l delivery -d 'file,endpoint; or file, endpoint, process, token-file, env alone; or file with process or env; for Google metadata, access-token-file, or both' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l aws-profile -d 'the profile that clients use; for Google: that is read' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l file-mode -d 'who may read what is written, as in chmod' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l require -d 'further roles that COMMAND waits for as well' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l on-failure -d 'what to do when there are no credentials in time' -r -f -a "exit\t''
run\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l follow-pid -d 'end with this process, or with the one whose pid comes to stand in FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l log-file -d 'append the log to FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l imdsv1 -d 'accept version 1 of the instance metadata service too'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l no-refresh -d 'credentials once, never again'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l foreground -d 'stay in front'
complete -c fedboot -n "__fish_fedboot_using_subcommand agent" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l google-token-file -d 'read the Google ID token from FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l role-arn -d 'the AWS role to assume (template); further ones each for a profile' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l then-role-arn -d 'a second role, assumed with the first one\'s credentials (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l session-policy -d 'JSON policy that limits the session' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l policy-arn -d 'managed policy that limits the session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l source-identity -d 'source identity of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l session-tag -d 'a tag of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l duration -d 'lifetime of the credentials: 3600, 90m, 12h' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l cache-file -d 'what credential-process answers from' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand credential-process" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l identity -d 'who this is on AWS: environment, profile, web-identity, container or imds' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l assume-role-arn -d 'a second role, assumed before Google is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l source-identity -d 'source identity of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l session-tag -d 'a tag of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l external-account -d 'the file that gcloud wrote for a workload identity pool' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l workload-identity-provider -d 'instead of a file: projects/N/locations/global/workloadIdentityPools/…' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l scope -d 'scope of the Google access token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l proof -d 'signed-request or web-identity-token (of AWS STS)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l subject-token-audience -d 'audience of that web identity token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l google-sts-endpoint -d 'another Google STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l duration -d 'lifetime of the credentials: 3600, 90m, 12h' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l aws-profile -d 'the profile that clients use; for Google: that is read' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l file-mode -d 'who may read what is written, as in chmod' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l format -d 'text or json; of token: token or json' -r -f -a "token\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l imdsv1 -d 'accept version 1 of the instance metadata service too'
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand token" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l credentials-file -d 'where credentials are written; tells agents apart, too' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l format -d 'text or json; of token: token or json' -r -f -a "text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand status" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l credentials-file -d 'where credentials are written; tells agents apart, too' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand env" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l google-token-file -d 'read the Google ID token from FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l service-account-unique-id -d 'what AWS would see of the tokens of the service account with this number' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l claims -d 'what AWS would see of the token in FILE, a JWT or its claims as JSON' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l identity -d 'who this is on AWS: environment, profile, web-identity, container or imds' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l aws-role -d 'whom to let in: a role on AWS, or a session of one' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l role-arn -d 'the AWS role to assume (template); further ones each for a profile' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l check -d 'whether the trust policy in FILE, or what aws iam get-role prints, admits the token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l context -d 'a condition key that only AWS can know, as aws:SourceIp=203.0.113.7' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l assume-role-arn -d 'a second role, assumed before Google is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l external-account -d 'the file that gcloud wrote for a workload identity pool' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l workload-identity-provider -d 'instead of a file: projects/N/locations/global/workloadIdentityPools/…' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l aws-profile -d 'the profile that clients use; for Google: that is read' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l format -d 'text or json; of token: token or json' -r -f -a "text\t''
token\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l imdsv1 -d 'accept version 1 of the instance metadata service too'
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand trust-policy" -l help -d 'what has a meaning here'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l google-token-file -d 'read the Google ID token from FILE' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l identity -d 'who this is on AWS: environment, profile, web-identity, container or imds' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l impersonate-service-account -d 'be this Google service account' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l iam-credentials-endpoint -d 'another IAM Credentials' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l role-arn -d 'the AWS role to assume (template); further ones each for a profile' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l then-role-arn -d 'a second role, assumed with the first one\'s credentials (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l session-policy -d 'JSON policy that limits the session' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l policy-arn -d 'managed policy that limits the session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l assume-role-arn -d 'a second role, assumed before Google is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l role-session-name -d 'session name in CloudTrail (template)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l external-id -d 'what the second role\'s trust policy asks for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l source-identity -d 'source identity of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l session-tag -d 'a tag of the second role\'s session' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l external-account -d 'the file that gcloud wrote for a workload identity pool' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l workload-identity-provider -d 'instead of a file: projects/N/locations/global/workloadIdentityPools/…' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l scope -d 'scope of the Google access token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l proof -d 'signed-request or web-identity-token (of AWS STS)' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l subject-token-audience -d 'audience of that web identity token' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l google-sts-endpoint -d 'another Google STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l audience -d 'audience of the Google ID token; token id has no default' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l duration -d 'lifetime of the credentials: 3600, 90m, 12h' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l region -d 'AWS region whose STS is asked' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l sts-endpoint -d 'another AWS STS' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l credentials-file -d 'where credentials are written; tells agents apart, too' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l web-identity-token-file -d 'where delivery token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l cache-file -d 'what credential-process answers from' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l metadata-port -d 'port of the metadata server' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l allow-uid -d 'who may ask the metadata server, beside root and the agent\'s user' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l access-token-file -d 'where delivery access-token-file writes' -r -F
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l project -d 'the project that clients are told' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l delivery -d 'file,endpoint; or file, endpoint, process, token-file, env alone; or file with process or env; for Google metadata, access-token-file, or both' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l aws-profile -d 'the profile that clients use; for Google: that is read' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l file-mode -d 'who may read what is written, as in chmod' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l owner -d 'as root: whose what is written is, at that user\'s home; COMMAND is still root\'s' -r -f -a "(__fish_complete_users)"
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l require -d 'further roles that COMMAND waits for as well' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l on-failure -d 'what to do when there are no credentials in time' -r -f -a "exit\t''
run\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l timeout -d 'how long credentials are waited for' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l format -d 'text or json; of token: token or json' -r -f -a "text\t''
token\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l log-format -d 'auto: text on a terminal, else JSON' -r -f -a "auto\t''
text\t''
json\t''"
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l log-level -d 'debug, info, warning, error or critical' -r -f
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l imdsv1 -d 'accept version 1 of the instance metadata service too'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l allow-http -d 'accept http: endpoints that are not on loopback or link-local'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l no-refresh -d 'credentials once, never again'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l flags-only -d 'read no variable for any option'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l strict -d 'exit with 1 for warnings, too'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l offline -d 'only what needs no network, as where an image is built'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l clients -d 'look for SDKs on this machine, and whether their versions take what is delivered'
complete -c fedboot -n "__fish_fedboot_using_subcommand doctor" -l help -d 'what has a meaning here'
complete -c fedboot -n '__fish_fedboot_using_subcommand agent' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand credential-process' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand token' -f -a 'access id subject'
complete -c fedboot -n '__fish_fedboot_using_subcommand status' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand env' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand trust-policy' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand doctor' -f -a ''
complete -c fedboot -n '__fish_fedboot_using_subcommand help' -f -a 'agent credential-process token status env trust-policy doctor'
complete -c fedboot -n 'contains -- -- (commandline -opc)' -f -a '(complete -C (string replace -r "^.*? -- " "" -- (commandline -pc)))'
