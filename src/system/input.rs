//! What was given from outside, by an option, a variable or a field of a file, before it is known what it is.
//!
//! It may be anything, a key put into the wrong variable too. So it cannot be printed, only parsed, and what does not parse
//! leaves an error that names who said it and what it should be.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::system::http::endpoint::Endpoint;
use crate::system::world::{self, World};
use crate::system::{process, shown};

/// A value and who said it.
#[derive(Clone, PartialEq, Eq)]
pub struct InputValue {
    origin: String,
    value: OsString,
}

impl fmt::Debug for InputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputValue({})", self.origin)
    }
}

impl InputValue {
    /// `value`, said by `origin`: `--role-arn`, `AWS_ROLE_ARN`.
    pub fn new(origin: impl Into<String>, value: impl Into<OsString>) -> Self {
        Self { origin: origin.into(), value: value.into() }
    }

    /// The variable's value; an empty one counts as unset.
    pub fn variable(world: &World, name: &str) -> Option<Self> {
        world.variable(name).map(|value| Self::new(name, value))
    }

    /// Who said it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What was said, to be parsed and not to be shown.
    pub fn raw(&self) -> &OsStr {
        &self.value
    }

    /// The same as text.
    ///
    /// # Errors
    /// A usage error where it is none.
    pub fn text(&self) -> Result<&str> {
        self.value.to_str().ok_or_else(|| self.bad("is not UTF-8"))
    }

    /// The same as text, if it is neither in quotes nor between white space, as what was copied into a file of variables is.
    ///
    /// # Errors
    /// A usage error that says which of it.
    pub fn unwrapped(&self) -> Result<&str> {
        let text = self.text()?;
        let is_quoted =
            ['"', '\''].iter().any(|quote| text.len() > 1 && text.starts_with(*quote) && text.ends_with(*quote));
        if is_quoted {
            return Err(self.bad("has quotes around its value").advice("take them away: no shell has read them"));
        }
        if text.trim() != text {
            return Err(self.bad("has white space around its value").advice("take it away"));
        }
        Ok(text)
    }

    /// The words in it, each of which was said by the same.
    ///
    /// # Errors
    /// A usage error where it is not text.
    pub fn split(&self, separator: fn(char) -> bool) -> Result<Vec<Self>> {
        let parts = self.text()?.split(separator).map(str::trim);
        Ok(parts.map(|part| Self::new(self.origin.clone(), part)).collect())
    }

    /// A usage error: who said it, and what is wrong with it.
    pub fn bad(&self, why: impl fmt::Display) -> Error {
        Error::usage(format!("{} {why}", self.origin))
    }

    /// The `error`, which begins with what is wrong, said of this value.
    pub fn blamed(&self, error: Error) -> Error {
        Error { problem: format!("{} {}", self.origin, error.problem), ..error }
    }

