//! Reads AWS STS's XML: what is needed, by name.
//!
//! Compatible stores differ from AWS in prolog, name spaces, entities, order, nanoseconds and missing elements, so
//! nothing but the local names of elements counts.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use std::collections::HashMap;
use std::time::SystemTime;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The text of each element that has one, by local name; the first of a name counts.
pub struct Reply(HashMap<String, String>);

impl Reply {
    /// Reads an XML document. `None`: it is not one, or it is cut short.
    pub fn parse(xml: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(xml).ok()?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<(String, String)> = Vec::new();
        let mut found = HashMap::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    open.push((name, String::new()));
                }
                Event::Text(text) => {
                    if let Some((_, value)) = open.last_mut() {
                        value.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let Some((_, value)) = open.last_mut() {
                        value.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let (_, value) = open.last_mut()?;
                    match reference.resolve_char_ref().ok()? {
                        Some(character) => value.push(character),
                        None => value.push_str(resolve_predefined_entity(&reference)?),
                    }
                }
                Event::End(_) => {
                    let (name, value) = open.pop()?;
                    let value = value.trim();
                    if !value.is_empty() {
                        found.entry(name).or_insert_with(|| value.to_owned());
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        (open.is_empty() && !found.is_empty()).then_some(Self(found))
    }

    /// The text of the first element called `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The time in the element called `name`.
    pub fn time(&self, name: &str) -> Option<SystemTime> {
        let text = self.text(name)?;
        let utc = text.strip_suffix("+00:00").or_else(|| text.strip_suffix("+0000")).map(|time| format!("{time}Z"));
        humantime::parse_rfc3339_weak(utc.as_deref().unwrap_or(text)).ok()
    }
}
