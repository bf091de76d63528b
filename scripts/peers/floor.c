// The floor: minimal blocking loops with the probe's payload and clock and none of its features.
//
// floor serve PORT                                    answers TCP and UDP
// floor tcp-rr|udp-rr|tcp-crr ADDRESS PORT SECONDS    prints "p50_ns mean_ns requests_per_second"
//
// With one word more, tcp-rr and udp-rr have what ends a wait for a lost reply: `timeout` a time-out of the socket, `alarm` a
// signal every 20 ms (scripts/waits.py).
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 64, MOST_SAMPLES = 1 << 23, TURN_US = 20000 };

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static int receive(int fd, char *buffer) {
    ssize_t n;
    while ((n = recv(fd, buffer, PAYLOAD, MSG_WAITALL)) < 0 && (errno == EINTR || errno == EAGAIN)) {
    }
    return n == PAYLOAD;
}

static int exchange(int fd, char *buffer) {
    return send(fd, buffer, PAYLOAD, 0) == PAYLOAD && receive(fd, buffer);
}

static void nothing(int signal) {
    (void)signal;
}

// Has calls that wait end every so often, by a time-out of the socket or by a timer of the process.
static void bound(int fd, const char *how) {
    const struct timeval turn = {.tv_usec = TURN_US};
    const struct itimerval every = {turn, turn};
    const struct sigaction action = {.sa_handler = nothing};
    if (!strcmp(how, "timeout")) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &turn, sizeof turn);
    } else if (sigaction(SIGALRM, &action, NULL) || setitimer(ITIMER_REAL, &every, NULL)) {
        die("alarm");
    }
}

static int tcp(const struct sockaddr_in *to) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const void *)to, sizeof *to)) die("connect");
    return fd;
}

// One connection after another in a process of its own each kind; a closed connection ends its turn.
static void serve(int port) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    char buffer[PAYLOAD];
    int one = 1;
    if (fork() == 0) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(fd, (void *)&own, sizeof own)) die("bind");
        for (;;) {
            struct sockaddr_in from;
            socklen_t size = sizeof from;
            ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (void *)&from, &size);
            if (n > 0) sendto(fd, buffer, n, 0, (void *)&from, size);
        }
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&own, sizeof own) || listen(listener, 128)) die("bind");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (recv(fd, buffer, PAYLOAD, MSG_WAITALL) == PAYLOAD && send(fd, buffer, PAYLOAD, 0) == PAYLOAD) {
        }
        close(fd);
    }
}

static int ascending(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]));
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: floor serve PORT | floor tcp-rr|udp-rr|tcp-crr ADDRESS PORT SECONDS [timeout|alarm]\n");
        return 2;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    inet_pton(AF_INET, argv[2], &to.sin_addr);
    char buffer[PAYLOAD] = {0};
    long *samples = malloc(MOST_SAMPLES * sizeof *samples);
    memset(samples, 0, MOST_SAMPLES * sizeof *samples);
    int fresh = !strcmp(argv[1], "tcp-crr"), fd = -1;
    if (!strcmp(argv[1], "udp-rr")) {
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (connect(fd, (void *)&to, sizeof to)) die("connect");
    } else if (!fresh) {
        fd = tcp(&to);
    }
    if (argc == 6 && !fresh) bound(fd, argv[5]);
    const struct linger abort_close = {.l_onoff = 1};
    long start = now_ns(), end = start + (long)(atof(argv[4]) * 1e9), warm = start + (end - start) / 10, t = start;
    long count = 0;
    while (t < end && count < MOST_SAMPLES) {
        if (fresh) fd = tcp(&to);
        if (!exchange(fd, buffer)) die("exchange");
        if (fresh) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_close, sizeof abort_close);
            close(fd);
        }
        long after = now_ns();
        if (t >= warm) samples[count++] = after - t;
        t = fresh ? after : now_ns();
    }
    if (!count) return 2;
    double seconds = (t - warm) / 1e9, sum = 0;
    for (long i = 0; i < count; i++) sum += samples[i];
    qsort(samples, count, sizeof *samples, ascending);
    printf("%ld %.0f %.0f\n", samples[count / 2], sum / count, count / seconds);
    return 0;
}
