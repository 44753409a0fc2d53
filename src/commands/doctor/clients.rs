//! Which SDKs stand on this machine, and whether their versions take what is delivered. Found by the names that package
//! managers give them, in the places where COMMAND would look: nothing is run.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::commands::doctor::findings::Finding;
use crate::config::direction::Direction;
use crate::system::process;
use crate::system::shown;
use crate::system::world::{self, World};

/// How a client is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Python,
    Node,
    Jar,
    Go,
}

/// A client, for which cloud, from which version on it takes the delivery, and who says so.
struct Client {
    kind: Kind,
    name: &'static str,
    direction: Direction,
    /// Empty: any.
    least: &'static str,
    source: &'static str,
}

const fn aws(kind: Kind, name: &'static str, least: &'static str) -> Client {
    Client { kind, name, direction: Direction::GoogleToAws, least, source: AWS }
}

const fn tried(kind: Kind, name: &'static str) -> Client {
    Client { kind, name, direction: Direction::GoogleToAws, least: "", source: "docs/clients.md" }
}

const fn google(kind: Kind, name: &'static str) -> Client {
    Client { kind, name, direction: Direction::AwsToGoogle, least: "", source: "docs/google-clients.md" }
}

/// From which version on each SDK asks an endpoint with a token file: AWS's own list, made for EKS Pod Identity.
const AWS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html";

const CLIENTS: &[Client] = &[
    aws(Kind::Python, "boto3", "1.34.41"),
    aws(Kind::Python, "botocore", "1.34.41"),
    aws(Kind::Python, "awscli", "1.30.0"),
    tried(Kind::Python, "aiobotocore"),
    tried(Kind::Python, "s3fs"),
    tried(Kind::Python, "pyarrow"),
    tried(Kind::Python, "polars"),
    tried(Kind::Python, "deltalake"),
    tried(Kind::Python, "obstore"),
    tried(Kind::Python, "duckdb"),
    google(Kind::Python, "google-auth"),
    google(Kind::Python, "gcsfs"),
    aws(Kind::Node, "@aws-sdk/credential-provider-node", "3.458.0"),
    aws(Kind::Node, "aws-sdk", "2.1550.0"),
    google(Kind::Node, "gcp-metadata"),
    aws(Kind::Jar, "aws-java-sdk-core", "1.12.746"),
    aws(Kind::Jar, "aws-java-sdk-bundle", "1.12.746"),
    // The second SDK's: each of its jars has the same version.
    aws(Kind::Jar, "sdk-core", "2.21.30"),
    aws(Kind::Jar, "bundle", "2.21.30"),
    tried(Kind::Jar, "hadoop-aws"),
    google(Kind::Jar, "google-auth-library-oauth2-http"),
    aws(Kind::Go, "github.com/aws/aws-sdk-go", "1.47.11"),
    // The module of that list's release-2023-11-14.
    aws(Kind::Go, "github.com/aws/aws-sdk-go-v2/config", "1.25.0"),
    google(Kind::Go, "cloud.google.com/go/compute/metadata"),
];

/// As many directories, or names in one, as anybody has.
const MOST: usize = 20_000;
/// Where the compiler of Go writes which modules a program is made of.
/// <https://pkg.go.dev/debug/buildinfo>
const GO_MARK: &[u8] = b"\xff Go buildinf:";
/// No list of modules is longer.
const LONGEST_LIST: usize = 256 << 10;

/// A client that was found.
struct Found {
    client: &'static Client,
    version: String,
    place: PathBuf,
}

