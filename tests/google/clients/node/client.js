// google-auth-library for Node.js: an access token and an ID token, as its guide shows them.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { GoogleAuth } from "google-auth-library";

const { env } = process;
const seconds = Number(env.CONFORMANCE_SECONDS);
const interval = Number(env.CONFORMANCE_INTERVAL);
const object = `${env.CONFORMANCE_STORAGE}/storage/v1/b/${env.CONFORMANCE_BUCKET}/o/words.txt`;
const service = env.CONFORMANCE_SERVICE;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const packageFile = new URL("node_modules/google-auth-library/package.json", import.meta.url);
say({ client: "google-auth-library", version: JSON.parse(readFileSync(packageFile)).version });

const auth = new GoogleAuth();
let ofService;
const operations = {
  auth: () => auth.request({ url: object }),
  id: async () => {
    ofService ??= await auth.getIdTokenClient(service);
    return ofService.request({ url: service });
  },
};

// Counted from the end of the first round: where gcloud is installed, the library first asks it for the project, which
// takes seconds.
let end;
for (let start; (start = performance.now()) < (end ?? Infinity); ) {
  for (const [operation, request] of Object.entries(operations)) {
    const at = Date.now() / 1000;
    let error = null;
    try {
      await request();
    } catch (caught) {
      error = String(caught).slice(0, 300);
    }
    say({ at, operation, error });
  }
  end ??= performance.now() + seconds * 1000;
  await sleep(Math.max(0, start + interval * 1000 - performance.now()));
}
