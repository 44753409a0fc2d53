// client.js VERSION: the AWS SDK for JavaScript of that version, by its default chain, with a logger that is a class, as
// AWS's CDK has one. Prints who it is, then what the logger was warned of.
class Logger {
    #warnings = [];
    trace() {}
    debug() {}
    info() {}
    warn(...words) {
        this.#warnings.push(words.join(" "));
    }
    error(...words) {
        this.warn(...words);
    }
    get warnings() {
        return this.#warnings;
    }
}

const version = process.argv[2];
const logger = new Logger();
const { GetCallerIdentityCommand, STSClient } = await import(`sts-${version}`);
let credentials;
if (version === "844") {
    const { fromNodeProviderChain } = await import("credential-providers-844");
    credentials = fromNodeProviderChain({ logger });
}
const { Arn } = await new STSClient({ credentials, logger }).send(new GetCallerIdentityCommand({}));
console.log(Arn);
console.log(JSON.stringify(logger.warnings));
