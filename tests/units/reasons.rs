//! The table of reasons.

use std::collections::HashSet;

use fedboot::error::reasons;

#[test]
fn each_row_can_be_found_and_read() {
    let mut codes = HashSet::new();
    for reason in reasons::all() {
        let code = reason.code;
        assert!(codes.insert(code), "{code} stands twice");
        assert!(
            code.len() == 5 && code.starts_with("FB") && code[2..].bytes().all(|byte| byte.is_ascii_digit()),
            "{code}"
        );
        assert!(!reason.remedy.is_empty(), "{code} says what to do");
        assert!(!reason.why.is_empty() && reason.why.ends_with('.'), "{code} is explained in sentences");
        let is_local = ["docs/", "SECURITY.md"].iter().any(|start| reason.source.starts_with(start));
        assert!(is_local || reason.source.starts_with("https://"), "{code}: {}", reason.source);
        for text in [reason.cause, reason.remedy] {
            assert!(!text.ends_with('.') && text.matches('{').count() == text.matches('}').count(), "{code}: {text}");
            assert!(text.len() <= 200, "{code} fits on a terminal: {text}");
        }
    }
}

#[test]
fn values_take_their_places() {
    let values = [("role", "R"), ("caller", "C"), ("actions", "A"), ("external", "")];
    assert_eq!(reasons::SECOND_ROLE.cause(&values), "C may not assume R, or there is no such role");
    assert!(!reasons::SECOND_ROLE.remedy(&values).contains('{'));
}
