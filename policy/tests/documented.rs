//! What AWS's user guide says of policies, one fact a row; and what a policy is refused for.
//!
//! The guide's pages: [operators], [several values], [keys with several values], [variables], [elements], [web identity],
//! [logic].
//!
//! [operators]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
//! [several values]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
//! [keys with several values]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
//! [variables]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
//! [elements]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
//! [web identity]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
//! [logic]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html

use fedboot_policy::condition::Truth;
use fedboot_policy::correction::nearest;
use fedboot_policy::document::{Effect, Policy};
use fedboot_policy::evaluation::Verdict::{self, Admitted, Denied, NotAllowed, Undecided};
use fedboot_policy::evaluation::{Evaluation, evaluate};
use fedboot_policy::web_identity::{self, ACTION};
use serde_json::{Value, json};

const NOW: &str = "2026-11-27T12:00:00Z";

/// A service account's token, as the metadata server signs it.
fn google() -> Value {
    json!({"iss": "https://accounts.google.com", "azp": "117739419398126000111", "sub": "117739419398126000111",
           "aud": "sts.amazonaws.com", "email": "worker@acme.iam.gserviceaccount.com", "email_verified": true})
}

/// An application's, which has no `azp`.
fn application() -> Value {
    json!({"iss": "https://accounts.google.com", "sub": "10769150350006150715", "aud": "407408718192.apps.example"})
}

fn github() -> Value {
    json!({"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com",
           "sub": "repo:acme/infra:ref:refs/heads/main", "repository_id": "456789", "ref": "refs/heads/main"})
}

fn cluster() -> Value {
    json!({"iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/5D0B", "aud": ["sts.amazonaws.com"],
           "sub": "system:serviceaccount:default:app"})
}

/// Whoever has several values under one key.
fn several() -> Value {
    json!({"iss": "https://idp.example", "aud": ["one", "two"], "sub": "someone", "amr": ["pwd", "otp"]})
}

fn tagged() -> Value {
    json!({"iss": "https://idp.example", "aud": "one", "sub": "someone",
           "https://aws.amazon.com/source_identity": "someone@acme.example",
           "https://aws.amazon.com/tags": {"principal_tags": {"Team": ["blue"], "Cost": ["7"]},
                                           "transitive_tag_keys": ["Team"]}})
}

fn principal(claims: &Value) -> Value {
    let caller = web_identity::caller(claims, Some("arn:aws:iam::123456789012:role/app"));
    json!({caller.kind(): caller.name()})
}

/// A policy that asks for this of whoever has a token of the same issuer.
fn asking(claims: &Value, condition: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": principal(claims), "Action": ACTION, "Condition": condition}]})
}

