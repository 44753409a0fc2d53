use fedboot::delivery::no_proxy::no_proxy;

use crate::world;

#[test]
fn loopback_stands_in_every_list() {
    for (list, is_small, wanted) in [
        ("", false, "127.0.0.1"),
        (" ,", false, "127.0.0.1"),
        ("a.example", false, "a.example,127.0.0.1"),
        ("a.example, ", false, "a.example,127.0.0.1"),
        ("localhost, 127.0.0.1 ", false, "localhost, 127.0.0.1 "),
        ("localhost,127.0.0.0/8,::1", false, "localhost,127.0.0.0/8,::1,127.0.0.1"),
        ("127.0.0.1:8080", false, "127.0.0.1:8080,127.0.0.1"),
        // Who splits at commas alone finds one entry there.
        ("a 127.0.0.1 b", false, "a 127.0.0.1 b,127.0.0.1"),
        ("*", true, "*"),
        (" *", false, " *,127.0.0.1"),
        ("*,a", true, "*,a,127.0.0.1"),
    ] {
        let name = if is_small { "no_proxy" } else { "NO_PROXY" };
        let changes = no_proxy(&world(&[("http_proxy", "http://x"), (name, list)]));
        let found = changes.iter().find(|(changed, _)| *changed == name).map_or(list.as_ref(), |(_, list)| &**list);
        assert_eq!(found, wanted, "{list}");
    }
}

#[test]
fn both_spellings() {
    for (upper, lower, wanted) in [
        ("", "", [Some("127.0.0.1"), Some("127.0.0.1")]),
        ("a", "", [Some("a,127.0.0.1"), Some("a,127.0.0.1")]),
        ("", "127.0.0.1", [None, None]),
        ("127.0.0.1", "a", [None, Some("a,127.0.0.1")]),
        ("*", "", [Some("*,127.0.0.1"), Some("*")]),
        ("", "*", [Some("*,127.0.0.1"), None]),
    ] {
        let variables = [("all_proxy", "http://x"), ("NO_PROXY", upper), ("no_proxy", lower)];
        let found = no_proxy(&world(&variables));
        let of = |wanted: &str| found.iter().find(|(name, _)| *name == wanted).map(|(_, list)| list.to_str());
        assert_eq!(["NO_PROXY", "no_proxy"].map(of), wanted.map(|list| list.map(Some)), "{upper:?} {lower:?}");
    }
    assert!(no_proxy(&world(&[("NO_PROXY", "a")])).is_empty());
}

#[test]
fn whatever_names_a_proxy() {
    for (name, is_it) in
        [("http_proxy", true), ("Https_Proxy", true), ("ALL_PROXY", true), ("No_Proxy", false), ("PROXY", false)]
    {
        assert_eq!(!no_proxy(&world(&[(name, "http://x")])).is_empty(), is_it, "{name}");
    }
}
