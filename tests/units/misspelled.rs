//! Variables that are no option's.

use fedboot::config::misspelled::misspelled;

use crate::world;

#[test]
fn what_is_like_an_option() {
    for (name, meant) in [
        ("FEDBOOT_ROLEARN", Some("FEDBOOT_ROLE_ARN")),
        ("FEDBOOT_AWS_ROLE_ARN", Some("FEDBOOT_ROLE_ARN")),
        ("FEDBOOT_REGIONS", Some("FEDBOOT_REGION")),
        ("FEDBOOT_role_arn", Some("FEDBOOT_ROLE_ARN")),
        ("FEDBOOT_ROLE_ARN", None),
        // What Kubernetes sets beside a service of that name.
        ("FEDBOOT_SERVICE_HOST", None),
        ("FEDBOOT_PORT_443_TCP", None),
        ("FEDBOOT_AGENT_PID", None),
        ("OTHER_ROLEARN", None),
    ] {
        let found = misspelled(&world(&[(name, "x")]));
        assert_eq!(found.first().map(|(_, meant)| meant.as_str()), meant, "{name}: {found:?}");
    }
}
