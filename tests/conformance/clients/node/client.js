// The AWS SDK for JavaScript as a client of the conformance suite.
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const { CONFORMANCE_BUCKET, CONFORMANCE_KEY, CONFORMANCE_INTERVAL, CONFORMANCE_SECONDS } = process.env;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function attempt(operation, request) {
    const at = Date.now() / 1000;
    let error = null;
    try {
        await request();
    } catch (caught) {
        error = `${caught.name}: ${caught.message}`;
    }
    say({ at, operation, error });
}

const manifest = new URL("node_modules/@aws-sdk/client-s3/package.json", import.meta.url);
const { name, version } = JSON.parse(readFileSync(manifest, "utf8"));
say({ client: name, version });

const s3 = new S3Client({ forcePathStyle: true });
const sts = new STSClient({});

const end = performance.now() + CONFORMANCE_SECONDS * 1000;
for (let start; (start = performance.now()) < end; ) {
    await attempt("s3", async () => {
        const object = await s3.send(new GetObjectCommand({ Bucket: CONFORMANCE_BUCKET, Key: CONFORMANCE_KEY }));
        await object.Body.transformToByteArray();
    });
    await attempt("sts", () => sts.send(new GetCallerIdentityCommand({})));
    await setTimeout(Math.max(0, start + CONFORMANCE_INTERVAL * 1000 - performance.now()));
}
