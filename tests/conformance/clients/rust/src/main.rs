//! The AWS SDK for Rust as a client of the conformance suite, over plain HTTP: its TLS would take nine minutes to build.

use std::env;
use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_s3::error::DisplayErrorContext;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    say(&json!({"client": "aws-config", "version": env!("AWS_CONFIG_VERSION")}));
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let s3 = aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build());
    let sts = aws_sdk_sts::Client::new(&config);
    let (bucket, key) = (env::var("CONFORMANCE_BUCKET")?, env::var("CONFORMANCE_KEY")?);

    let mut ticks = interval(seconds("CONFORMANCE_INTERVAL")?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = Instant::now() + seconds("CONFORMANCE_SECONDS")?;
    while ticks.tick().await < end {
        attempt("s3", async {
            let object = s3.get_object().bucket(&bucket).key(&key).send().await.map_err(text)?;
            object.body.collect().await.map_err(text)
        })
        .await;
        attempt("sts", async { sts.get_caller_identity().send().await.map_err(text) }).await;
    }
    Ok(())
}

async fn attempt<T>(operation: &str, request: impl Future<Output = Result<T, String>>) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let error = request.await.err();
    say(&json!({"at": at, "operation": operation, "error": error}));
}

/// The beginning: the rest is the whole response.
fn text(error: impl Error) -> String {
    DisplayErrorContext(error).to_string().chars().take(300).collect()
}

fn seconds(variable: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_secs_f64(env::var(variable)?.parse()?))
}

/// `println!` flushes at each line's end.
fn say(line: &Value) {
    println!("{line}");
}
