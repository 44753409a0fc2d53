//! What was typed or set, the command, and fedboot's own processes.

use crate::error::reason::{Reason, reasons};

reasons! {
    UNFORESEEN "FB000": "", "read what came back; if that is not enough, report the whole line",
        "fedboot has no row for this; the message says all that it knows. If it is not enough, that is a defect: report it with \
         the whole line.",
        "SECURITY.md";
    USAGE "FB001": "", "write what the option takes: fedboot help lists it",
        "An option, its variable (FEDBOOT_…) or the ecosystem's variable has a value that cannot be. The message names which of \
         them said it. `fedboot help VERB` lists what each takes.",
        "docs/options.md";
    COMMAND_LINE "FB002": "", "put the options before -- and the command behind it",
        "fedboot could not tell options from the command. The command is its own words behind `--`: \
         `fedboot --region eu-west-1 -- python app.py`.",
        "docs/options.md";
    NO_ROLE "FB003": "no role to assume is named", "name one with --role-arn, FEDBOOT_ROLE_ARN or AWS_ROLE_ARN, or with the \
         metadata attribute fedboot-role-arn of the instance or the project",
        "On the way to AWS one role must be named. On Dataflow nobody can set a worker's environment: an attribute of the project \
         does it.",
        "docs/options.md";
    NO_PROVIDER "FB004": "no workload identity provider to ask is named",
        "name a file with --external-account or GOOGLE_APPLICATION_CREDENTIALS, or the provider with --workload-identity-provider",
        "On the way to Google the provider stands in the file that `gcloud iam workload-identity-pools create-cred-config` wrote.",
        "https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds";
    BOTH_WAYS "FB005": "", "name one of them; --assume-role-arn names a role of AWS on the way to Google",
        "Both a role of AWS and a provider of Google are named, so it cannot be told which credentials are wanted.",
        "docs/options.md";
    ROLE_ARN "FB006": "", "write arn:aws:iam::123456789012:role/NAME",
        "Only a role can be assumed: no user, no instance profile, no session (arn:aws:sts::…:assumed-role/…), and its account \
         has twelve digits. `aws iam get-role --role-name NAME --query Role.Arn` prints it.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns";
    EXTERNAL_ACCOUNT "FB007": "", "name the file that gcloud iam workload-identity-pools create-cred-config wrote, and use it as it is",
        "The file must be of type external_account, as gcloud writes it. A service account's key, a user's login or an AWS file \
         is another thing, and is not read.",
        "https://google.aip.dev/auth/4117";
    ONE_STRING "FB008": "", "write its words apart (an ENTRYPOINT in exec form has a string a word)",
        "A command is words, not one string: a container's ENTRYPOINT in exec form has a string a word.",
        "https://docs.docker.com/reference/dockerfile/#exec-form";
    NO_COMMAND "FB011": "", "name it by its path, or see whether this image holds it",
        "There is no such program: neither at that path nor in PATH, or its interpreter (the first line of a script) is not there. \
         Exit code 127.",
        "https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02";
    NOT_EXECUTABLE "FB012": "", "see its mode (chmod +x), its first line, and for which processor it was built",
        "The file is there, but the kernel does not execute it: its mode, its format (another processor's), or a mount with noexec. \
         Exit code 126.",
        "https://man7.org/linux/man-pages/man2/execve.2.html";
    AGENT "FB013": "", "see the limits on memory and processes (ulimit -a, pids.max), and what the log says before",
        "The process beside the command could not start, was killed, or does not answer: too little memory, a limit on processes, \
         or a sandbox that refuses a system call.",
        "SECURITY.md";
    NO_AGENT "FB014": "", "start it, or name the --credentials-file that its files stand beside, as the user whose it is",
        "`fedboot status`, `env` and `token` ask an agent of the same user with the same credentials file.",
        "docs/architecture.md";
    PORT "FB015": "", "name another --metadata-port, or stop who has it",
        "The port that was asked for is taken, or is one below 1024 that only root may take.",
        "https://man7.org/linux/man-pages/man2/bind.2.html";
}