/// What is found, for whoever goes this way; `by_server`: what is delivered is a server's to give.
pub fn findings(command: &[OsString], direction: Direction, by_server: bool, world: &World) -> Vec<Finding> {
    let path = world.exact_variable("PATH");
    let program = command.first().and_then(|name| process::find_command(name, path.as_deref()).ok());
    let program = program.map(|file| PathBuf::from(OsStr::from_bytes(file.as_bytes())));
    let mut found = Vec::new();
    for directory in python_directories(program.as_deref(), world) {
        found.extend(names_in(&directory).iter().filter_map(|name| {
            let (project, version) = name.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-'))?;
            of(Kind::Python, &project.to_lowercase().replace('_', "-"), version, &directory)
        }));
    }
    for directory in node_directories(world) {
        found.extend(CLIENTS.iter().filter(|client| client.kind == Kind::Node).filter_map(|client| {
            let package = directory.join(client.name).join("package.json");
            let json: serde_json::Value = serde_json::from_slice(&world::read_file(&package).ok()?).ok()?;
            of(Kind::Node, client.name, json.get("version")?.as_str()?, &directory)
        }));
    }
    for directory in jar_directories(world) {
        found.extend(names_in(&directory).iter().filter_map(|name| {
            let stem = name.strip_suffix(".jar")?;
            let at = stem
                .match_indices('-')
                .find(|(at, _)| stem.as_bytes().get(at.saturating_add(1)).is_some_and(u8::is_ascii_digit))?;
            let (name, version) = stem.split_at_checked(at.0)?;
            of(Kind::Jar, name, version.trim_start_matches('-'), &directory)
        }));
    }
    if let Some(program) = &program {
        let modules = go_modules(program).unwrap_or_default();
        found.extend(modules.iter().filter_map(|(module, version)| of(Kind::Go, module, version, program)));
    }
    found.retain(|found| found.client.direction == direction);
    if found.is_empty() {
        return vec![Finding::ok("clients", "no SDK was found where COMMAND would look")];
    }
    found.iter().map(|found| finding(found, by_server)).collect()
}

fn of(kind: Kind, name: &str, version: &str, place: &Path) -> Option<Found> {
    let is_version = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
    let client = CLIENTS.iter().find(|client| client.kind == kind && client.name == name)?;
    let version = version.trim_start_matches('v');
    let is_sane = (1..=40).contains(&version.len()) && version.chars().all(is_version);
    is_sane.then(|| Found { client, version: version.into(), place: place.into() })
}

fn finding(found: &Found, by_server: bool) -> Finding {
    let Found { client: Client { kind, name, least, source, .. }, version, place } = found;
    let place = shown::path(place);
    let what = format!("{name} {version} ({place})");
    let finding = if by_server && is_older(version, least) {
        let update = match kind {
            Kind::Python => format!("pip install '{name}>={least}'"),
            Kind::Node => format!("npm install '{name}@>={least}'"),
            Kind::Go => format!("go get {name}@v{least}"),
            Kind::Jar => format!("{name} {least} or newer in pom.xml or build.gradle"),
        };
        let message = format!(
            "{what} is older than {least}, from which on it takes the credentials of a server as fedboot's ({source})"
        );
        Finding::warning("clients", message)
            .remedy("bring it up to date, or choose another --delivery (docs/clients.md):")
            .remedy(update)
    } else if least.is_empty() {
        Finding::ok("clients", format!("{what} takes what is delivered ({source})"))
    } else {
        Finding::ok("clients", format!("{what} takes what is delivered: from {least} on ({source})"))
    };
    finding.field("client", *name).field("version", version.as_str())
}

/// Whether the numbers of a version are less than those of another one.
fn is_older(version: &str, least: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).take(3).collect()
    };
    !least.is_empty() && numbers(version) < numbers(least)
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().take(MOST).flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The directories above the programs that are looked for: `/usr` for `/usr/bin`.
fn prefixes(program: Option<&Path>, world: &World) -> Vec<PathBuf> {
    let path = world.variable("PATH").unwrap_or_default();
    let environment = world.variable("VIRTUAL_ENV").or_else(|| world.variable("CONDA_PREFIX")).map(PathBuf::from);
    let directories = path.as_bytes().split(|byte| *byte == b':').map(|part| PathBuf::from(OsStr::from_bytes(part)));
    let of_program = program.and_then(Path::parent).map(Path::to_owned);
    let above = of_program.into_iter().chain(directories).filter_map(|it| Some(it.parent()?.to_owned()));
    let mut prefixes: Vec<PathBuf> = environment.into_iter().chain(above).collect();
    prefixes.extend(["/usr", "/usr/local", "/opt/venv", "/opt/conda"].map(PathBuf::from));
    distinct(prefixes)
}

fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut kept = Vec::new();
    for path in paths {
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if path.is_dir() && !seen.contains(&real) {
            seen.push(real);
            kept.push(path);
        }
    }
    kept
}

