import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;

/**
 * The JDK's own HTTP client, as applications without an SDK use it: it offers an upgrade to HTTP/2 with its first
 * request in plaintext. Calls are arguments, four each (method, URL, key, body); a line is printed for each:
 * the HTTP version, the status, how many lines came, and the last 300 characters of what came.
 */
public final class Calls {
  public static void main(String[] arguments) throws Exception {
    for (int at = 0; at + 3 < arguments.length; at += 4) {
      // A client of its own for each: the first request of a client is the one with the offer.
      HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
      String body = arguments[at + 3];
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(arguments[at + 1]))
              .timeout(Duration.ofSeconds(30))
              .header("authorization", "Bearer " + arguments[at + 2])
              .header("content-type", "application/json")
              .method(
                  arguments[at],
                  body.isEmpty()
                      ? HttpRequest.BodyPublishers.noBody()
                      : HttpRequest.BodyPublishers.ofString(body))
              .build();
      HttpResponse<java.util.stream.Stream<String>> response =
          client.send(request, HttpResponse.BodyHandlers.ofLines());
      List<String> lines = response.body().toList();
      String text = String.join(" ", lines);
      String end = text.substring(Math.max(0, text.length() - 300));
      System.out.println(response.version() + "\t" + response.statusCode() + "\t" + lines.size() + "\t" + end);
    }
  }
}
