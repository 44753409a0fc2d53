//! `--check`: a policy against a token, statement by statement, and the nearest change that would admit it.

use std::fmt::Write as _;

use fedboot_policy::condition::Truth;
use fedboot_policy::context::{Context, Found};
use fedboot_policy::correction::{self, Correction};
use fedboot_policy::document::{Effect, Policy};
use fedboot_policy::evaluation::{Check, Element, Evaluation, Outcome, Verdict, any_of, evaluate};
use fedboot_policy::{pretty, web_identity};
use serde_json::{Value, json};

use crate::commands::trust_policy::policy_file;
use crate::commands::trust_policy::printed::{quoted, without_tokens};
use crate::commands::trust_policy::subject::{Subject, standard_input};
use crate::config::options::Options;
use crate::error::{Error, Result};
use crate::system::input::InputValue;
use crate::system::log::timestamp;
use crate::system::shown;
use crate::system::world::{self, World};

/// Everything that is known of a policy and a token.
struct Report {
    verdict: Verdict,
    /// What the policy comes to for each action that the token asks for.
    evaluations: Vec<(&'static str, Evaluation)>,
    /// What to know beside it.
    notes: Vec<String>,
    nearest: Option<Correction>,
}

/// What is printed, and the exit code: 0 where the policy admits the token, else 1.
///
/// # Errors
/// A usage error where there is no policy.
pub(super) fn report(
    given: &InputValue,
    subject: &Subject,
    options: &Options,
    world: &World,
    as_json: bool,
) -> Result<(String, u8)> {
    let file = standard_input(given).file(world);
    let origin = if given.raw() == "-" { "what is piped in".into() } else { file.shown() };
    let bytes = file.read().map_err(|why| Error::usage(format!("{origin} {why}")))?;
    let policy = policy_file::read(&origin, &bytes)?;
    let report = Report::new(&policy, subject, &subject.context(options, world)?, world);
    let text = if as_json { format!("{}\n", report.json()) } else { report.text() };
    Ok((text, u8::from(report.verdict != Verdict::Admitted)))
}

impl Report {
    fn new(policy: &Policy, subject: &Subject, context: &Context, world: &World) -> Self {
        let claims = &subject.claims;
        let caller = web_identity::caller(claims, subject.role_arn.as_deref());
        let of_action = |action| (action, evaluate(policy, &caller, action, context));
        let evaluations: Vec<_> = web_identity::actions(claims).into_iter().map(of_action).collect();
        // Of the actions all must be allowed: the first one that is not decides.
        let failed = evaluations.iter().find(|(_, evaluation)| evaluation.verdict != Verdict::Admitted);
        let nearest = failed
            .map(|(action, evaluation)| correction::nearest(policy, evaluation, claims, &caller, context, action));
        let nearest = nearest.filter(|nearest| nearest.admits && !nearest.changes.is_empty());
        let verdict = failed.map_or(Verdict::Admitted, |(_, evaluation)| evaluation.verdict);
        let mut notes = surprises(&evaluations, claims);
        if let Some(end) =
            claims.get("exp").and_then(Value::as_u64).and_then(world::time_at).filter(|end| *end <= world.now())
        {
            let end = timestamp(end);
            notes.push(format!("this token ended at {end}: AWS refuses it whatever the policy says"));
        }
        Self { verdict, evaluations, notes, nearest }
    }

