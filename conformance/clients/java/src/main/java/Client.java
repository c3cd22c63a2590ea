import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import software.amazon.awssdk.awscore.presigner.PresignedRequest;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * One task of the matrix: Client OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]. Prints a JSON object.
 * DETAIL is the source key of a copy and the range of a ranged get. Keys and checksum modes: the environment.
 */
public final class Client {
    private static final long PART = 5L << 20;

    private final URI endpoint;
    private final String bucket;
    private final String key;
    private final Path file;
    private final String detail;

    private Client(String[] arguments) {
        endpoint = URI.create(arguments[1]);
        bucket = arguments[2];
        key = arguments[3];
        file = Path.of(arguments[4]);
        detail = arguments.length > 5 ? arguments[5] : "";
    }

    public static void main(String[] arguments) throws Exception {
        Client task = new Client(arguments);
        String found = switch (arguments[0]) {
            case "put" -> task.put();
            case "stream" -> task.stream();
            case "multipart" -> task.multipart();
            case "copy" -> task.copy();
            case "ranged_get" -> task.rangedGet();
            case "presigned_put" -> task.presignedPut();
            case "presigned_get" -> task.presignedGet();
            default -> throw new IllegalArgumentException("no such operation: " + arguments[0]);
        };
        System.out.println(found);
    }

    private S3Client client() {
        return S3Client.builder().endpointOverride(endpoint).region(Region.US_EAST_1).forcePathStyle(true).build();
    }

    private S3TransferManager transfers() {
        S3AsyncClient client = S3AsyncClient.builder()
                .endpointOverride(endpoint)
                .region(Region.US_EAST_1)
                .forcePathStyle(true)
                .multipartEnabled(true)
                .multipartConfiguration(c -> c.minimumPartSizeInBytes(PART).thresholdInBytes(PART))
                .build();
        return S3TransferManager.builder().s3Client(client).build();
    }

    private S3Presigner presigner() {
        return S3Presigner.builder()
                .endpointOverride(endpoint)
                .region(Region.US_EAST_1)
                .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build())
                .build();
    }

    private PutObjectRequest target() {
        return PutObjectRequest.builder().bucket(bucket).key(key).build();
    }

    private String put() {
        try (S3Client client = client()) {
            return json("ETag", client.putObject(target(), RequestBody.fromFile(file)).eTag());
        }
    }

    private String stream() throws IOException {
        ExecutorService reader = Executors.newSingleThreadExecutor();
        try (S3TransferManager transfers = transfers(); InputStream body = Files.newInputStream(file)) {
            // No content length is given.
            AsyncRequestBody unknown = AsyncRequestBody.fromInputStream(c -> c.inputStream(body).executor(reader));
            return json("ETag", transfers.upload(u -> u.putObjectRequest(target()).requestBody(unknown))
                    .completionFuture().join().response().eTag());
        } finally {
            reader.shutdown();
        }
    }

    private String multipart() {
        try (S3TransferManager transfers = transfers()) {
            return json("ETag", transfers.uploadFile(u -> u.putObjectRequest(target()).source(file))
                    .completionFuture().join().response().eTag());
        }
    }

    private String copy() {
        try (S3Client client = client()) {
            return json("ETag", client.copyObject(c -> c.sourceBucket(bucket).sourceKey(detail)
                    .destinationBucket(bucket).destinationKey(key)).copyObjectResult().eTag());
        }
    }

    private String rangedGet() {
        GetObjectRequest request = GetObjectRequest.builder().bucket(bucket).key(key).range(detail).build();
        try (S3Client client = client()) {
            return json("ETag", client.getObject(request, ResponseTransformer.toFile(file)).eTag());
        }
    }

    private String presignedPut() throws IOException {
        try (S3Presigner presigner = presigner()) {
            PresignedRequest signed = presigner.presignPutObject(
                    p -> p.signatureDuration(Duration.ofMinutes(10)).putObjectRequest(target()));
            HttpURLConnection connection = open(signed);
            connection.setDoOutput(true);
            connection.getOutputStream().write(Files.readAllBytes(file));
            demandSuccess(connection);
            return json("url", signed.url().toString());
        }
    }

    private String presignedGet() throws IOException {
        try (S3Presigner presigner = presigner()) {
            PresignedRequest signed = presigner.presignGetObject(p -> p.signatureDuration(Duration.ofMinutes(10))
                    .getObjectRequest(g -> g.bucket(bucket).key(key)));
            HttpURLConnection connection = open(signed);
            demandSuccess(connection);
            Files.write(file, connection.getInputStream().readAllBytes());
            return json("url", signed.url().toString());
        }
    }

    private static HttpURLConnection open(PresignedRequest signed) throws IOException {
        URL url = signed.url();
        HttpURLConnection connection = (HttpURLConnection) url.openConnection();
        connection.setRequestMethod(signed.httpRequest().method().name());
        signed.signedHeaders().forEach((name, values) -> {
            if (!name.equalsIgnoreCase("host")) {
                values.forEach(value -> connection.addRequestProperty(name, value));
            }
        });
        return connection;
    }

    private static void demandSuccess(HttpURLConnection connection) throws IOException {
        if (connection.getResponseCode() != HttpURLConnection.HTTP_OK) {
            InputStream said = connection.getErrorStream();
            throw new IOException(connection.getResponseCode() + " "
                    + (said == null ? "" : new String(said.readAllBytes())));
        }
    }

    private static String json(String name, String value) {
        return "{\"" + name + "\":\"" + value.replace("\\", "\\\\").replace("\"", "\\\"") + "\"}";
    }
}
