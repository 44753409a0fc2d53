import java.io.InputStream;
import java.net.URI;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.util.VersionInfo;

/**
 * Hadoop's S3A, which Spark and Flink read S3 with. Its providers stay what they are by default: keys of the
 * configuration, environment variables, and IAMInstanceCredentialsProvider, which asks the container endpoint. No
 * profile is among them: that needs fs.s3a.aws.credentials.provider set to the SDK's own default chain.
 */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        Rounds.begin("hadoop-aws", VersionInfo.getVersion());
        Configuration configuration = new Configuration();
        configuration.set("fs.s3a.endpoint", Rounds.S3);
        configuration.set("fs.s3a.endpoint.region", System.getenv("AWS_REGION"));
        configuration.setBoolean("fs.s3a.path.style.access", true);
        configuration.set("hadoop.tmp.dir", System.getenv("TMPDIR"));
        FileSystem files = FileSystem.get(URI.create("s3a://" + Rounds.BUCKET), configuration);
        Path path = new Path("/" + Rounds.KEY);
        Rounds.run(
                () -> {
                    try (InputStream object = files.open(path)) {
                        object.readAllBytes();
                    }
                },
                null);
    }
}