/// The verdict, what did not hold in words, and the policy with the nearest change.
fn judge(policy: &Value, claims: &Value, given: &[(&str, &str)]) -> (Evaluation, String, Value) {
    let policy = Policy::from_value(policy).unwrap_or_else(|why| panic!("{policy}: {why}"));
    let caller = web_identity::caller(claims, Some("arn:aws:iam::123456789012:role/app"));
    let mut context = web_identity::context(claims, NOW);
    for (key, value) in given {
        context.set(key, *value);
    }
    let evaluation = evaluate(&policy, &caller, ACTION, &context);
    let all = evaluation.statements.iter().flat_map(|outcome| &outcome.checks);
    let failed = all.filter(|check| check.holds != Truth::Yes);
    let said: Vec<String> = failed.map(|check| check.sentence("token", &|text| format!("\"{text}\""))).collect();
    let correction = nearest(&policy, &evaluation, claims, &caller, &context, ACTION);
    if evaluation.verdict != Admitted {
        assert!(correction.admits && !correction.changes.is_empty() || evaluation.verdict == Undecided, "{policy:?}");
        let corrected = Policy::from_value(&correction.policy).expect("a policy");
        let verdict = evaluate(&corrected, &caller, ACTION, &context).verdict;
        assert!([Admitted, Undecided].contains(&verdict), "{correction:?}");
        // Nobody else of the same issuer is let in by it.
        let mut stranger = claims.clone();
        stranger["sub"] = json!("somebody-else");
        stranger["azp"] = json!("somebody-else");
        let context = web_identity::context(&stranger, NOW);
        let was = evaluate(&policy, &caller, ACTION, &context).verdict;
        let is = evaluate(&corrected, &caller, ACTION, &context).verdict;
        assert!(is != Admitted || was == Admitted, "lets everybody in: {}", correction.policy);
    }
    (evaluation, said.join("\n"), correction.policy)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn conditions() {
    type Row = (Value, Value, &'static [(&'static str, &'static str)], Verdict, &'static [&'static str]);
    let (aud, oaud, sub) = ("accounts.google.com:aud", "accounts.google.com:oaud", "accounts.google.com:sub");
    let id = "117739419398126000111";
    let table: Vec<Row> = vec![
        // The keys of web identity: aud is azp where there is one, and oaud the audience.
        (google(), json!({"StringEquals": {aud: id, oaud: "sts.amazonaws.com", sub: id}}), &[], Admitted, &[]),
        (
            google(),
            json!({"StringEquals": {aud: "sts.amazonaws.com"}}),
            &[],
            NotAllowed,
            &[
                "StringEquals accounts.google.com:aud wants \"sts.amazonaws.com\", the token has \"117739419398126000111\"",
            ],
        ),
        (
            google(),
            json!({"StringEquals": {"accounts.google.com:email": "worker@acme.iam.gserviceaccount.com"}}),
            &[],
            Admitted,
            &[],
        ),
        (google(), json!({"StringEquals": {"accounts.google.com:azp": id}}), &[], NotAllowed, &["has nothing"]),
        (google(), json!({"StringEquals": {"accounts.google.com:hd": "acme.example"}}), &[], NotAllowed, &["nothing"]),
        (
            google(),
            json!({"StringEquals": {"accounts.google.com:google/organization_number": 7}}),
            &[],
            Undecided,
            &["not known here"],
        ),
        (
            application(),
            json!({"StringEquals": {aud: "407408718192.apps.example", oaud: "407408718192.apps.example",
            sub: "10769150350006150715"}}),
            &[],
            Admitted,
            &[],
        ),
        (
            github(),
            json!({"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"},
            "StringLike": {"token.actions.githubusercontent.com:sub": "repo:acme/infra:*"}}),
            &[],
            Admitted,
            &[],
        ),
        (
            github(),
            json!({"StringEquals": {"token.actions.githubusercontent.com:repository_id": "456789"}}),
            &[],
            Admitted,
            &[],
        ),
        (
            github(),
            json!({"StringEquals": {"token.actions.githubusercontent.com:repository_owner": "acme"}}),
            &[],
            NotAllowed,
            &["has nothing"],
        ),
        (
            cluster(),
            json!({"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/5D0B:aud": "sts.amazonaws.com",
            "oidc.eks.eu-west-1.amazonaws.com/id/5D0B:sub": "system:serviceaccount:default:app"}}),
            &[],
            Admitted,
            &[],
        ),
        // Names of keys and operators in any case; values in theirs.
        (google(), json!({"stringEquals": {"ACCOUNTS.GOOGLE.COM:Sub": id}}), &[], Admitted, &[]),
        (
            github(),
            json!({"StringEquals": {"token.actions.githubusercontent.com:sub":
            "repo:ACME/infra:ref:refs/heads/main"}}),
            &[],
            NotAllowed,
            &["repo:acme/infra"],
        ),
        (
            github(),
            json!({"StringEqualsIgnoreCase": {"token.actions.githubusercontent.com:sub":
            "repo:ACME/infra:ref:refs/heads/main"}}),
            &[],
            Admitted,
            &[],
        ),
        (
            github(),
            json!({"StringNotEqualsIgnoreCase": {"token.actions.githubusercontent.com:sub":
            "REPO:acme/infra:ref:refs/heads/main"}}),
            &[],
            NotAllowed,
            &["StringNotEqualsIgnoreCase"],
        ),
        // All keys and operators, one of the values; of a negated operator none of them.
        (google(), json!({"StringEquals": {sub: ["9", id]}}), &[], Admitted, &[]),
        (google(), json!({"StringEquals": {sub: ["9", "10"]}}), &[], NotAllowed, &["\"9\" or \"10\""]),
        (google(), json!({"StringEquals": {sub: id}, "StringLike": {oaud: "s3.*"}}), &[], NotAllowed, &["StringLike"]),
        (google(), json!({"StringEquals": {sub: id, oaud: "other"}}), &[], NotAllowed, &["oaud wants \"other\""]),
        (google(), json!({"StringNotEquals": {sub: ["9", "10"]}}), &[], Admitted, &[]),
        (google(), json!({"StringNotEquals": {sub: ["9", id]}}), &[], NotAllowed, &["StringNotEquals"]),
        (google(), json!({"StringNotLike": {oaud: ["s3.*", "*.amazonaws.com"]}}), &[], NotAllowed, &["StringNotLike"]),
        (google(), json!({"StringEquals": {sub: []}}), &[], NotAllowed, &["wants nothing"]),
        // A star is a wildcard for Like alone.
        (google(), json!({"StringEquals": {sub: "*"}}), &[], NotAllowed, &["\"*\""]),
        (google(), json!({"StringLike": {sub: "1177?9*"}}), &[], Admitted, &[]),
        // A key that is not there: no for a positive operator, yes for a negated one and for IfExists.
        (google(), json!({"StringEquals": {"aws:username": "x"}}), &[], NotAllowed, &["has nothing"]),
        (google(), json!({"StringNotEquals": {"aws:username": "x"}}), &[], Admitted, &[]),
        (google(), json!({"StringNotLike": {"aws:username": "*"}}), &[], Admitted, &[]),
        (google(), json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}), &[], Admitted, &[]),
        (google(), json!({"StringEqualsIfExists": {"aws:username": "x"}}), &[], Admitted, &[]),
        (google(), json!({"StringEqualsIfExists": {sub: "x"}}), &[], NotAllowed, &["StringEqualsIfExists"]),
        (google(), json!({"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "x"}}), &[], Admitted, &[]),
        (google(), json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}), &[], Admitted, &[]),
        (google(), json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}}), &[], NotAllowed, &["Bool"]),
        // Null asks for that alone.
        (google(), json!({"Null": {"aws:TokenIssueTime": "true"}}), &[], Admitted, &[]),
        (google(), json!({"Null": {"aws:TokenIssueTime": true, sub: false}}), &[], Admitted, &[]),
        (google(), json!({"Null": {sub: "true"}}), &[], NotAllowed, &["Null accounts.google.com:sub"]),
        (google(), json!({"Null": {"aws:SourceVpce": "false"}}), &[], Undecided, &["aws:SourceVpce"]),
        // Keys with several values: every one, or any; of nothing every one fits, and not any does.
        (several(), json!({"ForAnyValue:StringEquals": {"idp.example:amr": ["otp", "hwk"]}}), &[], Admitted, &[]),
        (
            several(),
            json!({"ForAnyValue:StringEquals": {"idp.example:amr": ["hwk"]}}),
            &[],
            NotAllowed,
            &["the token has \"pwd\", \"otp\""],
        ),
        (
            several(),
            json!({"ForAllValues:StringEquals": {"idp.example:amr": ["otp", "hwk"]}}),
            &[],
            NotAllowed,
            &["ForAllValues:StringEquals"],
        ),
        (several(), json!({"ForAllValues:StringLike": {"idp.example:amr": ["o*", "p*", "x"]}}), &[], Admitted, &[]),
        (several(), json!({"ForAllValues:StringNotEquals": {"idp.example:amr": "otp"}}), &[], NotAllowed, &["otp"]),
        (several(), json!({"ForAnyValue:StringNotEquals": {"idp.example:amr": "otp"}}), &[], Admitted, &[]),
        (
            several(),
            json!({"ForAnyValue:StringNotEquals": {"idp.example:amr": ["otp", "pwd"]}}),
            &[],
            NotAllowed,
            &["ForAnyValue:StringNotEquals"],
        ),
        (google(), json!({"ForAllValues:StringEquals": {"accounts.google.com:amr": "x"}}), &[], Admitted, &[]),
        (google(), json!({"ForAnyValue:StringEquals": {"accounts.google.com:amr": "x"}}), &[], NotAllowed, &["amr"]),
        (google(), json!({"ForAnyValue:StringNotEquals": {"accounts.google.com:amr": "x"}}), &[], NotAllowed, &["amr"]),
        (google(), json!({"ForAllValues:StringEquals": {"aws:x": "y"}}), &[("aws:x", "")], Admitted, &[]),
        (google(), json!({"ForAnyValue:StringLike": {"aws:x": "*"}}), &[("aws:x", "")], NotAllowed, &["aws:x"]),
        (google(), json!({"ForAllValues:StringEquals": {sub: ["9", id]}}), &[], Admitted, &[]),
        (several(), json!({"StringEquals": {"idp.example:aud": "one"}}), &[], Undecided, &["idp.example:aud"]),
        (tagged(), json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Cost", "Env"]}}), &[], Admitted, &[]),
        (tagged(), json!({"StringEquals": {"aws:RequestTag/team": "blue"}}), &[], Admitted, &[]),
        (tagged(), json!({"StringLike": {"sts:SourceIdentity": "*@acme.example"}}), &[], Admitted, &[]),
        // Numbers, by their value.
        (tagged(), json!({"NumericEquals": {"aws:RequestTag/Cost": 7.0}}), &[], Admitted, &[]),
        (tagged(), json!({"NumericNotEquals": {"aws:RequestTag/Cost": "8"}}), &[], Admitted, &[]),
        (tagged(), json!({"NumericLessThan": {"aws:RequestTag/Cost": "7"}}), &[], NotAllowed, &["has \"7\""]),
        (tagged(), json!({"NumericLessThanEquals": {"aws:RequestTag/Cost": "7"}}), &[], Admitted, &[]),
        (tagged(), json!({"NumericGreaterThan": {"aws:RequestTag/Cost": ["9", "6.5"]}}), &[], Admitted, &[]),
        (tagged(), json!({"NumericGreaterThanEquals": {"aws:RequestTag/Cost": "10"}}), &[], NotAllowed, &["\"10\""]),
        (tagged(), json!({"NumericGreaterThan": {"aws:RequestTag/Team": "1"}}), &[], NotAllowed, &["blue"]),
        // Times, in ISO 8601 or in seconds since 1970.
        (
            google(),
            json!({"DateGreaterThan": {"aws:CurrentTime": "2026-11-27T11:59:59Z"},
            "DateLessThan": {"aws:CurrentTime": "2026-11-27T14:00:01+02:00"}}),
            &[],
            Admitted,
            &[],
        ),
        (google(), json!({"DateLessThan": {"aws:CurrentTime": "2026-11-27"}}), &[], NotAllowed, &[NOW]),
        (google(), json!({"DateEquals": {"aws:CurrentTime": "2026-11-27T12:00:00Z"}}), &[], Admitted, &[]),
        (google(), json!({"DateNotEquals": {"aws:EpochTime": "1795780800"}}), &[], NotAllowed, &["1795780800"]),
        (google(), json!({"DateLessThanEquals": {"aws:EpochTime": "1795780800"}}), &[], Admitted, &[]),
        (google(), json!({"DateGreaterThanEquals": {"aws:EpochTime": 1_795_780_800}}), &[], Admitted, &[]),
        (google(), json!({"NumericLessThan": {"aws:EpochTime": "1795780801"}}), &[], Admitted, &[]),
        (
            google(),
            json!({"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}}),
            &[],
            NotAllowed,
            &["has nothing"],
        ),
        // Booleans and bytes.
        (google(), json!({"Bool": {"aws:SecureTransport": "true"}}), &[], Admitted, &[]),
        (google(), json!({"Bool": {"aws:SecureTransport": false}}), &[], NotAllowed, &["aws:SecureTransport"]),
        (google(), json!({"Bool": {"aws:ViaAWSService": "False"}}), &[], Admitted, &[]),
        (
            google(),
            json!({"BinaryEquals": {"x:y": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}),
            &[("x:y", "BinaryValueInBase64")],
            Admitted,
            &[],
        ),
        // Addresses, where they are known.
        (
            google(),
            json!({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}}),
            &[("aws:SourceIp", "203.0.113.45")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}}),
            &[("aws:SourceIp", "2001:db8:1234:5678::1")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
            &[("aws:SourceIp", "198.51.100.1")],
            NotAllowed,
            &["198.51.100.1"],
        ),
        (
            google(),
            json!({"NotIpAddress": {"aws:SourceIp": "203.0.113.45"}}),
            &[("aws:SourceIp", "203.0.113.45")],
            NotAllowed,
            &["NotIpAddress"],
        ),
        (google(), json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}), &[], Undecided, &["aws:SourceIp"]),
        (google(), json!({"IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}}), &[], Undecided, &["SourceIp"]),
        // Whatever is not known, one that fails is enough.
        (
            google(),
            json!({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}, "StringEquals": {sub: "9"}}),
            &[],
            NotAllowed,
            &["\"9\""],
        ),
        // The parts of an ARN, each for itself.
        (
            google(),
            json!({"StringLike": {"x:arn": "arn:aws:someservice:*:111122223333:finance/*"}}),
            &[("x:arn", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"ArnLike": {"x:arn": "arn:aws:someservice:*:111122223333:finance/*"}}),
            &[("x:arn", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt")],
            NotAllowed,
            &["ArnLike"],
        ),
        (
            google(),
            json!({"ArnEquals": {"x:arn": "arn:aws:s3:::b?cket/*"}}),
            &[("x:arn", "arn:aws:s3:::bucket/a:b")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"ArnNotEquals": {"x:arn": "arn:aws:s3:::b*"}}),
            &[("x:arn", "arn:aws:s3:::bucket")],
            NotAllowed,
            &["ArnNotEquals"],
        ),
        // Variables.
        (
            google(),
            json!({"StringEquals": {"sts:RoleSessionName": "${accounts.google.com:sub}"}}),
            &[("sts:RoleSessionName", "117739419398126000111")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"StringLike": {"sts:RoleSessionName": "${accounts.google.com:sub}-*"}}),
            &[("sts:RoleSessionName", "117739419398126000111-a")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"StringLike": {"sts:RoleSessionName": "${aws:username}"}}),
            &[("sts:RoleSessionName", "me")],
            NotAllowed,
            &["${aws:username}"],
        ),
        (
            google(),
            json!({"StringNotLike": {"sts:RoleSessionName": "${aws:username}"}}),
            &[("sts:RoleSessionName", "me")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"StringEquals": {"sts:RoleSessionName": "${aws:username, 'me'}"}}),
            &[("sts:RoleSessionName", "me")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"StringLike": {"sts:RoleSessionName": "a${*}${?}${$}*"}}),
            &[("sts:RoleSessionName", "a*?$b")],
            Admitted,
            &[],
        ),
        (
            google(),
            json!({"StringLike": {"sts:RoleSessionName": "a${*}"}}),
            &[("sts:RoleSessionName", "ab")],
            NotAllowed,
            &["${*}"],
        ),
        (google(), json!({"StringEquals": {sub: "${aws:SourceIp}"}}), &[], Undecided, &["sub"]),
        (google(), json!({"StringLike": {"sts:RoleSessionName": "w-*"}}), &[], Undecided, &["sts:RoleSessionName"]),
        (
            google(),
            json!({"StringLike": {"aws:RequestedRegion": "eu-*"}}),
            &[("aws:RequestedRegion", "eu-west-1")],
            Admitted,
            &[],
        ),
    ];
    for (claims, condition, given, verdict, named) in table {
        let (evaluation, said, _) = judge(&asking(&claims, &condition), &claims, given);
        assert_eq!(evaluation.verdict, verdict, "{condition}: {said}");
        for part in named {
            assert!(said.contains(part), "no {part:?} for {condition}: {said}");
        }
    }
}

