use fedboot::error::Kind;
use fedboot::exchange::sts::errors::kind;

#[test]
fn retry_table() {
    for (status, code, expected) in [
        (400, "ExpiredTokenException", Kind::RefusedProof),
        (400, "InvalidIdentityToken", Kind::RefusedProof),
        (400, "Throttling", Kind::Transient),
        (400, "ThrottlingException", Kind::Transient),
        (400, "RequestLimitExceeded", Kind::Transient),
        (400, "IDPCommunicationError", Kind::Transient),
        (500, "InternalFailure", Kind::Transient),
        (503, "", Kind::Transient),
        (429, "", Kind::Transient),
        (403, "AccessDenied", Kind::Fatal),
        (400, "ValidationError", Kind::Fatal),
        (400, "MalformedPolicyDocument", Kind::Fatal),
        (400, "PackedPolicyTooLarge", Kind::Fatal),
        (403, "RegionDisabledException", Kind::Fatal),
        (403, "IDPRejectedClaim", Kind::Fatal),
        (400, "SomethingNew", Kind::Fatal),
    ] {
        assert_eq!(kind(status, code), expected, "{status} {code}");
    }
}