    /// What one of the `known` words stands for.
    ///
    /// # Errors
    /// A usage error with the words, and with the one that may be meant.
    pub fn one_of<T: Clone>(&self, known: &[(&str, T)]) -> Result<T> {
        self.text()?;
        let found = known.iter().find(|(word, _)| self.value == *word).map(|(_, meant)| meant.clone());
        found.ok_or_else(|| self.not_among(&known.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
    }

    /// A usage error: it is none of `words`.
    fn not_among(&self, words: &[&str]) -> Error {
        let text = self.value.to_string_lossy();
        let near = closest(words.iter().copied(), &text.to_lowercase());
        let meant = near.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
        self.bad(format!("is none of {}{meant}", words.join(", ")))
    }

    /// The endpoint at this URL.
    ///
    /// # Errors
    /// A usage error that says what is wrong with it.
    pub fn endpoint(&self, allow_http: bool) -> Result<Endpoint> {
        Endpoint::parse(self.text()?.trim(), allow_http).map_err(|error| self.blamed(error))
    }

    /// The endpoint and the path of this URL.
    ///
    /// # Errors
    /// The same.
    pub fn endpoint_with_path(&self, allow_http: bool) -> Result<(Endpoint, String)> {
        Endpoint::with_path(self.text()?.trim(), allow_http).map_err(|error| self.blamed(error))
    }

    /// The file at this path.
    pub fn file(self, world: &World) -> InputFile {
        InputFile { path: world.absolute(self.expanded(world)), origin: self.origin, given: self.value.into() }
    }

    /// As a shell would have it that has not seen it (a container's ENV, `--option=~/file`): `~` is the home, `~NAME` that
    /// user's. In the variables of AWS's files `$NAME` and `${NAME}` too, as in botocore.
    fn expanded(&self, world: &World) -> PathBuf {
        let path = Path::new(&self.value);
        let text = self.value.to_str().filter(|_| AWS_FILES.iter().any(|(name, _)| *name == self.origin));
        let path = text.map_or(path.into(), |text| PathBuf::from(with_variables(text, world)));
        let mut components = path.components();
        let first = components.next().and_then(|first| first.as_os_str().to_str()?.strip_prefix('~'));
        let home = match first {
            Some("") => world.home.clone(),
            Some(name) => process::home_of_name(name),
            None => None,
        };
        home.map_or(path.clone(), |home| home.join(components.as_path()))
    }
}

/// AWS's own files: the variable that names each, and where it is in the home.
const AWS_FILES: [(&str, &str); 2] =
    [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ("AWS_CONFIG_FILE", ".aws/config")];

/// `text` with the variables in it; one that is not set stays as it is written.
fn with_variables(text: &str, world: &World) -> String {
    let mut parts = text.split('$');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_in_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let braced = part.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = part.find(|char| !is_in_name(char)).unwrap_or(part.len());
        let (name, rest) = braced.unwrap_or_else(|| part.split_at_checked(end).unwrap_or((part, "")));
        match world.exact_variable(name).and_then(|value| value.into_string().ok()) {
            Some(value) => all.extend([&value, rest]),
            None => all.extend(["$", part]),
        }
    }
    all
}

impl AsRef<Path> for InputValue {
    fn as_ref(&self) -> &Path {
        Path::new(&self.value)
    }
}

/// The one of `words` that somebody may have meant who wrote `text`.
pub fn closest<'a>(words: impl Iterator<Item = &'a str>, text: &str) -> Option<&'a str> {
    // What is as short as the difference is like anything.
    let near = |word: &&str| strsim::damerau_levenshtein(word, text) <= 2.min(word.len().saturating_sub(1) / 2);
    words.filter(|_| text.len() <= 64).find(near)
}

/// A file that was named from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct InputFile {
    origin: String,
    given: PathBuf,
    path: PathBuf,
}

impl fmt::Debug for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputFile({})", self.origin)
    }
}

impl InputFile {
    /// The file that the variable names.
    pub fn of_variable(world: &World, name: &str) -> Option<Self> {
        InputValue::variable(world, name).map(|given| given.file(world))
    }

    /// AWS's credentials and config file; `None` without a variable and a home.
    pub fn of_aws(world: &World) -> [Option<Self>; 2] {
        AWS_FILES.map(|(variable, usual)| {
            let usual = || Some(InputValue::new(variable, world.home.as_ref()?.join(usual)));
            InputValue::variable(world, variable).or_else(usual).map(|given| given.file(world))
        })
    }

    /// Its absolute path, to open it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its absolute path, to make it there.
    ///
    /// # Errors
    /// A usage error where it is a content, a token or a URL: it would become the name of a file, for all to see.
    pub fn to_write(&self) -> Result<PathBuf> {
        let text = self.given.to_string_lossy();
        if text.starts_with('{') || text.contains('\n') || text.contains("://") || shown::is_one_key(&text) {
            return Err(
                Error::usage(format!("{} is {}", self.origin, shown::path(&self.given))).advice("it must name a file")
            );
        }
        Ok(self.path.clone())
    }

    /// The path as messages show it; who said it, where that does not look like one.
    pub fn shown(&self) -> String {
        if shown::is_path(&self.given) {
            return shown::path(&self.path);
        }
        format!("{}, {},", self.origin, shown::path(&self.given))
    }

    /// Who said it, and the path.
    pub fn origin_and_path(&self) -> String {
        let shown = self.shown();
        if shown.starts_with(&self.origin) { shown } else { format!("{} {shown}", self.origin) }
    }

    /// The whole content.
    ///
    /// # Errors
    /// Why it cannot be read, to follow the path.
    pub fn read(&self) -> std::result::Result<Vec<u8>, String> {
        world::read_file(&self.path).map_err(|error| format!("cannot be read: {}", world::plain(&error)))
    }

    /// The same, without keeping clients waiting.
    ///
    /// # Errors
    /// As there.
    pub async fn load(&self) -> std::result::Result<Vec<u8>, String> {
        world::load_file(&self.path).await.map_err(|error| format!("cannot be read: {}", world::plain(&error)))
    }
}
