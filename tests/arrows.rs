//! The house has floors: a file imports what stands below it, nothing above, no other stage, and nothing in a circle.
//!
//! What a file imports is read from its code: `use` lines, paths in expressions and in macros. Tests in it do not count. A
//! name that a `mod.rs` hands on counts as the file that defines it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, UseTree, VisRestricted, Visibility};

/// The folders of `src/`, from the top floor down. Those on one floor know nothing of each other.
const FLOORS: &[&[&str]] = &[
    &["main", "lib"],
    &["commands"],
    &["agent"],
    &["federation"],
    &["config"],
    &["identity", "exchange", "delivery"],
    &["format"],
    &["model"],
    &["timing"],
    &["system"],
    &["error"],
];

/// A longer file has two subjects.
const LONGEST_FILE: usize = 450;
/// More are too many to be seen at a glance.
const MOST_ENTRIES: usize = 14;

/// A file's place in the crate: `["delivery", "endpoint"]`.
type Module = Vec<String>;

/// What one file says.
#[derive(Default)]
struct Room {
    path: PathBuf,
    /// Paths that begin with a name which may be a module's, as written.
    paths: Vec<Vec<String>>,
    /// Names that it hands on, and the paths behind them.
    handed_on: HashMap<String, Vec<String>>,
}

/// Collects the paths of a file.
#[derive(Default)]
struct Reader {
    room: Room,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

/// The leaves of a `use`: each path, and the name that it has here.
fn leaves(tree: &UseTree, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(path.ident.to_string()), found),
        UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, before, found)),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
        }
        UseTree::Name(name) => found.push((with(name.ident.to_string()), name.ident.to_string())),
        UseTree::Rename(rename) => found.push((with(rename.ident.to_string()), rename.rename.to_string())),
        UseTree::Glob(_) => found.push((before.to_vec(), String::new())),
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// `pub(super)` says who may look, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &[], &mut found);
        for (path, name) in found {
            if !matches!(item.vis, Visibility::Inherited) {
                self.room.handed_on.insert(name, path.clone());
            }
            self.room.paths.push(path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.room.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        in_tokens(item.tokens.clone(), &mut self.room.paths);
        visit::visit_macro(self, item);
    }
}

/// Paths among the words of a macro.
fn in_tokens(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                path.push(word.to_string());
                colons = 0;
                continue;
            }
            TokenTree::Punct(point) if point.as_char() == ':' && !path.is_empty() && colons < 2 => {
                colons += 1;
                continue;
            }
            TokenTree::Group(group) => in_tokens(group.stream(), paths),
            TokenTree::Ident(word) => {
                paths.push(std::mem::replace(&mut path, vec![word.to_string()]));
                colons = 0;
                continue;
            }
            _ => {}
        }
        paths.push(std::mem::take(&mut path));
        colons = 0;
    }
    paths.push(path);
}

/// The files of a crate, by module.
fn rooms(source: &Path) -> BTreeMap<Module, Room> {
    let mut rooms = BTreeMap::new();
    let mut directories = vec![source.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            let stem = entry.file_stem().expect("a name").to_string_lossy().into_owned();
            if entry.is_dir() {
                directories.push(entry);
                continue;
            }
            if entry.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let inner = entry.strip_prefix(source).expect("inside").with_extension("");
            let mut module: Module = inner.components().map(|part| part.as_os_str().to_string_lossy().into()).collect();
            if stem == "mod" {
                module.pop();
            }
            let code = fs::read_to_string(&entry).expect("a file");
            let mut reader = Reader::default();
            reader.visit_file(&syn::parse_file(&code).expect("Rust"));
            rooms.insert(module, Room { path: entry, ..reader.room });
        }
    }
    rooms
}

/// The file that `path` leads to when it stands in `from`. None: it leads out of the crate.
fn target(rooms: &BTreeMap<Module, Room>, from: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut absolute: Module = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" => from.split_last()?.1.to_vec(),
        _ => from.clone(),
    };
    let rest = match path.first()?.as_str() {
        "crate" | "self" | "super" => &path[1..],
        child => {
            let is_child = rooms.contains_key(&[&from[..], &[child.to_owned()]].concat());
            if !is_child {
                return None;
            }
            path
        }
    };
    let mut at: Option<Module> = rooms.contains_key(&absolute).then(|| absolute.clone());
    for name in rest {
        if name == "super" {
            absolute.pop();
            continue;
        }
        absolute.push(name.clone());
        if rooms.contains_key(&absolute) {
            at = Some(absolute.clone());
            continue;
        }
        // A name in the file so far, which may hand it on from another.
        let holder = at.clone()?;
        return match rooms[&holder].handed_on.get(name) {
            Some(behind) if depth < 8 => target(rooms, &holder, behind, depth + 1).or(Some(holder)),
            _ => Some(holder),
        };
    }
    at
}

/// Who imports whom.
fn arrows(rooms: &BTreeMap<Module, Room>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of = |(module, room): (&Module, &Room)| {
        // What a file only hands on, its users import from where it is.
        let handed_on: BTreeSet<_> = room.handed_on.values().collect();
        let paths = room.paths.iter().filter(|path| !handed_on.contains(path));
        let targets = paths.filter_map(|path| target(rooms, module, path, 0));
        (module.clone(), targets.filter(|target| target != module && !target.is_empty()).collect())
    };
    rooms.iter().map(of).collect()
}

/// One circle, if there is any.
fn circle(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    fn walk<'a>(
        at: &'a Module,
        arrows: &'a BTreeMap<Module, BTreeSet<Module>>,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|before| *before == at) {
            return Some(way[start..].iter().map(|module| module.join("::")).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = arrows.get(at)?.iter().find_map(|next| walk(next, arrows, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| walk(module, arrows, &mut Vec::new(), &mut done))
}

fn source(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

#[test]
fn arrows_run_down() {
    let floor = |module: &Module| {
        let at = FLOORS.iter().position(|floor| floor.contains(&module[0].as_str()));
        at.unwrap_or_else(|| panic!("{} stands on no floor: give it one", module.join("::")))
    };
    let rooms = rooms(&source("src"));
    let arrows = arrows(&rooms);
    let mut wrong = Vec::new();
    for (from, targets) in arrows.iter().filter(|(from, _)| !from.is_empty()) {
        for to in targets {
            if floor(to) < floor(from) || (floor(to) == floor(from) && to[0] != from[0]) {
                wrong.push(format!("{} imports {}", from.join("::"), to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not run down:\n{}", wrong.join("\n"));
    // The reader reads: whoever starts the agent imports it, and the agent its stages.
    let has = |from: &str, to: &str| {
        arrows.iter().any(|(module, targets)| module[0] == from && targets.iter().any(|target| target[0] == to))
    };
    assert!(has("commands", "agent") && has("agent", "delivery") && has("federation", "exchange"));
}

#[test]
fn nothing_goes_round_in_a_circle() {
    for folder in ["src", "sandbox/src"] {
        let circle = circle(&arrows(&rooms(&source(folder))));
        assert_eq!(circle, None, "{folder}: each of these imports the next, and the last one the first");
    }
}

#[test]
fn rooms_are_small_and_few() {
    let entries = fs::read_dir(source("src")).expect("a directory").count();
    assert!(entries <= MOST_ENTRIES, "{entries} entries in src/");
    for room in rooms(&source("src")).values() {
        let lines = fs::read_to_string(&room.path).expect("a file").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: it has two subjects", room.path.display());
    }
}
