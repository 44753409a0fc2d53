//! The [Common Expression Language](https://github.com/google/cel-spec) of attribute mappings and conditions, with its
//! functions for strings and what
//! [Google adds](https://cloud.google.com/iam/docs/conditions-attribute-reference#extract): `extract`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use anyhow::anyhow;
use cel::extractors::This;
use cel::{Context, Env, ExecutionError, Program, Value, extensions};
use parking_lot::Mutex;

static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).expect("strings are not in the standard library");
    Arc::new(env)
});

/// An expression that is understood. Reading one takes longer than a request, so each is read once.
pub(crate) fn parse(text: &str) -> anyhow::Result<Arc<Program>> {
    static READ: LazyLock<Mutex<HashMap<String, Arc<Program>>>> = LazyLock::new(Mutex::default);
    if let Some(program) = READ.lock().get(text) {
        return Ok(program.clone());
    }
    let program = Arc::new(LANGUAGE.compile(text).map_err(|why| {
        let first = why.errors.first().map_or("no expression", |error| error.msg.as_str());
        anyhow!("\"{text}\": {}", first.replace('\n', " "))
    })?);
    Ok(READ.lock().entry(text.into()).or_insert(program).clone())
}

/// What an expression comes to, with the fields of an object as names.
pub(crate) fn value(text: &str, names: &serde_json::Value) -> anyhow::Result<Value> {
    let mut context = Context::with_env(LANGUAGE.clone());
    context.add_function("extract", |This(text): This<Arc<String>>, template: Arc<String>| {
        let found = extract(&text, &template).map(Value::from);
        found.ok_or_else(|| ExecutionError::function_error("extract", "it wants {name}"))
    })?;
    for (name, value) in names.as_object().into_iter().flatten() {
        context.add_variable(name.as_str(), value).map_err(|why| anyhow!("{name}: {why}"))?;
    }
    Ok(parse(text)?.execute(&context)?)
}

/// What stands in the place of `{name}`; nothing if the rest does not fit.
fn extract(text: &str, template: &str) -> Option<String> {
    let (before, rest) = template.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    let (_, rest) = text.split_once(before).unwrap_or_default();
    Some(if after.is_empty() { rest } else { rest.split_once(after).unwrap_or_default().0 }.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comes_to_what_google_says() {
        let names = json!({
            "assertion": {"arn": "arn:aws:sts::1:assumed-role/r/s", "account": "1", "aud": ["a", "b"], "iat": 7,
                          "https://x/": {"y": "z"}},
            "attribute": {"aws_role": "arn:aws:sts::1:assumed-role/r"},
        });
        for (expression, expected) in [
            ("assertion.arn", json!("arn:aws:sts::1:assumed-role/r/s")),
            ("assertion['https://x/'].y + \"!\"", json!("z!")),
            ("assertion.aud[1]", json!("b")),
            ("assertion.iat == 7 && assertion.iat < 8", json!(true)),
            ("assertion.account == '1' && !(assertion.account in ['2', '3'])", json!(true)),
            ("'account' in assertion && 'b' in assertion.aud", json!(true)),
            ("attribute.aws_role != 'x' || nothing.at.all", json!(true)),
            ("attribute.aws_role.startsWith('arn:aws:') == attribute.aws_role.endsWith('/q')", json!(false)),
            ("has(assertion.sub) ? assertion.sub : 'none'", json!("none")),
            ("'a/b/c'.extract('/{x}')", json!("b/c")),
            ("'a/b/c'.extract('{x}/')", json!("a")),
            ("'a/b/c'.extract('-{x}/')", json!("")),
            ("'a/b'.split('/').size() == 2 && 'ab'.size() == 2", json!(true)),
        ] {
            assert_eq!(value(expression, &names).unwrap(), cel::to_value(expected).unwrap(), "{expression}");
        }
    }

    #[test]
    fn says_what_it_does_not_understand() {
        for wrong in ["", "a b", "a ==", "'a", "a.", "a.b(", "(a", "a ? b", "[a", "a # b", "a['b'"] {
            let why = parse(wrong).expect_err(wrong).to_string();
            assert!(!why.contains('\n'), "{why}");
        }
        for wrong in
            ["a", "true.b", "'a'.what()", "'a'.contains()", "'a' in 'b'", "!'a'", "1 + 'a'", "'a'.extract('b')"]
        {
            assert!(value(wrong, &json!({})).is_err(), "{wrong}");
        }
    }
}
