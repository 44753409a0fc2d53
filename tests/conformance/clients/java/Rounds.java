import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/** What all the Java clients have in common, Google's too: the rounds, and the lines on stdout. */
final class Rounds {
    interface Request {
        void make() throws Exception;
    }

    static final String S3 = System.getenv("CONFORMANCE_S3");
    static final String STS = System.getenv("CONFORMANCE_STS");
    static final String BUCKET = System.getenv("CONFORMANCE_BUCKET");
    static final String KEY = System.getenv("CONFORMANCE_KEY");

    static void begin(String client, String version) {
        // Java takes it from /etc/passwd, which in a container says the same as HOME; here HOME is new for each run.
        System.setProperty("user.home", System.getenv("HOME"));
        System.out.printf("{\"client\": %s, \"version\": %s}%n", quoted(client), quoted(version));
    }

    /** `sts` is null where the library has no such client. */
    static void run(Request s3, Request sts) throws InterruptedException {
        Map<String, Request> operations = new LinkedHashMap<>();
        operations.put("s3", s3);
        if (sts != null) {
            operations.put("sts", sts);
        }
        run(operations);
    }

    /** Makes each request once a round. */
    static void run(Map<String, Request> operations) throws InterruptedException {
        long interval = nanoseconds("CONFORMANCE_INTERVAL");
        long begin = System.nanoTime();
        long end = begin + nanoseconds("CONFORMANCE_SECONDS");
        for (long start = begin; start < end; start = System.nanoTime()) {
            operations.forEach(Rounds::attempt);
            Thread.sleep(Duration.ofNanos(Math.max(0, start + interval - System.nanoTime())).toMillis());
        }
    }

    private static void attempt(String operation, Request request) {
        double at = Instant.now().toEpochMilli() / 1000.0;
        String error = "null";
        try {
            request.make();
        } catch (Exception | LinkageError caught) {
            error = quoted(caught.toString());
        }
        System.out.printf("{\"at\": %.3f, \"operation\": \"%s\", \"error\": %s}%n", at, operation, error);
        System.out.flush();
    }

    private static long nanoseconds(String variable) {
        return (long) (Double.parseDouble(System.getenv(variable)) * 1e9);
    }

    private static String quoted(String text) {
        return '"' + text.replaceAll("[\\p{Cntrl}\"\\\\]+", " ") + '"';
    }
}
