import com.google.api.client.http.GenericUrl;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.auth.Credentials;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.IdTokenCredentials;
import com.google.auth.oauth2.IdTokenProvider;
import java.util.LinkedHashMap;
import java.util.Map;

/** google-auth-library-oauth2-http: an access token and an ID token, as its guide shows them. */
public final class Client {
    private static final NetHttpTransport TRANSPORT = new NetHttpTransport();
    private static final String OBJECT = String.format(
            "%s/storage/v1/b/%s/o/words.txt", System.getenv("CONFORMANCE_STORAGE"), System.getenv("CONFORMANCE_BUCKET"));
    private static final String SERVICE = System.getenv("CONFORMANCE_SERVICE");

    // Made by the first request: what fails in there is a failed request.
    private static GoogleCredentials found;
    private static IdTokenCredentials ofService;

    public static void main(String[] arguments) throws Exception {
        Rounds.begin("google-auth-library-java", GoogleCredentials.class.getPackage().getImplementationVersion());
        Map<String, Rounds.Request> operations = new LinkedHashMap<>();
        operations.put("auth", () -> get(OBJECT, defaults()));
        operations.put("id", () -> get(SERVICE, ofService()));
        Rounds.run(operations);
    }

    private static GoogleCredentials defaults() throws Exception {
        if (found == null) {
            found = GoogleCredentials.getApplicationDefault()
                    .createScoped("https://www.googleapis.com/auth/cloud-platform");
        }
        return found;
    }

    private static IdTokenCredentials ofService() throws Exception {
        if (ofService == null) {
            ofService = IdTokenCredentials.newBuilder()
                    .setIdTokenProvider((IdTokenProvider) defaults())
                    .setTargetAudience(SERVICE)
                    .build();
        }
        return ofService;
    }

    private static void get(String url, Credentials credentials) throws Exception {
        TRANSPORT.createRequestFactory(new HttpCredentialsAdapter(credentials))
                .buildGetRequest(new GenericUrl(url))
                .execute()
                .disconnect();
    }
}
