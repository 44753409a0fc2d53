import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.AmazonS3ClientBuilder;
import com.amazonaws.services.securitytoken.AWSSecurityTokenService;
import com.amazonaws.services.securitytoken.AWSSecurityTokenServiceClientBuilder;
import com.amazonaws.services.securitytoken.model.GetCallerIdentityRequest;
import com.amazonaws.util.VersionInfoUtils;

/**
 * The first AWS SDK for Java. It knows none of the AWS_ENDPOINT_URL variables, and its own exchange of a web identity
 * goes to AWS and nowhere else: so with token-file it gets no keys here.
 */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        Rounds.begin("aws-sdk-java-v1", VersionInfoUtils.getVersion());
        AmazonS3 s3 = AmazonS3ClientBuilder.standard()
                .withEndpointConfiguration(at(Rounds.S3))
                .withPathStyleAccessEnabled(true)
                .build();
        AWSSecurityTokenService sts = AWSSecurityTokenServiceClientBuilder.standard()
                .withEndpointConfiguration(at(Rounds.STS))
                .build();
        Rounds.run(
                () -> s3.getObjectAsString(Rounds.BUCKET, Rounds.KEY),
                () -> sts.getCallerIdentity(new GetCallerIdentityRequest()));
    }

    private static EndpointConfiguration at(String url) {
        return new EndpointConfiguration(url, System.getenv("AWS_REGION"));
    }
}
