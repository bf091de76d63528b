/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The packet clock: follows the two packets of one exchange at a time, the request's and the reply's, through every
 * namespace of an arm, and stamps them at fixed points of the kernel.
 *
 * A packet is recognised by its headers where its sender hands it to the first device, and from there on by the
 * address of its skb alone, which stays the same through pairs, bridges, netfilter, tunnels and redirects. Its trip
 * ends at the receiver's socket, and goes to the ring as one record. The address is forgotten there, since the
 * kernel uses it again.
 *
 * src/anatomy/ has the other side of `struct config`, `struct counters`; `results` reads `struct record`. All three
 * are single structs: the compiler orders separate globals as it likes.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#define REQUEST 0
#define REPLY 1

#define TCP 6
#define SYN 0x02
#define ACK 0x10

/* Points, as `Point::numbered` has them. */
#define QUEUE 1
#define NETIF_RX 2
#define RECEIVE 3
#define GRO 4
#define DATA_READY 5

/* A power of two, so that an index is bounded by a mask. */
#define MOST_EVENTS 64

/* The fields of the kernel's structs that are read; their places are looked up as the programs are loaded. */
#define KERNEL __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} KERNEL;

struct net {
	struct ns_common ns;
} KERNEL;

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} KERNEL;

struct sk_buff {
	struct net_device *dev;
	unsigned char *head;
	__u16 network_header;
} KERNEL;

struct sock_common {
	__u16 skc_num;
	possible_net_t skc_net;
} KERNEL;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
} KERNEL;

struct bpf_nf_ctx {
	struct sk_buff *skb;
} KERNEL;

/* Which packets are followed. Ports are in host order. */
struct config {
	__u32 client_ns; /* Inode numbers of the ends' namespaces. */
	__u32 server_ns;
	__u16 service_port; /* Where the client believes to connect to; */
	__u16 server_port;  /* where the server listens. */
	__u8 protocol;
	__u8 first; /* Follow a connection's SYN and SYN-ACK instead of data. */
	__u16 padding;
};

_Static_assert(sizeof(struct config) == 16, "no hole");

const volatile struct config config;

struct counters {
	__u64 lost;     /* Records that found no room in the ring. */
	__u64 given_up; /* Trips that another one began before, or with too many events. */
};

struct event {
	__u64 at_ns;
	__u32 place; /* The point above 24 bits of the device's index. */
	__u32 ns;
};

struct record {
	__u32 way;
	__u32 count;
	struct event events[MOST_EVENTS];
};

_Static_assert(sizeof(struct record) == 8 + 16 * MOST_EVENTS, "no hole");

/* One packet under way in each direction; no skb where there is none. */
struct trip {
	const struct sk_buff *skb;
	struct record record;
};

struct trip trips[2];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

static __always_inline struct counters *counts(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&counters, &only);
}

static __always_inline void give_up(struct trip *trip)
{
	struct counters *counts_ = counts();

	if (counts_)
		counts_->given_up += 1;
	trip->skb = 0;
}

static __always_inline void stamp_at(struct trip *trip, __u64 at_ns, __u32 point, __u32 device,
				     __u32 ns)
{
	__u32 count = trip->record.count;
	struct event *event;

	if (count >= MOST_EVENTS) {
		give_up(trip);
		return;
	}
	/* The verifier forgets the comparison once the compiler has moved it. */
	asm volatile("" : "+r"(count));
	event = &trip->record.events[count & (MOST_EVENTS - 1)];
	event->at_ns = at_ns;
	event->place = point << 24 | (device & 0xffffff);
	event->ns = ns;
	trip->record.count = count + 1;
}

/* Stamps a packet that is followed; returns whether it is. */
static __always_inline int stamp(const struct sk_buff *skb, __u32 point)
{
	struct trip *trip;
	__u64 at_ns;

	if (skb == trips[REQUEST].skb)
		trip = &trips[REQUEST];
	else if (skb == trips[REPLY].skb)
		trip = &trips[REPLY];
	else
		return 0;
	at_ns = bpf_ktime_get_ns();
	stamp_at(trip, at_ns, point, skb->dev->ifindex, skb->dev->nd_net.net->ns.inum);
	return 1;
}

static __always_inline void begin(struct trip *trip, __u32 way, const struct sk_buff *skb,
				  __u64 at_ns, __u32 ns)
{
	if (trip->skb)
		give_up(trip);
	trip->record.way = way;
	trip->record.count = 0;
	stamp_at(trip, at_ns, QUEUE, skb->dev->ifindex, ns);
	trip->skb = skb;
}

static __always_inline void end(struct trip *trip)
{
	__u64 size = 8 + (__u64)trip->record.count * sizeof(struct event);

	trip->skb = 0;
	/* The verifier must see the size itself compared: of how it came about it forgets too much. */
	asm volatile("" : "+r"(size));
	if (size > sizeof(struct record))
		return;
	/* Nobody is woken up: the reader looks now and then. */
	if (bpf_ringbuf_output(&ring, &trip->record, size, BPF_RB_NO_WAKEUP)) {
		struct counters *counts_ = counts();

		if (counts_)
			counts_->lost += 1;
	}
}

/* What is read of a packet's headers. */
struct headers {
	__u16 source;
	__u16 destination;
	__u8 flags;    /* Of TCP. */
	__u32 payload; /* Bytes behind the transport header. */
};