/// <https://docs.python.org/3/library/site.html>; Debian has its own beside them.
fn python_directories(program: Option<&Path>, world: &World) -> Vec<PathBuf> {
    let named = world.variable("PYTHONPATH").unwrap_or_default();
    let named = named.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty());
    let mut all: Vec<PathBuf> = named.map(|part| world.absolute(OsStr::from_bytes(part))).collect();
    let own = world.home.as_ref().map(|home| home.join(".local"));
    for prefix in own.into_iter().chain(prefixes(program, world)) {
        let library = prefix.join("lib");
        for name in names_in(&library).iter().filter(|name| name.starts_with("python3")) {
            all.extend(["site-packages", "dist-packages"].map(|packages| library.join(name).join(packages)));
        }
    }
    distinct(all)
}

/// <https://nodejs.org/api/modules.html#loading-from-node_modules-folders>
fn node_directories(world: &World) -> Vec<PathBuf> {
    let named = world.variable("NODE_PATH").unwrap_or_default();
    let named = named.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty());
    let mut all: Vec<PathBuf> = named.map(|part| world.absolute(OsStr::from_bytes(part))).collect();
    all.extend(world.working_directory.ancestors().map(|directory| directory.join("node_modules")));
    all.extend(["/app", "/usr/src/app", "/var/task"].map(|directory| Path::new(directory).join("node_modules")));
    all.extend(prefixes(None, world).iter().map(|prefix| prefix.join("lib/node_modules")));
    distinct(all)
}

/// The class path, and where Spark, Hadoop and Beam have theirs.
fn jar_directories(world: &World) -> Vec<PathBuf> {
    let class_path = world.variable("CLASSPATH").unwrap_or_default();
    let named = class_path.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty());
    let mut all: Vec<PathBuf> = Vec::new();
    for part in named {
        let path = world.absolute(OsStr::from_bytes(part));
        // `directory/*`, or a jar itself.
        all.extend(path.parent().map(Path::to_owned));
    }
    let variable = |name: &str| world.variable(name).map(PathBuf::from);
    all.extend(variable("SPARK_HOME").map(|home| home.join("jars")));
    let hadoop = variable("HADOOP_HOME").map(|home| home.join("share/hadoop"));
    all.extend(hadoop.iter().flat_map(|share| ["tools/lib", "common/lib"].map(|part| share.join(part))));
    all.push(world.working_directory.clone());
    all.extend(["lib", "libs"].map(|part| world.working_directory.join(part)));
    all.extend(["/opt/spark/jars", "/opt/apache/beam/jars", "/app", "/app/lib", "/app/libs"].map(PathBuf::from));
    distinct(all)
}

/// The modules of a program of Go with their versions; `None` where it is no such program.
fn go_modules(program: &Path) -> Option<Vec<(String, String)>> {
    let mut file = File::open(program).ok()?;
    let mut part = vec![0; 1 << 20];
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let count = file.read(&mut part).ok()?;
        kept.extend_from_slice(part.get(..count)?);
        let at = kept.windows(GO_MARK.len()).position(|bytes| bytes == GO_MARK);
        if let Some(at) = at {
            file.take(LONGEST_LIST as u64).read_to_end(&mut kept).ok()?;
            let text = String::from_utf8_lossy(kept.get(at..)?).into_owned();
            return Some(modules_in(&text));
        }
        if count == 0 {
            return None;
        }
        // The mark may be cut by the end of what was read.
        kept.drain(..kept.len().saturating_sub(GO_MARK.len()));
    }
}

/// Lines of `dep`, module, version, and a hash, with tabs between.
fn modules_in(text: &str) -> Vec<(String, String)> {
    let of_line = |line: &str| {
        let mut words = line.strip_prefix("dep\t")?.split('\t');
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    text.split('\n').filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, least, older) in [
            ("1.34.40", "1.34.41", true),
            ("1.34.41", "1.34.41", false),
            ("1.9.220", "1.34.41", true),
            ("1.44.8rc1", "1.34.41", false),
            ("2", "1.34.41", false),
            ("anything", "", false),
        ] {
            assert_eq!(is_older(version, least), older, "{version}");
        }
    }

    #[test]
    fn modules() {
        let text = "path\tx\nmod\tx\t(devel)\t\ndep\tgithub.com/aws/aws-sdk-go-v2/config\tv1.33.18\th1:x=\nbuild\t-x\n";
        assert_eq!(modules_in(text), [("github.com/aws/aws-sdk-go-v2/config".to_owned(), "v1.33.18".to_owned())]);
    }
}
