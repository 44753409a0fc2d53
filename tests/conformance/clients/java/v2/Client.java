import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.sts.StsClient;

/** The AWS SDK for Java 2. */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        Rounds.begin("aws-sdk-java-v2", VersionInfo.SDK_VERSION);
        S3Client s3 = S3Client.builder().forcePathStyle(true).build();
        StsClient sts = StsClient.create();
        Rounds.run(
                () -> s3.getObjectAsBytes(request -> request.bucket(Rounds.BUCKET).key(Rounds.KEY)),
                sts::getCallerIdentity);
    }
}