/* Reads the headers of a packet of the protocol that is followed; returns whether it is one. */
static __always_inline int parse(const struct sk_buff *skb, struct headers *headers)
{
	const unsigned char *network = skb->head + skb->network_header;
	__u8 ip[40], transport[20];
	__u32 length, own;

	if (bpf_probe_read_kernel(ip, sizeof(ip), network))
		return 0;
	if (ip[0] >> 4 == 4) {
		own = (ip[0] & 15) * 4;
		length = ((__u32)ip[2] << 8 | ip[3]) - own;
		if (ip[9] != config.protocol)
			return 0;
	} else if (ip[0] >> 4 == 6) {
		own = 40;
		length = (__u32)ip[4] << 8 | ip[5];
		if (ip[6] != config.protocol)
			return 0;
	} else {
		return 0;
	}
	if (bpf_probe_read_kernel(transport, sizeof(transport), network + own))
		return 0;
	headers->source = (__u16)transport[0] << 8 | transport[1];
	headers->destination = (__u16)transport[2] << 8 | transport[3];
	headers->flags = config.protocol == TCP ? transport[13] : 0;
	own = config.protocol == TCP ? transport[12] >> 4 << 2 : 8;
	headers->payload = length > own ? length - own : 0;
	return 1;
}

static __always_inline int to_server(const struct headers *headers)
{
	return headers->destination == config.service_port ||
	       headers->destination == config.server_port;
}

/* A packet that carries data: the request, or the reply. */
static __always_inline void recognise_data(const struct sk_buff *skb, __u64 at_ns, __u32 ns,
					   const struct headers *headers)
{
	if (!headers->payload)
		return;
	if (ns == config.client_ns && to_server(headers))
		begin(&trips[REQUEST], REQUEST, skb, at_ns, ns);
	else if (ns == config.server_ns && headers->source == config.server_port)
		begin(&trips[REPLY], REPLY, skb, at_ns, ns);
}

/* A packet of a handshake. No socket is told of the first two: the one ends where the other begins, and the other
 * where the third does. */
static __always_inline void recognise_first(const struct sk_buff *skb, __u64 at_ns, __u32 ns,
					    const struct headers *headers)
{
	if (ns == config.client_ns && to_server(headers)) {
		if ((headers->flags & (SYN | ACK)) == SYN)
			begin(&trips[REQUEST], REQUEST, skb, at_ns, ns);
		else if ((headers->flags & (SYN | ACK)) == ACK && trips[REPLY].skb)
			end(&trips[REPLY]);
	} else if (ns == config.server_ns && headers->source == config.server_port &&
		   (headers->flags & (SYN | ACK)) == (SYN | ACK)) {
		if (trips[REQUEST].skb)
			end(&trips[REQUEST]);
		begin(&trips[REPLY], REPLY, skb, at_ns, ns);
	}
}

/* The only argument of all but one of the tracepoints. */
static __always_inline const struct sk_buff *packet(const __u64 *ctx)
{
	return (const struct sk_buff *)ctx[0];
}

SEC("tp_btf/net_dev_queue")
int on_queue(const __u64 *ctx)
{
	const struct sk_buff *skb = packet(ctx);
	struct headers headers;
	__u64 at_ns;
	__u32 ns;

	if (stamp(skb, QUEUE))
		return 0;
	at_ns = bpf_ktime_get_ns();
	ns = skb->dev->nd_net.net->ns.inum;
	if (ns != config.client_ns && ns != config.server_ns)
		return 0;
	if (!parse(skb, &headers))
		return 0;
	if (config.first)
		recognise_first(skb, at_ns, ns, &headers);
	else
		recognise_data(skb, at_ns, ns, &headers);
	return 0;
}

SEC("tp_btf/netif_rx")
int on_netif_rx(const __u64 *ctx)
{
	stamp(packet(ctx), NETIF_RX);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int on_receive(const __u64 *ctx)
{
	stamp(packet(ctx), RECEIVE);
	return 0;
}

SEC("tp_btf/napi_gro_receive_entry")
int on_gro(const __u64 *ctx)
{
	stamp(packet(ctx), GRO);
	return 0;
}

/* The tracepoint knows the socket alone: with one exchange under way, what it is told of is the packet. */
SEC("tp_btf/sk_data_ready")
int on_data_ready(const __u64 *ctx)
{
	const struct sock *sk = (const struct sock *)ctx[0];
	struct trip *trip;
	__u64 at_ns;
	__u32 ns;

	if (!trips[REQUEST].skb && !trips[REPLY].skb)
		return 0;
	at_ns = bpf_ktime_get_ns();
	if (config.first || sk->sk_protocol != config.protocol)
		return 0;
	ns = sk->__sk_common.skc_net.net->ns.inum;
	if (ns == config.server_ns && sk->__sk_common.skc_num == config.server_port)
		trip = &trips[REQUEST];
	else if (ns == config.client_ns)
		trip = &trips[REPLY];
	else
		return 0;
	if (!trip->skb)
		return 0;
	stamp_at(trip, at_ns, DATA_READY, 0, ns);
	end(trip);
	return 0;
}

/* Stamps around parts of netfilter: a program before each, one after it. They let every packet pass. */
#define AROUND(name, number)                           \
	SEC("netfilter")                               \
	int name##_enter(struct bpf_nf_ctx *ctx)       \
	{                                              \
		stamp(ctx->skb, number);               \
		return 1;                              \
	}                                              \
	SEC("netfilter")                               \
	int name##_leave(struct bpf_nf_ctx *ctx)       \
	{                                              \
		stamp(ctx->skb, number + 1);           \
		return 1;                              \
	}

AROUND(conntrack, 16)
AROUND(dnat, 18)
AROUND(forward, 20)
AROUND(snat, 22)

char _license[] SEC("license") = "Dual MIT/GPL";
