//! Roles and their sessions by name.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>

use crate::error::{Error, Result, reasons};
use crate::system::shown;

/// Checks that `arn`, which was said by `origin`, is one of a role. Partition and account are free: compatible stores write
/// `arn:minio:iam:::role/name`.
///
/// # Errors
/// A usage error that says what is wrong with it.
pub fn check_role_arn(origin: &str, arn: &str) -> Result<()> {
    let bad = |why: &str| Error::usage(format!("{origin} is no role ARN: {why}")).because(&reasons::ROLE_ARN, &[]);
    if arn.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("it has white space in it"));
    }
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, _, account, resource] = parts[..] else {
        return Err(bad("it has not six parts between colons"));
    };
    if prefix != "arn" || partition.is_empty() {
        return Err(bad("it does not begin with arn: and a partition"));
    }
    match (service, resource.split(['/', ':']).next().unwrap_or_default()) {
        ("iam" | "sts", "role") => {}
        (_, "assumed-role") => return Err(bad("it is a session's, of a role that was assumed already")),
        ("iam", "instance-profile") => return Err(bad("it is an instance profile's, which holds the role")),
        ("iam", "user") => return Err(bad("it is a user's")),
        ("iam" | "sts", _) => return Err(bad("its resource is not role/NAME")),
        _ => return Err(bad("its service is not iam")),
    }
    if partition.starts_with("aws") {
        check_account(account).map_err(|why| bad(&why))?;
    }
    match resource.strip_prefix("role/") {
        Some(name) if name.is_empty() || name.ends_with('/') => Err(bad("its resource is not role/NAME")),
        None => Err(bad("its resource is not role/NAME")),
        _ if !shown::is_arn(arn) => Err(bad("it holds characters that no role has")),
        _ => Ok(()),
    }
}

/// An account of AWS has twelve digits; stores that imitate AWS leave it empty, or have names.
fn check_account(account: &str) -> std::result::Result<(), String> {
    let digits = account.bytes().filter(u8::is_ascii_digit).count();
    if account.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && digits > 0
        && (digits, account.len()) != (12, 12)
    {
        return Err(if digits == 12 {
            "its account is written with dashes".into()
        } else {
            format!("its account has {digits} digits and not 12")
        });
    }
    Ok(())
}

/// Whether STS takes it for a session name as it is.
pub fn is_session_name(name: &str) -> bool {
    (2..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_of_name) && !shown::has_token(name)
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
pub const LONGEST_NAME: usize = 64;

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// A session name as STS takes it: two to 64 of letters, digits and `_+=,.@-`.
pub fn clean_session_name(name: &str) -> String {
    let allowed = |c: char| u8::try_from(c).is_ok_and(is_of_name);
    let mut clean: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).take(LONGEST_NAME).collect();
    while clean.len() < 2 {
        clean.push('-');
    }
    clean
}
