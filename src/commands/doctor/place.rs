//! Where this runs, and how that is known: variables that a platform sets, what the firmware says of the machine (DMI), what
//! the metadata server answers.
//!
//! - Google: <https://cloud.google.com/run/docs/container-contract#env-vars>,
//!   <https://cloud.google.com/compute/docs/instances/detect-compute-engine>; GKE's metadata server calls itself so in its
//!   `Server` header, and a node has the attribute `cluster-name`; a Dataflow worker those of its job.
//! - AWS: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>,
//!   <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html>,
//!   <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>,
//!   <https://docs.aws.amazon.com/eks/latest/userguide/pod-configuration.html>,
//!   <https://github.com/aws/amazon-mwaa-docker-images>,
//!   <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>.

use std::path::Path;

use crate::commands::doctor::findings::Finding;
use crate::config::direction::Direction;
use crate::config::option_table::Cloud;
use crate::system::world::{self, World};

/// By what a place is known.
#[derive(Clone, Copy)]
enum Sign {
    /// The variable has a value.
    Set(&'static str),
    /// A variable whose name begins like this has one.
    AnySet(&'static str),
    /// The variable's value begins like this.
    Begins(&'static str, &'static str),
    /// The file's content begins like this.
    File(&'static str, &'static str),
}

/// A place, its cloud, and its signs, of which one will do.
type Row = (&'static str, Cloud, &'static [Sign]);

const POD_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// From the special ones to those below them.
const PLACES: &[Row] = &[
    ("AWS Lambda", Cloud::Aws, &[Sign::Set("AWS_LAMBDA_FUNCTION_NAME"), Sign::Begins(EXECUTION, "AWS_Lambda_")]),
    ("Amazon MWAA", Cloud::Aws, &[Sign::AnySet("MWAA_"), Sign::Begins(EXECUTION, "Amazon_MWAA")]),
    ("AWS Fargate", Cloud::Aws, &[Sign::Begins(EXECUTION, "AWS_ECS_FARGATE")]),
    (
        "Amazon ECS",
        Cloud::Aws,
        &[
            Sign::Begins(EXECUTION, "AWS_ECS_"),
            Sign::Set("ECS_CONTAINER_METADATA_URI_V4"),
            Sign::Set("ECS_CONTAINER_METADATA_URI"),
            Sign::Set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        ],
    ),
    (
        "Amazon EKS with an association (Pod Identity)",
        Cloud::Aws,
        &[
            Sign::Begins("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/"),
            Sign::Begins("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/"),
            Sign::Begins(POD_TOKEN, "/var/run/secrets/pods.eks.amazonaws.com/"),
        ],
    ),
    (
        "Amazon EKS with an annotation (IRSA)",
        Cloud::Aws,
        &[Sign::Begins("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/")],
    ),
    ("Cloud Run", Cloud::Google, &[Sign::Set("K_SERVICE"), Sign::Set("K_REVISION")]),
    ("a Cloud Run job", Cloud::Google, &[Sign::Set("CLOUD_RUN_JOB"), Sign::Set("CLOUD_RUN_EXECUTION")]),
    ("App Engine", Cloud::Google, &[Sign::Set("GAE_SERVICE")]),
];

const EXECUTION: &str = "AWS_EXECUTION_ENV";
const KUBERNETES: Sign = Sign::Set("KUBERNETES_SERVICE_HOST");

/// What machines are, whatever runs on them.
const MACHINES: &[Row] = &[
    (
        "Compute Engine",
        Cloud::Google,
        &[Sign::File("/sys/class/dmi/id/product_name", "Google"), Sign::File("/sys/class/dmi/id/sys_vendor", "Google")],
    ),
    (
        "Amazon EC2",
        Cloud::Aws,
        &[
            Sign::File("/sys/class/dmi/id/sys_vendor", "Amazon EC2"),
            Sign::File("/sys/class/dmi/id/board_vendor", "Amazon EC2"),
            Sign::File("/sys/hypervisor/uuid", "ec2"),
        ],
    ),
];

impl Sign {
    /// The sign in words, if it is there.
    fn seen(self, world: &World) -> Option<String> {
        match self {
            Self::Set(name) => world.variable(name).map(|_| format!("{name} is set")),
            Self::AnySet(start) => {
                let is_it = |name: &[u8]| name.starts_with(start.as_bytes());
                world.has_variable(is_it).then(|| format!("{start}… is set"))
            }
            Self::Begins(name, start) => {
                let value = world.text_variable(name).filter(|value| value.starts_with(start));
                value.map(|_| format!("{name} begins with {start}"))
            }
            Self::File(path, start) => {
                let content = world::read_file(Path::new(path)).ok()?;
                content.starts_with(start.as_bytes()).then(|| format!("{path} says {start}"))
            }
        }
    }
}

/// Where this runs, as far as anything says.
pub struct Place {
    name: Option<&'static str>,
    cloud: Option<Cloud>,
    evidence: Vec<String>,
    /// Whether it is a pod.
    is_pod: bool,
}

/// What the metadata server says without being asked for a token.
pub struct MetadataSays {
    /// Its `Server` header.
    pub server: String,
    /// The names of the instance's attributes.
    pub attributes: Vec<String>,
}

/// Looks at variables and files.
pub fn look(world: &World) -> Place {
    let find = |rows: &'static [Row]| {
        rows.iter().find_map(|(name, cloud, signs)| {
            let seen: Vec<String> = signs.iter().filter_map(|sign| sign.seen(world)).collect();
            (!seen.is_empty()).then_some((*name, *cloud, seen))
        })
    };
    let pod = KUBERNETES.seen(world);
    let machine = find(MACHINES);
    if let Some((name, cloud, evidence)) = find(PLACES) {
        return Place { name: Some(name), cloud: Some(cloud), evidence, is_pod: pod.is_some() };
    }
    let is_pod = pod.is_some();
    let (name, cloud, evidence) = match machine {
        Some((_, cloud, evidence)) if is_pod => {
            let of_pod = if cloud == Cloud::Google { "GKE" } else { "Amazon EKS without a role of the pod's own" };
            (Some(of_pod), Some(cloud), evidence)
        }
        Some((name, cloud, evidence)) => (Some(name), Some(cloud), evidence),
        None if is_pod => (Some("Kubernetes"), None, Vec::new()),
        None => (None, None, Vec::new()),
    };
    Place { name, cloud, evidence: pod.into_iter().chain(evidence).collect(), is_pod }
}

impl Place {
    /// Adds what Google's metadata server has said.
    pub fn hear(&mut self, says: &MetadataSays) {
        let has = |name: &str| says.attributes.iter().any(|attribute| attribute == name);
        let is_gke = says.server.starts_with("GKE");
        let of_server = if is_gke {
            "the metadata server is GKE's"
        } else if says.server.starts_with("Metadata Server for VM") {
            "the metadata server is Compute Engine's"
        } else {
            "a metadata server answers as Google's does"
        };
        self.evidence.push(of_server.into());
        let known = ["Compute Engine", "Kubernetes"].map(Some);
        if self.name.is_none() || known.contains(&self.name) {
            let dataflow = ["job_id", "dataflow.googleapis.com/job_id"].into_iter().find(|name| has(name));
            self.name = Some(match (is_gke || self.is_pod || has("cluster-name"), dataflow) {
                (true, _) => "GKE",
                (false, Some(attribute)) => {
                    self.evidence.push(format!("the instance has the attribute {attribute}"));
                    "Dataflow"
                }
                (false, None) => "Compute Engine",
            });
            self.cloud = Some(Cloud::Google);
        }
    }

    /// Whether it is known to be one of this cloud's.
    pub fn is_on(&self, cloud: Cloud) -> bool {
        self.cloud == Some(cloud)
    }

    /// The finding; a place of the other cloud than the one that credentials are got from is a surprise.
    pub fn finding(&self, direction: Option<Direction>, way: &str) -> Finding {
        let evidence = if self.evidence.is_empty() { "nothing says more".into() } else { self.evidence.join(", ") };
        let name = self.name.unwrap_or("a place that is no cloud's, as far as anything says");
        let wrong = match (self.cloud, direction) {
            (Some(Cloud::Google), Some(Direction::AwsToGoogle)) => Some("Google's from an AWS identity"),
            (Some(Cloud::Aws), Some(Direction::GoogleToAws)) => Some("AWS's from a Google identity"),
            _ => None,
        };
        let finding = match wrong {
            Some(wrong) => Finding::warning(
                "place",
                format!("this is {name} ({evidence}), but the credentials that are got here are {wrong}: {way}"),
            )
            .remedy(
                "if that is not meant, unset what says so, and name what is meant: --role-arn or --external-account",
            ),
            None => Finding::ok("place", format!("{name} ({evidence})")),
        };
        finding.field("place", self.name.unwrap_or("unknown"))
    }
}
