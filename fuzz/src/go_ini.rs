//! AWS's configuration files as Go's SDK reads them, to see that an edit means the same to it:
//! <https://github.com/aws/aws-sdk-go-v2/blob/main/config/internal/ini>.

use std::collections::BTreeMap;

/// What Go finds.
#[derive(Default)]
pub struct Sections {
    /// Every header, in order.
    pub names: Vec<String>,
    /// The settings that are no blocks, by section and name.
    pub values: BTreeMap<String, BTreeMap<String, String>>,
}

/// Reads a file.
pub fn sections(bytes: &[u8]) -> Sections {
    let mut all = Sections::default();
    let text = String::from_utf8_lossy(bytes);
    let mut last: Option<String> = None;
    for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
        let is_indented = line.starts_with([' ', '\t']);
        if line.trim_start_matches([' ', '\t']).starts_with(['#', ';']) {
            continue;
        }
        let header = line.split(['#', ';']).next().unwrap_or_default().trim();
        if let Some(name) = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = name.trim().to_owned();
            all.values.entry(name.clone()).or_default();
            all.names.push(name);
            last = None;
            continue;
        }
        let Some(section) = all.names.last().and_then(|name| all.values.get_mut(name)) else { continue };
        let setting = line.split_once(['=', ':']).map(|(name, value)| (name.trim().to_lowercase(), value));
        let before = last.as_ref().and_then(|last| section.get_mut(last));
        match (setting, before) {
            (Some(_), Some(before)) if is_indented && before.is_empty() => {}
            (Some((name, value)), _) => {
                let ends = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| value.find(start)).min();
                let value = value[..ends.unwrap_or(value.len())].trim().to_owned();
                section.insert(name.clone(), value);
                last = Some(name);
            }
            (None, Some(before)) if is_indented && !before.is_empty() => {
                before.push('\n');
                before.push_str(line.trim());
            }
            (None, _) => {}
        }
    }
    all
}

/// The names of all sections, as they are for botocore too: what `fedboot::format::ini` reads as a section.
pub fn names_to_botocore(bytes: &[u8]) -> Vec<String> {
    let names = std::cell::RefCell::new(Vec::new());
    let read = fedboot::format::ini::read(bytes, &|name| {
        names.borrow_mut().push(name.to_owned());
        false
    });
    if read.is_ok() { names.into_inner() } else { Vec::new() }
}
