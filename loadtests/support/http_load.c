/* Closed-loop HTTP load from one thread: every connection sends the same request again as soon as
 * it has the answer. Compiled, so that on a machine that also runs the server it takes a few
 * microseconds per request and not a share of the cores.
 *
 *   http_load PORT REQUEST_FILE CONNECTIONS WARM_SECONDS SECONDS
 *
 * The file holds the whole request, head and body. Only 127.0.0.1 is loaded, and only for the
 * given time. Answers of the first WARM_SECONDS are not counted. Prints one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 256, MAX_ANSWER = 1 << 20, MAX_SECONDS = 600, DRAIN_SECONDS = 5 };

struct connection {
    int fd;
    double started; /* when the request was sent */
    size_t sent, received;
    char *answer; /* MAX_ANSWER + 1 bytes, ended with 0 */
};

static char *request;
static size_t request_bytes;
static float *latencies;
static size_t answers, capacity;
static unsigned long errors;
static int under_way;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    request_bytes = (size_t)ftell(file);
    rewind(file);
    request = malloc(request_bytes);
    if (!request || fread(request, 1, request_bytes, file) != request_bytes) fail(path);
    fclose(file);
}

static void send_rest(struct connection *c) {
    while (c->sent < request_bytes) {
        ssize_t n = send(c->fd, request + c->sent, request_bytes - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return; /* EPOLLOUT follows */
        if (n < 0) fail("send");
        c->sent += (size_t)n;
    }
}

static void begin(struct connection *c) {
    c->sent = c->received = 0;
    c->started = now();
    under_way++;
    send_rest(c);
}

/* The value of a header of the answer's head, which ends with 0; NULL if it has none. */
static const char *header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length)) return line + length + strspn(line + length, " ");
    }
    return NULL;
}

/* Whether all of an answer is there; a chunked one ends with what is received, as nothing is
 * pipelined. */
static int complete(struct connection *c) {
    c->answer[c->received] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    *end = 0;
    const char *length = header(c->answer, "content-length:");
    const char *coding = header(c->answer, "transfer-encoding:");
    size_t body = (size_t)(end + 4 - c->answer);
    int done = 0;
    if (coding && !strncasecmp(coding, "chunked", 7))
        done = c->received - body >= 5 && !memcmp(c->answer + c->received - 5, "0\r\n\r\n", 5);
    else
        done = c->received - body >= (length ? strtoul(length, NULL, 10) : 0);
    *end = '\r';
    return done;
}

static void count(struct connection *c, double end, double counted_from, double stop) {
    under_way--;
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) {
        const char *body = strstr(c->answer, "\r\n\r\n");
        int line = (int)strcspn(c->answer, "\r");
        if (!errors++) fprintf(stderr, "answered %.*s: %.300s\n", line, c->answer, body + 4);
    } else if (end >= counted_from && end <= stop) {
        if (answers == capacity) {
            capacity = capacity ? 2 * capacity : 1 << 16;
            latencies = realloc(latencies, capacity * sizeof *latencies);
            if (!latencies) fail("memory");
        }
        latencies[answers++] = (float)(end - c->started);
    }
}

static void receive(struct connection *c, double counted_from, double stop) {
    for (;;) {
        ssize_t n = recv(c->fd, c->answer + c->received, MAX_ANSWER - c->received, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            if (!n) errno = ECONNRESET; /* also where an answer does not fit */
            fail("the server closed a connection");
        }
        c->received += (size_t)n;
        if (!complete(c)) continue;
        double end = now();
        count(c, end, counted_from, stop);
        if (end >= stop) return;
        begin(c);
    }
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    size_t at = (size_t)(share * (double)answers);
    return answers ? 1e3 * latencies[at < answers ? at : answers - 1] : 0;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "http_load PORT REQUEST_FILE CONNECTIONS WARM_SECONDS SECONDS\n");
        return 2;
    }
    int connections = atoi(argv[3]);
    double warm = atof(argv[4]), seconds = atof(argv[5]);
    if (connections < 1 || connections > MAX_CONNECTIONS || seconds <= 0 || warm < 0 ||
        warm + seconds > MAX_SECONDS) {
        fprintf(stderr, "http_load: 1 to %d connections, at most %d s\n", MAX_CONNECTIONS,
                MAX_SECONDS);
        return 2;
    }
    read_request(argv[2]);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection all[MAX_CONNECTIONS];
    int poll = epoll_create1(0), yes = 1;
    double counted_from = now() + warm, stop = counted_from + seconds;
    for (int i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        c->answer = malloc(MAX_ANSWER + 1);
        if (!c->answer || connect(c->fd, (struct sockaddr *)&address, sizeof address) ||
            fcntl(c->fd, F_SETFL, O_NONBLOCK) ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) ||
            epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event))
            fail("connect");
        begin(c);
    }
    while (under_way && now() < stop + DRAIN_SECONDS) {
        struct epoll_event events[MAX_CONNECTIONS];
        int n = epoll_wait(poll, events, MAX_CONNECTIONS, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) send_rest(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c, counted_from, stop);
        }
    }
    qsort(latencies, answers, sizeof *latencies, ascending);
    printf("{\"answers\": %zu, \"errors\": %lu, \"seconds\": %.6f, "
           "\"p50_ms\": %.4f, \"p95_ms\": %.4f, \"p99_ms\": %.4f}\n",
           answers, errors, seconds, percentile(.5), percentile(.95), percentile(.99));
    return 0;
}