/// Whole statements; `{}` is one that admits the token.
#[test]
fn statements() {
    let statement = |change: &Value| {
        let mut statement = json!({"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"},
            "Action": "sts:AssumeRoleWithWebIdentity"});
        for (name, value) in change.as_object().into_iter().flatten() {
            statement[name] = value.clone();
        }
        let fields = statement.as_object_mut().expect("an object");
        fields.retain(|_, value| !value.is_null());
        statement
    };
    let provider = "arn:aws:iam::123456789012:oidc-provider/accounts.google.com";
    let deny = json!({"Effect": "Deny"});
    let table: Vec<(Value, Verdict, &[&str])> = vec![
        (json!([{}]), Admitted, &[]),
        (json!({}), Admitted, &[]),
        // Principals.
        (json!([{"Principal": "*"}]), Admitted, &[]),
        (json!([{"Principal": {"AWS": "*"}}]), Admitted, &[]),
        (json!([{"Principal": {"Federated": ["www.amazon.com", "accounts.google.com"]}}]), Admitted, &[]),
        (json!([{"Principal": {"Federated": provider}}]), NotAllowed, &["Principal wants", "accounts.google.com"]),
        (json!([{"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}]), NotAllowed, &["Principal"]),
        (json!([{"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]), NotAllowed, &["Action"]),
        (json!([{"Principal": null, "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:root"}}]), Admitted, &[]),
        (
            json!([{"Principal": null, "NotPrincipal": {"Federated": "accounts.google.com"}}]),
            NotAllowed,
            &["NotPrincipal"],
        ),
        // Actions, in any case, with wildcards.
        (json!([{"Action": "STS:assumerolewithwebidentity"}]), Admitted, &[]),
        (json!([{"Action": ["sts:TagSession", "sts:AssumeRoleWith*"]}]), Admitted, &[]),
        (json!([{"Action": "sts:*"}]), Admitted, &[]),
        (json!([{"Action": "*"}]), Admitted, &[]),
        (json!([{"Action": "sts:AssumeRoleWithWeb?dentity"}]), Admitted, &[]),
        (json!([{"Action": "sts:AssumeRole"}]), NotAllowed, &["Action wants \"sts:AssumeRole\""]),
        (json!([{"Action": null, "NotAction": "sts:AssumeRole"}]), Admitted, &[]),
        (json!([{"Action": null, "NotAction": "sts:Assume*"}]), NotAllowed, &["NotAction"]),
        // One statement that allows is enough, one that denies is more.
        (json!([{"Action": "sts:AssumeRole"}, {}]), Admitted, &[]),
        (json!([{}, deny]), Denied, &[]),
        (json!([deny, {}]), Denied, &[]),
        (json!([deny]), Denied, &[]),
        (json!([{}, {"Effect": "Deny", "Action": "sts:AssumeRole"}]), Admitted, &[]),
        (
            json!([{}, {"Effect": "Deny", "Condition": {"StringNotEquals": {"accounts.google.com:sub": "9"}}}]),
            Denied,
            &[],
        ),
        (
            json!([{}, {"Effect": "Deny", "Condition": {"StringEquals": {"accounts.google.com:sub": "9"}}}]),
            Admitted,
            &[],
        ),
        (
            json!([{}, {"Effect": "Deny", "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]),
            Undecided,
            &["aws:SourceIp"],
        ),
        (json!([{}, {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]), Admitted, &[]),
        (
            json!([{}, {"Effect": "Deny", "Principal": null, "NotPrincipal": {"Federated": "accounts.google.com"}}]),
            Admitted,
            &[],
        ),
        (json!([{}, {"Effect": "Deny", "Principal": null, "NotPrincipal": {"AWS": "111122223333"}}]), Denied, &[]),
        (
            json!([{}, {"Effect": "Deny", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}]),
            Denied,
            &[],
        ),
        (json!([{}, {"Effect": "Deny", "Condition": {"StringNotEqualsIfExists": {"aws:username": "x"}}}]), Denied, &[]),
    ];
    for (statements, verdict, named) in table {
        let statements = match &statements {
            Value::Array(all) => all.iter().map(&statement).collect(),
            one => statement(one),
        };
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let (evaluation, said, _) = judge(&policy, &google(), &[]);
        assert_eq!(evaluation.verdict, verdict, "{policy}: {said}");
        for part in named {
            assert!(said.contains(part), "no {part:?} for {policy}: {said}");
        }
    }
}

#[test]
fn an_older_version_has_no_variables() {
    let condition = json!({"StringEquals": {"sts:RoleSessionName": "${accounts.google.com:sub}"}});
    let mut policy = asking(&google(), &condition);
    for (version, name, verdict) in [
        (json!("2012-10-17"), "117739419398126000111", Admitted),
        (json!("2008-10-17"), "117739419398126000111", NotAllowed),
        (json!("2008-10-17"), "${accounts.google.com:sub}", Admitted),
        (Value::Null, "${accounts.google.com:sub}", Admitted),
    ] {
        policy["Version"] = version.clone();
        policy.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        let (evaluation, said, _) = judge(&policy, &google(), &[("sts:RoleSessionName", name)]);
        assert_eq!(evaluation.verdict, verdict, "{version}: {said}");
    }
}

#[test]
fn what_aws_would_not_store() {
    let whole = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"accounts.google.com:sub":"1"}}}]}"#;
    assert!(Policy::parse(whole).is_ok());
    for (from, to, part) in [
        ("\"Statement\"", "\"Statements\"", "the policy has no \"Statements\""),
        ("2012-10-17", "2012-10-18", "Version is"),
        ("\"Allow\"", "\"allow\"", "Effect is"),
        ("\"Effect\"", "\"effect\"", "it is written Effect"),
        ("\"Principal\"", "\"principal\"", "it is written Principal"),
        ("\"Principal\":{\"Federated\":\"accounts.google.com\"},", "", "has Principal or NotPrincipal"),
        ("\"Action\":\"sts:AssumeRoleWithWebIdentity\",", "", "has Action or NotAction"),
        ("\"Action\"", "\"NotAction\":\"sts:AssumeRole\",\"Action\"", "exclude each other"),
        ("\"Action\"", "\"Resource\":\"*\",\"Action\"", "AWS takes no Resource"),
        ("{\"Federated\":\"accounts.google.com\"}", "\"accounts.google.com\"", "a principal is"),
        ("\"Federated\"", "\"federated\"", "it is written Federated"),
        ("\"StringEquals\"", "\"StringEqual\"", "no condition operator \"StringEqual\""),
        ("\"StringEquals\"", "\"Sometimes:StringEquals\"", "no condition operator"),
        ("\"StringEquals\"", "\"NullIfExists\"", "no condition operator"),
        ("{\"accounts.google.com:sub\":\"1\"}", "\"1\"", "holds an object of keys"),
        ("\"1\"}", "{\"a\":1}}", "are texts, numbers or booleans"),
        ("\"1\"}", "null}", "are texts, numbers or booleans"),
        ("\"1\"}", "\"1\",\"accounts.google.com:sub\":\"2\"}", "\"accounts.google.com:sub\" stands twice"),
        ("\"Condition\"", "\"Condition\":{},\"Condition\"", "\"Condition\" stands twice"),
        (
            "[{",
            "[{\"Sid\":\"a\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"sts:x\"},{\"Sid\":\"a\",",
            "Sid \"a\"",
        ),
        ("}]}", "}]", "cut short (line 1"),
        ("{\"Version\"", "{Version", "is no JSON (line 1, column 2)"),
    ] {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole, "{from}");
        let why = Policy::parse(&text).expect_err(&text).to_string();
        assert!(why.contains(part), "{to}: {why}");
    }
    for (text, part) in [("[]", "JSON object"), ("\"x\"", "JSON object"), ("", "cut short"), ("{}", "has a Statement")]
    {
        let why = Policy::parse(text).expect_err(text).to_string();
        assert!(why.contains(part), "{text}: {why}");
    }
}

/// Mistakes that people make, and the change that is nearest.
#[test]
fn the_nearest_change() {
    let (aud, oaud, sub) = ("accounts.google.com:aud", "accounts.google.com:oaud", "accounts.google.com:sub");
    let id = "117739419398126000111";
    let equals = |keys: Value| json!({"StringEquals": keys});
    let corrected = |condition: &Value| {
        let (_, _, policy) = judge(&asking(&google(), condition), &google(), &[]);
        policy["Statement"][0]["Condition"].clone()
    };
    for (condition, expected) in [
        // The audience under the key of the authorized party; nobody else is let in by it.
        (equals(json!({aud: "sts.amazonaws.com", sub: id})), equals(json!({oaud: "sts.amazonaws.com", sub: id}))),
        (equals(json!({aud: "sts.amazonaws.com"})), equals(json!({oaud: "sts.amazonaws.com", sub: id}))),
        (equals(json!({oaud: id, sub: id})), equals(json!({aud: id, sub: id}))),
        (
            equals(json!({aud: "sts.amazonaws.com", oaud: "sts.amazonaws.com", sub: id})),
            equals(json!({oaud: "sts.amazonaws.com", sub: id})),
        ),
        // Another subject, the email in its place, one of several.
        (equals(json!({sub: "9", oaud: "sts.amazonaws.com"})), equals(json!({sub: id, oaud: "sts.amazonaws.com"}))),
        (equals(json!({sub: "worker@acme.iam.gserviceaccount.com"})), equals(json!({sub: id}))),
        (equals(json!({sub: ["8", "9"]})), equals(json!({sub: ["8", "9", id]}))),
        // Keys that AWS does not know.
        (equals(json!({"accounts.google.com:azp": id})), equals(json!({aud: id}))),
        (equals(json!({"https://accounts.google.com:sub": id})), equals(json!({sub: id}))),
        (equals(json!({"accounts.google.com/:sub": "9"})), equals(json!({sub: id}))),
        (equals(json!({"accounts.google.com:hd": "acme.example"})), equals(json!({sub: id}))),
        (equals(json!({"aws:username": "x", sub: id})), equals(json!({sub: id}))),
        // What is excluded.
        (
            json!({"StringNotEquals": {sub: ["9", id]}, "StringEquals": {aud: id}}),
            json!({"StringNotEquals": {sub: "9"}, "StringEquals": {aud: id}}),
        ),
        (json!({"StringNotEquals": {sub: id}}), equals(json!({sub: id}))),
        // A time that is over.
        (
            json!({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}, "StringEquals": {sub: id}}),
            equals(json!({sub: id})),
        ),
    ] {
        assert_eq!(corrected(&condition), expected, "{condition}");
    }

    // The statement with the fewest failures is changed, and the others stay.
    let statement = |sub: &str, audience: &str| {
        let policy = asking(&google(), &equals(json!({"accounts.google.com:sub": sub, oaud: audience})));
        policy["Statement"][0].clone()
    };
    let service = json!({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"});
    let all = json!([statement("8", "other"), service, statement(id, "other")]);
    let policy = json!({"Version": "2012-10-17", "Statement": all});
    let (_, _, changed) = judge(&policy, &google(), &[]);
    assert_eq!(changed["Statement"], json!([all[0], service, statement(id, "sts.amazonaws.com")]));

    // A statement about others is left alone.
    let policy = json!({"Version": "2012-10-17", "Statement": service});
    let (_, _, changed) = judge(&policy, &google(), &[]);
    assert_eq!(changed["Statement"], json!([service, statement(id, "sts.amazonaws.com")]));

    // Who writes a provider for Google, or the wrong action, gets the right one.
    let mut policy = json!({"Version": "2012-10-17", "Statement": [statement(id, "sts.amazonaws.com")]});
    policy["Statement"][0]["Principal"]["Federated"] =
        json!("arn:aws:iam::123456789012:oidc-provider/accounts.google.com");
    policy["Statement"][0]["Action"] = json!("sts:AssumeRole");
    let (_, _, changed) = judge(&policy, &google(), &[]);
    assert_eq!(changed["Statement"][0]["Principal"], json!({"Federated": "accounts.google.com"}));
    assert_eq!(changed["Statement"][0]["Action"], json!(["sts:AssumeRole", ACTION]));

    // A statement that denies excepts it.
    let mut deny = statement("9", "x");
    deny["Effect"] = json!("Deny");
    deny["Condition"] = json!({"StringNotEquals": {"accounts.google.com:sub": ["9"]}});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement(id, "sts.amazonaws.com"), deny]});
    let (evaluation, _, changed) = judge(&policy, &google(), &[]);
    assert_eq!((evaluation.verdict, evaluation.statements[1].effect), (Denied, Effect::Deny));
    assert_eq!(
        changed["Statement"][1]["Condition"],
        json!({"StringNotEquals": {"accounts.google.com:sub": ["9", id]}})
    );
    assert_eq!(changed["Statement"][0], statement(id, "sts.amazonaws.com"));
}