    fn text(&self) -> String {
        let mut text = self.first_line();
        for (action, evaluation) in &self.evaluations {
            if self.evaluations.len() > 1 {
                let _ = write!(text, "\n{action}:\n");
            }
            for (number, outcome) in (1..).zip(&evaluation.statements) {
                text += &statement(number, outcome);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        if let Some(Correction { changes, policy, .. }) = &self.nearest {
            text += "\nThe nearest change that admits this token:\n";
            let mut numbers: Vec<usize> = changes.iter().map(|change| change.statement).collect();
            numbers.dedup();
            for number in numbers {
                for change in changes.iter().filter(|change| change.statement == number) {
                    let _ = writeln!(text, "  statement {number}: {}", change.text(&quoted, &key_shown));
                }
                let statement =
                    policy.get("Statement").and_then(|all| all.get(number.saturating_sub(1))).map(without_tokens);
                text += &statement.as_ref().map(pretty::print).unwrap_or_default();
            }
        }
        text
    }

    fn first_line(&self) -> String {
        let numbers = |applies: &dyn Fn(&Outcome) -> bool| {
            let statements = self.evaluations.iter().map(|(_, evaluation)| evaluation.statements.iter()).next();
            let all = (1..).zip(statements.into_iter().flatten()).filter(|(_, outcome)| applies(outcome));
            all.map(|(number, _): (usize, _)| number.to_string()).collect::<Vec<_>>().join(", ")
        };
        let of = |effect, applies| move |outcome: &Outcome| outcome.effect == effect && outcome.applies == applies;
        match self.verdict {
            Verdict::Admitted => format!("admitted by statement {}\n", numbers(&of(Effect::Allow, Truth::Yes))),
            Verdict::Denied => {
                format!("not admitted: denied by statement {}\n", numbers(&of(Effect::Deny, Truth::Yes)))
            }
            Verdict::NotAllowed => "not admitted: no statement allows it\n".into(),
            Verdict::Undecided => {
                let keys = self.evaluations.iter().flat_map(|(_, evaluation)| evaluation.unknown());
                let keys: Vec<_> = keys.map(key_shown).collect();
                let keys = keys.join(", ");
                format!("not decided: that depends on {keys}; where you know it, add --context KEY=VALUE\n")
            }
        }
    }

    fn json(&self) -> Value {
        let admitted = match self.verdict {
            Verdict::Admitted => json!(true),
            Verdict::Denied | Verdict::NotAllowed => json!(false),
            Verdict::Undecided => Value::Null,
        };
        let verdict = match self.verdict {
            Verdict::Admitted => "admitted",
            Verdict::Denied => "denied",
            Verdict::NotAllowed => "not allowed",
            Verdict::Undecided => "not decided",
        };
        let statements = self.evaluations.iter().flat_map(|(action, evaluation)| {
            (1..).zip(&evaluation.statements).map(move |(number, outcome): (usize, _)| {
                let checks: Vec<Value> = outcome.checks.iter().map(as_json).collect();
                json!({
                    "statement": number,
                    "sid": outcome.sid.as_deref().map(key_shown),
                    "effect": outcome.effect.name(),
                    "action": action,
                    "applies": truth(outcome.applies),
                    "checks": checks,
                })
            })
        });
        let unknown = self.evaluations.iter().flat_map(|(_, evaluation)| evaluation.unknown()).map(key_shown);
        let nearest = self.nearest.as_ref().map(|Correction { changes, policy, .. }| {
            let changes: Vec<Value> = changes
                .iter()
                .map(|change| json!({"statement": change.statement, "change": change.text(&quoted, &key_shown)}))
                .collect();
            json!({"changes": changes, "policy": without_tokens(policy)})
        });
        json!({
            "admitted": admitted,
            "verdict": verdict,
            "statements": statements.collect::<Vec<_>>(),
            "unknown": unknown.collect::<Vec<_>>(),
            "notes": self.notes,
            "nearest": nearest,
        })
    }
}

fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::Yes => "yes",
        Truth::No => "no",
        Truth::Unknown => "unknown",
    }
}

fn as_json(check: &Check) -> Value {
    let (element, operator, key) = match &check.element {
        Element::Principal(name) | Element::Action(name) => (*name, None, None),
        Element::Condition { operator, key } => ("Condition", Some(key_shown(operator)), Some(key_shown(key))),
    };
    let all = |values: &[String]| values.iter().map(|value| shown::claim(value)).collect::<Vec<_>>();
    let has = match &check.has {
        Found::Values(values) => Some(all(values)),
        Found::Absent => Some(Vec::new()),
        Found::Unknown => None,
    };
    json!({
        "element": element,
        "operator": operator,
        "key": key,
        "holds": truth(check.holds),
        "wants": all(&check.wants),
        "has": has,
    })
}

/// The name of a key, an operator or a statement.
fn key_shown(name: &str) -> String {
    let is_name = name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic()) && !shown::has_token(name);
    if is_name { name.into() } else { shown::value(name) }
}

/// A statement with a line for each of its elements.
fn statement(number: usize, outcome: &Outcome) -> String {
    let sid = outcome.sid.as_deref().map(|sid| format!(" {}", key_shown(sid))).unwrap_or_default();
    let applies = match outcome.applies {
        Truth::Yes => "applies",
        Truth::No => "does not apply",
        Truth::Unknown => "may apply",
    };
    let mut text = format!("statement {number}{sid}: {} {applies}\n", outcome.effect.name());
    for check in &outcome.checks {
        let name = match &check.element {
            Element::Condition { operator, key } => format!("{} {}", key_shown(operator), key_shown(key)),
            other => other.name(),
        };
        let wants = any_of(&check.wants, &quoted);
        let has = check.has.text(&quoted);
        let _ = match check.holds {
            Truth::Yes => writeln!(text, "  ok  {name}: {has}"),
            Truth::No => writeln!(text, "  no  {name}\n        wants {wants}\n        has   {has}"),
            Truth::Unknown => writeln!(text, "  ?   {name}\n        wants {wants}\n        has   {has}"),
        };
    }
    text
}

/// What a condition does that one does not see in it.
fn surprises(evaluations: &[(&'static str, Evaluation)], claims: &Value) -> Vec<String> {
    let issuer = web_identity::issuer(claims);
    let audience = format!("{issuer}:aud");
    let mut has_wrong_audience = false;
    let mut notes = Vec::new();
    let statements = evaluations.iter().take(1).flat_map(|(_, evaluation)| (1_usize..).zip(&evaluation.statements));
    for (number, outcome) in statements {
        for check in &outcome.checks {
            let Element::Condition { operator, key } = &check.element else { continue };
            has_wrong_audience |= check.holds == Truth::No && key.eq_ignore_ascii_case(&audience);
            let is_vacuous = operator.to_lowercase().starts_with("forallvalues:") && check.has == Found::Absent;
            let (operator, key) = (key_shown(operator), key_shown(key));
            if is_vacuous && outcome.effect == Effect::Allow {
                notes.push(format!("statement {number}: the token has no {key}, so {operator} limits nothing"));
            }
            if matches!(&check.has, Found::Values(values) if values.len() > 1) && check.holds == Truth::Unknown {
                notes.push(format!(
                    "statement {number}: {key} has several values, for which AWS wants ForAnyValue: or ForAllValues: before \
                     {operator}"
                ));
            }
        }
    }
    if has_wrong_audience && claims.get("azp").is_some_and(Value::is_string) {
        let issuer = key_shown(issuer);
        notes.push(format!(
            "AWS compares {issuer}:aud with the token's azp, and {issuer}:oaud with its aud, the audience"
        ));
    }
    notes
}
