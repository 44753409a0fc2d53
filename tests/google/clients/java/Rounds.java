import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** The rounds of requests, and the lines on stdout. */
final class Rounds {
    interface Request {
        void make() throws Exception;
    }

    static void begin(String client, String version) {
        // Java takes it from /etc/passwd, which in a container says the same as HOME; here HOME is new for each run.
        System.setProperty("user.home", System.getenv("HOME"));
        System.out.printf("{\"client\": %s, \"version\": %s}%n", quoted(client), quoted(version));
    }

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
